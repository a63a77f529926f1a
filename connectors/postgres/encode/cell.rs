//! One value in its binary form, or in its text form where the column holds text.

use std::io::Write;

use waybill_protocol::calendar;

use super::numeric::{self, Decimal};
use super::{Form, Misfit, Values};

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;
/// First day and the day after the last that `date` holds, from 2000-01-01.
const DATES: std::ops::Range<i64> = -2_451_545..2_145_031_949;
/// First microsecond and the one after the last that `timestamp` holds, from 2000-01-01.
const STAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
/// The longest field that a server takes.
pub(super) const LONGEST: usize = 0x3fff_ffff;

/// Writes a value of a fixed length.
pub(super) fn fixed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The same as the last thing to be written.
fn exact(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Misfit> {
    fixed(out, bytes);
    Ok(())
}

/// Writes bytes of any length.
fn varied(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Misfit> {
    if bytes.len() > LONGEST {
        return Err(Misfit::TooLong);
    }
    exact(out, bytes)
}

/// Writes a value whose length is known once it is written.
fn measured(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Misfit>) -> Result<(), Misfit> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = (out.len() - start - 4) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Writes the value of `row` as `form` takes it.
pub(super) fn put(values: &Values<'_>, form: Form, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match (values, form) {
        (Values::Text(a), Form::Text) => plain(a.value(row), out),
        (_, Form::Text) => measured(out, |out| {
            text(values, row, out);
            Ok(())
        }),
        (Values::I16(a), _) => integer(i64::from(a.value(row)), form, out),
        (Values::I32(a), _) => integer(i64::from(a.value(row)), form, out),
        (Values::I64(a), _) => integer(a.value(row), form, out),
        (Values::F32(a), Form::Float4) => exact(out, &a.value(row).to_be_bytes()),
        (Values::F32(a), Form::Float8) => exact(out, &f64::from(a.value(row)).to_be_bytes()),
        (Values::F64(a), Form::Float8) => exact(out, &a.value(row).to_be_bytes()),
        (Values::F32(a), _) => float_as_numeric(a.value(row), out),
        (Values::F64(a), _) => float_as_numeric(a.value(row), out),
        (Values::Bool(a), _) => exact(out, &[u8::from(a.value(row))]),
        (Values::D128(a, scale), _) => {
            measured(out, |out| numeric::put(&Decimal::small(a.value(row), *scale), out))
        }
        (Values::D256(a, scale), _) => {
            measured(out, |out| numeric::put_wide(&a.value(row).to_string(), *scale, out))
        }
        (Values::NumericText(a), _) => measured(out, |out| numeric::put_text(a.value(row), out)),
        (Values::Text(a), Form::Jsonb) => jsonb(a.value(row), out),
        (Values::Text(a), _) => {
            let uuid = uuid::Uuid::try_parse(a.value(row)).map_err(|_| Misfit::NotUuid)?;
            exact(out, uuid.as_bytes())
        }
        (Values::Bytes(a), _) => varied(out, a.value(row)),
        (Values::Date(a), _) => exact(out, &date(a.value(row))?.to_be_bytes()),
        (Values::Time(a), _) => exact(out, &time(a.value(row))?.to_be_bytes()),
        (Values::Stamp(a, _), _) => exact(out, &stamp(a.value(row))?.to_be_bytes()),
        (Values::Interval(a), _) => {
            let value = a.value(row);
            if value.nanoseconds % 1000 != 0 {
                return Err(Misfit::Nanoseconds);
            }
            out.extend_from_slice(&16u32.to_be_bytes());
            out.extend_from_slice(&(value.nanoseconds / 1000).to_be_bytes());
            out.extend_from_slice(&value.days.to_be_bytes());
            out.extend_from_slice(&value.months.to_be_bytes());
            Ok(())
        }
    }
}

fn plain(value: &str, out: &mut Vec<u8>) -> Result<(), Misfit> {
    if value.as_bytes().contains(&0) {
        return Err(Misfit::Nul);
    }
    varied(out, value.as_bytes())
}

fn jsonb(value: &str, out: &mut Vec<u8>) -> Result<(), Misfit> {
    if value.len() >= LONGEST {
        return Err(Misfit::TooLong);
    }
    out.extend_from_slice(&(value.len() as u32 + 1).to_be_bytes());
    out.push(1);
    out.extend_from_slice(value.as_bytes());
    Ok(())
}

/// An integer in a form at least as wide as its type, which [`fits`](super::fits) saw to.
fn integer(value: i64, form: Form, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match form {
        Form::Int2 => exact(out, &(value as i16).to_be_bytes()),
        Form::Int4 => exact(out, &(value as i32).to_be_bytes()),
        Form::Float4 => exact(out, &(value as f32).to_be_bytes()),
        Form::Float8 => exact(out, &(value as f64).to_be_bytes()),
        Form::Numeric => measured(out, |out| numeric::put(&Decimal::small(i128::from(value), 0), out)),
        _ => exact(out, &value.to_be_bytes()),
    }
}

/// The shortest digits that read back as the same number, which are its value.
fn float_as_numeric(value: impl Into<f64> + std::fmt::Display, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let digits = value.to_string();
    let wide: f64 = value.into();
    measured(out, |out| match wide {
        w if w.is_nan() => numeric::put_text("NaN", out),
        f64::INFINITY => numeric::put_text("Infinity", out),
        f64::NEG_INFINITY => numeric::put_text("-Infinity", out),
        _ => numeric::put_text(&digits, out),
    })
}

pub(super) fn date(days: i32) -> Result<i32, Misfit> {
    if days == i32::MAX || days == i32::MIN {
        return Ok(days);
    }
    let days = i64::from(days) - EPOCH_DAYS;
    if !DATES.contains(&days) {
        return Err(Misfit::DateRange);
    }
    i32::try_from(days).map_err(|_| Misfit::DateRange)
}

pub(super) fn time(micros: i64) -> Result<i64, Misfit> {
    if (0..=calendar::DAY_US).contains(&micros) { Ok(micros) } else { Err(Misfit::TimeRange) }
}

pub(super) fn stamp(micros: i64) -> Result<i64, Misfit> {
    if micros == i64::MAX || micros == i64::MIN {
        return Ok(micros);
    }
    let moved = micros.checked_sub(EPOCH_US).filter(|moved| STAMPS.contains(moved));
    moved.ok_or(Misfit::DateRange)
}

/// Appends the text form, the one that a widened column gets too (see `destination::widen`).
pub(super) fn text(values: &Values<'_>, row: usize, out: &mut Vec<u8>) {
    // Writing into a vector cannot fail.
    let _ = match values {
        Values::Bool(a) => write!(out, "{}", a.value(row)),
        Values::I16(a) => write!(out, "{}", a.value(row)),
        Values::I32(a) => write!(out, "{}", a.value(row)),
        Values::I64(a) => write!(out, "{}", a.value(row)),
        Values::F32(a) => write!(out, "{}", float_text(a.value(row), 6)),
        Values::F64(a) => write!(out, "{}", float_text(a.value(row), 15)),
        Values::D128(a, scale) => write!(out, "{}", point(&a.value(row).to_string(), *scale)),
        Values::D256(a, scale) => write!(out, "{}", point(&a.value(row).to_string(), *scale)),
        Values::NumericText(a) | Values::Text(a) => out.write_all(a.value(row).as_bytes()),
        Values::Bytes(a) => a.value(row).iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        Values::Date(a) => write!(out, "{}", calendar::format_date(a.value(row))),
        Values::Time(a) => write!(out, "{}", calendar::format_time(a.value(row))),
        Values::Stamp(a, instant) => {
            write!(out, "{}", calendar::format_timestamp(a.value(row), *instant, 'T'))
        }
        Values::Interval(a) => {
            let v = a.value(row);
            write!(out, "P{}M{}DT{}S", v.months, v.days, v.nanoseconds as f64 / 1e9)
        }
    };
}

/// Unscaled digits with their decimal point.
pub(super) fn point(unscaled: &str, scale: u8) -> String {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    let scale = usize::from(scale);
    if scale == 0 {
        return unscaled.to_owned();
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// A float as Postgres writes it: shortest digits, an exponent from `plain_digits` on.
fn float_text(value: impl Into<f64> + std::fmt::LowerExp + std::fmt::Display, plain_digits: i32) -> String {
    let scientific = format!("{value:e}");
    let plain = value.to_string();
    let wide: f64 = value.into();
    if wide.is_nan() {
        return "NaN".to_owned();
    }
    if wide.is_infinite() {
        return if wide > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    match scientific.split_once('e').map(|(mantissa, exponent)| (mantissa, exponent.parse::<i32>())) {
        Some((mantissa, Ok(exponent))) if exponent < -4 || exponent >= plain_digits => {
            format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => plain,
    }
}
