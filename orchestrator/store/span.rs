//! Where each value of a JSON text stands: for edits that leave the rest alone, and for errors
//! that name their line.

use std::fmt;
use std::ops::Range;

use waybill_protocol::{Error, Result};

/// One step of a path into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array.
    Index(usize),
}

/// A path into a JSON document: `connections[2].schema.streams[0].cursor`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonPath(pub Vec<Step>);

impl JsonPath {
    /// The path of a member of this.
    pub fn key(&self, key: &str) -> JsonPath {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        JsonPath(steps)
    }

    /// The path of an element of this.
    pub fn index(&self, index: usize) -> JsonPath {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        JsonPath(steps)
    }

    /// This path followed by that of a deserialisation error.
    pub fn join(&self, tail: &serde_path_to_error::Path) -> JsonPath {
        let mut path = self.clone();
        for segment in tail.iter() {
            path.0.extend(match segment {
                serde_path_to_error::Segment::Seq { index } => Some(Step::Index(*index)),
                serde_path_to_error::Segment::Map { key } => Some(Step::Key(key.clone())),
                serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => None,
            });
        }
        path
    }

    /// Whether this path starts with those steps.
    pub fn starts_with(&self, head: &JsonPath) -> bool {
        self.0.starts_with(&head.0)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                    if key.is_empty() || !key.bytes().all(plain) {
                        write!(f, "[{}]", super::nearest::shown(key))?;
                    } else if at == 0 {
                        f.write_str(key)?;
                    } else {
                        write!(f, ".{key}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A value of the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What it is.
    pub form: Form,
}

/// The form of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A text, number, truth value or null.
    Scalar,
    /// Elements.
    Array(Vec<Node>),
    /// Members, in the order of the text.
    Object(Vec<Member>),
}

/// A member of an object in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name, decoded.
    pub key: String,
    /// The bytes of its name, quotes included.
    pub key_span: Range<usize>,
    /// Its value.
    pub value: Node,
}

/// Finds the spans of a text that serde_json has accepted (so its depth is bounded).
pub fn scan(text: &str) -> Result<Node> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.space();
    scanner.value().ok_or_else(|| Error::internal("the JSON scanner lost its way"))
}

impl Node {
    /// The value at a path, as far as the text has it: the nearest one around it otherwise.
    pub fn nearest(&self, path: &JsonPath) -> &Node {
        let mut node = self;
        for step in &path.0 {
            let next = match (&node.form, step) {
                (Form::Array(items), Step::Index(index)) => items.get(*index),
                (Form::Object(members), Step::Key(key)) => {
                    members.iter().rev().find(|member| member.key == *key).map(|member| &member.value)
                }
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// Paths of members that stand twice in one object.
    pub fn doubled(&self, here: &JsonPath, found: &mut Vec<JsonPath>) {
        match &self.form {
            Form::Scalar => {}
            Form::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| item.doubled(&here.index(i), found));
            }
            Form::Object(members) => {
                let mut seen = std::collections::HashSet::new();
                for member in members {
                    let path = here.key(&member.key);
                    member.value.doubled(&path, found);
                    if !seen.insert(member.key.as_str()) {
                        found.push(path);
                    }
                }
            }
        }
    }
}

/// Line and column, from 1, of a byte of the text; columns count characters.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before.get(start..).map_or(0, |line| line.chars().count()) + 1)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes the byte if it comes next, with the white space before it.
    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Option<Node> {
        let start = self.at;
        let form = match self.peek()? {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => {
                self.string()?;
                Form::Scalar
            }
            _ => {
                while !matches!(self.peek(), None | Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r')) {
                    self.at += 1;
                }
                Form::Scalar
            }
        };
        Some(Node { span: start..self.at, form })
    }

    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(start..self.at);
                }
                _ => self.at += 1,
            }
        }
    }

    fn array(&mut self) -> Option<Form> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Some(Form::Array(items));
        }
        loop {
            self.space();
            items.push(self.value()?);
            if !self.takes(b',') {
                return self.takes(b']').then_some(Form::Array(items));
            }
        }
    }

    fn object(&mut self) -> Option<Form> {
        self.at += 1;
        let mut members = Vec::new();
        if self.takes(b'}') {
            return Some(Form::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return None;
            }
            let key_span = self.string()?;
            let key = serde_json::from_str(self.text.get(key_span.clone())?).ok()?;
            if !self.takes(b':') {
                return None;
            }
            self.space();
            members.push(Member { key, key_span, value: self.value()? });
            if !self.takes(b',') {
                return self.takes(b'}').then_some(Form::Object(members));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_those_of_the_text() {
        let text = " {\"a\" : [1, -2.5e3,\n\"x\\\"]\"], \"\\u00e9\": {\"b\": null } } ";
        let root = scan(text).unwrap();
        let at = |path: &JsonPath| &text[root.nearest(path).span.clone()];
        let top = JsonPath::default();
        assert_eq!(at(&top), text.trim());
        assert_eq!(at(&top.key("a").index(1)), "-2.5e3");
        assert_eq!(at(&top.key("a").index(2)), "\"x\\\"]\"");
        assert_eq!(at(&top.key("é").key("b")), "null");
        assert_eq!(at(&top.key("é").key("c")), "{\"b\": null }");
        assert_eq!(position(text, root.nearest(&top.key("a").index(2)).span.start), (2, 1));
        assert_eq!(position("é x", 3), (1, 3));
    }

    #[test]
    fn broken_texts_are_an_error_and_no_panic() {
        for text in ["", "{", "[1", "{\"a\"", "{\"a\":", "\"x", "\"\\", "{\"a\" 1}", "{1:2}", "[1 2]"] {
            // A scalar at the top may pass: serde_json has looked before.
            let _ = scan(text);
        }
        assert!(scan("{\"a\" 1}").is_err() && scan("").is_err() && scan("[1 2]").is_err());
    }

    #[test]
    fn doubled_members_are_found_and_paths_are_readable() {
        let root = scan(r#"{"a": [{"x": 1, "y": 2, "x": 3}], "public.orders": {}, "a": 1}"#).unwrap();
        let mut found = Vec::new();
        root.doubled(&JsonPath::default(), &mut found);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["a[0].x", "a"]);
        let path = JsonPath::default().key("connections").index(2).key("state").key("public.orders");
        assert_eq!(path.to_string(), "connections[2].state[\"public.orders\"]");
    }
}
