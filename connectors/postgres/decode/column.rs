//! One column being filled.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{
    BooleanBufferBuilder, Buffer, IntervalMonthDayNano, NullBuffer, NullBufferBuilder, OffsetBuffer,
    ScalarBuffer, i256,
};
use arrow_schema::{ArrowError, DataType};
use waybill_protocol::{Error, Logical, Result};

use super::numeric;
use super::scalar::{Fault, date, fixed, interval, parsed, timestamp, write_uuid};
use crate::postgres::kinds::Wire;

/// How one value is read.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Decimal128 { scale: i32, limit: i128 },
    Decimal256 { scale: i32, limit: i256 },
    NumericText,
    Text,
    Jsonb,
    Bytes,
    UuidText,
    Date,
    Time,
    Timestamp,
    Interval,
}

enum Values {
    Bool(BooleanBufferBuilder),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    I256(Vec<i256>),
    Interval(Vec<IntervalMonthDayNano>),
    Var { offsets: Vec<i32>, data: Vec<u8> },
}

/// A column being filled.
pub(super) struct Column {
    cell: Cell,
    values: Values,
    nulls: NullBufferBuilder,
}

impl Column {
    /// A column that the server sends as `wire` and that becomes `logical`.
    pub(super) fn new(wire: Wire, logical: Logical) -> Result<Column> {
        let cell = match (wire, logical) {
            (Wire::Bool, Logical::Bool) => Cell::Bool,
            (Wire::Int2, Logical::Int16) => Cell::Int2,
            (Wire::Int4, Logical::Int32) => Cell::Int4,
            (Wire::Int8, Logical::Int64) => Cell::Int8,
            (Wire::Oid, Logical::Int64) => Cell::Oid,
            (Wire::Float4, Logical::Float32) => Cell::Float4,
            (Wire::Float8, Logical::Float64) => Cell::Float8,
            (Wire::Numeric, Logical::Decimal { precision, scale }) if precision <= 38 => {
                Cell::Decimal128 { scale: i32::from(scale), limit: 10i128.pow(u32::from(precision)) }
            }
            (Wire::Numeric, Logical::Decimal { precision, scale }) => {
                Cell::Decimal256 { scale: i32::from(scale), limit: numeric::power(u32::from(precision)) }
            }
            (Wire::Numeric, Logical::Numeric) => Cell::NumericText,
            (Wire::Text, Logical::Text | Logical::Json) => Cell::Text,
            (Wire::Jsonb, Logical::Json) => Cell::Jsonb,
            (Wire::Bytea, Logical::Bytes) => Cell::Bytes,
            (Wire::Uuid, Logical::Uuid) => Cell::UuidText,
            (Wire::Date, Logical::Date) => Cell::Date,
            (Wire::Time, Logical::Time) => Cell::Time,
            (Wire::Timestamp, Logical::Timestamp | Logical::TimestampTz) => Cell::Timestamp,
            (Wire::Interval, Logical::Interval) => Cell::Interval,
            (wire, logical) => return Err(Error::internal(format!("{wire:?} cannot be read as {logical}"))),
        };
        Ok(Column { cell, values: Values::empty(cell, 0, 0), nulls: NullBufferBuilder::new(0) })
    }

    /// Bytes of a value, offsets included.
    pub(super) fn width(&self) -> usize {
        match self.values {
            Values::Bool(_) => 1,
            Values::I16(_) => 2,
            Values::I32(_) | Values::F32(_) | Values::Var { .. } => 4,
            Values::I64(_) | Values::F64(_) => 8,
            Values::I128(_) | Values::Interval(_) => 16,
            Values::I256(_) => 32,
        }
    }

