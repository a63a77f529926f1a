//! What a JSON Schema knows about a value: which members, which of them secret, of which type.
//!
//! Not validation: the types do that when they are read. This finds what reading passes over.

use serde_json::{Map, Value};

use super::span::JsonPath;

/// A place in a JSON Schema: every subschema that may apply there.
#[derive(Debug, Clone, Default)]
pub struct Shape<'a> {
    /// The subschemas, each with the document that its references point into.
    parts: Vec<(&'a Value, &'a Value)>,
    /// Whether members that no subschema names are welcome.
    open: bool,
}

/// What [`Shape::walk`] finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A member that no schema names, with the names that are known beside it.
    Unknown(JsonPath, String, Vec<String>),
    /// A value that is marked secret.
    Secret(JsonPath),
}

impl<'a> Shape<'a> {
    /// The shape that a schema document describes.
    pub fn of(schema: &'a Value) -> Shape<'a> {
        let mut shape = Shape::default();
        shape.add(schema, schema, 0);
        shape
    }

    /// The members of several shapes together; none of them is open for that.
    pub fn merged(shapes: impl IntoIterator<Item = Shape<'a>>) -> Shape<'a> {
        Shape { parts: shapes.into_iter().flat_map(|shape| shape.parts).collect(), open: false }
    }

    fn add(&mut self, root: &'a Value, schema: &'a Value, depth: usize) {
        if depth > 32 {
            return;
        }
        let Value::Object(map) = schema else {
            self.open |= schema == &Value::Bool(true);
            return;
        };
        self.parts.push((root, schema));
        let target = map.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        if let Some(found) = target.and_then(|pointer| root.pointer(pointer)) {
            self.add(root, found, depth + 1);
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            for part in map.get(word).and_then(Value::as_array).into_iter().flatten() {
                self.add(root, part, depth + 1);
            }
        }
        match map.get("additionalProperties") {
            Some(Value::Bool(open)) => self.open |= *open,
            Some(_) => self.open = true,
            // A schema that says nothing at all about its value takes any.
            None => self.open |= !map.keys().any(|word| !ANNOTATIONS.contains(&word.as_str())),
        }
    }

    /// The shape of a member.
    pub fn member(&self, key: &str) -> Option<Shape<'a>> {
        let mut shape = Shape::default();
        let mut found = false;
        for (root, schema) in &self.parts {
            let named = schema.get("properties").and_then(|properties| properties.get(key));
            let other = || schema.get("additionalProperties").filter(|other| other.is_object());
            if let Some(part) = named.or_else(other) {
                found = true;
                shape.add(root, part, 0);
            }
        }
        found.then_some(shape)
    }

    /// The shape of an array's elements.
    pub fn items(&self) -> Shape<'a> {
        let mut shape = Shape::default();
        for (root, schema) in &self.parts {
            if let Some(part) = schema.get("items") {
                shape.add(root, part, 0);
            }
        }
        shape
    }

    /// The names of the members that are known, in the schema's order.
    pub fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for (_, schema) in &self.parts {
            let properties = schema.get("properties").and_then(Value::as_object);
            for name in properties.into_iter().flat_map(Map::keys) {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// The subschemas that may apply here, the outermost first.
    pub fn schemas(&self) -> impl Iterator<Item = &'a Value> {
        self.parts.iter().map(|(_, schema)| *schema)
    }

    /// The names of the members that must be there.
    pub fn required(&self) -> Vec<&'a str> {
        let lists = self.schemas().filter_map(|schema| schema.get("required").and_then(Value::as_array));
        lists.flatten().filter_map(Value::as_str).collect()
    }

    /// Whether the value is marked secret.
    pub fn secret(&self) -> bool {
        self.parts.iter().any(|(_, schema)| schema.get("writeOnly") == Some(&Value::Bool(true)))
    }

    /// Whether some subschema gives the value this JSON type.
    pub fn has_type(&self, wanted: &str) -> bool {
        self.parts.iter().any(|(_, schema)| match schema.get("type") {
            Some(Value::String(word)) => word == wanted,
            Some(Value::Array(words)) => words.iter().any(|word| word == wanted),
            _ => false,
        })
    }

