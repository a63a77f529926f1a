//! What took how long: steps of the run, streams, attempts, slices, waits and publications.

use std::collections::{BTreeMap, HashMap};

use waybill_protocol::event::{Body, Outcome};

use crate::events::Line;

/// Attempts, waits and publications of a stream that are drawn.
const PARTS: usize = 60;
/// Slices of a stream that are drawn.
const SLICES: usize = 40;
/// Commits of a slice that are drawn.
const COMMITS: usize = 160;

/// How a stretch of time looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Good,
    Failed,
    Stopped,
    Waiting,
    Open,
}

impl Look {
    /// The word that is said of it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Look::Good => "succeeded",
            Look::Failed => "failed",
            Look::Stopped => "cancelled",
            Look::Waiting => "waited",
            Look::Open => "never ended",
        }
    }
}

impl From<Outcome> for Look {
    fn from(outcome: Outcome) -> Look {
        match outcome {
            Outcome::Succeeded => Look::Good,
            Outcome::Failed => Look::Failed,
            Outcome::Cancelled => Look::Stopped,
            Outcome::Interrupted => Look::Open,
        }
    }
}

/// A stretch of time. One without an end was under way when the log ended.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) from: u64,
    pub(super) to: Option<u64>,
    pub(super) look: Look,
}

/// One slice of a stream, as its commits show it.
#[derive(Debug, Clone, Default)]
pub(super) struct Slice {
    pub(super) rows: u64,
    pub(super) commits: u64,
    /// Moments of commits, thinned out when there are too many.
    pub(super) moments: Vec<u64>,
    every: u64,
}

impl Slice {
    fn commit(&mut self, moment: u64, rows: u64) {
        (self.rows, self.commits) = (self.rows.saturating_add(rows), self.commits + 1);
        let every = self.every.max(1);
        if self.moments.len() >= COMMITS {
            let mut at = 0;
            self.moments.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every = every * 2;
        }
        if self.commits.is_multiple_of(self.every.max(1)) {
            self.moments.push(moment);
        }
    }
}

/// One stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    pub(super) whole: Option<Bar>,
    /// Attempts, waits between them, and publications, in time.
    pub(super) parts: Vec<Bar>,
    pub(super) parts_left_out: u64,
    pub(super) slices: BTreeMap<String, Slice>,
    pub(super) slices_left_out: u64,
    attempt: Option<(u32, u64)>,
    last: u64,
}

impl Lane {
    fn part(&mut self, part: Bar) {
        if self.parts.len() < PARTS {
            self.parts.push(part);
        } else {
            self.parts_left_out += 1;
        }
    }

    fn end_attempt(&mut self, to: u64, look: Look) {
        if let Some((number, from)) = self.attempt.take() {
            self.part(Bar { name: format!("attempt {number}"), from: from.min(to), to: Some(to), look });
        }
    }

    fn apply(&mut self, line: &Line) {
        let at = line.t_ms;
        match &line.body {
            Some(Body::StreamStarted { .. }) => {
                self.whole = Some(Bar { name: "load".to_owned(), from: at, to: None, look: Look::Open });
                self.attempt = Some((1, at));
            }
            Some(Body::StreamAttemptFailed { .. }) => self.end_attempt(at, Look::Failed),
            Some(Body::RetryScheduled { next_attempt, delay_ms, .. }) => {
                let to = at.saturating_add(*delay_ms);
                self.part(Bar { name: "wait".to_owned(), from: at, to: Some(to), look: Look::Waiting });
                self.attempt = Some((*next_attempt, to));
            }
            Some(Body::CheckpointCommitted { slice, rows, .. }) => {
                if self.slices.contains_key(slice) || self.slices.len() < SLICES {
                    self.slices.entry(slice.clone()).or_default().commit(at, *rows);
                } else {
                    self.slices_left_out += 1;
                }
                self.last = at;
            }
            Some(Body::StreamPublished { ms, .. }) => {
                let from = at.saturating_sub(*ms);
                self.end_attempt(self.last.clamp(0, from), Look::Good);
                self.part(Bar { name: "publish".to_owned(), from, to: Some(at), look: Look::Good });
            }
            Some(Body::StreamFinished { outcome, .. }) => {
                let look = Look::from(*outcome);
                self.end_attempt(at, look);
                if let Some(whole) = &mut self.whole {
                    (whole.to, whole.look) = (Some(at), look);
                }
            }
            _ => {}
        }
    }

    /// The attempt that was under way when the log ended.
    pub(super) fn close(&mut self) {
        if let Some((number, from)) = self.attempt.take() {
            self.part(Bar { name: format!("attempt {number}"), from, to: None, look: Look::Open });
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    pub(super) phases: Vec<Bar>,
    open: HashMap<String, usize>,
    pub(super) streams: BTreeMap<String, Lane>,
    /// Streams in the order in which they began.
    pub(super) order: Vec<String>,
}

impl Lanes {
    /// Takes one more line.
    pub(super) fn apply(&mut self, line: &Line) {
        match (&line.body, &line.span, line.phase) {
            (Some(Body::PhaseStarted {}), Some(span), Some(phase)) => {
                // A step ends before the next one begins, whether that can be read or not.
                for (_, at) in self.open.drain() {
                    if let Some(before) = self.phases.get_mut(at) {
                        before.to = Some(line.t_ms);
                    }
                }
                self.open.insert(span.clone(), self.phases.len());
                let name = phase.word().to_owned();
                self.phases.push(Bar { name, from: line.t_ms, to: None, look: Look::Open });
            }
            (Some(Body::PhaseFinished { outcome, .. }), Some(span), _) => {
                let known = self.open.remove(span).and_then(|at| self.phases.get_mut(at));
                if let Some(bar) = known {
                    (bar.to, bar.look) = (Some(line.t_ms), Look::from(*outcome));
                }
            }
            _ => {}
        }
        let Some(name) = &line.stream else { return };
        if !self.streams.contains_key(name) {
            if !matches!(line.body, Some(Body::StreamStarted { .. })) {
                return;
            }
            self.order.push(name.clone());
        }
        self.streams.entry(name.clone()).or_default().apply(line);
    }
}
