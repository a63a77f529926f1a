//! Declared types: what a column of a [`Logical`] type is declared as, and what a declared type means.
//!
//! SQLite holds what it is given and a declared type gives only an affinity. Dates and times are
//! ISO text, which no affinity changes, in one form that sorts as text the way it sorts in time:
//! instants end in `+00:00`, because a `Z` would put `12:00:00Z` behind `12:00:00.5Z`.

use arrow_schema::Field;
use waybill_protocol::column::shown_as_text;
use waybill_protocol::{Fidelity, Logical, Verdict};

/// Digits of a decimal that a double keeps.
pub(crate) const NUMBER_DIGITS: u8 = 15;

/// The type that a column is declared as.
pub(crate) fn native(logical: Logical) -> String {
    match logical {
        Logical::Decimal { precision, scale } if precision <= NUMBER_DIGITS => {
            return format!("DECIMAL({precision},{scale})");
        }
        Logical::Bool => "BOOLEAN",
        Logical::Int16 | Logical::Int32 | Logical::Int64 => "INTEGER",
        Logical::Float32 | Logical::Float64 => "REAL",
        Logical::Date => "DATE",
        Logical::Time => "TIME",
        Logical::Timestamp => "TIMESTAMP",
        Logical::TimestampTz => "TIMESTAMPTZ",
        Logical::Bytes => "BLOB",
        Logical::Decimal { .. }
        | Logical::Numeric
        | Logical::Text
        | Logical::Json
        | Logical::Uuid
        | Logical::Interval => "TEXT",
    }
    .to_owned()
}

/// How well SQLite holds a column.
pub(crate) fn verdict(field: &Field) -> Verdict {
    let logical = match Logical::of(field) {
        Ok(logical) => logical,
        Err(error) => {
            return Verdict {
                fidelity: Fidelity::Lossy,
                native: "BLOB".into(),
                note: error.message().to_owned(),
            };
        }
    };
    let note = match logical {
        Logical::Float32 | Logical::Float64 => {
            "NaN is held as the text NaN, and minus zero as zero (each counted)"
        }
        Logical::Decimal { precision, .. } if precision > NUMBER_DIGITS => {
            "held as text: a number of more than 15 digits would be rounded"
        }
        Logical::Numeric => "held as text: a number without a limit would be rounded",
        Logical::Json => "held as text",
        Logical::Uuid => "held as text",
        Logical::Date => "held as ISO text, YYYY-MM-DD",
        Logical::Time => "held as ISO text, HH:MM:SS",
        Logical::Timestamp => "held as ISO text, YYYY-MM-DD HH:MM:SS",
        Logical::TimestampTz => "held as ISO text in UTC, YYYY-MM-DD HH:MM:SS+00:00",
        Logical::Interval => "held as ISO text, such as P1Y2M3DT4H5M6S",
        _ => "",
    };
    if let (Logical::Text, Some(shown)) = (logical, shown_as_text(field)) {
        let note = format!("{shown} is kept as its text");
        return Verdict { fidelity: Fidelity::Widened, native: native(logical), note };
    }
    let fidelity = if note.is_empty() { Fidelity::Exact } else { Fidelity::Widened };
    Verdict { fidelity, native: native(logical), note: note.to_owned() }
}

/// What SQLite makes of a declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// Whole numbers, and numbers that look whole.
    Integer,
    /// Text.
    Text,
    /// As it comes.
    Blob,
    /// Doubles.
    Real,
    /// Numbers where the text looks like one.
    Numeric,
}

