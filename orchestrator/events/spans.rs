//! Spans that a log opened and never closed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_protocol::event::Phase;

use super::line::Line;

/// A span without its end: what was under way when a log was cut off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenSpan {
    /// The span.
    pub span: String,
    /// The event that opened it.
    pub event: String,
    /// Its stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The step of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When it was opened, milliseconds since the start of the run.
    pub t_ms: u64,
    /// What was begun.
    pub message: String,
}

/// Follows the spans of a log.
#[derive(Debug, Clone, Default)]
pub struct OpenSpans {
    open: BTreeMap<String, (u64, OpenSpan)>,
}

impl OpenSpans {
    /// Takes one more line: `*.started` opens its span, `*.finished` and `*.exited` close it.
    pub fn apply(&mut self, line: &Line) {
        let Some(span) = &line.span else { return };
        if line.event.ends_with(".started") {
            let open = OpenSpan {
                span: span.clone(),
                event: line.event.clone(),
                stream: line.stream.clone(),
                phase: line.phase,
                t_ms: line.t_ms,
                message: line.message.clone(),
            };
            self.open.insert(span.clone(), (line.seq, open));
        } else if line.event.ends_with(".finished") || line.event.ends_with(".exited") {
            self.open.remove(span);
        }
    }

    /// The spans that are open, in the order in which they were opened.
    pub fn list(&self) -> Vec<OpenSpan> {
        let mut open: Vec<&(u64, OpenSpan)> = self.open.values().collect();
        open.sort_by_key(|(seq, _)| *seq);
        open.into_iter().map(|(_, span)| span.clone()).collect()
    }
}

/// The spans that lines open and never close: they were interrupted.
pub fn open_spans<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Vec<OpenSpan> {
    let mut spans = OpenSpans::default();
    lines.into_iter().for_each(|line| spans.apply(line));
    spans.list()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, event: &str, span: &str) -> Line {
        let text = format!(
            r#"{{"seq":{seq},"ts":"2026-01-02T03:04:05Z","event":"{event}","span":"{span}","message":"{event} {span}"}}"#
        );
        Line::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn spans_without_an_end_are_listed_in_their_order() {
        let lines = [
            line(1, "phase.started", "b"),
            line(2, "query.started", "a"),
            line(3, "process.started", "p"),
            line(4, "stream.progress", "a"),
            line(5, "query.finished", "a"),
            line(6, "process.exited", "p"),
            line(7, "moon.started", "0"),
        ];
        let open: Vec<String> = open_spans(&lines).into_iter().map(|span| span.message).collect();
        assert_eq!(open, ["phase.started b", "moon.started 0"]);
    }
}
