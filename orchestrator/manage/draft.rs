//! A connection that is not saved yet: its entry as it will stand, and its secrets apart.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use waybill_protocol::{Connector, Error, Result, Role, Secret};

use crate::secrets::NewValue;
use crate::secrets::hidden::has_password;
use crate::store::shape::{Found, Shape};
use crate::store::span::{JsonPath, Step};
use crate::store::systems::Systems;

/// Secrets to write (`Some`) and to take out (`None`), by the name of their setting.
pub type SecretChanges = BTreeMap<String, Option<NewValue>>;

/// A connection that is not saved yet.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Its entry: `name`, `type`, `enabled`, `destination`, `schema`, policies. No secret is in it.
    pub entry: Map<String, Value>,
    /// Its secrets, for `[sources.<name>]` of secrets.toml.
    pub secrets: SecretChanges,
}

impl Draft {
    /// A connection of this name from a source of this type.
    pub fn new(name: &str, system: &str) -> Draft {
        let entry = Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("type".to_owned(), json!(system)),
            ("enabled".to_owned(), json!(true)),
        ]);
        Draft { entry, secrets: SecretChanges::new() }
    }

    /// A whole entry, such as a program hands over. Its settings may have secrets in them: they are
    /// taken out, and go to secrets.toml.
    pub fn of_entry(entry: Value, registry: &[Box<dyn Connector>]) -> Result<Draft> {
        let Value::Object(entry) = entry else {
            return Err(Error::config("a connection is one JSON object")
                .hint("give {\"name\": …, \"type\": …, \"schema\": {…}}"));
        };
        let mut draft = Draft { entry, secrets: SecretChanges::new() };
        draft.part(registry)?;
        Ok(draft)
    }

    /// Its name; empty where it has none yet.
    pub fn name(&self) -> &str {
        self.entry.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The connector of its source.
    pub fn system(&self) -> &str {
        self.entry.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Gives a setting a value; a secret one goes to the secrets.
    pub fn set(&mut self, key: &str, value: Value, registry: &[Box<dyn Connector>]) -> Result<()> {
        with_schema(&mut self.entry, |schema| {
            schema.insert(key.to_owned(), value);
            Ok(())
        })?;
        self.part(registry)
    }

    /// Takes what is secret out of the settings.
    pub fn part(&mut self, registry: &[Box<dyn Connector>]) -> Result<()> {
        let system = self.system().to_owned();
        let taken = with_schema(&mut self.entry, |schema| part(&system, schema, registry))?;
        self.secrets.extend(taken.into_iter().map(|(key, value)| (key, Some(value))));
        Ok(())
    }
}

/// The member `schema` of an entry, made where it is missing.
pub(super) fn with_schema<T>(
    entry: &mut Map<String, Value>,
    work: impl FnOnce(&mut Map<String, Value>) -> Result<T>,
) -> Result<T> {
    let there = entry.contains_key("schema");
    match entry.entry("schema").or_insert_with(|| json!({})) {
        Value::Object(map) => {
            let done = work(map)?;
            if !there && map.is_empty() {
                entry.shift_remove("schema");
            }
            Ok(done)
        }
        _ => Err(Error::config("schema must be an object").hint("it holds the settings and the streams")),
    }
}

/// Takes secrets out of the settings of a source.
pub(super) fn part(
    system: &str,
    settings: &mut Map<String, Value>,
    registry: &[Box<dyn Connector>],
) -> Result<BTreeMap<String, NewValue>> {
    let systems = Systems::of(registry);
    // A type that does not exist is said when the entry is read.
    let Ok(known) = systems.find(system, Role::Source) else { return Ok(BTreeMap::new()) };
    let mut plain = settings.clone();
    plain.shift_remove("streams");
    let mut secret = Vec::new();
    let whole = Value::Object(plain);
    Shape::of(&known.source).walk(&whole, &JsonPath::default(), &mut |found| {
        if let Found::Secret(path) = found {
            secret.push(path);
        }
    });
    let mut taken = BTreeMap::new();
    for path in secret {
        let [Step::Key(key)] = path.0.as_slice() else {
            return Err(Error::config(format!("schema.{path} holds a secret"))
                .hint("write it into secrets.toml by hand, under the same name in [sources.<connection>]"));
        };
        match settings.shift_remove(key) {
            None | Some(Value::Null) => {}
            Some(value) => drop(taken.insert(key.clone(), secret_value(key, value)?)),
        }
    }
    if let Some((key, _)) =
        settings.iter().find(|(key, value)| *key != "streams" && value.as_str().is_some_and(has_password))
    {
        return Err(Error::config(format!("schema.{key} has a password in it"))
            .hint("leave the password out there, and give it as a secret of its own"));
    }
    Ok(taken)
}

/// A secret as JSON has it: a text, or where it comes from.
fn secret_value(key: &str, value: Value) -> Result<NewValue> {
    let target = |word: &str| match value.as_object() {
        Some(map) if map.len() == 1 => map.get(word).and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    match (&value, target("env"), target("file")) {
        (Value::String(text), _, _) => Ok(NewValue::Literal(Secret::new(text.as_str()))),
        (_, Some(name), _) => Ok(NewValue::Env(name)),
        (_, _, Some(path)) => Ok(NewValue::File(path)),
        _ => Err(Error::config(format!("schema.{key}: must be a text, or where the secret comes from"))
            .hint("write \"…\", {\"env\": \"NAME\"} or {\"file\": \"path\"}")),
    }
}
