//! Decimal numbers as they are written, taken apart exactly: no digit passes through a double
//! unless the double says the same number.

use arrow_buffer::i256;

/// Longer expansions of an exponent stay text: `1e999999999` is ten characters.
const MAX_PLAIN: i64 = 1_000;

/// A number as written: `-12.50e3`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    pub negative: bool,
    /// Digits before the point.
    pub whole: &'a [u8],
    /// Digits after it.
    pub fraction: &'a [u8],
    /// The exponent, where there is one.
    pub exponent: Option<i64>,
    /// Written as numbers are: no plus sign, no leading zeros, no point at the end. Anything else
    /// may be a code (`007`, `+1`) and is a number only where that was declared.
    pub tidy: bool,
}

/// Takes a text apart; `None` where it is no number.
pub(super) fn scan(text: &[u8]) -> Option<Number<'_>> {
    let (sign, body) = match text.split_first()? {
        (b'-', rest) => (Some(b'-'), rest),
        (b'+', rest) => (Some(b'+'), rest),
        _ => (None, text),
    };
    let (whole, rest) = digits(body);
    let (point, (fraction, rest)) = match rest.split_first() {
        Some((b'.', rest)) => (true, digits(rest)),
        _ => (false, (&rest[..0], rest)),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match rest.split_first() {
        None => None,
        Some((b'e' | b'E', rest)) => Some(exponent(rest)?),
        Some(_) => return None,
    };
    let padded = whole.len() > 1 && whole.first() == Some(&b'0');
    let tidy = sign != Some(b'+') && !padded && !(point && fraction.is_empty());
    Some(Number { negative: sign == Some(b'-'), whole, fraction, exponent, tidy })
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, body) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if body.is_empty() || !body.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Far beyond what any type holds, so that a longer one may as well be this.
    let size = body.iter().fold(0i64, |n, d| (n * 10 + i64::from(d - b'0')).min(1 << 40));
    Some(if negative { -size } else { size })
}

impl Number<'_> {
    fn all_digits(&self) -> impl Iterator<Item = u8> + Clone + '_ {
        self.whole.iter().chain(self.fraction).map(|d| d - b'0')
    }

    /// How many digits stand before the point once the exponent is carried out.
    fn point(&self) -> i64 {
        self.whole.len() as i64 + self.exponent.unwrap_or(0)
    }

    /// `value × 10^scale`, where that is whole and has at most `precision` digits.
    pub(super) fn unscaled(&self, precision: u8, scale: i8) -> Option<i128> {
        let keep = self.point() + i64::from(scale);
        let (mut small, mut large, mut taken) = (0u64, 0i128, 0i64);
        for digit in self.all_digits() {
            if taken >= keep {
                if digit != 0 {
                    return None;
                }
            } else if taken < 18 {
                small = small * 10 + u64::from(digit);
            } else {
                large = if taken == 18 { i128::from(small) } else { large };
                large = large.checked_mul(10)?.checked_add(i128::from(digit))?;
            }
            taken += 1;
        }
        let mut value = if taken.min(keep) > 18 { large } else { i128::from(small) };
        while taken < keep && value != 0 {
            value = value.checked_mul(10)?;
            taken += 1;
        }
        let fits = u32::from(precision) >= 39 || value < 10i128.pow(u32::from(precision.min(38)));
        fits.then_some(if self.negative { -value } else { value })
    }

    /// The same for more than 38 digits.
    pub(super) fn unscaled_wide(&self, precision: u8, scale: i8) -> Option<i256> {
        let keep = self.point() + i64::from(scale);
        let mut text = String::new();
        for (taken, digit) in self.all_digits().enumerate() {
            if taken as i64 >= keep {
                if digit != 0 {
                    return None;
                }
            } else if !(text.is_empty() && digit == 0) {
                text.push(char::from(b'0' + digit));
            }
        }
        let written = (self.whole.len() + self.fraction.len()) as i64;
        let zeros = if text.is_empty() { 0 } else { (keep - written).max(0) };
        if text.len() as i64 + zeros > i64::from(precision) {
            return None;
        }
        (0..zeros).for_each(|_| text.push('0'));
        let value = if text.is_empty() { i256::ZERO } else { i256::from_string(&text)? };
        Some(if self.negative { value.wrapping_neg() } else { value })
    }

    /// The number in plain digits without leading zeros and exponent (`-12.50`); false where that
    /// would be absurdly long.
    pub(super) fn plain(&self, out: &mut Vec<u8>) -> bool {
        let point = self.point();
        let written = (self.whole.len() + self.fraction.len()) as i64;
        if self.exponent.is_some() && (point > MAX_PLAIN || written - point > MAX_PLAIN) {
            return false;
        }
        if self.negative {
            out.push(b'-');
        }
        let begin = out.len();
        let mut at = 0i64;
        let before = self.all_digits().take(usize::try_from(point).unwrap_or(0));
        for digit in before {
            at += 1;
            if digit != 0 || out.len() > begin {
                out.push(b'0' + digit);
            }
        }
        while at < point {
            at += 1;
            if out.len() > begin {
                out.push(b'0');
            }
        }
        if out.len() == begin {
            out.push(b'0');
        }
        if written > point {
            out.push(b'.');
            out.extend((point..0).map(|_| b'0'));
            out.extend(self.all_digits().skip(usize::try_from(point).unwrap_or(0)).map(|d| d + b'0'));
        }
        true
    }

    /// Significant digits and the place of the point before the first of them: equal for equal
    /// numbers, however written.
    fn essence(&self) -> (Vec<u8>, i64) {
        let mut digits: Vec<u8> = self.all_digits().skip_while(|d| *d == 0).collect();
        let leading = self.whole.len() + self.fraction.len() - digits.len();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let place = if digits.is_empty() { 0 } else { self.point() - leading as i64 };
        (digits, place)
    }

    fn equals(&self, text: &str) -> bool {
        scan(text.as_bytes()).is_some_and(|other| other.essence() == self.essence())
    }

    /// Digits from the first that is not zero, as written.
    fn significant(&self) -> usize {
        self.all_digits().skip_while(|d| *d == 0).count()
    }
}

