//! Giving columns a wider type: a column's affinity cannot be altered, so the table is written anew.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};
use waybill_protocol::{Error, Kind, Logical, Origin, Result};

use super::affinity::{NUMBER_DIGITS, native};
use super::bind::point;
use super::decode;
use super::fault::Doing;
use super::identifier::{is_internal, quote};
use super::table::Column;

/// A column that gets another type.
pub(crate) struct Target {
    /// The column.
    pub(crate) column: String,
    /// What it held, where that is known.
    pub(crate) was: Option<Logical>,
    /// What it is to hold.
    pub(crate) logical: Logical,
}

/// Statements that build a table's own indexes and triggers, without the index of Waybill's key.
pub(crate) fn belongings(conn: &Connection, table: &str) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, sql FROM sqlite_schema
        WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type, name";
    let doing = format!("read the indexes of table {table}");
    let mut statement = conn.prepare(sql).loading(&doing)?;
    let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).loading(&doing)?;
    rows.collect::<rusqlite::Result<_>>().loading(&doing)
}

/// Builds indexes and triggers again on a table that has taken another's place.
pub(crate) fn carry_over(
    conn: &Connection,
    stream: &str,
    table: &str,
    sql: &[(String, String)],
) -> Result<()> {
    for (name, statement) in sql {
        conn.execute_batch(statement).map_err(|e| {
            super::fault::fault(
                Origin::Destination,
                &format!("carry {name} over to the new table {table}"),
                e,
            )
            .stream(stream)
            .hint(format!("drop it or make it fit the new columns: DROP INDEX {}", quote(name)))
        })?;
    }
    Ok(())
}

/// Rewrites a table with wider columns, in the transaction that is open.
pub(crate) fn rebuild(
    conn: &Connection,
    stream: &str,
    table: &str,
    now: &[Column],
    targets: &[Target],
) -> Result<()> {
    refuse_constraints(conn, stream, table, now, targets)?;
    let doing = format!("give table {table} wider columns");
    let kept = belongings(conn, table)?;
    let fresh = format!("_waybill_rebuild_{table}");
    let target = |name: &str| targets.iter().find(|t| t.column == name);
    let columns: Vec<String> = now
        .iter()
        .map(|c| {
            let declared = target(&c.name).map_or_else(|| c.declared.clone(), |t| native(t.logical));
            format!("{} {declared}", quote(&c.name))
        })
        .collect();
    let create =
        format!("DROP TABLE IF EXISTS {0}; CREATE TABLE {0} ({1})", quote(&fresh), columns.join(", "));
    conn.execute_batch(&create).loading(&doing)?;
    let targets: Vec<Option<&Target>> = now.iter().map(|c| target(&c.name)).collect();
    copy(conn, stream, table, &fresh, &targets).map_err(|e| e.context(&doing))?;
    let swap = format!("DROP TABLE {0}; ALTER TABLE {1} RENAME TO {0}", quote(table), quote(&fresh));
    conn.execute_batch(&swap).loading(&doing)?;
    carry_over(conn, stream, table, &kept)
}

/// Whether a table's definition says no more than names and types of columns.
pub(crate) fn is_plain(conn: &Connection, table: &str, now: &[Column]) -> Result<bool> {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
    let stands: String =
        conn.query_row(sql, [table], |row| row.get(0)).loading("read the table's definition")?;
    let plain: Vec<String> =
        now.iter().map(|c| format!("{} {}", quote(&c.name), c.declared).trim_end().to_owned()).collect();
    let squeeze = |t: &str| t.chars().filter(|c| !c.is_whitespace() && *c != '"').collect::<String>();
    let plain = format!("CREATE TABLE {} ({})", table, plain.join(", "));
    Ok(squeeze(&stands).eq_ignore_ascii_case(&squeeze(&plain)))
}

/// A table that somebody else made may say more about its columns than Waybill can write down again.
fn refuse_constraints(
    conn: &Connection,
    stream: &str,
    table: &str,
    now: &[Column],
    targets: &[Target],
) -> Result<()> {
    if is_plain(conn, table, now)? {
        return Ok(());
    }
    let columns: Vec<&str> = targets.iter().map(|t| t.column.as_str()).collect();
    Err(Error::new(
        Kind::Schema,
        format!(
            "stream {stream}: table {table} has constraints of its own, so Waybill does not rewrite it to widen {}",
            columns.join(", ")
        ),
    )
    .origin(Origin::Destination)
    .hint("change the columns' types yourself, or load into another `table`"))
}

