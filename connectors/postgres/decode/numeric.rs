//! PostgreSQL's numeric: digits to the base 10000.

use arrow_buffer::i256;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// A numeric as it is sent, borrowed.
pub(super) struct Numeric<'a> {
    /// Big-endian 16-bit digits.
    digits: &'a [[u8; 2]],
    /// The first digit counts 10000 to this power.
    weight: i32,
    sign: u16,
    /// Decimal digits after the point that are shown.
    shown: usize,
}

impl<'a> Numeric<'a> {
    /// Reads the sent form; `None` where it is not one.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Numeric<'a>> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let word = |i: usize| u16::from_be_bytes([head[i], head[i + 1]]);
        let (digits, tail) = rest.as_chunks::<2>();
        let sign = word(4);
        let known = matches!(sign, 0 | NEGATIVE | NAN | INFINITY | MINUS_INFINITY);
        let whole = tail.is_empty() && digits.len() == usize::from(word(0));
        (known && whole).then(|| Numeric {
            digits,
            weight: i32::from(word(2).cast_signed()),
            sign,
            shown: usize::from(word(6)),
        })
    }

    fn finite(&self) -> bool {
        matches!(self.sign, 0 | NEGATIVE)
    }

    /// The value times 10 to the power `scale`; `None` unless it is exact and below `limit`.
    pub(super) fn to_i128(&self, scale: i32, limit: i128) -> Option<i128> {
        let (last, head) = match self.digits.split_last() {
            Some(split) if self.finite() => split,
            _ => return self.finite().then_some(0),
        };
        let mut value: i128 = 0;
        if head.len() <= 4 {
            let low = head.iter().fold(0u64, |sum, d| sum * 10_000 + u64::from(u16::from_be_bytes(*d)));
            value = i128::from(low);
        } else {
            for digit in head {
                value = value.checked_mul(10_000)?.checked_add(i128::from(u16::from_be_bytes(*digit)))?;
            }
        }
        let last = u16::from_be_bytes(*last);
        let (times, last, power) = self.fit_last(last, scale)?;
        value = value.checked_mul(i128::from(times))?.checked_add(i128::from(last))?;
        if power > 0 {
            value = value.checked_mul(10i128.checked_pow(power)?)?;
        }
        (value < limit).then_some(if self.sign == NEGATIVE { -value } else { value })
    }

    /// The same for up to 76 digits.
    pub(super) fn to_i256(&self, scale: i32, limit: i256) -> Option<i256> {
        let (last, head) = match self.digits.split_last() {
            Some(split) if self.finite() => split,
            _ => return self.finite().then_some(i256::ZERO),
        };
        let small = |n: u16| i256::from_i128(i128::from(n));
        let mut value = i256::ZERO;
        for digit in head {
            value = value.checked_mul(small(10_000))?.checked_add(small(u16::from_be_bytes(*digit)))?;
        }
        let (times, last, power) = self.fit_last(u16::from_be_bytes(*last), scale)?;
        value = value.checked_mul(small(times))?.checked_add(small(last))?;
        if power > 76 {
            return None;
        }
        value = value.checked_mul(self::power(power))?;
        let negative = self.sign == NEGATIVE;
        (value < limit).then_some(if negative { value.wrapping_neg() } else { value })
    }

    /// How the last digit joins the others: `value * times + last`, then times 10 to the power.
    /// The last digit may reach below the scale with zeros only.
    fn fit_last(&self, last: u16, scale: i32) -> Option<(u16, u16, u32)> {
        let below = i32::try_from(self.digits.len()).ok()? - 1 - self.weight;
        match scale - 4 * below {
            shift @ 0.. => Some((10_000, last, u32::try_from(shift).ok()?)),
            shift @ -3..=-1 => {
                let cut = 10u16.pow(shift.unsigned_abs());
                last.is_multiple_of(cut).then_some((10_000 / cut, last / cut, 0))
            }
            _ => (last == 0 && self.digits.len() == 1).then_some((1, 0, 0)),
        }
    }

    /// Plain digits, as the server itself writes them.
    pub(super) fn write_text(&self, out: &mut Vec<u8>) {
        match self.sign {
            NAN => return out.extend_from_slice(b"NaN"),
            INFINITY => return out.extend_from_slice(b"Infinity"),
            MINUS_INFINITY => return out.extend_from_slice(b"-Infinity"),
            NEGATIVE => out.push(b'-'),
            _ => {}
        }
        let digit = |power: i32| -> u16 {
            let index = usize::try_from(self.weight - power);
            index.ok().and_then(|i| self.digits.get(i)).map_or(0, |d| u16::from_be_bytes(*d))
        };
        if self.weight < 0 {
            out.push(b'0');
        }
        for power in (0..=self.weight).rev() {
            let four = four_digits(digit(power));
            let skip = if power == self.weight {
                four.iter().take(3).take_while(|d| **d == b'0').count()
            } else {
                0
            };
            out.extend_from_slice(four.get(skip..).unwrap_or_default());
        }
        if self.shown == 0 {
            return;
        }
        out.push(b'.');
        let mut left = self.shown;
        let mut power = -1;
        while left > 0 {
            let four = four_digits(digit(power));
            let count = left.min(4);
            out.extend_from_slice(four.get(..count).unwrap_or_default());
            left -= count;
            power -= 1;
        }
    }
}

