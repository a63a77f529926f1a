//! Where a run stands, folded from its events: what live progress shows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use waybill_protocol::event::{Body, Counts, Level, Outcome, Phase};
use waybill_protocol::stream::SyncMode;

use crate::events::Line;

/// Time over which the present rate is taken, milliseconds.
const RATE_WINDOW: u64 = 5_000;

/// How a stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its rows are on their way.
    Loading,
    /// An attempt failed; the next begins at this moment of the run.
    Retry { attempt: u32, attempts: u32, at_ms: u64, delay_ms: u64 },
    /// It ended.
    Ended(Outcome),
}

/// One stream.
#[derive(Debug, Clone)]
pub(super) struct StreamBoard {
    pub(super) name: String,
    pub(super) standing: Standing,
    pub(super) counts: Counts,
    pub(super) rows_expected: Option<u64>,
    pub(super) bytes_expected: Option<u64>,
    /// How long it took, once it ended.
    pub(super) took_ms: Option<u64>,
    /// Moment, rows and bytes read, over the last seconds.
    recent: VecDeque<(u64, u64, u64)>,
}

impl StreamBoard {
    fn new(name: &str, t_ms: u64) -> StreamBoard {
        StreamBoard {
            name: name.to_owned(),
            standing: Standing::Loading,
            counts: Counts::default(),
            rows_expected: None,
            bytes_expected: None,
            took_ms: None,
            recent: VecDeque::from([(t_ms, 0, 0)]),
        }
    }

    fn count(&mut self, counts: Counts, t_ms: u64) {
        self.counts = counts;
        self.recent.push_back((t_ms, counts.rows_read, counts.bytes_read));
        while self.recent.len() > 2
            && self.recent.get(1).is_some_and(|(at, ..)| at.saturating_add(RATE_WINDOW) < t_ms)
        {
            self.recent.pop_front();
        }
    }

    /// Rows and bytes a second: over all of it once it ended, else over the last seconds.
    pub(super) fn rates(&self) -> Option<(f64, f64)> {
        let per = |amount: u64, ms: u64| amount as f64 / (ms as f64 / 1000.0);
        if let Some(ms) = self.took_ms {
            let counts = &self.counts;
            return (ms > 0 && counts.rows_loaded > 0)
                .then(|| (per(counts.rows_loaded, ms), per(counts.bytes_loaded, ms)));
        }
        let ((t0, rows0, bytes0), (t1, rows1, bytes1)) = (*self.recent.front()?, *self.recent.back()?);
        let ms = t1.saturating_sub(t0);
        (ms > 0 && rows1 > rows0).then(|| (per(rows1 - rows0, ms), per(bytes1.saturating_sub(bytes0), ms)))
    }

    /// How much of it is done, where that is known; never whole before it has ended.
    pub(super) fn fraction(&self) -> Option<f64> {
        if let Standing::Ended(outcome) = self.standing {
            return (outcome == Outcome::Succeeded).then_some(1.0);
        }
        let known = |expected: Option<u64>, done: u64| {
            expected.filter(|expected| *expected > 0).map(|expected| done as f64 / expected as f64)
        };
        known(self.rows_expected, self.counts.rows_read)
            .or_else(|| known(self.bytes_expected, self.counts.bytes_read))
            .map(|fraction| fraction.min(0.99))
    }
}

/// The run.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) phase: Option<Phase>,
    pub(super) streams: Vec<StreamBoard>,
    pub(super) warnings: u64,
    /// Whether a signal asked it to end.
    pub(super) stopping: bool,
    planned: BTreeSet<String>,
    /// Rows that discovery counted or estimated, by stream.
    found: BTreeMap<String, u64>,
    /// At most this many rows of each stream are wanted.
    limit: Option<u64>,
}

impl Board {
    /// Takes in a line; returns the place of the stream that it changed.
    pub(super) fn apply(&mut self, line: &Line) -> Option<usize> {
        if line.level == Level::Warn && line.event != "signal.received" {
            self.warnings += 1;
        }
        match line.body.as_ref()? {
            Body::PhaseStarted {} => {
                self.phase = line.phase;
                None
            }
            Body::SignalReceived { .. } => {
                self.stopping = true;
                None
            }
            Body::SlicePlanned { streams, .. } => {
                self.planned.extend(streams.iter().cloned());
                None
            }
            Body::RunStarted { options, .. } => {
                self.limit = options.get("limit").and_then(Value::as_u64);
                None
            }
            Body::CatalogDiscovered { streams, .. } => {
                self.found = streams.iter().filter_map(|s| Some((s.name.clone(), s.rows?))).collect();
                None
            }
            Body::StreamStarted { mode, rows_expected, bytes_expected, .. } => {
                // All of a stream is read only in a full refresh.
                let found = line.stream.as_ref().and_then(|name| self.found.get(name)).copied();
                let found = found.filter(|_| *mode == SyncMode::FullRefresh);
                let (rows, bytes, limit) = (rows_expected.or(found), *bytes_expected, self.limit);
                self.change(line, |stream| {
                    stream.standing = Standing::Loading;
                    stream.rows_expected = rows.map(|rows| limit.map_or(rows, |limit| rows.min(limit)));
                    stream.bytes_expected = bytes.filter(|_| limit.is_none());
                })
            }
            Body::StreamProgress { counts } => self.change(line, |stream| {
                stream.count(*counts, line.t_ms);
                stream.standing = Standing::Loading;
            }),
            Body::StreamAttemptFailed { counts, .. } => {
                self.change(line, |stream| stream.count(*counts, line.t_ms))
            }
            Body::RetryScheduled { next_attempt, attempts, delay_ms } => self.change(line, |stream| {
                stream.standing = Standing::Retry {
                    attempt: *next_attempt,
                    attempts: *attempts,
                    at_ms: line.t_ms.saturating_add(*delay_ms),
                    delay_ms: *delay_ms,
                };
            }),
            Body::StreamFinished { outcome, counts, ms, .. } => self.change(line, |stream| {
                stream.count(*counts, line.t_ms);
                stream.standing = Standing::Ended(*outcome);
                stream.took_ms = Some(*ms);
            }),
            _ => None,
        }
    }

    /// Changes the line's stream, which appears with its first event.
    fn change(&mut self, line: &Line, change: impl FnOnce(&mut StreamBoard)) -> Option<usize> {
        let name = line.stream.as_deref()?;
        let place = self.streams.iter().position(|stream| stream.name == name).unwrap_or_else(|| {
            self.streams.push(StreamBoard::new(name, line.t_ms));
            self.streams.len() - 1
        });
        change(self.streams.get_mut(place)?);
        Some(place)
    }

    /// Streams that ended, and streams that will.
    pub(super) fn done(&self) -> (usize, usize) {
        let ended = self.streams.iter().filter(|s| matches!(s.standing, Standing::Ended(_))).count();
        (ended, self.planned.len().max(self.streams.len()))
    }
}
