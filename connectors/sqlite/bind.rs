//! Arrow values as SQLite holds them, bound row by row without allocating.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use rusqlite::Statement;
use rusqlite::types::Null;
use waybill_protocol::{Error, Logical, Result};

use super::affinity::NUMBER_DIGITS;
use super::iso;

/// What was done to a NaN, for the count of changed values.
pub(crate) const NAN_AS_TEXT: &str = "NaN held as text";
/// What was done to a minus zero.
pub(crate) const MINUS_ZERO: &str = "minus zero held as zero";

/// A column of a batch, ready to be bound.
pub(crate) enum Cells<'a> {
    Bool(&'a BooleanArray),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    /// At most 15 digits: a number.
    Number(&'a PrimitiveArray<Decimal128Type>, i128),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, i8),
    Decimal256(&'a PrimitiveArray<Decimal256Type>, i8),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a TimestampMicrosecondArray, bool),
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
}

/// Values of one column that were changed to fit.
#[derive(Default, Clone, Copy)]
pub(crate) struct Changed {
    /// NaN as text.
    pub(crate) nan: u64,
    /// Minus zero as zero.
    pub(crate) minus_zero: u64,
}

impl<'a> Cells<'a> {
    /// The column, if it is of the type that the load announced.
    pub(crate) fn of(name: &str, logical: Logical, array: &'a ArrayRef) -> Result<Cells<'a>> {
        if *array.data_type() != logical.data_type() {
            return Err(Error::internal(format!(
                "column {name:?} came as {}, but {logical} was announced",
                array.data_type()
            )));
        }
        Ok(match logical {
            Logical::Bool => Cells::Bool(array.as_boolean()),
            Logical::Int16 => Cells::Int16(array.as_primitive()),
            Logical::Int32 => Cells::Int32(array.as_primitive()),
            Logical::Int64 => Cells::Int64(array.as_primitive()),
            Logical::Float32 => Cells::Float32(array.as_primitive()),
            Logical::Float64 => Cells::Float64(array.as_primitive()),
            Logical::Decimal { precision, scale } if precision <= NUMBER_DIGITS => {
                Cells::Number(array.as_primitive(), 10_i128.pow(u32::from(scale.unsigned_abs())))
            }
            Logical::Decimal { precision, scale } if precision <= 38 => {
                Cells::Decimal128(array.as_primitive(), scale)
            }
            Logical::Decimal { scale, .. } => Cells::Decimal256(array.as_primitive(), scale),
            Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => {
                Cells::Text(array.as_string())
            }
            Logical::Bytes => Cells::Bytes(array.as_binary()),
            Logical::Date => Cells::Date(array.as_primitive()),
            Logical::Time => Cells::Time(array.as_primitive()),
            Logical::Timestamp => Cells::Timestamp(array.as_primitive(), false),
            Logical::TimestampTz => Cells::Timestamp(array.as_primitive(), true),
            Logical::Interval => Cells::Interval(array.as_primitive()),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Bool(a) => a.is_null(row),
            Cells::Int16(a) => a.is_null(row),
            Cells::Int32(a) => a.is_null(row),
            Cells::Int64(a) => a.is_null(row),
            Cells::Float32(a) => a.is_null(row),
            Cells::Float64(a) => a.is_null(row),
            Cells::Number(a, _) | Cells::Decimal128(a, _) => a.is_null(row),
            Cells::Decimal256(a, _) => a.is_null(row),
            Cells::Text(a) => a.is_null(row),
            Cells::Bytes(a) => a.is_null(row),
            Cells::Date(a) => a.is_null(row),
            Cells::Time(a) => a.is_null(row),
            Cells::Timestamp(a, _) => a.is_null(row),
            Cells::Interval(a) => a.is_null(row),
        }
    }

    /// Binds the value of a row to a parameter (from 1).
    pub(crate) fn bind(
        &self,
        to: &mut Statement<'_>,
        at: usize,
        row: usize,
        scratch: &mut String,
        changed: &mut Changed,
    ) -> rusqlite::Result<()> {
        if self.is_null(row) {
            return to.raw_bind_parameter(at, Null);
        }
        scratch.clear();
        match self {
            Cells::Bool(a) => return to.raw_bind_parameter(at, i64::from(a.value(row))),
            Cells::Int16(a) => return to.raw_bind_parameter(at, i64::from(a.value(row))),
            Cells::Int32(a) => return to.raw_bind_parameter(at, i64::from(a.value(row))),
            Cells::Int64(a) => return to.raw_bind_parameter(at, a.value(row)),
            Cells::Float32(a) => return float(to, at, f64::from(a.value(row)), changed),
            Cells::Float64(a) => return float(to, at, a.value(row), changed),
            Cells::Number(a, unit) => return number(to, at, a.value(row), *unit),
            Cells::Text(a) => return to.raw_bind_parameter(at, a.value(row)),
            Cells::Bytes(a) => return to.raw_bind_parameter(at, a.value(row)),
            Cells::Decimal128(a, scale) => {
                let _ = write!(scratch, "{}", a.value(row));
                point(scratch, *scale);
            }
            Cells::Decimal256(a, scale) => {
                let _ = write!(scratch, "{}", a.value(row));
                point(scratch, *scale);
            }
            Cells::Date(a) => iso::date(scratch, a.value(row)),
            Cells::Time(a) => iso::time(scratch, a.value(row)),
            Cells::Timestamp(a, instant) => iso::timestamp(scratch, a.value(row), *instant),
            Cells::Interval(a) => {
                let value = a.value(row);
                iso::interval(scratch, value.months, value.days, value.nanoseconds);
            }
        }
        to.raw_bind_parameter(at, scratch.as_str())
    }
}

/// SQLite turns a NaN into NULL and forgets the sign of a zero.
fn float(to: &mut Statement<'_>, at: usize, value: f64, changed: &mut Changed) -> rusqlite::Result<()> {
    if value.is_nan() {
        changed.nan += 1;
        return to.raw_bind_parameter(at, "NaN");
    }
    changed.minus_zero += u64::from(value == 0.0 && value.is_sign_negative());
    to.raw_bind_parameter(at, value)
}

/// A decimal of at most 15 digits as the nearest number: both operands are exact as doubles, so
/// the one division rounds exactly as reading the decimal's text would.
fn number(to: &mut Statement<'_>, at: usize, value: i128, unit: i128) -> rusqlite::Result<()> {
    match i64::try_from(value / unit) {
        Ok(whole) if value % unit == 0 => to.raw_bind_parameter(at, whole),
        _ => to.raw_bind_parameter(at, value as f64 / unit as f64),
    }
}

/// Puts the decimal point into an unscaled number.
pub(crate) fn point(digits: &mut String, scale: i8) {
    let scale = usize::from(scale.unsigned_abs());
    if scale == 0 {
        return;
    }
    let start = usize::from(digits.starts_with('-'));
    while digits.len() - start <= scale {
        digits.insert(start, '0');
    }
    digits.insert(digits.len() - scale, '.');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_goes_where_the_scale_says() {
        for (digits, scale, expected) in [
            ("1250", 2, "12.50"),
            ("-5", 2, "-0.05"),
            ("0", 3, "0.000"),
            ("7", 0, "7"),
            ("-1234", 4, "-0.1234"),
        ] {
            let mut text = digits.to_owned();
            point(&mut text, scale);
            assert_eq!(text, expected);
        }
    }
}
