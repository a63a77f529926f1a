//! Taking a connection out of the config, so that it can be brought back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use waybill_protocol::{Error, Kind, Result};

use crate::secrets::section;
use crate::store::atomic::{unwritable, write_atomic};
use crate::store::config::ConfigText;
use crate::store::edit::{Backup, change, find_by_name};
use crate::store::lock::{Holder, RunLock};
use crate::store::name::is_name;
use crate::store::project::Project;

/// The newest version of a removal's document that this program knows.
pub(super) const VERSION: u64 = 1;

/// What is done about a run that is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It is waited for, so long; then the removal is refused (kind `locked`).
    Wait(Duration),
    /// Nothing: what it merges at its end finds no entry.
    Force,
}

/// A removed connection, as its backup holds it. Secrets are in it by name only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Removal {
    /// The version of this document: 1.
    pub version: u64,
    /// When: UTC.
    pub removed_at: String,
    /// Its name.
    pub name: String,
    /// Its place in `connections`.
    pub index: usize,
    /// Its entry, state included.
    pub entry: Value,
    /// The names of its secrets.
    pub secrets: Vec<String>,
    /// Whether they were removed too.
    pub secrets_removed: bool,
    /// The file it was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

/// What was removed.
#[derive(Debug, Clone, Serialize)]
pub struct Removed {
    /// Its name.
    pub name: String,
    /// The backup that `restore` reads.
    pub backup: PathBuf,
    /// The names of its secrets.
    pub secrets: Vec<String>,
    /// Whether they were removed too.
    pub secrets_removed: bool,
}

/// The folder of removed connections.
pub(super) fn folder(project: &Project) -> PathBuf {
    project.backups_dir.join("removed")
}

/// Removes a connection: entry and state go to a backup first. Its secrets stay unless `secrets`.
/// What it has loaded stays at its destination. Blocks its thread while it waits for a run.
pub fn remove(project: &Project, name: &str, patience: Patience, secrets: bool) -> Result<Removed> {
    let text = ConfigText::read(&project.config_path)?;
    let id = id_of(find_by_name(&text, &mut text.value.clone(), name)?);
    let _lock = match (id, patience) {
        (Some(id), Patience::Wait(wait)) => Some(lock(project, id, name, wait)?),
        // Without an id there has been no run.
        _ => None,
    };
    let names = if is_name(name) { section::names(project, name)? } else { Vec::new() };
    let mut backup = None;
    let removed = change(project, Backup::Keep, |text, document| {
        let entry = find_by_name(text, document, name)?.clone();
        if id_of(&entry) != id {
            return Err(Error::new(Kind::Locked, format!("{name} was replaced by another process just now"))
                .hint("look at it with `waybill connection list`, then say it again"));
        }
        let list = document.get_mut("connections").and_then(Value::as_array_mut);
        let list = list.ok_or_else(|| Error::internal("a connection stood in no list"))?;
        let index = list.iter().position(|other| *other == entry).unwrap_or(0);
        let removal = Removal {
            version: VERSION,
            removed_at: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            name: name.to_owned(),
            index,
            entry,
            secrets: names.clone(),
            secrets_removed: secrets,
            path: PathBuf::new(),
        };
        backup = Some(keep(project, &text.path, &removal)?);
        list.remove(index);
        Ok(())
    });
    let backup = match (removed, backup) {
        (Ok(()), Some(backup)) => backup,
        (Err(error), backup) => {
            // Nothing was removed: a backup would only be mistaken for one.
            backup.map(fs::remove_file);
            return Err(error);
        }
        (Ok(()), None) => return Err(Error::internal("a connection was removed without a backup")),
    };
    if secrets && !names.is_empty() {
        section::remove(project, name).map_err(|e| {
            e.context(format!("{name} was removed, but its secrets stay"))
                .hint(format!("remove [sources.{name}] from secrets.toml by hand"))
        })?;
    }
    Ok(Removed { name: name.to_owned(), backup, secrets: names, secrets_removed: secrets })
}

fn id_of(entry: &Value) -> Option<Uuid> {
    entry.get("id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok())
}

fn lock(project: &Project, id: Uuid, name: &str, wait: Duration) -> Result<RunLock> {
    let holder = Holder {
        run_id: "`connection remove`".to_owned(),
        pid: std::process::id(),
        since: Utc::now(),
        connection: name.to_owned(),
    };
    RunLock::acquire(project, id, &holder, Some(wait)).map_err(|error| match error.kind() {
        Kind::Locked => Error::new(Kind::Locked, format!("{}; it was not removed", error.message()))
            .hint("wait for the run with --wait-lock SECONDS, or do not wait with --force"),
        _ => error,
    })
}

/// Writes the backup, with the rights of the config: it holds as much.
fn keep(project: &Project, config: &Path, removal: &Removal) -> Result<PathBuf> {
    let folder = folder(project);
    let explain = |e: Error| e.context("no backup could be made, so nothing was removed");
    fs::create_dir_all(&folder).map_err(|e| explain(unwritable(&folder, e)))?;
    let stamp = Utc::now().format("%Y%m%dT%H%M%S%3fZ");
    let name = if is_name(&removal.name) { removal.name.as_str() } else { "connection" };
    let free = (0..1_000).map(|n| {
        let more = if n == 0 { String::new() } else { format!("-{n:03}") };
        folder.join(format!("{name}-{stamp}{more}.json"))
    });
    let path = free.into_iter().find(|path| !path.exists());
    let path = path.ok_or_else(|| explain(unwritable(&folder, std::io::ErrorKind::AlreadyExists.into())))?;
    let text = serde_json::to_string_pretty(removal)
        .map_err(|e| Error::internal("a removed connection cannot be written as JSON").cause(e))?;
    let mode = fs::metadata(config)
        .map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o7777);
    write_atomic(&path, (text + "\n").as_bytes(), mode.ok()).map_err(explain)?;
    Ok(path)
}
