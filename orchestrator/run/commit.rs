//! Builds what is written together with the data of a commit, and counts it once it is durable.

use std::time::Instant;

use serde_json::Value;
use waybill_protocol::{
    Body, Change, Commit, Error, Patch, Result, Scope, StateRow, StreamState, WindowChange,
};

use super::job::{Held, StreamJob};
use super::window::Pending;
use super::{Run, staged};
use crate::summary::units::counted;

/// What a slice loaded of one stream since the last commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Segment {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Order-free hash of the rows.
    pub hash: u128,
    /// Rows left out because their identity was loaded already.
    pub known: u64,
}

/// A stream's share of a commit that was sent to the destination.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The commit.
    pub commit_id: String,
    /// The slice that sent it.
    pub slice: String,
    /// The attempt.
    pub attempt: u32,
    /// What it covers.
    pub segment: Segment,
    /// Rows without a cursor that this attempt has met so far.
    pub null_cursors: u64,
    /// When it was begun.
    pub started: Instant,
}

/// Counts and says a share of a commit that took place; what the stream holds is up to date.
pub fn durable(run: &Run, job: &StreamJob, sent: &Sent) {
    let (state, is_staged) = {
        let live = job.live();
        (live.held.state.as_ref().map(StreamState::to_value), staged(&live.load))
    };
    let segment = &sent.segment;
    job.count(|counts| {
        counts.commits += 1;
        if !is_staged {
            counts.rows_loaded += segment.rows;
            counts.bytes_loaded += segment.bytes;
        }
    });
    let body = Body::CheckpointCommitted {
        commit_id: sent.commit_id.clone(),
        slice: sent.slice.clone(),
        rows: segment.rows,
        bytes: segment.bytes,
        hash: Some(format!("{:032x}", segment.hash)),
        state: state.filter(|_| !is_staged && job.moves_state),
        staged: is_staged,
        ms: sent.started.elapsed().as_millis() as u64,
    };
    let what = if is_staged { "staged" } else { "committed" };
    job.events.for_attempt(sent.attempt).info(body, format!("{what} {}", counted(segment.rows, "row")));
    if let Err(error) = left_out(run, job, segment, sent.null_cursors) {
        // The rows around them are durable: what cannot be kept of these is said.
        job.events.emit(
            waybill_protocol::Level::Warn,
            Body::Runtime { detail: Value::Null },
            error.message(),
            Some(error.record()),
        );
    }
}

/// Counts the rows that were left out beside a segment that is durable, or in staging.
pub fn left_out(run: &Run, job: &StreamJob, segment: &Segment, null_cursors: u64) -> Result<()> {
    let is_staged = {
        let mut live = job.live();
        let is_staged = staged(&live.load);
        if is_staged {
            live.staged.known += segment.known;
            live.staged.bytes += segment.bytes;
            live.staged.null_cursors = live.staged.null_cursors.max(null_cursors);
        }
        is_staged
    };
    if is_staged {
        return run.rejects.staged(job);
    }
    job.count(|counts| counts.rows_known += segment.known);
    job.say_null_cursors(null_cursors);
    run.rejects.committed(job);
    Ok(())
}

/// What a patch makes of a stream's holdings, with the ledger entries whose old rows must go.
pub struct Patched {
    /// What the stream will hold.
    pub held: Held,
    /// The change to its window, which `held` has only once the commit took place.
    pub window: Option<WindowChange>,
    /// Whether the window would pass its bound.
    pub too_large: bool,
    /// Ledger changes: file → value.
    pub parts: Vec<(String, Option<Value>)>,
    /// Files whose rows are loaded again.
    pub reloaded: Vec<String>,
}

