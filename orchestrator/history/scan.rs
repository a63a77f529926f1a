//! Finding and judging what stands in the two folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Kind, Origin, Result};

use super::brief::summarised;
use super::candidates::{Candidate, Looked, candidates, first_line, in_parallel};
use super::query::Query;
use super::{Archive, RunEntry, SILENCE, as_judged};
use crate::events::Line;
use crate::events::line::stamp;
use crate::summary::{RunStatus, Summary, rebuild};

/// How the name of an event log ends.
pub(super) const LOG_SUFFIX: &str = "_events.jsonl";

/// Candidates that are looked at together: no more than are wanted, and never one alone.
const FEW: usize = 16;
const MANY: usize = 512;

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
        let mut rest = candidates(&logs, &summaries).into_iter().map(|(_, candidate)| candidate).peekable();
        while entries.len() < limit && rest.peek().is_some() {
            let chunk: Vec<Candidate<'_>> =
                rest.by_ref().take((limit - entries.len()).clamp(FEW, MANY)).collect();
            let looked = in_parallel(&chunk, |candidate| candidate.look(query));
            for (candidate, looked) in chunk.into_iter().zip(looked) {
                if entries.len() == limit {
                    break;
                }
                let entry = match self.taken(candidate, looked, newer) {
                    Ok(entry) => entry,
                    Err(passed) => {
                        newer.extend(passed);
                        continue;
                    }
                };
                newer.push(Passed::Known(entry.connection_id.clone(), entry.host.clone()));
                if query.means(&entry) {
                    entries.push(entry);
                }
            }
        }
        Ok(())
    }

    /// The run of a candidate, or that it is not wanted and proof only that older ones are over.
    fn taken(
        &self,
        candidate: Candidate<'_>,
        looked: Looked,
        newer: &mut [Passed],
    ) -> Result<RunEntry, Option<Passed>> {
        match (candidate, looked) {
            (Candidate::Summary { path, .. }, Looked::Unwanted) => Err(Some(Passed::Unread(path.clone()))),
            (Candidate::Summary { log, .. }, Looked::Read(entry)) => {
                Ok(RunEntry { log_path: log.cloned(), ..*entry })
            }
            // One that somebody broke; its log tells what it can.
            (Candidate::Summary { log: Some(log), .. }, _) => {
                Ok(self.judge(log, first_line(log).as_deref(), newer))
            }
            (Candidate::Summary { .. }, _) => Err(None),
            (Candidate::Read(entry), Looked::Unwanted) => {
                Err(Some(Passed::Known(entry.connection_id, entry.host)))
            }
            (Candidate::Read(entry), _) => Ok(*entry),
            (Candidate::Unended { path, first }, _) => Ok(self.judge(path, first.as_deref(), newer)),
        }
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
