//! The run history: what a system keeps of runs, so that others can read it with SQL.
//!
//! The members of the rows are the columns of the tables, under these names.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::error::Result;
use crate::source::Check;

/// Where the history of runs is kept. Opening it changes nothing: the tables are made, or brought to
/// the layout that this program knows, by the first write.
///
/// A layout newer than this program is an error of every function but [`History::check`], which says
/// it as a failed check; nothing is written then.
#[async_trait]
pub trait History: Send + Sync {
    /// What it is called, for people, without secrets: `warehouse.example.com:5432/analytics, schema public`.
    fn place(&self) -> String;

    /// Whether runs can be written. Changes nothing.
    async fn check(&self) -> Result<Vec<Check>>;

    /// The digest under which each of these runs is kept; runs that are not are left out.
    async fn known(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>>;

    /// Writes runs, all of them in one transaction, each with its streams and events. One that is kept
    /// under the same digest stays as it is, and so does one of which more is known than is said here;
    /// any other is replaced wholly. Returns the ids of those that were written.
    async fn write(&self, runs: &[RunRecord]) -> Result<Vec<String>>;

    /// Ends the session.
    async fn close(&self);
}

/// What is kept of a run.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The run.
    pub run: RunRow,
    /// Its streams.
    pub streams: Vec<StreamRow>,
    /// What happened in it at level warn and above.
    pub events: Vec<EventRow>,
}

/// A row of `waybill_runs`.
#[derive(Debug, Clone, Serialize)]
pub struct RunRow {
    /// The run; the key.
    pub run_id: String,
    /// The connection's name at that time.
    pub connection: String,
    /// The connection's id, which a new name does not change.
    pub connection_id: String,
    /// `succeeded`, `partial`, `failed`, `cancelled`, `crashed`.
    pub status: String,
    /// Whether `crashed` is only presumed, of a run on another host that fell silent.
    pub presumed: bool,
    /// What the process exited with; none for a run that never said.
    pub exit_code: Option<u8>,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended, or its last event.
    pub finished_at: Option<String>,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Rows loaded, all streams.
    pub rows_loaded: i64,
    /// Their bytes.
    pub bytes_loaded: i64,
    /// System of the source.
    pub source: String,
    /// Name and system of the destination.
    pub destination: String,
    /// Host it ran on.
    pub host: String,
    /// Process id.
    pub pid: i64,
    /// Version of the program.
    pub version: Option<String>,
    /// Kind of the first cause, of a run that did not succeed.
    pub error_kind: Option<String>,
    /// Step of the run in which it came.
    pub error_phase: Option<String>,
    /// The stream that it stopped.
    pub error_stream: Option<String>,
    /// In words.
    pub error_message: Option<String>,
    /// What to do next.
    pub error_hint: Option<String>,
    /// Warnings in all, repeated ones included.
    pub warnings: i64,
    /// Events at level warn and above that were left out of `waybill_run_events`.
    pub events_left_out: i64,
    /// Peak of resident memory, bytes.
    pub peak_memory_bytes: i64,
    /// What the caller asked for: flags and limits.
    pub options: Value,
    /// Digest of the connection's settings as loaded.
    pub config_hash: String,
    /// Lines of the event log that the summary is the fold of: of two tellings the one with more knows more.
    pub log_lines: i64,
    /// Digest of the summary.
    pub digest: String,
    /// The whole summary.
    pub summary: Value,
}

/// A row of `waybill_run_streams`.
#[derive(Debug, Clone, Serialize)]
pub struct StreamRow {
    /// The run.
    pub run_id: String,
    /// The stream; with the run the key.
    pub stream: String,
    /// The table at the destination.
    pub table_name: Option<String>,
    /// `full_refresh` or `incremental`.
    pub sync_mode: Option<String>,
    /// `overwrite`, `append` or `merge`.
    pub write_mode: Option<String>,
    /// `succeeded`, `failed`, …; none where its load never ended.
    pub outcome: Option<String>,
    /// Rows that the source gave.
    pub rows_read: i64,
    /// Rows in the table under a receipt.
    pub rows_loaded: i64,
    /// Rows that were known already.
    pub rows_skipped: i64,
    /// Rows that could not be loaded.
    pub rows_rejected: i64,
    /// Rows in a staging table that was never published.
    pub rows_unpublished: i64,
    /// Values that were changed to fit.
    pub values_coerced: i64,
    /// Bytes loaded.
    pub bytes_loaded: i64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Attempts made.
    pub attempts: i64,
    /// Commits made.
    pub commits: i64,
    /// Kind of what failed.
    pub error_kind: Option<String>,
    /// In words.
    pub error_message: Option<String>,
    /// What to do next.
    pub error_hint: Option<String>,
    /// Its state before the run.
    pub state_before: Option<Value>,
    /// Its state after the run.
    pub state_after: Option<Value>,
}

/// A row of `waybill_run_events`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow {
    /// The run.
    pub run_id: String,
    /// Number of the line in the event log; with the run the key.
    pub seq: i64,
    /// When it was emitted.
    pub ts: String,
    /// `warn` or `error`.
    pub level: String,
    /// The event's name.
    pub event: String,
    /// The stream it belongs to.
    pub stream: Option<String>,
    /// The step of the run.
    pub phase: Option<String>,
    /// Number of the attempt, from 1.
    pub attempt: Option<i64>,
    /// In words.
    pub message: String,
    /// What failed, whole: kind, origin, code, hint, cause.
    pub error: Option<Value>,
}
