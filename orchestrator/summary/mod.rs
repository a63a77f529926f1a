//! The summary of a run: a fold of its event log, and nothing else.
//!
//! One code path makes it live (the log's writer folds each line that it writes) and rebuilds it
//! from the disk, so a rebuilt summary equals the written one byte for byte.

mod failure;
mod file;
mod fold;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod scripted;
mod stream_fold;
mod superseded;
pub mod units;
mod warnings;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waybill_protocol::ErrorRecord;
use waybill_protocol::event::{Counts, Outcome, Phase, Status};
use waybill_protocol::stream::{SyncMode, WriteMode};

pub(crate) use file::cannot_read;
pub use file::{read_summary, rebuild, to_bytes, write_summary};
pub use fold::Fold;
pub use report::verdict as verdict_line;
pub(crate) use report::{moved, outcome};

use crate::events::OpenSpan;

/// Version of the summary's form.
pub const SUMMARY_VERSION: u32 = 1;

/// How a run stands or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It goes on; only in a view of a run, never in a written summary.
    Running,
    /// Every stream was loaded.
    Succeeded,
    /// Some streams were loaded, some failed.
    Partial,
    /// Nothing useful was loaded.
    Failed,
    /// A signal or a time budget ended it.
    Cancelled,
    /// It was killed: no `run.finished` in its log.
    Crashed,
}

impl RunStatus {
    /// Each of them.
    pub const ALL: [RunStatus; 6] = [
        RunStatus::Running,
        RunStatus::Succeeded,
        RunStatus::Partial,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::Crashed,
    ];

    /// The word used in summaries and on screens.
    pub fn word(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Partial => "partial",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::Crashed => "crashed",
        }
    }
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> RunStatus {
        match status {
            Status::Succeeded => RunStatus::Succeeded,
            Status::Partial => RunStatus::Partial,
            Status::Failed => RunStatus::Failed,
            Status::Cancelled => RunStatus::Cancelled,
            Status::Crashed => RunStatus::Crashed,
        }
    }
}

/// The record of a run, written once at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Version of this form.
    pub version: u32,
    /// The run.
    pub run_id: String,
    /// The connection's name.
    pub connection: String,
    /// The connection's id.
    pub connection_id: String,
    /// System of the source.
    pub source: String,
    /// Name and system of the destination.
    pub destination: String,
    /// How it ended.
    pub status: RunStatus,
    /// Whether `crashed` or `running` is only presumed: the run was on another host, and this is
    /// what its last event's age says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub presumed: bool,
    /// What the process exited with; absent for a run that never said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// What a person reads, line by line; the first line is the verdict, or a warning that comes
    /// before it.
    pub report: Vec<String>,
    /// When it began: UTC, microseconds.
    pub started_at: String,
    /// When it ended, or its last event.
    pub finished_at: String,
    /// State before and after, by stream.
    pub state: BTreeMap<String, StateChange>,
    /// What was moved, how fast, and what it took.
    pub stats: Stats,
    /// Counters by stream.
    pub progress_counts: BTreeMap<String, Counts>,
    /// The first cause of a run that did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Why streams failed, by stream.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, ErrorRecord>,
    /// What a person should know although it did not stop the run; the first hundred kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Warnings in all, repeated ones included.
    #[serde(default)]
    pub warnings_total: u64,
    /// Versions of the program and of what it spoke to: `waybill`, `source`, `destination`.
    pub versions: BTreeMap<String, String>,
    /// Milliseconds spent in each step of the run.
    pub timings: BTreeMap<String, u64>,
    /// Where this run's artifacts lie: kind → path.
    pub artifacts: BTreeMap<String, String>,
    /// Digest of the connection's settings as loaded.
    pub config_hash: String,
    /// What the caller asked for: flags and limits.
    pub options: Value,
    /// Host it ran on.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Lines of the log that this is the fold of.
    pub events: u64,
    /// What was under way when the log ended without `run.finished`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interrupted: Vec<OpenSpan>,
}

/// The state of a stream at the destination, before and after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StateChange {
    /// Before this run; absent for a first load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// After this run; absent where nothing was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Figures of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// The whole run.
    pub total: Figures,
    /// Peak of resident memory, bytes.
    pub peak_memory_bytes: u64,
    /// Each stream.
    pub streams: BTreeMap<String, StreamStats>,
}

/// How much and how fast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Rows under a receipt and in their table.
    pub rows: u64,
    /// Their bytes, as Arrow holds them.
    pub bytes: u64,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Rows a second.
    pub rows_per_second: f64,
    /// Bytes a second.
    pub bytes_per_second: f64,
}

impl Figures {
    /// The figures of so much in so many milliseconds; rates are rounded to a tenth.
    pub fn new(rows: u64, bytes: u64, ms: u64) -> Figures {
        let seconds = ms as f64 / 1000.0;
        let rate = |amount: u64| {
            if ms == 0 { 0.0 } else { (amount as f64 / seconds * 10.0).round() / 10.0 }
        };
        Figures { rows, bytes, seconds, rows_per_second: rate(rows), bytes_per_second: rate(bytes) }
    }
}

/// Figures of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamStats {
    /// How its load ended; absent where it never began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SyncMode>,
    /// How it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteMode>,
    /// The table at the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// How much and how fast.
    #[serde(flatten)]
    pub figures: Figures,
    /// Attempts made.
    pub attempts: u32,
    /// Rows committed into a staging table that was never published, all attempts together: the
    /// table itself is as it was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_unpublished: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What failed, and where in the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The step of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The fault; its `stream` is the stream that it stopped.
    #[serde(flatten)]
    pub error: ErrorRecord,
}

/// What a person should know, and how often it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// The stream it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How often.
    pub times: u64,
}

impl Summary {
    /// The report as one text.
    pub fn report_text(&self) -> String {
        self.report.join("\n")
    }

    /// Rows that were rejected, all streams.
    pub fn rows_rejected(&self) -> u64 {
        self.progress_counts.values().map(|counts| counts.rows_rejected).fold(0, u64::saturating_add)
    }

    /// Rows under a receipt, all streams.
    pub fn rows(&self) -> u64 {
        self.stats.total.rows
    }
}

/// The JSON Schema of a summary.
pub fn schema() -> Schema {
    schema_for!(Summary)
}
