//! One column of a batch in the making: it takes a value whole or says that it does not fit.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::Field;
use waybill_protocol::{Error, Logical};

use super::cell::Cell;
use super::values::Values;

/// A column of a batch in the making.
#[derive(Debug)]
pub(super) struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub logical: Logical,
    /// Whether the type was declared: it never widens, and takes more ways of writing a value.
    pub declared: bool,
    nullable: bool,
    valid: Vec<bool>,
    nulls: bool,
    values: Values,
}

/// Why a value was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is not exactly of the column's type.
    Type,
    /// It is NULL where there must be a value.
    Null,
}

impl Column {
    /// An empty column for a field.
    pub(super) fn new(field: &Field, declared: bool) -> waybill_protocol::Result<Column> {
        let logical = Logical::of(field)?;
        let values = Values::of(logical).ok_or_else(|| {
            Error::config(format!("column {:?}: files hold no values of type {logical}", field.name()))
        })?;
        Ok(Column {
            name: field.name().clone(),
            logical,
            declared,
            nullable: field.is_nullable(),
            valid: Vec::new(),
            nulls: false,
            values,
        })
    }

    /// Adds a value, or leaves the column as it was.
    pub(super) fn push(&mut self, cell: &Cell<'_>) -> Result<(), Misfit> {
        if matches!(cell, Cell::Null) {
            if !self.nullable {
                return Err(Misfit::Null);
            }
            self.push_null();
            return Ok(());
        }
        self.values.push(self.logical, self.declared, cell).ok_or(Misfit::Type)?;
        self.valid.push(true);
        Ok(())
    }

    /// Adds a line number.
    pub(super) fn push_line(&mut self, line: u64) -> Result<(), Misfit> {
        match (&mut self.values, i64::try_from(line)) {
            (Values::I64(values), Ok(line)) if self.logical == Logical::Int64 => {
                values.push(line);
                self.valid.push(true);
                Ok(())
            }
            _ => self.push(&Cell::Number(line.to_string().as_bytes())),
        }
    }

    fn push_null(&mut self) {
        self.valid.push(false);
        self.nulls = true;
        self.values.push_null();
    }

    /// Takes everything after the first `rows` back.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.valid.truncate(rows);
        self.values.truncate(rows);
    }

    /// The values so far as an array; the column is empty afterwards.
    pub(super) fn take(&mut self) -> waybill_protocol::Result<ArrayRef> {
        let room = self.valid.len();
        let valid = std::mem::replace(&mut self.valid, Vec::with_capacity(room));
        let nulls = std::mem::take(&mut self.nulls).then(|| NullBuffer::from(valid));
        let empty = Values::of(self.logical)
            .ok_or_else(|| Error::internal(format!("column {:?} changed its type", self.name)))?;
        let logical = self.logical;
        let array = match std::mem::replace(&mut self.values, empty) {
            Values::Bool(v) => Arc::new(BooleanArray::new(BooleanBuffer::from(v), nulls)) as ArrayRef,
            Values::I16(v) => primitive::<Int16Type>(v, nulls),
            Values::I32(v) if logical == Logical::Date => primitive::<Date32Type>(v, nulls),
            Values::I32(v) => primitive::<Int32Type>(v, nulls),
            Values::I64(v) => match logical {
                Logical::Time => primitive::<Time64MicrosecondType>(v, nulls),
                Logical::Timestamp => primitive::<TimestampMicrosecondType>(v, nulls),
                Logical::TimestampTz => Arc::new(
                    PrimitiveArray::<TimestampMicrosecondType>::new(v.into(), nulls).with_timezone("UTC"),
                ),
                _ => primitive::<Int64Type>(v, nulls),
            },
            Values::F32(v) => primitive::<Float32Type>(v, nulls),
            Values::F64(v) => primitive::<Float64Type>(v, nulls),
            Values::D128(v) => {
                let plain = PrimitiveArray::<Decimal128Type>::new(v.into(), nulls);
                Arc::new(plain.with_data_type(logical.data_type()))
            }
            Values::D256(v) => {
                let plain = PrimitiveArray::<Decimal256Type>::new(v.into(), nulls);
                Arc::new(plain.with_data_type(logical.data_type()))
            }
            Values::Text(bytes, ends) => {
                let mut offsets = Vec::with_capacity(ends.len() + 1);
                offsets.push(0);
                offsets.extend_from_slice(&ends);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let array = StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls).map_err(|e| {
                    Error::internal(format!("column {:?} holds what is not UTF-8", self.name)).cause(e)
                })?;
                Arc::new(array)
            }
        };
        Ok(array)
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
}
