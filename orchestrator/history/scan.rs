//! Finding and judging what stands in the two folders.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Kind, Origin, Result};

use super::brief::{glance, summarised};
use super::names::{Logs, Named, named};
use super::{Archive, RunEntry, SILENCE, as_judged};
use crate::events::line::stamp;
use crate::events::{Entry, Line, Reader};
use crate::summary::{RunStatus, Summary, rebuild};

/// How the name of an event log ends.
pub(super) const LOG_SUFFIX: &str = "_events.jsonl";

/// Which runs are looked for; by default all of them.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only runs of these connections, by name.
    pub connections: Vec<String>,
    /// Only runs of this id: several, where the first ones were killed.
    pub run_id: Option<String>,
    /// Only runs that stand or ended so.
    pub statuses: Vec<RunStatus>,
    /// Only runs that began then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only runs that began before.
    pub until: Option<DateTime<Utc>>,
    /// Only runs without a readable summary.
    pub unsummarised: bool,
    /// No more than so many, the newest.
    pub limit: Option<usize>,
}

/// A run gets its name a moment before its first event; it may have settled what others left meanwhile.
const HEAD_START: TimeDelta = TimeDelta::hours(1);

/// A run before anything of it is read.
enum Candidate<'a> {
    /// One with a summary.
    Summary { path: &'a PathBuf, name: Option<Named>, log: Option<&'a PathBuf> },
    /// One whose summary had to be read.
    Read(Box<RunEntry>),
    /// A log without a summary: its first line, if that could be read.
    Unended { path: &'a PathBuf, first: Option<Box<Line>> },
}

/// A newer run that was passed: proof that older ones of its connection and host are over.
enum Passed {
    Known(String, String),
    Unread(PathBuf),
}

impl Archive<'_> {
    /// The runs, newest first; no more than `limit`. Folders that are missing have none.
    pub fn list(&self, limit: Option<usize>) -> Result<Vec<RunEntry>> {
        self.find(&Query { limit, ..Query::default() })
    }

    /// The runs that a query means, newest first. Opens no more files than it has to: names tell
    /// connection and start, and what lies before the last run that is wanted is not looked at.
    pub fn find(&self, query: &Query) -> Result<Vec<RunEntry>> {
        let limit = query.limit.unwrap_or(usize::MAX);
        let (runs, logs) = (dates(self.runs)?, dates(self.logs)?);
        let all: BTreeSet<&String> = runs.keys().chain(logs.keys()).collect();
        let (mut entries, mut newer) = (Vec::new(), Vec::new());
        for date in all.into_iter().rev().filter(|date| query.meets(date)) {
            if entries.len() >= limit {
                break;
            }
            self.of_date(runs.get(date), logs.get(date), query, &mut entries, &mut newer)?;
        }
        // Names are in milliseconds, and a moment before the start.
        entries.sort_by(|a: &RunEntry, b| b.started_at.cmp(&a.started_at));
        entries.truncate(limit);
        Ok(entries)
    }

    /// The runs that began on one date.
    fn of_date(
        &self,
        runs: Option<&PathBuf>,
        logs: Option<&PathBuf>,
        query: &Query,
        entries: &mut Vec<RunEntry>,
        newer: &mut Vec<Passed>,
    ) -> Result<()> {
        // Logs are listed before summaries: a run that ends in between is then seen as ended.
        let logs = logs.map(|folder| files(folder, LOG_SUFFIX)).transpose()?.unwrap_or_default();
        let summaries = runs.map(|folder| files(folder, ".json")).transpose()?.unwrap_or_default();
        let limit = query.limit.unwrap_or(usize::MAX);
        for (_, candidate) in candidates(&logs, &summaries) {
            if entries.len() >= limit {
                break;
            }
            let found = match candidate {
                Candidate::Summary { path, name, log } => {
                    if query.unsummarised || name.as_ref().is_some_and(|name| !query.may_mean(name, path)) {
                        newer.push(Passed::Unread(path.clone()));
                        continue;
                    }
                    match (summarised(path), log) {
                        (Some((_, entry)), log) => Some(RunEntry { log_path: log.cloned(), ..entry }),
                        // One that somebody broke; its log tells what it can.
                        (None, Some(log)) => Some(self.judge(log, first_line(log).as_deref(), newer)),
                        (None, None) => None,
                    }
                }
                Candidate::Read(entry) if query.unsummarised => {
                    newer.push(Passed::Known(entry.connection_id, entry.host));
                    continue;
                }
                Candidate::Read(entry) => Some(*entry),
                Candidate::Unended { path, first } => Some(self.judge(path, first.as_deref(), newer)),
            };
            let Some(entry) = found else { continue };
            newer.push(Passed::Known(entry.connection_id.clone(), entry.host.clone()));
            if query.means(&entry) {
                entries.push(entry);
            }
        }
        Ok(())
    }

    /// What a log without a summary means.
    fn judge(&self, path: &Path, first: Option<&Line>, newer: &mut [Passed]) -> RunEntry {
        let Some((connection_id, host)) = first.and_then(|line| match &line.body {
            Some(Body::RunStarted { connection_id, host, .. }) => {
                Some((connection_id.as_str(), host.as_str()))
            }
            _ => None,
        }) else {
            return self.without_start(path);
        };
        let here = host == self.host;
        // The lock is asked before the log is read: what a run wrote before it let go is then seen.
        let locked = here
            && (self.is_locked)(connection_id)
            && !newer.iter_mut().any(|run| run.is_of(connection_id, host));
        let Ok(fold) = rebuild(path) else { return self.without_start(path) };
        let silent = fold.last_at().is_none_or(|last| self.is_silent(last));
        let summary = match (here, locked, silent) {
            (true, true, _) => as_judged(&fold, RunStatus::Running, false),
            (true, false, _) => as_judged(&fold, RunStatus::Crashed, false),
            (false, _, silent) => {
                as_judged(&fold, if silent { RunStatus::Crashed } else { RunStatus::Running }, true)
            }
        };
        entry(&summary, None, Some(path.to_owned()))
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

/// The runs of a date, newest first as far as names tell.
fn candidates<'a>(
    logs: &'a BTreeMap<String, PathBuf>,
    summaries: &'a BTreeMap<String, PathBuf>,
) -> Vec<(DateTime<Utc>, Candidate<'a>)> {
    let index = Logs::of(logs);
    let named: Vec<(&PathBuf, Option<Named>)> =
        summaries.iter().map(|(file, path)| (path, named(file))).collect();
    let mut wanted: HashMap<&str, usize> = HashMap::new();
    let fitting: Vec<Vec<&str>> = named
        .iter()
        .map(|(_, name)| name.as_ref().map(|n| index.of_summary(n)).unwrap_or_default())
        .collect();
    fitting.iter().flatten().for_each(|log| *wanted.entry(log).or_default() += 1);
    let (mut found, mut taken) = (Vec::with_capacity(logs.len()), HashSet::new());
    for ((path, name), fitting) in named.into_iter().zip(fitting) {
        let at = name.as_ref().map(|name| name.at);
        let log = match fitting.as_slice() {
            [] => None,
            [log] if wanted.get(log) == Some(&1) => logs.get_key_value(*log),
            // Several could be meant: the summary itself says which.
            _ => None,
        };
        if let (Some(at), true) = (at, log.is_some() || fitting.is_empty()) {
            taken.extend(log.map(|(log, _)| log.clone()));
            found.push((at, Candidate::Summary { path, name, log: log.map(|(_, path)| path) }));
        } else if let Some((log, mut entry)) = summarised(path) {
            entry.log_path = logs.get(&log).cloned();
            taken.insert(log);
            found.push((at.unwrap_or_else(|| began(&entry)), Candidate::Read(Box::new(entry))));
        }
    }
    for (_, path) in logs.iter().filter(|(log, _)| !taken.contains(*log)) {
        let first = first_line(path);
        let at = first.as_ref().map(|line| line.ts).unwrap_or_default();
        found.push((at, Candidate::Unended { path, first }));
    }
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found
}

