//! What the test of a connection found, and how people see it.

use serde::Serialize;
use waybill_protocol::{Check, Error, ErrorRecord, Kind};

use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::store::project::Project;
use crate::summary::units::duration;

/// What a test found.
#[derive(Debug, Serialize)]
pub(crate) struct Tested {
    pub(crate) connection: String,
    pub(crate) passed: bool,
    pub(crate) ms: u64,
    /// How often it was tried.
    pub(crate) attempts: u32,
    #[serde(skip)]
    pub(crate) way: String,
    /// Why nothing could be tried: the settings are wrong or incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ErrorRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination: Option<Side>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl Tested {
    /// Nothing is known yet.
    pub(crate) fn new(connection: &str, way: &str) -> Tested {
        Tested {
            connection: connection.to_owned(),
            passed: false,
            ms: 0,
            attempts: 1,
            way: way.to_owned(),
            error: None,
            source: None,
            destination: None,
            warnings: Vec::new(),
        }
    }

    /// Nothing could be tried.
    pub(crate) fn unable(connection: &str, way: &str, error: &Error) -> Tested {
        Tested { error: Some(error.record()), ..Tested::new(connection, way) }
    }

    /// The checks that failed, each with its side.
    fn failures(&self) -> impl Iterator<Item = (&'static str, &Check, &ErrorRecord)> {
        let sides = [("source", &self.source), ("destination", &self.destination)];
        sides.into_iter().flat_map(|(role, side)| {
            let checks = side.iter().flat_map(|side| &side.checks);
            checks.filter_map(move |check| check.error.as_ref().map(|error| (role, check, error)))
        })
    }

    /// Whether everything that failed may be good at a later try.
    pub(crate) fn may_pass_later(&self) -> bool {
        self.error.is_none() && self.failures().all(|(_, _, error)| error.retryable)
    }
}

/// What a kind of error means, in words of our own: a driver's are for the whole of a test.
fn in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Config => "its settings are wrong or incomplete",
        Kind::Auth => "the login was refused",
        Kind::Permission => "something is not allowed",
        Kind::NotFound => "something is not there",
        Kind::Network => "it cannot be reached",
        Kind::Timeout => "it did not answer in time",
        Kind::RateLimit => "too many requests",
        Kind::Cancelled => "the test was ended",
        _ => "it failed",
    }
}

/// One side of a connection.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) system: String,
    pub(crate) checks: Vec<Check>,
}

impl Side {
    /// The first check that failed.
    pub(crate) fn failed(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.ok())
    }
}

/// The whole of one test.
pub(crate) fn whole(terminal: &Terminal, tested: &Tested) -> String {
    let mut out = format!("{}  {}", terminal.paint("1", &tested.connection), tested.way);
    if let Some(error) = &tested.error {
        out.push_str(&format!("\n{} {}", terminal.paint("31", "✗"), error.message));
        out.push_str(&further(error, "  "));
    }
    for (role, side) in [("source", &tested.source), ("destination", &tested.destination)] {
        let Some(side) = side else { continue };
        out.push_str(&format!("\n\n{role} {}", side.system));
        let wide = side.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
        for check in &side.checks {
            out.push_str(&finding(terminal, check, wide));
        }
    }
    for warning in &tested.warnings {
        out.push_str(&format!("\n\n{} {warning}", terminal.paint("33", "warning:")));
    }
    let verdict = if tested.passed { terminal.paint("32", "passed") } else { terminal.paint("31", "failed") };
    out.push_str(&format!("\n\n{verdict} in {}", duration(tested.ms)));
    out
}

fn finding(terminal: &Terminal, check: &Check, wide: usize) -> String {
    let pad = " ".repeat(wide.saturating_sub(check.check.chars().count()));
    let mark = match (check.ok(), &check.warning) {
        (true, None) => terminal.paint("32", "✓"),
        (true, Some(_)) => terminal.paint("33", "!"),
        (false, _) => terminal.paint("31", "✗"),
    };
    let mut out = format!("\n  {mark} {}", check.check);
    if !check.detail.is_empty() {
        out.push_str(&format!("{pad}  {}", check.detail));
    }
    if let Some(warning) = &check.warning {
        out.push_str(&format!("\n      {warning}"));
    }
    if let Some(error) = &check.error {
        out.push_str(&further(error, "      "));
    }
    out
}

/// Causes that say more, and the hint.
fn further(error: &ErrorRecord, indent: &str) -> String {
    let causes = error.cause.iter().filter(|cause| !error.message.contains(cause.as_str()));
    let causes = causes.map(|cause| format!("\n{indent}because: {cause}"));
    causes.chain(error.hint.iter().map(|hint| format!("\n{indent}hint: {hint}"))).collect()
}

/// One test of several, in a line; below it what failed, in our own words, and the command that
/// shows the rest.
pub(crate) fn line(terminal: &Terminal, project: &Project, tested: &Tested, wide: usize) -> String {
    let mark = if tested.passed { terminal.paint("32", "✓") } else { terminal.paint("31", "✗") };
    let pad = " ".repeat(wide.saturating_sub(tested.connection.chars().count()));
    let mut out = format!("{mark} {}{pad}  {}  {}", tested.connection, tested.way, duration(tested.ms));
    if tested.passed {
        return out;
    }
    if let Some(error) = &tested.error {
        out.push_str(&format!("\n    {}", in_words(error.kind)));
    }
    for (role, check, error) in tested.failures() {
        out.push_str(&format!("\n    {role}, {}: {}", check.check, in_words(error.kind)));
    }
    let command = next::command(project, &format!("connection test {}", next::quoted(&tested.connection)));
    out.push_str(&format!("\n    {} {command}", terminal.paint("36", "more:")));
    out
}
