//! Single values out of their sent forms.

use arrow_buffer::IntervalMonthDayNano;
use waybill_protocol::Logical;

use super::numeric::Numeric;

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The same in days.
const EPOCH_DAYS: i32 = 10_957;

/// Why a value is not taken.
pub(super) enum Fault {
    /// It does not fit what was asked for; as this it would.
    Misfit(Logical),
    /// It cannot be kept at all.
    Value(&'static str),
}

/// Exactly so many bytes.
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_| Fault::Value("came in a form of another length"))
}

/// A numeric.
pub(super) fn parsed(bytes: &[u8]) -> Result<Numeric<'_>, Fault> {
    Numeric::parse(bytes).ok_or(Fault::Value("has a numeric of an unknown form"))
}

/// Days since 1970-01-01.
pub(super) fn date(bytes: &[u8]) -> Result<i32, Fault> {
    match i32::from_be_bytes(fixed(bytes)?) {
        infinite @ (i32::MAX | i32::MIN) => Ok(infinite),
        days => days.checked_add(EPOCH_DAYS).ok_or(Fault::Value("has a date out of range")),
    }
}

/// Microseconds since 1970-01-01.
pub(super) fn timestamp(bytes: &[u8]) -> Result<i64, Fault> {
    match i64::from_be_bytes(fixed(bytes)?) {
        infinite @ (i64::MAX | i64::MIN) => Ok(infinite),
        // After the year 294246, beyond 64-bit microseconds since 1970.
        us => us.checked_add(EPOCH_US).filter(|us| *us != i64::MAX).ok_or(Fault::Misfit(Logical::Text)),
    }
}

/// An interval with its time part in nanoseconds.
pub(super) fn interval(bytes: &[u8]) -> Result<IntervalMonthDayNano, Fault> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let [micros, rest] = [&bytes[..8], &bytes[8..]];
    let micros = i64::from_be_bytes(fixed(micros)?);
    let days = i32::from_be_bytes(fixed(&rest[..4])?);
    let months = i32::from_be_bytes(fixed(&rest[4..])?);
    // More than 292 years in its time part, or infinite.
    let nanos = micros.checked_mul(1000).ok_or(Fault::Misfit(Logical::Text))?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

/// Lower case, with hyphens.
pub(super) fn write_uuid(bytes: &[u8; 16], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    out.extend_from_slice(&text);
}
