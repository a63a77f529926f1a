//! What a run has come to.

use std::sync::Arc;

use serde_json::json;
use waybill_protocol::event::{Phase, Status};
use waybill_protocol::{Body, Error, ErrorRecord, Event, Kind, Level};

use super::job::{Ended, StreamJob};
use super::pipeline::{Outcomes, tally};
use super::{Stop, error_of, unasked, worst};
use crate::events::memory::memory;
use crate::summary::units::counted;

/// The end of a run in three words.
pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) exit_code: u8,
    pub(super) error: Option<ErrorRecord>,
}

impl Verdict {
    /// A secret in the record is worse than anything else that happened.
    pub(super) fn leak(&mut self, leak: Option<Error>) {
        let Some(leak) = leak else { return };
        if self.status == Status::Succeeded {
            self.status = Status::Failed;
        }
        self.exit_code = leak.exit_code();
        self.error = Some(leak.record());
    }
}

/// How the run ended, from its streams and from what ended it as a whole.
pub(super) fn verdict(outcomes: &Outcomes, stop: &Stop) -> Verdict {
    let (succeeded, failed, stopped) = tally(&outcomes.jobs);
    let first = outcomes.jobs.iter().find_map(|job| match job.ended() {
        Some(Ended::Failed(error)) => Some(*error),
        _ => None,
    });
    let ran_whole = outcomes.error.is_none() && failed == 0 && stopped == 0;
    if let Some(reason) = stop.reason().filter(|_| !ran_whole) {
        let error = first.or_else(|| outcomes.error.clone()).filter(|e| e.kind != Kind::Cancelled);
        return Verdict { status: Status::Cancelled, exit_code: reason.exit_code(), error };
    }
    let run_error = outcomes.error.as_ref().map(|record| unasked(error_of(record)).record());
    let first = first.or_else(|| (stopped > 0).then(|| unasked(Error::cancelled()).record()));
    match (run_error, first) {
        (None, None) => Verdict { status: Status::Succeeded, exit_code: 0, error: None },
        (Some(error), _) => {
            Verdict { status: Status::Failed, exit_code: error.exit_code(), error: Some(error) }
        }
        (None, Some(error)) if succeeded > 0 => {
            Verdict { status: Status::Partial, exit_code: 5, error: Some(error) }
        }
        (None, Some(error)) => {
            let codes = outcomes.jobs.iter().filter_map(|job| match job.ended() {
                Some(Ended::Failed(error)) => Some(error.exit_code()),
                _ => None,
            });
            let codes = codes.chain([error.exit_code()]);
            Verdict { status: Status::Failed, exit_code: worst(codes), error: Some(error) }
        }
    }
}

/// The terminal event.
pub(super) fn terminal(verdict: &Verdict, jobs: &[Arc<StreamJob>], started: std::time::Instant) -> Event {
    let rows_loaded = jobs.iter().map(|job| job.counts().rows_loaded).sum();
    let level = match verdict.status {
        Status::Succeeded => Level::Info,
        Status::Cancelled => Level::Warn,
        _ => Level::Error,
    };
    let word = json!(verdict.status).as_str().unwrap_or("ended").to_owned();
    Event {
        level,
        body: Body::RunFinished {
            status: verdict.status,
            exit_code: verdict.exit_code,
            rows_loaded,
            peak_memory_bytes: memory().peak,
            ms: started.elapsed().as_millis() as u64,
        },
        message: format!("run {word}: {} loaded", counted(rows_loaded, "row")),
        stream: None,
        phase: Some(Phase::Summary),
        attempt: None,
        span: None,
        parent: None,
        error: verdict.error.clone(),
    }
}
