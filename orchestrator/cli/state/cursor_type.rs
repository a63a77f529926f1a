//! The type of a stream's cursor, and whether a value that a person gives is of it.

use serde_json::Value;
use waybill_protocol::{CursorValue, Error, Logical, Result, StateRow, StreamState};

/// Where the type is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The destination's state holds a cursor of it.
    FromState,
    /// The source has a column of it.
    FromSource,
}

/// The type of the cursor that a state holds.
pub(super) fn of_row(row: &StateRow) -> Option<Logical> {
    let state = StreamState::from_value(&row.value).ok()?;
    state.floor.as_ref().or(state.ceiling.as_ref()).map(of_value)
}

/// The type that a cursor's value is read back as.
pub(super) fn of_value(value: &CursorValue) -> Logical {
    match value {
        CursorValue::Int(_) => Logical::Int64,
        CursorValue::Decimal(_) => Logical::Numeric,
        CursorValue::Text(_) => Logical::Text,
        CursorValue::Uuid(_) => Logical::Uuid,
        CursorValue::Date(_) => Logical::Date,
        CursorValue::Timestamp(_) => Logical::Timestamp,
        CursorValue::TimestampTz(_) => Logical::TimestampTz,
    }
}

/// The name that cursors of a type have in documents.
pub(super) fn name(logical: Logical) -> Option<&'static str> {
    Some(match logical {
        Logical::Int16 | Logical::Int32 | Logical::Int64 => "int",
        Logical::Decimal { .. } | Logical::Numeric => "decimal",
        Logical::Text => "text",
        Logical::Uuid => "uuid",
        Logical::Date => "date",
        Logical::Timestamp => "timestamp",
        Logical::TimestampTz => "timestamp_tz",
        _ => return None,
    })
}

/// A right value of a type, as a person writes it.
pub(super) fn example(logical: Logical) -> &'static str {
    match logical {
        Logical::Int16 | Logical::Int32 | Logical::Int64 => "41200",
        Logical::Decimal { .. } | Logical::Numeric => "1250.50",
        Logical::Uuid => "0190a5c2-7b1e-7c3d-9f00-1a2b3c4d5e6f",
        Logical::Date => "2024-05-01",
        Logical::Timestamp => "2024-05-01T12:30:00",
        Logical::TimestampTz => "2024-05-01T12:30:00Z",
        _ => "abc",
    }
}

/// The value as the config holds it, in the one form of its type; refused where it is of another.
pub(super) fn check(value: &Value, logical: Logical, stream: &str, column: Option<&str>) -> Result<Value> {
    let whose = column.map_or_else(String::new, |column| format!(" {column:?}"));
    match CursorValue::parse(value, logical) {
        Ok(parsed) => Ok(parsed.plain()),
        Err(error) => {
            Err(Error::config(format!("stream {stream}: {}, the type of its cursor{whose}", error.message()))
                .stream(stream)
                .hint(format!("a right value looks like {}", example(logical))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn examples_are_values_of_their_type() {
        use Logical::*;
        for logical in [
            Int16,
            Int64,
            Decimal { precision: 9, scale: 2 },
            Numeric,
            Text,
            Uuid,
            Date,
            Timestamp,
            TimestampTz,
        ] {
            let parsed = CursorValue::parse(&json!(example(logical)), logical).unwrap();
            assert_eq!(name(of_value(&parsed)), name(logical), "{logical}");
            assert_eq!(Some(parsed.type_name()), name(logical));
        }
    }

    #[test]
    fn a_wrong_value_gets_a_right_one_to_look_at() {
        let error = check(&json!("yesterday"), Logical::TimestampTz, "orders", Some("at")).unwrap_err();
        assert_eq!(
            error.message(),
            "stream orders: \"yesterday\" is no value of type timestamptz, the type of its cursor \"at\""
        );
        assert_eq!(error.get_hint(), Some("a right value looks like 2024-05-01T12:30:00Z"));
        assert_eq!(check(&json!("7"), Logical::Int32, "s", None).unwrap(), json!(7));
        assert_eq!(
            check(&json!("2024-05-01"), Logical::TimestampTz, "s", None).unwrap(),
            json!("2024-05-01T00:00:00Z")
        );
    }
}
