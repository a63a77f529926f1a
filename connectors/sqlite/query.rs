//! One statement of a person's own, read only.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};
use waybill_protocol::{Answer, Error, Kind, Logical, Origin, Result};

use super::builder::Column;
use super::database::Stop;
use super::decode;
use super::fault::{Doing, fault};
use super::observe::Watch;

/// Bytes of values that an answer may hold.
const MOST_BYTES: usize = 64 << 20;

const DOING: &str = "run the query";

/// Runs it on a connection that was opened to read.
pub(crate) fn query(conn: &Connection, stop: &Stop, sql: &str, limit: u64) -> Result<Answer> {
    conn.execute_batch("PRAGMA query_only = ON").reading(DOING)?;
    let mut statement = conn.prepare(sql).map_err(|error| match error {
        rusqlite::Error::MultipleStatement => refused("the text holds more than one statement")
            .hint("run one statement at a time; what follows the first semicolon was not looked at"),
        error => {
            let found = fault(Origin::Source, DOING, error);
            let (kind, code) = (found.kind(), found.record().code.unwrap_or_default());
            Error::new(kind, found.message()).origin(Origin::Source).code(code).hint("correct the statement")
        }
    })?;
    if !statement.readonly() {
        return Err(refused("the statement would write, and a query only reads")
            .hint("change data with the tools of its system, such as the program sqlite3"));
    }
    if statement.column_count() == 0 {
        return Err(refused("the statement returns no rows").hint("begin it with SELECT, WITH or VALUES"));
    }
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut rows = statement.query([]).reading(DOING)?;
    let mut kept: Vec<Vec<Value>> = Vec::new();
    let (mut bytes, mut more) = (0usize, false);
    while let Some(row) = rows.next().reading(DOING)? {
        stop.check()?;
        if kept.len() as u64 >= limit {
            more = true;
            break;
        }
        let mut values = Vec::with_capacity(names.len());
        for at in 0..names.len() {
            let value: Value = row.get(at).map_err(|e| not_text(&names, at, e))?;
            bytes += size(&value);
            values.push(value);
        }
        if bytes > MOST_BYTES {
            return Err(Error::new(Kind::Data, "the answer holds more than 64 MiB")
                .origin(Origin::Source)
                .hint("ask for fewer rows with --limit, or for fewer columns"));
        }
        kept.push(values);
    }
    drop(rows);
    answer(&names, &kept, more)
}

fn refused(message: &str) -> Error {
    Error::new(Kind::Config, message).origin(Origin::Source)
}

fn not_text(names: &[String], at: usize, error: rusqlite::Error) -> Error {
    let name = names.get(at).map_or("", String::as_str);
    Error::data(format!("column {name:?} holds text that is not UTF-8"))
        .origin(Origin::Source)
        .hint("read it as bytes: CAST(column AS BLOB)")
        .cause(error)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 16,
        Value::Blob(bytes) => bytes.len() + 16,
        _ => 16,
    }
}

/// The rows as columns of the narrowest types that hold every value.
fn answer(names: &[String], rows: &[Vec<Value>], more: bool) -> Result<Answer> {
    let (mut fields, mut arrays): (Vec<_>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        let values = || rows.iter().filter_map(|row| row.get(at)).map(ValueRef::from);
        let mut watch = Watch::new(None, "");
        for value in values() {
            watch.see(value);
        }
        watch.forget();
        let (logical, array) = match fill(watch.logical(), values()) {
            Some(array) => (watch.logical(), array),
            None => (Logical::Text, as_text(values())),
        };
        fields.push(logical.field(name, true, ""));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
        .map_err(|e| Error::internal("a batch that is none").cause(e))?;
    Ok(Answer { schema, batches: vec![batch], more })
}

/// A column of a type; `None` where some value does not fit.
fn fill<'v>(logical: Logical, values: impl Iterator<Item = ValueRef<'v>>) -> Option<ArrayRef> {
    let mut column = Column::new(logical);
    for value in values {
        column.push(value).ok()?;
    }
    Some(column.finish())
}

/// Values of several types, each as it reads.
fn as_text<'v>(values: impl Iterator<Item = ValueRef<'v>>) -> ArrayRef {
    let texts = values.map(|value| decode::as_text(value, None).map(std::borrow::Cow::into_owned));
    Arc::new(texts.collect::<arrow_array::StringArray>())
}
