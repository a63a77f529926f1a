//! Inference: the narrowest type that holds every value seen, exactly.

use waybill_protocol::Logical;

use super::cell::Cell;
use super::values::boolean;
use super::{moment, number};

const BOOL: u8 = 1;
const NUMBER: u8 = 2;
const SPECIAL: u8 = 4;
const DATE: u8 = 8;
const TIMESTAMP: u8 = 16;
const INSTANT: u8 = 32;
const TEXT: u8 = 64;
const NESTED: u8 = 128;

/// What the values of a column have been so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Guess {
    kinds: u8,
    /// Most digits before and after the point.
    whole: u32,
    scale: u32,
    /// Some whole number is beyond 64 bits.
    big: bool,
    /// Some number has an exponent.
    exponent: bool,
    /// Some number is not the shortest form of a double.
    inexact: bool,
}

impl Guess {
    /// Takes a value into account.
    pub(super) fn add(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Null => {}
            Cell::Nested(_) => self.kinds |= NESTED,
            Cell::Bool(_) => self.kinds |= BOOL,
            Cell::Number(text) => self.number(text),
            Cell::Text { text, .. } => self.kinds |= moment_of(text),
            Cell::Field(text) => match text.first() {
                Some(b'0'..=b'9' | b'-' | b'.' | b'N' | b'I') => self.number(text),
                Some(b't' | b'T' | b'f' | b'F') if boolean(text, false).is_some() => self.kinds |= BOOL,
                _ => self.kinds |= TEXT,
            },
        }
    }

    fn number(&mut self, text: &[u8]) {
        if let Some(value) = number::integer(text) {
            self.kinds |= NUMBER;
            self.whole = self.whole.max(text.len() as u32 - u32::from(value < 0));
            self.inexact |= value.unsigned_abs() > 1 << 53;
            return;
        }
        if number::special(text).is_some() {
            self.kinds |= SPECIAL;
            return;
        }
        let Some(number) = number::scan(text).filter(|n| n.tidy) else {
            self.kinds |= moment_of(text);
            return;
        };
        let exact = number::double(text, &number, false).is_some();
        if number.exponent.is_some() {
            // Too long in plain digits: neither a double nor a decimal keeps it.
            self.kinds |= if exact || number.plain(&mut Vec::new()) { NUMBER } else { TEXT };
            self.exponent = true;
        } else {
            self.kinds |= NUMBER;
            self.whole = self.whole.max(number.whole.len().max(1) as u32);
            self.scale = self.scale.max(number.fraction.len() as u32);
            self.big |= number.fraction.is_empty();
        }
        self.inexact |= !exact;
    }

    /// Takes what another part of the column was into account.
    pub(super) fn merge(&mut self, other: &Guess) {
        self.kinds |= other.kinds;
        self.whole = self.whole.max(other.whole);
        self.scale = self.scale.max(other.scale);
        self.big |= other.big;
        self.exponent |= other.exponent;
        self.inexact |= other.inexact;
    }

    /// The type of a column that had these values; text where there was none.
    pub(super) fn logical(&self) -> Logical {
        match self.kinds {
            BOOL => Logical::Bool,
            DATE => Logical::Date,
            TIMESTAMP => Logical::Timestamp,
            INSTANT => Logical::TimestampTz,
            // Every JSON value has a form as JSON; as text, a string could pass for an object.
            kinds if kinds & NESTED != 0 => Logical::Json,
            NUMBER if !self.exponent => self.decimal(),
            kinds if kinds & NUMBER != 0 && kinds & !(NUMBER | SPECIAL) == 0 => {
                if self.inexact {
                    Logical::Numeric
                } else {
                    Logical::Float64
                }
            }
            _ => Logical::Text,
        }
    }

    /// The type of values that did not fit a column of type `from`: that one, widened.
    pub(super) fn widen(&self, from: Logical) -> Logical {
        let seen = if self.kinds == SPECIAL { Logical::Float64 } else { self.logical() };
        let wider = from.widen(seen);
        if wider == from { Logical::Text } else { wider }
    }

    fn decimal(&self) -> Logical {
        if self.scale == 0 && !self.big {
            return Logical::Int64;
        }
        // Room for longer numbers to come; 15 digits are what SQLite can compare as numbers.
        let precision = match self.whole + self.scale {
            0..=15 => 15,
            16..=38 => 38,
            39..=76 => 76,
            _ => return Logical::Numeric,
        };
        i8::try_from(self.scale).map_or(Logical::Numeric, |scale| Logical::Decimal { precision, scale })
    }
}

fn moment_of(text: &[u8]) -> u8 {
    if text.len() < 10 || text.get(4) != Some(&b'-') {
        TEXT
    } else if moment::date(text).is_some() {
        DATE
    } else {
        match moment::timestamp(text) {
            Some((_, Some(_))) => INSTANT,
            Some((_, None)) => TIMESTAMP,
            None => TEXT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str]) -> String {
        let mut guess = Guess::default();
        fields.iter().for_each(|text| guess.add(&Cell::Field(text.as_bytes())));
        guess.logical().to_string()
    }

    #[test]
    fn an_inference_never_changes_what_a_value_says() {
        for (fields, want) in [
            (&["1", "-20"][..], "int64"),
            (&["007", "12"], "text"),
            (&["+1"], "text"),
            (&["5."], "text"),
            (&["1", "2.50"], "decimal(15,2)"),
            (&[".5"], "decimal(15,1)"),
            (&["9223372036854775808"], "decimal(38,0)"),
            (&["9223372036854775807"], "int64"),
            (&["1e5", "0.1"], "float64"),
            (&["1e5", "0.10000000000000001"], "numeric"),
            (&["1e5", "9007199254740993"], "numeric"),
            (&["1e400"], "numeric"),
            (&["1e4000"], "text"),
            (&["1", "NaN"], "float64"),
            (&["NaN"], "text"),
            (&["true", "FALSE", "True"], "bool"),
            (&["true", "1"], "text"),
            (&["tRue"], "text"),
            (&["2024-05-01"], "date"),
            (&["2024-05-01", "2024-05-01T00:00"], "text"),
            (&["2024-05-01T00:00:00.123456"], "timestamp"),
            (&["2024-05-01 00:00:00+02"], "timestamptz"),
            (&["2024-05-01T00:00:00.1234567"], "text"),
            (&["2024-02-30"], "text"),
            (&["12:30:00"], "text"),
            (&["", "1"], "text"),
            (&[], "text"),
        ] {
            assert_eq!(of(fields), want, "{fields:?}");
        }
        assert_eq!(of(&["123456789012345678901234567890123456789012"]), "decimal(76,0)");
        assert_eq!(of(&["1".repeat(77).as_str()]), "numeric");
    }

    #[test]
    fn a_misfit_always_leads_to_a_wider_type() {
        let mut guess = Guess::default();
        guess.add(&Cell::Field(b"NaN"));
        assert_eq!(guess.widen(Logical::Int64), Logical::Numeric);
        assert_eq!(guess.widen(Logical::Date), Logical::Text);
        let mut guess = Guess::default();
        guess.add(&Cell::Field(b"2.5"));
        assert_eq!(guess.widen(Logical::Int64), Logical::Decimal { precision: 20, scale: 1 });
        assert_eq!(guess.widen(Logical::Decimal { precision: 15, scale: 1 }), Logical::Text);
    }
}
