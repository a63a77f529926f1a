//! What of a run is compared with other runs: its summary, and what only the beginning of its log
//! tells (settings, columns, where streams start).

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use waybill_protocol::Result;
use waybill_protocol::catalog::StreamDescription;
use waybill_protocol::event::Body;

use crate::events::{Entry, Reader};
use crate::history::{Archive, RunEntry};
use crate::summary::{RunStatus, Summary};

/// Lines of a log in which its beginning must have come to an end.
const BEGINNING: usize = 100_000;

/// Which run is meant, and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunName {
    /// The run.
    pub run_id: String,
    /// The connection's name.
    pub connection: String,
    /// When it began: UTC.
    pub started_at: String,
    /// How it stands or ended.
    pub status: RunStatus,
}

/// Where a stream starts, as was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rule of reconciliation.
    pub rule: String,
    /// What it means, in words.
    pub words: String,
    /// The word for it.
    pub decision: String,
}

impl Decision {
    /// Whether nothing had been loaded before.
    pub(super) fn first(&self) -> bool {
        self.decision == "first"
    }
}

/// What is known of a run for a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Its summary.
    pub summary: Summary,
    /// Settings in force: name → `{value, origin}`; `None` where the log is gone.
    pub settings: Option<BTreeMap<String, Value>>,
    /// What discovery found, by stream; `None` where the log is gone or the run did not come so far.
    pub schemas: Option<BTreeMap<String, StreamDescription>>,
    /// Where streams start, by stream; `None` where the log is gone.
    pub decisions: Option<BTreeMap<String, Decision>>,
}

impl Facts {
    /// The facts of a run in an archive.
    pub fn of(archive: &Archive<'_>, entry: &RunEntry) -> Result<Facts> {
        let summary = archive.show(entry)?;
        Ok(Facts::with(summary, entry.log_path.as_deref()))
    }

    /// The facts of a summary, and of the beginning of its log where that is still there.
    pub fn with(summary: Summary, log: Option<&Path>) -> Facts {
        let mut facts = Facts { summary, settings: None, schemas: None, decisions: None };
        if let Some(reader) = log.and_then(|log| Reader::open(log).ok()) {
            for entry in reader.take(BEGINNING) {
                let Entry::Line(line) = entry else { continue };
                if matches!(line.event.as_str(), "stream.started" | "run.finished") {
                    break;
                }
                let stream = line.stream.clone();
                if let Some(body) = line.body {
                    facts.take(body, stream, line.message);
                }
            }
        }
        facts
    }

    fn take(&mut self, body: Body, stream: Option<String>, message: String) {
        match body {
            Body::RunStarted { settings: Value::Object(settings), .. } => {
                self.settings = Some(settings.into_iter().collect());
                self.decisions = Some(BTreeMap::new());
            }
            Body::CatalogDiscovered { streams, .. } => {
                self.schemas =
                    Some(streams.into_iter().map(|stream| (stream.name.clone(), stream)).collect());
            }
            Body::StateReconciled { rule, decision, .. } => {
                if let (Some(stream), Some(decisions)) = (stream, &mut self.decisions) {
                    decisions.insert(stream, Decision { rule, words: message, decision });
                }
            }
            _ => {}
        }
    }

    /// Which run it is.
    pub fn name(&self) -> RunName {
        RunName {
            run_id: self.summary.run_id.clone(),
            connection: self.summary.connection.clone(),
            started_at: self.summary.started_at.clone(),
            status: self.summary.status,
        }
    }
}

/// The last run of the same connection that succeeded before this one, if its record is there.
pub fn last_good<'a>(runs: &'a [RunEntry], of: &RunEntry) -> Option<&'a RunEntry> {
    let same = |run: &&RunEntry| {
        let connection = match of.connection_id.is_empty() {
            true => run.connection == of.connection,
            false => run.connection_id == of.connection_id,
        };
        connection && run.status == RunStatus::Succeeded && run.run_id != of.run_id
    };
    runs.iter().filter(same).filter(|run| run.started_at < of.started_at).max_by_key(|run| &run.started_at)
}
