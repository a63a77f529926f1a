//! Cursor values out of batches.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use waybill_protocol::{CursorValue, Error, Logical, Result};

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
}
