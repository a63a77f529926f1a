//! Where state stands: in each connection's entry of config.json, or, where that names a
//! `state_file`, in a file of its own, keyed by the connection's id.
//!
//! The member `state_file` alone decides, so that one edit of config.json moves everything at once.
//! Whoever changes both files takes the lock of the state file first.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use uuid::Uuid;
use waybill_protocol::{Error, Result};

use crate::store::atomic::{sweep, unwritable, write_atomic};
use crate::store::config::ConfigText;
use crate::store::edit::{Backup, keep_now};
use crate::store::project::Project;
use crate::store::sidecar::{PATIENCE, Sidecar};
use crate::store::span::JsonPath;
use crate::store::splice::splice;

/// The newest version of the state file that this program knows.
pub const STATE_FILE_VERSION: u64 = 1;

const EMPTY: &str = "{\n  \"version\": 1,\n  \"connections\": {}\n}\n";

/// The state file that a config names.
pub fn state_file(config: &ConfigText) -> Result<Option<PathBuf>> {
    let here = JsonPath::default().key("state_file");
    let hint = "name a file beside config.json, such as \"state.json\"";
    match config.value.get("state_file") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if !name.trim().is_empty() => {
            let folder = config.path.parent().unwrap_or(Path::new("."));
            let path = folder.join(name);
            let same = |path: &Path| fs::canonicalize(path).ok();
            if path == config.path || (same(&path).is_some() && same(&path) == same(&config.path)) {
                return Err(config.error(&here, "is config.json itself").hint(hint));
            }
            Ok(Some(path))
        }
        Some(_) => Err(config.error(&here, "must be the path of a file").hint(hint)),
    }
}

/// A state file, read. One that is not there holds no state: the destination is the truth.
#[derive(Debug, Clone)]
pub struct StateFile {
    /// The file.
    pub path: PathBuf,
    text: ConfigText,
}

impl StateFile {
    /// Reads it.
    pub fn read(path: &Path) -> Result<StateFile> {
        let explained = |error: Error| {
            let hint = error.get_hint().unwrap_or_default().to_owned();
            error.context("the state file").hint(format!(
                "{hint}; without the file every connection goes on from what its destination holds"
            ))
        };
        let text = match fs::read(path) {
            Ok(bytes) => ConfigText::parse(path, bytes).map_err(explained)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                ConfigText::parse(path, EMPTY.as_bytes().to_vec())?
            }
            Err(e) => {
                return Err(Error::config(format!("the state file {} cannot be read: {e}", path.display()))
                    .hint("correct state_file in config.json, or give this user the right to read it")
                    .cause(e));
            }
        };
        let file = StateFile { path: path.to_path_buf(), text };
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<()> {
        let here = |key: &str| JsonPath::default().key(key);
        match self.text.value.get("version").map(Value::as_u64) {
            None | Some(Some(1..=STATE_FILE_VERSION)) => {}
            _ => {
                return Err(self
                    .text
                    .error(&here("version"), "is none that this program knows")
                    .hint("use the version of waybill that wrote the file"));
            }
        }
        if let Some(path) = self.text.doubled().first() {
            return Err(self.text.error(path, "stands twice").hint("remove one of the two"));
        }
        match self.text.value.get("connections") {
            None => Ok(()),
            Some(Value::Object(map)) => match map.iter().find(|(_, entry)| !entry.is_object()) {
                None => Ok(()),
                Some((id, _)) => Err(self.text.error(&here("connections").key(id), "must be an object")),
            },
            Some(_) => Err(self.text.error(&here("connections"), "must be an object by connection id")),
        }
    }

    /// The state of a connection, null where there is none.
    pub fn of(&self, id: Option<Uuid>) -> Value {
        let Some(id) = id else { return Value::Null };
        let entry = self.text.value.get("connections").and_then(|all| all.get(id.to_string()));
        entry.and_then(|entry| entry.get("state")).cloned().unwrap_or(Value::Null)
    }

    /// An error about a stream's entry.
    pub fn error(&self, id: Option<Uuid>, stream: Option<&str>, message: &str) -> Error {
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let here = JsonPath::default().key("connections").key(&id).key("state");
        let here = stream.map_or_else(|| here.clone(), |stream| here.key(stream));
        self.text.error(&here, message)
    }
}

/// Changes a state file under its lock; `None` where the config no longer names it.
pub(super) fn change_file<T>(
    project: &Project,
    path: &Path,
    backup: Backup,
    change: impl FnOnce(&mut Value) -> Result<T>,
) -> Result<Option<T>> {
    let target = target(path)?;
    let _lock = Sidecar::take(&target, PATIENCE)?;
    let config = ConfigText::read(&project.config_path)?;
    if state_file(&config)?.as_deref() != Some(path) {
        return Ok(None);
    }
    write_changed(project, &target, backup, change).map(Some)
}

/// The file behind symbolic links.
pub(super) fn target(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            Ok(path.to_path_buf())
        }
        Err(e) => Err(unwritable(path, e)),
    }
}

/// The change itself. The caller holds the lock.
pub(super) fn write_changed<T>(
    project: &Project,
    target: &Path,
    backup: Backup,
    change: impl FnOnce(&mut Value) -> Result<T>,
) -> Result<T> {
    sweep(target);
    let before = StateFile::read(target)?.text;
    let mut document = before.value.clone();
    let done = change(&mut document)?;
    let there = target.exists();
    if there && document == before.value {
        return Ok(done);
    }
    let after = splice(&before.text, &document)?;
    if backup == Backup::Keep && there {
        keep_now(project, target, &before.text)?;
    }
    write_atomic(target, after.as_bytes(), None)?;
    Ok(done)
}

/// The entry of a connection in a state file's document, made where it is missing.
pub(super) fn entry_of<'v>(document: &'v mut Value, id: Uuid, name: &str) -> Result<&'v mut Value> {
    let broken = || Error::config("the state file holds no object by connection id");
    let map = document.as_object_mut().ok_or_else(broken)?;
    map.entry("version").or_insert_with(|| json!(STATE_FILE_VERSION));
    let all = map.entry("connections").or_insert_with(|| Value::Object(Map::new()));
    let all = all.as_object_mut().ok_or_else(broken)?;
    let entry = all.entry(id.to_string()).or_insert_with(|| json!({"name": name}));
    if let Some(entry) = entry.as_object_mut() {
        // For people; the id decides.
        entry.insert("name".to_owned(), json!(name));
    }
    Ok(entry)
}
