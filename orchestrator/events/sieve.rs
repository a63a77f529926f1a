//! Which lines of a log somebody wants, told from as little of each as will do.

use aho_corasick::AhoCorasick;
use serde_json::Value;
use waybill_protocol::event::{Level, Phase};
use waybill_protocol::{Error, ErrorRecord, Result};

use super::head::Head;
use super::line::Line;
use crate::store::glob::fits;

/// What is wanted; an empty list or `None` wants everything.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only lines of this level or a worse one.
    pub level: Option<Level>,
    /// Only these events; `*` and `?` stand for any characters.
    pub events: Vec<String>,
    /// Only events of these streams; `*` and `?` stand for any characters.
    pub streams: Vec<String>,
    /// Only events of these steps of the run.
    pub phases: Vec<Phase>,
    /// Only lines with this text in their message, their error or their data, whatever its case.
    pub text: Option<String>,
}

/// Lets wanted lines through.
#[derive(Debug)]
pub struct Sieve {
    wanted: Wanted,
    needle: Option<Needle>,
}

/// A text that is looked for.
#[derive(Debug)]
enum Needle {
    /// In ASCII: the text itself, and the text or an escape as a raw line would have them.
    Ascii { text: AhoCorasick, raw: AhoCorasick },
    /// In small letters.
    Other(String),
}

impl Needle {
    fn new(text: &str) -> Result<Needle> {
        if !text.is_ascii() {
            return Ok(Needle::Other(text.to_lowercase()));
        }
        let quoted = Value::from(text).to_string();
        let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        let search = |patterns: &[&str]| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(patterns)
                .map_err(|e| Error::config("the text cannot be looked for: it is too long").cause(e))
        };
        // Behind an escape that the writer does not make, any letter may hide.
        Ok(Needle::Ascii { text: search(&[text])?, raw: search(&[inner, "\\u", "\\/"])? })
    }

    fn is_in(&self, text: &str) -> bool {
        match self {
            Needle::Ascii { text: search, .. } => search.is_match(text),
            Needle::Other(needle) => text.to_lowercase().contains(needle),
        }
    }

    fn is_in_value(&self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(_) | Value::Number(_) => self.is_in(&value.to_string()),
            Value::String(text) => self.is_in(text),
            Value::Array(items) => items.iter().any(|item| self.is_in_value(item)),
            Value::Object(members) => members.values().any(|member| self.is_in_value(member)),
        }
    }

    fn is_in_error(&self, error: &ErrorRecord) -> bool {
        let texts = [Some(&error.message), error.hint.as_ref(), error.code.as_ref()];
        let mut texts = texts.into_iter().flatten().chain(&error.cause);
        texts.any(|text| self.is_in(text)) || self.is_in(error.kind.word())
    }
}

impl Sieve {
    /// A sieve for what is wanted.
    pub fn new(wanted: Wanted) -> Result<Sieve> {
        let needle = wanted.text.as_deref().filter(|text| !text.is_empty()).map(Needle::new).transpose()?;
        Ok(Sieve { wanted, needle })
    }

    /// Whether a line with this head may be wanted, its text aside; a name that has escapes may.
    pub fn takes_head(&self, head: &Head<'_>) -> bool {
        let Wanted { level, events, streams, phases, .. } = &self.wanted;
        level.is_none_or(|least| head.level >= least)
            && (events.is_empty() || events.iter().any(|glob| fits(glob, head.event)))
            && (streams.is_empty()
                || head.escaped
                || head.stream.is_some_and(|stream| streams.iter().any(|glob| fits(glob, stream))))
            && (phases.is_empty()
                || head.phase.is_some_and(|phase| phases.iter().any(|wanted| wanted.word() == phase)))
    }

    /// Whether a line may have the text in it, by its bytes alone.
    pub fn takes_bytes(&self, bytes: &[u8]) -> bool {
        match &self.needle {
            Some(Needle::Ascii { raw, .. }) => raw.is_match(bytes),
            _ => true,
        }
    }

    /// Whether a text is looked for, so that only the parsed line can tell.
    pub fn looks_for_text(&self) -> bool {
        self.needle.is_some()
    }

    /// Whether a line is wanted.
    pub fn takes(&self, line: &Line) -> bool {
        self.takes_head(&Head::from(line))
            && self.needle.as_ref().is_none_or(|needle| {
                needle.is_in(&line.message)
                    || line.error.as_ref().is_some_and(|error| needle.is_in_error(error))
                    || needle.is_in_value(&line.data)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> String {
        let message = Value::from(message);
        format!(
            r#"{{"v":1,"seq":1,"ts":"2026-01-02T03:04:05.000000Z","t_ms":1,"level":"warn","event":"stream.progress","run_id":"r","connection":"c","stream":"public.orders","phase":"read","message":{message},"error":{{"kind":"rate_limit","retryable":true,"message":"slow down","hint":"wait"}},"data":{{"sql":"SELECT \"Größe\"","n":[4711]}}}}"#
        )
    }

    fn takes(text: &str, wanted: Wanted) -> bool {
        let sieve = Sieve::new(wanted).unwrap();
        let line = Line::parse(text.as_bytes()).unwrap();
        let (whole, head) = (sieve.takes(&line), Head::of(text.as_bytes()).unwrap());
        let cheap = sieve.takes_head(&head) && sieve.takes_bytes(text.as_bytes());
        assert!(cheap || !whole, "the cheap look lost a line: {text}");
        whole
    }

    fn text(wanted: &str) -> Wanted {
        Wanted { text: Some(wanted.to_owned()), ..Wanted::default() }
    }

    #[test]
    fn a_text_is_found_in_message_error_and_data_whatever_its_case() {
        for wanted in
            ["RESET", "slow DOWN", "Rate_Limit", "wait", "größe", "\"größe\"", "select \"", "4711", ""]
        {
            assert!(takes(&line("connection reset"), text(wanted)), "{wanted}");
        }
        // Names of members, other members and numbers of the line are not what somebody looks for.
        for wanted in ["sql", "public.orders", "t_ms", "hint\":", "2026"] {
            assert!(!takes(&line("connection reset"), text(wanted)), "{wanted}");
        }
        let escaped = line("plain").replace("plain", r"\u0070lain a\/b");
        let quoted = line("m").replace("public.orders", r#"a\"b"#);
        let stream = |name: &str| Wanted { streams: vec![name.to_owned()], ..Wanted::default() };
        assert!(takes(&quoted, stream("a\"*")) && !takes(&quoted, stream("b*")));
        assert!(takes(&escaped, text("PLAIN")) && takes(&escaped, text("a/b")));
    }

    #[test]
    fn level_event_stream_and_phase_are_told_from_the_head() {
        let wanted = |level, event: &str, stream: &str, phases: &[Phase]| Wanted {
            level: Some(level),
            events: vec![event.to_owned()],
            streams: vec!["x".to_owned(), stream.to_owned()],
            phases: phases.to_vec(),
            text: None,
        };
        assert!(takes(&line("m"), wanted(Level::Warn, "stream.*", "public.*", &[Phase::Read])));
        assert!(!takes(&line("m"), wanted(Level::Error, "stream.*", "public.*", &[])));
        assert!(!takes(&line("m"), wanted(Level::Debug, "query.*", "public.*", &[])));
        assert!(!takes(&line("m"), wanted(Level::Debug, "*", "private.*", &[])));
        assert!(!takes(&line("m"), wanted(Level::Debug, "*", "*", &[Phase::Plan, Phase::Publish])));
    }
}
