//! Finding and judging what stands in the two folders.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Kind, Origin, Result};

use super::{Archive, RunEntry, SILENCE, as_judged, log_name};
use crate::events::line::stamp;
use crate::events::{Entry, Line, Reader};
use crate::summary::{RunStatus, Summary, rebuild};

/// How the name of an event log ends.
pub(super) const LOG_SUFFIX: &str = "_events.jsonl";

/// What a list needs of a summary; the rest is not even read into memory.
#[derive(Deserialize)]
struct Brief {
    run_id: String,
    connection: String,
    #[serde(default)]
    connection_id: String,
    status: RunStatus,
    #[serde(default)]
    exit_code: Option<u8>,
    started_at: String,
    #[serde(default)]
    host: String,
    stats: BriefStats,
    #[serde(default)]
    artifacts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct BriefStats {
    total: BriefTotal,
}

#[derive(Deserialize)]
struct BriefTotal {
    rows: u64,
    seconds: f64,
}

/// A log without a summary: its first line, if that could be read.
struct Unended {
    path: PathBuf,
    first: Option<Box<Line>>,
}

impl Archive<'_> {
    /// The runs, newest first; no more than `limit`. Folders that are missing have none.
    pub fn list(&self, limit: Option<usize>) -> Result<Vec<RunEntry>> {
        let limit = limit.unwrap_or(usize::MAX);
        let (runs, logs) = (dates(self.runs)?, dates(self.logs)?);
        let all: BTreeSet<&String> = runs.keys().chain(logs.keys()).collect();
        let mut entries = Vec::new();
        // A run is proof that older ones of its connection and host are over.
        let mut newer: HashSet<(String, String)> = HashSet::new();
        for date in all.into_iter().rev() {
            if entries.len() >= limit {
                break;
            }
            entries.extend(self.of_date(runs.get(date), logs.get(date), &mut newer)?);
        }
        entries.truncate(limit);
        Ok(entries)
    }

    /// The runs that began on one date, newest first.
    fn of_date(
        &self,
        runs: Option<&PathBuf>,
        logs: Option<&PathBuf>,
        newer: &mut HashSet<(String, String)>,
    ) -> Result<Vec<RunEntry>> {
        // Logs are listed before summaries: a run that ends in between is then seen as ended.
        let logs = logs.map(|folder| files(folder, LOG_SUFFIX)).transpose()?.unwrap_or_default();
        let mut known: HashMap<String, RunEntry> = HashMap::new();
        for (_, path) in runs.map(|folder| files(folder, ".json")).transpose()?.unwrap_or_default() {
            if let Some((log, entry)) = summarised(&path) {
                known.insert(log, entry);
            }
        }
        let mut found: Vec<(String, Result<RunEntry, Unended>)> = Vec::new();
        for (name, path) in logs {
            if let Some(mut entry) = known.remove(&name) {
                entry.log_path = Some(path);
                found.push((entry.started_at.clone(), Ok(entry)));
            } else {
                let first = first_line(&path);
                let started = first.as_ref().map(|line| stamp(&line.ts)).unwrap_or_default();
                found.push((started, Err(Unended { path, first })));
            }
        }
        found.extend(known.into_values().map(|entry| (entry.started_at.clone(), Ok(entry))));
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        let mut entries = Vec::with_capacity(found.len());
        for (_, run) in found {
            let entry = match run {
                Ok(entry) => entry,
                Err(unended) => self.judge(unended, newer),
            };
            newer.insert((entry.connection_id.clone(), entry.host.clone()));
            entries.push(entry);
        }
        Ok(entries)
    }

    /// What a log without a summary means.
    fn judge(&self, unended: Unended, newer: &HashSet<(String, String)>) -> RunEntry {
        let Unended { path, first } = unended;
        let Some((connection_id, host)) = first.as_ref().and_then(|line| match &line.body {
            Some(Body::RunStarted { connection_id, host, .. }) => Some((connection_id.clone(), host.clone())),
            _ => None,
        }) else {
            return self.without_start(&path);
        };
        let here = host == self.host;
        // The lock is asked before the log is read: what a run wrote before it let go is then seen.
        let locked =
            here && !newer.contains(&(connection_id.clone(), host)) && (self.is_locked)(&connection_id);
        let Ok(fold) = rebuild(&path) else { return self.without_start(&path) };
        let silent = fold.last_at().is_none_or(|last| self.is_silent(last));
        let summary = match (here, locked, silent) {
            (true, true, _) => as_judged(&fold, RunStatus::Running, false),
            (true, false, _) => as_judged(&fold, RunStatus::Crashed, false),
            (false, _, silent) => {
                as_judged(&fold, if silent { RunStatus::Crashed } else { RunStatus::Running }, true)
            }
        };
        entry(&summary, None, Some(path))
    }

