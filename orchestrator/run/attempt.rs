//! One attempt of one slice: takes what the source sends, in order, into the destination.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Body, Commit, Delivery, Error, Kind, Level, Message, Origin, Outlet, Patch, Payload, Progress, Receipt,
    Reject, Result, Slice, Writer, identities, identity,
};

use super::commit::{self, Segment};
use super::conform::Conform;
use super::cursor_column::CursorColumn;
use super::evolve;
use super::job::{Held, StreamJob};
use super::machine::{Machine, Step};
use super::window::{Pending, too_many, window_flags};
use super::{Run, staged};
use crate::summary::units::counted;

/// How an attempt ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Every stream of the slice is whole.
    Whole,
    /// It was asked to stop, and what was sent before the last checkpoint is durable.
    Stopped,
    /// A stream's columns were widened: the slice starts again.
    Restart,
}

/// The state of one attempt.
pub struct Attempt<'a> {
    run: &'a Run,
    slice: &'a Slice,
    number: u32,
    jobs: BTreeMap<String, Arc<StreamJob>>,
    writer: Box<dyn Writer>,
    machine: Machine,
    loads: BTreeMap<String, Conform>,
    pending: BTreeMap<String, Pending>,
    segments: BTreeMap<String, Segment>,
    restart: bool,
}

/// Runs one attempt. `stop` makes the source end in good order.
pub async fn attempt(run: &Run, slice: &Slice, number: u32, stop: CancellationToken) -> Result<Done> {
    let jobs = run.jobs_of(slice)?;
    let single = jobs.values().any(|job| {
        let live = job.live();
        !staged(&live.load) && live.read.reading == waybill_protocol::Reading::Full
    });
    for job in jobs.values() {
        run.rejects.restart(&job.name);
    }
    let writer = run.destination.writer(&slice.id).await.map_err(at_destination)?;
    let mut attempt = Attempt {
        run,
        slice,
        number,
        machine: Machine::new(jobs.keys().map(String::as_str), single),
        jobs,
        writer,
        loads: BTreeMap::new(),
        pending: BTreeMap::new(),
        segments: BTreeMap::new(),
        restart: false,
    };
    let done = attempt.drive(stop).await;
    if !matches!(done, Ok(Done::Whole)) {
        // What was not committed goes; the attempt's own outcome says why.
        let _ = attempt.writer.abort().await;
    }
    done
}

