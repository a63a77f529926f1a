//! One run of one connection: load → resolve → check → discover → plan → read → publish → merge →
//! summary. The engine emits events and never prints.
//!
//! [`run`] is the only door. `begin` and `finish` keep the record, `pipeline` has the phases,
//! `group` and `attempt` move the data; `machine`, `reconcile`, `window`, `naming`, `columns`,
//! `matching`, `conform` and `retry` are pure and tested step by step.

mod agreement;
mod attempt;
mod begin;
mod columns;
mod commit;
mod committing;
mod confirm;
pub(crate) mod conform;
pub(crate) mod cursor_column;
mod evolve;
mod finish;
pub mod gate;
mod group;
mod job;
mod loading;
mod machine;
mod matching;
pub(crate) mod modes;
mod naming;
pub mod outlook;
mod pipeline;
mod plan;
pub mod prospect;
mod publish;
pub(crate) mod reconcile;
mod refresh;
mod reject_file;
mod rejects;
mod retry;
pub mod sessions;
mod settle;
mod stop;
mod verdict;
mod window;
mod worst;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use waybill_protocol::{
    Budget, Capabilities, Destination, Disposition, Error, ErrorRecord, Events, Kind, Result, Slice, Source,
    StreamLoad,
};

use crate::events::log::Reporter;
use crate::store::project::Project;
use crate::store::state::StateEntry;
use crate::summary::Summary;
use job::StreamJob;

pub use stop::{Ended, Stop};
pub use worst::worst;

/// What the caller asks of a run beyond the connection itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these streams; all selected ones when empty.
    pub streams: Vec<String>,
    /// Load everything again, whatever the state.
    pub full_refresh: bool,
    /// Only rows with this cursor or a higher one; never moves state.
    pub from: Option<String>,
    /// Only rows with a lower cursor; never moves state.
    pub to: Option<String>,
    /// At most this many rows of each stream; never moves state.
    pub limit: Option<u64>,
    /// The run's id; a fresh UUIDv7 when absent.
    pub run_id: Option<String>,
    /// The run's time budget: it ends on a commit once this is used up.
    pub timeout: Option<Duration>,
    /// How long to wait for another run of the connection to end.
    pub wait_lock: Option<Duration>,
}

/// What became of a request to run.
#[derive(Debug)]
pub enum Answer {
    /// It ran; its record is on disk. Exit with the summary's code.
    Ran(Box<Summary>),
    /// A finished run has this run id: its recorded answer. Nothing was run.
    Recorded(Box<Summary>),
    /// It was refused before it began: no artifacts. Exit with the error's code.
    Refused(Error),
}

/// Runs a connection to its end. `reporters` get every line of the event log as it is written.
pub async fn run(
    project: &Project,
    connection: &str,
    options: &Options,
    reporters: Vec<Box<dyn Reporter>>,
    stop: &Stop,
) -> Answer {
    match begin::begin(project, connection, options, reporters, stop).await {
        Ok(begin::Begun::Recorded(summary)) => Answer::Recorded(summary),
        Ok(begin::Begun::Open(open)) => match finish::carry_out(*open, project, options, stop).await {
            Ok(summary) => Answer::Ran(summary),
            Err(error) => Answer::Refused(error),
        },
        Err(error) => Answer::Refused(error),
    }
}

/// What the phases of a run share.
struct Run {
    run_id: String,
    connection_id: String,
    connection: String,
    /// Names and patterns of every enabled selection of the connection.
    selected: Vec<String>,
    /// The config's entries, by stream.
    state: BTreeMap<String, StateEntry>,
    /// The source's identity, as discovered.
    identity: String,
    options: Options,
    /// Events of the phase under way.
    events: Events,
    /// Events of reading and loading.
    read_events: Events,
    source: Arc<dyn Source>,
    destination: Arc<dyn Destination>,
    can: Capabilities,
    policy: retry::Policy,
    budget: Budget,
    /// Slices that may be read at once.
    places: Arc<Semaphore>,
    /// How many slices are read at once.
    parallelism: usize,
    rejects: rejects::Rejects,
    stop: Stop,
    /// Set once, when planning has ended.
    jobs: OnceLock<BTreeMap<String, Arc<StreamJob>>>,
}

impl Run {
    fn jobs_of(&self, slice: &Slice) -> Result<BTreeMap<String, Arc<StreamJob>>> {
        let jobs = self.jobs.get();
        let mut found = BTreeMap::new();
        for read in &slice.streams {
            let job = jobs.and_then(|jobs| jobs.get(&read.stream));
            let job = job.ok_or_else(|| {
                Error::internal(format!(
                    "slice {} of a stream that was not planned: {}",
                    slice.id, read.stream
                ))
            })?;
            found.insert(read.stream.clone(), Arc::clone(job));
        }
        Ok(found)
    }

    fn all_jobs(&self) -> Vec<Arc<StreamJob>> {
        self.jobs.get().map(|jobs| jobs.values().cloned().collect()).unwrap_or_default()
    }

    /// Counts and says values that were changed to fit; of a staged load once it is published.
    fn say_coerced(&self, coerced: &BTreeMap<(String, String, String), u64>) {
        for ((stream, column, what), values) in coerced {
            let Some(job) = self.jobs.get().and_then(|jobs| jobs.get(stream)) else { continue };
            let mut live = job.live();
            if staged(&live.load) && !live.committed {
                *live.staged.coerced.entry((column.clone(), what.clone())).or_default() += values;
            } else {
                drop(live);
                job.say_coerced(column, what, *values);
            }
        }
    }
}

/// Whether a load becomes visible only when it is published.
fn staged(load: &StreamLoad) -> bool {
    load.disposition == Disposition::Replace
}

/// A fresh id for a commit.
fn commit_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// An error of a run that nobody asked to end: what gave up as if somebody had is a fault, and no
/// success.
fn unasked(error: Error) -> Error {
    if error.kind() != Kind::Cancelled {
        return error;
    }
    let mut fault =
        Error::internal("a connector gave up as if the run were to end, and nobody asked for that")
            .hint("this is a bug: report it with this run's event log");
    if let Some(origin) = error.get_origin() {
        fault = fault.origin(origin);
    }
    fault.cause(error)
}

/// The error that a record speaks of.
pub(crate) fn error_of(record: &ErrorRecord) -> Error {
    let mut error = Error::new(record.kind, record.message.clone()).retry(record.retryable);
    if let Some(origin) = record.origin {
        error = error.origin(origin);
    }
    if let Some(code) = &record.code {
        error = error.code(code.clone());
    }
    if let Some(hint) = &record.hint {
        error = error.hint(hint.clone());
    }
    if let Some(stream) = &record.stream {
        error = error.stream(stream.clone());
    }
    if !record.cause.is_empty() {
        error = error.cause(record.cause.join(": "));
    }
    error
}
