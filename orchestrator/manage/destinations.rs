//! Destinations: listed, added, changed, removed, and the default one chosen. Settings go to
//! config.json, secret ones to secrets.toml.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use waybill_protocol::{Error, ErrorRecord, Result, Role};

use crate::secrets::merge::typed;
use crate::secrets::{NewValue, Place, SecretsFile, set, unset};
use crate::store::config::{LoadedConfig, worded_path};
use crate::store::edit::edit;
use crate::store::name::check_name;
use crate::store::nearest::did_you_mean;
use crate::store::project::{Origin, Project};
use crate::store::shape::Shape;
use crate::store::systems::Systems;

/// A destination, for a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its connector, where it has a readable one.
    #[serde(rename = "type")]
    pub system: Option<String>,
    /// Whether connections that name none go there.
    pub default: bool,
    /// Connections that go there.
    pub used_by: Vec<String>,
    /// Settings as config.json has them; no secret stands there.
    pub settings: Map<String, Value>,
    /// What is wrong with it.
    pub errors: Vec<ErrorRecord>,
}

/// Every destination, in the file's order; the embedded one alone where the file has none.
pub fn list(config: &LoadedConfig) -> Vec<Listed> {
    let default = default_of(config);
    let good = config.destinations.iter().map(|destination| Listed {
        name: destination.name.clone(),
        system: Some(destination.system.clone()),
        default: default.as_deref() == Some(&destination.name),
        used_by: users(config, &destination.name),
        settings: destination.settings.clone(),
        errors: Vec::new(),
    });
    let bad = config.invalid_destinations.iter().map(|invalid| {
        let name = invalid.name.clone().unwrap_or_default();
        Listed {
            system: None,
            default: default.as_deref() == Some(&name),
            used_by: users(config, &name),
            settings: Map::new(),
            errors: invalid.errors.clone(),
            name,
        }
    });
    good.chain(bad).collect()
}

/// The destination of connections that name none: the config's, else the only one.
pub fn default_of(config: &LoadedConfig) -> Option<String> {
    match (&config.destination, config.destinations.as_slice(), config.invalid_destinations.as_slice()) {
        (Some(name), ..) => Some(name.clone()),
        (None, [only], []) => Some(only.name.clone()),
        _ => None,
    }
}

/// Connections that go to a destination, in the file's order.
pub fn users(config: &LoadedConfig, name: &str) -> Vec<String> {
    named(config, |own| own.map_or(default_of(config).as_deref() == Some(name), |own| own == name))
}

/// Connections that follow the default.
pub fn followers(config: &LoadedConfig) -> Vec<String> {
    named(config, |own| own.is_none())
}

fn named(config: &LoadedConfig, wanted: impl Fn(Option<&str>) -> bool) -> Vec<String> {
    let entries = config.text.value.get("connections").and_then(Value::as_array);
    let name = |entry: &Value| entry.get("name").and_then(Value::as_str).map(str::to_owned);
    let own = |entry: &Value| entry.get("destination").and_then(Value::as_str).map(str::to_owned);
    entries.into_iter().flatten().filter(|entry| wanted(own(entry).as_deref())).filter_map(name).collect()
}

/// What is to change about a destination.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Settings of config.json.
    pub settings: Map<String, Value>,
    /// Secret settings.
    pub secrets: Vec<(String, NewValue)>,
    /// Settings that go, secret or not.
    pub unset: Vec<String>,
}

/// The settings of a connector as a destination.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// The connector.
    pub system: String,
    schema: Value,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Whether it is secret.
    pub secret: bool,
    /// Whether the connector cannot do without.
    pub required: bool,
    /// What it is, for people.
    pub about: String,
}

impl Blueprint {
    /// The settings of a connector; an error that names the ones there are.
    pub fn of(system: &str) -> Result<Blueprint> {
        let registry = waybill_connectors::registry();
        let systems = Systems::of(&registry);
        let known = systems
            .find(system, Role::Destination)
            .map_err(|(message, hint)| Error::config(message).hint(hint))?;
        Ok(Blueprint { system: system.to_owned(), schema: known.destination.clone() })
    }

    /// The connectors that can be destinations.
    pub fn systems() -> Vec<String> {
        let registry = waybill_connectors::registry();
        let specs = registry.iter().map(|connector| connector.spec());
        specs
            .filter(|spec| spec.roles.contains(&Role::Destination))
            .map(|spec| spec.name.to_owned())
            .collect()
    }

