//! A line for people: when, how bad, where, what, why, and what next.

use waybill_protocol::event::Level;

use super::line::Line;
use crate::summary::units::clock;

const RESET: &str = "\u{1b}[0m";
const DIM: &str = "\u{1b}[2m";

/// Spans within spans that a line is moved in for, at most.
const DEEPEST: usize = 12;

/// One line as people read it: time since the start, level where it matters, stream, message;
/// an error, its causes and its hint on lines of their own, indented.
pub fn render_line(line: &Line, colour: bool) -> String {
    render_nested(line, 0, colour)
}

/// The same, moved in by the depth of the spans around it.
pub fn render_nested(line: &Line, depth: usize, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colour && !text.is_empty() { format!("{code}{text}{RESET}") } else { text.to_owned() }
    };
    let (code, word) = match line.level {
        Level::Debug => (DIM, ""),
        Level::Info => ("", ""),
        Level::Warn => ("\u{1b}[33m", "warning: "),
        Level::Error => ("\u{1b}[31m", "error: "),
    };
    let mut out = paint(DIM, &format!("{:>9}", clock(line.t_ms)));
    let inset = "  ".repeat(depth.min(DEEPEST));
    out.push_str(&format!("  {inset}"));
    if let Some(stream) = &line.stream {
        out.push_str(&paint("\u{1b}[36m", &visible(stream)));
        out.push_str("  ");
    }
    out.push_str(&paint(code, word));
    let message = if line.message.is_empty() { &line.event } else { &line.message };
    let dim = if line.level == Level::Debug { DIM } else { "" };
    out.push_str(&if dim.is_empty() { visible(message) } else { paint(dim, &visible(message)) });
    if let Some(attempt) = line.attempt.filter(|attempt| *attempt > 1) {
        out.push_str(&paint(DIM, &format!("  (attempt {attempt})")));
    }
    if let Some(error) = &line.error {
        let indent = format!("\n           {inset}");
        if error.message != line.message {
            out.push_str(&format!("{indent}{} error: {}", error.kind.word(), visible(&error.message)));
        }
        for cause in error.cause.iter().filter(|cause| **cause != error.message) {
            out.push_str(&format!("{indent}because: {}", visible(cause)));
        }
        if let Some(hint) = &error.hint {
            out.push_str(&format!("{indent}next: {}", visible(hint)));
        }
    }
    out
}

/// A text without characters that could move a terminal's cursor, change its colours, or show
/// letters in another order than they have.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { seen(c) }).collect()
}

/// A character, or the sign for one that would act instead of being seen.
pub fn seen(c: char) -> char {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if turns || (c.is_control() && c != '\n' && c != '\t') { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn lines_say_when_where_what_why_and_what_next() {
        let failed = line(
            r#"{"seq":1,"ts":"2026-01-02T03:04:05Z","t_ms":65123,"level":"error","event":"stream.attempt_failed","stream":"public.orders","attempt":2,"message":"connection reset after 41 200 rows","error":{"kind":"network","retryable":true,"message":"socket closed","hint":"see the server's log","cause":["os error 104"]},"data":{}}"#,
        );
        assert_eq!(
            render_line(&failed, false),
            " 1:05.123  public.orders  error: connection reset after 41 200 rows  (attempt 2)\n           network error: socket closed\n           because: os error 104\n           next: see the server's log"
        );
        assert!(render_line(&failed, true).contains("\u{1b}[31merror: \u{1b}[0m"));
        let quiet = line(r#"{"seq":1,"ts":"2026-01-02T03:04:05Z","t_ms":7,"event":"moon.landed"}"#);
        assert_eq!(render_line(&quiet, false), "    0.007  moon.landed");
    }

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        let rude = line(
            "{\"seq\":1,\"ts\":\"2026-01-02T03:04:05Z\",\"event\":\"x\",\"message\":\"a\\u001b[2J\\nb\\u009bc\"}",
        );
        assert_eq!(render_line(&rude, false), "    0.000  a\u{fffd}[2J b\u{fffd}c");
        assert_eq!(render_nested(&rude, 2, false), "    0.000      a\u{fffd}[2J b\u{fffd}c");
        assert_eq!(visible("invoice\u{202e}fdp.exe"), "invoice\u{fffd}fdp.exe");
    }
}
