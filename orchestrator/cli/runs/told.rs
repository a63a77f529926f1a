//! A log told line by line: what is wanted of it, where it stands, and what is wrong with it.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use waybill_protocol::{Level, Result};

use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::events::{Head, Line, Nest, Piece, Sieve, render_nested};
use crate::summary::units::{clock, count, counted};

/// Bytes of text that are gathered before they are written, while nobody waits for each line.
const GATHERED: usize = 32 << 10;

/// Tells a log.
pub(super) struct Told<'a> {
    terminal: &'a Terminal,
    sieve: Sieve,
    raw: bool,
    at_once: bool,
    nest: Nest,
    /// Number of the last line, and lines since that could not be read.
    last: u64,
    unread: u64,
    last_ms: u64,
    /// Spans that are open: depth, and the line that opened them.
    open: BTreeMap<String, (u64, usize, Vec<u8>)>,
    ended: bool,
    text: String,
}

impl<'a> Told<'a> {
    /// `raw`: the lines as they stand; `at_once`: each as it comes.
    pub(super) fn new(terminal: &'a Terminal, sieve: Sieve, raw: bool, at_once: bool) -> Told<'a> {
        Told {
            terminal,
            sieve,
            raw,
            at_once,
            nest: Nest::default(),
            last: 0,
            unread: 0,
            last_ms: 0,
            open: BTreeMap::new(),
            ended: false,
            text: String::new(),
        }
    }

    /// Whether the terminal event was among the lines.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Tells one more piece of the log.
    pub(super) fn piece(&mut self, piece: &Piece<'_>) -> Result<()> {
        match piece {
            Piece::Torn { text_len, .. } => {
                self.damage(&format!("torn line ({})", counted(*text_len, "byte")))?
            }
            Piece::Bad { line_no, why } => self.unreadable(*line_no, why)?,
            Piece::Line { line_no, bytes } => self.line(*line_no, bytes)?,
        }
        if self.at_once || self.text.len() > GATHERED { self.flush() } else { Ok(()) }
    }

    fn line(&mut self, line_no: u64, bytes: &[u8]) -> Result<()> {
        // A line that was cut off and written over does not end as one.
        let head = Head::of(bytes).filter(|_| bytes.ends_with(b"}"));
        let Some(head) = head else {
            return match Line::parse(bytes) {
                Ok(line) => self.parsed(&Head::from(&line), bytes, &line),
                Err(why) => self.unreadable(line_no, &why),
            };
        };
        if !(self.sieve.takes_head(&head) && self.sieve.takes_bytes(bytes)) {
            return self.place(&head, bytes).map(|_| ());
        }
        if self.raw && !self.sieve.looks_for_text() && !head.escaped {
            return match serde_json::from_slice::<IgnoredAny>(bytes) {
                Ok(_) => {
                    self.place(&head, bytes)?;
                    self.verbatim(bytes)
                }
                Err(error) => self.unreadable(line_no, &error.to_string()),
            };
        }
        match Line::parse(bytes) {
            Ok(line) => self.parsed(&head, bytes, &line),
            Err(why) => self.unreadable(line_no, &why),
        }
    }

    fn parsed(&mut self, head: &Head<'_>, bytes: &[u8], line: &Line) -> Result<()> {
        let depth = self.place(head, bytes)?;
        if !self.sieve.takes(line) {
            return Ok(());
        }
        if self.raw {
            return self.verbatim(bytes);
        }
        self.say(&render_nested(line, depth, self.terminal.colour()));
        Ok(())
    }

    /// Follows numbers and spans; returns how deep the line stands.
    fn place(&mut self, head: &Head<'_>, bytes: &[u8]) -> Result<usize> {
        self.gap(head.seq)?;
        self.last_ms = self.last_ms.max(head.t_ms);
        self.ended |= head.event == "run.finished";
        let depth = self.nest.depth(head);
        if let Some(span) = head.span {
            if head.event.ends_with(".started") {
                if head.event == "phase.started" {
                    // A step of the run ends before the next one begins, whether that can be read or not.
                    self.open.retain(|_, (.., line)| {
                        Head::of(line).is_none_or(|open| open.event != "phase.started")
                    });
                }
                self.open.insert(span.to_owned(), (head.seq, depth, bytes.to_vec()));
            } else if head.event.ends_with(".finished") || head.event.ends_with(".exited") {
                self.open.remove(span);
            }
        }
        Ok(depth)
    }

    /// Says that lines are missing between the last one and this.
    fn gap(&mut self, seq: u64) -> Result<()> {
        let (expected, unread) = (self.last.saturating_add(1), std::mem::take(&mut self.unread));
        self.last = seq;
        if seq < expected {
            return self.damage(&format!("line {seq} stands behind line {}", expected - 1));
        }
        match seq - expected {
            missing if missing <= unread => Ok(()),
            1 => self.damage(&format!("line {expected} is missing")),
            missing => {
                let what = format!("{} lines are missing ({expected} to {})", count(missing), seq - 1);
                self.damage(&what)
            }
        }
    }

    fn unreadable(&mut self, line_no: u64, why: &str) -> Result<()> {
        self.unread += 1;
        self.damage(&format!("line {line_no} cannot be read: {}", visible(why)))
    }

    /// What is wrong with the log, in its place; beside raw lines only where nobody parses it.
    fn damage(&mut self, what: &str) -> Result<()> {
        if self.raw {
            self.flush()?;
            self.terminal.warn(&format!("the log: {what}"));
        } else {
            let text = self.terminal.paint("33", &format!("{:>11}… {what}", ""));
            self.say(&text);
        }
        Ok(())
    }

    /// The end of what there is to tell. What a log without an end leaves open was interrupted,
    /// unless the run goes on.
    pub(super) fn end(&mut self, goes_on: bool) -> Result<()> {
        if !self.ended && !self.raw {
            self.interrupted(goes_on);
        }
        self.flush()
    }

    fn interrupted(&mut self, goes_on: bool) {
        let word = if goes_on { "under way" } else { "interrupted" };
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_values().collect();
        open.sort_by_key(|(seq, ..)| *seq);
        for (_, depth, bytes) in open.into_iter().rev() {
            let Ok(line) = Line::parse(&bytes) else { continue };
            let head = Head { level: Level::Warn, ..Head::from(&line) };
            if !(self.sieve.takes_head(&head) && (!self.sieve.looks_for_text() || self.sieve.takes(&line))) {
                continue;
            }
            let stream = line.stream.as_deref().map(visible).unwrap_or_default();
            let stream = if stream.is_empty() { stream } else { self.terminal.paint("36", &stream) + "  " };
            let message = if line.message.is_empty() { &line.event } else { &line.message };
            let inset = "  ".repeat(depth.min(12));
            self.say(&format!(
                "{}  {inset}{stream}{} {} (since {})",
                self.terminal.paint("2", &format!("{:>9}", clock(self.last_ms))),
                self.terminal.paint("33", &format!("{word}:")),
                visible(message),
                clock(line.t_ms)
            ));
        }
        if !goes_on {
            let text =
                self.terminal.paint("33", &format!("{:>11}… the log ends here, without run.finished", ""));
            self.say(&text);
        }
    }

    fn verbatim(&mut self, bytes: &[u8]) -> Result<()> {
        // What JSON was read from is UTF-8.
        self.say(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn flush(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.text);
        self.terminal.out(&text)
    }
}
