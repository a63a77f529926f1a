//! The runs there were, from what they left on disk: summaries, and logs without one.
//!
//! A summary is believed as it stands. A log without one belongs to a run that goes on or that was
//! killed: on this host the run lock decides, on another one the age of its last event.

mod brief;
mod candidates;
mod find;
mod here;
mod names;
pub mod prune;
mod query;
pub mod receipts;
mod scan;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_protocol::{Error, Kind, Origin, Result};

use crate::summary::{Fold, RunStatus, Summary, read_summary, rebuild, write_summary};

pub use here::{host, with_archive, with_lock_of};
pub use query::Query;

/// How old the last event of a run on another host may be before it is presumed to have crashed.
pub const SILENCE: Duration = Duration::from_secs(120);

/// One run, as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunEntry {
    /// The run.
    pub run_id: String,
    /// The connection's name.
    pub connection: String,
    /// The connection's id.
    pub connection_id: String,
    /// How it stands or ended.
    pub status: RunStatus,
    /// Whether `crashed` or `running` is only presumed, of a run on another host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub presumed: bool,
    /// When it began: UTC, microseconds.
    pub started_at: String,
    /// Seconds from start to end, or to the last event.
    pub seconds: f64,
    /// Rows loaded; of a run that never ended, at least.
    pub rows: u64,
    /// What the process exited with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// Host it ran on.
    pub host: String,
    /// Its summary, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary_path: Option<PathBuf>,
    /// Its event log, where it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_path: Option<PathBuf>,
}

/// Where runs leave their record, and what is needed to judge one that has no end.
pub struct Archive<'a> {
    /// Folder of summaries: `runs/`.
    pub runs: &'a Path,
    /// Folder of event logs: `run_logs/`.
    pub logs: &'a Path,
    /// This host, as `run.started` would name it.
    pub host: &'a str,
    /// Whether the run lock of a connection (by id) is held on this host.
    pub is_locked: &'a dyn Fn(&str) -> bool,
    /// The time against which silence is measured.
    pub now: DateTime<Utc>,
}

impl<'a> Archive<'a> {
    /// The archive of a project, as of now.
    pub fn new(
        runs: &'a Path,
        logs: &'a Path,
        host: &'a str,
        is_locked: &'a dyn Fn(&str) -> bool,
    ) -> Archive<'a> {
        Archive { runs, logs, host, is_locked, now: Utc::now() }
    }

    /// The summary of a run: as written or, where there is none, folded from its log.
    pub fn show(&self, entry: &RunEntry) -> Result<Summary> {
        let written = entry.summary_path.as_ref().map(|path| read_summary(path));
        match (written, &entry.log_path) {
            (Some(Ok(summary)), _) => Ok(summary),
            (Some(Err(error)), None) => Err(error),
            (_, Some(log)) => Ok(as_judged(&rebuild(log)?, entry.status, entry.presumed)),
            (None, None) => Err(Error::new(Kind::NotFound, format!("run {} left no record", entry.run_id))
                .origin(Origin::Orchestrator)),
        }
    }

    /// Writes the summaries of runs that are over and have none, so that the next look is cheap;
    /// runs that may still go on, or are only presumed to be over, are left alone. `write` must be
    /// atomic. Returns what was written.
    pub fn rebuild_missing(
        &self,
        write: impl Fn(&Path, &[u8]) -> io::Result<()>,
    ) -> Result<Vec<(RunEntry, PathBuf)>> {
        let mut written = Vec::new();
        for mut entry in self.find(&Query { unsummarised: true, ..Query::default() })? {
            let Some(log) = entry.log_path.as_ref().filter(|_| entry.summary_path.is_none()) else {
                continue;
            };
            if entry.presumed || entry.status == RunStatus::Running {
                continue;
            }
            let fold = rebuild(log)?;
            let Some(path) = self.summary_place(log, &fold.summary()).filter(|path| !path.exists()) else {
                continue;
            };
            write_summary(&path, &fold.summary(), &write)?;
            entry.summary_path = Some(path.clone());
            written.push((entry, path));
        }
        Ok(written)
    }

    /// Where the summary belongs that is rebuilt from a log: under the log's date, under the name
    /// that the run meant to use. `None` for a log that never says which run it is of.
    fn summary_place(&self, log: &Path, summary: &Summary) -> Option<PathBuf> {
        let date = log.parent()?.file_name()?;
        let started = DateTime::parse_from_rfc3339(&summary.started_at).ok()?;
        let meant = summary.artifacts.get("summary").and_then(|path| Path::new(path).file_name());
        let name = meant.map_or_else(
            || summary_name(&summary.connection, &started.with_timezone(&Utc), &summary.run_id).into(),
            std::ffi::OsStr::to_owned,
        );
        (!summary.connection_id.is_empty()).then(|| self.runs.join(date).join(name))
    }
}

/// The file name of a run's summary.
pub fn summary_name(connection: &str, started: &DateTime<Utc>, run_id: &str) -> String {
    let last: Vec<char> = run_id.chars().rev().take(8).collect();
    let last: String = last.into_iter().rev().collect();
    format!("{connection}_{}_{last}.json", started.format("%Y%m%dT%H%M%S%3fZ"))
}

/// The file name of a run's event log.
pub fn log_name(connection: &str, run_id: &str) -> String {
    format!("{connection}_{run_id}{}", scan::LOG_SUFFIX)
}

/// The summary of a fold whose end, if it has none, was judged from outside.
fn as_judged(fold: &Fold, status: RunStatus, presumed: bool) -> Summary {
    match (status, presumed) {
        (RunStatus::Running, false) => fold.running(),
        (RunStatus::Running, true) => fold.presumed_running(),
        (_, true) => fold.presumed_crashed(),
        (_, false) => fold.summary(),
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
