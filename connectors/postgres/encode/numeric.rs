//! `numeric` in binary: digits of base 10 000, the weight of the first, a sign and a display scale.

use super::Misfit;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// Most digits after the point that the format can say.
const MAX_SCALE: usize = 0x3fff;
/// Most digits before the point that Postgres holds.
const MAX_WHOLE: usize = 131_072;

/// A decimal that fits 128 bits.
pub(super) struct Decimal {
    negative: bool,
    magnitude: u128,
    scale: u8,
}

impl Decimal {
    /// An unscaled value and its scale.
    pub(super) fn small(unscaled: i128, scale: u8) -> Decimal {
        Decimal { negative: unscaled < 0, magnitude: unscaled.unsigned_abs(), scale }
    }
}

fn head(out: &mut Vec<u8>, digits: u16, weight: i16, sign: u16, scale: u16) {
    let mut bytes = [0u8; 8];
    bytes[..2].copy_from_slice(&digits.to_be_bytes());
    bytes[2..4].copy_from_slice(&weight.to_be_bytes());
    bytes[4..6].copy_from_slice(&sign.to_be_bytes());
    bytes[6..].copy_from_slice(&scale.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Writes base-10 000 digits (least significant first) with leading and trailing zeros left out.
fn put_groups(
    groups: &[u16],
    fraction_groups: usize,
    negative: bool,
    scale: u16,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    let used = groups.iter().rposition(|group| *group != 0).map_or(0, |last| last + 1);
    let first = groups.iter().position(|group| *group != 0).unwrap_or(0);
    let significant = groups.get(first..used).unwrap_or(&[]);
    if significant.is_empty() {
        head(out, 0, 0, 0, scale);
        return Ok(());
    }
    let weight = i16::try_from(used as i64 - 1 - fraction_groups as i64).map_err(|_| Misfit::NumericRange)?;
    let count = u16::try_from(significant.len()).map_err(|_| Misfit::NumericRange)?;
    head(out, count, weight, if negative { NEGATIVE } else { 0 }, scale);
    for group in significant.iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Ok(())
}

/// Writes a decimal of at most 38 digits.
pub(super) fn put(value: &Decimal, out: &mut Vec<u8>) -> Result<(), Misfit> {
    // 39 digits in groups of four, split once more at the decimal point.
    let mut groups = [0u16; 12];
    let mut count = 0;
    let mut push = |group: u64| {
        if let Some(place) = groups.get_mut(count) {
            *place = group as u16;
        }
        count += 1;
    };
    let mut rest = value.magnitude;
    let odd = u32::from(value.scale % 4);
    if odd != 0 {
        // The last group holds fewer digits of the fraction: it is filled up with zeros.
        let divisor = 10u128.pow(odd);
        push((rest % divisor) as u64 * 10u64.pow(4 - odd));
        rest /= divisor;
    }
    while rest > u128::from(u64::MAX) {
        let mut chunk = (rest % 10_000_000_000_000_000) as u64;
        rest /= 10_000_000_000_000_000;
        for _ in 0..4 {
            push(chunk % 10_000);
            chunk /= 10_000;
        }
    }
    let mut rest = rest as u64;
    while rest != 0 {
        push(rest % 10_000);
        rest /= 10_000;
    }
    let fraction_groups = usize::from(value.scale).div_ceil(4);
    put_groups(&groups, fraction_groups, value.negative, u16::from(value.scale), out)
}

/// Writes a decimal given as its unscaled digits.
pub(super) fn put_wide(unscaled: &str, scale: u8, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let (negative, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, unscaled),
    };
    let (whole, fraction) = match digits.len().checked_sub(usize::from(scale)) {
        Some(split) => digits.split_at(split),
        None => ("", digits),
    };
    // Digits that the fraction lacks in front are zeros.
    let missing = usize::from(scale) - fraction.len();
    digits_groups(negative, whole, missing, fraction, out)
}

/// Writes a number in plain digits, `NaN` or an infinity.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let special = match text {
        "NaN" => Some(NAN),
        "Infinity" => Some(INFINITY),
        "-Infinity" => Some(NEGATIVE_INFINITY),
        _ => None,
    };
    if let Some(sign) = special {
        head(out, 0, 0, sign, 0);
        return Ok(());
    }
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let digits_only = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits_only(whole) || !digits_only(fraction) || whole.len() + fraction.len() == 0 {
        return Err(Misfit::NotNumeric);
    }
    digits_groups(negative, whole, 0, fraction, out)
}

/// `whole . 0…0 fraction`, all of them ASCII digits.
fn digits_groups(
    negative: bool,
    whole: &str,
    zeros: usize,
    fraction: &str,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    let whole = whole.trim_start_matches('0').as_bytes();
    let scale = zeros + fraction.len();
    if whole.len() > MAX_WHOLE || scale > MAX_SCALE {
        return Err(Misfit::NumericRange);
    }
    let group = |digits: &[u8]| digits.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let mut after = vec![b'0'; zeros];
    after.extend_from_slice(fraction.as_bytes());
    after.resize(scale.div_ceil(4) * 4, b'0');
    let mut groups: Vec<u16> = after.rchunks(4).map(group).collect();
    let fraction_groups = groups.len();
    groups.extend(whole.rchunks(4).map(group));
    put_groups(&groups, fraction_groups, negative, scale as u16, out)
}
