//! Single values in COPY's text format: the server reads each as its column's type reads its text,
//! whatever its settings are.

use std::io::Write;

use waybill_protocol::{CursorValue, calendar};

use super::cell::{LONGEST, date, point, stamp, text, time};
use super::{Form, Misfit, Values};
use crate::postgres::sql;

/// How a NULL is written.
pub(super) const NULL: &[u8] = b"\\N";

/// Writes the value of `row` for a column that takes `form`.
pub(super) fn put(values: &Values<'_>, form: Form, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match (values, form) {
        (Values::Text(a) | Values::NumericText(a), _) => return escaped(a.value(row).as_bytes(), out),
        (_, Form::Text) => {
            let mut written = Vec::new();
            text(values, row, &mut written);
            return escaped(&written, out);
        }
        _ => {}
    }
    // Writing into a vector cannot fail.
    let _ = match values {
        Values::F32(a) if form == Form::Float8 => write!(out, "{}", float(f64::from(a.value(row)))),
        Values::F32(a) => write!(out, "{}", float(a.value(row))),
        Values::F64(a) => write!(out, "{}", float(a.value(row))),
        Values::D128(a, scale) => write!(out, "{}", point(&a.value(row).to_string(), *scale)),
        Values::D256(a, scale) => write!(out, "{}", point(&a.value(row).to_string(), *scale)),
        Values::Bytes(a) => {
            let bytes = a.value(row);
            if bytes.len() > LONGEST {
                return Err(Misfit::TooLong);
            }
            out.extend_from_slice(b"\\\\x");
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        Values::Date(a) => {
            date(a.value(row))?;
            write!(out, "{}", sql::cursor_text(&CursorValue::Date(a.value(row))))
        }
        Values::Time(a) => {
            time(a.value(row))?;
            write!(out, "{}", calendar::format_time(a.value(row)))
        }
        Values::Stamp(a, instant) => {
            let at = a.value(row);
            stamp(at)?;
            let value = if *instant { CursorValue::TimestampTz(at) } else { CursorValue::Timestamp(at) };
            write!(out, "{}", sql::cursor_text(&value))
        }
        Values::Interval(a) => {
            let v = a.value(row);
            if v.nanoseconds % 1000 != 0 {
                return Err(Misfit::Nanoseconds);
            }
            // Each part with a sign of its own, which no setting reads otherwise.
            let (micros, sign) =
                ((v.nanoseconds / 1000).unsigned_abs(), if v.nanoseconds < 0 { '-' } else { '+' });
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
            write!(out, "{:+} mons {:+} days {sign}{seconds}.{rest:06} secs", v.months, v.days)
        }
        other => {
            text(other, row, out);
            Ok(())
        }
    };
    Ok(())
}

/// Digits that read back as the same number; an infinity in the server's word.
fn float(value: impl Into<f64> + std::fmt::LowerExp + Copy) -> String {
    match value.into() {
        wide if wide.is_nan() => "NaN".to_owned(),
        wide if wide.is_infinite() => if wide > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        _ => format!("{value:e}"),
    }
}

/// Writes text with what COPY would take for its own marks escaped.
fn escaped(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    if text.len() > LONGEST {
        return Err(Misfit::TooLong);
    }
    for byte in text {
        match byte {
            0 => return Err(Misfit::Nul),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.push(*byte),
        }
    }
    Ok(())
}
