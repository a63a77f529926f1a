//! Single stored values as what a type says they are; `None` where they are not.

use std::borrow::Cow;

use arrow_buffer::i256;
use rusqlite::types::ValueRef;
use waybill_protocol::{Logical, calendar};

use super::affinity::NUMBER_DIGITS;
use super::bind::point;
use super::iso;

/// Whole numbers up to here are exact as doubles.
const EXACT: i64 = 1 << 53;

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn ascii(value: ValueRef<'_>) -> Option<&str> {
    text(value).filter(|t| t.is_ascii())
}

/// A whole number.
pub(crate) fn int(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(i) => Some(i),
        ValueRef::Real(r) if r.fract() == 0.0 && r.abs() <= EXACT as f64 => Some(r as i64),
        _ => None,
    }
}

/// A double.
pub(crate) fn float(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Real(r) => Some(r),
        ValueRef::Integer(i) if (-EXACT..=EXACT).contains(&i) => Some(i as f64),
        ValueRef::Text(b"NaN") => Some(f64::NAN),
        _ => None,
    }
}

/// A decimal's unscaled value.
pub(crate) fn unscaled(value: ValueRef<'_>, precision: u8, scale: i8) -> Option<i256> {
    let places = scale.unsigned_abs();
    match value {
        ValueRef::Real(r) if precision <= NUMBER_DIGITS => {
            let unit = 10_i64.pow(u32::from(places)) as f64;
            let scaled = (r * unit).round();
            let fits = scaled.abs() < 10_f64.powi(i32::from(precision)) && scaled / unit == r;
            fits.then(|| i256::from_i128(scaled as i128))
        }
        ValueRef::Integer(i) if precision <= NUMBER_DIGITS => {
            let scaled = i128::from(i).checked_mul(10_i128.pow(u32::from(places)))?;
            (scaled.unsigned_abs() < 10_u128.pow(u32::from(precision))).then(|| i256::from_i128(scaled))
        }
        _ => {
            let digits = plain(value)?;
            let (negative, body) = match digits.strip_prefix('-') {
                Some(body) => (true, body),
                None => (false, digits.as_ref()),
            };
            let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
            let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
            if fraction.len() > usize::from(places)
                || whole.len() + usize::from(places) > usize::from(precision)
            {
                return None;
            }
            let padded =
                format!("{}{whole}{fraction:0<1$}", if negative { "-" } else { "" }, usize::from(places));
            if matches!(padded.as_str(), "" | "-") { Some(i256::ZERO) } else { i256::from_string(&padded) }
        }
    }
}

/// A decimal of any length in plain digits; `None` for NaN, infinities and what is no number.
pub(crate) fn plain(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Integer(i) => Some(Cow::Owned(i.to_string())),
        ValueRef::Real(r) if r.is_finite() => Some(Cow::Owned(r.to_string())),
        _ => {
            let body = text(value)?;
            let unsigned = body.strip_prefix('-').unwrap_or(body);
            let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
            let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            (digits(whole) && digits(fraction)).then_some(Cow::Borrowed(body))
        }
    }
}

/// Digits in all and after the point of a decimal in plain digits.
pub(crate) fn shape(value: ValueRef<'_>) -> Option<(u8, i8)> {
    let digits = plain(value)?;
    let body = digits.trim_start_matches('-');
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let precision = u8::try_from(whole.len() + fraction.len()).ok().filter(|p| *p <= 76)?;
    Some((precision.max(1), i8::try_from(fraction.len()).ok()?))
}

/// A decimal of any length, NaN and the infinities included.
pub(crate) fn numeric(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Real(r) if r.is_infinite() => {
            Some(Cow::Borrowed(if r > 0.0 { "Infinity" } else { "-Infinity" }))
        }
        ValueRef::Text(b"NaN") => Some(Cow::Borrowed("NaN")),
        ValueRef::Text(b"Infinity") => Some(Cow::Borrowed("Infinity")),
        ValueRef::Text(b"-Infinity") => Some(Cow::Borrowed("-Infinity")),
        other => plain(other),
    }
}

/// Days since 1970-01-01.
pub(crate) fn date(value: ValueRef<'_>) -> Option<i32> {
    calendar::parse_date(ascii(value)?)
}

/// Microseconds of the day.
pub(crate) fn time(value: ValueRef<'_>) -> Option<i64> {
    calendar::parse_time(ascii(value)?)
}

/// Microseconds of a wall clock, or of an instant, which has to say its offset.
pub(crate) fn timestamp(value: ValueRef<'_>, instant: bool) -> Option<i64> {
    let (micros, offset) = calendar::parse_timestamp(ascii(value)?)?;
    match offset {
        _ if micros == i64::MAX || micros == i64::MIN => Some(micros),
        Some(seconds) if instant => micros.checked_sub(i64::from(seconds) * 1_000_000),
        None if !instant => Some(micros),
        _ => None,
    }
}

