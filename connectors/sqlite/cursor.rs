//! A cursor column: its order in SQL, and its values in one form.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use waybill_protocol::{CursorValue, Error, Kind, Logical, Origin, Result};

use super::affinity::NUMBER_DIGITS;
use super::decode;
use super::fault::Doing;
use super::identifier::quote;
use super::iso;

/// The rows that a stream has: what stands after `FROM` and `WHERE`.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// A table or a query, with the alias `t`.
    pub(crate) from: String,
    /// The person's condition, or `true`.
    pub(crate) filter: String,
}

/// A cursor column, its values in one form that SQL can compare.
pub(crate) struct Cursor {
    /// The stream, for messages.
    stream: String,
    /// The column's name, for messages.
    column: String,
    /// Its type.
    pub(crate) logical: Logical,
    /// What SQL compares and sorts by.
    pub(crate) expression: String,
    /// Of moments: the separator, and the offset that all of them end in.
    form: (char, String),
}

impl Cursor {
    /// Looks at the column's values: they must be of one form, or their order would mean nothing.
    pub(crate) fn new(
        conn: &Connection,
        rows: &Rows,
        stream: &str,
        column: &str,
        logical: Logical,
    ) -> Result<Cursor> {
        let expression = format!("t.{}", quote(column));
        let form = (' ', String::new());
        let mut cursor =
            Cursor { stream: stream.to_owned(), column: column.to_owned(), logical, expression, form };
        match logical {
            Logical::Int16 | Logical::Int32 | Logical::Int64 => cursor.one_class(conn, rows, "number")?,
            Logical::Decimal { precision, .. } if precision <= NUMBER_DIGITS => {
                cursor.one_class(conn, rows, "number")?;
            }
            Logical::Text => cursor.one_class(conn, rows, "text")?,
            Logical::Uuid => cursor.one_class(conn, rows, "text")?,
            Logical::Date => cursor.dates(conn, rows)?,
            Logical::Timestamp | Logical::TimestampTz => cursor.moments(conn, rows)?,
            other => {
                return Err(Error::config(format!(
                    "stream {stream}: column {column} of type {other} has no order in SQLite"
                ))
                .origin(Origin::Source)
                .hint("choose another `cursor`, or load the stream by full refresh"));
            }
        }
        Ok(cursor)
    }

    fn mixed(&self, what: &str) -> Error {
        Error::data(format!("stream {}: the cursor column {} {what}", self.stream, self.column))
            .origin(Origin::Source)
            .stream(&self.stream)
            .hint(
                "bring its values into one form, choose another `cursor`, or load the stream by full refresh",
            )
    }

    /// Numbers sort before text and text before bytes: the two ends tell whether there is but one.
    fn one_class(&self, conn: &Connection, rows: &Rows, class: &str) -> Result<()> {
        for end in ["min", "max"] {
            let found: Option<String> =
                self.one(conn, rows, &format!("typeof({end}({}))", self.expression))?;
            let fits = match found.as_deref() {
                None | Some("null") => true,
                Some("text") => class == "text",
                Some("integer" | "real") => class == "number",
                Some(_) => false,
            };
            if !fits {
                return Err(
                    self.mixed(&format!("holds {} where {class}s are expected", found.unwrap_or_default()))
                );
            }
        }
        Ok(())
    }

    fn dates(&self, conn: &Connection, rows: &Rows) -> Result<()> {
        let c = &self.expression;
        let odd = format!(
            "SELECT 1 FROM {} WHERE {} AND {c} IS NOT NULL AND NOT (typeof({c}) = 'text' AND {c} GLOB \
             '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]') LIMIT 1",
            rows.from, rows.filter
        );
        let found = conn.query_row(&odd, [], |_| Ok(())).optional().reading("look at the cursor's values")?;
        found.map_or(Ok(()), |()| Err(self.mixed("holds values that are no dates of the form YYYY-MM-DD")))
    }

