//! Cursor values out of batches.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use waybill_protocol::calendar::DAY_US;
use waybill_protocol::{CursorValue, Error, Kind, Logical, Result};

/// The cursor of a row; `None` where it is NULL.
pub(super) fn cursor_at(array: &ArrayRef, logical: Logical, row: usize) -> Result<Option<CursorValue>> {
    if row >= array.len() || array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match logical {
        Logical::Int16 => CursorValue::Int(array.as_primitive::<Int16Type>().value(row).into()),
        Logical::Int32 => CursorValue::Int(array.as_primitive::<Int32Type>().value(row).into()),
        Logical::Int64 => CursorValue::Int(array.as_primitive::<Int64Type>().value(row)),
        Logical::Decimal { precision, scale } if precision <= 38 => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            CursorValue::Decimal(point(&value.to_string(), scale))
        }
        Logical::Decimal { scale, .. } => {
            let value = array.as_primitive::<Decimal256Type>().value(row);
            CursorValue::Decimal(point(&value.to_string(), scale))
        }
        Logical::Numeric => CursorValue::Decimal(array.as_string::<i32>().value(row).to_owned()),
        Logical::Text => CursorValue::Text(array.as_string::<i32>().value(row).to_owned()),
        Logical::Uuid => CursorValue::Uuid(array.as_string::<i32>().value(row).to_owned()),
        Logical::Date => CursorValue::Date(array.as_primitive::<Date32Type>().value(row)),
        Logical::Timestamp => {
            CursorValue::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        Logical::TimestampTz => {
            CursorValue::TimestampTz(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        other => return Err(Error::config(format!("a column of type {other} has no order to read by"))),
    }))
}

/// An unscaled number with its point.
fn point(digits: &str, scale: i8) -> String {
    let Ok(scale @ 1..) = usize::try_from(scale) else { return digits.to_owned() };
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// How far the end of a stream may be trusted: a moment before the source's clock, for cursors
/// that are times; `None` for others. A transaction's `now()` is fixed before it can be seen, and
/// rows may be stamped in the future.
pub(super) fn clock_bound(logical: Logical, clock_us: i64, top: &CursorValue) -> Result<Option<CursorValue>> {
    let us = clock_us.saturating_sub(5_000_000);
    Ok(match (logical, top) {
        (Logical::Timestamp, _) => Some(CursorValue::Timestamp(us)),
        (Logical::TimestampTz, _) => Some(CursorValue::TimestampTz(us)),
        (Logical::Date, _) => {
            let days = i32::try_from(us.div_euclid(DAY_US)).unwrap_or(i32::MAX - 1);
            Some(CursorValue::Date(days))
        }
        (Logical::Uuid, CursorValue::Uuid(text)) => {
            let parsed: uuid::Uuid = text.parse().map_err(|e| Error::internal("no UUID").cause(e))?;
            if parsed.get_version_num() != 7 {
                return Err(Error::config(
                    "the cursor holds UUIDs that are not of version 7: new rows may get lower ones",
                )
                .hint("choose another cursor, or full_refresh"));
            }
            let ms = u64::try_from(us / 1000).unwrap_or(0);
            Some(CursorValue::Uuid(uuid_at(ms).to_string()))
        }
        (Logical::Decimal { .. } | Logical::Numeric, CursorValue::Decimal(text))
            if text.ends_with("NaN") || text.ends_with("Infinity") =>
        {
            return Err(Error::new(
                Kind::Data,
                format!("the cursor column holds {text}, above which nothing is new"),
            )
            .hint("correct that row, or leave it out with `where`"));
        }
        _ => None,
    })
}

/// The lowest UUID of version 7 of a millisecond.
fn uuid_at(ms: u64) -> uuid::Uuid {
    let mut bytes = [0u8; 16];
    let [_, _, time @ ..] = ms.to_be_bytes();
    if let Some(head) = bytes.first_chunk_mut::<6>() {
        *head = time;
    }
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    uuid::Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_get_their_point() {
        for (digits, scale, expected) in
            [("5", 2, "0.05"), ("-5", 2, "-0.05"), ("1234", 2, "12.34"), ("7", 0, "7"), ("0", 1, "0.0")]
        {
            assert_eq!(point(digits, scale), expected);
        }
    }

    #[test]
    fn uuids_are_bounded_by_their_time_and_random_ones_refused() {
        let now = 1_700_000_000_000_000;
        let seven = CursorValue::Uuid("018bcfe5-6800-7abc-8def-0123456789ab".into());
        let bound = clock_bound(Logical::Uuid, now, &seven).unwrap().unwrap();
        assert_eq!(bound.order(&seven), Some(std::cmp::Ordering::Less));
        assert_eq!(bound.to_string(), "018bcfe5-5478-7000-8000-000000000000");
        let four = CursorValue::Uuid("f47ac10b-58cc-4372-a567-0e02b2c3d479".into());
        assert_eq!(clock_bound(Logical::Uuid, now, &four).unwrap_err().kind(), Kind::Config);
        let nan = CursorValue::Decimal("NaN".into());
        assert_eq!(clock_bound(Logical::Numeric, now, &nan).unwrap_err().kind(), Kind::Data);
    }
}