/// A UUID in its one text form.
pub(crate) fn uuid(value: ValueRef<'_>) -> Option<&str> {
    let body = text(value)?;
    let canonical = body.len() == 36
        && body.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        });
    canonical.then_some(body)
}

/// Months, days and nanoseconds.
pub(crate) fn interval(value: ValueRef<'_>) -> Option<(i32, i32, i64)> {
    iso::parse_interval(text(value)?)
}

/// A stored value of a column of type `was` as text; `None` for NULL and text that is not UTF-8.
pub(crate) fn as_text(value: ValueRef<'_>, was: Option<Logical>) -> Option<Cow<'_, str>> {
    match (value, was) {
        (ValueRef::Null, _) => None,
        (ValueRef::Text(bytes), _) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        (ValueRef::Blob(bytes), _) => {
            let mut out = String::with_capacity(2 + 2 * bytes.len());
            out.push_str("\\x");
            for byte in bytes {
                for nibble in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
            }
            Some(Cow::Owned(out))
        }
        (ValueRef::Integer(i @ (0 | 1)), Some(Logical::Bool)) => {
            Some(Cow::Borrowed(if i == 1 { "true" } else { "false" }))
        }
        (number, Some(Logical::Decimal { precision, scale })) if precision <= NUMBER_DIGITS => {
            match unscaled(number, precision, scale) {
                Some(value) => {
                    let mut digits = value.to_string();
                    point(&mut digits, scale);
                    Some(Cow::Owned(digits))
                }
                None => numeric(number),
            }
        }
        (ValueRef::Real(r), Some(Logical::Float32)) if r.is_finite() => {
            Some(Cow::Owned((r as f32).to_string()))
        }
        (number, _) => numeric(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_nothing() {
        let get = |v, p, s| unscaled(v, p, s).map(|v| v.to_string());
        assert_eq!(get(ValueRef::Real(12.5), 12, 2).as_deref(), Some("1250"));
        assert_eq!(get(ValueRef::Real(12.505), 12, 2), None);
        assert_eq!(get(ValueRef::Integer(1000), 5, 2), None);
        assert_eq!(get(ValueRef::Integer(999), 5, 2).as_deref(), Some("99900"));
        assert_eq!(get(ValueRef::Text(b"-0.50"), 40, 3).as_deref(), Some("-500"));
        assert_eq!(get(ValueRef::Text(b"0"), 1, 0).as_deref(), Some("0"));
        assert_eq!(get(ValueRef::Text(b"1e5"), 40, 3), None);
        assert_eq!(get(ValueRef::Real(0.1), 20, 5).as_deref(), Some("10000"));
        assert_eq!(get(ValueRef::Real(f64::INFINITY), 15, 0), None);
        assert_eq!(shape(ValueRef::Real(12345.678)), Some((8, 3)));
    }

    #[test]
    fn values_as_text() {
        let decimal = Some(Logical::Decimal { precision: 9, scale: 2 });
        assert_eq!(as_text(ValueRef::Real(1.5), decimal).as_deref(), Some("1.50"));
        assert_eq!(as_text(ValueRef::Integer(1), Some(Logical::Bool)).as_deref(), Some("true"));
        assert_eq!(as_text(ValueRef::Blob(&[0, 255]), None).as_deref(), Some("\\x00ff"));
        assert_eq!(
            as_text(ValueRef::Real(f64::from(0.1_f32)), Some(Logical::Float32)).as_deref(),
            Some("0.1")
        );
        assert_eq!(as_text(ValueRef::Text(&[0xff]), None), None);
        assert_eq!(as_text(ValueRef::Real(f64::NEG_INFINITY), None).as_deref(), Some("-Infinity"));
    }

    #[test]
    fn times_need_the_offset_that_their_type_has() {
        let at = |t: &'static str, instant| timestamp(ValueRef::Text(t.as_bytes()), instant);
        assert_eq!(at("1970-01-01 02:00:00+02:00", true), Some(0));
        assert_eq!(at("1970-01-01 02:00:00", true), None);
        assert_eq!(at("1970-01-01T00:00:01Z", false), None);
        assert_eq!(at("1970-01-01T00:00:01", false), Some(1_000_000));
        assert_eq!(at("infinity", true), Some(i64::MAX));
        // Four bytes with a letter of two in the middle.
        assert_eq!(at("2024-01-01T00:00:00+a\u{e9}b", true), None);
    }
}
