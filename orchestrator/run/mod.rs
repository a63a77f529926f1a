//! One run of one connection: load → resolve → check → discover → plan → read → publish → merge →
//! summary. The engine emits events and never prints.

mod conform;
mod cursor_column;
mod machine;
mod naming;
mod reconcile;
mod retry;
pub mod sessions;
mod stop;
mod window;

use std::time::Duration;

use waybill_protocol::Error;

use crate::events::log::Reporter;
use crate::store::project::Project;
use crate::summary::Summary;

pub use stop::{Ended, Stop};

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
    _project: &Project,
    _connection: &str,
    _options: &Options,
    _reporters: Vec<Box<dyn Reporter>>,
    _stop: &Stop,
) -> Answer {
    Answer::Refused(Error::internal("not yet"))
}
