//! Adding and changing.

use serde_json::{Map, Value, json};
use waybill_protocol::{Error, Result};

use super::blueprint::{Blueprint, Change, validate};
use crate::secrets::{NewValue, Place, SecretsFile, set, unset};
use crate::store::config::{EMBEDDED_NAME, EMBEDDED_PATH, EMBEDDED_TYPE, LoadedConfig};
use crate::store::edit::edit;
use crate::store::name::check_name;
use crate::store::project::{Origin, Project};
use crate::store::shape::Shape;

/// Adds a destination. It becomes the default where `default` says so, or where it is the first and no
/// connection goes to the embedded one; what does goes on to do so, and that is written down then.
pub fn add(project: &Project, name: &str, system: &str, change: &Change, default: bool) -> Result<()> {
    check_name("destination name", name)?;
    let blueprint = Blueprint::of(system)?;
    blueprint.check(change)?;
    let held = held(project, name)?;
    validate(&blueprint, &change.settings, &after(held, change))?;
    taken(&crate::store::config::load(project)?, name)?;
    let before = SecretsFile::read(project)?.destination(name)?.1;
    write_secrets(project, name, change)?;
    let added = edit(project, &waybill_connectors::registry(), |_, document| {
        let map = object(document)?;
        keep_embedded(map, name);
        let known = map.get("destinations").and_then(Value::as_object);
        let first = known.is_none_or(Map::is_empty);
        if known.is_some_and(|known| known.contains_key(name)) {
            return Err(exists(name));
        }
        let mut entry = Map::from_iter([("type".to_owned(), json!(system))]);
        entry.extend(change.settings.clone());
        let slot = map.entry("destinations").or_insert_with(|| json!({}));
        let slot = slot.as_object_mut().ok_or_else(|| Error::config("destinations is no object"))?;
        slot.insert(name.to_owned(), Value::Object(entry));
        if default || (first && !map.contains_key("destination")) {
            map.insert("destination".to_owned(), json!(name));
        }
        Ok(())
    });
    if added.is_err() {
        // What was not there before goes again: a secret without a destination is nobody's.
        for (key, _) in change.secrets.iter().filter(|(key, _)| !before.contains_key(key)) {
            let _ = unset(project, &Place::Destination(name.to_owned()), key);
        }
    }
    added
}

/// The embedded destination is there only while the config names none: where connections go to it,
/// it is written down before another one comes.
fn keep_embedded(map: &mut Map<String, Value>, name: &str) {
    let follows = |entry: &Value| entry.get("destination").is_none_or(|own| own == EMBEDDED_NAME);
    let used = map.get("connections").and_then(Value::as_array).is_some_and(|all| all.iter().any(follows));
    let none = map.get("destinations").is_none_or(|all| all.as_object().is_some_and(Map::is_empty));
    if used && none && name != EMBEDDED_NAME {
        let embedded = json!({EMBEDDED_NAME: {"type": EMBEDDED_TYPE, "path": EMBEDDED_PATH}});
        map.insert("destinations".to_owned(), embedded);
        map.entry("destination").or_insert_with(|| json!(EMBEDDED_NAME));
    }
}

pub(super) fn object(document: &mut Value) -> Result<&mut Map<String, Value>> {
    document.as_object_mut().ok_or_else(|| Error::config("the config holds no object"))
}

fn exists(name: &str) -> Error {
    Error::config(format!("there is a destination {name:?} already"))
        .hint(format!("change it: waybill destination edit {name}"))
}

fn taken(config: &LoadedConfig, name: &str) -> Result<()> {
    let known = config.destinations.iter().filter(|d| d.origin == Origin::Config).map(|d| Some(&d.name));
    let invalid = config.invalid_destinations.iter().map(|d| d.name.as_ref());
    if known.chain(invalid).flatten().any(|known| known == name) { Err(exists(name)) } else { Ok(()) }
}

/// Changes settings of a destination.
pub fn revise(project: &Project, name: &str, change: &Change) -> Result<()> {
    let config = crate::store::config::load(project)?;
    let destination = config.destinations.iter().find(|d| d.name == name);
    let entry = config.text.value.get("destinations").and_then(|all| all.get(name));
    let system = entry.and_then(|entry| entry.get("type")).and_then(Value::as_str);
    let system = match (destination, system) {
        (Some(found), _) if found.origin == Origin::Default => {
            return Err(Error::config(format!("{name} is the embedded destination, and stands in no file"))
                .hint(format!(
                    "write it down to change it: waybill destination add {name} sqlite --set path=…"
                )));
        }
        (_, Some(system)) => system.to_owned(),
        _ => return Err(config.destination_named(name).err().unwrap_or_else(|| Error::config("no type"))),
    };
    let blueprint = Blueprint::of(&system)?;
    blueprint.check(change)?;
    let mut settings = entry.and_then(Value::as_object).cloned().unwrap_or_default();
    settings.shift_remove("type");
    settings.extend(change.settings.clone());
    settings
        .retain(|key, _| !change.unset.contains(key) && Shape::of(&blueprint.schema).member(key).is_some());
    validate(&blueprint, &settings, &after(held(project, name)?, change))?;
    write_secrets(project, name, change)?;
    if change.settings.is_empty() && change.unset.is_empty() {
        return Ok(());
    }
    edit(project, &waybill_connectors::registry(), |_, document| {
        let entry = document.pointer_mut("/destinations").and_then(|all| all.get_mut(name));
        let entry = entry.and_then(Value::as_object_mut);
        let entry = entry.ok_or_else(|| Error::config(format!("destination {name:?} was just removed")))?;
        for key in &change.unset {
            entry.shift_remove(key);
        }
        for (key, value) in &change.settings {
            entry.insert(key.clone(), value.clone());
        }
        Ok(())
    })
}

/// The keys of the destination in secrets.toml, both tables.
pub(super) fn held(project: &Project, name: &str) -> Result<Map<String, Value>> {
    let (mut settings, credentials) = SecretsFile::read(project)?.destination(name)?;
    settings.extend(credentials);
    Ok(settings)
}

/// The secrets as they will be; what a reference stands for is not asked.
fn after(mut held: Map<String, Value>, change: &Change) -> Map<String, Value> {
    for key in &change.unset {
        held.shift_remove(key);
    }
    for (key, value) in &change.secrets {
        let text = match value {
            NewValue::Literal(secret) => secret.expose().to_owned(),
            _ => "x".to_owned(),
        };
        if !key.contains('.') {
            held.insert(key.clone(), Value::from(text));
        }
    }
    for value in held.values_mut() {
        if value.as_object().is_some_and(|map| {
            map.len() <= 2 && ["env", "file", "command"].iter().any(|w| map.contains_key(*w))
        }) {
            *value = Value::from("x");
        }
    }
    held
}

fn write_secrets(project: &Project, name: &str, change: &Change) -> Result<()> {
    let place = Place::Destination(name.to_owned());
    for (key, value) in &change.secrets {
        set(project, &place, key, value)?;
    }
    for key in &change.unset {
        unset(project, &place, key)?;
    }
    Ok(())
}
