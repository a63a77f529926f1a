//! Where a value stands in its column's order, as a number of 128 bits (pure).
//!
//! The order is kept, not every difference: two texts with the same first 16 bytes share a place.
//! Nothing depends on that but how finely windows are cut.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, DecimalType, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use waybill_protocol::{CursorValue, Logical, calendar};

/// The place of each value of a column, `None` for NULL; nothing at all for types without order.
pub fn places(array: &ArrayRef, logical: Logical) -> Option<Vec<Option<u128>>> {
    macro_rules! each {
        ($array:expr, $value:ident => $place:expr) => {{
            let typed = $array;
            (0..typed.len())
                .map(|at| typed.is_valid(at).then(|| typed.value(at)).map(|$value| $place))
                .collect()
        }};
    }
    Some(match logical {
        Logical::Int16 => each!(array.as_primitive::<Int16Type>(), v => signed(v.into())),
        Logical::Int32 => each!(array.as_primitive::<Int32Type>(), v => signed(v.into())),
        Logical::Int64 => each!(array.as_primitive::<Int64Type>(), v => signed(v.into())),
        Logical::Date => each!(array.as_primitive::<Date32Type>(), v => signed(v.into())),
        Logical::Timestamp | Logical::TimestampTz => {
            each!(array.as_primitive::<TimestampMicrosecondType>(), v => signed(v.into()))
        }
        Logical::Decimal { precision, .. } if precision <= 38 => {
            each!(array.as_primitive::<Decimal128Type>(), v => signed(v))
        }
        Logical::Uuid => each!(array.as_string::<i32>(), v => match uuid::Uuid::try_parse(v) {
            Ok(uuid) => uuid.as_u128(),
            Err(_) => text(v),
        }),
        Logical::Text => each!(array.as_string::<i32>(), v => text(v)),
        _ => return None,
    })
}

/// The place of a cursor's value; `None` where only its system knows the order, or keeps more digits.
pub fn of_cursor(value: &CursorValue) -> Option<u128> {
    Some(match value {
        CursorValue::Int(v) | CursorValue::Timestamp(v) | CursorValue::TimestampTz(v) => signed((*v).into()),
        CursorValue::Date(v) => signed((*v).into()),
        CursorValue::Uuid(v) => uuid::Uuid::try_parse(v).ok()?.as_u128(),
        CursorValue::Decimal(_) | CursorValue::Text(_) => return None,
    })
}

/// A signed number as an unsigned one in the same order.
fn signed(value: i128) -> u128 {
    value.cast_unsigned() ^ (1 << 127)
}

fn text(value: &str) -> u128 {
    let mut first = [0u8; 16];
    for (to, from) in first.iter_mut().zip(value.as_bytes()) {
        *to = *from;
    }
    u128::from_be_bytes(first)
}

/// The value at a place, as people read it.
pub fn label(place: u128, logical: Logical) -> String {
    let number = (place ^ (1 << 127)).cast_signed();
    let narrow = i64::try_from(number).unwrap_or_default();
    match logical {
        Logical::Date => calendar::format_date(i32::try_from(number).unwrap_or_default()),
        Logical::Timestamp => calendar::format_timestamp(narrow, false, 'T'),
        Logical::TimestampTz => calendar::format_timestamp(narrow, true, 'T'),
        Logical::Decimal { precision, scale } => {
            Decimal128Type::format_decimal(number, precision.min(38), scale)
        }
        Logical::Uuid => uuid::Uuid::from_u128(place).to_string(),
        Logical::Text => {
            let bytes = place.to_be_bytes();
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let shown = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
            let cut = if end == 16 { "…" } else { "" };
            format!("{}{cut}", shown.trim_end_matches('\u{fffd}'))
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn ordered(array: ArrayRef, logical: Logical) -> Vec<String> {
        let places: Vec<u128> = places(&array, logical).unwrap().into_iter().flatten().collect();
        assert!(places.is_sorted(), "{logical}: {places:?}");
        places.into_iter().map(|place| label(place, logical)).collect()
    }

    #[test]
    fn places_keep_the_order_and_read_back() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, 7, i64::MAX]));
        let labels = ordered(ints, Logical::Int64);
        assert_eq!(labels, ["-9223372036854775808", "-1", "0", "7", "9223372036854775807"]);
        let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN, -1, 0, 19_844]));
        assert_eq!(ordered(days, Logical::Date)[1..], ["1969-12-31", "1970-01-01", "2024-05-01"]);
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_714_521_600_123_456]));
        let labels = ordered(times, Logical::Timestamp);
        assert_eq!(labels, ["1969-12-31T23:59:59.999999", "2024-05-01T00:00:00.123456"]);
        let decimals = Decimal128Array::from(vec![-1050, 3]).with_precision_and_scale(10, 2).unwrap();
        let logical = Logical::Decimal { precision: 10, scale: 2 };
        assert_eq!(ordered(Arc::new(decimals), logical), ["-10.50", "0.03"]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["", "a", "a sixteen bytes long text", "b"]));
        assert_eq!(ordered(texts, Logical::Text), ["", "a", "a sixteen bytes …", "b"]);
        let one = "018f5c2e-0000-7000-8000-0000000000aa";
        let uuids: ArrayRef = Arc::new(StringArray::from(vec![one]));
        assert_eq!(ordered(uuids, Logical::Uuid), [one]);
        assert_eq!(of_cursor(&CursorValue::Int(7)), Some(signed(7)));
        assert_eq!(of_cursor(&CursorValue::Text("a".into())), None);
        let with_null: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        assert_eq!(places(&with_null, Logical::Int64).unwrap()[0], None);
        assert!(places(&with_null, Logical::Json).is_none());
    }
}
