//! Bringing a removed connection back.

use std::fs;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;
use waybill_protocol::{Connector, Error, Result};

use super::add::{free, insert};
use super::remove::{Removal, VERSION, folder};
use crate::secrets::section;
use crate::store::config::load_with;
use crate::store::edit::{Backup, change};
use crate::store::name::is_name;
use crate::store::nearest::{did_you_mean, shown};
use crate::store::project::Project;

/// What was brought back.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Its name.
    pub name: String,
    /// When it had been removed: UTC.
    pub removed_at: String,
    /// Its entry.
    pub entry: Value,
    /// Secrets that it had, and that stand in secrets.toml no more.
    pub missing_secrets: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The removed connections that can be brought back, newest first. A file that is no backup is left out.
pub fn restorable(project: &Project) -> Result<Vec<Removal>> {
    let folder = folder(project);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            return Err(Error::config(format!("{} cannot be read: {e}", folder.display()))
                .hint("give this user the right to read it"));
        }
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Removal>(&bytes).ok());
        found.extend(read.map(|removal| Removal { path, ..removal }));
    }
    found.sort_by(|a, b| (&b.removed_at, &b.path).cmp(&(&a.removed_at, &a.path)));
    Ok(found)
}

/// Brings the newest removed connection of that name back, to where it stood. Refused where its
/// name or its id is taken. Its entry may be wrong by now: that is said.
pub fn restore(project: &Project, name: &str, registry: &[Box<dyn Connector>]) -> Result<Restored> {
    let all = restorable(project)?;
    let Some(removal) = all.iter().find(|removal| removal.name == name) else {
        let names: Vec<&str> = all.iter().map(|removal| removal.name.as_str()).collect();
        let near = did_you_mean(name, names.iter().copied());
        return Err(Error::config(format!("no removed connection {} to bring back{near}", shown(name)))
            .hint("`waybill connection restore --list` shows what there is"));
    };
    if removal.version > VERSION {
        return Err(Error::config(format!(
            "{}: version {} is newer than this program knows ({VERSION})",
            removal.path.display(),
            removal.version
        ))
        .hint("use the program that wrote it, or a newer one"));
    }
    let id = removal.entry.get("id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    change(project, Backup::Keep, |text, document| {
        free(&text.name(), document, name, id)?;
        insert(document, Some(removal.index), removal.entry.clone())
    })?;
    // It stands in the config again; a second copy would only be in the way.
    let _ = fs::remove_file(&removal.path);
    let has = if is_name(name) { section::names(project, name).unwrap_or_default() } else { Vec::new() };
    let missing = removal.secrets.iter().filter(|secret| !has.contains(secret)).cloned().collect();
    let mut notes = Vec::new();
    if let Err(error) = load_with(project, registry).and_then(|config| config.connection(name).map(drop)) {
        notes.push(error.message().to_owned());
    }
    Ok(Restored {
        name: name.to_owned(),
        removed_at: removal.removed_at.clone(),
        entry: removal.entry.clone(),
        missing_secrets: missing,
        notes,
    })
}
