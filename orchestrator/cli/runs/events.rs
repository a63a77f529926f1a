//! `waybill runs events`.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use uuid::Uuid;
use waybill_protocol::{Error, Kind, Level, Origin, Result};

use super::archive::{log_of, resolve};
use crate::cli::connection::glob::fits;
use crate::cli::terminal::Terminal;
use crate::events::{Entry, Line, Reader, follow, render_line};
use crate::history::{RunEntry, SILENCE, with_archive};
use crate::store::lock;
use crate::store::project::Project;
use crate::summary::RunStatus;

/// How often a growing log is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Shows the event log of a run.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// A run's id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "RUN", default_value = "last", allow_hyphen_values = true)]
    pub(super) run: String,
    /// Only events of this level or a worse one [default: info; debug with --raw and JSON]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(super) level: Option<LevelChoice>,
    /// Only these events; * and ? stand for any characters (`stream.*`)
    #[arg(long, value_name = "GLOB")]
    pub(super) event: Vec<String>,
    /// Only events of these streams; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    pub(super) stream: Vec<String>,
    /// The lines of the log as JSON, one event a line (as --output json)
    #[arg(long)]
    pub(super) raw: bool,
    /// Go on until the run ends
    #[arg(long, short)]
    pub(super) follow: bool,
}

/// `--level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LevelChoice {
    Debug,
    Info,
    Warn,
    Error,
}

impl LevelChoice {
    fn level(self) -> Level {
        match self {
            LevelChoice::Debug => Level::Debug,
            LevelChoice::Info => Level::Info,
            LevelChoice::Warn => Level::Warn,
            LevelChoice::Error => Level::Error,
        }
    }
}

/// Shows or follows events.
pub(super) fn events(terminal: &Terminal, project: &Project, args: &EventsArgs) -> Result<u8> {
    let (entry, log) = with_archive(project, |archive| {
        let entry = resolve(archive, &args.run)?;
        let log = log_of(archive, &entry)?;
        Ok((entry, log))
    })?;
    let log = &log;
    let raw = args.raw || terminal.json_wanted();
    let (mut failed, mut ended) = (None, false);
    let mut each = |entry: Entry| {
        ended |= matches!(&entry, Entry::Line(line) if line.event == "run.finished");
        match shown(&entry, args, raw, terminal.colour()) {
            None => ControlFlow::Continue(()),
            Some(Shown::Data(text)) => match terminal.out(&text) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            },
            Some(Shown::Damage(text)) => {
                terminal.warn(&text);
                ControlFlow::Continue(())
            }
        }
    };
    let read = if args.follow {
        follow(log, POLL, || is_alive(project, &entry, log), &mut each)
    } else {
        Reader::open(log).map(|mut reader| {
            let _ = reader.try_for_each(&mut each);
        })
    };
    read.map_err(|e| {
        Error::new(Kind::NotFound, format!("cannot read the event log {}: {e}", log.display()))
            .origin(Origin::Orchestrator)
            .cause(e)
    })?;
    if args.follow && !ended && failed.is_none() {
        terminal
            .warn(&format!("the run ended without a word; its record: waybill runs show {}", entry.run_id));
    }
    failed.map_or(Ok(0), Err)
}

/// Whether a run may still write: here its lock says so, elsewhere the age of its last event.
fn is_alive(project: &Project, entry: &RunEntry, log: &Path) -> bool {
    if entry.status != RunStatus::Running {
        return false;
    }
    if !entry.presumed
        && let Ok(id) = Uuid::try_parse(&entry.connection_id)
    {
        return lock::is_held(project, id);
    }
    let changed = log.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    changed.elapsed().is_ok_and(|age| age < SILENCE)
}

/// An entry of a log as it is shown.
#[derive(Debug, PartialEq)]
pub(super) enum Shown {
    /// To stdout.
    Data(String),
    /// To stderr: the log is not whole.
    Damage(String),
}

/// What is shown of an entry, if it is wanted.
pub(super) fn shown(entry: &Entry, args: &EventsArgs, raw: bool, colour: bool) -> Option<Shown> {
    match entry {
        Entry::Line(line) if !wanted(line, args, raw) => None,
        Entry::Line(line) if raw => match serde_json::to_string(line) {
            Ok(text) => Some(Shown::Data(text)),
            Err(error) => Some(Shown::Damage(format!("line {}: {error}", line.seq))),
        },
        Entry::Line(line) => Some(Shown::Data(render_line(line, colour))),
        Entry::Bad { line_no, why } => Some(Shown::Damage(format!("line {line_no} is no event: {why}"))),
        Entry::Torn { text_len, .. } => {
            Some(Shown::Damage(format!("the log ends in the middle of a line ({text_len} bytes of it)")))
        }
    }
}

fn wanted(line: &Line, args: &EventsArgs, raw: bool) -> bool {
    let least = match (args.level, raw) {
        (Some(choice), _) => choice.level(),
        // A filter by name is meant to find the event, whatever its level.
        (None, false) if args.event.is_empty() => Level::Info,
        (None, _) => Level::Debug,
    };
    let named = args.event.is_empty() || args.event.iter().any(|glob| fits(glob, &line.event));
    let stream = line.stream.as_deref().unwrap_or_default();
    let streamed =
        args.stream.is_empty() || args.stream.iter().any(|glob| line.stream.is_some() && fits(glob, stream));
    line.level >= least && named && streamed
}

#[cfg(test)]
pub(super) fn of(run: &str) -> EventsArgs {
    EventsArgs { run: run.to_owned(), level: None, event: vec![], stream: vec![], raw: false, follow: false }
}
