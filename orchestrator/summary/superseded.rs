//! Lines of a log that need not be parsed to fold it: progress and heartbeats that a later one of
//! their kind makes worthless, since what they count only grows, and queries that ended well; and
//! commits, of which little is needed. A long log is mostly of these.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use serde::Deserialize;
use serde::de::IgnoredAny;
use waybill_protocol::Level;
use waybill_protocol::event::Body;

use super::Fold;
use super::fold::LAST_EVENTS;
use crate::events::{Head, Line, keep};

/// Streams and queries that are held back; of more than these each line is parsed.
const HELD: usize = 10_000;

/// What a fold needs of a commit beside its body.
#[derive(Deserialize)]
pub(super) struct Commit<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    pub(super) attempt: Option<u32>,
    #[serde(default)]
    truncated: bool,
    error: Option<IgnoredAny>,
}

/// What is held back, as it stands in the log.
#[derive(Default)]
pub(super) struct Superseded {
    lines: u64,
    passed: u64,
    /// The last progress of each stream.
    progress: HashMap<Vec<u8>, Vec<u8>>,
    heartbeat: Vec<u8>,
    /// Queries that were begun and have not ended, by span.
    queries: HashMap<Vec<u8>, Vec<u8>>,
    /// The last lines that a report names.
    tail: VecDeque<Vec<u8>>,
    /// The last line of all, where it is held back.
    last: Vec<u8>,
}

impl Superseded {
    /// Whether a line is held back, or in the fold already; then it is no line to be parsed now.
    pub(super) fn takes(&mut self, line: &[u8], fold: &mut Fold) -> bool {
        self.lines += 1;
        self.last.clear();
        // The first line names the run, whatever it is; a torn one is to be told.
        let head = Head::of(line).filter(|_| self.lines > 1 && line.ends_with(b"}"));
        let event = head.map_or("", |head| head.event);
        if !matches!(event, "run.heartbeat" | "stream.progress") {
            self.remember(line);
        }
        // A query that failed or was slow is told; what it began with is of no use then either.
        let ended = match head.filter(|head| head.event == "query.finished").and_then(|head| head.span) {
            Some(span) => self.queries.remove(span.as_bytes()).is_some(),
            None => false,
        };
        let plain = head.filter(|head| head.level <= Level::Info);
        let held = plain.is_some_and(|head| ended || self.holds(&head, line) || commit(&head, line, fold));
        if held {
            self.last.extend_from_slice(line);
            self.passed += 1;
        }
        held
    }

    fn holds(&mut self, head: &Head<'_>, line: &[u8]) -> bool {
        match (head.event, head.stream.map(str::as_bytes), head.span.map(str::as_bytes)) {
            ("run.heartbeat", ..) => keep(&mut self.heartbeat, line),
            ("stream.progress", Some(stream), _) => {
                if let Some(place) = self.progress.get_mut(stream) {
                    keep(place, line);
                } else if self.progress.len() < HELD {
                    self.progress.insert(stream.to_owned(), line.to_vec());
                } else {
                    return false;
                }
            }
            ("query.started", None, Some(span)) if self.queries.len() < HELD => {
                self.queries.insert(span.to_owned(), line.to_vec());
            }
            _ => return false,
        }
        true
    }

    fn remember(&mut self, line: &[u8]) {
        let mut place = match self.tail.len() == LAST_EVENTS {
            true => self.tail.pop_front().unwrap_or_default(),
            false => Vec::new(),
        };
        keep(&mut place, line);
        self.tail.push_back(place);
    }

    /// Hands over what was held back, once all other lines are in the fold.
    pub(super) fn settle(self, fold: &mut Fold) {
        let held = self.progress.values().chain(self.queries.values()).chain([&self.heartbeat]);
        for line in held.filter_map(|line| Line::parse(line).ok()) {
            fold.apply_late(&line);
        }
        let tail: Vec<Line> = self.tail.iter().filter_map(|line| Line::parse(line).ok()).collect();
        fold.pass(self.passed, Line::parse(&self.last).ok().as_ref(), &tail);
    }
}

