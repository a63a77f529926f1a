//! Brings a batch from the columns a source sends to the columns a table takes: order, names, and
//! exact widening of types. What is not exact is refused before loading, never done here.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use waybill_protocol::{Error, Logical, Result, calendar};

/// How to make a table's batch from a source's.
#[derive(Debug, Clone)]
pub struct Conform {
    columns: Vec<Column>,
    target: SchemaRef,
}

#[derive(Debug, Clone)]
struct Column {
    index: usize,
    from: Logical,
    to: Logical,
}

impl Conform {
    /// `sent` is what the source sends, `names` the table's name per source column (reserved
    /// columns have none and are left out), `target` the table's columns. `Ok(Err(column))` names a
    /// column whose values the table's type cannot take.
    pub fn new(
        sent: &Schema,
        names: &dyn Fn(&str) -> Option<String>,
        target: &SchemaRef,
    ) -> Result<std::result::Result<Conform, String>> {
        let mut columns = Vec::new();
        for field in target.fields() {
            let found = sent.fields().iter().position(|f| names(f.name()).as_deref() == Some(field.name()));
            let Some(index) = found else {
                return Ok(Err(field.name().clone()));
            };
            let (from, to) = (Logical::of(sent.field(index))?, Logical::of(field)?);
            if from.widen(to) != to {
                return Ok(Err(field.name().clone()));
            }
            columns.push(Column { index, from, to });
        }
        Ok(Ok(Conform { columns, target: Arc::clone(target) }))
    }

    /// Whether the source's columns are the table's: the same types in the same order.
    pub fn changes_nothing(&self) -> bool {
        self.columns.iter().enumerate().all(|(at, column)| column.index == at && column.from == column.to)
    }

    /// The batch as the table takes it.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(widen(batch.column(column.index), column.from, column.to)?);
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.target), columns, &options).map_err(|e| {
            Error::data("a column without NULLs according to its source holds one".to_owned()).cause(e)
        })
    }
}

/// The same values in a wider type.
pub fn widen(array: &ArrayRef, from: Logical, to: Logical) -> Result<ArrayRef> {
    if from == to || (from.data_type() == to.data_type() && to == Logical::Text) {
        return Ok(Arc::clone(array));
    }
    match to {
        Logical::Text | Logical::Numeric => Ok(Arc::new(to_text(array, from))),
        _ => {
            let options = arrow_cast::CastOptions { safe: false, ..Default::default() };
            arrow_cast::cast_with_options(array, &to.data_type(), &options)
                .map_err(|e| Error::internal(format!("widening {from} to {to}")).cause(e))
        }
    }
}

/// The canonical text of values, the one every text column of Waybill uses.
fn to_text(array: &ArrayRef, from: Logical) -> arrow_array::StringArray {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        write_value(array, from, row, &mut text);
        out.append_value(&text);
    }
    out.finish()
}

fn write_value(array: &ArrayRef, from: Logical, row: usize, out: &mut String) {
    // Writing into a String cannot fail.
    let _ = match from {
        Logical::Bool => write!(out, "{}", array.as_boolean().value(row)),
        Logical::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row)),
        Logical::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        Logical::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        Logical::Float32 => float(out, f64::from(array.as_primitive::<Float32Type>().value(row)), || {
            array.as_primitive::<Float32Type>().value(row).to_string()
        }),
        Logical::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            float(out, value, || value.to_string())
        }
        Logical::Decimal { precision, scale } if precision <= 38 => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            write!(out, "{}", Decimal128Type::format_decimal(value, precision, scale))
        }
        Logical::Decimal { precision, scale } => {
            let value = array.as_primitive::<Decimal256Type>().value(row);
            write!(out, "{}", Decimal256Type::format_decimal(value, precision, scale))
        }
        Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => {
            write!(out, "{}", array.as_string::<i32>().value(row))
        }
        Logical::Bytes => {
            let _ = write!(out, "\\x");
            array.as_binary::<i32>().value(row).iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        Logical::Date => {
            write!(out, "{}", calendar::format_date(array.as_primitive::<Date32Type>().value(row)))
        }
        Logical::Time => {
            write!(out, "{}", calendar::format_time(array.as_primitive::<Time64MicrosecondType>().value(row)))
        }
        Logical::Timestamp | Logical::TimestampTz => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            write!(out, "{}", calendar::format_timestamp(micros, from == Logical::TimestampTz, 'T'))
        }
        Logical::Interval => {
            let v = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            write!(out, "P{}M{}DT{}S", v.months, v.days, seconds(v.nanoseconds))
        }
    };
}

fn seconds(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    let (whole, fraction) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{fraction:09}").trim_end_matches('0').to_owned()
}

fn float(out: &mut String, value: f64, shortest: impl Fn() -> String) -> std::fmt::Result {
    match value {
        v if v.is_nan() => out.write_str("NaN"),
        v if v.is_infinite() => out.write_str(if v > 0.0 { "Infinity" } else { "-Infinity" }),
        _ => out.write_str(&shortest()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};

    fn batch(columns: Vec<(&str, Logical, ArrayRef)>) -> RecordBatch {
        let fields: Vec<_> = columns.iter().map(|(n, l, _)| l.field(n, true, "")).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, _, a)| a).collect())
            .unwrap()
    }

    #[test]
    fn columns_are_found_by_name_and_never_by_place() {
        let sent = batch(vec![
            ("B", Logical::Text, Arc::new(StringArray::from(vec!["b"]))),
            ("A", Logical::Int64, Arc::new(Int64Array::from(vec![1]))),
        ]);
        let target: SchemaRef = Arc::new(Schema::new(vec![
            Logical::Decimal { precision: 21, scale: 2 }.field("a", true, ""),
            Logical::Text.field("b", true, ""),
        ]));
        let names = |n: &str| Some(n.to_lowercase());
        let conform = Conform::new(sent.schema_ref(), &names, &target).unwrap().unwrap();
        let out = conform.apply(&sent).unwrap();
        assert_eq!(out.column(0).as_primitive::<Decimal128Type>().value(0), 100);
        assert_eq!(out.column(1).as_string::<i32>().value(0), "b");
        let narrower: SchemaRef = Arc::new(Schema::new(vec![Logical::Int32.field("a", true, "")]));
        assert_eq!(Conform::new(sent.schema_ref(), &names, &narrower).unwrap().unwrap_err(), "a");
    }

    #[test]
    fn text_of_values_is_canonical() {
        let floats: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), None, Some(-0.0), Some(1e300)]));
        let text = to_text(&floats, Logical::Float64);
        assert_eq!(text.value(0), "0.1");
        assert_eq!(text.value(1), "NaN");
        assert!(text.is_null(2));
        assert_eq!(text.value(3), "-0");
        assert_eq!(text.value(4).parse::<f64>().unwrap(), 1e300);
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC"));
        assert_eq!(to_text(&times, Logical::TimestampTz).value(0), "1970-01-01T00:00:00.000001Z");
        assert_eq!(seconds(-1_500_000_000), "-1.5");
    }
}