    fn is_silent(&self, last: DateTime<Utc>) -> bool {
        (self.now - last).to_std().is_ok_and(|age| age > SILENCE)
    }

    /// A log that does not begin with `run.started`: just created, or killed at once; the locks tell.
    fn without_start(&self, path: &Path) -> RunEntry {
        let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = stem.strip_suffix(LOG_SUFFIX).unwrap_or(&stem);
        let (connection, run_id) = stem.rsplit_once('_').unwrap_or(("", stem));
        // Behind the id may stand the number of a second try.
        let run_id = run_id.split_once('.').map_or(run_id, |(run_id, _)| run_id);
        let changed = path.metadata().and_then(|known| known.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        RunEntry {
            run_id: run_id.to_owned(),
            connection: connection.to_owned(),
            connection_id: String::new(),
            status: if self.holds_a_lock(run_id) { RunStatus::Running } else { RunStatus::Crashed },
            presumed: true,
            started_at: stamp(&DateTime::<Utc>::from(changed)),
            seconds: 0.0,
            rows: 0,
            exit_code: None,
            host: String::new(),
            summary_path: None,
            log_path: Some(path.to_owned()),
        }
    }
}

impl Archive<'_> {
    /// Whether a living process holds a run lock in the name of that run. A run has signed its lock
    /// before it makes its log.
    fn holds_a_lock(&self, run_id: &str) -> bool {
        let run = format!("\"{run_id}\"");
        let locks = names(&self.runs.join(".locks")).unwrap_or_default();
        locks.into_iter().any(|(name, path)| {
            let signed = std::fs::read_to_string(path).is_ok_and(|holder| holder.contains(&run));
            signed && name.strip_suffix(".lock").is_some_and(self.is_locked)
        })
    }
}

fn entry(summary: &Summary, summary_path: Option<PathBuf>, log_path: Option<PathBuf>) -> RunEntry {
    RunEntry {
        run_id: summary.run_id.clone(),
        connection: summary.connection.clone(),
        connection_id: summary.connection_id.clone(),
        status: summary.status,
        presumed: summary.presumed,
        started_at: summary.started_at.clone(),
        seconds: summary.stats.total.seconds,
        rows: summary.rows(),
        exit_code: summary.exit_code,
        host: summary.host.clone(),
        summary_path,
        log_path,
    }
}

/// The entry of a summary and the name of its log; `None` for a file that is no summary. Runs that
/// share an id, since the first of them was killed, have logs of their own.
fn summarised(path: &Path) -> Option<(String, RunEntry)> {
    let brief: Brief = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let named = brief.artifacts.get("log").and_then(|log| Path::new(log).file_name());
    let log = named
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.ends_with(LOG_SUFFIX))
        .unwrap_or_else(|| log_name(&brief.connection, &brief.run_id));
    let entry = RunEntry {
        run_id: brief.run_id,
        connection: brief.connection,
        connection_id: brief.connection_id,
        status: brief.status,
        presumed: false,
        started_at: brief.started_at,
        seconds: brief.stats.total.seconds,
        rows: brief.stats.total.rows,
        exit_code: brief.exit_code,
        host: brief.host,
        summary_path: Some(path.to_owned()),
        log_path: None,
    };
    Some((log, entry))
}

fn first_line(path: &Path) -> Option<Box<Line>> {
    match Reader::open(path).ok()?.next()? {
        Entry::Line(line) => Some(line),
        _ => None,
    }
}

/// The folders named for a date: date → path.
fn dates(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let is_date = |name: &str| {
        name.len() == 10
            && name.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    let mut dates = names(folder)?;
    dates.retain(|name, path| is_date(name) && path.is_dir());
    Ok(dates)
}

/// The files whose names end so: name → path.
fn files(folder: &Path, suffix: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = names(folder)?;
    files.retain(|name, _| name.ends_with(suffix) && !name.starts_with('.'));
    Ok(files)
}

fn names(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let refused = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Kind::Permission,
            _ => Kind::Config,
        };
        Error::new(kind, format!("cannot list {}: {error}", folder.display()))
            .origin(Origin::Orchestrator)
            .cause(error)
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(refused(error)),
    };
    let mut names = BTreeMap::new();
    for found in entries {
        let found = found.map_err(refused)?;
        if let Ok(name) = found.file_name().into_string() {
            names.insert(name, found.path());
        }
    }
    Ok(names)
}
