//! The forms a value may take between a source and a destination.
//!
//! Batches are Arrow, but a connector meets only the Arrow types named by [`Logical`]; what a
//! system has beyond them travels as one of these with the source's own type in the field's
//! metadata. Every connector matches on [`Logical::of`] and never on raw Arrow types.

use std::collections::HashMap;
use std::fmt;

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Kind, Result};

/// Metadata key: the logical type where Arrow's own type does not say it (`json`, `uuid`, `numeric`).
pub const LOGICAL_KEY: &str = "waybill.logical";
/// Metadata key: the source's own name of the type, such as `numeric(12,2)` or `character varying(40)`.
pub const NATIVE_KEY: &str = "waybill.native_type";
/// The column that says which run loaded a row, at every destination unless `metadata: false`.
pub const RUN_ID_COLUMN: &str = "_waybill_run_id";
/// Reserved column: per row, whether its cursor lies at or above the next floor as the source's
/// server compares it. Sent only where the order of the cursor cannot be known outside the source
/// (text under a collation); dropped before loading.
pub const IN_WINDOW_COLUMN: &str = "_in_window";

/// A value's logical type and, beside it, the one Arrow type that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Logical {
    /// `Boolean`.
    Bool,
    /// `Int16`.
    Int16,
    /// `Int32`.
    Int32,
    /// `Int64`.
    Int64,
    /// `Float32`: shortest round-trip form is the value; NaN and infinities included.
    Float32,
    /// `Float64`, likewise.
    Float64,
    /// `Decimal128` up to precision 38, `Decimal256` up to 76; 0 ≤ scale ≤ precision.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// `Utf8` with logical `numeric`: a decimal of any length in plain digits (`-12.50`), `NaN`, `Infinity` or `-Infinity`.
    Numeric,
    /// `Utf8`.
    Text,
    /// `Utf8` with logical `json`: the document's text as the source wrote it.
    Json,
    /// `Utf8` with logical `uuid`: lower-case, hyphenated.
    Uuid,
    /// `Binary`.
    Bytes,
    /// `Date32`: days since 1970-01-01, proleptic Gregorian; `i32::MAX` and `i32::MIN` are ±infinity.
    Date,
    /// `Time64(Microsecond)`: 0 to 86 400 000 000 (24:00 included).
    Time,
    /// `Timestamp(Microsecond, None)`: a wall clock without zone; `i64::MAX` and `i64::MIN` are ±infinity.
    Timestamp,
    /// `Timestamp(Microsecond, "UTC")`: an instant; likewise.
    TimestampTz,
    /// `Interval(MonthDayNano)`.
    Interval,
}