fn copy(
    conn: &Connection,
    stream: &str,
    table: &str,
    fresh: &str,
    targets: &[Option<&Target>],
) -> Result<()> {
    let places = vec!["?"; targets.len()].join(", ");
    let doing = "copy the rows";
    let mut insert =
        conn.prepare(&format!("INSERT INTO {} VALUES ({places})", quote(fresh))).loading(doing)?;
    let mut select = conn.prepare(&format!("SELECT * FROM {}", quote(table))).loading(doing)?;
    let mut rows = select.query([]).loading(doing)?;
    while let Some(row) = rows.next().loading(doing)? {
        let mut values = Vec::with_capacity(targets.len());
        for (at, target) in targets.iter().enumerate() {
            let value = row.get_ref(at).loading(doing)?;
            values.push(match target {
                None => owned(value),
                Some(target) => convert(value, target).ok_or_else(|| {
                    Error::data(format!(
                        "stream {stream}: column {} of table {table} holds a value that is no {}",
                        target.column, target.logical
                    ))
                    .origin(Origin::Destination)
                    .hint("correct the value in the table, or reset the stream")
                })?,
            });
        }
        insert.execute(params_from_iter(values)).loading(doing)?;
    }
    Ok(())
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Integer(i),
        ValueRef::Real(r) => Value::Real(r),
        // Text that is no UTF-8 stays the bytes that it is.
        ValueRef::Text(t) => match std::str::from_utf8(t) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(t.to_vec()),
        },
        ValueRef::Blob(b) => Value::Blob(b.to_vec()),
    }
}

/// A stored value in the form that the wider type is stored in.
fn convert(value: ValueRef<'_>, target: &Target) -> Option<Value> {
    if value == ValueRef::Null {
        return Some(Value::Null);
    }
    let digits = || {
        // A decimal keeps the scale that it was declared with.
        match target.was {
            Some(Logical::Decimal { .. }) => decode::as_text(value, target.was),
            _ => decode::numeric(value),
        }
    };
    match target.logical {
        Logical::Float32 | Logical::Float64 => match decode::float(value)? {
            nan if nan.is_nan() => Some(Value::Text("NaN".into())),
            number => Some(Value::Real(number)),
        },
        Logical::Decimal { precision, scale } if precision > NUMBER_DIGITS => {
            let mut text = decode::unscaled(value, precision, scale)?.to_string();
            point(&mut text, scale);
            Some(Value::Text(text))
        }
        Logical::Numeric => digits().map(|text| Value::Text(text.into_owned())),
        Logical::Text | Logical::Json | Logical::Uuid => {
            decode::as_text(value, target.was).map(|text| Value::Text(text.into_owned()))
        }
        _ => Some(owned(value)),
    }
}

/// Views, and tables with foreign keys, that speak of a table.
pub(crate) fn dependents(conn: &Connection, table: &str) -> Result<Vec<String>> {
    let doing = format!("look what depends on table {table}");
    let sql =
        "SELECT type, name, sql, tbl_name FROM sqlite_schema WHERE type IN ('view', 'table', 'trigger')";
    let mut statement = conn.prepare(sql).loading(&doing)?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, Option<String>>(2)?,
            row.get(3)?,
        ))
    });
    let mut found = Vec::new();
    for row in rows.loading(&doing)? {
        let (kind, name, sql, of): (String, String, Option<String>, String) = row.loading(&doing)?;
        if is_internal(&name) || super::identifier::same(&of, table) {
            continue;
        }
        let sql = sql.unwrap_or_default();
        let speaks = match kind.as_str() {
            "table" => references(conn, &name, table).loading(&doing)?,
            _ => mentions(&sql, table),
        };
        if speaks {
            found.push(format!("{kind} {name}"));
        }
    }
    Ok(found)
}

fn references(conn: &Connection, from: &str, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_foreign_key_list(?1) WHERE \"table\" = ?2 COLLATE NOCASE)";
    conn.query_row(sql, [from, table], |row| row.get(0))
}

/// Whether a statement has the name as a word of its own.
fn mentions(sql: &str, name: &str) -> bool {
    let (sql, name) = (sql.to_lowercase(), name.to_lowercase());
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
    sql.match_indices(&name).any(|(at, _)| {
        let before = sql.get(..at).and_then(|head| head.chars().next_back());
        let after = sql.get(at + name.len()..).and_then(|tail| tail.chars().next());
        !part(before) && !part(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_word() {
        assert!(mentions("CREATE VIEW v AS SELECT * FROM \"Orders\"", "orders"));
        assert!(!mentions("CREATE VIEW v AS SELECT * FROM orders_old", "orders"));
        assert!(!mentions("", "orders"));
    }
}
