//! Rows into batches, misfits into rejected rows or wider types.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use tokio::sync::mpsc;
use waybill_protocol::outlet::{BATCH_BYTES, BATCH_ROWS, batch_rows};
use waybill_protocol::{
    CursorValue, Error, IN_WINDOW_COLUMN, Logical, Message, NATIVE_KEY, Payload, Reject, Result,
    SchemaPolicy, StreamRead,
};

use super::builder::{Column, Misfit};
use super::cursor::Cursor;
use super::database::Stop;
use super::decode;
use super::fault::Doing;
use super::identifier::same;
use super::read::{Question, bounded, patch, send};
use super::window::Window;

/// A batch is half of what may be sent at once: one is read while the other is loaded.
const BYTES: usize = BATCH_BYTES / 2;
/// Bytes between two checkpoints of an ordered read.
const CHECKPOINT_BYTES: usize = BATCH_BYTES;

/// Gathers rows into batches and sends them.
pub(crate) struct Reader<'a> {
    stream: &'a StreamRead,
    question: &'a Question,
    cursor: Option<&'a Cursor>,
    /// Set where the read is ordered and may say so on the way.
    window: Option<&'a Window>,
    out: &'a mpsc::Sender<Message>,
    /// Columns under construction.
    pub(crate) columns: Vec<Column>,
    schema: SchemaRef,
    in_window: Vec<bool>,
    bad: Vec<usize>,
    /// Rows in them.
    pub(crate) rows: usize,
    bytes: usize,
    since_checkpoint: usize,
    total: u64,
    last: Option<CursorValue>,
}

