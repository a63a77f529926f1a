//! Progress without a terminal: one line per event that matters, in the order of the log.

use std::collections::BTreeMap;

use waybill_protocol::event::{Body, Level};

use super::board::Board;
use super::text::progress_sentence;
use crate::cli::terminal::Terminal;
use crate::events::render::render_line;
use crate::events::{Line, Reporter};

/// At most one progress line a stream in this time, milliseconds.
const PAUSE: u64 = 5_000;

/// Prints lines.
pub(super) struct Plain {
    terminal: Terminal,
    board: Board,
    /// Stream → moment of its last progress line.
    last: BTreeMap<String, u64>,
}

impl Plain {
    pub(super) fn new(terminal: &Terminal) -> Plain {
        Plain { terminal: terminal.clone(), board: Board::default(), last: BTreeMap::new() }
    }

    /// The text for a line, if it is worth one.
    fn text(&mut self, line: &Line) -> Option<String> {
        let changed = self.board.apply(line);
        let colour = self.terminal.colour_stderr();
        match &line.body {
            Some(Body::StreamProgress { .. }) => {
                let stream = self.board.streams.get(changed?)?;
                let last = self.last.entry(stream.name.clone()).or_insert(0);
                if line.t_ms < last.saturating_add(PAUSE) {
                    return None;
                }
                *last = line.t_ms;
                let spoken = Line { message: progress_sentence(stream), ..line.clone() };
                Some(render_line(&spoken, colour))
            }
            _ if matters(line, self.terminal.verbose()) => Some(render_line(line, colour)),
            _ => None,
        }
    }
}

impl Reporter for Plain {
    fn line(&mut self, line: &Line) {
        if let Some(text) = self.text(line) {
            self.terminal.note(&text);
        }
    }
}

/// Whether a line is shown to somebody who reads along.
pub(super) fn matters(line: &Line, verbose: bool) -> bool {
    match &line.body {
        Some(Body::RunHeartbeat { .. }) => false,
        _ if verbose => true,
        // The report says the same at the end, and better.
        Some(Body::RunFinished { .. } | Body::PhaseFinished { .. } | Body::SignalReceived { .. }) => false,
        _ if line.level >= Level::Warn => true,
        Some(
            Body::RunStarted { .. }
            | Body::LockWaited { .. }
            | Body::SchemaChanged { .. }
            | Body::StateReconciled { .. }
            | Body::StreamStarted { .. }
            | Body::RetryScheduled { .. }
            | Body::StreamFinished { .. },
        ) => line.level >= Level::Info,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{ColorChoice, LookFlags};

    fn line(t_ms: u64, level: &str, event: &str, data: &str) -> Line {
        let line = format!(
            r#"{{"seq":1,"ts":"2026-01-02T03:04:05Z","t_ms":{t_ms},"level":"{level}","event":"{event}","stream":"s","message":"words","data":{data}}}"#
        );
        Line::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_stream_has_at_most_one_progress_line_in_five_seconds() {
        let terminal = Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() });
        let mut plain = Plain::new(&terminal);
        let mut shown = Vec::new();
        for second in 0..=12 {
            let data = format!(r#"{{"counts":{{"rows_read":{}}}}}"#, second * 10);
            shown.extend(plain.text(&line(second * 1000, "info", "stream.progress", &data)));
        }
        assert_eq!(
            shown,
            [
                "    5.000  s  50 rows read, 0 committed, 0 B at 10/s, 0 B/s",
                "   10.000  s  100 rows read, 0 committed, 0 B at 10/s, 0 B/s"
            ]
        );
    }

    #[test]
    fn what_matters_is_shown_once_and_the_rest_only_with_verbose() {
        let phase = line(1, "error", "phase.finished", r#"{"outcome":"failed","ms":1}"#);
        assert!(!matters(&phase, false) && matters(&phase, true));
        let beat =
            line(1, "info", "run.heartbeat", r#"{"memory_bytes":1,"peak_memory_bytes":1,"queue_bytes":0}"#);
        assert!(!matters(&beat, true));
        assert!(matters(&line(1, "warn", "moon.landed", "{}"), false));
        assert!(!matters(&line(1, "info", "moon.landed", "{}"), false));
    }
}
