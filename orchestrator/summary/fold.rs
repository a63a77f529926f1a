//! The fold: events in, summary out. Deterministic from the lines alone.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde_json::Value;
use waybill_protocol::event::{Body, Counts, Status};

use super::failure::Failures;
use super::report::report;
use super::stream_fold::StreamFold;
use super::superseded::Commit;
use super::warnings::Warnings;
use super::{Figures, RunStatus, SUMMARY_VERSION, StateChange, Stats, StreamStats, Summary};
use crate::events::line::stamp;
use crate::events::{Entry, Line, OpenSpans};

/// Last events that the report of a crashed run names.
pub(super) const LAST_EVENTS: usize = 3;

/// What is known of a run after some of its lines.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    events: u64,
    run_id: String,
    connection: String,
    begun: Option<Begun>,
    started: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    last_ms: u64,
    streams: BTreeMap<String, StreamFold>,
    timings: BTreeMap<String, u64>,
    versions: BTreeMap<String, String>,
    peak_memory: u64,
    failures: Failures,
    warnings: Warnings,
    spans: OpenSpans,
    tail: VecDeque<String>,
    /// Whether the last events are handed over at the end, and are none of its business until then.
    untold: bool,
    damage: Vec<String>,
    ended: Option<Ended>,
}

/// What `run.started` says.
#[derive(Debug, Clone)]
struct Begun {
    host: String,
    pid: u32,
    source: String,
    destination: String,
    connection_id: String,
    config_hash: String,
    options: Value,
    artifacts: BTreeMap<String, String>,
}

/// What `run.finished` says.
#[derive(Debug, Clone, Copy)]
struct Ended {
    status: Status,
    exit_code: u8,
    ms: u64,
}

/// What a log without `run.finished` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Running,
    Crashed,
}

impl Fold {
    /// A fold of a log on disk, to which [`Fold::pass`] hands over the last events at the end.
    pub(super) fn of_log() -> Fold {
        Fold { untold: true, ..Fold::default() }
    }

    /// Takes one more line. What comes after the terminal event is no part of the run.
    pub fn apply(&mut self, line: &Line) {
        if self.ended.is_some() {
            return;
        }
        self.events += 1;
        if self.events == 1 {
            (self.run_id, self.connection) = (line.run_id.clone(), line.connection.clone());
            self.started = Some(line.ts);
        }
        (self.last, self.last_ms) = (Some(line.ts), line.t_ms.max(self.last_ms));
        self.spans.apply(line);
        self.warnings.apply(line);
        self.failures.apply(line);
        if !self.untold {
            self.remember(line);
        }
        if let Some(stream) = &line.stream {
            self.stream(stream).apply(line);
        }
        self.take(line);
    }

    /// Takes a line out of its turn, where that changes nothing: progress, a heartbeat, the start of a
    /// query that never ended. What was passed over altogether is said by [`Fold::pass`].
    pub(super) fn apply_late(&mut self, line: &Line) {
        self.spans.apply(line);
        if let Some(stream) = &line.stream {
            self.stream(stream).apply(line);
        }
        self.take(line);
    }

    /// Takes a commit of which only what counts was read; its line is said by [`Fold::pass`].
    pub(super) fn apply_commit(&mut self, commit: &Commit<'_>, t_ms: u64, body: &Body) {
        let stream = self.stream(&commit.stream);
        stream.told(commit.attempt, t_ms);
        stream.take(body, t_ms, false);
    }

    /// Counts lines that were passed over; `last` is the last line of the log, where it is one of them,
    /// and `tail` are the last ones that a report names.
    pub(super) fn pass(&mut self, lines: u64, last: Option<&Line>, tail: &[Line]) {
        self.events += lines;
        if self.ended.is_none() {
            tail.iter().for_each(|line| self.remember(line));
        }
        if let Some(line) = last {
            (self.last, self.last_ms) = (Some(line.ts), line.t_ms.max(self.last_ms));
        }
    }