impl Logical {
    /// What a field carries; an Arrow type outside the contract is a bug of the sender.
    pub fn of(field: &Field) -> Result<Logical> {
        let logical = field.metadata().get(LOGICAL_KEY).map(String::as_str);
        Ok(match (field.data_type(), logical) {
            (DataType::Boolean, None) => Logical::Bool,
            (DataType::Int16, None) => Logical::Int16,
            (DataType::Int32, None) => Logical::Int32,
            (DataType::Int64, None) => Logical::Int64,
            (DataType::Float32, None) => Logical::Float32,
            (DataType::Float64, None) => Logical::Float64,
            (DataType::Decimal128(precision, scale), None)
            | (DataType::Decimal256(precision, scale), None) => {
                Logical::Decimal { precision: *precision, scale: *scale }
            }
            (DataType::Utf8, None) => Logical::Text,
            (DataType::Utf8, Some("numeric")) => Logical::Numeric,
            (DataType::Utf8, Some("json")) => Logical::Json,
            (DataType::Utf8, Some("uuid")) => Logical::Uuid,
            (DataType::Binary, None) => Logical::Bytes,
            (DataType::Date32, None) => Logical::Date,
            (DataType::Time64(TimeUnit::Microsecond), None) => Logical::Time,
            (DataType::Timestamp(TimeUnit::Microsecond, None), None) => Logical::Timestamp,
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), None) => Logical::TimestampTz,
            (DataType::Interval(IntervalUnit::MonthDayNano), None) => Logical::Interval,
            (other, logical) => {
                return Err(Error::new(
                    Kind::Internal,
                    format!(
                        "column {:?} has Arrow type {other} (logical {logical:?}), which is outside the contract",
                        field.name()
                    ),
                ));
            }
        })
    }

    /// The Arrow type that carries it.
    pub fn data_type(self) -> DataType {
        match self {
            Logical::Bool => DataType::Boolean,
            Logical::Int16 => DataType::Int16,
            Logical::Int32 => DataType::Int32,
            Logical::Int64 => DataType::Int64,
            Logical::Float32 => DataType::Float32,
            Logical::Float64 => DataType::Float64,
            Logical::Decimal { precision, scale } if precision <= 38 => {
                DataType::Decimal128(precision, scale)
            }
            Logical::Decimal { precision, scale } => DataType::Decimal256(precision, scale),
            Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => DataType::Utf8,
            Logical::Bytes => DataType::Binary,
            Logical::Date => DataType::Date32,
            Logical::Time => DataType::Time64(TimeUnit::Microsecond),
            Logical::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Logical::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Logical::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }

    /// A field of this type; `native` is the source's own name of the type, empty where it has none.
    pub fn field(self, name: &str, nullable: bool, native: &str) -> Field {
        let mut metadata = HashMap::new();
        let logical = match self {
            Logical::Numeric => Some("numeric"),
            Logical::Json => Some("json"),
            Logical::Uuid => Some("uuid"),
            _ => None,
        };
        if let Some(logical) = logical {
            metadata.insert(LOGICAL_KEY.to_owned(), logical.to_owned());
        }
        if !native.is_empty() {
            metadata.insert(NATIVE_KEY.to_owned(), native.to_owned());
        }
        Field::new(name, self.data_type(), nullable).with_metadata(metadata)
    }

    /// The narrowest type that holds every value of both exactly, with text as the last resort.
    /// Used when a later value does not fit what was inferred or stored.
    pub fn widen(self, other: Logical) -> Logical {
        use Logical::*;
        if self == other {
            return self;
        }
        match (self, other) {
            (Int16, Int32) | (Int32, Int16) => Int32,
            (Int16 | Int32, Int64) | (Int64, Int16 | Int32) => Int64,
            (Float32, Float64) | (Float64, Float32) => Float64,
            (Int16, Float32) | (Float32, Int16) => Float32,
            (Int16 | Int32, Float64) | (Float64, Int16 | Int32) => Float64,
            (Int32, Float32) | (Float32, Int32) => Float64,
            (Decimal { precision, scale }, Decimal { precision: p, scale: s }) => {
                let whole = (i16::from(precision) - i16::from(scale)).max(i16::from(p) - i16::from(s));
                decimal_or_numeric(whole, i16::from(scale.max(s)))
            }
            (Decimal { precision, scale }, Int16 | Int32 | Int64)
            | (Int16 | Int32 | Int64, Decimal { precision, scale }) => {
                let digits = if self == Int16 || other == Int16 {
                    5
                } else if self == Int32 || other == Int32 {
                    10
                } else {
                    19
                };
                let whole = (i16::from(precision) - i16::from(scale)).max(digits);
                decimal_or_numeric(whole, i16::from(scale))
            }
            (Numeric | Float32 | Float64, Int64 | Decimal { .. } | Numeric)
            | (Int64 | Decimal { .. } | Numeric, Numeric | Float32 | Float64)
            | (Numeric, Int16 | Int32)
            | (Int16 | Int32, Numeric) => Numeric,
            _ => Text,
        }
    }

    /// Whether values of this type have an order in which a cursor may advance.
    pub fn ordered(self) -> bool {
        use Logical::*;
        matches!(
            self,
            Int16 | Int32 | Int64 | Decimal { .. } | Numeric | Text | Uuid | Date | Timestamp | TimestampTz
        )
    }
}

