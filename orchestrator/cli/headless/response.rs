//! The one answer that a backend gets, whatever happens.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use waybill_protocol::Error;

use crate::summary::{Failure, RunStatus, Stats, Summary};

/// Version of the answer's form.
const VERSION: u32 = 1;

/// The one answer of `waybill headless`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Response of waybill headless")]
pub(crate) struct Response {
    /// Version of this form.
    version: u32,
    /// The connection, where the request named one.
    connection: Option<String>,
    /// The run; null where none began and none was named.
    run_id: Option<String>,
    /// How it ended; `failed`, with `artifacts` null, for a request that was refused before a run began.
    status: RunStatus,
    /// What the process exits with.
    pub(crate) exit_code: u8,
    /// Whether a run of this id had finished before: this is its record, and nothing was run.
    recorded: bool,
    /// What a person reads.
    report_text: String,
    /// Stream → the entry that this run wrote, or meant to write, into the connection's `state`.
    state_updates: BTreeMap<String, Value>,
    /// What was moved, how fast, and what it took; null where no run began.
    stats: Option<Stats>,
    /// Where the run's artifacts lie: kind → path; null where there are none.
    artifacts: Option<BTreeMap<String, String>>,
    /// The first cause of what went wrong; null where nothing did.
    error: Option<Failure>,
}

impl Response {
    /// The answer of a run.
    pub(crate) fn of(summary: Summary, recorded: bool, state_updates: BTreeMap<String, Value>) -> Response {
        Response {
            version: VERSION,
            report_text: summary.report_text(),
            connection: Some(summary.connection),
            run_id: Some(summary.run_id),
            status: summary.status,
            exit_code: summary.exit_code.unwrap_or(1),
            recorded,
            state_updates,
            stats: Some(summary.stats),
            artifacts: Some(summary.artifacts),
            error: summary.error,
        }
    }

    /// The answer to a request that did not become a run.
    pub(crate) fn refused(
        error: &Error,
        exit_code: u8,
        connection: Option<String>,
        run_id: Option<String>,
    ) -> Response {
        Response {
            version: VERSION,
            connection,
            run_id,
            status: RunStatus::Failed,
            exit_code,
            recorded: false,
            report_text: crate::cli::fault::error_text(error, false),
            state_updates: BTreeMap::new(),
            stats: None,
            artifacts: None,
            error: Some(Failure { phase: None, error: error.record() }),
        }
    }
}
