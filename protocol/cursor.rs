//! Cursor values: typed, exact, and compared as what they are.

use std::cmp::Ordering;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::calendar;
use crate::clock;
use crate::value::Logical;
use crate::{Error, Result};

/// A value of a cursor column. Its JSON form carries the type: `{"type":"timestamptz","value":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum CursorValue {
    /// Any integer type.
    Int(i64),
    /// A decimal of any length in plain digits, without exponent.
    Decimal(String),
    /// Text. Only the source knows its order (the database's collation).
    Text(String),
    /// A UUID, lower case; ordered by its bytes.
    Uuid(String),
    /// Days since 1970-01-01, written as a date.
    #[serde(with = "date_text")]
    #[schemars(with = "String")]
    Date(i32),
    /// Microseconds of a wall clock without zone, written as text.
    #[serde(with = "timestamp_text")]
    #[schemars(with = "String")]
    Timestamp(i64),
    /// Microseconds of an instant, written as text in UTC.
    #[serde(with = "instant_text")]
    #[schemars(with = "String")]
    TimestampTz(i64),
}

impl CursorValue {
    /// The order of two values of one type; `None` for text that differs and for different types.
    pub fn order(&self, other: &CursorValue) -> Option<Ordering> {
        use CursorValue::*;
        Some(match (self, other) {
            (Int(a), Int(b)) => a.cmp(b),
            (Decimal(a), Decimal(b)) => compare_decimals(a, b),
            (Date(a), Date(b)) => a.cmp(b),
            (Timestamp(a), Timestamp(b)) | (TimestampTz(a), TimestampTz(b)) => a.cmp(b),
            (Uuid(a), Uuid(b)) => a.cmp(b),
            (Text(a), Text(b)) if a == b => Ordering::Equal,
            _ => return None,
        })
    }

    /// The value as people write it: a plain number or text, without the type.
    pub fn plain(&self) -> Value {
        match self {
            CursorValue::Int(value) => Value::from(*value),
            other => Value::from(other.to_string()),
        }
    }

    /// Reads what a person wrote in a config or on a command line, as a value of `logical`.
    pub fn parse(value: &Value, logical: Logical) -> Result<CursorValue> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(not_a(other, logical)),
        };
        let parsed = match logical {
            Logical::Int16 | Logical::Int32 | Logical::Int64 => text.parse().ok().map(CursorValue::Int),
            Logical::Decimal { .. } | Logical::Numeric => {
                is_plain_decimal(&text).then(|| CursorValue::Decimal(text.clone()))
            }
            Logical::Text => Some(CursorValue::Text(text.clone())),
            Logical::Uuid => text.parse::<uuid::Uuid>().ok().map(|u| CursorValue::Uuid(u.to_string())),
            Logical::Date => calendar::parse_date(&text).map(CursorValue::Date),
            Logical::Timestamp => parse_moment(&text)
                .filter(|(_, offset)| offset.is_none())
                .map(|(micros, _)| CursorValue::Timestamp(micros)),
            // Without an offset the text is taken as UTC, never as the local time of a machine.
            Logical::TimestampTz => parse_moment(&text).map(|(micros, offset)| {
                CursorValue::TimestampTz(micros.saturating_sub(i64::from(offset.unwrap_or(0)) * 1_000_000))
            }),
            _ => None,
        };
        parsed.ok_or_else(|| not_a(value, logical))
    }

    /// This value less a lookback; the unit must fit the type.
    pub fn minus(&self, lookback: &Lookback) -> Result<CursorValue> {
        use CursorValue::*;
        let misfit = || {
            Error::config(format!(
                "a lookback of {lookback} does not fit a cursor of type {}",
                self.type_name()
            ))
            .hint("use a duration such as \"2h\" for dates, timestamps and UUIDs of version 7, a number for numbers")
        };
        Ok(match (self, lookback) {
            (Int(value), Lookback::Amount(n)) => Int(value.saturating_sub_unsigned(*n)),
            (Timestamp(i64::MIN | i64::MAX) | TimestampTz(i64::MIN | i64::MAX), _) => self.clone(),
            (Timestamp(value), Lookback::Micros(us)) => Timestamp(value.saturating_sub_unsigned(*us)),
            (TimestampTz(value), Lookback::Micros(us)) => TimestampTz(value.saturating_sub_unsigned(*us)),
            (Date(i32::MIN | i32::MAX), _) => self.clone(),
            (Date(value), Lookback::Micros(us)) => {
                let days = us.div_ceil(calendar::DAY_US as u64);
                Date(value.saturating_sub(i32::try_from(days).unwrap_or(i32::MAX)))
            }
            (Uuid(text), Lookback::Micros(us)) => {
                let ms = clock::uuid_ms(text).ok_or_else(misfit)?;
                clock::uuid_at(ms.saturating_sub(us.div_ceil(1_000)))
            }
            (Decimal(value), Lookback::Amount(n)) => {
                let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
                let whole: i128 = whole.parse().map_err(|_| misfit())?;
                // Rounded down by at most one, which only reads a little more.
                let below = whole - i128::from(*n) - i128::from(!fraction.is_empty());
                Decimal(below.to_string())
            }
            _ => return Err(misfit()),
        })
    }

    /// The name of the type, as the JSON form has it.
    pub fn type_name(&self) -> &'static str {
        match self {
            CursorValue::Int(_) => "int",
            CursorValue::Decimal(_) => "decimal",
            CursorValue::Text(_) => "text",
            CursorValue::Uuid(_) => "uuid",
            CursorValue::Date(_) => "date",
            CursorValue::Timestamp(_) => "timestamp",
            CursorValue::TimestampTz(_) => "timestamp_tz",
        }
    }
}