    /// Takes one more entry of a log on disk; what is no line is damage, and the report says so.
    pub fn apply_entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Line(line) => self.apply(line),
            Entry::Torn { offset, text_len } => {
                self.damage.push(format!("its last line is torn: {text_len} bytes at offset {offset}"));
            }
            Entry::Bad { line_no, why } if self.damage.len() < 5 => {
                self.damage.push(format!("line {line_no} cannot be read: {why}"));
            }
            Entry::Bad { .. } => {}
        }
    }

    fn stream(&mut self, name: &str) -> &mut StreamFold {
        self.streams.entry(name.to_owned()).or_default()
    }

    fn take(&mut self, line: &Line) {
        match &line.body {
            Some(Body::RunStarted {
                version,
                host,
                pid,
                source,
                destination,
                connection_id,
                config_hash,
                options,
                artifacts,
                ..
            }) => {
                self.versions.insert("waybill".to_owned(), version.clone());
                self.begun = Some(Begun {
                    host: host.clone(),
                    pid: *pid,
                    source: source.clone(),
                    destination: destination.clone(),
                    connection_id: connection_id.clone(),
                    config_hash: config_hash.clone(),
                    options: options.clone(),
                    artifacts: artifacts.clone(),
                });
            }
            Some(Body::ArtifactQuarantined { artifact, path, .. }) => {
                if let Some(begun) = &mut self.begun {
                    begun.artifacts.insert(artifact.clone(), path.clone());
                }
            }
            Some(Body::RunHeartbeat { peak_memory_bytes, .. }) => {
                self.peak_memory = self.peak_memory.max(*peak_memory_bytes);
            }
            Some(Body::PhaseFinished { ms, .. }) => {
                if let Some(phase) = line.phase {
                    let spent = self.timings.entry(phase.word().to_owned()).or_default();
                    *spent = spent.saturating_add(*ms);
                }
            }
            Some(Body::ConnectionOpened { role, server, .. }) => {
                self.versions.insert(role.clone(), server.clone());
            }
            Some(Body::SlicePlanned { streams, .. }) => {
                for stream in streams {
                    self.stream(stream);
                }
            }
            Some(Body::RunFinished { status, exit_code, peak_memory_bytes, ms, .. }) => {
                self.peak_memory = self.peak_memory.max(*peak_memory_bytes);
                self.ended = Some(Ended { status: *status, exit_code: *exit_code, ms: *ms });
            }
            _ => {}
        }
    }

    fn remember(&mut self, line: &Line) {
        if matches!(line.body, Some(Body::RunHeartbeat { .. } | Body::StreamProgress { .. })) {
            return;
        }
        if self.tail.len() == LAST_EVENTS {
            self.tail.pop_front();
        }
        self.tail.push_back(crate::events::render_line(line, false));
    }

    /// Whether the terminal event was among the lines.
    pub fn ended(&self) -> bool {
        self.ended.is_some()
    }

    /// When the last line was written.
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        self.last
    }

    /// The host that `run.started` names.
    pub fn host(&self) -> Option<&str> {
        self.begun.as_ref().map(|begun| begun.host.as_str())
    }

    /// The summary of a run that is over: without a terminal event it crashed, and its counts are
    /// what is known at least.
    pub fn summary(&self) -> Summary {
        self.build(Open::Crashed, false)
    }

    /// The same, of a run on another host that only its silence tells to be over.
    pub fn presumed_crashed(&self) -> Summary {
        self.build(Open::Crashed, true)
    }

    /// The summary so far of a run that goes on, unless its terminal event was among the lines.
    pub fn running(&self) -> Summary {
        self.build(Open::Running, false)
    }

    /// The same, of a run on another host that only its last event's age tells to go on.
    pub fn presumed_running(&self) -> Summary {
        self.build(Open::Running, true)
    }

    fn build(&self, open: Open, presumed: bool) -> Summary {
        let status = match (self.ended, open) {
            (Some(ended), _) => ended.status.into(),
            (None, Open::Running) => RunStatus::Running,
            (None, Open::Crashed) => RunStatus::Crashed,
        };
        let begun = self.begun.as_ref();
        let text = |of: fn(&Begun) -> &String| begun.map(of).cloned().unwrap_or_default();
        let time = |ts: Option<DateTime<Utc>>| ts.map(|ts| stamp(&ts)).unwrap_or_default();
        let progress_counts: BTreeMap<String, Counts> =
            self.streams.iter().map(|(name, stream)| (name.clone(), stream.counts())).collect();
        let error = match status {
            RunStatus::Running => None,
            _ => self.failures.first(self.ended.map(|ended| ended.status)),
        };
        let mut summary = Summary {
            version: SUMMARY_VERSION,
            run_id: self.run_id.clone(),
            connection: self.connection.clone(),
            connection_id: text(|begun| &begun.connection_id),
            source: text(|begun| &begun.source),
            destination: text(|begun| &begun.destination),
            status,
            presumed: presumed && self.ended.is_none(),
            exit_code: self.ended.map(|ended| ended.exit_code),
            report: Vec::new(),
            started_at: time(self.started),
            finished_at: time(self.last),
            state: self.states(),
            stats: self.stats(status != RunStatus::Running),
            progress_counts,
            error,
            errors: self.failures.by_stream(),
            warnings: self.warnings.list.clone(),
            warnings_total: self.warnings.total,
            versions: self.versions.clone(),
            timings: self.timings.clone(),
            artifacts: begun.map(|begun| begun.artifacts.clone()).unwrap_or_default(),
            config_hash: text(|begun| &begun.config_hash),
            options: begun.map_or(Value::Null, |begun| begun.options.clone()),
            host: text(|begun| &begun.host),
            pid: begun.map_or(0, |begun| begun.pid),
            events: self.events,
            interrupted: if self.ended.is_none() { self.spans.list() } else { Vec::new() },
        };
        if summary.progress_counts.values().all(|counts| counts.rows_rejected == 0) {
            // The file is made with its first row.
            summary.artifacts.remove("rejects");
        }
        let tail: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        summary.report = report(&summary, &tail, &self.damage);
        summary
    }

    fn states(&self) -> BTreeMap<String, StateChange> {
        let changed = self.streams.iter().filter(|(_, s)| s.state != StateChange::default());
        changed.map(|(name, stream)| (name.clone(), stream.state.clone())).collect()
    }

    fn stats(&self, over: bool) -> Stats {
        let streams: BTreeMap<_, _> =
            self.streams.iter().map(|(name, stream)| (name.clone(), stream.stats(over))).collect();
        let all = || streams.values().map(|stream: &StreamStats| &stream.figures);
        let sum = |of: fn(&Figures) -> u64| all().map(of).fold(0, u64::saturating_add);
        let ms = self.ended.map_or(self.last_ms, |ended| ended.ms);
        Stats {
            total: Figures::new(sum(|figures| figures.rows), sum(|figures| figures.bytes), ms),
            peak_memory_bytes: self.peak_memory,
            streams,
        }
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