impl Query {
    /// Whether a run under that date may be meant.
    fn meets(&self, date: &str) -> bool {
        let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
        // A run of the first minute may have been named the day before.
        self.since.is_none_or(|since| day(since - TimeDelta::days(1)).as_str() <= date)
            && self.until.is_none_or(|until| date <= day(until).as_str())
    }

    /// Whether a run may be meant, as far as the name of its summary and a glance at it tell.
    fn may_mean(&self, name: &Named, path: &Path) -> bool {
        (self.connections.is_empty() || self.connections.contains(&name.connection))
            && self.run_id.as_ref().is_none_or(|id| id.ends_with(&name.tail))
            && self.since.is_none_or(|since| name.at >= since - HEAD_START)
            && self.until.is_none_or(|until| name.at < until)
            && (self.statuses.is_empty() || glance(path).is_none_or(|status| self.statuses.contains(&status)))
    }

    /// Whether a run is meant.
    fn means(&self, run: &RunEntry) -> bool {
        let at = began(run);
        (self.connections.is_empty() || self.connections.contains(&run.connection))
            && self.run_id.as_ref().is_none_or(|id| *id == run.run_id)
            && (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && !(self.unsummarised && run.summary_path.is_some())
    }
}

impl Passed {
    /// Whether it is a run of that connection on that host. Reads its summary where that was not done yet.
    fn is_of(&mut self, connection_id: &str, host: &str) -> bool {
        if let Passed::Unread(path) = self {
            let known = summarised(path).map(|(_, run)| (run.connection_id, run.host));
            let (id, host) = known.unwrap_or_default();
            *self = Passed::Known(id, host);
        }
        matches!(self, Passed::Known(id, at) if id == connection_id && at == host)
    }
}

/// When a run began; the beginning of time for one that does not say.
fn began(run: &RunEntry) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(&run.started_at).map(|at| at.with_timezone(&Utc)).unwrap_or_default()
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