impl<'a> Reader<'a> {
    /// A reader of a question's answer.
    pub(crate) fn new(
        stream: &'a StreamRead,
        question: &'a Question,
        cursor: Option<&'a Cursor>,
        window: Option<&'a Window>,
        out: &'a mpsc::Sender<Message>,
    ) -> Result<Reader<'a>> {
        let fields = stream.schema.fields();
        let declared = |f: &Field| f.metadata().get(NATIVE_KEY).cloned().unwrap_or_default();
        let columns: Vec<Column> = fields
            .iter()
            .map(|f| Ok(Column::declared(Logical::of(f)?, &declared(f))))
            .collect::<Result<_>>()?;
        let mut schema = Arc::clone(&stream.schema);
        if question.in_window.is_some() {
            let extra = Arc::new(Field::new(IN_WINDOW_COLUMN, arrow_schema::DataType::Boolean, false));
            schema = Arc::new(Schema::new(fields.iter().cloned().chain([extra]).collect::<Vec<_>>()));
        }
        let text = cursor.is_some_and(|c| c.logical == Logical::Text);
        let window = window.filter(|_| stream.ordered && !text && !bounded(stream));
        Ok(Reader {
            stream,
            question,
            cursor,
            window,
            out,
            columns,
            schema,
            in_window: Vec::new(),
            bad: Vec::new(),
            rows: 0,
            bytes: 0,
            since_checkpoint: 0,
            total: 0,
            last: None,
        })
    }

    /// Takes a row; false where the schema has to become wider first.
    pub(crate) fn take(&mut self, row: &Row<'_>) -> Result<bool> {
        let doing = &self.question.doing;
        let mut misfit: Option<(usize, Misfit)> = None;
        for (at, column) in self.columns.iter_mut().enumerate() {
            if misfit.is_some() {
                column.push_null();
                continue;
            }
            match column.push(row.get_ref(at).reading(doing)?) {
                Ok(bytes) => self.bytes += bytes,
                Err(found) => {
                    let evolve = self.stream.selection.schema_policy == SchemaPolicy::Evolve;
                    if evolve && found.wider != column.logical {
                        return Ok(false);
                    }
                    column.push_null();
                    misfit = Some((at, found));
                }
            }
        }
        if let Some((at, found)) = misfit {
            self.bad.push(self.rows);
            self.reject(row, at, &found)?;
        }
        if let Some(at) = self.question.in_window {
            self.in_window.push(row.get(at).reading(doing)?);
        }
        self.rows += 1;
        self.total += 1;
        if self.bytes >= BYTES || self.rows >= batch_rows() {
            if let (Some(cursor), Some(at), Some(_)) = (self.cursor, self.question.cursor, self.window) {
                self.last = cursor.value(row.get_ref(at).reading(doing)?)?;
            }
            self.flush()?;
            self.checkpoint()?;
        }
        Ok(true)
    }

    /// Sends the rows gathered so far.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        if self.question.in_window.is_some() {
            arrays.push(Arc::new(BooleanArray::from(std::mem::take(&mut self.in_window))));
        }
        let broken =
            |e| Error::internal(format!("stream {}: a batch that is none", self.stream.stream)).cause(e);
        let mut rows = self.rows;
        if !self.bad.is_empty() {
            // Before the batch is made: a bad row may have left NULLs where none may be.
            let mut keep = vec![true; rows];
            for at in self.bad.drain(..) {
                if let Some(keep) = keep.get_mut(at) {
                    *keep = false;
                }
            }
            rows = keep.iter().filter(|keep| **keep).count();
            let keep = BooleanArray::from(keep);
            for array in &mut arrays {
                *array = arrow_select::filter::filter(array, &keep).map_err(broken)?;
            }
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        let made = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        let batch = made.map_err(broken)?;
        self.since_checkpoint += self.bytes;
        (self.rows, self.bytes) = (0, 0);
        if batch.num_rows() == 0 {
            return Ok(());
        }
        send(self.out, Message::Batch { stream: self.stream.stream.clone(), payload: Payload::Arrow(batch) })
    }

    /// Says how far an ordered read is; other rows with the same cursor may follow, and lie in the window.
    fn checkpoint(&mut self) -> Result<()> {
        let (Some(window), Some(last)) = (self.window, &self.last) else { return Ok(()) };
        if self.since_checkpoint < CHECKPOINT_BYTES && batch_rows() == BATCH_ROWS {
            return Ok(());
        }
        self.since_checkpoint = 0;
        send(self.out, Message::Checkpoint { patch: patch(self.stream, window.up_to(last)) })
    }

    fn reject(&self, row: &Row<'_>, at: usize, misfit: &Misfit) -> Result<()> {
        let fields = self.stream.schema.fields();
        let doing = &self.question.doing;
        let mut key = Vec::new();
        for name in &self.stream.primary_key {
            if let Some(index) = fields.iter().position(|f| same(f.name(), name)) {
                let value = row.get_ref(index).reading(doing)?;
                key.push(format!("{name}={}", decode::as_text(value, None).as_deref().unwrap_or("NULL")));
            }
        }
        let place = match self.question.rowid {
            _ if !key.is_empty() => key.join(", "),
            Some(index) => format!("rowid {}", row.get::<_, i64>(index).reading(doing)?),
            None => format!("row {}", self.total + 1),
        };
        let mut whole = serde_json::Map::new();
        for (index, field) in fields.iter().enumerate() {
            whole.insert(field.name().clone(), json(row.get_ref(index).reading(doing)?));
        }
        let column = fields.get(at).map(|f| f.name().clone());
        let wanted = self.columns.get(at).map_or(Logical::Text, |c| c.logical);
        send(
            self.out,
            Message::Reject(Reject {
                stream: self.stream.stream.clone(),
                place,
                reason: format!("{} where {wanted} is expected", misfit.found),
                column,
                row: serde_json::Value::Object(whole),
            }),
        )
    }
}

/// Finds the types that hold every value from here on.
pub(crate) struct Widening {
    columns: Vec<Column>,
    seen: u64,
}

impl Widening {
    /// Starts from the types so far.
    pub(crate) fn new(columns: &[Column]) -> Widening {
        Widening { columns: columns.iter().map(|c| c.as_type(c.logical)).collect(), seen: 0 }
    }

    /// Takes one row.
    pub(crate) fn see(&mut self, row: &Row<'_>, stop: &Stop) -> Result<()> {
        for (at, column) in self.columns.iter_mut().enumerate() {
            let value = row.get_ref(at).reading("look for wider types")?;
            while let Err(misfit) = column.push(value) {
                if misfit.wider == column.logical {
                    break;
                }
                *column = column.as_type(misfit.wider);
            }
        }
        self.seen += 1;
        if self.seen.is_multiple_of(256) {
            stop.check()?;
            self.columns.iter_mut().for_each(|c| drop(c.finish()));
        }
        Ok(())
    }

    /// The schema with the types found.
    pub(crate) fn schema(&self, stream: &StreamRead) -> SchemaRef {
        let fields = stream.schema.fields().iter().zip(&self.columns).map(|(field, column)| {
            let native = field.metadata().get(NATIVE_KEY).map_or("", String::as_str);
            column.logical.field(field.name(), field.is_nullable(), native)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

fn json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(i) => i.into(),
        ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned().into(),
        other => decode::as_text(other, None).map_or(serde_json::Value::Null, |t| t.into_owned().into()),
    }
}
