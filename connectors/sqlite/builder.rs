//! Stored values into Arrow columns, one builder a column.

use arrow_array::builder::ArrayBuilder as _;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, types::IntervalMonthDayNano};
use rusqlite::types::ValueRef;
use waybill_protocol::Logical;

use super::{affinity, decode, observe};

/// A value that is not of the column's type.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// The narrowest type that would hold it too; the column's own where none would.
    pub(crate) wider: Logical,
    /// What it is, without its value.
    pub(crate) found: &'static str,
}

enum Cells {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal128(Decimal128Builder, u8, i8),
    Decimal256(Decimal256Builder, u8, i8),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder, bool),
    Interval(IntervalMonthDayNanoBuilder),
}

/// A column under construction.
pub(crate) struct Column {
    /// Its type.
    pub(crate) logical: Logical,
    /// What the column was declared as: how its numbers are written where text is asked for.
    was: Option<Logical>,
    cells: Cells,
}

impl Column {
    /// An empty column.
    pub(crate) fn new(logical: Logical) -> Column {
        let of_type = logical.data_type();
        let cells = match logical {
            Logical::Bool => Cells::Bool(BooleanBuilder::new()),
            Logical::Int16 => Cells::Int16(Int16Builder::new()),
            Logical::Int32 => Cells::Int32(Int32Builder::new()),
            Logical::Int64 => Cells::Int64(Int64Builder::new()),
            Logical::Float32 => Cells::Float32(Float32Builder::new()),
            Logical::Float64 => Cells::Float64(Float64Builder::new()),
            Logical::Decimal { precision, scale } if precision <= 38 => {
                Cells::Decimal128(Decimal128Builder::new().with_data_type(of_type), precision, scale)
            }
            Logical::Decimal { precision, scale } => {
                Cells::Decimal256(Decimal256Builder::new().with_data_type(of_type), precision, scale)
            }
            Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => {
                Cells::Text(StringBuilder::new())
            }
            Logical::Bytes => Cells::Bytes(BinaryBuilder::new()),
            Logical::Date => Cells::Date(Date32Builder::new()),
            Logical::Time => Cells::Time(Time64MicrosecondBuilder::new()),
            Logical::Timestamp | Logical::TimestampTz => Cells::Timestamp(
                TimestampMicrosecondBuilder::new().with_data_type(of_type),
                logical == Logical::TimestampTz,
            ),
            Logical::Interval => Cells::Interval(IntervalMonthDayNanoBuilder::new()),
        };
        Column { logical, was: None, cells }
    }

    /// An empty column of a type, for values of a column declared like that.
    pub(crate) fn declared(logical: Logical, declaration: &str) -> Column {
        Column { was: affinity::declared(declaration), ..Column::new(logical) }
    }

    /// An empty column of another type for the same values.
    pub(crate) fn as_type(&self, logical: Logical) -> Column {
        Column { was: self.was, ..Column::new(logical) }
    }

    /// Appends a value and says how many bytes it takes. A misfit appends nothing.
    pub(crate) fn push(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        if value == ValueRef::Null {
            self.push_null();
            return Ok(4);
        }
        let logical = self.logical;
        let misfit = || observe::misfit(logical, value);
        Ok(match &mut self.cells {
            Cells::Bool(b) => match value {
                ValueRef::Integer(i @ (0 | 1)) => {
                    b.append_value(i == 1);
                    1
                }
                _ => return Err(misfit()),
            },
            Cells::Int16(b) => {
                b.append_value(decode::int(value).and_then(|i| i.try_into().ok()).ok_or_else(misfit)?);
                2
            }
            Cells::Int32(b) => {
                b.append_value(decode::int(value).and_then(|i| i.try_into().ok()).ok_or_else(misfit)?);
                4
            }
            Cells::Int64(b) => {
                b.append_value(decode::int(value).ok_or_else(misfit)?);
                8
            }
            Cells::Float32(b) => {
                let wide = decode::float(value).ok_or_else(misfit)?;
                let narrow = wide as f32;
                if !wide.is_nan() && f64::from(narrow) != wide {
                    return Err(misfit());
                }
                b.append_value(narrow);
                4
            }
            Cells::Float64(b) => {
                b.append_value(decode::float(value).ok_or_else(misfit)?);
                8
            }
            Cells::Decimal128(b, precision, scale) => {
                let unscaled = decode::unscaled(value, *precision, *scale).and_then(|v| v.to_i128());
                b.append_value(unscaled.ok_or_else(misfit)?);
                16
            }
            Cells::Decimal256(b, precision, scale) => {
                b.append_value(decode::unscaled(value, *precision, *scale).ok_or_else(misfit)?);
                32
            }
            Cells::Text(b) => return text(b, logical, self.was, value).ok_or_else(misfit),
            Cells::Bytes(b) => match value {
                ValueRef::Blob(bytes) => {
                    b.append_value(bytes);
                    bytes.len() + 4
                }
                _ => return Err(misfit()),
            },
            Cells::Date(b) => {
                b.append_value(decode::date(value).ok_or_else(misfit)?);
                4
            }
            Cells::Time(b) => {
                b.append_value(decode::time(value).ok_or_else(misfit)?);
                8
            }
            Cells::Timestamp(b, instant) => {
                b.append_value(decode::timestamp(value, *instant).ok_or_else(misfit)?);
                8
            }
            Cells::Interval(b) => {
                let (months, days, nanos) = decode::interval(value).ok_or_else(misfit)?;
                b.append_value(IntervalMonthDayNano::new(months, days, nanos));
                16
            }
        })
    }

