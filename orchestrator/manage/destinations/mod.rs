//! Destinations: listed, added, changed, removed, and the default one chosen. Settings go to
//! config.json, secret ones to secrets.toml.

mod blueprint;
mod change;
mod remove;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use waybill_protocol::ErrorRecord;

pub use blueprint::{Blueprint, Change, Setting};
pub use change::{add, revise};
pub use remove::{Removed, Switched, choose, remove};

use crate::store::config::LoadedConfig;

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
