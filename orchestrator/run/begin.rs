//! The beginning of a run: connection, run lock, artifacts, event log. What is refused here leaves
//! no artifacts.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_protocol::outlet::RUN_BUDGET_BYTES;
use waybill_protocol::{Body, Budget, Error, Events, Kind, Level, Result};

use super::{Options, Stop};
use crate::chronicle::Chronicle;
use crate::events::log::{EventLog, LogHeader, Reporter};
use crate::events::redact::Redactor;
use crate::history::prune::{Rule, remove, surplus};
use crate::history::{Query, RunEntry, host, with_archive, with_lock_of};
use crate::store::artifacts::Artifacts;
use crate::store::atomic::{sweep, write_atomic};
use crate::store::config::{self, Connection, LoadedConfig};
use crate::store::edit::ensure_id;
use crate::store::lock::{Holder, RunLock};
use crate::store::project::Project;
use crate::summary::{RunStatus, Summary, write_summary};

/// A run that has begun, or the record of one that ended long ago.
pub enum Begun {
    /// Its log is open.
    Open(Box<Open>),
    /// A finished run has this id.
    Recorded(Box<Summary>),
}

/// An open run.
pub struct Open {
    /// Its id.
    pub run_id: String,
    /// The config as loaded.
    pub config: std::sync::Arc<LoadedConfig>,
    /// The connection.
    pub connection: Connection,
    /// The connection's id.
    pub connection_id: Uuid,
    /// Where its artifacts lie.
    pub artifacts: Artifacts,
    /// Its event log.
    pub log: EventLog,
    /// Where events go.
    pub events: Events,
    /// Takes secrets as they are resolved.
    pub redactor: Redactor,
    /// Bytes between sources and destinations.
    pub budget: Budget,
    /// Where runs are kept beside the disk.
    pub chronicle: Chronicle,
    /// Held until the run has ended.
    pub lock: RunLock,
}

/// Loads the connection, takes the run lock and opens the event log.
pub async fn begin(
    project: &Project,
    name: &str,
    options: &Options,
    mut reporters: Vec<Box<dyn Reporter>>,
    stop: &Stop,
) -> Result<Begun> {
    config::load(project)?.connection(name)?;
    let id = ensure_id(project, name)?;
    let run_id = options.run_id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    // What is wrong is said at once, also while another run holds the lock.
    Artifacts::new(project, name, &run_id, Utc::now())?;
    loaded(project, name, id, options)?;
    if options.run_id.is_some()
        && let Some(summary) = recorded(project, &run_id, id, Lock::Elsewhere(options.wait_lock))?
    {
        return Ok(Begun::Recorded(Box::new(summary)));
    }
    let holder = Holder {
        run_id: run_id.clone(),
        pid: std::process::id(),
        since: Utc::now(),
        connection: name.to_owned(),
    };
    let lock = take_lock(project, id, holder, options, stop).await?;
    // Read again under the lock: the run before this one may have ended a moment ago.
    let (config, connection) = loaded(project, name, id, options)?;
    let mut artifacts = Artifacts::new(project, &connection.name, &run_id, Utc::now())?;
    if options.run_id.is_some() {
        if let Some(summary) = recorded(project, &run_id, id, Lock::Ours)? {
            return Ok(Begun::Recorded(Box::new(summary)));
        }
        artifacts = artifacts.beside_earlier();
    }
    artifacts.prepare()?;
    settle_crashed(project, id);
    let budget = Budget::new(RUN_BUDGET_BYTES);
    let (queued, redactor) = (budget.clone(), Redactor::new());
    let chronicle = Chronicle::of(&config);
    reporters.extend(chronicle.reporter());
    let header = LogHeader::new(run_id.clone(), connection.name.clone());
    let (log, sink) =
        EventLog::open(&artifacts.events, header, redactor.clone(), reporters, move || queued.queued())?;
    let events = Events::new(sink);
    let body = started_body(&config, &connection, id, options, &artifacts)?;
    events.info(body, format!("run of {} started", connection.name));
    let others = |path: &str| {
        path.starts_with("connections[") && !path.starts_with(&format!("connections[{}]", connection.index))
    };
    for finding in config.findings.iter().filter(|finding| !others(&finding.path)) {
        events.emit(Level::Warn, Body::Runtime { detail: Value::Null }, finding.message.clone(), None);
    }
    Ok(Begun::Open(Box::new(Open {
        run_id,
        config: std::sync::Arc::new(config),
        connection,
        connection_id: id,
        artifacts,
        log,
        events,
        redactor,
        budget,
        chronicle,
        lock,
    })))
}

/// The config as it stands, with the connection of that id in it.
fn loaded(project: &Project, name: &str, id: Uuid, options: &Options) -> Result<(LoadedConfig, Connection)> {
    let config = config::load(project)?;
    let connection = config.connection(name)?.clone();
    if connection.id != Some(id) {
        return Err(Error::config(format!(
            "the id of connection {name:?} was changed in the config just now"
        ))
        .hint("run it again once nobody edits the config"));
    }
    super::matching::known(&connection.streams, &options.streams)?;
    Ok((config, connection))
}

