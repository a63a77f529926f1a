//! Catching up: what is on disk and missing in the history is written, in batches.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, ErrorRecord, History, Kind, Origin, Result, RunRecord};

use super::notable::Kept;
use super::record::{digest, record};
use crate::history::{Query, RunEntry, with_archive};
use crate::run::sessions::Sessions;
use crate::store::config::LoadedConfig;
use crate::store::project::Project;
use crate::summary::{RunStatus, Summary, cannot_read};

/// Runs that are looked at together.
const BATCH: usize = 500;
/// Bytes of summaries that are written together, about.
const BATCH_BYTES: usize = 4 << 20;
/// How long one batch may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one statement may wait for somebody's lock.
const LOCKED: Duration = Duration::from_secs(30);

/// What is to be caught up.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only runs that began then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only say what would be written.
    pub dry_run: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Synced {
    /// The destination that keeps the history.
    pub destination: String,
    /// Where that is.
    pub place: String,
    /// Whether nothing was written, and `written` says what would be.
    pub dry_run: bool,
    /// Runs on disk that were looked at.
    pub found: u64,
    /// Runs that were there already, as they are.
    pub present: u64,
    /// Runs that were written.
    pub written: u64,
    /// Those of them that were there otherwise: less was known of them.
    pub replaced: u64,
    /// Runs that go on, left for later.
    pub running: u64,
    /// Runs that could not be read or written.
    pub failed: Vec<Failed>,
    /// How long it took.
    pub seconds: f64,
}

/// A run that could not be read or written.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Failed {
    /// The run.
    pub run_id: String,
    /// Why.
    pub error: ErrorRecord,
}

/// A run as it stands on disk.
struct OnDisk {
    entry: RunEntry,
    summary: Summary,
    digest: String,
}

