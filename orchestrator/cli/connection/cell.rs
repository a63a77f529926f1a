//! A value as people and programs read it: exact, whatever its type.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use waybill_protocol::{Logical, calendar};

/// The value of a row as plain text; `None` for NULL.
pub(crate) fn plain(array: &ArrayRef, logical: Logical, row: usize) -> Option<String> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    Some(match logical {
        Logical::Bool => array.as_boolean().value(row).to_string(),
        Logical::Int16 => primitive::<Int16Type>(array, row).to_string(),
        Logical::Int32 => primitive::<Int32Type>(array, row).to_string(),
        Logical::Int64 => primitive::<Int64Type>(array, row).to_string(),
        Logical::Float32 => {
            let value = primitive::<Float32Type>(array, row);
            float(f64::from(value), || serde_json::to_string(&value))
        }
        Logical::Float64 => {
            let value = primitive::<Float64Type>(array, row);
            float(value, || serde_json::to_string(&value))
        }
        Logical::Decimal { precision, scale } if precision <= 38 => {
            Decimal128Type::format_decimal(primitive::<Decimal128Type>(array, row), precision, scale)
        }
        Logical::Decimal { precision, scale } => {
            Decimal256Type::format_decimal(primitive::<Decimal256Type>(array, row), precision, scale)
        }
        Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => {
            array.as_string::<i32>().value(row).to_owned()
        }
        Logical::Bytes => hex(array.as_binary::<i32>().value(row)),
        Logical::Date => calendar::format_date(primitive::<Date32Type>(array, row)),
        Logical::Time => calendar::format_time(primitive::<Time64MicrosecondType>(array, row)),
        Logical::Timestamp => {
            calendar::format_timestamp(primitive::<TimestampMicrosecondType>(array, row), false, 'T')
        }
        Logical::TimestampTz => {
            calendar::format_timestamp(primitive::<TimestampMicrosecondType>(array, row), true, 'T')
        }
        Logical::Interval => interval(primitive::<IntervalMonthDayNanoType>(array, row)),
    })
}