async fn take_lock(
    project: &Project,
    id: Uuid,
    holder: Holder,
    options: &Options,
    stop: &Stop,
) -> Result<RunLock> {
    let (project, wait) = (project.clone(), options.wait_lock);
    let taken = tokio::task::spawn_blocking(move || RunLock::acquire(&project, id, &holder, wait));
    tokio::select! {
        taken = taken => taken.map_err(|e| Error::internal("taking the run lock").cause(e))?,
        () = stop.orderly().cancelled() => {
            let signal = stop.reason().map_or("SIGINT", super::Ended::word);
            Err(Error::new(Kind::Cancelled, "stopped while it waited for the run lock: nothing was run").code(signal))
        }
    }
}

/// Who holds the run lock while the record is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// Perhaps another run, for which the caller would wait so long.
    Elsewhere(Option<std::time::Duration>),
    /// This process: every earlier run of the connection on this host is over.
    Ours,
}

/// The finished run of that id, if there is one. A run that was killed has not finished: its id may
/// be used again.
fn recorded(project: &Project, run_id: &str, id: Uuid, lock: Lock) -> Result<Option<Summary>> {
    let ours = (lock == Lock::Ours).then_some(id);
    let waits = matches!(lock, Lock::Elsewhere(Some(wait)) if !wait.is_zero());
    with_lock_of(project, ours, |archive| {
        let same = archive.find(&Query { run_id: Some(run_id.to_owned()), ..Query::default() })?;
        let other =
            same.iter().find(|run| !run.connection_id.is_empty() && run.connection_id != id.to_string());
        if let Some(other) = other {
            return Err(Error::config(format!(
                "the run id {run_id} is that of a run of connection {:?}",
                other.connection
            ))
            .hint("give each run a run id of its own, or none"));
        }
        // A log without a first line says nothing: the run lock decides.
        let going_on = |run: &RunEntry| run.status == RunStatus::Running && !run.host.is_empty();
        if same.iter().any(going_on) && !waits {
            return Err(Error::new(Kind::Locked, format!("a run with the id {run_id} is going on"))
                .hint("wait for it with --wait-lock SECONDS"));
        }
        let over = |entry: &&RunEntry| !matches!(entry.status, RunStatus::Running | RunStatus::Crashed);
        same.iter().find(over).map(|entry| archive.show(entry)).transpose()
    })
}

/// Removes the artifacts of older runs beyond `keep_runs`: best effort, after everything else.
pub fn keep_newest(project: &Project, connection_id: Uuid, keep: u32) {
    let id = connection_id.to_string();
    let _ = with_archive(project, |archive| {
        let runs = archive.list(None)?;
        let rule = Rule { keep: keep as usize, before: None };
        for run in surplus(&runs, &id, rule) {
            // What stays is tried again after the next run.
            let _ = remove(&archive.files_of(run));
        }
        Ok(())
    });
}

/// Writes the summaries of runs that were killed: best effort, the log keeps the truth. The lock of
/// connection `ours` is held by the run that is about to open its log: earlier ones are over.
fn settle_crashed(project: &Project, ours: Uuid) {
    let _ = with_lock_of(project, Some(ours), |archive| archive.rebuild_missing(write).map(drop));
}

/// Writes a file of the record atomically, over what a killed process left of the same write.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    sweep(path);
    write_atomic(path, bytes, Some(0o644)).map_err(std::io::Error::other)
}

/// Writes a summary atomically.
pub fn write_run_summary(path: &Path, summary: &Summary) -> Result<()> {
    write_summary(path, summary, write)
}

fn started_body(
    config: &LoadedConfig,
    connection: &Connection,
    id: Uuid,
    options: &Options,
    artifacts: &Artifacts,
) -> Result<Body> {
    let destination = config.destination_of(connection)?;
    let mut settings: BTreeMap<String, Value> = BTreeMap::new();
    for (key, value) in &connection.settings {
        settings.insert(format!("source.{key}"), json!({"value": value, "origin": "config.json"}));
    }
    for (key, value) in &destination.settings {
        settings.insert(
            format!("destination.{key}"),
            json!({"value": value, "origin": destination.origin.to_string()}),
        );
    }
    for (key, value) in connection.policies.values() {
        let origin =
            connection.policies.origins.get(key).map_or_else(|| "default".to_owned(), ToString::to_string);
        settings.insert(key.to_owned(), json!({"value": value, "origin": origin}));
    }
    if let Some(history) = &config.history {
        settings.insert("history".to_owned(), json!({"value": history, "origin": "config.json"}));
    }
    let streams = serde_json::to_value(&connection.streams).unwrap_or(Value::Null);
    settings.insert("streams".to_owned(), json!({"value": streams, "origin": "config.json"}));
    let mut paths = artifacts.paths();
    // Only what this run can leave; the fold knows the log by this word.
    paths.retain(|kind, _| matches!(kind.as_str(), "events" | "summary" | "rejects"));
    if let Some(log) = paths.remove("events") {
        paths.insert("log".to_owned(), log);
    }
    Ok(Body::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        pid: std::process::id(),
        source: connection.system.clone(),
        destination: format!("{} ({})", destination.name, destination.system),
        connection_id: id.to_string(),
        config_hash: connection.config_hash.clone(),
        settings: serde_json::to_value(settings).unwrap_or(Value::Null),
        options: json!({
            "streams": options.streams,
            "full_refresh": options.full_refresh,
            "from": options.from,
            "to": options.to,
            "limit": options.limit,
            "timeout_ms": options.timeout.map(|t| t.as_millis() as u64),
        }),
        artifacts: paths,
    })
}
