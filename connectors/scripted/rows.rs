//! Columns and values out of a script.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, RecordBatchOptions, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema, SchemaRef};
use serde_json::{Map, Value};
use waybill_protocol::{Error, Logical, Result};

use super::script::Ties;

/// The schema of `name → logical type`.
pub(super) fn schema(columns: &Map<String, Value>) -> Result<SchemaRef> {
    let fields = columns.iter().map(|(name, logical)| {
        let text = logical.as_str().ok_or_else(|| Error::config(format!("the type of {name} is no text")))?;
        Ok(text.parse::<Logical>()?.field(name, true, text))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// Generated rows: in every column the row's number, or a text with it.
pub(super) fn generated(schema: &SchemaRef, from: i64, count: i64) -> Result<RecordBatch> {
    let numbers: Vec<i64> = (from..from.saturating_add(count)).collect();
    let columns = schema.fields().iter().map(|field| numbered(field, numbers.iter().copied()));
    batch(schema, columns.collect::<Result<_>>()?, numbers.len())
}

/// The same, where rows that follow each other share the value of their cursor.
pub(super) fn tied(
    schema: &SchemaRef,
    from: i64,
    count: i64,
    ties: &Ties,
    cursor: &str,
) -> Result<RecordBatch> {
    let numbers: Vec<i64> = (from..from.saturating_add(count)).collect();
    let columns = schema.fields().iter().map(|field| match field.name() == cursor {
        true => numbered(field, numbers.iter().map(|n| ties.cursor(*n))),
        false => numbered(field, numbers.iter().map(|n| ties.number(*n))),
    });
    batch(schema, columns.collect::<Result<_>>()?, numbers.len())
}

fn numbered(field: &Field, numbers: impl Iterator<Item = i64>) -> Result<ArrayRef> {
    let text = matches!(Logical::of(field)?, Logical::Text | Logical::Json | Logical::Bytes);
    let value = |n: i64| if text { Value::from(format!("row {n}")) } else { Value::from(n) };
    column(field, &numbers.map(value).collect::<Vec<_>>())
}

/// The rows of a script, whose values stand in the order of the columns.
pub(super) fn given(schema: &SchemaRef, rows: &[Vec<Value>]) -> Result<RecordBatch> {
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let values = rows.iter().map(|row| row.get(at).cloned().unwrap_or(Value::Null));
        column(field, &values.collect::<Vec<_>>())
    });
    batch(schema, columns.collect::<Result<_>>()?, rows.len())
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| Error::internal("a scripted batch does not fit its columns").cause(e))
}

fn column(field: &Field, values: &[Value]) -> Result<ArrayRef> {
    let logical = Logical::of(field)?;
    let misfit = || Error::config(format!("column {}: a scripted value is no {logical}", field.name()));
    let whole = |value: &Value| match value {
        Value::Null => Ok(None),
        value => value.as_i64().map(Some).ok_or_else(misfit),
    };
    let wholes = || values.iter().map(whole).collect::<Result<Vec<Option<i64>>>>();
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let texts = || values.iter().map(text).collect::<Vec<Option<String>>>();
    macro_rules! narrow {
        ($array:ty, $type:ty) => {{
            let narrowed =
                wholes()?.into_iter().map(|v| v.map(<$type>::try_from).transpose().map_err(|_| misfit()));
            Arc::new(narrowed.collect::<Result<Vec<_>>>()?.into_iter().collect::<$array>())
        }};
    }
    Ok(match logical {
        Logical::Bool => {
            let truth = |value: &Value| value.as_bool().or_else(|| value.as_i64().map(|n| n % 2 == 1));
            Arc::new(values.iter().map(truth).collect::<BooleanArray>())
        }
        Logical::Int16 => narrow!(Int16Array, i16),
        Logical::Int32 => narrow!(Int32Array, i32),
        Logical::Int64 => Arc::new(Int64Array::from(wholes()?)),
        Logical::Float64 => Arc::new(values.iter().map(Value::as_f64).collect::<Float64Array>()),
        Logical::Decimal { precision, scale } if precision <= 38 => {
            let unscaled = wholes()?.into_iter().map(|v| v.map(i128::from)).collect::<Decimal128Array>();
            let typed = unscaled.with_precision_and_scale(precision, scale);
            Arc::new(typed.map_err(|e| misfit().cause(e))?)
        }
        Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => {
            Arc::new(StringArray::from(texts()))
        }
        Logical::Bytes => {
            let bytes = texts();
            Arc::new(bytes.iter().map(|v| v.as_ref().map(String::as_bytes)).collect::<BinaryArray>())
        }
        Logical::Date => narrow!(Date32Array, i32),
        Logical::Time => Arc::new(Time64MicrosecondArray::from(wholes()?)),
        Logical::Timestamp => Arc::new(TimestampMicrosecondArray::from(wholes()?)),
        Logical::TimestampTz => Arc::new(TimestampMicrosecondArray::from(wholes()?).with_timezone("UTC")),
        other => return Err(Error::config(format!("a script makes no values of type {other}"))),
    })
}
