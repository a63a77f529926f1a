//! The beginning of a line, looked at without parsing it: enough to tell whether the rest matters.
//!
//! The writer always puts members in the same order and never puts a bare quote into a text, so that
//! a name with its quotes is found by its bytes. A line that is laid out otherwise has no head: then
//! it is parsed.

use waybill_protocol::event::Level;

/// What a line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its number.
    pub seq: u64,
    /// Milliseconds since the start of the run.
    pub t_ms: u64,
    /// How much it matters.
    pub level: Level,
    /// The event's name.
    pub event: &'a str,
    /// What follows the event's name.
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    /// The head of a line; `None` for one that has to be parsed.
    pub fn of(line: &'a [u8]) -> Option<Head<'a>> {
        let (_, rest) = number(line.strip_prefix(b"{\"v\":")?)?;
        let (seq, rest) = number(rest.strip_prefix(b",\"seq\":")?)?;
        let (_, rest) = text(rest.strip_prefix(b",\"ts\":\"")?)?;
        let (t_ms, rest) = number(rest.strip_prefix(b",\"t_ms\":")?)?;
        let (level, rest) = text(rest.strip_prefix(b",\"level\":\"")?)?;
        let (event, rest) = text(rest.strip_prefix(b",\"event\":\"")?)?;
        let level = match level {
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warn" => Level::Warn,
            "error" => Level::Error,
            _ => return None,
        };
        Some(Head { seq, t_ms, level, event, rest })
    }

    /// The stream, as it is written: escapes stand as they are.
    pub fn stream(&self) -> Option<&'a [u8]> {
        self.member(b",\"stream\":\"")
    }

    /// The span.
    pub fn span(&self) -> Option<&'a [u8]> {
        self.member(b",\"span\":\"")
    }

    fn member(&self, name: &[u8]) -> Option<&'a [u8]> {
        let found = find(self.rest, name)?;
        // Behind the message the same name may stand in the data.
        if find(self.rest.get(..found)?, b",\"message\":\"").is_some() {
            return None;
        }
        let rest = self.rest.get(found + name.len()..)?;
        let mut end = 0;
        loop {
            match rest.get(end)? {
                b'"' => return rest.get(..end),
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(step) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        from += step;
        if bytes.get(from..)?.starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
    None
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

/// A text without escapes, up to its closing quote.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Line;

    const LINE: &str = r#"{"v":1,"seq":184,"ts":"2026-01-02T03:04:05.123456Z","t_ms":5123,"level":"error","event":"stream.attempt_failed","run_id":"r","connection":"crm","stream":"a \",\"span\":\"x","phase":"read","attempt":2,"span":"s1","parent":"p","message":"m \",\"event\":\"y","data":{"a":1,"span":"z"}}"#;

    #[test]
    fn a_head_is_what_the_whole_line_says() {
        let (head, line) = (Head::of(LINE.as_bytes()).unwrap(), Line::parse(LINE.as_bytes()).unwrap());
        assert_eq!(
            (head.seq, head.t_ms, head.level, head.event),
            (line.seq, line.t_ms, line.level, line.event.as_str())
        );
        assert_eq!(head.span(), Some(b"s1".as_slice()));
        assert_eq!(line.span.as_deref(), Some("s1"));
        let without = LINE.replace(r#","span":"s1""#, "");
        assert_eq!(
            Head::of(without.as_bytes()).unwrap().span(),
            None,
            "that of the data is none of the line's"
        );
        assert_eq!(head.stream(), Some(br#"a \",\"span\":\"x"#.as_slice()));
    }

    #[test]
    fn a_line_that_is_laid_out_otherwise_or_torn_has_none() {
        for end in 0..LINE.find(r#","run_id""#).unwrap() {
            assert_eq!(Head::of(&LINE.as_bytes()[..end]), None);
        }
        for end in 0..LINE.len() {
            let head = Head::of(&LINE.as_bytes()[..end]);
            let span = head.and_then(|head| head.span());
            assert!(span.is_none() || span == Some(b"s1"), "{end}");
        }
        for text in
            ["", "{}", r#"{"seq":1,"v":1}"#, "\u{0}\u{0}", r#"{"v":1,"seq":99999999999999999999,"ts":""#]
        {
            assert_eq!(Head::of(text.as_bytes()), None, "{text}");
        }
        let newer = LINE.replace(r#""level":"error""#, r#""level":"loud""#);
        assert_eq!(Head::of(newer.as_bytes()), None);
    }
}
