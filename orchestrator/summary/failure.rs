//! Which of the faults of a run is its first cause.

use std::collections::BTreeMap;

use waybill_protocol::event::{Body, Outcome, Phase, Status};
use waybill_protocol::{ErrorRecord, Kind};

use super::Failure;
use crate::events::Line;

/// Follows faults: which ones stand, and which were survived.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    /// Faults that ended a stream or a step, in the order in which they were told.
    standing: Vec<Failure>,
    /// The last fault told of a stream, or of none, which may be survived by a retry.
    recent: BTreeMap<Option<String>, Failure>,
    /// The last fault told of anything.
    last: Option<Failure>,
    terminal: Option<Failure>,
}

impl Failures {
    pub(super) fn apply(&mut self, line: &Line) {
        if let Some(error) = &line.error {
            let failure = failure(error, line.stream.as_deref(), line.phase);
            self.recent.insert(line.stream.clone(), failure.clone());
            self.last = Some(failure);
        }
        match &line.body {
            Some(Body::StreamFinished { outcome: Outcome::Failed | Outcome::Interrupted, .. })
            | Some(Body::PhaseFinished { outcome: Outcome::Failed, .. }) => self.stand(line),
            Some(Body::StreamFinished { outcome: Outcome::Succeeded, .. }) => {
                self.standing.retain(|failure| failure.error.stream != line.stream);
            }
            Some(Body::RunFinished { .. }) => {
                self.terminal = line.error.as_ref().map(|error| failure(error, line.stream.as_deref(), None));
            }
            _ => {}
        }
    }

    /// The end of a stream or a step by a fault: its own, or the one told just before it.
    fn stand(&mut self, line: &Line) {
        let known = self.recent.get(&line.stream);
        let Some(found) = known.or(self.last.as_ref().filter(|last| last.phase == line.phase)) else {
            return;
        };
        let found = found.clone();
        if !self.standing.contains(&found) {
            self.standing.push(found);
        }
    }

    /// The first cause of a run that ended so; none for one that succeeded. `status` is absent for
    /// a log without an end, of which only the last fault can be told.
    pub(super) fn first(&self, status: Option<Status>) -> Option<Failure> {
        let of_kind = |cancelled: bool| {
            self.standing.iter().find(move |failure| (failure.error.kind == Kind::Cancelled) == cancelled)
        };
        let found = match status {
            Some(Status::Succeeded) => None,
            Some(Status::Cancelled) => self.terminal.as_ref().or(of_kind(true)).or(of_kind(false)),
            Some(_) => of_kind(false).or(self.terminal.as_ref()).or(of_kind(true)).or(self.last.as_ref()),
            None => of_kind(false).or(self.last.as_ref()),
        };
        found.cloned()
    }

    /// Why streams failed.
    pub(super) fn by_stream(&self) -> BTreeMap<String, ErrorRecord> {
        let mut errors = BTreeMap::new();
        for failure in &self.standing {
            if let Some(stream) = &failure.error.stream {
                errors.insert(stream.clone(), failure.error.clone());
            }
        }
        errors
    }
}

fn failure(error: &ErrorRecord, stream: Option<&str>, phase: Option<Phase>) -> Failure {
    let mut error = error.clone();
    if let Some(stream) = stream {
        error.stream = Some(stream.to_owned());
    }
    Failure { phase, error }
}
