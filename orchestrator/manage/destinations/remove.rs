//! Removing, and choosing the default.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use waybill_protocol::{Error, Result};

use super::change::{held, object};
use super::{default_of, followers, users};
use crate::store::edit::edit;
use crate::store::project::{Origin, Project};

/// What went with a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Removed {
    /// Its name.
    pub destination: String,
    /// Connections that went there, and have no destination now.
    pub left_without: Vec<String>,
    /// Names of its secrets that were removed too.
    pub secrets_removed: Vec<String>,
    /// Names of its secrets that still stand in secrets.toml.
    pub secrets_kept: Vec<String>,
}

/// Removes a destination from the config. Its data stays where it is. `force` removes one that
/// connections use; `secrets` removes its secrets too.
pub fn remove(project: &Project, name: &str, force: bool, secrets: bool) -> Result<Removed> {
    let config = crate::store::config::load(project)?;
    let written = config.text.value.get("destinations").and_then(|all| all.get(name)).is_some();
    if !written {
        config.destination_named(name)?;
        return Err(Error::config(format!("{name} is the embedded destination, and stands in no file"))
            .hint("it is used as long as the config has no other one"));
    }
    let users = users(&config, name);
    if !users.is_empty() && !force {
        return Err(Error::config(format!("destination {name:?} is used by: {}", users.join(", "))).hint(
            "give these connections another destination first, or say --force: they cannot run until they have one",
        ));
    }
    if config.history.as_deref() == Some(name) && !force {
        return Err(Error::config(format!("destination {name:?} keeps the run history")).hint(
            "take the member `history` out of config.json first, or say --force: runs are then kept on disk only",
        ));
    }
    let names: Vec<String> = held(project, name)?.keys().cloned().collect();
    edit(project, &waybill_connectors::registry(), |_, document| {
        let map = object(document)?;
        if let Some(all) = map.get_mut("destinations").and_then(Value::as_object_mut) {
            all.shift_remove(name);
        }
        if map.get("destination").and_then(Value::as_str) == Some(name) {
            map.shift_remove("destination");
        }
        if map.get("history").and_then(Value::as_str) == Some(name) {
            map.shift_remove("history");
        }
        Ok(())
    })?;
    let mut removed = Removed {
        destination: name.to_owned(),
        left_without: users,
        secrets_removed: Vec::new(),
        secrets_kept: names.clone(),
    };
    if secrets && !names.is_empty() {
        crate::secrets::remove_table(project, &["destination", name])?;
        (removed.secrets_removed, removed.secrets_kept) = (names, Vec::new());
    }
    Ok(removed)
}

/// What a switch of the default did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Switched {
    /// The default before, where there was one.
    pub from: Option<String>,
    /// The default now.
    pub to: String,
    /// Connections that follow the default: their next run finds no state there.
    pub followers: Vec<String>,
    /// Whether anything changed.
    pub changed: bool,
}

/// Makes a destination the default.
pub fn choose(project: &Project, name: &str) -> Result<Switched> {
    let config = crate::store::config::load(project)?;
    let from = default_of(&config);
    let destination = config.destination_named(name)?;
    let mut switched =
        Switched { changed: from.as_deref() != Some(name), from, to: name.to_owned(), followers: Vec::new() };
    if destination.origin == Origin::Default {
        return Ok(switched);
    }
    if switched.changed {
        switched.followers = followers(&config);
    }
    edit(project, &waybill_connectors::registry(), |_, document| {
        let map = object(document)?;
        if !map.get("destinations").and_then(Value::as_object).is_some_and(|all| all.contains_key(name)) {
            return Err(Error::config(format!("destination {name:?} was just removed")));
        }
        if map.get("destination").and_then(Value::as_str) == Some(name) {
            return Ok(());
        }
        match map.contains_key("destination") {
            true => drop(map.insert("destination".to_owned(), json!(name))),
            false => {
                // Before the destinations, where a reader looks for it.
                let at = map.keys().position(|key| key == "destinations").unwrap_or(0);
                map.shift_insert(at, "destination".to_owned(), json!(name));
            }
        }
        Ok(())
    })?;
    Ok(switched)
}
