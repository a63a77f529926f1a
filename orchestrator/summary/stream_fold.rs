//! What the events say about one stream.

use serde_json::Value;
use waybill_protocol::event::{Body, Counts, Outcome};
use waybill_protocol::stream::{SyncMode, WriteMode};

use super::{Figures, StateChange, StreamStats};
use crate::events::Line;

/// The fold of one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamFold {
    pub(super) mode: Option<SyncMode>,
    pub(super) write: Option<WriteMode>,
    pub(super) table: Option<String>,
    pub(super) outcome: Option<Outcome>,
    pub(super) state: StateChange,
    pub(super) counts: Counts,
    /// Rows and bytes under receipts in the table itself: what is there at least.
    receipts: (u64, u64),
    /// Rows committed into the staging table, and whether it was published.
    staged_rows: u64,
    published: bool,
    staged: bool,
    /// Rows rejected and values changed, as the events of each say.
    lossy: (u64, u64),
    attempts: u32,
    started_ms: Option<u64>,
    last_ms: u64,
    ms: Option<u64>,
}

impl StreamFold {
    pub(super) fn apply(&mut self, line: &Line) {
        self.told(line.attempt, line.t_ms);
        if let Some(body) = &line.body {
            self.take(body, line.t_ms, line.truncated);
        }
    }

    /// Something was told of it at that time.
    pub(super) fn told(&mut self, attempt: Option<u32>, t_ms: u64) {
        self.attempts = self.attempts.max(attempt.unwrap_or(0));
        self.last_ms = self.last_ms.max(t_ms);
    }

    /// What was told; `cut`: not all of it stands in the line.
    pub(super) fn take(&mut self, body: &Body, t_ms: u64, cut: bool) {
        match body {
            Body::StateReconciled { before, .. } => self.state.before = known(before, cut),
            Body::StreamStarted { mode, write, table, staged, .. } => {
                (self.mode, self.write, self.staged) = (Some(*mode), Some(*write), *staged);
                self.table = Some(table.clone());
                self.started_ms.get_or_insert(t_ms);
                self.outcome = None;
            }
            Body::StreamProgress { counts } | Body::StreamAttemptFailed { counts, .. } => {
                raise(&mut self.counts, counts);
            }
            Body::CheckpointCommitted { rows, bytes, state, staged, .. } => {
                if *staged {
                    self.staged_rows = self.staged_rows.saturating_add(*rows);
                } else {
                    let (known_rows, known_bytes) = self.receipts;
                    self.receipts = (known_rows.saturating_add(*rows), known_bytes.saturating_add(*bytes));
                    self.advance(cut, state);
                }
            }
            Body::StreamPublished { rows, state, .. } => {
                self.published = true;
                self.receipts.0 = self.receipts.0.max(*rows);
                self.advance(cut, state);
            }
            Body::RowRejected { rows, .. } => self.lossy.0 = self.lossy.0.saturating_add(*rows),
            Body::ValueCoerced { values, .. } => self.lossy.1 = self.lossy.1.saturating_add(*values),
            Body::StreamFinished { outcome, counts, ms, after } => {
                raise(&mut self.counts, counts);
                (self.outcome, self.ms) = (Some(*outcome), Some(*ms));
                self.advance(cut, after);
            }
            _ => {}
        }
    }

    fn advance(&mut self, cut: bool, state: &Option<Value>) {
        if state.is_some() {
            self.state.after = known(state, cut);
        }
    }

    /// The counters: the highest told, and no less than the receipts and the events say.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.rows_loaded = counts.rows_loaded.max(self.receipts.0);
        counts.bytes_loaded = counts.bytes_loaded.max(self.receipts.1);
        counts.rows_rejected = counts.rows_rejected.max(self.lossy.0);
        counts.values_coerced = counts.values_coerced.max(self.lossy.1);
        counts
    }

    /// Whether what was loaded stands in a staging table that nobody sees.
    fn unpublished(&self) -> bool {
        self.staged && !self.published && self.outcome != Some(Outcome::Succeeded)
    }

    /// The figures; once a run is over, rows in a staging table are no rows of the table.
    pub(super) fn stats(&self, over: bool) -> StreamStats {
        let mut counts = self.counts();
        let unpublished =
            if over && self.unpublished() { counts.rows_loaded.max(self.staged_rows) } else { 0 };
        if over && self.unpublished() {
            (counts.rows_loaded, counts.bytes_loaded) = (0, 0);
        }
        let lasted = self.started_ms.map_or(0, |started| self.last_ms.saturating_sub(started));
        StreamStats {
            outcome: self.outcome,
            mode: self.mode,
            write: self.write,
            table: self.table.clone(),
            figures: Figures::new(counts.rows_loaded, counts.bytes_loaded, self.ms.unwrap_or(lasted)),
            attempts: self.attempts.max(u32::from(self.started_ms.is_some())),
            rows_unpublished: unpublished,
        }
    }
}

/// A state as the line has it; one that was cut would say something else than what is stored.
fn known(state: &Option<Value>, cut: bool) -> Option<Value> {
    if cut && state.is_some() {
        return Some(Value::from("too large for the event log"));
    }
    state.clone()
}

/// Counters are cumulative; a span that was dropped tells zeros.
fn raise(known: &mut Counts, told: &Counts) {
    let Counts {
        rows_read,
        rows_loaded,
        rows_known,
        rows_rejected,
        values_coerced,
        rows_null_cursor,
        batches,
        commits,
        retries,
        bytes_read,
        bytes_loaded,
    } = told;
    for (known, told) in [
        (&mut known.rows_read, rows_read),
        (&mut known.rows_loaded, rows_loaded),
        (&mut known.rows_known, rows_known),
        (&mut known.rows_rejected, rows_rejected),
        (&mut known.values_coerced, values_coerced),
        (&mut known.rows_null_cursor, rows_null_cursor),
        (&mut known.batches, batches),
        (&mut known.commits, commits),
        (&mut known.retries, retries),
        (&mut known.bytes_read, bytes_read),
        (&mut known.bytes_loaded, bytes_loaded),
    ] {
        *known = (*known).max(*told);
    }
}
