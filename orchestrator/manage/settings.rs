//! One value of an entry by its name, typed by the schemas.

use serde_json::{Map, Value, json};
use waybill_protocol::{Connector, Error, Result, Role};

use super::draft::with_schema;
use crate::secrets::merge::typed;
use crate::store::nearest::{did_you_mean, shown};
use crate::store::schema::document_schema;
use crate::store::shape::Shape;
use crate::store::systems::Systems;

/// A value that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Assigned {
    /// Its path in the entry.
    pub path: String,
    /// The value.
    pub value: Value,
}

/// Members that have commands of their own.
const APART: [(&str, &str); 5] = [
    ("id", "it is written once: state is kept by it"),
    ("name", "use `waybill connection rename`: its secrets go with it"),
    ("state", "use `waybill state reset|accept|set`"),
    ("schema", "name a setting: KEY, or schema.KEY"),
    ("streams", "use `waybill connection select`"),
];

/// Where a value stands and what it may be.
struct Place {
    /// Whether below `schema`.
    setting: bool,
    keys: Vec<String>,
    secret: bool,
    value: std::result::Result<Value, String>,
}

impl Place {
    fn path(&self) -> String {
        let keys = self.keys.join(".");
        if self.setting { format!("schema.{keys}") } else { keys }
    }
}

/// Gives a value to a setting of the source (`host`, `tls.verify`) or a member of the entry
/// (`retries`, `destination`); the text is read as the type that the schemas say.
pub fn assign(
    entry: &mut Map<String, Value>,
    key: &str,
    text: &str,
    registry: &[Box<dyn Connector>],
) -> Result<Assigned> {
    let place = find(entry, key, text, registry)?;
    if place.secret {
        return Err(Error::config(format!("{key} is a secret, and secrets are never flag values")).hint(
            format!("use --secret {key} (asked hidden, or read from standard input), --secret-env {key}=NAME or --secret-file {key}=PATH"),
        ));
    }
    let value = place
        .value
        .clone()
        .map_err(|why| Error::config(format!("{key}: {why}")).hint(format!("give it as {key}=VALUE")))?;
    put(entry, &place, Some(value.clone()))?;
    Ok(Assigned { path: place.path(), value })
}

/// Takes a setting or a member out, so that its default holds; whether it was there.
pub fn unassign(entry: &mut Map<String, Value>, key: &str, registry: &[Box<dyn Connector>]) -> Result<bool> {
    let place = find(entry, key, "", registry)?;
    if place.secret {
        return Err(Error::config(format!("{key} is a secret")).hint(format!("use --unset-secret {key}")));
    }
    put(entry, &place, None)
}

/// Whether a setting of an entry is secret; an unknown one is refused.
pub fn is_secret(entry: &Map<String, Value>, key: &str, registry: &[Box<dyn Connector>]) -> Result<bool> {
    find(entry, key, "", registry).map(|place| place.secret)
}

fn find(entry: &Map<String, Value>, key: &str, text: &str, registry: &[Box<dyn Connector>]) -> Result<Place> {
    let systems = Systems::of(registry);
    let system = entry.get("type").and_then(Value::as_str).unwrap_or_default();
    let refused = |(message, hint): (String, String)| Error::config(message).hint(hint);
    let known = systems.find(system, Role::Source).map_err(refused)?;
    let document = document_schema();
    let settings = Shape::of(&known.source);
    let members = Shape::of(&document).member("connections").map(|list| list.items()).unwrap_or_default();
    let mut keys: Vec<String> = key.split('.').map(str::to_owned).collect();
    let explicit = keys.len() > 1 && keys.first().is_some_and(|first| first == "schema");
    if explicit {
        keys.remove(0);
    }
    let first = keys.first().cloned().unwrap_or_default();
    let setting = explicit || settings.member(&first).is_some();
    if !setting && let Some((_, why)) = APART.iter().find(|(apart, _)| *apart == first) {
        return Err(Error::config(format!("{first} is not set this way")).hint(*why));
    }
    let mut shape = if setting { settings.clone() } else { members.clone() };
    for part in &keys {
        shape = shape.member(part).ok_or_else(|| {
            let known: Vec<&str> = match setting {
                true => shape.names(),
                false => settings.names().into_iter().chain(members.names()).collect(),
            };
            let known: Vec<&str> =
                known.into_iter().filter(|name| APART.iter().all(|(apart, _)| apart != name)).collect();
            let near = did_you_mean(part, known.iter().copied());
            Error::config(format!("{system} has no setting {}{near}", shown(key)))
                .hint(format!("it has: {}", known.join(", ")))
        })?;
    }
    Ok(Place { setting, secret: shape.secret(), value: typed(text, &shape), keys })
}

