//! The head of a line, read without parsing the line: enough to tell whether somebody wants it.

use waybill_protocol::event::Level;

use super::line::Line;

/// What stands before the message of a line. Absent members are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Number of the line.
    pub seq: u64,
    /// Milliseconds since the start of the run.
    pub t_ms: u64,
    /// How much it matters.
    pub level: Level,
    /// The event's name.
    pub event: &'a str,
    /// The stream it belongs to.
    pub stream: Option<&'a str>,
    /// The step of the run, in its word.
    pub phase: Option<&'a str>,
    /// The span it opens, closes or belongs to.
    pub span: Option<&'a str>,
    /// The span around it.
    pub parent: Option<&'a str>,
    /// Whether names in it have escapes: then they stand as they are written.
    pub escaped: bool,
}

impl<'a> Head<'a> {
    /// The head of a line as the writer makes them: members in their order, without blanks. Of any
    /// other line nothing is said, and whoever wants to know parses it.
    pub fn of(bytes: &'a [u8]) -> Option<Head<'a>> {
        let mut rest = Rest { bytes, escaped: false };
        rest.skip(b"{\"v\":")?;
        rest.number()?;
        rest.skip(b",\"seq\":")?;
        let seq = rest.number()?;
        rest.text(b",\"ts\":\"")?;
        rest.skip(b",\"t_ms\":")?;
        let t_ms = rest.number()?;
        let level = level(rest.text(b",\"level\":\"")?)?;
        let event = rest.text(b",\"event\":\"")?;
        rest.text(b",\"run_id\":\"")?;
        rest.text(b",\"connection\":\"")?;
        let stream = rest.maybe(b",\"stream\":\"")?;
        let phase = rest.maybe(b",\"phase\":\"")?;
        if rest.skip(b",\"attempt\":").is_some() {
            rest.number()?;
        }
        let span = rest.maybe(b",\"span\":\"")?;
        let parent = rest.maybe(b",\"parent\":\"")?;
        rest.skip(b",\"message\":\"")?;
        Some(Head { seq, t_ms, level, event, stream, phase, span, parent, escaped: rest.escaped })
    }
}

impl<'a> From<&'a Line> for Head<'a> {
    fn from(line: &'a Line) -> Head<'a> {
        Head {
            seq: line.seq,
            t_ms: line.t_ms,
            level: line.level,
            event: &line.event,
            stream: line.stream.as_deref(),
            phase: line.phase.map(|phase| phase.word()),
            span: line.span.as_deref(),
            parent: line.parent.as_deref(),
            escaped: false,
        }
    }
}

/// A level by its word; one of a newer program is left to who parses the line.
fn level(word: &str) -> Option<Level> {
    match word {
        "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warn" => Some(Level::Warn),
        "error" => Some(Level::Error),
        _ => None,
    }
}

/// What is still to be read of a line.
struct Rest<'a> {
    bytes: &'a [u8],
    escaped: bool,
}

impl<'a> Rest<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(expected)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.bytes.split_at_checked(digits)?;
        self.bytes = rest;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    /// A text behind its name and first quote, up to its last.
    fn text(&mut self, name: &[u8]) -> Option<&'a str> {
        self.skip(name)?;
        let mut end = 0;
        loop {
            end += self.bytes.get(end..)?.iter().position(|byte| *byte == b'"' || *byte == b'\\')?;
            if self.bytes.get(end) == Some(&b'"') {
                break;
            }
            self.escaped = true;
            end += 2;
        }
        let (text, rest) = self.bytes.split_at_checked(end)?;
        self.bytes = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    /// A text that may be absent; `None` where it is there and cannot be read.
    fn maybe(&mut self, name: &[u8]) -> Option<Option<&'a str>> {
        if self.bytes.starts_with(name) { self.text(name).map(Some) } else { Some(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"v":1,"seq":184,"ts":"2026-01-02T03:04:05.123456Z","t_ms":5123,"level":"error","event":"stream.attempt_failed","run_id":"r","connection":"crm","stream":"public.orders","phase":"read","attempt":2,"span":"a","parent":"b","message":"m","data":{}}"#;

    #[test]
    fn the_head_says_what_the_line_says() {
        let line = Line::parse(LINE.as_bytes()).unwrap();
        assert_eq!(Head::of(LINE.as_bytes()), Some(Head::from(&line)));
        let bare = LINE
            .replace(r#""stream":"public.orders","phase":"read","attempt":2,"span":"a","parent":"b","#, "");
        let line = Line::parse(bare.as_bytes()).unwrap();
        assert_eq!(Head::of(bare.as_bytes()), Some(Head::from(&line)));
        assert_eq!(line.stream, None);
    }

    #[test]
    fn names_with_escapes_stand_as_they_are_written() {
        let text = LINE.replace("public.orders", r#"a \",\"span\":\"x\\"#);
        let head = Head::of(text.as_bytes()).unwrap();
        assert!(head.escaped);
        assert_eq!(head.stream, Some(r#"a \",\"span\":\"x\\"#));
        assert_eq!((head.span, head.parent), (Some("a"), Some("b")));
    }

    #[test]
    fn of_a_line_that_is_not_as_the_writer_makes_them_nothing_is_said() {
        for other in [
            LINE.replace(r#""v":1,"seq":184"#, r#""seq":184,"v":1"#),
            LINE.replace(':', ": "),
            LINE.replace("\"error\"", "\"loud\""),
            LINE[..LINE.len() / 2].to_owned(),
            String::new(),
            "null".to_owned(),
        ] {
            assert_eq!(Head::of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Head::of(b"{\"v\":1,\"seq\":184,\"ts\":\"\xff\""), None);
    }
}