/// Puts a commit into the fold, unless there is more to it than usual.
fn commit(head: &Head<'_>, line: &[u8], fold: &mut Fold) -> bool {
    if head.event != "checkpoint.committed" {
        return false;
    }
    let known = serde_json::from_slice::<Commit<'_>>(line).ok().filter(|c| !c.truncated && c.error.is_none());
    let (Some(known), Ok(body)) = (known, serde_json::from_slice::<Body>(line)) else { return false };
    fold.apply_commit(&known, head.t_ms, &body);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Entry, Reader};
    use crate::summary::rebuild;

    fn line(seq: u64, event: &str, stream: &str, data: &str) -> String {
        let stream = if stream.is_empty() { String::new() } else { format!(r#","stream":"{stream}""#) };
        format!(
            r#"{{"v":1,"seq":{seq},"ts":"2026-01-02T03:04:{:02}.000001Z","t_ms":{},"level":"info","event":"{event}","run_id":"r","connection":"c"{stream},"phase":"read","attempt":{},"message":"m {seq}","data":{data}}}"#,
            seq % 60,
            seq * 10,
            seq / 7 + 1
        )
    }

    fn spanned(seq: u64, event: &str, span: &str) -> String {
        let data = match event {
            "query.started" => r#"{"role":"source","purpose":"p","sql":"SELECT"}"#,
            _ => r#"{"role":"source","purpose":"p","outcome":"succeeded","ms":1}"#,
        };
        line(seq, event, "", data).replace(r#","message""#, &format!(r#","span":"{span}","message""#))
    }

    fn log() -> Vec<String> {
        let progress = |rows: u64| {
            format!(r#"{{"counts":{{"rows_read":{rows},"rows_loaded":{rows},"bytes_loaded":{rows}}}}}"#)
        };
        let beat = |peak: u64| format!(r#"{{"memory_bytes":1,"peak_memory_bytes":{peak},"queue_bytes":0}}"#);
        let finished = r#"{"outcome":"succeeded","counts":{"rows_read":9,"rows_loaded":9},"ms":40}"#;
        vec![
            line(1, "stream.progress", "odd", &progress(1)),
            line(2, "stream.progress", "a", &progress(1)),
            line(3, "run.heartbeat", "", &beat(5)),
            line(4, "stream.progress", "b", &progress(2)),
            line(5, "stream.progress", "a", &progress(3)),
            line(
                6,
                "checkpoint.committed",
                "a",
                r#"{"commit_id":"x","slice":"a","rows":4,"bytes":4,"staged":false,"ms":1}"#,
            ),
            line(7, "run.heartbeat", "", &beat(9)),
            line(8, "stream.progress", "a", &progress(4)),
            line(9, "stream.finished", "a", finished),
            line(10, "stream.progress", "b", &progress(7)),
            line(11, "stream.progress", "b", &progress(8)),
            spanned(12, "query.started", "q1"),
            spanned(13, "query.started", "q2"),
            spanned(14, "query.finished", "q1"),
            spanned(15, "query.started", "q3"),
            spanned(16, "query.finished", "q3").replace(r#""info""#, r#""warn""#),
            spanned(17, "query.finished", "unknown"),
            line(18, "phase.started", "", "{}"),
            line(
                19,
                "checkpoint.committed",
                "b",
                r#"{"commit_id":"y","slice":"b","rows":6,"bytes":7,"staged":true,"ms":1,"state":{"floor":3}}"#,
            ),
            line(
                20,
                "checkpoint.committed",
                r#"a \"é"#,
                r#"{"commit_id":"z","slice":"c","rows":8,"bytes":9,"staged":false,"ms":1,"state":{"floor":4}}"#,
            ),
            // What is unusual is left to who parses the whole line.
            line(
                21,
                "checkpoint.committed",
                "b",
                r#"{"commit_id":"w","slice":"b","rows":1,"bytes":1,"staged":false,"ms":1,"state":{"floor":5}},"truncated":true"#,
            ),
            line(22, "checkpoint.committed", "b", r#"{"commit_id":"v","rows":"many"}"#),
        ]
    }

    #[test]
    fn what_is_passed_over_changes_nothing_wherever_a_log_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x_events.jsonl");
        let lines = log();
        for ends in 0..=lines.len() {
            for tail in ["\n", "", "\n{\"v\":1,\"seq\":12,\"ts\":\"20"] {
                std::fs::write(&path, lines[..ends].join("\n") + tail).unwrap();
                let mut slow = Fold::default();
                for entry in Reader::open(&path).unwrap() {
                    slow.apply_entry(&entry);
                }
                assert_eq!(rebuild(&path).unwrap().summary(), slow.summary(), "{ends} lines, {tail:?}");
            }
        }
        let mut superseded = Superseded::default();
        let taken = lines.iter().filter(|line| superseded.takes(line.as_bytes(), &mut Fold::of_log()));
        assert_eq!(taken.count(), 15, "progress but the first line, heartbeats, queries, commits");
        assert!(Reader::open(&path).unwrap().any(|entry| matches!(entry, Entry::Torn { .. })));
    }
}