    /// Moments as text sort in time when separator and offset are the same in all. A `Z` is left
    /// out of the comparison where it would come before decimals.
    fn moments(&mut self, conn: &Connection, rows: &Rows) -> Result<()> {
        let c = self.expression.clone();
        let sql = format!(
            "SELECT DISTINCT typeof({c}) = 'text' AND {c} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]?\
             [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*', substr({c}, 11, 1), ltrim(substr({c}, 20), '.0123456789') \
             FROM {} WHERE {} AND {c} IS NOT NULL LIMIT 2",
            rows.from, rows.filter
        );
        let doing = "look at the cursor's values";
        let mut statement = conn.prepare(&sql).reading(doing)?;
        let found = statement.query_map([], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, Value>(1)?, row.get::<_, Value>(2)?))
        });
        let found: Vec<_> = found.reading(doing)?.collect::<rusqlite::Result<_>>().reading(doing)?;
        match found.as_slice() {
            [] => Ok(()),
            [(true, Value::Text(separator), Value::Text(offset))]
                if matches!(separator.as_str(), "T" | " ") =>
            {
                self.form = (separator.chars().next().unwrap_or(' '), offset.clone());
                if offset == "Z" {
                    self.expression = format!("rtrim({c}, 'Z')");
                }
                Ok(())
            }
            _ => {
                Err(self
                    .mixed("holds times of different forms, or without seconds, so text cannot be compared"))
            }
        }
    }

    fn one<T: rusqlite::types::FromSql>(
        &self,
        conn: &Connection,
        rows: &Rows,
        what: &str,
    ) -> Result<Option<T>> {
        let sql = format!("SELECT {what} FROM {} WHERE {}", rows.from, rows.filter);
        conn.query_row(&sql, [], |row| row.get(0)).reading("look at the cursor's values")
    }

    /// A cursor value in the form that the column's values have.
    pub(crate) fn bind(&self, value: &CursorValue) -> Result<Value> {
        let mut text = String::new();
        Ok(match (value, self.logical) {
            (CursorValue::Int(i), Logical::Int16 | Logical::Int32 | Logical::Int64) => Value::Integer(*i),
            (CursorValue::Decimal(digits), Logical::Decimal { .. }) => match digits.parse::<i64>() {
                Ok(whole) => Value::Integer(whole),
                Err(_) => Value::Real(digits.parse().map_err(|_| self.foreign(value))?),
            },
            (CursorValue::Text(t), Logical::Text) | (CursorValue::Uuid(t), Logical::Uuid) => {
                Value::Text(t.clone())
            }
            (CursorValue::Date(days), Logical::Date) => {
                iso::date(&mut text, *days);
                Value::Text(text)
            }
            (CursorValue::Timestamp(us), Logical::Timestamp) => Value::Text(self.moment(*us, 0)),
            (CursorValue::TimestampTz(us), Logical::TimestampTz) => {
                let probe = format!("1970-01-01T00:00:00{}", self.form.1);
                let offset = waybill_protocol::calendar::parse_timestamp(&probe).and_then(|(_, o)| o);
                Value::Text(self.moment(*us, offset.unwrap_or(0)))
            }
            _ => return Err(self.foreign(value)),
        })
    }

    fn moment(&self, us: i64, offset_seconds: i32) -> String {
        let mut text = String::new();
        iso::timestamp(&mut text, us.saturating_add(i64::from(offset_seconds) * 1_000_000), false);
        let mut text = text.replacen(' ', &self.form.0.to_string(), 1);
        if self.form.1 != "Z" && us != i64::MIN && us != i64::MAX {
            text.push_str(&self.form.1);
        }
        text
    }

    fn foreign(&self, value: &CursorValue) -> Error {
        let what = format!("stream {}: a cursor of type {}", self.stream, value.type_name());
        Error::new(
            Kind::Schema,
            format!("{what} does not fit column {} of type {}", self.column, self.logical),
        )
        .origin(Origin::Source)
        .hint("reset the stream: `waybill state reset`")
    }

    /// A stored value (of [`expression`](Self::expression)) as a cursor value.
    pub(crate) fn value(&self, stored: ValueRef<'_>) -> Result<Option<CursorValue>> {
        if stored == ValueRef::Null {
            return Ok(None);
        }
        let text = || decode::as_text(stored, Some(self.logical)).map(|t| t.into_owned());
        let found = match self.logical {
            Logical::Int16 | Logical::Int32 | Logical::Int64 => decode::int(stored).map(CursorValue::Int),
            Logical::Decimal { .. } => text().map(CursorValue::Decimal),
            Logical::Text => text().map(CursorValue::Text),
            Logical::Uuid => decode::uuid(stored).map(|id| CursorValue::Uuid(id.to_owned())),
            Logical::Date => decode::date(stored).map(CursorValue::Date),
            Logical::Timestamp => decode::timestamp(stored, false).map(CursorValue::Timestamp),
            Logical::TimestampTz => match stored {
                // The expression may have taken the `Z` away.
                ValueRef::Text(t) if self.form.1 == "Z" => {
                    let whole = [t, b"Z"].concat();
                    decode::timestamp(ValueRef::Text(&whole), true).map(CursorValue::TimestampTz)
                }
                _ => decode::timestamp(stored, true).map(CursorValue::TimestampTz),
            },
            _ => None,
        };
        found.map(Some).ok_or_else(|| self.mixed(&format!("holds a value that is no {}", self.logical)))
    }

    /// The highest value in the snapshot.
    pub(crate) fn highest(&self, conn: &Connection, rows: &Rows) -> Result<Option<CursorValue>> {
        let sql = format!("SELECT max({}) FROM {} WHERE {}", self.expression, rows.from, rows.filter);
        let mut statement = conn.prepare(&sql).reading("find the cursor's end")?;
        let mut found = statement.query([]).reading("find the cursor's end")?;
        match found.next().reading("find the cursor's end")? {
            Some(row) => self.value(row.get_ref(0).reading("find the cursor's end")?),
            None => Ok(None),
        }
    }

    /// Whether any row lies above a value, in the column's own order (its collation).
    pub(crate) fn any_above(&self, conn: &Connection, rows: &Rows, value: &CursorValue) -> Result<bool> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {} WHERE {} AND {} > ?1)",
            rows.from, rows.filter, self.expression
        );
        let bound = [self.bind(value)?];
        conn.query_row(&sql, params_from_iter(bound), |row| row.get(0)).reading("find the cursor's end")
    }
}