impl fmt::Display for CursorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CursorValue::Int(value) => write!(f, "{value}"),
            CursorValue::Decimal(text) | CursorValue::Text(text) | CursorValue::Uuid(text) => {
                f.write_str(text)
            }
            CursorValue::Date(days) => f.write_str(&calendar::format_date(*days)),
            CursorValue::Timestamp(us) => f.write_str(&calendar::format_timestamp(*us, false, 'T')),
            CursorValue::TimestampTz(us) => f.write_str(&calendar::format_timestamp(*us, true, 'T')),
        }
    }
}

fn not_a(value: &Value, logical: Logical) -> Error {
    Error::config(format!("{value} is no value of type {logical}"))
}

fn parse_moment(text: &str) -> Option<(i64, Option<i32>)> {
    calendar::parse_timestamp(text).or_else(|| {
        let days = calendar::parse_date(text).filter(|d| *d != i32::MAX && *d != i32::MIN)?;
        Some((i64::from(days).checked_mul(calendar::DAY_US)?, None))
    })
}

fn is_plain_decimal(text: &str) -> bool {
    let body = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = body.split_once('.').unwrap_or((body, "0"));
    let all_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

/// Compares two decimals in plain digits by value; `NaN` is above all, as in Postgres.
fn compare_decimals(a: &str, b: &str) -> Ordering {
    let rank = |t: &str| match t {
        "-Infinity" => 0,
        "Infinity" => 2,
        "NaN" => 3,
        _ => 1,
    };
    let by_rank = rank(a).cmp(&rank(b));
    if by_rank != Ordering::Equal || rank(a) != 1 {
        return by_rank;
    }
    let (a_negative, a_whole, a_fraction) = decimal_parts(a);
    let (b_negative, b_whole, b_fraction) = decimal_parts(b);
    if a_negative != b_negative {
        return if a_negative { Ordering::Less } else { Ordering::Greater };
    }
    let magnitude = (a_whole.len(), a_whole, a_fraction).cmp(&(b_whole.len(), b_whole, b_fraction));
    if a_negative { magnitude.reverse() } else { magnitude }
}

fn decimal_parts(text: &str) -> (bool, &str, &str) {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    (negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction)
}

/// How far below the known end of a stream to read again: a duration for times, a number for
/// numbers. Written `"2h"`, `"30m"`, `"1d 12h"`, `"250ms"` or as a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Lookback {
    /// Microseconds.
    Micros(u64),
    /// Units of a number.
    Amount(u64),
}

const UNITS: [(&str, u64); 7] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("ms", 1_000),
    ("us", 1),
    ("m", 60_000_000),
    ("s", 1_000_000),
];

impl TryFrom<Value> for Lookback {
    type Error = String;

    fn try_from(value: Value) -> Result<Lookback, String> {
        const RULE: &str = "a lookback is a duration such as \"2h\", \"30m\", \"1d 12h\", or a whole number";
        match &value {
            Value::Number(number) => number.as_u64().map(Lookback::Amount).ok_or_else(|| RULE.to_owned()),
            Value::String(text) => {
                let mut total = 0u64;
                for part in text.split_whitespace() {
                    let split = part.find(|c: char| !c.is_ascii_digit()).ok_or(RULE)?;
                    let (amount, unit) = part.split_at(split);
                    let scale = UNITS.iter().find(|(name, _)| *name == unit).ok_or(RULE)?.1;
                    let amount: u64 = amount.parse().map_err(|_| RULE.to_owned())?;
                    total = amount.checked_mul(scale).and_then(|us| us.checked_add(total)).ok_or(RULE)?;
                }
                if text.trim().is_empty() { Err(RULE.to_owned()) } else { Ok(Lookback::Micros(total)) }
            }
            _ => Err(RULE.to_owned()),
        }
    }
}

