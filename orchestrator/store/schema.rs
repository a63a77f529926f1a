//! The JSON Schema of config.json: from the types, with each connector's own settings.

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};
use waybill_protocol::{Connector, Role};

use super::config::{Head, Policies};
use super::name::NAME_PATTERN;
use super::shape::Shape;
use super::systems::Systems;

/// The document as a person writes it; it is read member by member.
#[derive(JsonSchema)]
#[schemars(title = "Waybill config.json")]
#[allow(dead_code)] // Its schema is what is used.
struct Document {
    /// The version of this format: 1.
    version: Option<u64>,
    /// The JSON Schema that an editor checks this file with.
    #[serde(rename = "$schema")]
    schema: Option<String>,
    /// The destination of connections that name none.
    destination: Option<String>,
    /// Destinations by name. Without any, data goes to the file waybill.db.
    destinations: Option<BTreeMap<String, Anything>>,
    /// The destination that each run is written to as it ends, into tables `waybill_runs`,
    /// `waybill_run_streams` and `waybill_run_events`: one of type postgres. `waybill history sync`
    /// writes what is missing there.
    history: Option<String>,
    /// The file that holds all state instead of this one, for those who keep this one under git;
    /// relative to this file's folder. `waybill config state-file` moves the state.
    state_file: Option<String>,
    /// Retries, deadlines and parallelism for all connections that do not say otherwise.
    defaults: Option<Policies>,
    /// What is moved from where to where.
    connections: Option<Vec<Entry>>,
}

#[derive(JsonSchema)]
#[schemars(title = "Connection")]
#[allow(dead_code)]
struct Entry {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    policies: Policies,
    /// Settings of the source and the selection of streams.
    schema: Option<Anything>,
    /// Stream → how far it was loaded, or what a person wants done. Written by the program.
    state: Option<BTreeMap<String, StreamEntry>>,
}

/// A stream's position (`cursor`, `digest`, `data`) or one instruction (`reset`, `accept`, `set`).
#[derive(JsonSchema)]
#[allow(dead_code)]
struct StreamEntry {
    /// How far the stream was loaded; edited by hand, loading goes on from there.
    cursor: Option<Value>,
    /// Digest of what the program wrote.
    digest: Option<String>,
    /// What only the source understands.
    data: Option<Value>,
    /// Load everything again; a text that was not used before.
    reset: Option<String>,
    /// Go on from what is there; a text that was not used before.
    accept: Option<String>,
    /// Go on from a cursor.
    set: Option<Set>,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Set {
    /// The cursor.
    cursor: Value,
    /// A text that was not used before.
    nonce: String,
}

/// An object whose members depend on the connector.
struct Anything;

impl JsonSchema for Anything {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Anything".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object", "additionalProperties": true})
    }
}

/// The schema of the document without the connectors' parts.
pub(crate) fn document_schema() -> Value {
    schema_for!(Document).to_value()
}

/// The JSON Schema of config.json with the connectors of a registry.
pub fn config_schema(registry: &[Box<dyn Connector>]) -> Value {
    let mut schema = document_schema();
    let mut defs = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let systems = Systems::of(registry);
    let stream = adopt(systems.selection, "stream", &mut defs);
    let (mut sources, mut destinations) = (Vec::new(), Vec::new());
    let (mut source_rules, mut destination_rules) = (Vec::new(), Vec::new());
    for spec in systems.list {
        if spec.roles.contains(&Role::Source) {
            sources.push(spec.name);
            let own = adopt(spec.stream, &format!("{}.stream", spec.name), &mut defs);
            let item = with_members(stream.clone(), &own);
            let settings = adopt(spec.source, &format!("{}.source", spec.name), &mut defs);
            let mut settings = public(&settings);
            insert(&mut settings, "/properties", "streams", json!({"type": "array", "items": item}));
            source_rules.push(rule(spec.name, json!({"properties": {"schema": settings}})));
        }
        if spec.roles.contains(&Role::Destination) {
            destinations.push(spec.name);
            let settings = adopt(spec.destination, &format!("{}.destination", spec.name), &mut defs);
            destination_rules.push(rule(spec.name, public(&settings)));
        }
    }
    let mut destination = json!({
        "type": "object",
        "properties": {"type": {"description": "The connector.", "type": "string", "enum": destinations}},
        "required": ["type"],
    });
    insert(&mut destination, "", "allOf", json!(destination_rules));
    insert(&mut schema, "/properties/destinations", "additionalProperties", destination);
    insert(&mut schema, "/properties/destinations", "propertyNames", json!({"pattern": NAME_PATTERN}));
    insert(&mut schema, "/properties/version", "maximum", json!(super::config::CONFIG_VERSION));
    insert(&mut schema, "/properties/version", "minimum", json!(1));
    insert(&mut schema, "", "$defs", Value::Object(defs));
    insert(&mut schema, "/$defs/Entry", "allOf", json!(source_rules));
    insert(&mut schema, "/$defs/Entry/properties/type", "enum", json!(sources));
    insert(&mut schema, "/$defs/Entry/properties/name", "pattern", json!(NAME_PATTERN));
    schema
}

