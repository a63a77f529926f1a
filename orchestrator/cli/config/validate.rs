//! `waybill config validate`.

use serde::Serialize;
use waybill_protocol::{Error, ErrorRecord, Result};

use crate::cli::terminal::Terminal;
use crate::secrets;
use crate::store::config::{Finding, LoadedConfig, load};
use crate::store::project::Project;
use crate::summary::units::counted;

/// Exit code of a config that is wrong.
const INVALID: u8 = 3;

/// Something wrong, or something that a person should know.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// `error` or `warning`.
    pub(super) severity: &'static str,
    /// The connection that it stops, where it is one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<String>,
    /// A path in the file, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// What and where.
    pub(super) message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) valid: bool,
    config: String,
    connections: usize,
    valid_connections: usize,
    pub(super) problems: Vec<Problem>,
}

/// Looks at everything; 0 where nothing is wrong, else 3.
pub(super) fn validate(terminal: &Terminal, project: &Project) -> Result<u8> {
    let report = report(project);
    if terminal.json_wanted() {
        terminal.json(&report)?;
    } else {
        terminal.out(&render(terminal, &report))?;
    }
    Ok(if report.valid { 0 } else { INVALID })
}

pub(super) fn report(project: &Project) -> Report {
    let mut problems = Vec::new();
    let (mut connections, mut valid_connections) = (0, 0);
    match load(project) {
        Err(error) => problems.push(Problem::of(None, &error.record())),
        Ok(config) => {
            connections = config.connections.len();
            valid_connections = look(project, &config, &mut problems);
        }
    }
    Report {
        valid: problems.iter().all(|problem| problem.severity != "error"),
        config: project.config_path.display().to_string(),
        connections,
        valid_connections,
        problems,
    }
}

/// Collects the problems of a config that can be read; returns how many connections can run.
fn look(project: &Project, config: &LoadedConfig, problems: &mut Vec<Problem>) -> usize {
    for invalid in config.invalid_destinations.iter().chain(config.invalid()) {
        let name = invalid.name.as_ref().filter(|_| invalid.index.is_some());
        problems.extend(invalid.errors.iter().map(|error| Problem::of(name.map(String::as_str), error)));
    }
    let mut add = |problem: Problem| {
        // What is wrong with secrets.toml as a whole stops every connection by the same words.
        match problems.iter_mut().find(|known| known.message == problem.message) {
            Some(known) => known.connection = None,
            None => problems.push(problem),
        }
    };
    config.findings.iter().for_each(|finding| add(Problem::warning(None, finding)));
    let mut good = 0;
    for connection in config.valid() {
        match secrets::resolve(project, config, connection) {
            Ok(resolved) => {
                good += 1;
                let findings = resolved.findings.iter();
                findings.for_each(|finding| add(Problem::warning(Some(&connection.name), finding)));
            }
            Err(error) => add(Problem::of(Some(&connection.name), &error.record())),
        }
    }
    match secrets::check(project, config) {
        Ok(findings) => findings.iter().for_each(|finding| add(Problem::warning(None, finding))),
        Err(error) => add(Problem::of(None, &Error::record(&error))),
    }
    good
}

impl Problem {
    fn of(connection: Option<&str>, error: &ErrorRecord) -> Problem {
        let causes = error.cause.iter().filter(|cause| !error.message.contains(cause.as_str()));
        let message = causes.fold(error.message.clone(), |text, cause| format!("{text}: {cause}"));
        Problem {
            severity: "error",
            connection: connection.map(str::to_owned),
            path: path_in(&error.message),
            message,
            hint: error.hint.clone(),
        }
    }

    fn warning(connection: Option<&str>, finding: &Finding) -> Problem {
        Problem {
            severity: "warning",
            connection: connection.map(str::to_owned),
            path: Some(finding.path.clone()),
            message: finding.message.clone(),
            hint: None,
        }
    }
}

/// The path that a message names after file and line: `config.json:12: connections[0].name: …`.
fn path_in(message: &str) -> Option<String> {
    let mut parts = message.split(": ");
    let place = parts.next()?;
    let path = parts.next()?;
    let numbered = place.rsplit_once(':').is_some_and(|(_, line)| line.bytes().all(|b| b.is_ascii_digit()));
    (numbered && parts.next().is_some() && !path.contains(' ')).then(|| path.to_owned())
}

pub(super) fn render(terminal: &Terminal, report: &Report) -> String {
    let mut lines = Vec::new();
    for problem in &report.problems {
        let mark = match problem.severity {
            "error" => terminal.paint("31", "✗"),
            _ => terminal.paint("33", "!"),
        };
        let named = problem.connection.as_ref().filter(|name| !problem.message.contains(name.as_str()));
        let named = named.map(|name| format!("{name}: ")).unwrap_or_default();
        lines.push(format!("{mark} {named}{}", problem.message));
        lines.extend(problem.hint.iter().map(|hint| format!("    hint: {hint}")));
    }
    let of = |severity: &str| {
        let found = report.problems.iter().filter(|problem| problem.severity == severity).count();
        u64::try_from(found).unwrap_or(u64::MAX)
    };
    let (errors, warnings) = (of("error"), of("warning"));
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(match report.valid {
        true => format!(
            "{}: valid, {}, {}",
            report.config,
            counted(report.connections as u64, "connection"),
            counted(warnings, "warning")
        ),
        false => format!(
            "{}: {}, {}; {} of {} can run",
            report.config,
            counted(errors, "error"),
            counted(warnings, "warning"),
            report.valid_connections,
            counted(report.connections as u64, "connection")
        ),
    });
    lines.join("\n")
}
