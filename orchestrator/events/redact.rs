//! No secret passes: redaction by value, in every form that a driver or a server may echo.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use waybill_protocol::Events;
use waybill_protocol::event::Body;

use super::line::Line;
use super::rules::{ALIGNMENTS, Known, Rules, known, parts};

/// What stands in a secret's place.
pub const MASK: &str = "[redacted]";
/// A secret with fewer bytes is looked for only where it cannot be an ordinary word.
pub const SHORT: usize = 8;
/// Members of `data` whose text is a word of the contract, never a value.
pub(super) const WORDS: &[&str] = &["outcome", "status", "mode", "write", "role", "policy", "rule", "signal"];

/// How well a secret can be kept out of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// It is found anywhere.
    Anywhere,
    /// Too short: found only as a whole value, or in a URL or DSN.
    Short,
    /// Empty: there is nothing to hide.
    Empty,
}

/// The secrets of a run and what finds them. Clones share them; secrets may be added at any time.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Arc<Rules>>>);

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(…)")
    }
}

impl Redactor {
    /// A redactor that knows no secret yet.
    pub fn new() -> Redactor {
        Redactor::default()
    }

    /// Adds a secret without a name of its own.
    pub fn add(&self, secret: &str, user: Option<&str>) -> Strength {
        self.add_named("a secret", secret, user)
    }

    /// Adds a secret and, where it has one, the user name that it is sent with. `name` is its place,
    /// such as `sources.crm.password`.
    pub fn add_named(&self, name: &str, secret: &str, user: Option<&str>) -> Strength {
        let trimmed = secret.trim();
        if trimmed.is_empty() {
            return Strength::Empty;
        }
        let mut rules = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut secrets = rules.secrets.clone();
        secrets.push(Known { user: user.map(str::to_owned), ..known(name, secret) });
        // What stands inside a secret can be echoed alone: lines of a key, the password of a URL.
        secrets.extend(parts(name, secret));
        *rules = Arc::new(Rules::new(secrets, &ALIGNMENTS));
        if trimmed.len() < SHORT { Strength::Short } else { Strength::Anywhere }
    }

    /// Adds a secret; says by a warning when it is too short to be found anywhere. `name` is its
    /// place, such as `sources.crm.password`.
    pub fn load(&self, events: &Events, name: &str, secret: &str, user: Option<&str>) -> Strength {
        let strength = self.add_named(name, secret, user);
        if strength == Strength::Short {
            let message = format!(
                "{name} has fewer than {SHORT} bytes: it is kept out of this record only as a whole value and in URLs; use a longer one"
            );
            events.warn(Body::Runtime { detail: serde_json::json!({"secret": name}) }, message);
        }
        strength
    }

    /// The text without any secret.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let rules = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        rules.redact(text)
    }

    /// The secrets known by now.
    pub(super) fn secrets(&self) -> Vec<Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).secrets.clone()
    }

    /// Redacts every text inside a value; keys stay.
    pub fn redact_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.redact_text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_value(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.redact_value(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Redacts the texts of a line: message, error and data, never keys, names or enums.
    pub(super) fn redact_line(&self, line: &mut Line) {
        self.redact_text(&mut line.message);
        if let Some(error) = &mut line.error {
            self.redact_text(&mut error.message);
            error.code.iter_mut().chain(&mut error.hint).for_each(|text| self.redact_text(text));
            error.cause.iter_mut().for_each(|text| self.redact_text(text));
        }
        match &mut line.data {
            Value::Object(members) => {
                let values = members.iter_mut().filter(|(key, _)| !WORDS.contains(&key.as_str()));
                values.for_each(|(_, value)| self.redact_value(value));
            }
            other => self.redact_value(other),
        }
    }

    fn redact_text(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.redact(text) {
            *text = clean;
        }
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
