//! What differs between two runs: the one comparison behind `runs explain`, `runs diff` and the
//! report page.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use waybill_protocol::StreamState;
use waybill_protocol::event::Outcome;

use super::facts::{Facts, RunName};
use super::{schema, settings};
use crate::summary::units::{bytes, count, counted, duration};
use crate::summary::{RunStatus, StreamStats};

/// What two runs have in which they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// How they ended.
    Status,
    /// Version of the program.
    Program,
    /// The host they ran on.
    Host,
    /// Versions of the systems that they spoke to.
    Servers,
    /// What the caller asked for: flags and limits.
    Options,
    /// Settings in force, secrets left out.
    Settings,
    /// Which streams there were, and how they were read and written.
    Streams,
    /// Columns and keys of the streams.
    Schema,
    /// Where reading started, and how far it came.
    Window,
    /// Rows loaded, rejected, changed.
    Rows,
    /// How long it took.
    Duration,
    /// How much memory it took.
    Memory,
}

impl Area {
    /// The word used on screens.
    pub fn word(self) -> &'static str {
        match self {
            Area::Status => "status",
            Area::Program => "program",
            Area::Host => "host",
            Area::Servers => "server",
            Area::Options => "option",
            Area::Settings => "setting",
            Area::Streams => "stream",
            Area::Schema => "schema",
            Area::Window => "window",
            Area::Rows => "rows",
            Area::Duration => "duration",
            Area::Memory => "memory",
        }
    }
}

/// One thing in which two runs differ.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// What it is about.
    pub area: Area,
    /// Its name: a setting, a stream, a phase.
    pub subject: String,
    /// In the earlier run; absent where it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// In the later run; absent where it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// In words, without the area.
    pub text: String,
    /// Whether it is worth a look when something went wrong: not what differs from run to run anyway.
    pub notable: bool,
}

/// What differs between two runs, and what could not be compared.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// The earlier run.
    pub before: RunName,
    /// The later run.
    pub after: RunName,
    /// The differences: by area, notable ones marked.
    pub differences: Vec<Difference>,
    /// What could not be compared, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

impl Comparison {
    /// The differences that are worth a look.
    pub fn notable(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.notable)
    }
}

/// Compares a run with an earlier one.
pub fn compare(before: &Facts, after: &Facts) -> Comparison {
    let mut found = Found::default();
    status(&mut found, before, after);
    versions(&mut found, before, after);
    settings::compare(&mut found, before, after);
    streams(&mut found, before, after);
    schema::compare(&mut found, before, after);
    windows(&mut found, before, after);
    rows(&mut found, before, after);
    durations(&mut found, before, after);
    memory(&mut found, before, after);
    found.differences.sort_by_key(|difference| difference.area);
    Comparison {
        before: before.name(),
        after: after.name(),
        differences: found.differences,
        unknown: found.unknown,
    }
}

/// What a comparison has found so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) differences: Vec<Difference>,
    pub(super) unknown: Vec<String>,
}

impl Found {
    /// Adds one; `text` says it whole.
    pub(super) fn add(
        &mut self,
        (area, subject, notable): (Area, &str, bool),
        before: Option<Value>,
        after: Option<Value>,
        text: String,
    ) {
        let subject = subject.to_owned();
        self.differences.push(Difference { area, subject, before, after, text, notable });
    }

    /// Adds two texts of which one became the other.
    fn changed(&mut self, of: (Area, &str, bool), before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        let shown = |value: Option<&str>| value.filter(|v| !v.is_empty()).unwrap_or("none").to_owned();
        let text = format!("{}: {} → {}", of.1, shown(before), shown(after));
        self.add(of, before.map(Value::from), after.map(Value::from), text);
    }
}

fn status(found: &mut Found, before: &Facts, after: &Facts) {
    let words = (before.summary.status.word(), after.summary.status.word());
    found.changed((Area::Status, "status", false), Some(words.0), Some(words.1));
}