fn put(entry: &mut Map<String, Value>, place: &Place, value: Option<Value>) -> Result<bool> {
    if place.setting {
        with_schema(entry, |schema| put_at(schema, &place.keys, value))
    } else {
        put_at(entry, &place.keys, value)
    }
}

fn put_at(map: &mut Map<String, Value>, keys: &[String], value: Option<Value>) -> Result<bool> {
    match (keys, value) {
        ([], _) => Ok(false),
        ([key], Some(value)) => Ok(map.insert(key.clone(), value).is_some()),
        ([key], None) => Ok(map.shift_remove(key).is_some()),
        ([key, ..], None) if !map.contains_key(key) => Ok(false),
        ([key, rest @ ..], value) => match map.entry(key.clone()).or_insert_with(|| json!({})) {
            Value::Object(inner) => put_at(inner, rest, value),
            _ => Err(Error::config(format!("{key} is no object")).hint("give it as JSON, as a whole")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::registry;

    fn entry() -> Map<String, Value> {
        let entry = json!({"name": "a", "type": "depot", "schema": {"host": "h"}});
        entry.as_object().cloned().unwrap()
    }

    #[test]
    fn values_are_typed_by_the_schemas() {
        let mut entry = entry();
        for (key, text, path, value) in [
            ("port", "5433", "schema.port", json!(5433)),
            ("host", "5433", "schema.host", json!("5433")),
            ("tls.verify", "true", "schema.tls.verify", json!(true)),
            ("schema.user", "u=v", "schema.user", json!("u=v")),
            ("retries", "5", "retries", json!(5)),
            ("destination", "w", "destination", json!("w")),
            ("enabled", "false", "enabled", json!(false)),
        ] {
            let assigned = assign(&mut entry, key, text, &registry()).unwrap();
            assert_eq!(assigned, Assigned { path: path.to_owned(), value }, "{key}");
        }
        assert_eq!(entry["schema"]["tls"], json!({"verify": true}));
        assert!(unassign(&mut entry, "tls.verify", &registry()).unwrap());
        assert!(!unassign(&mut entry, "endpoint", &registry()).unwrap());
        assert!(unassign(&mut entry, "retries", &registry()).unwrap() && !entry.contains_key("retries"));
    }

    #[test]
    fn what_cannot_be_set_says_why_and_names_what_can() {
        let refused = |key: &str, text: &str| {
            let error = assign(&mut entry(), key, text, &registry()).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            format!("{} | {}", error.message(), error.get_hint().unwrap())
        };
        assert!(refused("hots", "x").contains("did you mean \"host\""));
        assert!(refused("port", "x").contains("port: must be a whole number"));
        assert!(refused("tls.verify", "ja").contains("true or false"));
        assert!(refused("tls.nothing", "x").contains("it has: verify"));
        assert!(refused("password", "hunter2").contains("--secret password"));
        assert!(!refused("password", "hunter2").contains("hunter2"));
        assert!(refused("id", "x").contains("written once") && refused("name", "x").contains("rename"));
        assert!(refused("streams", "[]").contains("select") && refused("", "x").contains("no setting"));
    }
}
