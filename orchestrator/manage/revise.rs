//! Changing the entry of a connection.

use serde::Serialize;
use serde_json::{Map, Value};
use waybill_protocol::{Connector, Error, Result};

use super::draft::{SecretChanges, part, with_schema};
use super::merge::merge;
use super::trial::look;
use crate::secrets::section;
use crate::store::config::ConfigText;
use crate::store::edit::{edit, find_by_name};
use crate::store::project::Project;

/// What was changed.
#[derive(Debug, Clone, Serialize)]
pub struct Revised {
    /// Its name.
    pub name: String,
    /// The entry as it stood.
    pub before: Value,
    /// The entry as it stands.
    pub after: Value,
    /// The names of the secrets that were written.
    pub secrets_set: Vec<String>,
    /// The names of the secrets that were taken out.
    pub secrets_unset: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Revised {
    /// From an entry to an entry, with secrets written (a value) or taken out (none).
    pub fn of(
        name: &str,
        before: Value,
        after: Value,
        secrets: &SecretChanges,
        notes: Vec<String>,
    ) -> Revised {
        let names = |set: bool| {
            secrets.iter().filter(|(_, new)| new.is_some() == set).map(|(key, _)| key.clone()).collect()
        };
        let (secrets_set, secrets_unset) = (names(true), names(false));
        Revised { name: name.to_owned(), before, after, secrets_set, secrets_unset, notes }
    }

    /// Whether anything is not as it was.
    pub fn changed(&self) -> bool {
        self.before != self.after || !self.secrets_set.is_empty() || !self.secrets_unset.is_empty()
    }
}

/// The entry of a connection as it stands in the file.
pub fn entry_of(project: &Project, name: &str) -> Result<Value> {
    let text = ConfigText::read(&project.config_path)?;
    find_by_name(&text, &mut text.value.clone(), name).map(|entry| entry.clone())
}

/// Changes an entry and its secrets. `change` is called twice: to look whether the outcome is good,
/// and on the entry as it stands once the file is locked. Refused, nothing has changed.
pub fn revise(
    project: &Project,
    name: &str,
    secrets: &SecretChanges,
    registry: &[Box<dyn Connector>],
    change: impl Fn(&mut Map<String, Value>) -> Result<()>,
) -> Result<Revised> {
    let text = ConfigText::read(&project.config_path)?;
    let mut document = text.value.clone();
    let mut secrets = secrets.clone();
    let entry = find_by_name(&text, &mut document, name)?;
    let taken = changed(entry, name, registry, &change)?;
    secrets.extend(taken);
    let tried = look(project, &text, &document, name, &secrets, registry)?;
    let former = section::apply(project, name, &secrets)?;
    let revised = edit(project, registry, |text, document| {
        let entry = find_by_name(text, document, name)?;
        let before = entry.clone();
        changed(entry, name, registry, &change)?;
        Ok((before, entry.clone()))
    });
    let (before, after) = match revised {
        Ok(both) => both,
        Err(error) => {
            section::undo(project, name, former)?;
            return Err(error);
        }
    };
    Ok(Revised::of(name, before, after, &secrets, tried.notes))
}

/// Saves an entry that was changed elsewhere, in a dialogue or an editor, since it stood there as
/// `before`. What somebody else changed meanwhile is kept; where both changed one value, nothing is
/// saved and the conflict is named.
pub fn revise_from(
    project: &Project,
    name: &str,
    before: &Value,
    after: &Value,
    secrets: &SecretChanges,
    registry: &[Box<dyn Connector>],
) -> Result<Revised> {
    revise(project, name, secrets, registry, |entry| {
        let now = Value::Object(entry.clone());
        let merged = merge(before, after, &now).map_err(|conflicts| {
            let said: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
            Error::config(format!("{name} was changed meanwhile: {}", said.join("; ")))
                .hint("nothing was saved: begin again from what stands there now")
        })?;
        match merged {
            Value::Object(map) => *entry = map,
            _ => return Err(Error::config("a connection is one JSON object")),
        }
        Ok(())
    })
}

/// Does the change to an entry; the secrets that were found in it, and are not in it any more.
fn changed(
    entry: &mut Value,
    name: &str,
    registry: &[Box<dyn Connector>],
    change: &impl Fn(&mut Map<String, Value>) -> Result<()>,
) -> Result<SecretChanges> {
    let map =
        entry.as_object_mut().ok_or_else(|| Error::config(format!("the entry of {name:?} is no object")))?;
    let (id, state) = (map.get("id").cloned(), map.get("state").cloned());
    change(map)?;
    if map.get("name").and_then(Value::as_str) != Some(name) {
        return Err(Error::config(format!("the name of {name:?} is not changed this way"))
            .hint(format!("use `waybill connection rename {name} NEW`: its secrets go with it")));
    }
    if map.get("id") != id.as_ref() {
        return Err(Error::config(format!("the id of {name:?} cannot be changed"))
            .hint("state at the destination is kept by it; add a new connection to begin anew"));
    }
    if map.get("state") != state.as_ref() {
        return Err(Error::config(format!("the state of {name:?} is not changed this way")).hint(format!(
            "use `waybill state reset|accept|set {name}`: they say what the next run will do"
        )));
    }
    let system = map.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let taken = with_schema(map, |schema| part(&system, schema, registry))?;
    Ok(taken.into_iter().map(|(key, value)| (key, Some(value))).collect())
}