fn rule(system: &str, then: Value) -> Value {
    json!({"if": {"properties": {"type": {"const": system}}, "required": ["type"]}, "then": then})
}

fn insert(value: &mut Value, pointer: &str, key: &str, member: Value) {
    if let Some(map) = value.pointer_mut(pointer).and_then(Value::as_object_mut) {
        map.insert(key.to_owned(), member);
    }
}

/// Moves a schema's definitions into the common ones, under names of their own.
fn adopt(mut schema: Value, prefix: &str, defs: &mut Map<String, Value>) -> Value {
    redirect(&mut schema, prefix);
    if let Some(map) = schema.as_object_mut() {
        map.shift_remove("$schema");
        if let Some(Value::Object(own)) = map.shift_remove("$defs") {
            defs.extend(own.into_iter().map(|(name, value)| (format!("{prefix}.{name}"), value)));
        }
    }
    schema
}

fn redirect(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{prefix}.{name}");
                        }
                    }
                    value => redirect(value, prefix),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| redirect(value, prefix)),
        _ => {}
    }
}

/// The settings as config.json may have them: without secrets, none required (they may stand in
/// secrets.toml), and open, since an unknown one is a warning and no error.
fn public(settings: &Value) -> Value {
    let shape = Shape::of(settings);
    let mut out = settings.clone();
    if let Some(map) = out.as_object_mut() {
        for word in ["required", "additionalProperties", "title"] {
            map.shift_remove(word);
        }
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.retain(|name, _| !shape.member(name).is_some_and(|member| member.secret()));
        }
    }
    out
}

fn with_members(mut stream: Value, own: &Value) -> Value {
    if let (Some(all), Some(own)) =
        (stream.pointer_mut("/properties").and_then(Value::as_object_mut), own.get("properties"))
    {
        for (name, member) in own.as_object().into_iter().flatten() {
            all.entry(name.clone()).or_insert_with(|| member.clone());
        }
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::registry;

    #[test]
    fn every_reference_has_its_target_and_secrets_are_left_out() {
        let schema = config_schema(&registry());
        let text = schema.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(schema.pointer(pointer).is_some(), "{pointer}");
        }
        assert!(
            text.contains("\"streams\"") && text.contains("\"delimiter\"") && text.contains("\"pooler\"")
        );
        assert!(!text.contains("\"password\":{"), "a secret is offered for config.json");
        assert_eq!(schema.pointer("/$defs/Entry/properties/type/enum"), Some(&json!(["depot"])));
        assert_eq!(schema.pointer("/$defs/Entry/properties/query_timeout_ms/minimum"), Some(&json!(1)));
        let destinations =
            schema.pointer("/properties/destinations/additionalProperties/properties/type/enum");
        assert_eq!(destinations, Some(&json!(["depot", "sqlite"])));
        assert!(
            schema.pointer("/$defs/Entry/required").is_some_and(|names| names == &json!(["name", "type"]))
        );
    }
}
