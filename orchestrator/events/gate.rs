//! The leak gate: looks for secrets in what a run or a bundle leaves, whoever wrote it.
//!
//! The writer redacts what it writes, by what it knows then. The gate knows every secret, reads
//! names and keys too, and puts together what came in pieces.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};
use std::path::Path;

use serde_json::Value;

use super::line::Line;
use super::redact::{Redactor, SHORT, WORDS};
use super::rules::{ALIGNMENTS, Known, Rules};

/// A longer line is looked at in pieces that overlap.
const PIECE: u64 = 1 << 20;
/// Outputs whose ends are remembered at once.
const OUTPUTS: usize = 256;
/// A secret of letters alone that is shorter than this may be an ordinary word.
const WORD: usize = 16;

/// A secret in an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The secret's place, such as `sources.crm.password`.
    pub secret: String,
    /// The line, from 1.
    pub line: u64,
}

/// Knows the secrets, and what of them anybody may read in the config.
pub struct Gate {
    /// Looked for in values.
    values: Rules,
    /// Looked for anywhere: what cannot be an ordinary word.
    anywhere: Rules,
    /// Bytes that the longest of them may take, however it is written.
    reach: usize,
}

impl Gate {
    /// A gate for the secrets that a redactor knows. `published` are values that the config shows
    /// openly: a password that is the user's name is no secret there.
    pub fn new(redactor: &Redactor, published: &Value) -> Gate {
        let mut texts = Vec::new();
        values_of(published, &mut texts);
        let words = published.to_string();
        let open = |known: &Known| {
            texts.contains(&known.value.as_str()) || is_word(&known.value) && words.contains(&known.value)
        };
        let mut secrets = redactor.secrets();
        secrets.retain(|known| !open(known));
        let telling = |known: &&Known| known.value.len() >= SHORT && !is_word(&known.value);
        let anywhere: Vec<Known> = secrets.iter().filter(telling).cloned().collect();
        // Percent-encoded twice, a byte takes five.
        let longest = secrets.iter().map(|k| k.value.len() + k.user.as_ref().map_or(0, String::len)).max();
        Gate {
            values: Rules::new(secrets, &ALIGNMENTS),
            anywhere: Rules::new(anywhere, &ALIGNMENTS),
            reach: longest.unwrap_or(0).saturating_mul(5).min(64 << 10),
        }
    }

    /// Looks through a file, whatever is in it; the first secret that it finds.
    pub fn file(&self, path: &Path) -> io::Result<Option<Leak>> {
        self.read(&mut io::BufReader::with_capacity(256 << 10, std::fs::File::open(path)?))
    }

    /// The same for bytes.
    pub fn bytes(&self, mut bytes: &[u8]) -> Option<Leak> {
        // Memory does not fail to be read.
        self.read(&mut bytes).ok().flatten()
    }

    fn read(&self, reader: &mut impl BufRead) -> io::Result<Option<Leak>> {
        if self.reach == 0 {
            return Ok(None);
        }
        let mut outputs = Outputs { reach: self.reach, ends: HashMap::new() };
        let (mut number, mut piece, mut torn) = (1, Vec::new(), false);
        loop {
            if reader.by_ref().take(PIECE).read_until(b'\n', &mut piece)? == 0 {
                return Ok(None);
            }
            let whole = piece.last() == Some(&b'\n');
            let found = match whole && !torn {
                true => self.line(&piece, &mut outputs),
                false => {
                    self.anywhere.find(&String::from_utf8_lossy(&piece)).map(|(name, _)| name.to_owned())
                }
            };
            if let Some(secret) = found {
                return Ok(Some(Leak { secret, line: number }));
            }
            torn = !whole;
            if whole {
                number += 1;
                piece.clear();
            } else {
                piece.drain(..piece.len().saturating_sub(self.reach));
            }
        }
    }

    fn line(&self, bytes: &[u8], outputs: &mut Outputs) -> Option<String> {
        let text = String::from_utf8_lossy(bytes);
        if let Some((name, _)) = self.anywhere.find(&text) {
            return Some(name.to_owned());
        }
        let line = Line::parse(bytes).ok()?;
        if let Some((name, _)) = texts_of(&line).iter().find_map(|text| self.values.find(text)) {
            return Some(name.to_owned());
        }
        let joined = outputs.join(&line)?;
        self.anywhere.find(&joined).map(|(name, _)| name.to_owned())
    }
}

/// The ends of what was said last by each voice of a log: a secret may come in pieces.
struct Outputs {
    reach: usize,
    ends: HashMap<(String, String), String>,
}

impl Outputs {
    /// What the same voice said before, as far as it matters, and now.
    fn join(&mut self, line: &Line) -> Option<String> {
        if line.message.is_empty() || !matches!(line.event.as_str(), "process.output" | "runtime.event") {
            return None;
        }
        let of = line.data.get("stream").and_then(Value::as_str).unwrap_or_default();
        let pid = line.data.get("pid").map(Value::to_string).unwrap_or_default();
        let span = line.span.as_deref().or(line.parent.as_deref()).unwrap_or_default();
        let stream = line.stream.as_deref().unwrap_or_default();
        let voice = (line.event.clone(), [of, &pid, span, stream].join("\n"));
        if self.ends.len() >= OUTPUTS && !self.ends.contains_key(&voice) {
            self.ends.clear();
        }
        let before = self.ends.remove(&voice).unwrap_or_default();
        let joined = format!("{before}{}", line.message);
        let mut from = joined.len().saturating_sub(self.reach);
        while !joined.is_char_boundary(from) {
            from += 1;
        }
        self.ends.insert(voice, joined.get(from..).unwrap_or_default().to_owned());
        (!before.is_empty()).then_some(joined)
    }
}

fn values_of<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| values_of(item, texts)),
        Value::Object(members) => members.values().for_each(|member| values_of(member, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The texts of a line that are redacted when it is written.
fn texts_of(line: &Line) -> Vec<&str> {
    let mut texts = vec![line.message.as_str()];
    if let Some(error) = &line.error {
        texts.push(&error.message);
        texts.extend(error.code.iter().chain(&error.hint).chain(&error.cause).map(String::as_str));
    }
    match &line.data {
        Value::Object(members) => {
            let values = members.iter().filter(|(key, _)| !WORDS.contains(&key.as_str()));
            values.for_each(|(_, value)| values_of(value, &mut texts));
        }
        other => values_of(other, &mut texts),
    }
    texts
}

fn is_word(secret: &str) -> bool {
    secret.len() < WORD && secret.chars().all(char::is_alphabetic)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