macro_rules! double {
    ($name:ident, $type:ty, $safe_digits:expr, $safe_exponent:expr, $doc:expr) => {
        #[doc = $doc]
        pub(super) fn $name(text: &[u8], number: &Number<'_>, written: bool) -> Option<$type> {
            let value: $type = std::str::from_utf8(text).ok()?.parse().ok()?;
            let significant = number.significant();
            let near = number.point().abs() < $safe_exponent && number.fraction.len() < 32;
            if significant <= $safe_digits && near {
                return Some(value);
            }
            let exact = value.is_finite()
                && (number.equals(&format!("{value:e}"))
                    || (written
                        && significant <= 800
                        && number.equals(&format!("{value:.*e}", significant.saturating_sub(1)))));
            exact.then_some(value)
        }
    };
}

double!(
    double,
    f64,
    15,
    250,
    "The double whose shortest form is the same number; with `written` also the one that prints \
     the same digits at the length that the text has (`0.10000000000000001`)."
);
double!(single, f32, 6, 25, "The same for single precision.");

/// `NaN`, `Infinity` and `-Infinity` as the contract writes them.
pub(super) fn special(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" => Some(f64::NAN),
        b"Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A whole number written as such: the way most values go.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, body) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    if body.is_empty() || body.len() > 19 || (body.len() > 1 && body.first() == Some(&b'0')) {
        return None;
    }
    let mut value = 0u64;
    for byte in body {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits stay below 2^64.
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Option<String> {
        let mut out = Vec::new();
        scan(text.as_bytes())?.plain(&mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn exponents_are_carried_out_and_bounded() {
        for (text, want) in [
            ("1e3", "1000"),
            ("-1.5e-3", "-0.0015"),
            ("12.50", "12.50"),
            (".5", "0.5"),
            ("0.00012e2", "0.012"),
            ("123e-2", "1.23"),
            ("007", "7"),
            ("0e5", "0"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(want), "{text}");
        }
        assert_eq!(plain("1e999999999999999999999"), None);
        for bad in ["", "-", ".", "1e", "1e+", "0x1", "1_000", "1 ", "e5", "--1"] {
            assert!(scan(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let at = |text: &str, p, s| scan(text.as_bytes()).unwrap().unscaled(p, s);
        assert_eq!(at("12.5", 5, 2), Some(1250));
        assert_eq!(at("12.500", 5, 2), Some(1250));
        assert_eq!(at("12.505", 5, 2), None);
        assert_eq!(at("1234.5", 5, 2), None);
        assert_eq!(at("-0.01", 2, 2), Some(-1));
        assert_eq!(at("1e2", 5, 2), Some(10_000));
        assert_eq!(at("1e-3", 5, 2), None);
        assert_eq!(at("0e999999", 5, 2), Some(0));
        assert_eq!(at("1e999999", 38, 0), None);
        assert_eq!(at("1234567890123456789012345678.9", 38, 1), Some(12345678901234567890123456789));
        assert_eq!(
            at("1234567890123456789.000000000000000000000000000000", 19, 0),
            Some(1234567890123456789)
        );
        let wide = "-12345678901234567890123456789012345678901234567890.12";
        let value = scan(wide.as_bytes()).unwrap().unscaled_wide(52, 2).unwrap();
        assert_eq!(value.to_string(), wide.replace('.', ""));
        assert_eq!(scan(wide.as_bytes()).unwrap().unscaled_wide(51, 2), None);
    }

    #[test]
    fn a_double_is_taken_only_where_it_says_the_same_number() {
        let at = |text: &str, written| double(text.as_bytes(), &scan(text.as_bytes()).unwrap(), written);
        assert_eq!(at("1e5", false), Some(1e5));
        assert_eq!(at("0.30000000000000004", false), Some(0.1 + 0.2));
        assert_eq!(at("9007199254740993", false), None);
        assert_eq!(at("0.10000000000000001", false), None);
        assert_eq!(at("0.10000000000000001", true), Some(0.1));
        assert_eq!(at("0.1000000000000000012", true), None);
        assert_eq!(at("1e400", true), None);
        assert_eq!(at("1e-400", true), None);
        assert_eq!(at("5e-324", false), Some(5e-324));
        assert_eq!(single(b"16777217", &scan(b"16777217").unwrap(), false), None);
    }

    #[test]
    fn integers_end_where_64_bits_end() {
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        for none in [&b"9223372036854775808"[..], b"007", b"+1", b"", b"-", b"1.0", b"99999999999999999999"] {
            assert_eq!(integer(none), None);
        }
    }
}
