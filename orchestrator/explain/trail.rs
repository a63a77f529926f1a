//! One pass over a log, in memory that does not grow with it: what an explanation needs of its
//! events. Lines that cannot matter are passed over by their head alone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use chrono::{DateTime, Utc};
use waybill_protocol::event::{Body, Counts, Level, Outcome};

use super::moment::{Moment, Role};
use crate::events::{Entry, Head, Line, Reader, keep};

/// Events that are remembered of each stream, and of the run as a whole.
const RECENT: usize = 8;
/// Faults that are remembered: so many of the first and of the last ones.
const FAULTS: usize = 40;
/// Streams of which something is remembered.
const STREAMS: usize = 5_000;
/// Spans that are followed at once.
const OPEN: usize = 20_000;

/// A fault that was told, and what it happened in.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// The event that told it.
    pub(super) moment: Moment,
    /// What had been begun and failed so, outermost first.
    pub(super) began: Vec<Moment>,
    /// How many more attempts had been announced by then.
    pub(super) tries: u32,
}

/// What is remembered of one stream, or of what belongs to none.
#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    /// Where it was to start.
    pub(super) decided: Option<Moment>,
    /// The last events of note.
    pub(super) recent: VecDeque<Moment>,
    /// Attempts that were announced.
    pub(super) retries: u32,
    /// The last wait before another attempt, and until when.
    pub(super) waits: Option<(Moment, u64)>,
    /// The last wait for somebody's lock: for what, and how long by then.
    pub(super) blocked: Option<(Moment, String, u64)>,
    good: Option<Moment>,
    // Lines as they stand in the log: most of them are never looked at again.
    commit: Vec<u8>,
    progress: Vec<u8>,
}

impl Track {
    /// The last thing that went well.
    pub(super) fn last_good(&self) -> Option<Moment> {
        let commit = Line::parse(&self.commit).ok().map(|line| Moment::of(&line, Role::LastGood));
        self.good.iter().cloned().chain(commit).max_by_key(|moment| moment.seq)
    }

    /// The last counters that were told, and when.
    pub(super) fn progress(&self) -> Option<(u64, Counts)> {
        let line = Line::parse(&self.progress).ok()?;
        match line.body {
            Some(Body::StreamProgress { counts }) => Some((line.t_ms, counts)),
            _ => None,
        }
    }

    fn remember(&mut self, moment: Moment) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(moment);
    }

    fn take(&mut self, line: &Line) {
        let moment = |role| Moment::of(line, role);
        match &line.body {
            Some(Body::StateReconciled { .. }) => self.decided = Some(moment(Role::Decided)),
            Some(Body::RetryScheduled { delay_ms, .. }) => {
                self.retries += 1;
                self.waits = Some((moment(Role::Survived), line.t_ms.saturating_add(*delay_ms)));
                // Of a stream the failure was told just before.
                if line.error.is_some() {
                    self.remember(moment(Role::Survived));
                }
            }
            Some(Body::StreamAttemptFailed { .. }) => self.remember(moment(Role::Survived)),
            Some(Body::LockWaited { lock, ms }) => {
                self.blocked = Some((moment(Role::Before), lock.clone(), *ms));
                self.remember(moment(Role::Before));
            }
            Some(Body::Runtime { detail }) => {
                let lock = detail.get("lock").and_then(serde_json::Value::as_str);
                if let (Some(lock), Some(ms)) = (lock, detail.get("ms").and_then(serde_json::Value::as_u64)) {
                    self.blocked = Some((moment(Role::Before), lock.to_owned(), ms));
                }
                self.remember(moment(Role::Before));
            }
            Some(
                Body::StreamPublished { .. }
                | Body::ConnectionOpened { .. }
                | Body::CatalogDiscovered { .. }
                | Body::CheckpointCommitted { .. }
                | Body::CheckResult { passed: true, .. }
                | Body::StreamFinished { outcome: Outcome::Succeeded, .. },
            ) => self.good = Some(moment(Role::LastGood)),
            Some(
                Body::PhaseStarted {}
                | Body::PhaseFinished { .. }
                | Body::StreamStarted { .. }
                | Body::StreamFinished { .. }
                | Body::ConnectionClosed { .. }
                | Body::RunStarted { .. }
                | Body::RunFinished { .. },
            ) => {}
            _ if line.level == Level::Debug => {}
            _ => self.remember(moment(Role::Before)),
        }
    }
}

/// What a log tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail {
    /// Whole lines.
    pub(super) lines: u64,
    /// What is no line.
    pub(super) damage: Vec<String>,
    /// The latest time of a line, milliseconds since the start.
    pub(super) last_ms: u64,
    /// What belongs to no stream.
    pub(super) run: Track,
    streams: BTreeMap<String, Track>,
    /// The first request to stop, and what was under way then.
    pub(super) stopped: Option<(Moment, Vec<Moment>)>,
    first_faults: Vec<Fault>,
    last_faults: VecDeque<Fault>,
    open: HashMap<String, Vec<u8>>,
    last_line: Vec<u8>,
}

impl Trail {
    /// Reads a log.
    pub(super) fn read(log: &Path) -> std::io::Result<Trail> {
        let (mut trail, mut reader) = (Trail::default(), Reader::open(log)?);
        while let Some(entry) = reader.next_wanted(|line| trail.look(line)) {
            match entry {
                Entry::Line(line) => trail.take(&line),
                Entry::Torn { offset, text_len } => trail
                    .damage
                    .push(format!("its last line is torn: {text_len} bytes at offset {offset} are no event")),
                Entry::Bad { line_no, why } if trail.damage.len() < 5 => {
                    trail.damage.push(format!("line {line_no} cannot be read: {why}"));
                }
                Entry::Bad { .. } => {}
            }
        }
        Ok(trail)
    }