fn versions(found: &mut Found, before: &Facts, after: &Facts) {
    let (old, new) = (&before.summary, &after.summary);
    found.changed((Area::Host, "host", true), Some(&old.host), Some(&new.host));
    for (area, what) in
        [(Area::Servers, "source"), (Area::Servers, "destination"), (Area::Program, "waybill")]
    {
        let (a, b) = (old.versions.get(what), new.versions.get(what));
        // A run that did not come to open a session does not know the version.
        if let (Some(a), Some(b)) = (a, b) {
            found.changed((area, what, true), Some(a), Some(b));
        }
    }
    found.changed((Area::Servers, "source system", true), Some(&old.source), Some(&new.source));
    found.changed((Area::Servers, "destination used", true), Some(&old.destination), Some(&new.destination));
}

/// The streams of both, by name.
fn pairs<'a>(
    before: &'a Facts,
    after: &'a Facts,
) -> BTreeMap<&'a str, (Option<&'a StreamStats>, Option<&'a StreamStats>)> {
    let (old, new) = (&before.summary.stats.streams, &after.summary.stats.streams);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().map(|name| (name.as_str(), (old.get(name), new.get(name)))).collect()
}

fn streams(found: &mut Found, before: &Facts, after: &Facts) {
    // A run that ended before its plan has no streams yet: that is no difference of the selection.
    let planned = |facts: &Facts| !facts.summary.stats.streams.is_empty();
    if !planned(before) || !planned(after) {
        return;
    }
    for (name, pair) in pairs(before, after) {
        match pair {
            (None, Some(_)) => {
                found.add((Area::Streams, name, true), None, Some(name.into()), format!("{name}: is new"));
            }
            (Some(_), None) => found.add(
                (Area::Streams, name, true),
                Some(name.into()),
                None,
                format!("{name}: is no longer loaded"),
            ),
            (Some(old), Some(new)) => how(found, name, old, new),
            (None, None) => {}
        }
    }
}

fn how(found: &mut Found, name: &str, old: &StreamStats, new: &StreamStats) {
    let words = |stats: &StreamStats| Some(format!("{}, {}", stats.mode?, stats.write?));
    if let (Some(a), Some(b)) = (words(old), words(new)) {
        found.changed((Area::Streams, &format!("{name}: read and written"), true), Some(&a), Some(&b));
    }
    if let (Some(a), Some(b)) = (&old.table, &new.table) {
        found.changed((Area::Streams, &format!("{name}: table"), true), Some(a), Some(b));
    }
    if old.attempts != new.attempts && old.attempts > 0 && new.attempts > 0 {
        let text = format!("{name}: {}, before {}", counted(new.attempts.into(), "attempt"), old.attempts);
        found.add(
            (Area::Streams, name, new.attempts > old.attempts),
            Some(old.attempts.into()),
            Some(new.attempts.into()),
            text,
        );
    }
}

fn windows(found: &mut Found, before: &Facts, after: &Facts) {
    for (name, new) in &after.summary.state {
        let Some(old) = before.summary.state.get(name) else { continue };
        let (a, b) = (shown(old.before.as_ref()), shown(new.before.as_ref()));
        if a != b {
            // Going on where the last one ended is the normal course; starting anew is not.
            let notable = b.is_none() && shown(old.after.as_ref()).is_some();
            let text = format!("{name}: read from {}, before from {}", or_start(&b), or_start(&a));
            found.add((Area::Window, name, notable), a.map(Value::from), b.map(Value::from), text);
        }
    }
    for (name, new) in after.decisions.iter().flatten() {
        let old = before.decisions.as_ref().and_then(|known| known.get(name));
        if let Some(old) = old.filter(|old| old.rule != new.rule) {
            let text = format!("{name}: {}; before: {}", new.words, old.words);
            // After a first load comes one that goes on.
            let notable = !(old.first() && new.rule == "5");
            found.add(
                (Area::Window, name, notable),
                Some(old.words.as_str().into()),
                Some(new.words.as_str().into()),
                text,
            );
        }
    }
}

