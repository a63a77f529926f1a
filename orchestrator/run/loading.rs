//! One attempt of one slice: what becomes of columns and rows on their way to the destination.

use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use waybill_protocol::{
    Error, IN_WINDOW_COLUMN, Origin, Payload, Reject, Result, WireRows, identities, identity,
};

use super::attempt::{Attempt, at_destination, or_at_once};
use super::cursor_column::CursorColumn;
use super::evolve;
use super::job::StreamJob;
use super::window::window_flags;

impl Attempt<'_> {
    /// Makes the table fit the columns, or widens the load and asks for a new start.
    pub(super) async fn prepare(&mut self, stream: &str, schema: &SchemaRef) -> Result<()> {
        let job = self.job(stream)?;
        match evolve::fit(self.run, &job, schema)? {
            evolve::Fit::Takes(conform) => {
                let known = self.loads.insert(stream.to_owned(), conform).is_some();
                if !known {
                    let load = job.live().load.clone();
                    self.writer.prepare(&load).await.map_err(|e| at_destination(e).stream(stream))?;
                }
            }
            evolve::Fit::Widened => self.restart = true,
        }
        Ok(())
    }

    pub(super) async fn load(&mut self, stream: &str, payload: Payload) -> Result<()> {
        let job = self.job(stream)?;
        let (rows, bytes) = (payload.rows(), payload.bytes() as u64);
        *self.read.entry(stream.to_owned()).or_default() += rows;
        job.count(|counts| {
            counts.rows_read += rows;
            counts.bytes_read += bytes;
            counts.batches += 1;
        });
        let batch = match payload {
            Payload::Arrow(batch) => batch,
            Payload::Wire(wire) => return self.pass(&job, wire).await,
            _ => return Err(Error::internal("a payload that this version does not know")),
        };
        let batch = self.fresh(&job, batch)?;
        let batch = self.with_keys(&job, batch)?;
        let conform = self.loads.get(stream).ok_or_else(|| Error::internal("rows before columns"))?;
        let batch = conform.apply(&batch).map_err(|e| e.stream(stream).origin(Origin::Source))?;
        let hash = identity::sum(&identities(&batch, &[])?);
        self.write(stream, Payload::Arrow(batch), bytes, hash).await
    }

    /// Rows that nobody looks into.
    async fn pass(&mut self, job: &StreamJob, wire: WireRows) -> Result<()> {
        let conform = self.loads.get(&job.name).ok_or_else(|| Error::internal("rows before columns"))?;
        if job.live().load.wire.is_none() || !conform.changes_nothing() {
            return Err(Error::internal("undecoded rows that nobody agreed to").stream(&job.name));
        }
        let (bytes, hash) = (wire.bytes.len() as u64, wire.hash);
        self.write(&job.name, Payload::Wire(wire), bytes, hash).await
    }

    async fn write(&mut self, stream: &str, payload: Payload, bytes: u64, hash: u128) -> Result<()> {
        let segment = self.segments.entry(stream.to_owned()).or_default();
        segment.rows += payload.rows();
        segment.bytes += bytes;
        segment.hash = segment.hash.wrapping_add(hash);
        let written = self.writer.write(stream, payload);
        or_at_once(self.run, written).await.map_err(|e| at_destination(e).stream(stream))
    }

    /// Leaves out rows whose identity is loaded already.
    fn fresh(&mut self, job: &StreamJob, batch: RecordBatch) -> Result<RecordBatch> {
        let Some((cursor, _)) = &job.cursor else {
            return Ok(batch);
        };
        let live = job.live();
        let Some(window) = &live.held.window else {
            return Ok(batch);
        };
        let pending = self.pending.entry(job.name.clone()).or_default();
        let flags = window_flags(&batch);
        let column = CursorColumn::of(&batch, cursor, self.slice.ordered)?;
        let filtered = window.filter(pending, &batch, &column, flags.as_ref())?;
        drop(live);
        self.segments.entry(job.name.clone()).or_default().known += filtered.known;
        Ok(filtered.batch)
    }

    /// A NULL in the key is a row error.
    fn with_keys(&self, job: &StreamJob, batch: RecordBatch) -> Result<RecordBatch> {
        if job.live().load.key.is_empty() {
            return Ok(batch);
        }
        let mut bad: Vec<(usize, &str)> = Vec::new();
        for key in &job.key {
            let Some(column) = batch.column_by_name(key).filter(|column| column.null_count() > 0) else {
                continue;
            };
            bad.extend(
                (0..batch.num_rows()).filter(|row| column.is_null(*row)).map(|row| (row, key.as_str())),
            );
        }
        if bad.is_empty() {
            return Ok(batch);
        }
        let columns: Vec<String> =
            batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
        let columns: Vec<String> = columns.into_iter().filter(|name| name != IN_WINDOW_COLUMN).collect();
        let rows = identities(&batch, &columns)?;
        let before = self.read.get(&job.name).copied().unwrap_or(0) - batch.num_rows() as u64;
        let mut keep = vec![true; batch.num_rows()];
        for (row, key) in bad {
            if !keep[row] {
                continue;
            }
            keep[row] = false;
            let reject = Reject {
                stream: job.name.clone(),
                place: format!("row {} of {}", before + row as u64 + 1, job.name),
                column: Some(key.to_owned()),
                reason: "the primary key is NULL".to_owned(),
                row: serde_json::Value::Null,
            };
            self.run.rejects.take_keyed(job, &reject, rows[row].0, self.number)?;
        }
        arrow_select::filter::filter_record_batch(&batch, &BooleanArray::from(keep))
            .map_err(|e| Error::internal("filtering a batch").cause(e))
    }
}