    /// Takes a NULL.
    pub(super) fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::I16(values) => values.push(0),
            Values::I32(values) => values.push(0),
            Values::I64(values) => values.push(0),
            Values::F32(values) => values.push(0.0),
            Values::F64(values) => values.push(0.0),
            Values::I128(values) => values.push(0),
            Values::I256(values) => values.push(i256::ZERO),
            Values::Interval(values) => values.push(IntervalMonthDayNano::ZERO),
            Values::Var { offsets, data } => offsets.push(end(data)),
        }
    }

    /// Takes a value; says how many bytes of variable width it added.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut added = 0;
        match (&mut self.values, self.cell) {
            (Values::I32(values), Cell::Int4) => values.push(i32::from_be_bytes(fixed(bytes)?)),
            (Values::I64(values), Cell::Int8) => values.push(i64::from_be_bytes(fixed(bytes)?)),
            (Values::Var { offsets, data }, cell) => added = push_variable(cell, bytes, offsets, data)?,
            (Values::I64(values), Cell::Timestamp) => values.push(timestamp(bytes)?),
            (Values::I64(values), Cell::Oid) => values.push(i64::from(u32::from_be_bytes(fixed(bytes)?))),
            (Values::I64(values), _) => values.push(i64::from_be_bytes(fixed(bytes)?)),
            (Values::I32(values), _) => values.push(date(bytes)?),
            (Values::I16(values), _) => values.push(i16::from_be_bytes(fixed(bytes)?)),
            (Values::Bool(values), _) => values.append(fixed::<1>(bytes)? != [0]),
            (Values::F32(values), _) => values.push(f32::from_be_bytes(fixed(bytes)?)),
            (Values::F64(values), _) => values.push(f64::from_be_bytes(fixed(bytes)?)),
            (Values::I128(values), Cell::Decimal128 { scale, limit }) => {
                values.push(parsed(bytes)?.to_i128(scale, limit).ok_or(Fault::Misfit(Logical::Numeric))?);
            }
            (Values::I256(values), Cell::Decimal256 { scale, limit }) => {
                values.push(parsed(bytes)?.to_i256(scale, limit).ok_or(Fault::Misfit(Logical::Numeric))?);
            }
            (Values::Interval(values), _) => values.push(interval(bytes)?),
            (Values::I128(_) | Values::I256(_), _) => return Err(Fault::Value("is no decimal")),
        }
        self.nulls.append_non_null();
        Ok(added)
    }

    /// What was taken, as an array; text that is not UTF-8 is refused here.
    pub(super) fn finish(&mut self, data_type: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        let bytes = match &self.values {
            // Room for as much again, without doubling on the way.
            Values::Var { data, .. } => data.len() + data.len() / 8,
            _ => 0,
        };
        let values = std::mem::replace(&mut self.values, Values::empty(self.cell, rows, bytes));
        let nulls = std::mem::replace(&mut self.nulls, NullBufferBuilder::new(rows)).finish();
        Ok(match values {
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::I16(values) => primitive::<Int16Type>(values, nulls, data_type)?,
            Values::I32(values) if *data_type == DataType::Date32 => {
                primitive::<Date32Type>(values, nulls, data_type)?
            }
            Values::I32(values) => primitive::<Int32Type>(values, nulls, data_type)?,
            Values::I64(values) => match data_type {
                DataType::Timestamp(..) => primitive::<TimestampMicrosecondType>(values, nulls, data_type)?,
                DataType::Time64(_) => primitive::<Time64MicrosecondType>(values, nulls, data_type)?,
                _ => primitive::<Int64Type>(values, nulls, data_type)?,
            },
            Values::F32(values) => primitive::<Float32Type>(values, nulls, data_type)?,
            Values::F64(values) => primitive::<Float64Type>(values, nulls, data_type)?,
            Values::I128(values) => primitive::<Decimal128Type>(values, nulls, data_type)?,
            Values::I256(values) => primitive::<Decimal256Type>(values, nulls, data_type)?,
            Values::Interval(values) => primitive::<IntervalMonthDayNanoType>(values, nulls, data_type)?,
            Values::Var { offsets, data } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let data = Buffer::from_vec(data);
                match data_type {
                    DataType::Binary => Arc::new(BinaryArray::try_new(offsets, data, nulls)?),
                    _ => Arc::new(StringArray::try_new(offsets, data, nulls)?),
                }
            }
        })
    }
}

impl Values {
    fn empty(cell: Cell, rows: usize, bytes: usize) -> Values {
        match cell {
            Cell::Bool => Values::Bool(BooleanBufferBuilder::new(rows)),
            Cell::Int2 => Values::I16(Vec::with_capacity(rows)),
            Cell::Int4 | Cell::Date => Values::I32(Vec::with_capacity(rows)),
            Cell::Int8 | Cell::Oid | Cell::Time | Cell::Timestamp => Values::I64(Vec::with_capacity(rows)),
            Cell::Float4 => Values::F32(Vec::with_capacity(rows)),
            Cell::Float8 => Values::F64(Vec::with_capacity(rows)),
            Cell::Decimal128 { .. } => Values::I128(Vec::with_capacity(rows)),
            Cell::Decimal256 { .. } => Values::I256(Vec::with_capacity(rows)),
            Cell::Interval => Values::Interval(Vec::with_capacity(rows)),
            Cell::NumericText | Cell::Text | Cell::Jsonb | Cell::Bytes | Cell::UuidText => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Values::Var { offsets, data: Vec::with_capacity(bytes) }
            }
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls)?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

/// The end of the data as an offset. A batch ends long before it could overflow: a value has at
/// most 1 GiB and the batch is sent after it.
fn end(data: &[u8]) -> i32 {
    i32::try_from(data.len()).unwrap_or(i32::MAX)
}

fn push_variable(
    cell: Cell,
    bytes: &[u8],
    offsets: &mut Vec<i32>,
    data: &mut Vec<u8>,
) -> Result<usize, Fault> {
    let before = data.len();
    match cell {
        Cell::NumericText => parsed(bytes)?.write_text(data),
        Cell::UuidText => write_uuid(&fixed(bytes)?, data),
        Cell::Jsonb => match bytes.split_first() {
            Some((1, text)) => data.extend_from_slice(text),
            _ => return Err(Fault::Value("has a jsonb of an unknown version")),
        },
        _ => data.extend_from_slice(bytes),
    }
    if data.len() > i32::MAX as usize {
        return Err(Fault::Value("has values too large for one batch"));
    }
    offsets.push(end(data));
    Ok(data.len() - before)
}
