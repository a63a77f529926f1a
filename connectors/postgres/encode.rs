//! Arrow batches as rows of Postgres' binary COPY format, straight from the arrays into one buffer.
//!
//! A row is the number of its fields (16 bits) and, per field, a length (32 bits, −1 for NULL) and
//! the bytes that the column type's receive function reads. Dates and times count from 2000-01-01.

mod cell;
mod numeric;
mod plain;

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use waybill_protocol::{Error, Logical, Result};

/// What every binary COPY begins with (signature, flags, length of the extension) and ends with.
const BINARY_FRAME: (&[u8], &[u8]) = (b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", &[0xff, 0xff]);

/// What stands before the rows of a load and after them; `wire`: they come undecoded.
pub(crate) fn frame(plan: &[ColumnPlan], wire: bool) -> (&'static [u8], &'static [u8]) {
    if textual(plan) && !wire { (&[], &[]) } else { BINARY_FRAME }
}

/// The binary forms that columns take; several types share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `boolean`.
    Bool,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`.
    Int8,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `numeric`, constrained or not.
    Numeric,
    /// `text`, `character varying`, `character`, `json` and enumerations: their text.
    Text,
    /// `jsonb`: a version byte and the text.
    Jsonb,
    /// `uuid`.
    Uuid,
    /// `bytea`.
    Bytea,
    /// `date`.
    Date,
    /// `time without time zone`.
    Time,
    /// `timestamp` with or without time zone.
    Timestamp,
    /// `interval`.
    Interval,
    /// Any other type of the server, read from its text: only in COPY's text format.
    Typed,
}

impl Form {
    /// Its word in a [`WireForm`](waybill_protocol::WireForm); what is typed has its type's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Form::Bool => "bool",
            Form::Int2 => "int2",
            Form::Int4 => "int4",
            Form::Int8 => "int8",
            Form::Float4 => "float4",
            Form::Float8 => "float8",
            Form::Numeric => "numeric",
            Form::Text => "text",
            Form::Jsonb => "jsonb",
            Form::Uuid => "uuid",
            Form::Bytea => "bytea",
            Form::Date => "date",
            Form::Time => "time",
            Form::Timestamp => "timestamp",
            Form::Interval => "interval",
            Form::Typed => "",
        }
    }
}

/// Whether values of a logical type can be written in a form.
pub(crate) fn fits(logical: Logical, form: Form) -> bool {
    use Form::{Float4, Float8, Int4, Int8, Numeric, Text};
    match logical {
        Logical::Bool => matches!(form, Form::Bool | Text),
        Logical::Int16 => matches!(form, Form::Int2 | Int4 | Int8 | Float4 | Float8 | Numeric | Text),
        Logical::Int32 => matches!(form, Int4 | Int8 | Float8 | Numeric | Text),
        Logical::Int64 => matches!(form, Int8 | Numeric | Text | Form::Typed),
        Logical::Float32 => matches!(form, Float4 | Float8 | Numeric | Text),
        Logical::Float64 => matches!(form, Float8 | Numeric | Text),
        Logical::Decimal { .. } | Logical::Numeric => matches!(form, Numeric | Text),
        Logical::Text => matches!(form, Text | Form::Typed),
        Logical::Json => matches!(form, Text | Form::Jsonb),
        Logical::Uuid => matches!(form, Form::Uuid | Text),
        Logical::Bytes => matches!(form, Form::Bytea | Text),
        Logical::Date => matches!(form, Form::Date | Text),
        Logical::Time => matches!(form, Form::Time | Text),
        Logical::Timestamp | Logical::TimestampTz => matches!(form, Form::Timestamp | Text),
        Logical::Interval => form == Form::Interval,
    }
}

/// How one column of the batches is written.
#[derive(Debug, Clone)]
pub(crate) struct ColumnPlan {
    /// Its name in the table.
    pub name: String,
    /// What the batches hold.
    pub logical: Logical,
    /// What the table's column takes; [`fits`] holds.
    pub form: Form,
    /// Its word in a [`WireForm`](waybill_protocol::WireForm): that of its form, or its type's name.
    pub word: String,
    /// Whether it is part of the key: then errors show it, and where rows are merged it is never NULL.
    pub key: bool,
}

/// Whether rows go out in COPY's text format, because a column has no binary form of ours.
pub(crate) fn textual(plan: &[ColumnPlan]) -> bool {
    plan.iter().any(|column| column.form == Form::Typed)
}

/// Why a value cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misfit {
    Nul,
    NullKey,
    DateRange,
    TimeRange,
    Nanoseconds,
    NotNumeric,
    NumericRange,
    NotUuid,
    TooLong,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misfit::Nul => "Postgres cannot hold text with a NUL character",
            Misfit::NullKey => "a key is NULL, so the row cannot be merged",
            Misfit::DateRange => "a date or time lies outside the range of Postgres (4713 BC to 294276)",
            Misfit::TimeRange => "a time of day lies outside 00:00 to 24:00",
            Misfit::Nanoseconds => "an interval has nanoseconds, Postgres holds microseconds",
            Misfit::NotNumeric => "a value announced as numeric is no number",
            Misfit::NumericRange => "a number has more digits than Postgres' numeric can hold",
            Misfit::NotUuid => "a value announced as uuid is none",
            Misfit::TooLong => "a value is larger than 1 GiB",
        })
    }
}

/// The array of one column, by its type.
enum Values<'a> {
    Bool(&'a BooleanArray),
    I16(&'a Int16Array),
    I32(&'a Int32Array),
    I64(&'a Int64Array),
    F32(&'a Float32Array),
    F64(&'a Float64Array),
    D128(&'a Decimal128Array, u8),
    D256(&'a Decimal256Array, u8),
    NumericText(&'a StringArray),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Stamp(&'a TimestampMicrosecondArray, bool),
    Interval(&'a IntervalMonthDayNanoArray),
}

fn values(logical: Logical, array: &ArrayRef) -> Values<'_> {
    match logical {
        Logical::Bool => Values::Bool(array.as_boolean()),
        Logical::Int16 => Values::I16(array.as_primitive::<Int16Type>()),
        Logical::Int32 => Values::I32(array.as_primitive::<Int32Type>()),
        Logical::Int64 => Values::I64(array.as_primitive::<Int64Type>()),
        Logical::Float32 => Values::F32(array.as_primitive::<Float32Type>()),
        Logical::Float64 => Values::F64(array.as_primitive::<Float64Type>()),
        Logical::Decimal { precision, scale } if precision <= 38 => {
            Values::D128(array.as_primitive::<Decimal128Type>(), scale.unsigned_abs())
        }
        Logical::Decimal { scale, .. } => {
            Values::D256(array.as_primitive::<Decimal256Type>(), scale.unsigned_abs())
        }
        Logical::Numeric => Values::NumericText(array.as_string()),
        Logical::Text | Logical::Json | Logical::Uuid => Values::Text(array.as_string()),
        Logical::Bytes => Values::Bytes(array.as_binary()),
        Logical::Date => Values::Date(array.as_primitive::<Date32Type>()),
        Logical::Time => Values::Time(array.as_primitive::<Time64MicrosecondType>()),
        Logical::Timestamp => Values::Stamp(array.as_primitive::<TimestampMicrosecondType>(), false),
        Logical::TimestampTz => Values::Stamp(array.as_primitive::<TimestampMicrosecondType>(), true),
        Logical::Interval => Values::Interval(array.as_primitive::<IntervalMonthDayNanoType>()),
    }
}

/// One batch on its way into a COPY stream, a chunk at a time.
pub(crate) struct Rows<'a> {
    stream: &'a str,
    plan: &'a [ColumnPlan],
    columns: Vec<(Values<'a>, &'a ArrayRef)>,
    keys_required: bool,
    fields: i16,
    next: usize,
    rows: usize,
    ordinal: Option<i64>,
    textual: bool,
}

impl<'a> Rows<'a> {
    /// Rows of `batch`, whose columns are those of `plan`, in its order. `ordinal` is the number of
    /// the first row, where a last column of type bigint keeps the order of arrival.
    pub(crate) fn new(
        stream: &'a str,
        plan: &'a [ColumnPlan],
        batch: &'a RecordBatch,
        keys_required: bool,
        ordinal: Option<i64>,
    ) -> Result<Rows<'a>> {
        if batch.num_columns() != plan.len() {
            return Err(Error::internal(format!(
                "a batch has {} columns, the load has {}",
                batch.num_columns(),
                plan.len()
            ))
            .stream(stream));
        }
        let mut columns = Vec::with_capacity(plan.len());
        for ((column, array), field) in plan.iter().zip(batch.columns()).zip(batch.schema_ref().fields()) {
            let logical = Logical::of(field).map_err(|e| e.stream(stream))?;
            if logical != column.logical {
                let (name, planned) = (&column.name, column.logical);
                return Err(Error::internal(format!(
                    "column {name:?} of a batch is {logical}, the load has {planned}"
                ))
                .stream(stream));
            }
            columns.push((values(logical, array), array));
        }
        let fields = i16::try_from(plan.len() + usize::from(ordinal.is_some()));
        let fields = fields.map_err(|e| Error::internal("too many columns for COPY").cause(e))?;
        let (rows, textual) = (batch.num_rows(), textual(plan));
        Ok(Rows { stream, plan, columns, keys_required, fields, next: 0, rows, ordinal, textual })
    }

    /// Appends rows to `out` until it holds `limit` bytes; `false` when none are left.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<bool> {
        while self.next < self.rows {
            if out.len() >= limit {
                return Ok(true);
            }
            if self.textual {
                self.line(out)?
            } else {
                self.row(out)?
            }
            self.next += 1;
        }
        Ok(false)
    }

    fn row(&self, out: &mut Vec<u8>) -> Result<()> {
        let row = self.next;
        out.extend_from_slice(&self.fields.to_be_bytes());
        for ((values, array), column) in self.columns.iter().zip(self.plan) {
            if array.is_null(row) {
                if column.key && self.keys_required {
                    return Err(self.misfit(&column.name, Misfit::NullKey));
                }
                out.extend_from_slice(&(-1i32).to_be_bytes());
                continue;
            }
            cell::put(values, column.form, row, out).map_err(|misfit| self.misfit(&column.name, misfit))?;
        }
        if let Some(first) = self.ordinal {
            let ordinal = first.saturating_add(i64::try_from(row).unwrap_or(i64::MAX));
            cell::fixed(out, &ordinal.to_be_bytes());
        }
        Ok(())
    }

    /// The current row in COPY's text format.
    fn line(&self, out: &mut Vec<u8>) -> Result<()> {
        for (at, ((values, array), column)) in self.columns.iter().zip(self.plan).enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            if !array.is_null(self.next) {
                plain::put(values, column.form, self.next, out)
                    .map_err(|misfit| self.misfit(&column.name, misfit))?;
            } else if column.key && self.keys_required {
                return Err(self.misfit(&column.name, Misfit::NullKey));
            } else {
                out.extend_from_slice(plain::NULL);
            }
        }
        if let Some(first) = self.ordinal {
            let ordinal = first.saturating_add(i64::try_from(self.next).unwrap_or(i64::MAX));
            out.extend_from_slice(format!("\t{ordinal}").as_bytes());
        }
        out.push(b'\n');
        Ok(())
    }

    /// The error for a value of the current row: column, reason, and the key where there is one.
    fn misfit(&self, column: &str, misfit: Misfit) -> Error {
        let mut key = Vec::new();
        for ((values, array), plan) in self.columns.iter().zip(self.plan) {
            if plan.key && !array.is_null(self.next) {
                let mut text = Vec::new();
                cell::text(values, self.next, &mut text);
                key.push(format!("{}={}", plan.name, String::from_utf8_lossy(&text)));
            }
        }
        let place = if key.is_empty() { String::new() } else { format!(" (row {})", key.join(", ")) };
        let error = Error::data(format!("column {column:?}: {misfit}{place}")).stream(self.stream);
        match misfit {
            Misfit::Nul => error.hint("remove the character at the source, with a query of your own for example, or leave the column out"),
            Misfit::NullKey => error.hint("choose a primary_key without NULL, or write mode append"),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests;
