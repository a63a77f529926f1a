//! What a connector can be told as a destination, and what somebody tells it.

use serde_json::{Map, Value};
use waybill_protocol::{Error, Result, Role};

use crate::secrets::NewValue;
use crate::secrets::merge::typed;
use crate::store::config::worded_path;
use crate::store::nearest::did_you_mean;
use crate::store::shape::Shape;
use crate::store::systems::Systems;

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
    pub(super) schema: Value,
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

    pub(super) fn check(&self, change: &Change) -> Result<()> {
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
pub(super) fn validate(
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
