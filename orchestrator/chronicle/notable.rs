//! The events of a run that are kept: level warn and above, so many and no more.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use waybill_protocol::{EventRow, Level};

use crate::events::line::stamp;
use crate::events::log::Reporter;
use crate::events::{Entry, Head, Line, Reader};

/// Events that are kept of a run, at most: the first ones, which tell how it began to go wrong.
const MOST: usize = 1_000;
/// Bytes of their messages and errors, at most.
const MOST_BYTES: usize = 1 << 20;

/// What is kept of a log, and how much is not.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The events.
    pub(super) rows: Vec<EventRow>,
    /// How many more there were.
    pub(super) left_out: u64,
    bytes: usize,
}

impl Kept {
    /// What is kept of a log on disk, in memory bounded by what is kept; torn lines are passed over.
    /// Fails where the log cannot be read to its end.
    pub(super) fn of_log(log: &Path) -> io::Result<Kept> {
        let (mut reader, mut kept) = (Reader::open(log)?, Kept::default());
        let worth = |line: &[u8]| Head::of(line).is_none_or(|head| head.level >= Level::Warn);
        while let Some(entry) = reader.next_wanted(worth) {
            if let Entry::Line(line) = entry {
                kept.add(&line);
            }
        }
        reader.failure().map_or(Ok(kept), Err)
    }

    fn add(&mut self, line: &Line) {
        // The end of the run is the row of the run itself.
        if line.level < Level::Warn || line.event == "run.finished" {
            return;
        }
        let row = row(line);
        let bytes = row.message.len() + row.error.as_ref().map_or(0, |error| error.to_string().len());
        if self.rows.len() >= MOST || self.bytes + bytes > MOST_BYTES {
            self.left_out += 1;
            return;
        }
        self.bytes += bytes;
        self.rows.push(row);
    }
}

fn row(line: &Line) -> EventRow {
    let level = match line.level {
        Level::Error => "error",
        _ => "warn",
    };
    EventRow {
        run_id: line.run_id.clone(),
        seq: i64::try_from(line.seq).unwrap_or(i64::MAX),
        ts: stamp(&line.ts),
        level: level.to_owned(),
        event: line.event.clone(),
        stream: line.stream.clone(),
        phase: line.phase.map(|phase| phase.word().to_owned()),
        attempt: line.attempt.map(i64::from),
        message: line.message.clone(),
        error: line.error.as_ref().and_then(|error| serde_json::to_value(error).ok()),
    }
}

/// The same of a log that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Notable(Arc<Mutex<Kept>>);

impl Notable {
    /// What was kept so far.
    pub(super) fn take(&self) -> Kept {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reporter for Notable {
    fn line(&mut self, line: &Line) {
        if line.level >= Level::Warn {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).add(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, level: &str, event: &str, message: &str) -> String {
        format!(
            "{{\"v\":1,\"seq\":{seq},\"ts\":\"2026-01-02T03:04:05.000001Z\",\"t_ms\":1,\"level\":\"{level}\",\"event\":\"{event}\",\"run_id\":\"r\",\"connection\":\"c\",\"stream\":\"s\",\"message\":\"{message}\",\"data\":{{}}}}\n"
        )
    }

    fn kept(log: &str) -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, log).unwrap();
        let kept = Kept::of_log(&path).unwrap();
        // The live one sees the same lines and keeps the same of them.
        let mut live = Notable::default();
        log.lines().filter_map(|line| Line::parse(line.as_bytes()).ok()).for_each(|line| live.line(&line));
        let live = live.take();
        assert_eq!((&live.rows, live.left_out), (&kept.rows, kept.left_out));
        kept
    }

    #[test]
    fn warnings_and_errors_are_kept_and_nothing_else() {
        let log = [
            line(1, "info", "run.started", "the \\\"warn\\\" of a message"),
            line(2, "warn", "window.widened", "w"),
            "{torn \"error\"\n".to_owned(),
            line(3, "error", "stream.attempt_failed", "e"),
            line(4, "error", "run.finished", "over"),
            "{\"level\":\"warn\"".to_owned(),
        ]
        .concat();
        let kept = kept(&log);
        let seen: Vec<(i64, &str)> = kept.rows.iter().map(|row| (row.seq, row.level.as_str())).collect();
        assert_eq!((seen, kept.left_out), (vec![(2, "warn"), (3, "error")], 0));
    }

    #[test]
    fn a_log_that_cannot_be_read_is_no_log_without_warnings() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Kept::of_log(&folder.path().join("none")).is_err());
        // It can be opened, and fails when it is read.
        assert!(Kept::of_log(folder.path()).is_err());
    }

    #[test]
    fn a_run_that_warns_without_end_is_cut_and_says_how_much() {
        let log: String = (1..=MOST as u64 + 5).map(|seq| line(seq, "warn", "row.rejected", "x")).collect();
        let cut = kept(&log);
        assert_eq!((cut.rows.len(), cut.left_out), (MOST, 5));
        let long = "x".repeat(60_000);
        let log: String = (1..=20).map(|seq| line(seq, "warn", "row.rejected", &long)).collect();
        let cut = kept(&log);
        assert_eq!((cut.rows.len(), cut.left_out), (17, 3));
    }
}
