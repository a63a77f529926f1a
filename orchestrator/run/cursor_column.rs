//! Reads cursor values out of a batch, typed and exact.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, DecimalType, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use waybill_protocol::{CursorValue, Error, Logical, Result};

/// The cursor column of a batch.
pub struct CursorColumn<'a> {
    array: &'a ArrayRef,
    logical: Logical,
    ordered: bool,
}

impl<'a> CursorColumn<'a> {
    /// The column of that name; `ordered` says whether rows arrive in its order.
    pub fn of(batch: &'a RecordBatch, name: &str, ordered: bool) -> Result<CursorColumn<'a>> {
        let schema = batch.schema_ref();
        let index = schema
            .index_of(name)
            .map_err(|e| Error::internal(format!("no cursor column {name:?} in the batch")).cause(e))?;
        Ok(CursorColumn { array: batch.column(index), logical: Logical::of(schema.field(index))?, ordered })
    }

    /// Whether rows arrive in the cursor's order.
    pub fn ordered(&self) -> bool {
        self.ordered
    }

    /// The value of a row; `None` for NULL.
    pub fn value(&self, row: usize) -> Result<Option<CursorValue>> {
        if self.array.is_null(row) {
            return Ok(None);
        }
        let array = self.array;
        Ok(Some(match self.logical {
            Logical::Int16 => CursorValue::Int(array.as_primitive::<Int16Type>().value(row).into()),
            Logical::Int32 => CursorValue::Int(array.as_primitive::<Int32Type>().value(row).into()),
            Logical::Int64 => CursorValue::Int(array.as_primitive::<Int64Type>().value(row)),
            Logical::Decimal { precision, scale } if precision <= 38 => {
                CursorValue::Decimal(Decimal128Type::format_decimal(
                    array.as_primitive::<Decimal128Type>().value(row),
                    precision,
                    scale,
                ))
            }
            Logical::Decimal { precision, scale } => CursorValue::Decimal(Decimal256Type::format_decimal(
                array.as_primitive::<Decimal256Type>().value(row),
                precision,
                scale,
            )),
            Logical::Numeric => CursorValue::Decimal(array.as_string::<i32>().value(row).to_owned()),
            Logical::Text => CursorValue::Text(array.as_string::<i32>().value(row).to_owned()),
            Logical::Uuid => CursorValue::Uuid(array.as_string::<i32>().value(row).to_owned()),
            Logical::Date => CursorValue::Date(array.as_primitive::<Date32Type>().value(row)),
            Logical::Timestamp => {
                CursorValue::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            Logical::TimestampTz => {
                CursorValue::TimestampTz(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            other => return Err(Error::config(format!("a column of type {other} cannot be a cursor"))),
        }))
    }
}