fn decimal_or_numeric(whole: i16, scale: i16) -> Logical {
    match (u8::try_from(whole + scale), i8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if precision <= 76 => {
            Logical::Decimal { precision: precision.max(1), scale }
        }
        _ => Logical::Numeric,
    }
}

impl fmt::Display for Logical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Logical::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            other => f.write_str(match other {
                Logical::Bool => "bool",
                Logical::Int16 => "int16",
                Logical::Int32 => "int32",
                Logical::Int64 => "int64",
                Logical::Float32 => "float32",
                Logical::Float64 => "float64",
                Logical::Numeric => "numeric",
                Logical::Text => "text",
                Logical::Json => "json",
                Logical::Uuid => "uuid",
                Logical::Bytes => "bytes",
                Logical::Date => "date",
                Logical::Time => "time",
                Logical::Timestamp => "timestamp",
                Logical::TimestampTz => "timestamptz",
                Logical::Interval | Logical::Decimal { .. } => "interval",
            }),
        }
    }
}

impl std::str::FromStr for Logical {
    type Err = Error;

    /// Reads what [`fmt::Display`] writes: `int64`, `decimal(12,2)`, `timestamptz`, …
    fn from_str(text: &str) -> Result<Logical> {
        use Logical::*;
        const NAMED: [Logical; 16] = [
            Bool,
            Int16,
            Int32,
            Int64,
            Float32,
            Float64,
            Numeric,
            Text,
            Json,
            Uuid,
            Bytes,
            Date,
            Time,
            Timestamp,
            TimestampTz,
            Interval,
        ];
        if let Some(found) = NAMED.into_iter().find(|l| l.to_string() == text) {
            return Ok(found);
        }
        let inner = text.strip_prefix("decimal(").and_then(|t| t.strip_suffix(')'));
        if let Some((precision, scale)) = inner.and_then(|t| t.split_once(','))
            && let (Ok(precision), Ok(scale)) = (precision.trim().parse(), scale.trim().parse())
            && (1..=76).contains(&precision)
            && (0..=precision as i8).contains(&scale)
        {
            return Ok(Decimal { precision, scale });
        }
        Err(Error::config(format!("{text:?} is no type")).hint(
            "use one of bool, int16, int32, int64, float32, float64, decimal(p,s), numeric, text, json, uuid, bytes, date, time, timestamp, timestamptz, interval",
        ))
    }
}

/// How well a destination can hold a column, decided before loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// Every value arrives as it left, in a type of the same meaning.
    Exact,
    /// Every value arrives, in a wider or more general type (a UUID as text).
    Widened,
    /// Some values cannot be kept. Refused unless the stream allows it.
    Lossy,
}

/// A destination's decision about one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// How well it fits.
    pub fidelity: Fidelity,
    /// The type of the column at the destination, in its own words.
    pub native: String,
    /// Why it is not exact; empty where it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_says_what_it_carries_and_text_reads_back() {
        for logical in [
            Logical::Bool,
            Logical::Json,
            Logical::Numeric,
            Logical::Uuid,
            Logical::Decimal { precision: 12, scale: 2 },
            Logical::Decimal { precision: 50, scale: 0 },
            Logical::TimestampTz,
            Logical::Interval,
        ] {
            assert_eq!(Logical::of(&logical.field("c", true, "x")).unwrap(), logical);
            assert_eq!(logical.to_string().parse::<Logical>().unwrap(), logical);
        }
        assert!("decimal(3,9)".parse::<Logical>().is_err());
    }

    #[test]
    fn widening_keeps_every_value() {
        use Logical::*;
        assert_eq!(Int32.widen(Int64), Int64);
        assert_eq!(Int64.widen(Decimal { precision: 5, scale: 2 }), Decimal { precision: 21, scale: 2 });
        assert_eq!(Int64.widen(Float64), Numeric);
        assert_eq!(Int32.widen(Float64), Float64);
        assert_eq!(Date.widen(Int64), Text);
        assert_eq!(Decimal { precision: 76, scale: 0 }.widen(Decimal { precision: 10, scale: 9 }), Numeric);
    }
}