/// The value of a row as JSON on one line. What a JSON number cannot hold everywhere (decimals,
/// NaN) is a text; a document stands as itself, with its digits as they were.
pub(crate) fn json(array: &ArrayRef, logical: Logical, row: usize) -> String {
    let Some(text) = plain(array, logical, row) else { return "null".to_owned() };
    match logical {
        Logical::Bool | Logical::Int16 | Logical::Int32 | Logical::Int64 => text,
        Logical::Float32 | Logical::Float64 if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            if text == "-Infinity" {
                quoted(&text)
            } else {
                text
            }
        }
        // Line ends in a document stand between its parts only: inside a text they are escaped.
        Logical::Json if serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() => {
            text.replace(['\n', '\r'], " ")
        }
        _ => quoted(&text),
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text for the screen: control characters escaped, an empty text shown as two quotes.
pub(crate) fn shown(text: &str) -> String {
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn float(value: f64, shortest: impl Fn() -> serde_json::Result<String>) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value => shortest().unwrap_or_else(|_| value.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 + bytes.len() * 2);
    out.push_str("\\x");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out
}

/// ISO 8601, each part with a sign of its own: `P1Y2M-3DT4H0.5S`, as SQLite's tables hold it.
fn interval(value: IntervalMonthDayNano) -> String {
    let IntervalMonthDayNano { months, days, nanoseconds } = value;
    let mut out = String::from("P");
    let put = |value: i64, unit: char, out: &mut String| {
        if value != 0 {
            out.push_str(&format!("{value}{unit}"));
        }
    };
    put(i64::from(months / 12), 'Y', &mut out);
    put(i64::from(months % 12), 'M', &mut out);
    put(i64::from(days), 'D', &mut out);
    if nanoseconds == 0 && out.len() > 1 {
        return out;
    }
    out.push('T');
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    put(seconds / 3600, 'H', &mut out);
    put(seconds / 60 % 60, 'M', &mut out);
    if rest != 0 {
        let sign = if nanoseconds < 0 { "-" } else { "" };
        let fraction = format!("{:09}", rest.abs());
        out.push_str(&format!("{sign}{}.{}S", (seconds % 60).abs(), fraction.trim_end_matches('0')));
    } else if seconds % 60 != 0 || nanoseconds == 0 {
        out.push_str(&format!("{}S", seconds % 60));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
        IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    fn both(array: impl Array + 'static, logical: Logical) -> Vec<(Option<String>, String)> {
        let array: ArrayRef = Arc::new(array);
        (0..array.len()).map(|row| (plain(&array, logical, row), json(&array, logical, row))).collect()
    }

    fn texts(array: impl Array + 'static, logical: Logical) -> Vec<String> {
        both(array, logical)
            .into_iter()
            .map(|(plain, json)| format!("{} {json}", plain.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn values_are_exact_in_both_forms() {
        assert_eq!(
            both(Int64Array::from(vec![Some(i64::MIN), None]), Logical::Int64),
            [(Some("-9223372036854775808".into()), "-9223372036854775808".into()), (None, "null".into())]
        );
        let floats = Float64Array::from(vec![0.1, 1e300, f64::NAN, f64::NEG_INFINITY, -0.0]);
        assert_eq!(
            texts(floats, Logical::Float64),
            ["0.1 0.1", "1e+300 1e+300", "NaN \"NaN\"", "-Infinity \"-Infinity\"", "-0.0 -0.0"]
        );
        assert_eq!(texts(Float32Array::from(vec![0.1f32]), Logical::Float32), ["0.1 0.1"]);
        let decimals = Decimal128Array::from(vec![-1250, 5]).with_precision_and_scale(12, 3).unwrap();
        assert_eq!(
            texts(decimals, Logical::Decimal { precision: 12, scale: 3 }),
            ["-1.250 \"-1.250\"", "0.005 \"0.005\""]
        );
        let bytes = BinaryArray::from(vec![&[0u8, 255, 16][..]]);
        assert_eq!(texts(bytes, Logical::Bytes), ["\\x00ff10 \"\\\\x00ff10\""]);
        let moments = TimestampMicrosecondArray::from(vec![-1, i64::MAX]);
        assert_eq!(
            texts(moments.with_timezone("UTC"), Logical::TimestampTz),
            ["1969-12-31T23:59:59.999999Z \"1969-12-31T23:59:59.999999Z\"", "infinity \"infinity\""]
        );
        assert_eq!(texts(BooleanArray::from(vec![true]), Logical::Bool), ["true true"]);
        let spans = [(14, -3, 1_500_000_000), (0, 0, 0), (0, 1, -1), (0, 0, -14_460_000_000_000)];
        let spans: Vec<_> = spans.iter().map(|(m, d, n)| IntervalMonthDayNano::new(*m, *d, *n)).collect();
        let spans = both(IntervalMonthDayNanoArray::from(spans), Logical::Interval);
        let spans: Vec<String> = spans.into_iter().filter_map(|(plain, _)| plain).collect();
        assert_eq!(spans, ["P1Y2M-3DT1.5S", "PT0S", "P1DT-0.000000001S", "PT-4H-1M"]);
    }

    #[test]
    fn documents_keep_their_digits_and_stay_on_one_line() {
        let documents = StringArray::from(vec!["{\"a\":\n 1.10}", "{broken", "12345678901234567890.10"]);
        let json: Vec<String> = both(documents, Logical::Json).into_iter().map(|(_, json)| json).collect();
        assert_eq!(json, ["{\"a\":  1.10}", "\"{broken\"", "12345678901234567890.10"]);
    }

    #[test]
    fn a_text_cannot_drive_the_screen() {
        assert_eq!(shown("a\u{1b}[2J\n\té\u{9b}"), "a\\u{1b}[2J\\n\\té\\u{9b}");
        assert_eq!(shown(""), "\"\"");
    }
}