impl From<Lookback> for Value {
    fn from(lookback: Lookback) -> Value {
        match lookback {
            Lookback::Amount(n) => Value::from(n),
            micros => Value::from(micros.to_string()),
        }
    }
}

impl fmt::Display for Lookback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Lookback::Amount(n) => write!(f, "{n}"),
            Lookback::Micros(us) => {
                for (unit, scale) in [UNITS[1], UNITS[2], UNITS[5], UNITS[6], UNITS[3]] {
                    if us >= scale && us % scale == 0 {
                        return write!(f, "{}{unit}", us / scale);
                    }
                }
                write!(f, "{us}us")
            }
        }
    }
}

impl JsonSchema for Lookback {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Lookback".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How far below the known end to read again: a duration (\"2h\", \"1d 12h\") or a whole number in the cursor's unit",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^\\s*(\\d+(w|d|h|m|s|ms|us)\\s*)+$"}
            ]
        })
    }
}

macro_rules! as_text {
    ($module:ident, $type:ty, $format:expr, $parse:expr) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub(super) fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                let format: fn($type) -> String = $format;
                serializer.serialize_str(&format(*value))
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Option<$type> = $parse;
                parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no date or time")))
            }
        }
    };
}

as_text!(date_text, i32, crate::calendar::format_date, crate::calendar::parse_date);
as_text!(timestamp_text, i64, |us| crate::calendar::format_timestamp(us, false, 'T'), |text| {
    crate::calendar::parse_timestamp(text).map(|(us, _)| us)
});
as_text!(instant_text, i64, |us| crate::calendar::format_timestamp(us, true, 'T'), |text| {
    crate::calendar::parse_timestamp(text).map(|(us, _)| us)
});

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_keep_type_and_precision_in_json() {
        let value = CursorValue::TimestampTz(1_714_521_600_123_456);
        let text = serde_json::to_value(&value).unwrap();
        assert_eq!(text, json!({"type": "timestamp_tz", "value": "2024-05-01T00:00:00.123456Z"}));
        assert_eq!(serde_json::from_value::<CursorValue>(text).unwrap(), value);
        let date = CursorValue::Date(i32::MAX);
        assert_eq!(
            serde_json::from_value::<CursorValue>(serde_json::to_value(&date).unwrap()).unwrap(),
            date
        );
    }

    #[test]
    fn decimals_compare_by_value() {
        let less = |a: &str, b: &str| {
            CursorValue::Decimal(a.into()).order(&CursorValue::Decimal(b.into())) == Some(Ordering::Less)
        };
        assert!(less("9", "10") && less("-10", "-9") && less("0.09", "0.1") && less("-0.1", "0"));
        assert!(less("99999999999999999999.1", "99999999999999999999.11") && less("Infinity", "NaN"));
        assert_eq!(compare_decimals("1.50", "01.5"), Ordering::Equal);
        assert_eq!(compare_decimals("-0", "0.00"), Ordering::Equal);
    }

    #[test]
    fn what_people_write_is_read_as_the_cursor_type() {
        let parse = |v: Value, l| CursorValue::parse(&v, l);
        assert_eq!(
            parse(json!("2024-05-01"), Logical::TimestampTz).unwrap().to_string(),
            "2024-05-01T00:00:00Z"
        );
        assert_eq!(
            parse(json!("2024-05-01T02:00:00+02:00"), Logical::TimestampTz).unwrap().to_string(),
            "2024-05-01T00:00:00Z"
        );
        assert!(parse(json!("2024-05-01T00:00:00Z"), Logical::Timestamp).is_err());
        assert!(parse(json!(1.5), Logical::Int64).is_err());
        assert_eq!(parse(json!(7), Logical::Int32).unwrap(), CursorValue::Int(7));
    }

    #[test]
    fn lookbacks_read_back_and_subtract() {
        for (text, us) in [("2h", 7_200_000_000u64), ("1d 12h", 129_600_000_000), ("250ms", 250_000)] {
            let lookback: Lookback = serde_json::from_value(json!(text)).unwrap();
            assert_eq!(lookback, Lookback::Micros(us));
            assert_eq!(serde_json::from_value::<Lookback>(lookback.into()).unwrap(), lookback);
        }
        for bad in [json!("2"), json!("h"), json!(""), json!(-1), json!(1.5), json!("2 h")] {
            assert!(serde_json::from_value::<Lookback>(bad.clone()).is_err(), "{bad}");
        }
        let below = |v: CursorValue, l| v.minus(&l).unwrap().to_string();
        assert_eq!(below(CursorValue::Date(10), Lookback::Micros(1)), "1970-01-10");
        assert_eq!(below(CursorValue::Decimal("10.5".into()), Lookback::Amount(3)), "6");
        assert!(CursorValue::Int(1).minus(&Lookback::Micros(1)).is_err());
    }
}
