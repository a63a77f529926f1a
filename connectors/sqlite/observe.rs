//! What a column's values are, beside what its declaration promises.

use rusqlite::types::ValueRef;
use waybill_protocol::Logical;

use super::affinity::declared;
use super::builder::{Column, Misfit};
use super::decode;

/// Why a value does not fit a type, and what would hold both.
pub(crate) fn misfit(logical: Logical, value: ValueRef<'_>) -> Misfit {
    let (own, found) = match value {
        ValueRef::Null => (logical, "NULL"),
        ValueRef::Integer(_) => (Logical::Int64, "a whole number"),
        ValueRef::Real(_) => (Logical::Float64, "a number with decimals"),
        ValueRef::Text(t) if std::str::from_utf8(t).is_err() => (logical, "text that is not UTF-8"),
        ValueRef::Text(_) => (Logical::Text, "text"),
        ValueRef::Blob(_) => (Logical::Bytes, "bytes"),
    };
    let wider = match (logical, value) {
        (Logical::Bool, ValueRef::Integer(_)) => Logical::Int64,
        (Logical::Decimal { .. }, _) if decode::plain(value).is_some() => match decode::shape(value) {
            Some((precision, scale)) => logical.widen(Logical::Decimal { precision, scale }),
            None => Logical::Numeric,
        },
        (Logical::Float32 | Logical::Float64, ValueRef::Integer(_)) => Logical::Numeric,
        _ => logical.widen(own),
    };
    // What its own type cannot hold any more only text can.
    let wider = if wider == logical && found != "text that is not UTF-8" { Logical::Text } else { wider };
    Misfit { wider, found }
}

/// The types that a column may turn out to have, most telling first. The last holds everything.
pub(crate) fn candidates(recorded: Option<Logical>, declaration: &str) -> Vec<Logical> {
    use Logical::*;
    let promised = declared(declaration);
    let mut out: Vec<Logical> = recorded.into_iter().collect();
    let rest: &[Logical] = match promised {
        Some(Date) => &[Date, Timestamp, TimestampTz, Int64, Float64, Numeric, Bytes, Text],
        Some(Timestamp) => &[Timestamp, TimestampTz, Date, Int64, Float64, Numeric, Bytes, Text],
        Some(TimestampTz) => &[TimestampTz, Timestamp, Date, Int64, Float64, Numeric, Bytes, Text],
        Some(Text) => &[Bytes, Text],
        Some(Bytes) => &[Bytes, Int64, Float64, Numeric, Text],
        Some(first @ (Uuid | Json | Interval | Time)) => {
            out.push(first);
            &[Bytes, Int64, Float64, Numeric, Text]
        }
        Some(first) => {
            out.push(first);
            &[Int64, Float64, Numeric, Bytes, Text]
        }
        None => &[Int64, Float64, Numeric, Bytes, Text],
    };
    out.extend(rest);
    out
}

/// Watches the values of one column.
pub(crate) struct Watch {
    /// What a column without values is.
    empty: Logical,
    open: Vec<Column>,
    seen: bool,
}

impl Watch {
    /// A watch over a column.
    pub(crate) fn new(recorded: Option<Logical>, declaration: &str) -> Watch {
        let empty = recorded.or_else(|| declared(declaration)).unwrap_or(Logical::Text);
        let open = candidates(recorded, declaration).into_iter().map(Column::new).collect();
        Watch { empty, open, seen: false }
    }

    /// Takes one value; types that cannot hold it are out.
    pub(crate) fn see(&mut self, value: ValueRef<'_>) {
        if value != ValueRef::Null {
            self.seen = true;
            self.open.retain_mut(|column| column.push(value).is_ok());
        }
    }

    /// Forgets the values, not what they said.
    pub(crate) fn forget(&mut self) {
        self.open.iter_mut().for_each(|column| drop(column.finish()));
    }

    /// The column's type.
    pub(crate) fn logical(&self) -> Logical {
        match self.open.first() {
            Some(column) if self.seen => column.logical,
            Some(_) => self.empty,
            // Text that is not UTF-8 fits nothing: reading says so, row by row.
            None => Logical::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(declaration: &str, values: &[ValueRef<'_>]) -> Logical {
        let mut watch = Watch::new(None, declaration);
        values.iter().for_each(|v| watch.see(*v));
        watch.logical()
    }

    #[test]
    fn values_decide_where_the_declaration_does_not_hold() {
        use Logical::*;
        let text = |t: &'static str| ValueRef::Text(t.as_bytes());
        assert_eq!(of("DATETIME", &[text("2024-05-01 10:00:00")]), Timestamp);
        assert_eq!(of("DATETIME", &[text("2024-05-01T10:00:00Z")]), TimestampTz);
        assert_eq!(of("DATETIME", &[text("2024-05-01")]), Date);
        assert_eq!(of("DATETIME", &[text("2024-05-01"), text("2024-05-01 10:00:00")]), Text);
        assert_eq!(of("DATETIME", &[ValueRef::Integer(1_714_521_600)]), Int64);
        assert_eq!(of("DATETIME", &[]), Timestamp);
        assert_eq!(of("BOOLEAN", &[ValueRef::Integer(1), ValueRef::Null]), Bool);
        assert_eq!(of("BOOLEAN", &[ValueRef::Integer(2)]), Int64);
        assert_eq!(of("", &[ValueRef::Integer(2), ValueRef::Real(0.5)]), Float64);
        assert_eq!(of("", &[]), Text);
        assert_eq!(of("INTEGER", &[text("x")]), Text);
        assert_eq!(of("TEXT", &[ValueRef::Blob(b"x")]), Bytes);
        assert_eq!(of("DECIMAL(5,2)", &[ValueRef::Real(1.25)]), Decimal { precision: 5, scale: 2 });
        assert_eq!(of("DECIMAL(5,2)", &[ValueRef::Real(1.255)]), Float64);
    }
}