fn four_digits(value: u16) -> [u8; 4] {
    let d = |n: u16| b'0' + (n % 10).to_le_bytes()[0];
    [d(value / 1000), d(value / 100), d(value / 10), d(value)]
}

/// 10 to a power of at most 76.
pub(super) fn power(exponent: u32) -> i256 {
    let ten = i256::from_i128(10);
    (0..exponent.min(76)).fold(i256::ONE, |value, _| value.wrapping_mul(ten))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(digits: &[u16], weight: i16, sign: u16, shown: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((digits.len() as u16).to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(shown.to_be_bytes());
        digits.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes
    }

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        Numeric::parse(bytes).unwrap().write_text(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn scaled(bytes: &[u8], precision: u32, scale: i32) -> (Option<i128>, Option<i256>) {
        let numeric = Numeric::parse(bytes).unwrap();
        (numeric.to_i128(scale, 10i128.pow(precision)), numeric.to_i256(scale, power(precision)))
    }

    #[test]
    fn values_are_exact_in_every_form() {
        for (bytes, expected_text, scale, expected) in [
            (sent(&[1, 2345, 6700], 1, 0, 2), "12345.67", 2, 1_234_567),
            (sent(&[1, 2345, 6700], 1, NEGATIVE, 3), "-12345.670", 3, -12_345_670),
            (sent(&[500], -1, 0, 2), "0.05", 2, 5),
            (sent(&[1], 2, 0, 0), "100000000", 0, 100_000_000),
            (sent(&[], 0, 0, 2), "0.00", 2, 0),
            (sent(&[1], -2, 0, 8), "0.00000001", 8, 1),
            (sent(&[1, 0, 1], 1, 0, 4), "10000.0001", 4, 100_000_001),
        ] {
            assert_eq!(text(&bytes), expected_text);
            let (narrow, wide) = scaled(&bytes, 38, scale);
            assert_eq!(narrow, Some(expected), "{expected_text}");
            assert_eq!(wide, Some(i256::from_i128(expected)), "{expected_text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let value = sent(&[1, 2345, 6700], 1, 0, 2);
        assert_eq!(scaled(&value, 38, 1), (None, None), "a digit below the scale");
        assert_eq!(scaled(&value, 6, 2), (None, None), "one digit too many");
        assert_eq!(scaled(&sent(&[1], -3, 0, 12), 38, 2), (None, None));
        for sign in [NAN, INFINITY, MINUS_INFINITY] {
            assert_eq!(scaled(&sent(&[], 0, sign, 0), 38, 2), (None, None));
        }
        assert!(Numeric::parse(&[0, 1, 0, 0]).is_none());
        assert!(Numeric::parse(&sent(&[1], 0, 0x1234, 0)).is_none());
    }
}