impl Attempt<'_> {
    async fn drive(&mut self, stop: CancellationToken) -> Result<Done> {
        let mut progress = Progress::default();
        self.jobs.values().for_each(|job| job.progress(&mut progress));
        let (outlet, mut deliveries) = Outlet::new(self.run.budget.clone(), stop.clone());
        let (source, slice) = (Arc::clone(&self.run.source), self.slice.clone());
        let reading = tokio::spawn(async move { source.read(&slice, &progress, &outlet).await });
        let mut reading = AbortOnDrop(reading);
        let pumped = self.pump(&mut deliveries).await;
        if !matches!(pumped, Ok(())) || self.restart {
            reading.give_up().await;
            return pumped.map(|()| Done::Restart);
        }
        let ended = reading.join().await;
        self.ended(ended, &stop)
    }

    /// Takes deliveries until there are no more, or the attempt starts again.
    async fn pump(&mut self, deliveries: &mut tokio::sync::mpsc::Receiver<Delivery>) -> Result<()> {
        let at_once = self.run.stop.at_once().clone();
        loop {
            let delivery = tokio::select! {
                biased;
                () = at_once.cancelled() => return Err(Error::cancelled()),
                delivery = deliveries.recv() => delivery,
            };
            let Some(delivery) = delivery else { return Ok(()) };
            self.take(delivery).await?;
            if self.restart {
                return Ok(());
            }
        }
    }

    /// What the source's end means.
    fn ended(&self, ended: Result<()>, stop: &CancellationToken) -> Result<Done> {
        match ended {
            Err(error) if error.kind() == Kind::Cancelled && stop.is_cancelled() => {
                Ok(if self.machine.whole() { Done::Whole } else { Done::Stopped })
            }
            Err(error) if self.machine.whole() => {
                // Every stream is whole and durable: reading it again could only add rows twice.
                let error = error.origin(Origin::Source);
                let message =
                    format!("slice {} is whole, but the source ended with an error: {error}", self.slice.id);
                let body = Body::Runtime { detail: serde_json::Value::Null };
                self.run.events.emit(Level::Warn, body, message, Some(error.record()));
                Ok(Done::Whole)
            }
            Err(error) => Err(error.origin(Origin::Source)),
            Ok(()) if self.machine.whole() => Ok(Done::Whole),
            Ok(()) if stop.is_cancelled() => Ok(Done::Stopped),
            Ok(()) => self.machine.end().map(|()| Done::Whole),
        }
    }

    async fn take(&mut self, delivery: Delivery) -> Result<()> {
        let (message, held) = delivery.split();
        let step = self.machine.accept(&message)?;
        match (step, message) {
            (Step::Prepare, Message::Schema { stream, schema }) => self.prepare(&stream, &schema).await,
            (Step::Load, Message::Batch { stream, payload }) => {
                let loaded = self.load(&stream, payload).await;
                drop(held);
                loaded
            }
            (Step::Commit, Message::Checkpoint { patch }) => self.commit(&patch).await,
            // Nothing new: the table and what the run is based on are written all the same.
            (Step::Complete, _) if !self.machine.committed() && self.machine.whole() => {
                self.commit(&Patch::new()).await
            }
            (_, Message::NextFloor { stream, floor }) => {
                self.pending.entry(stream).or_default().expect_floor(floor);
                Ok(())
            }
            (_, Message::NullCursors { stream, rows }) => {
                let job = self.job(&stream)?;
                job.count(|counts| counts.rows_null_cursor += rows);
                if rows > 0 {
                    let message = format!(
                        "{rows} rows have no cursor (NULL) and were handled by null_cursor: {:?}",
                        job.selection.null_cursor
                    );
                    job.events.warn(
                        Body::Runtime { detail: serde_json::json!({"rows_null_cursor": rows}) },
                        message,
                    );
                }
                Ok(())
            }
            (_, Message::Reject(reject)) => {
                let job = self.job(&reject.stream)?;
                self.run.rejects.take(&job, &reject, self.number)
            }
            _ => Ok(()),
        }
    }

    /// Makes the table fit the columns, or widens the load and asks for a new start.
    async fn prepare(&mut self, stream: &str, schema: &SchemaRef) -> Result<()> {
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

    async fn load(&mut self, stream: &str, payload: Payload) -> Result<()> {
        let job = self.job(stream)?;
        let (rows, bytes) = (payload.rows(), payload.bytes() as u64);
        job.count(|counts| {
            counts.rows_read += rows;
            counts.bytes_read += bytes;
            counts.batches += 1;
        });
        let Payload::Arrow(batch) = payload else {
            return Err(Error::internal("a payload that this version does not know"));
        };
        let batch = self.fresh(&job, batch)?;
        let batch = self.with_keys(&job, batch)?;
        let conform = self.loads.get(stream).ok_or_else(|| Error::internal("rows before columns"))?;
        let batch = conform.apply(&batch).map_err(|e| e.stream(stream).origin(Origin::Source))?;
        let hash = identity::sum(&identities(&batch, &[])?);
        let segment = self.segments.entry(stream.to_owned()).or_default();
        segment.rows += batch.num_rows() as u64;
        segment.bytes += bytes;
        segment.hash = segment.hash.wrapping_add(hash);
        let written = self.writer.write(stream, Payload::Arrow(batch));
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
        job.count(|counts| counts.rows_known += filtered.known);
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
        let mut keep = vec![true; batch.num_rows()];
        for (row, key) in bad {
            if !keep[row] {
                continue;
            }
            keep[row] = false;
            let read = job.counts().rows_read - batch.num_rows() as u64 + row as u64 + 1;
            let reject = Reject {
                stream: job.name.clone(),
                place: format!("row {read} of {}", job.name),
                column: Some(key.to_owned()),
                reason: "the primary key is NULL".to_owned(),
                row: serde_json::Value::Null,
            };
            self.run.rejects.take(job, &reject, self.number)?;
        }
        arrow_select::filter::filter_record_batch(&batch, &BooleanArray::from(keep))
            .map_err(|e| Error::internal("filtering a batch").cause(e))
    }

    async fn commit(&mut self, patch: &Patch) -> Result<()> {
        let started = Instant::now();
        // Commits of one stream take turns: two slices never overwrite each other's part.
        let turns: Vec<Arc<tokio::sync::Mutex<()>>> =
            self.jobs.values().map(|job| Arc::clone(&job.turn)).collect();
        let mut held = Vec::with_capacity(turns.len());
        for turn in turns {
            held.push(turn.lock_owned().await);
        }
        let (commit, next) = self.prepare_commit(patch)?;
        let committed = self.writer.commit(&commit);
        let receipt = match or_at_once(self.run, committed).await {
            Ok(receipt) => Some(receipt),
            Err(error) => or_at_once(self.run, settle(self.run, &commit, at_destination(error))).await?,
        };
        if let Some(receipt) = &receipt {
            self.compare(receipt)?;
            self.run.say_coerced(&receipt.coerced);
        }
        self.apply(&commit, next, started);
        let mut progress = Progress::default();
        self.jobs.values().for_each(|job| job.progress(&mut progress));
        if let Err(error) = self.run.source.acknowledge(&progress).await {
            let message = format!("the source could not be told what is durable: {error}");
            self.run.events.emit(
                Level::Warn,
                Body::Runtime { detail: serde_json::Value::Null },
                message,
                Some(error.record()),
            );
        }
        Ok(())
    }

    fn prepare_commit(&self, patch: &Patch) -> Result<(Commit, BTreeMap<String, Held>)> {
        let mut commit = Commit { id: super::commit_id(), ..Commit::default() };
        let mut next = BTreeMap::new();
        for (name, job) in &self.jobs {
            let rows = self.segments.get(name).map_or(0, |segment| segment.rows);
            let (before, direct) = {
                let live = job.live();
                (live.held.clone(), !staged(&live.load))
            };
            if !job.moves_state {
                next.insert(name.clone(), Held { rows: before.rows + rows, ..before });
                continue;
            }
            let mut patched = commit::patched(job, &before, patch, self.pending.get(name), rows)?;
            if patched.too_large {
                return Err(too_many().stream(name));
            }
            if direct {
                commit::add(&mut commit, job, &mut patched, &self.run.run_id);
            }
            next.insert(name.clone(), patched.held);
        }
        Ok((commit, next))
    }

    /// A row counts as loaded only under a receipt: one that says another number is a fault.
    fn compare(&self, receipt: &Receipt) -> Result<()> {
        for (name, job) in &self.jobs {
            let live = job.live();
            if live.load.upsert {
                continue;
            }
            let sent = self.segments.get(name).map_or(0, |segment| segment.rows);
            if let Some(rows) = receipt.rows.get(name).filter(|rows| **rows != sent) {
                return Err(at_destination(Error::internal(format!(
                    "the destination committed {rows} of {sent} rows of stream {name}"
                ))));
            }
        }
        Ok(())
    }

    fn apply(&mut self, commit: &Commit, mut next: BTreeMap<String, Held>, started: Instant) {
        for (name, job) in &self.jobs {
            let segment = self.segments.remove(name).unwrap_or_default();
            let Some(held) = next.remove(name) else { continue };
            let state = held.state.as_ref().map(waybill_protocol::StreamState::to_value);
            let is_staged = {
                let mut live = job.live();
                live.held = held;
                if let Some(pending) = self.pending.get_mut(name) {
                    live.held.committed(pending);
                }
                let is_staged = staged(&live.load);
                live.committed |= !is_staged;
                is_staged
            };
            job.count(|counts| {
                counts.commits += 1;
                if !is_staged {
                    counts.rows_loaded += segment.rows;
                    counts.bytes_loaded += segment.bytes;
                }
            });
            let body = Body::CheckpointCommitted {
                commit_id: commit.id.clone(),
                slice: self.slice.id.clone(),
                rows: segment.rows,
                bytes: segment.bytes,
                hash: Some(format!("{:032x}", segment.hash)),
                state: state.filter(|_| !is_staged && job.moves_state),
                staged: is_staged,
                ms: started.elapsed().as_millis() as u64,
            };
            let what = if is_staged { "staged" } else { "committed" };
            job.events
                .for_attempt(self.number)
                .info(body, format!("{what} {}", counted(segment.rows, "row")));
        }
    }

    fn job(&self, stream: &str) -> Result<Arc<StreamJob>> {
        self.jobs
            .get(stream)
            .cloned()
            .ok_or_else(|| Error::internal(format!("no stream {stream} in the slice")))
    }
}

