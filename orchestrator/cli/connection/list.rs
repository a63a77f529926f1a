//! `waybill connection list`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use waybill_protocol::{ErrorRecord, Result};

use crate::cli::next;
use crate::cli::runs::look::{age, status_word};
use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::history::{RunEntry, with_archive};
use crate::store::config::{Connection, Finding, InvalidEntry, LoadedConfig, load};
use crate::store::project::Project;
use crate::summary::units::count;

/// All connections, and what a person should know about the config.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    connections: Vec<Listed>,
    findings: Vec<Finding>,
}

/// One connection, or an entry that is wrong.
#[derive(Debug, Serialize)]
struct Listed {
    name: Option<String>,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    /// The destination's connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_type: Option<String>,
    streams: Vec<String>,
    last_run: Option<RunEntry>,
    /// Its place in `connections`; absent for a destination.
    index: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorRecord>,
}

/// Lists connections.
pub(super) async fn list(terminal: &Terminal, project: &Project) -> Result<u8> {
    let config = load(project)?;
    let runs = with_archive(project, |archive| archive.list(None));
    let runs = runs.unwrap_or_else(|error| {
        terminal.warn(&format!("the runs there were cannot be read: {error}"));
        Vec::new()
    });
    let listing = listing(&config, &runs);
    if terminal.json_wanted() {
        terminal.json(&listing)?;
    } else {
        terminal.out(&render(terminal, project, &listing, Utc::now()))?;
        let beside = |finding: &&Finding| !listing.connections.iter().any(|listed| listed.concerns(finding));
        for finding in listing.findings.iter().filter(beside) {
            terminal.warn(&finding.message);
        }
    }
    Ok(0)
}

pub(super) fn listing(config: &LoadedConfig, runs: &[RunEntry]) -> Listing {
    let mut connections: Vec<Listed> = config
        .connections
        .iter()
        .map(|entry| match entry {
            Ok(connection) => good(config, connection, runs),
            Err(invalid) => bad(invalid, runs),
        })
        .collect();
    connections.extend(config.invalid_destinations.iter().map(|invalid| bad(invalid, &[])));
    Listing { connections, findings: config.findings.clone() }
}

fn good(config: &LoadedConfig, connection: &Connection, runs: &[RunEntry]) -> Listed {
    let id = connection.id.map(|id| id.to_string());
    let is_ours = |run: &&RunEntry| match &id {
        Some(id) => run.connection_id == *id,
        None => false,
    };
    Listed {
        name: Some(connection.name.clone()),
        valid: true,
        enabled: Some(connection.enabled),
        source: Some(connection.system.clone()),
        destination: Some(connection.destination.clone()),
        destination_type: config.destination_of(connection).ok().map(|found| found.system.clone()),
        streams: connection.streams.iter().filter(|s| s.enabled).map(|s| s.name.clone()).collect(),
        last_run: runs.iter().find(is_ours).cloned(),
        index: Some(connection.index),
        errors: Vec::new(),
        id,
    }
}

fn bad(invalid: &InvalidEntry, runs: &[RunEntry]) -> Listed {
    let name = invalid.name.clone();
    Listed {
        last_run: runs.iter().find(|run| Some(&run.connection) == name.as_ref()).cloned(),
        destination_type: None,
        name,
        valid: false,
        id: None,
        enabled: None,
        source: None,
        destination: None,
        streams: Vec::new(),
        index: invalid.index,
        errors: invalid.errors.clone(),
    }
}

pub(super) fn render(
    terminal: &Terminal,
    project: &Project,
    listing: &Listing,
    now: DateTime<Utc>,
) -> String {
    if listing.connections.is_empty() {
        let command = next::command(project, "connection add");
        return format!("no connections yet: {command} adds one");
    }
    let rows = listing.connections.iter().map(|listed| row(listed, now)).collect();
    let headers = ["", "name", "type", "destination", "streams", "last run", "", "rows"];
    let table = terminal.table(&headers, rows);
    let mut lines = table.lines();
    let mut out = lines.next().unwrap_or_default().to_owned();
    for (line, listed) in lines.zip(&listing.connections) {
        out.push_str(&format!("\n{line}"));
        for error in &listed.errors {
            out.push_str(&format!("\n   {} {}", terminal.paint("31", "✗"), visible(&error.message)));
            if let Some(hint) = &error.hint {
                out.push_str(&format!("\n     hint: {}", visible(hint)));
            }
        }
        for finding in listing.findings.iter().filter(|finding| listed.concerns(finding)) {
            out.push_str(&format!("\n   {} {}", terminal.paint("33", "!"), visible(&finding.message)));
        }
    }
    out
}

impl Listed {
    /// Whether a finding is about this entry.
    fn concerns(&self, finding: &Finding) -> bool {
        let here = self.index.map(|index| format!("connections[{index}]"));
        here.is_some_and(|here| finding.path == here || finding.path.starts_with(&format!("{here}.")))
    }
}

fn row(listed: &Listed, now: DateTime<Utc>) -> Vec<String> {
    let mark = match (listed.valid, listed.enabled) {
        (false, _) => "✗",
        (true, Some(false)) => "○",
        (true, _) => "●",
    };
    let (last, when, rows) = match &listed.last_run {
        Some(run) => (status_word(run), age(&run.started_at, now), count(run.rows)),
        None if listed.valid => ("never".to_owned(), String::new(), String::new()),
        None => (String::new(), String::new(), String::new()),
    };
    let streams = if listed.valid { listed.streams.len().to_string() } else { String::new() };
    let name = listed.name.clone().or_else(|| listed.index.map(|index| format!("connections[{index}]")));
    let (kind, target) = match (&listed.source, &listed.destination, listed.index) {
        (Some(kind), Some(name), _) => {
            let system = listed.destination_type.as_deref().unwrap_or("invalid");
            (kind.clone(), format!("{name} ({system})"))
        }
        (_, _, Some(_)) => ("invalid".to_owned(), String::new()),
        (_, _, None) => ("invalid destination".to_owned(), String::new()),
    };
    vec![mark.to_owned(), name.unwrap_or_default(), kind, target, streams, last, when, rows]
}