/// Applies a patch to what a stream holds. Pure.
pub fn patched(
    job: &StreamJob,
    held: &Held,
    patch: &Patch,
    pending: Option<&Pending>,
    rows: u64,
) -> Result<Patched> {
    let mut next = held.clone();
    next.rows += rows;
    let (mut parts, mut reloaded) = (Vec::new(), Vec::new());
    for (scope, change) in patch {
        match (scope, change) {
            (Scope::Stream(stream), Change::Put(value)) if *stream == job.name => {
                let state = StreamState::from_value(value).map_err(|e| {
                    Error::internal(format!("the source sent a state of {stream} that cannot be read"))
                        .cause(e)
                })?;
                next.state = Some(state);
            }
            (Scope::Stream(stream), Change::Remove) if *stream == job.name => next.state = None,
            (Scope::Part(stream, part), Change::Put(value)) if *stream == job.name => {
                let (value, reload) = without_reload(value);
                if reload {
                    reloaded.push(part.clone());
                }
                next.parts.insert(part.clone(), value.clone());
                parts.push((part.clone(), Some(value)));
            }
            (Scope::Part(stream, part), Change::Remove) if *stream == job.name => {
                next.parts.remove(part);
                parts.push((part.clone(), None));
            }
            _ => {}
        }
    }
    let (mut window, mut too_large) = (None, false);
    if let (Some(known), Some(pending)) = (&held.window, pending) {
        let floor = next.state.as_ref().and_then(|state| state.floor.as_ref());
        let advance = known.advance(pending, floor);
        if let Some(state) = &mut next.state {
            state.window = Some(advance.digest);
        }
        (window, too_large) = (Some(advance.change), advance.too_large);
    }
    Ok(Patched { held: next, window, too_large, parts, reloaded })
}

fn without_reload(value: &Value) -> (Value, bool) {
    let mut value = value.clone();
    let reload = value.as_object_mut().and_then(|map| map.shift_remove("reload"));
    let reload = reload == Some(Value::Bool(true));
    (value, reload)
}

/// The state row of a stream.
pub fn state_row(job: &StreamJob, held: &Held, run_id: &str, commit_id: &str) -> StateRow {
    let table = job.live().load.table.clone();
    let state = StreamState { carried: job.carried.clone(), ..held.state.clone().unwrap_or_default() };
    StateRow {
        scope: Scope::Stream(job.name.clone()).to_string(),
        value: state.to_value(),
        based_on: job.based_on.clone(),
        fingerprint: job.fingerprint.clone(),
        run_id: run_id.to_owned(),
        commit_id: commit_id.to_owned(),
        rows: held.rows,
        table,
    }
}

/// Adds a stream's share to a direct commit.
pub fn add(commit: &mut Commit, job: &StreamJob, patched: &mut Patched, run_id: &str) {
    commit.states.push(state_row(job, &patched.held, run_id, &commit.id));
    if let Some(change) = patched.window.take() {
        commit.windows.insert(job.name.clone(), change);
    }
    for (part, value) in &patched.parts {
        commit.parts.push((job.name.clone(), part.clone(), value.clone()));
    }
    if !patched.reloaded.is_empty() {
        let column = file_column(job);
        for file in &patched.reloaded {
            commit.deletes.push((job.name.clone(), column.clone(), file.clone()));
        }
    }
}

fn file_column(job: &StreamJob) -> String {
    let live = job.live();
    let recorded = live.load.record.columns.iter().find(|column| column.source == "_file");
    recorded.map_or_else(|| "_file".to_owned(), |column| column.name.clone())
}

/// The commit that publishes a staged load: everything it holds, in place of what was there.
pub fn publication(job: &StreamJob, held: &Held, run_id: &str) -> Commit {
    let id = super::commit_id();
    let mut commit = Commit {
        states: vec![state_row(job, held, run_id, &id)],
        id,
        clear_parts: vec![job.name.clone()],
        ..Commit::default()
    };
    if !job.live().load.upsert {
        commit.staged.insert(job.name.clone(), held.rows);
    }
    for (part, value) in &held.parts {
        commit.parts.push((job.name.clone(), part.clone(), Some(value.clone())));
    }
    let insert = held.window.as_ref().map(super::window::Window::all).unwrap_or_default();
    commit.windows.insert(job.name.clone(), WindowChange { clear: true, delete: Vec::new(), insert });
    commit
}
