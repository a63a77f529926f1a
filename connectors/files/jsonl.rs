//! The members of a JSON object on one line, each value's text as it was written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cell::Cell;
use super::faults::Flaw;

/// Deeper nesting is a row error: readers of JSON at destinations stop somewhere above it.
const MAX_DEPTH: usize = 500;

/// What takes a member: its name and its value.
type Each<'f, 'a> = &'f mut dyn FnMut(Cow<'a, str>, &'a str) -> Result<(), Flaw>;

/// Calls `each` for every member of the object that `line` is.
pub(super) fn members<'a>(line: &'a str, each: Each<'_, 'a>) -> Result<(), Flaw> {
    // Asked here, since the parser's own words would repeat the value.
    if !line.trim_start().starts_with('{') {
        return Err(Flaw::row("not a JSON object"));
    }
    let mut flaw = None;
    let mut parser = serde_json::Deserializer::from_str(line);
    let parsed = parser.deserialize_map(Members { each, flaw: &mut flaw }).and_then(|()| parser.end());
    match (parsed, flaw) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(flaw)) => Err(flaw),
        (Err(e), None) => Err(Flaw::row(format!("not valid JSON at byte {}", e.column()))),
    }
}

struct Members<'f, 'a> {
    each: Each<'f, 'a>,
    flaw: &'f mut Option<Flaw>,
}

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let value: &'a RawValue = map.next_value()?;
            if let Err(flaw) = (self.each)(name, value.get()) {
                *self.flaw = Some(flaw);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Cow<'a, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// A member's value; `scratch` holds the text of a string with escapes.
pub(super) fn cell<'a>(raw: &'a str, scratch: &'a mut String) -> Result<Cell<'a>, &'static str> {
    let bytes = raw.as_bytes();
    Ok(match bytes.first() {
        Some(b'"') => {
            let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
            if !inner.contains('\\') {
                return Ok(Cell::Text { raw: bytes, text: inner.as_bytes() });
            }
            *scratch = serde_json::from_str(raw).map_err(|_| "a lone surrogate (\\ud800) in a string")?;
            if scratch.contains('\0') {
                return Err("a NUL character (\\u0000), which no destination can hold in text");
            }
            Cell::Text { raw: bytes, text: scratch.as_bytes() }
        }
        Some(b'{' | b'[') => {
            nested(bytes)?;
            Cell::Nested(bytes)
        }
        Some(b't' | b'f') => Cell::Bool(bytes),
        Some(b'n') | None => Cell::Null,
        Some(_) => Cell::Number(bytes),
    })
}

/// A CSV field declared as JSON, where it is a document.
pub(super) fn document(text: &[u8]) -> Option<&[u8]> {
    let raw: &RawValue = serde_json::from_slice(text).ok()?;
    nested(raw.get().as_bytes()).ok()?;
    Some(raw.get().as_bytes())
}

/// Looks through valid JSON for what a strict reader would refuse: depth, lone surrogates.
fn nested(json: &[u8]) -> Result<(), &'static str> {
    let (mut depth, mut at, mut in_string, mut high) = (0usize, 0usize, false, false);
    while let Some(byte) = json.get(at) {
        let mut step = 1;
        let mut low_due = false;
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                step = 2;
                if json.get(at + 1) == Some(&b'u') {
                    step = 6;
                    match surrogate(json.get(at + 2..at + 6)) {
                        Some(true) if !high => low_due = true,
                        Some(false) if high => high = false,
                        None if !high => {}
                        _ => return Err("a lone surrogate (\\ud800) in a string"),
                    }
                }
            }
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if high {
            return Err("a lone surrogate (\\ud800) in a string");
        }
        if depth > MAX_DEPTH {
            return Err("nested more than 500 levels deep");
        }
        high = low_due;
        at += step;
    }
    Ok(())
}

/// Whether four hex digits are a surrogate: the first of a pair, the second, or none.
fn surrogate(digits: Option<&[u8]>) -> Option<bool> {
    let code = u16::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok()?;
    match code {
        0xD800..=0xDBFF => Some(true),
        0xDC00..=0xDFFF => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<String>, String> {
        let mut seen = Vec::new();
        members(line, &mut |name, raw| {
            let mut scratch = String::new();
            let cell = cell(raw, &mut scratch).map_err(|e| Flaw::column(&name, e))?;
            seen.push(format!("{name}={}", String::from_utf8_lossy(cell.text())));
            Ok(())
        })
        .map_err(|flaw| flaw.reason)?;
        Ok(seen)
    }

    #[test]
    fn values_keep_their_text() {
        let seen = read(r#" {"a": 1.50e+02, "b\u00e9": "x\ny", "c": {"k" : [1, 2]} , "d":null} "#).unwrap();
        assert_eq!(seen, ["a=1.50e+02", "bé=x\ny", r#"c={"k" : [1, 2]}"#, "d="]);
    }

    #[test]
    fn what_is_no_object_or_no_json_is_refused_without_its_value() {
        for (line, part) in [
            ("\"secret\"", "not a JSON object"),
            ("[1]", "not a JSON object"),
            (r#"{"a": NaN}"#, "not valid JSON at byte"),
            (r#"{"a": 1"#, "not valid JSON at byte"),
            (r#"{"a": 1} x"#, "not valid JSON at byte"),
            (r#"{"a": "\ud800"}"#, "lone surrogate"),
            (r#"{"a": ["\ud800"]}"#, "lone surrogate"),
            (r#"{"a": ["\ud800\ud800\udc00"]}"#, "lone surrogate"),
            (r#"{"a": ["\udc00"]}"#, "lone surrogate"),
            (r#"{"a": "\u0000"}"#, "NUL"),
        ] {
            let reason = read(line).unwrap_err();
            assert!(reason.contains(part) && !reason.contains("secret"), "{line}: {reason}");
        }
        assert!(read(r#"{"a": ["\ud83d\ude00", "\\ud800"], "b": "\ud83d\ude00"}"#).is_ok());
    }

    #[test]
    fn nesting_is_bounded_and_never_overflows_the_stack() {
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(read(&deep(500)).is_ok());
        assert!(read(&deep(501)).unwrap_err().contains("levels"));
        assert!(read(&deep(100_000)).unwrap_err().contains("levels"));
    }
}
