//! The identity of rows: a versioned 128-bit hash over columns, computed column by column.
//!
//! Version 1. The hash of a row starts as 16 zero bytes and, for each covered column in order,
//! becomes `xxh3_128(hash as little-endian bytes ‖ tag ‖ value)`. Integers of every width are
//! eight bytes, so that a widened column keeps its identities.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use xxhash_rust::xxh3::xxh3_128;

use crate::value::Logical;
use crate::{Error, Result};

/// Version of hash and encoding, stored beside every set of identities.
pub const IDENTITY_VERSION: u32 = 1;

/// The identity of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u128);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Identity {
    /// Reads the 32 hex digits that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Identity> {
        u128::from_str_radix(text, 16).ok().map(Identity)
    }
}

/// Identities of all rows of a batch over the named columns, or over all columns when `columns`
/// is empty.
pub fn identities(batch: &RecordBatch, columns: &[String]) -> Result<Vec<Identity>> {
    let mut rows = vec![0u128; batch.num_rows()];
    let schema = batch.schema_ref();
    if columns.is_empty() {
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            fold(&mut rows, Logical::of(field)?, array);
        }
    } else {
        for column in columns {
            let index = schema.index_of(column);
            let index =
                index.map_err(|e| Error::internal(format!("no column {column:?} in the batch")).cause(e))?;
            fold(&mut rows, Logical::of(schema.field(index))?, batch.column(index));
        }
    }
    Ok(rows.into_iter().map(Identity).collect())
}

/// The order-free hash of a set of rows: the wrapping sum of their identities.
pub fn sum(identities: &[Identity]) -> u128 {
    identities.iter().fold(0, |sum, identity| sum.wrapping_add(identity.0))
}

fn step(row: &mut u128, tag: u8, value: &[u8], buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&row.to_le_bytes());
    buffer.push(tag);
    buffer.extend_from_slice(value);
    *row = xxh3_128(buffer);
}

fn fold(rows: &mut [u128], logical: Logical, array: &ArrayRef) {
    let mut buffer = Vec::with_capacity(64);
    macro_rules! each {
        ($tag:expr, $array:expr, $value:ident => $bytes:expr) => {{
            let typed = $array;
            for (i, row) in rows.iter_mut().enumerate() {
                if typed.is_null(i) {
                    step(row, 0, &[], &mut buffer);
                } else {
                    let $value = typed.value(i);
                    let bytes = $bytes;
                    step(row, $tag, bytes.as_ref(), &mut buffer);
                }
            }
        }};
    }
    match logical {
        Logical::Bool => each!(1, array.as_boolean(), v => [u8::from(v)]),
        Logical::Int16 => each!(2, array.as_primitive::<Int16Type>(), v => i64::from(v).to_le_bytes()),
        Logical::Int32 => each!(2, array.as_primitive::<Int32Type>(), v => i64::from(v).to_le_bytes()),
        Logical::Int64 => each!(2, array.as_primitive::<Int64Type>(), v => v.to_le_bytes()),
        Logical::Float32 => {
            each!(3, array.as_primitive::<Float32Type>(), v => f64::from(v).to_bits().to_le_bytes())
        }
        Logical::Float64 => each!(3, array.as_primitive::<Float64Type>(), v => v.to_bits().to_le_bytes()),
        Logical::Decimal { precision, scale } if precision <= 38 => {
            each!(4, array.as_primitive::<Decimal128Type>(), v => decimal(arrow_buffer::i256::from_i128(v), scale))
        }
        Logical::Decimal { scale, .. } => {
            each!(4, array.as_primitive::<Decimal256Type>(), v => decimal(v, scale))
        }
        Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => {
            each!(5, array.as_string::<i32>(), v => v.as_bytes())
        }
        Logical::Bytes => each!(6, array.as_binary::<i32>(), v => v),
        Logical::Date => each!(7, array.as_primitive::<Date32Type>(), v => v.to_le_bytes()),
        Logical::Time => each!(8, array.as_primitive::<Time64MicrosecondType>(), v => v.to_le_bytes()),
        Logical::Timestamp => {
            each!(9, array.as_primitive::<TimestampMicrosecondType>(), v => v.to_le_bytes())
        }
        Logical::TimestampTz => {
            each!(10, array.as_primitive::<TimestampMicrosecondType>(), v => v.to_le_bytes())
        }
        Logical::Interval => {
            each!(11, array.as_primitive::<IntervalMonthDayNanoType>(), v => {
                let mut bytes = [0u8; 16];
                bytes[..4].copy_from_slice(&v.months.to_le_bytes());
                bytes[4..8].copy_from_slice(&v.days.to_le_bytes());
                bytes[8..].copy_from_slice(&v.nanoseconds.to_le_bytes());
                bytes
            })
        }
    }
}

/// Unscaled value and scale: a changed scale is a changed type, and the window is rebuilt then.
fn decimal(value: arrow_buffer::i256, scale: i8) -> [u8; 33] {
    let mut bytes = [0u8; 33];
    bytes[..32].copy_from_slice(&value.to_le_bytes());
    bytes[32] = scale.to_le_bytes()[0];
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int32Array, Int64Array, StringArray};
    use arrow_schema::Schema;
    use std::sync::Arc;

    fn batch(columns: Vec<(Logical, ArrayRef)>) -> RecordBatch {
        let fields: Vec<_> =
            columns.iter().enumerate().map(|(i, (l, _))| l.field(&format!("c{i}"), true, "")).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect())
            .unwrap()
    }

    #[test]
    fn identities_tell_null_from_empty_and_survive_widening() {
        let text = batch(vec![(
            Logical::Text,
            Arc::new(StringArray::from(vec![Some(""), None, Some("a"), Some("a")])),
        )]);
        let ids = identities(&text, &[]).unwrap();
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[2], ids[3]);
        let narrow = batch(vec![(Logical::Int32, Arc::new(Int32Array::from(vec![7])))]);
        let wide = batch(vec![(Logical::Int64, Arc::new(Int64Array::from(vec![7])))]);
        assert_eq!(identities(&narrow, &[]).unwrap(), identities(&wide, &["c0".into()]).unwrap());
    }

    #[test]
    fn neighbouring_columns_do_not_run_together() {
        let a = batch(vec![
            (Logical::Text, Arc::new(StringArray::from(vec!["ab"]))),
            (Logical::Text, Arc::new(StringArray::from(vec!["c"]))),
        ]);
        let b = batch(vec![
            (Logical::Text, Arc::new(StringArray::from(vec!["a"]))),
            (Logical::Text, Arc::new(StringArray::from(vec!["bc"]))),
        ]);
        assert_ne!(identities(&a, &[]).unwrap(), identities(&b, &[]).unwrap());
        assert_eq!(
            Identity::parse(&identities(&a, &[]).unwrap()[0].to_string()),
            Some(identities(&a, &[]).unwrap()[0])
        );
    }
}