/// SQLite's own rules, in their order.
pub(crate) fn affinity(declared: &str) -> Affinity {
    let upper = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| upper.contains(word));
    if has(&["INT"]) {
        Affinity::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if upper.is_empty() || has(&["BLOB"]) {
        Affinity::Blob
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// Whether a column declared like that keeps every value of a type as [`bind`](super::bind) stores it.
pub(crate) fn keeps(declared: &str, logical: Logical) -> bool {
    let affinity = affinity(declared);
    match logical {
        // Text that no affinity takes for a number, and blobs, which none touches.
        Logical::Date
        | Logical::Time
        | Logical::Timestamp
        | Logical::TimestampTz
        | Logical::Uuid
        | Logical::Interval
        | Logical::Bytes => true,
        Logical::Bool | Logical::Int16 | Logical::Int32 | Logical::Int64 => {
            matches!(affinity, Affinity::Integer | Affinity::Numeric | Affinity::Blob)
        }
        Logical::Float32 | Logical::Float64 => matches!(affinity, Affinity::Real | Affinity::Blob),
        Logical::Decimal { precision, .. } if precision <= NUMBER_DIGITS => {
            matches!(affinity, Affinity::Numeric | Affinity::Integer)
        }
        Logical::Decimal { .. } | Logical::Numeric | Logical::Text | Logical::Json => {
            matches!(affinity, Affinity::Text | Affinity::Blob)
        }
    }
}

/// What a declared type promises; `None` where it promises nothing.
pub(crate) fn declared(text: &str) -> Option<Logical> {
    let upper = text.trim().to_ascii_uppercase();
    let (word, arguments) = match upper.split_once('(') {
        Some((word, rest)) => (word.trim(), rest.split(')').next().unwrap_or("")),
        None => (upper.as_str(), ""),
    };
    Some(match word {
        "" | "ANY" => return None,
        "BOOL" | "BOOLEAN" => Logical::Bool,
        "DATE" => Logical::Date,
        "TIME" => Logical::Time,
        "DATETIME" | "TIMESTAMP" => Logical::Timestamp,
        "TIMESTAMPTZ" | "DATETIMETZ" | "TIMESTAMP WITH TIME ZONE" => Logical::TimestampTz,
        "TIMESTAMP WITHOUT TIME ZONE" => Logical::Timestamp,
        "UUID" | "GUID" | "UNIQUEIDENTIFIER" => Logical::Uuid,
        "JSON" | "JSONB" => Logical::Json,
        "INTERVAL" => Logical::Interval,
        "BYTEA" | "BINARY" | "VARBINARY" => Logical::Bytes,
        "DECIMAL" | "NUMERIC" | "NUMBER" | "DEC" => decimal(arguments)?,
        _ => match affinity(word) {
            Affinity::Integer => Logical::Int64,
            Affinity::Text => Logical::Text,
            Affinity::Blob => Logical::Bytes,
            Affinity::Real => Logical::Float64,
            Affinity::Numeric => return None,
        },
    })
}

fn decimal(arguments: &str) -> Option<Logical> {
    let mut parts = arguments.split(',').map(str::trim);
    let precision: u8 = parts.next()?.parse().ok()?;
    let scale: i8 = match parts.next() {
        Some(scale) => scale.parse().ok()?,
        None => 0,
    };
    let fits = (1..=76).contains(&precision) && scale >= 0 && i16::from(scale) <= i16::from(precision);
    fits.then_some(Logical::Decimal { precision, scale })
}

/// Terms of an `ORDER BY`, each with its comma, that bring stored values of a type into their order,
/// NULLs first. Decimals held as text go by sign, length of the whole part, digits.
pub(crate) fn order_terms(column: &str, logical: Logical) -> String {
    match logical {
        Logical::Decimal { precision, .. } if precision <= NUMBER_DIGITS => format!("{column}, "),
        Logical::Decimal { .. } | Logical::Numeric => format!(
            "{column} IS NOT NULL, {column} NOT LIKE '-%', \
             (CASE WHEN {column} LIKE '-%' THEN -1 ELSE 1 END) * instr(ltrim({column}, '-') || '.', '.'), \
             CASE WHEN {column} LIKE '-%' THEN NULL ELSE {column} END, \
             CASE WHEN {column} LIKE '-%' THEN {column} END DESC, "
        ),
        _ => format!("{column}, "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_kept_by_the_column_that_is_made_for_it() {
        use Logical::*;
        for logical in [
            Bool,
            Int16,
            Int32,
            Int64,
            Float32,
            Float64,
            Numeric,
            Text,
            Json,
            Uuid,
            Bytes,
            Date,
            Time,
            Timestamp,
            TimestampTz,
            Interval,
            Decimal { precision: 15, scale: 2 },
            Decimal { precision: 16, scale: 2 },
        ] {
            assert!(keeps(&native(logical), logical), "{logical}");
        }
        assert!(!keeps("INTEGER", Text) && !keeps("REAL", Int64) && !keeps("DECIMAL(5,2)", Numeric));
    }

    #[test]
    fn declared_types_are_read_as_people_write_them() {
        use Logical::*;
        assert_eq!(declared("varchar(40)"), Some(Text));
        assert_eq!(declared("unsigned big int"), Some(Int64));
        assert_eq!(declared("decimal (12, 2)"), Some(Decimal { precision: 12, scale: 2 }));
        assert_eq!(declared("NUMERIC"), None);
        assert_eq!(declared("DECIMAL(2,9)"), None);
        assert_eq!(declared("double precision"), Some(Float64));
        assert_eq!(declared("datetime"), Some(Timestamp));
        assert_eq!(declared("INTERVAL"), Some(Interval));
        assert_eq!(declared("STRING"), None);
        assert_eq!(declared(""), None);
    }
}