/// The answer of a commit was lost: what the destination holds decides.
async fn settle(run: &Run, commit: &Commit, error: Error) -> Result<Option<Receipt>> {
    let Some(state) = commit.states.first().filter(|_| error.retryable()) else {
        return Err(error);
    };
    for wait_ms in [0u64, 200, 1_000, 3_000] {
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
        match run.destination.committed(&state.scope, &commit.id).await {
            Ok(true) => {
                let message = format!("commit {} had taken place although its answer was lost", commit.id);
                run.events.emit(
                    Level::Warn,
                    Body::Runtime { detail: serde_json::Value::Null },
                    message,
                    Some(error.record()),
                );
                return Ok(None);
            }
            Ok(false) => return Err(error),
            Err(again) if again.retryable() => {}
            Err(_) => return Err(error),
        }
    }
    // Not known yet: the next attempt starts from what the destination says by then.
    Err(error)
}

async fn or_at_once<T>(run: &Run, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = run.stop.at_once().cancelled() => Err(Error::cancelled()),
        done = work => done,
    }
}

fn at_destination(error: Error) -> Error {
    error.origin(Origin::Destination)
}

/// A task that does not outlive its attempt.
struct AbortOnDrop(tokio::task::JoinHandle<Result<()>>);

impl AbortOnDrop {
    /// Ends the task and waits, within bounds, until what it held is let go: a query that runs at
    /// a server is being cancelled then.
    async fn give_up(&mut self) {
        self.0.abort();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), &mut self.0).await;
    }

    async fn join(mut self) -> Result<()> {
        match (&mut self.0).await {
            Ok(ended) => ended,
            Err(e) if e.is_panic() => Err(panicked(e.into_panic())),
            Err(_) => Err(Error::cancelled()),
        }
    }
}

/// A panic as an error: what it said is kept as the cause.
pub fn panicked(payload: Box<dyn std::any::Any + Send>) -> Error {
    let said = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned());
    Error::internal("the connector panicked")
        .cause(said)
        .hint("this is a bug: report it with this run's event log")
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