    /// Appends a NULL.
    pub(crate) fn push_null(&mut self) {
        match &mut self.cells {
            Cells::Bool(b) => b.append_null(),
            Cells::Int16(b) => b.append_null(),
            Cells::Int32(b) => b.append_null(),
            Cells::Int64(b) => b.append_null(),
            Cells::Float32(b) => b.append_null(),
            Cells::Float64(b) => b.append_null(),
            Cells::Decimal128(b, _, _) => b.append_null(),
            Cells::Decimal256(b, _, _) => b.append_null(),
            Cells::Text(b) => b.append_null(),
            Cells::Bytes(b) => b.append_null(),
            Cells::Date(b) => b.append_null(),
            Cells::Time(b) => b.append_null(),
            Cells::Timestamp(b, _) => b.append_null(),
            Cells::Interval(b) => b.append_null(),
        }
    }

    /// The column, leaving an empty one behind.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        match &mut self.cells {
            Cells::Bool(b) => std::sync::Arc::new(b.finish()),
            Cells::Int16(b) => std::sync::Arc::new(b.finish()),
            Cells::Int32(b) => std::sync::Arc::new(b.finish()),
            Cells::Int64(b) => std::sync::Arc::new(b.finish()),
            Cells::Float32(b) => std::sync::Arc::new(b.finish()),
            Cells::Float64(b) => std::sync::Arc::new(b.finish()),
            Cells::Decimal128(b, _, _) => std::sync::Arc::new(b.finish()),
            Cells::Decimal256(b, _, _) => std::sync::Arc::new(b.finish()),
            Cells::Text(b) => std::sync::Arc::new(b.finish()),
            Cells::Bytes(b) => std::sync::Arc::new(b.finish()),
            Cells::Date(b) => std::sync::Arc::new(b.finish()),
            Cells::Time(b) => std::sync::Arc::new(b.finish()),
            Cells::Timestamp(b, _) => std::sync::Arc::new(b.finish()),
            Cells::Interval(b) => std::sync::Arc::new(b.finish()),
        }
    }
}

fn text(
    to: &mut StringBuilder,
    logical: Logical,
    was: Option<Logical>,
    value: ValueRef<'_>,
) -> Option<usize> {
    let before = to.len();
    let length = match logical {
        Logical::Numeric => {
            let digits = decode::numeric(value)?;
            let digits = match was {
                Some(Logical::Decimal { .. }) => decode::as_text(value, was)?,
                _ => digits,
            };
            to.append_value(&digits);
            digits.len()
        }
        Logical::Uuid => {
            let id = decode::uuid(value)?;
            to.append_value(id);
            id.len()
        }
        Logical::Json if matches!(value, ValueRef::Blob(_)) => return None,
        _ => {
            let found = decode::as_text(value, was)?;
            to.append_value(&found);
            found.len()
        }
    };
    debug_assert_eq!(to.len(), before + 1);
    Some(length + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_says_what_would_hold_it() {
        let wider = |logical, value| Column::new(logical).push(value).unwrap_err().wider;
        assert_eq!(wider(Logical::Bool, ValueRef::Integer(7)), Logical::Int64);
        assert_eq!(wider(Logical::Int32, ValueRef::Integer(1 << 40)), Logical::Int64);
        assert_eq!(wider(Logical::Int64, ValueRef::Real(1.5)), Logical::Numeric);
        assert_eq!(wider(Logical::Int64, ValueRef::Text(b"x")), Logical::Text);
        assert_eq!(wider(Logical::Date, ValueRef::Text(b"2024-02-30")), Logical::Text);
        assert_eq!(
            wider(Logical::Decimal { precision: 5, scale: 2 }, ValueRef::Real(12345.678)),
            Logical::Decimal { precision: 8, scale: 3 }
        );
        assert_eq!(wider(Logical::Float32, ValueRef::Real(0.1)), Logical::Float64);
        assert_eq!(wider(Logical::Bytes, ValueRef::Integer(1)), Logical::Text);
        assert_eq!(wider(Logical::Text, ValueRef::Text(&[0xff])), Logical::Text);
    }

    #[test]
    fn numbers_as_text_are_written_as_their_column_was_declared() {
        use arrow_array::cast::AsArray;
        let text = |logical, declaration, value| {
            let mut column = Column::declared(logical, declaration);
            column.push(value).unwrap();
            column.finish().as_string::<i32>().value(0).to_owned()
        };
        assert_eq!(text(Logical::Text, "BOOLEAN", ValueRef::Integer(1)), "true");
        assert_eq!(text(Logical::Text, "DECIMAL(9,2)", ValueRef::Real(1.5)), "1.50");
        assert_eq!(text(Logical::Numeric, "DECIMAL(9,2)", ValueRef::Integer(1)), "1.00");
        assert_eq!(text(Logical::Text, "INTEGER", ValueRef::Integer(1)), "1");
    }

    #[test]
    fn a_misfit_appends_nothing() {
        let mut column = Column::new(Logical::Int64);
        column.push(ValueRef::Integer(1)).unwrap();
        column.push(ValueRef::Text(b"x")).unwrap_err();
        column.push(ValueRef::Null).unwrap();
        assert_eq!(column.finish().len(), 2);
    }
}