/// Writes what is missing. `progress` gets how many runs of how many were looked at.
pub async fn sync(
    project: &Project,
    config: &Arc<LoadedConfig>,
    wanted: &Wanted,
    cancel: &CancellationToken,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Synced> {
    let started = Instant::now();
    let name = config.history.clone().ok_or_else(|| {
        Error::config(format!("{}: no destination keeps the run history", config.path.display()))
            .hint("name one of type postgres in the member \"history\" of config.json: \"history\": \"NAME\"")
    })?;
    let mut synced = Synced { destination: name.clone(), dry_run: wanted.dry_run, ..Synced::default() };
    let (owned, loaded) = (project.clone(), Arc::clone(config));
    let sessions = off_thread(move || Sessions::of_destination(&owned, &loaded, &name)).await?;
    let opening = within("it did not answer", sessions.history(LOCKED, cancel));
    let history = opening.await.map_err(|e| e.origin(Origin::Destination))?;
    synced.place = history.place();
    let done = all(project, &*history, wanted, cancel, progress, &mut synced).await;
    let _ = tokio::time::timeout(Duration::from_secs(1), history.close()).await;
    synced.seconds = started.elapsed().as_secs_f64();
    done.map(|()| synced)
}

async fn all(
    project: &Project,
    history: &dyn History,
    wanted: &Wanted,
    cancel: &CancellationToken,
    progress: &(dyn Fn(u64, u64) + Sync),
    synced: &mut Synced,
) -> Result<()> {
    let (owned, since) = (project.clone(), wanted.since);
    let entries = off_thread(move || {
        with_archive(&owned, |archive| archive.find(&Query { since, ..Query::default() }))
    });
    let mut entries = entries.await?;
    // Runs share an id where the first was killed: the newest is what that id means.
    let mut seen = HashSet::new();
    entries.retain(|entry| seen.insert(entry.run_id.clone()));
    synced.found = entries.len() as u64;
    let goes_on = |entry: &RunEntry| entry.status == RunStatus::Running;
    synced.running = entries.iter().filter(|entry| goes_on(entry)).count() as u64;
    entries.retain(|entry| !goes_on(entry));
    // Oldest first: whoever reads meanwhile, or stops this, finds no holes behind the newest one.
    entries.reverse();
    let (mut done, total) = (0, entries.len() as u64);
    for batch in entries.chunks(BATCH) {
        if cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let (owned, batch) = (project.clone(), batch.to_vec());
        done += batch.len() as u64;
        let (read, failed) = off_thread(move || read(&owned, batch)).await?;
        synced.failed.extend(failed);
        catch_up(history, read, wanted.dry_run, synced).await?;
        progress(done, total);
    }
    Ok(())
}

/// The summaries of runs, and those that cannot be read.
fn read(project: &Project, entries: Vec<RunEntry>) -> Result<(Vec<OnDisk>, Vec<Failed>)> {
    let (mut good, mut bad) = (Vec::with_capacity(entries.len()), Vec::new());
    let shown = with_archive(project, |archive| {
        Ok(entries.iter().map(|entry| archive.show(entry)).collect::<Vec<_>>())
    });
    for (entry, summary) in entries.into_iter().zip(shown?) {
        match summary.and_then(|summary| Ok((digest(&summary)?, summary))) {
            Ok((digest, summary)) => good.push(OnDisk { entry, summary, digest }),
            Err(error) => bad.push(Failed { run_id: entry.run_id, error: error.record() }),
        }
    }
    Ok((good, bad))
}

/// Writes those of a batch that are missing.
async fn catch_up(
    history: &dyn History,
    runs: Vec<OnDisk>,
    dry_run: bool,
    synced: &mut Synced,
) -> Result<()> {
    let ids: Vec<String> = runs.iter().map(|run| run.summary.run_id.clone()).collect();
    let known = within("it did not answer", history.known(&ids)).await?;
    let all = runs.len() as u64;
    let missing: Vec<OnDisk> =
        runs.into_iter().filter(|run| known.get(&run.summary.run_id) != Some(&run.digest)).collect();
    synced.present += all - missing.len() as u64;
    if dry_run {
        synced.written += missing.len() as u64;
        synced.replaced +=
            missing.iter().filter(|run| known.contains_key(&run.summary.run_id)).count() as u64;
        return Ok(());
    }
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    let mut missing = missing.into_iter().peekable();
    while let Some(run) = missing.next() {
        let run_id = run.summary.run_id.clone();
        match off_thread(move || with_events(&run)).await {
            Ok(record) => {
                bytes += record.run.summary.to_string().len()
                    + record.events.iter().map(|event| event.message.len()).sum::<usize>();
                waiting.push(record);
            }
            Err(error) => synced.failed.push(Failed { run_id, error: error.record() }),
        }
        if bytes > BATCH_BYTES || missing.peek().is_none() {
            let records = std::mem::take(&mut waiting);
            bytes = 0;
            let tried = records.len() as u64;
            let failed = synced.failed.len() as u64;
            let written = write(history, records, synced).await?;
            let replaced = written.iter().filter(|id| known.contains_key(*id)).count() as u64;
            synced.replaced += replaced;
            synced.written += written.len() as u64;
            // Of the others more is known there than here.
            synced.present += tried - written.len() as u64 - (synced.failed.len() as u64 - failed);
        }
    }
    Ok(())
}

/// A run with what is kept of its log, where that is still there.
fn with_events(run: &OnDisk) -> Result<RunRecord> {
    let kept = match run.entry.log_path.as_ref().map(|log| (log, Kept::of_log(log))) {
        Some((_, Ok(kept))) => kept,
        Some((log, Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(
                cannot_read("event log", log, error).hint("make it readable, then: waybill history sync")
            );
        }
        _ => Kept::default(),
    };
    record(&run.summary, kept.rows, kept.left_out)
}

/// Writes runs together or, where the system does not take the data of one of them, each alone.
async fn write(history: &dyn History, runs: Vec<RunRecord>, synced: &mut Synced) -> Result<Vec<String>> {
    let late = "it did not take a batch";
    let refused = match within(late, history.write(&runs)).await {
        Err(error) if error.kind() == Kind::Data => error,
        answer => return answer,
    };
    let mut written = Vec::new();
    for run in runs {
        match within(late, history.write(std::slice::from_ref(&run))).await {
            Ok(ids) => written.extend(ids),
            Err(error) if error.kind() == Kind::Data => {
                synced.failed.push(Failed { run_id: run.run.run_id, error: error.record() });
            }
            Err(error) => return Err(error.cause(refused)),
        }
    }
    Ok(written)
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal("reading the artifacts broke off").cause(e))?
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        let message = format!("the run history: {what} within {} s", PATIENCE.as_secs());
        Err(Error::new(Kind::Timeout, message).origin(Origin::Destination).hint(
            "look what keeps the server busy; what is written stays, and the next sync goes on from there",
        ))
    })
}
