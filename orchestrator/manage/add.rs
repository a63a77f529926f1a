//! Saving a new connection.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use waybill_protocol::{Connector, Error, Result};

use super::draft::Draft;
use super::trial::trial;
use crate::secrets::section;
use crate::store::atomic::unwritable;
use crate::store::edit::edit;
use crate::store::name::check_name;
use crate::store::nearest::shown;
use crate::store::project::Project;

/// What was saved.
#[derive(Debug, Clone, Serialize)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: Uuid,
    /// The entry as it stands in config.json.
    pub entry: Value,
    /// The names of the secrets that were written.
    pub secrets: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

pub(super) const EMPTY: &str = "{\n  \"version\": 1,\n  \"connections\": []\n}\n";

/// Makes the config where there is none yet; whether it was made.
pub fn ensure_config(project: &Project) -> Result<bool> {
    let path = &project.config_path;
    // A link to nothing is no place to begin.
    if std::fs::symlink_metadata(path).is_ok() {
        return Ok(false);
    }
    let explain = |e: std::io::Error| unwritable(path, e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(explain)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(mut file) => {
            file.write_all(EMPTY.as_bytes()).and_then(|()| file.sync_all()).map_err(explain)?;
            Ok(true)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(explain(e)),
    }
}

/// Saves a new connection: its secrets first, so that its entry never stands there without them.
/// Refused where its name is taken or its settings are wrong; then nothing has changed.
pub fn add(project: &Project, draft: &Draft, registry: &[Box<dyn Connector>]) -> Result<Added> {
    check_name("connection name", draft.name())?;
    ensure_config(project)?;
    let tried = trial(project, draft, registry)?;
    let name = draft.name().to_owned();
    let (id, entry) = complete(draft)?;
    let former = section::apply(project, &name, &draft.secrets)?;
    let saved = edit(project, registry, |text, document| {
        free(&text.name(), document, &name, Some(id))?;
        insert(document, None, Value::Object(entry.clone()))
    });
    if let Err(error) = saved {
        section::undo(project, &name, former)?;
        return Err(error);
    }
    let written = |(key, value): (&String, &Option<_>)| value.is_some().then(|| key.clone());
    Ok(Added {
        id,
        entry: Value::Object(entry),
        secrets: draft.secrets.iter().filter_map(written).collect(),
        notes: tried.notes,
        name,
    })
}

/// The entry with an id, its members in the usual order.
pub(super) fn complete(draft: &Draft) -> Result<(Uuid, Map<String, Value>)> {
    let mut rest = draft.entry.clone();
    let id = match rest.shift_remove("id") {
        None | Some(Value::Null) => Uuid::new_v4(),
        Some(id) => id
            .as_str()
            .and_then(|id| Uuid::try_parse(id).ok())
            .ok_or_else(|| Error::config("id: is no UUID").hint("leave it out: one is made"))?,
    };
    let mut entry = Map::from_iter([("id".to_owned(), json!(id.to_string()))]);
    for key in ["name", "type", "enabled", "destination", "schema"] {
        entry.extend(rest.shift_remove(key).map(|value| (key.to_owned(), value)));
    }
    entry.extend(rest);
    Ok((id, entry))
}

/// Refuses a name or an id that a connection has already.
pub(super) fn free(file: &str, document: &Value, name: &str, id: Option<Uuid>) -> Result<()> {
    let entries = document.get("connections").and_then(Value::as_array);
    for entry in entries.into_iter().flatten() {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        if let Some(taken) = text("name").filter(|taken| taken.eq_ignore_ascii_case(name)) {
            return Err(Error::config(format!("{file}: there is a connection {} already", shown(taken)))
                .hint("names are unique ignoring case: choose another one"));
        }
        let taken = text("id").and_then(|id| Uuid::try_parse(id).ok());
        if let Some(id) = id.filter(|id| taken == Some(*id)) {
            let other = text("name").unwrap_or_default();
            return Err(Error::config(format!("{file}: connection {other:?} has the id {id}"))
                .hint("an id is of one connection only: state is kept by it"));
        }
    }
    Ok(())
}

/// Puts an entry into the list of connections, which is made where it is missing.
pub(super) fn insert(document: &mut Value, at: Option<usize>, entry: Value) -> Result<()> {
    let wrong =
        || Error::config("connections must be a list").hint("write \"connections\": [] into the config");
    let root = document.as_object_mut().ok_or_else(wrong)?;
    let list = root.entry("connections").or_insert_with(|| json!([])).as_array_mut().ok_or_else(wrong)?;
    list.insert(at.unwrap_or(list.len()).min(list.len()), entry);
    Ok(())
}