/// A state as a person sees it in the config.
pub(super) fn shown(state: Option<&Value>) -> Option<String> {
    let state = state?;
    let value = StreamState::from_value(state).map_or_else(|_| state.clone(), |state| state.shown());
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Object(members) if members.contains_key("files") => {
            Some(counted(members.get("files").and_then(Value::as_u64).unwrap_or(0), "file"))
        }
        other => Some(other.to_string()),
    }
}

fn or_start(state: &Option<String>) -> &str {
    state.as_deref().unwrap_or("the beginning")
}

fn rows(found: &mut Found, before: &Facts, after: &Facts) {
    for (name, pair) in pairs(before, after) {
        let (Some(old), Some(new)) = pair else { continue };
        let (a, b) = (old.figures.rows, new.figures.rows);
        if a != b {
            let text = format!("{name}: {}, before {}{}", counted(b, "row"), count(a), percent(a, b));
            let whole = new.outcome == Some(Outcome::Succeeded) && old.outcome == Some(Outcome::Succeeded);
            let full = new.mode != Some(waybill_protocol::SyncMode::Incremental);
            let notable = whole && full && far_apart(a, b);
            found.add((Area::Rows, name, notable), Some(a.into()), Some(b.into()), text);
        }
        let counts = |facts: &Facts| facts.summary.progress_counts.get(name).copied().unwrap_or_default();
        let (a, b) = (counts(before), counts(after));
        for (what, a, b) in [
            ("rejected", a.rows_rejected, b.rows_rejected),
            ("with values changed to fit", a.values_coerced, b.values_coerced),
            ("left out for a NULL cursor", a.rows_null_cursor, b.rows_null_cursor),
        ] {
            if a != b {
                let text = format!("{name}: {} {what}, before {}", counted(b, "row"), count(a));
                found.add((Area::Rows, name, b > a), Some(a.into()), Some(b.into()), text);
            }
        }
    }
}

fn far_apart(a: u64, b: u64) -> bool {
    a.abs_diff(b) >= 10 && (a > b.saturating_mul(2) || b > a.saturating_mul(2))
}

/// By how much the second is more or less, where that can be said.
fn percent(a: u64, b: u64) -> String {
    if a == 0 {
        return String::new();
    }
    let change = (b as f64 - a as f64) / a as f64 * 100.0;
    match change.round() {
        0.0 => String::new(),
        more if more > 0.0 => format!(" (+{more} %)"),
        less => format!(" (−{} %)", -less),
    }
}

/// Longer than it was before anybody would ask why.
fn much_longer(a: u64, b: u64) -> bool {
    b > a.saturating_mul(2) && b - a >= 1_000
}

fn durations(found: &mut Found, before: &Facts, after: &Facts) {
    let over = |facts: &Facts| facts.summary.status != RunStatus::Running;
    let total = |facts: &Facts| (facts.summary.stats.total.seconds * 1000.0).round() as u64;
    let mut spent = vec![("in all".to_owned(), total(before), total(after))];
    for (phase, b) in &after.summary.timings {
        let a = before.summary.timings.get(phase).copied().unwrap_or(0);
        spent.push((format!("phase {phase}"), a, *b));
    }
    for (what, a, b) in spent {
        // A few milliseconds more or less say nothing.
        if a.abs_diff(b) < 100 || !over(after) {
            continue;
        }
        let text = format!("{what}: {}, before {}{}", duration(b), duration(a), percent(a, b));
        found.add((Area::Duration, &what, much_longer(a, b)), Some(a.into()), Some(b.into()), text);
    }
}

fn memory(found: &mut Found, before: &Facts, after: &Facts) {
    let (a, b) = (before.summary.stats.peak_memory_bytes, after.summary.stats.peak_memory_bytes);
    if a == 0 || b == 0 || a.abs_diff(b) < 16 << 20 {
        return;
    }
    let text = format!("at its peak: {}, before {}{}", bytes(b), bytes(a), percent(a, b));
    let notable = b > a.saturating_mul(2);
    found.add((Area::Memory, "peak", notable), Some(a.into()), Some(b.into()), text);
}