    /// Every setting, in the connector's order.
    pub fn settings(&self) -> Vec<Setting> {
        let required: Vec<&str> = self
            .schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let about = |key: &str| {
            let member = self.schema.get("properties").and_then(|all| all.get(key));
            let text = member.and_then(|member| member.get("description")).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let shape = Shape::of(&self.schema);
        let setting = |key: &str| Setting {
            secret: shape.member(key).is_some_and(|member| member.secret()),
            required: required.contains(&key),
            about: about(key),
            key: key.to_owned(),
        };
        shape.names().into_iter().map(setting).collect()
    }

    fn setting(&self, key: &str) -> Result<Setting> {
        let all = self.settings();
        let names: Vec<&str> = all.iter().map(|setting| setting.key.as_str()).collect();
        match all.iter().find(|setting| setting.key == key) {
            Some(found) => Ok(found.clone()),
            None => {
                let near = did_you_mean(key, names.iter().copied());
                Err(Error::config(format!("{} has no setting {key:?}{near}", self.system))
                    .hint(format!("it has: {}", names.join(", "))))
            }
        }
    }

    /// A value that was typed as text, as the setting's type. A secret is refused: it would stand in
    /// the shell's history and in the list of processes.
    pub fn read(&self, key: &str, text: &str) -> Result<Value> {
        let setting = self.setting(key)?;
        if setting.secret {
            return Err(Error::config(format!("{key} is secret, and no value for a flag"))
                .hint(format!("give --secret {key} (asked, or read from standard input), --secret-env {key}=NAME or --secret-file {key}=PATH")));
        }
        let shape = Shape::of(&self.schema);
        typed(text, &shape.member(key).unwrap_or_default())
            .map_err(|why| Error::config(format!("{key}: {why}")).hint(setting.about))
    }

    /// Takes an object with all settings apart: secret ones are literals for secrets.toml.
    pub fn sort(&self, settings: Map<String, Value>) -> Result<Change> {
        let mut change = Change::default();
        for (key, value) in settings {
            let secret = self.setting(&key)?.secret;
            match value {
                Value::Null => change.unset.push(key),
                Value::String(text) if secret => {
                    change.secrets.push((key, NewValue::Literal(waybill_protocol::Secret::new(text))));
                }
                _ if secret => return Err(Error::config(format!("{key} must be a text"))),
                value => drop(change.settings.insert(key, value)),
            }
        }
        Ok(change)
    }

    fn check(&self, change: &Change) -> Result<()> {
        for key in change.settings.keys() {
            if self.setting(key)?.secret {
                return Err(Error::config(format!("{key} is secret, and does not stand in config.json"))
                    .hint("give it as a secret"));
            }
        }
        for (key, _) in &change.secrets {
            let first = key.split('.').next().unwrap_or(key);
            self.setting(first)?;
        }
        change.unset.iter().try_for_each(|key| self.setting(key).map(drop))
    }
}

/// Looks at settings as a whole before anything is written: references stand for some text.
fn validate(
    blueprint: &Blueprint,
    settings: &Map<String, Value>,
    secrets: &Map<String, Value>,
) -> Result<()> {
    let mut whole = settings.clone();
    for (key, value) in secrets {
        whole.insert(key.clone(), value.clone());
    }
    let connector = waybill_connectors::find(&blueprint.system)?;
    connector.validate(Role::Destination, &Value::Object(whole)).map_err(|error| {
        let message = format!("the settings of the destination: {}", worded_path(error.message()));
        let missing = error.message().split("missing field `").nth(1).and_then(|rest| rest.split('`').next());
        let hint = missing.map(|key| format!("give it: --set {key}=…"));
        let hint = hint.or_else(|| error.get_hint().map(str::to_owned));
        let again = Error::new(error.kind(), message);
        match hint {
            Some(hint) => again.hint(hint),
            None => again,
        }
    })
}

/// Adds a destination; a first one, or `default`, becomes the default.
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

fn object(document: &mut Value) -> Result<&mut Map<String, Value>> {
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
fn held(project: &Project, name: &str) -> Result<Map<String, Value>> {
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
    let names: Vec<String> = held(project, name)?.keys().cloned().collect();
    edit(project, &waybill_connectors::registry(), |_, document| {
        let map = object(document)?;
        if let Some(all) = map.get_mut("destinations").and_then(Value::as_object_mut) {
            all.shift_remove(name);
        }
        if map.get("destination").and_then(Value::as_str) == Some(name) {
            map.shift_remove("destination");
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
