//! Moving all state into a file of its own, and back. One write of config.json decides: killed at any
//! moment, the state stands whole where the config says that it does.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_protocol::{Connector, Error, Result};

use super::home::{self, StateFile, entry_of, state_file, write_changed};
use crate::store::config::ConfigText;
use crate::store::edit::{Backup, edit};
use crate::store::project::Project;
use crate::store::sidecar::{PATIENCE, Sidecar};

/// What a move did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where state stood: `None` is config.json.
    pub from: Option<PathBuf>,
    /// Where it stands now.
    pub to: Option<PathBuf>,
    /// Connections whose state was moved.
    pub connections: usize,
    /// Whether anything was changed.
    pub changed: bool,
}

/// Moves all state into the file of that name (as config.json is to say it), or, with `None`, back
/// into config.json.
pub fn relocate(project: &Project, registry: &[Box<dyn Connector>], to: Option<&str>) -> Result<Moved> {
    let config = ConfigText::read(&project.config_path)?;
    let from = state_file(&config)?;
    let mut after = config.clone();
    if let Some(map) = after.value.as_object_mut() {
        match to {
            Some(name) => drop(map.insert("state_file".to_owned(), json!(name))),
            None => drop(map.shift_remove("state_file")),
        }
    }
    let goal = state_file(&after)?;
    let same =
        |moved: usize| Moved { from: from.clone(), to: goal.clone(), connections: moved, changed: true };
    match (&from, &goal) {
        (None, None) => Ok(Moved { changed: false, ..same(0) }),
        (Some(from), Some(goal)) if from == goal => Ok(Moved { changed: false, ..same(0) }),
        (Some(_), Some(_)) => Err(Error::config("the state stands in another file already")
            .hint("move it back first: waybill config state-file --off")),
        (None, Some(path)) => {
            let moved = out_of_config(project, registry, path, to.unwrap_or_default())?;
            Ok(same(moved))
        }
        (Some(path), None) => {
            let moved = into_config(project, registry, path)?;
            Ok(same(moved))
        }
    }
}

/// First the file, then the config that names it.
fn out_of_config(
    project: &Project,
    registry: &[Box<dyn Connector>],
    path: &Path,
    name: &str,
) -> Result<usize> {
    let target = home::target(path)?;
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        return Err(Error::config(format!("there is no folder {}", folder.display()))
            .hint("make it first, or name a file beside config.json"));
    }
    let _lock = Sidecar::take(&target, PATIENCE)?;
    edit(project, registry, |text, document| {
        if state_file(text)?.is_some() {
            return Err(Error::config("another process has just moved the state")
                .hint("look where it is: waybill config show"));
        }
        let mut states: Vec<(Uuid, String, Value)> = Vec::new();
        for entry in document.get_mut("connections").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(map) = entry.as_object_mut() else { continue };
            let Some(state) = map.shift_remove("state") else { continue };
            let empty = state.is_null() || state.as_object().is_some_and(serde_json::Map::is_empty);
            if empty {
                continue;
            }
            let name = map.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let id = map.get("id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
            let id = id.ok_or_else(|| {
                Error::config(format!(
                    "connection {name:?} has state but no id, by which the state file would know it"
                ))
                .hint(format!("run it once (waybill run {name}), or remove its member state"))
            })?;
            if states.iter().any(|(other, ..)| *other == id) {
                return Err(Error::config(format!("connection {name:?} has the id of another one"))
                    .hint("in the copy, remove the line with the id"));
            }
            states.push((id, name, state));
        }
        write_changed(project, &target, Backup::Keep, |file| {
            // What a move that was cut off left there is older than the config.
            if let Some(map) = file.as_object_mut() {
                map.insert("connections".to_owned(), json!({}));
            }
            for (id, name, state) in &states {
                let entry = entry_of(file, *id, name)?;
                if let Some(entry) = entry.as_object_mut() {
                    entry.insert("state".to_owned(), state.clone());
                }
            }
            Ok(())
        })?;
        if let Some(map) = document.as_object_mut() {
            let at = map.keys().position(|key| key == "connections").unwrap_or(map.len());
            map.shift_insert(at, "state_file".to_owned(), json!(name));
        }
        Ok(states.len())
    })
}

/// The config takes everything in one write; the file, which nothing reads any more, goes behind it.
fn into_config(project: &Project, registry: &[Box<dyn Connector>], path: &Path) -> Result<usize> {
    let target = home::target(path)?;
    let _lock = Sidecar::take(&target, PATIENCE)?;
    let moved = edit(project, registry, |text, document| {
        if state_file(text)?.as_deref() != Some(path) {
            return Err(Error::config("another process has just moved the state")
                .hint("look where it is: waybill config show"));
        }
        let file = StateFile::read(&target)?;
        let mut moved = 0;
        for entry in document.get_mut("connections").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(map) = entry.as_object_mut() else { continue };
            let id = map.get("id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
            let state = file.of(id);
            if !state.is_null() {
                map.insert("state".to_owned(), state);
                moved += 1;
            }
        }
        if let Some(map) = document.as_object_mut() {
            map.shift_remove("state_file");
        }
        Ok(moved)
    })?;
    // It is no harm where it stays: nothing reads it.
    let _ = fs::remove_file(&target);
    Ok(moved)
}