    /// Walks a value: calls `found` for what is unknown and what is secret.
    pub fn walk(&self, value: &Value, here: &JsonPath, found: &mut dyn FnMut(Found)) {
        if self.secret() {
            found(Found::Secret(here.clone()));
            return;
        }
        match value {
            Value::Object(map) if self.speaks_of_members() => {
                for (key, value) in map {
                    match self.member(key) {
                        Some(shape) => shape.walk(value, &here.key(key), found),
                        None if self.open => {}
                        None => {
                            let names = self.names().into_iter().map(str::to_owned).collect();
                            found(Found::Unknown(here.key(key), key.clone(), names));
                        }
                    }
                }
            }
            Value::Array(values) => {
                let items = self.items();
                values.iter().enumerate().for_each(|(i, value)| items.walk(value, &here.index(i), found));
            }
            _ => {}
        }
    }

    /// Takes unknown members out of a value, so that they do not stop a reader that refuses them.
    pub fn prune(&self, value: &mut Value) {
        match value {
            Value::Object(map) if self.speaks_of_members() => {
                let unknown: Vec<String> =
                    map.keys().filter(|key| !self.open && self.member(key).is_none()).cloned().collect();
                for key in unknown {
                    map.shift_remove(&key);
                }
                for (key, value) in map.iter_mut() {
                    if let Some(shape) = self.member(key) {
                        shape.prune(value);
                    }
                }
            }
            Value::Array(values) => {
                let items = self.items();
                values.iter_mut().for_each(|value| items.prune(value));
            }
            _ => {}
        }
    }

    /// An object where the schema wants none is for the types to refuse, not for this to comment.
    fn speaks_of_members(&self) -> bool {
        let member_words = ["properties", "additionalProperties"];
        self.has_type("object")
            || self.parts.iter().any(|(_, schema)| member_words.iter().any(|word| schema.get(word).is_some()))
    }
}

const ANNOTATIONS: [&str; 6] = ["title", "description", "default", "examples", "$schema", "$defs"];

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::{JsonSchema, schema_for};
    use serde::Deserialize;
    use serde_json::json;
    use waybill_protocol::Secret;

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Top {
        host: String,
        password: Option<Secret>,
        tls: Option<Tls>,
        mode: Mode,
        headers: std::collections::BTreeMap<String, Secret>,
        free: Value,
        list: Vec<Tls>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Tls {
        key: Secret,
        port: Option<u16>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case", tag = "kind")]
    #[allow(dead_code)]
    enum Mode {
        Plain { at: String },
        Other { token: Secret },
    }

    fn walk(value: &Value) -> (Vec<String>, Vec<String>) {
        let schema = schema_for!(Top).to_value();
        let (mut unknown, mut secret) = (Vec::new(), Vec::new());
        Shape::of(&schema).walk(value, &JsonPath::default(), &mut |found| match found {
            Found::Unknown(path, _, _) => unknown.push(path.to_string()),
            Found::Secret(path) => secret.push(path.to_string()),
        });
        (unknown, secret)
    }

    #[test]
    fn unknown_and_secret_members_are_found_at_every_depth() {
        let (unknown, secret) = walk(&json!({
            "host": "h", "hots": 1, "password": "p",
            "tls": {"key": "k", "prot": 5}, "mode": {"kind": "other", "token": "t", "tokn": 1},
            "headers": {"a": "x"}, "free": {"any": {"thing": 1}}, "list": [{"key": "k"}, {"kye": "k"}],
        }));
        assert_eq!(unknown, ["hots", "tls.prot", "mode.tokn", "list[1].kye"]);
        assert_eq!(secret, ["password", "tls.key", "mode.token", "headers.a", "list[0].key"]);
    }

    #[test]
    fn pruning_leaves_what_is_known_and_types_are_told() {
        let schema = schema_for!(Top).to_value();
        let shape = Shape::of(&schema);
        let mut value = json!({"host": "h", "x": 1, "tls": {"key": "k", "y": 2}, "free": {"z": 3}});
        shape.prune(&mut value);
        assert_eq!(value, json!({"host": "h", "tls": {"key": "k"}, "free": {"z": 3}}));
        let port = shape.member("tls").unwrap().member("port").unwrap();
        assert!(port.has_type("integer") && !port.has_type("string"));
    }
}
