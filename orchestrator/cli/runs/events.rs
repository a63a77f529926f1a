//! `waybill runs events`.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use uuid::Uuid;
use waybill_protocol::event::Phase;
use waybill_protocol::{Error, Kind, Level, Origin, Result};

use super::archive::{log_of, resolve};
use super::told::Told;
use crate::cli::terminal::Terminal;
use crate::events::{Reader, Sieve, Wanted, follow_pieces};
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
    /// Only events of this step of the run: load, resolve, check, discover, plan, read, publish, merge, summary
    #[arg(long, value_name = "PHASE", value_parser = phase)]
    pub(super) phase: Vec<Phase>,
    /// Only events with this text in their message, error or data, whatever its case
    #[arg(long, value_name = "TEXT")]
    pub(super) text: Option<String>,
    /// The lines of the log as they stand there, one event a line (as --output json)
    #[arg(long)]
    pub(super) raw: bool,
    /// Go on until the run ends
    #[arg(long, short)]
    pub(super) follow: bool,
}

/// A step of a run by its word.
fn phase(word: &str) -> Result<Phase, String> {
    let value = serde_json::Value::from(word);
    serde_json::from_value(value).map_err(|_| {
        "a step is one of load, resolve, check, discover, plan, read, publish, merge, summary".to_owned()
    })
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

impl EventsArgs {
    /// What is wanted. A filter by name or text is meant to find the event, whatever its level.
    pub(super) fn wanted(&self, raw: bool) -> Wanted {
        let found = raw || !self.event.is_empty() || self.text.is_some();
        let usual = if found { Level::Debug } else { Level::Info };
        Wanted {
            level: Some(self.level.map_or(usual, LevelChoice::level)),
            events: self.event.clone(),
            streams: self.stream.clone(),
            phases: self.phase.clone(),
            text: self.text.clone(),
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
    let mut told = Told::new(terminal, Sieve::new(args.wanted(raw))?, raw, args.follow);
    let mut failed = None;
    let read = if args.follow {
        follow_pieces(
            log,
            POLL,
            || is_alive(project, &entry, log),
            |piece| match told.piece(&piece) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            },
        )
    } else {
        Reader::open(log).map(|mut reader| {
            while let (None, Some(piece)) = (&failed, reader.piece()) {
                failed = told.piece(&piece).err();
            }
        })
    };
    read.map_err(|e| unreadable(log, e))?;
    if let Some(error) = failed {
        return Err(error);
    }
    told.end(!args.follow && entry.status == RunStatus::Running)?;
    if args.follow && !told.ended() {
        terminal
            .warn(&format!("the run ended without a word; its record: waybill runs show {}", entry.run_id));
    }
    Ok(0)
}

/// A log that cannot be read.
pub(super) fn unreadable(log: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::NotFound, format!("cannot read the event log {}: {error}", log.display()))
        .origin(Origin::Orchestrator)
        .cause(error)
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

#[cfg(test)]
pub(super) fn of(run: &str) -> EventsArgs {
    EventsArgs {
        run: run.to_owned(),
        level: None,
        event: vec![],
        stream: vec![],
        phase: vec![],
        text: None,
        raw: false,
        follow: false,
    }
}