    /// What is remembered of a stream.
    pub(super) fn of(&self, stream: Option<&str>) -> Option<&Track> {
        match stream {
            None => Some(&self.run),
            Some(stream) => self.streams.get(&escaped(stream)),
        }
    }

    /// The faults that are remembered, in order.
    pub(super) fn faults(&self) -> impl DoubleEndedIterator<Item = &Fault> {
        self.first_faults.iter().chain(&self.last_faults)
    }

    /// What was begun and did not end, in order.
    pub(super) fn under_way(&self) -> Vec<Moment> {
        let lines = self.open.values().filter_map(|line| Line::parse(line).ok());
        let mut open: Vec<Moment> = lines.map(|line| Moment::of(&line, Role::Began)).collect();
        open.sort_by_key(|moment| moment.seq);
        open
    }

    /// The last whole line.
    pub(super) fn last_line(&self) -> Option<Line> {
        Line::parse(&self.last_line).ok()
    }

    /// When the last line was written.
    pub(super) fn last_at(&self) -> Option<DateTime<Utc>> {
        self.last_line().map(|line| line.ts)
    }

    /// Looks at a line by its head; whether it has to be parsed.
    fn look(&mut self, line: &[u8]) -> bool {
        self.lines += 1;
        keep(&mut self.last_line, line);
        let Some(head) = Head::of(line) else { return true };
        self.last_ms = self.last_ms.max(head.t_ms);
        if head.level >= Level::Warn {
            return true;
        }
        match head.event {
            "stream.progress" => {
                self.track(head.stream.map(str::as_bytes), |track| keep(&mut track.progress, line))
            }
            "checkpoint.committed" => {
                self.track(head.stream.map(str::as_bytes), |track| keep(&mut track.commit, line))
            }
            "run.heartbeat" | "slice.planned" | "secret.resolved" => {}
            "query.started" => self.begin(head.span.map(str::as_bytes), line),
            "query.finished" => self.end(head.span.map(str::as_bytes)),
            _ => return true,
        }
        false
    }

    fn track(&mut self, stream: Option<&[u8]>, change: impl FnOnce(&mut Track)) {
        let Some(stream) = stream else { return change(&mut self.run) };
        let stream = String::from_utf8_lossy(stream);
        if let Some(track) = self.streams.get_mut(stream.as_ref()) {
            change(track);
        } else if self.streams.len() < STREAMS {
            change(self.streams.entry(stream.into_owned()).or_default());
        }
    }

    fn begin(&mut self, span: Option<&[u8]>, line: &[u8]) {
        if let Some(span) = span.filter(|_| self.open.len() < OPEN) {
            self.open.insert(String::from_utf8_lossy(span).into_owned(), line.to_vec());
        }
    }

    fn end(&mut self, span: Option<&[u8]>) {
        if let Some(span) = span {
            self.open.remove(String::from_utf8_lossy(span).as_ref());
        }
    }

    fn take(&mut self, line: &Line) {
        self.last_ms = self.last_ms.max(line.t_ms);
        if line.error.is_some() {
            self.fault(line);
        }
        if line.event == "signal.received" && self.stopped.is_none() {
            self.stopped = Some((Moment::of(line, Role::Before), self.under_way()));
        }
        let stream = line.stream.as_deref().map(escaped);
        let raw = std::mem::take(&mut self.last_line);
        self.track(stream.as_deref().map(str::as_bytes), |track| match line.event.as_str() {
            "stream.progress" => keep(&mut track.progress, &raw),
            "checkpoint.committed" => keep(&mut track.commit, &raw),
            _ => track.take(line),
        });
        if line.event.ends_with(".started") {
            self.begin(line.span.as_deref().map(str::as_bytes), &raw);
        }
        self.last_line = raw;
        let Some(span) = line.span.as_deref().map(str::as_bytes) else { return };
        if line.event.ends_with(".finished") || line.event.ends_with(".exited") {
            self.end(Some(span));
        }
    }

    fn fault(&mut self, line: &Line) {
        let tries = self.of(line.stream.as_deref()).map_or(0, |track| track.retries);
        let fault = Fault { moment: Moment::of(line, Role::Failed), began: self.began(line), tries };
        if self.first_faults.len() < FAULTS {
            return self.first_faults.push(fault);
        }
        if self.last_faults.len() == FAULTS {
            self.last_faults.pop_front();
        }
        self.last_faults.push_back(fault);
    }

    /// The spans that a line stands in, outermost first.
    fn began(&self, line: &Line) -> Vec<Moment> {
        let opened = |span: &Option<String>| {
            let raw = self.open.get(span.as_ref()?)?;
            Line::parse(raw).ok().map(|line| Moment::of(&line, Role::Began))
        };
        let mut chain = Vec::new();
        let own = if line.event.ends_with(".started") { None } else { opened(&line.span) };
        let mut next = own.or_else(|| opened(&line.parent));
        while let Some(moment) = next.filter(|_| chain.len() < 8) {
            next = opened(&moment.parent);
            chain.push(moment);
        }
        chain.reverse();
        chain
    }
}

/// A name as it stands between quotes in a line.
fn escaped(name: &str) -> String {
    let quoted = serde_json::to_string(name).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}
