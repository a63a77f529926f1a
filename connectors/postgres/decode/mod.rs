//! Binary COPY into Arrow: each value goes straight into its column's builder.

mod column;
mod numeric;
mod scalar;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use waybill_protocol::{Error, Kind, Logical, Result};

use super::kinds::Wire;
use column::Column;
use scalar::Fault;

/// A column as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnPlan {
    /// What the server sends.
    pub(super) wire: Wire,
    /// What it becomes, with name and metadata.
    pub(super) field: arrow_schema::Field,
}

/// What stops decoding.
#[derive(Debug)]
pub(super) enum Stop {
    /// A value of this column does not fit the type that was asked for, but would fit this one.
    Misfit { column: usize, wider: Logical },
    /// Anything else.
    Fault(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Fault(error)
    }
}

/// A single value as an array of one.
pub(super) fn one(plan: &ColumnPlan, value: Option<&[u8]>) -> Result<ArrayRef, Stop> {
    let mut decoder = Decoder::new(std::slice::from_ref(plan))?;
    decoder.value(0, value)?;
    decoder.rows = 1;
    Ok(Arc::clone(decoder.take()?.column(0)))
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Decodes one COPY.
pub(super) struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    /// Bytes of a row's fixed-width values.
    fixed: usize,
    /// Bytes of variable-width values since the last batch.
    variable: usize,
    started: bool,
    ended: bool,
}

impl Decoder {
    /// A decoder of columns in this order.
    pub(super) fn new(plans: &[ColumnPlan]) -> Result<Decoder> {
        let columns: Vec<Column> =
            plans.iter().map(|p| Column::new(p.wire, Logical::of(&p.field)?)).collect::<Result<_>>()?;
        let fields: Vec<_> = plans.iter().map(|p| p.field.clone()).collect();
        Ok(Decoder {
            schema: Arc::new(Schema::new(fields)),
            fixed: columns.iter().map(Column::width).sum(),
            columns,
            rows: 0,
            variable: 0,
            started: false,
            ended: false,
        })
    }

    /// Rows since the last batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// About the bytes of those rows in Arrow.
    pub(super) fn bytes(&self) -> usize {
        self.rows * self.fixed + self.variable
    }

    /// Whether the end mark was seen.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Takes what the server sent: the header, whole rows, the end mark.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), Stop> {
        let mut rest = chunk;
        if !self.started {
            rest = header(rest).ok_or_else(|| torn("header"))?;
            self.started = true;
        }
        while !rest.is_empty() {
            let count = take_i16(&mut rest).ok_or_else(|| torn("row"))?;
            if count == -1 {
                self.ended = true;
                return Ok(());
            }
            expected(count, self.columns.len())?;
            self.row(&mut rest)?;
        }
        Ok(())
    }

    fn row(&mut self, rest: &mut &[u8]) -> Result<(), Stop> {
        for index in 0..self.columns.len() {
            let value = take_value(rest).ok_or_else(|| torn("row"))?;
            self.value(index, value)?;
        }
        self.rows += 1;
        Ok(())
    }

    fn value(&mut self, index: usize, value: Option<&[u8]>) -> Result<(), Stop> {
        let Some(column) = self.columns.get_mut(index) else { return Ok(()) };
        match value.map(|bytes| column.push(bytes)) {
            None => column.push_null(),
            Some(Ok(more)) => self.variable += more,
            Some(Err(Fault::Misfit(wider))) => return Err(Stop::Misfit { column: index, wider }),
            Some(Err(Fault::Value(why))) => {
                let name = self.schema.fields().get(index).map_or("?", |f| f.name().as_str());
                return Err(Error::data(format!("column {name:?}: {why}")).into());
            }
        }
        Ok(())
    }

    /// The rows since the last batch as one.
    pub(super) fn take(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.variable = 0;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            let array = column.finish(field.data_type(), rows).map_err(|e| {
                Error::data(format!("column {:?} has text that is not UTF-8", field.name()))
                    .hint("the database has no encoding that the server could check (SQL_ASCII); convert the column, or select it as convert_to(column, 'SQL_ASCII') in a query")
                    .cause(e)
            })?;
            arrays.push(array);
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(|e| {
            Error::new(Kind::Schema, "a column that must not be NULL holds NULL").retry(true).cause(e)
        })
    }
}

/// Every row has the columns that were asked for.
pub(super) fn expected(came: i16, asked: usize) -> Result<()> {
    match usize::try_from(came) == Ok(asked) {
        true => Ok(()),
        false => Err(Error::new(Kind::Internal, format!("{came} columns came where {asked} were asked for"))),
    }
}

/// A value of a row; `Some(None)` is NULL.
pub(super) fn take_value<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(take_i32(rest)?) else { return Some(None) };
    let (value, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(Some(value))
}

pub(super) fn torn(part: &str) -> Error {
    Error::new(Kind::Network, format!("the server sent a {part} that is not whole"))
}

/// What follows the header of a COPY.
pub(super) fn header(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    take_i32(&mut rest)?;
    let extension = usize::try_from(take_i32(&mut rest)?).ok()?;
    rest.get(extension..)
}

pub(super) fn take_i16(rest: &mut &[u8]) -> Option<i16> {
    let (head, tail) = rest.split_first_chunk::<2>()?;
    *rest = tail;
    Some(i16::from_be_bytes(*head))
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(i32::from_be_bytes(*head))
}

#[cfg(test)]
mod tests;
