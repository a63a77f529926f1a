//! The settings of one role, put together from config.json, secrets.toml and the environment.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use waybill_protocol::{Error, Result, Secret};

use super::file::SecretsFile;
use super::hidden::{MASK, masked, passwords};
use super::reference::{DEADLINE, Reference};
use super::resolve::ResolvedSecret;
use crate::store::config::Finding;
use crate::store::nearest::did_you_mean;
use crate::store::project::{Origin, Project};
use crate::store::shape::{Found, Shape};
use crate::store::span::{JsonPath, Step};

/// The settings of one role while they are put together.
pub(super) struct Settings<'a> {
    pub(super) project: &'a Project,
    pub(super) shape: Shape<'a>,
    pub(super) values: Map<String, Value>,
    /// Setting → where its value comes from.
    pub(super) origins: BTreeMap<String, String>,
    /// Place in secrets.toml of a setting, for the record.
    places: BTreeMap<String, String>,
    /// Path of a value below the settings → `env:NAME`, `file:PATH`.
    sources: BTreeMap<String, String>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Settings<'a> {
    /// Starts from what config.json says.
    pub(super) fn new(
        project: &'a Project,
        shape: Shape<'a>,
        values: &Map<String, Value>,
        origin: &Origin,
    ) -> Settings<'a> {
        let origins = values.keys().map(|key| (key.clone(), origin.to_string())).collect();
        Settings {
            project,
            shape,
            values: values.clone(),
            origins,
            places: BTreeMap::new(),
            sources: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// Adds the keys of a table of secrets.toml. `overridden` are settings that the environment
    /// gives: their references need not be followed.
    pub(super) fn add(
        &mut self,
        file: &SecretsFile,
        table: Map<String, Value>,
        place: &str,
        overridden: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        for (key, value) in table {
            let full = format!("{place}.{key}");
            if self.shape.member(&key).is_none() {
                let near = did_you_mean(&key, self.shape.names());
                let message = file.error(&full, &format!("unknown, and ignored{near}")).message().to_owned();
                self.findings.push(Finding { path: full, message });
                continue;
            }
            if let Some(origin) =
                self.origins.get(&key).filter(|origin| **origin != Origin::Default.to_string())
            {
                let other = self.places.get(&key).unwrap_or(origin);
                return Err(file
                    .error(&full, &format!("stands in {other} too"))
                    .hint("remove one of the two: it is not clear which one counts"));
            }
            self.places.insert(key.clone(), full.clone());
            self.origins.insert(key.clone(), Origin::Secrets.to_string());
            if !overridden(&key) {
                let value = self.follow(value, &full, &JsonPath::default().key(&key))?;
                self.values.insert(key, value);
            }
        }
        Ok(())
    }

    fn follow(&mut self, value: Value, place: &str, here: &JsonPath) -> Result<Value> {
        if let Some(reference) = Reference::of(&value, place)? {
            let text = reference.resolve(self.project, place, DEADLINE)?;
            self.sources.insert(here.to_string(), reference.origin());
            if let [Step::Key(key)] = here.0.as_slice() {
                self.origins.insert(key.clone(), format!("{} {}", Origin::Secrets, reference.origin()));
            }
            let shape = self.shape_at(here);
            return typed(&text, &shape).map_err(|why| {
                Error::config(format!("{place}: {why}"))
                    .hint(format!("correct what stands at {}", reference.origin()))
            });
        }
        match value {
            Value::Object(map) => {
                let follow = |(key, value): (String, Value)| {
                    let value = self.follow(value, &format!("{place}.{key}"), &here.key(&key))?;
                    Ok((key, value))
                };
                map.into_iter().map(follow).collect::<Result<Map<_, _>>>().map(Value::Object)
            }
            other => Ok(other),
        }
    }

    fn shape_at(&self, path: &JsonPath) -> Shape<'a> {
        path.0.iter().fold(self.shape.clone(), |shape, step| match step {
            Step::Key(key) => shape.member(key).unwrap_or_default(),
            Step::Index(_) => Shape::default(),
        })
    }

    /// Puts a variable of the environment in the place of whatever was there.
    pub(super) fn set(&mut self, key: &str, text: &str, name: &str, origin: &Origin) -> Result<()> {
        let shape = self.shape.member(key).unwrap_or_default();
        let value = typed(text, &shape).map_err(|why| {
            Error::config(format!("the variable {name}: {why}")).hint(format!("correct {name}, or unset it"))
        })?;
        self.values.insert(key.to_owned(), value);
        self.origins.insert(key.to_owned(), origin.to_string());
        self.sources.insert(JsonPath::default().key(key).to_string(), format!("env:{name}"));
        Ok(())
    }

    /// Every secret among the values: marked ones, and passwords inside other texts. `home` is
    /// where such secrets stand, for those that came another way.
    pub(super) fn secrets(&self, home: &str) -> Vec<ResolvedSecret> {
        let whole = Value::Object(self.values.clone());
        let mut found = Vec::new();
        let mut add = |path: &JsonPath, what: &str, text: &str| {
            // An empty text protects nothing, and cannot be looked for.
            if text.is_empty() {
                return;
            }
            let top = path.0.first().map(|step| JsonPath(vec![step.clone()]).to_string()).unwrap_or_default();
            let place = self.places.get(&top).map_or_else(
                || format!("{home}.{path}"),
                |place| format!("{place}{}", path.to_string().strip_prefix(&top).unwrap_or_default()),
            );
            let origin = self.sources.get(&path.to_string()).or_else(|| self.sources.get(&top));
            found.push(ResolvedSecret {
                name: format!("{place}{what}"),
                value: Secret::new(text),
                origin: origin.cloned().unwrap_or_else(|| "literal".to_owned()),
            });
        };
        self.shape.walk(&whole, &JsonPath::default(), &mut |item| {
            if let Found::Secret(path) = item {
                texts(at(&whole, &path), &path, &mut |path, text| add(path, "", text));
            }
        });
        texts(Some(&whole), &JsonPath::default(), &mut |path, text| {
            passwords(text).iter().for_each(|password| add(path, " (password)", password));
        });
        found
    }

    /// The values with every secret masked.
    pub(super) fn redacted(&self) -> Map<String, Value> {
        let mask = |(key, value): (&String, &Value)| {
            let shape = self.shape.member(key).unwrap_or_default();
            (key.clone(), redact(value, &shape))
        };
        self.values.iter().map(mask).collect()
    }
}

/// A text as the type of its setting.
pub(crate) fn typed(text: &str, shape: &Shape<'_>) -> std::result::Result<Value, String> {
    let parse = || serde_json::from_str::<Value>(text.trim());
    let is = |word| shape.has_type(word);
    let wanted = match () {
        () if is("string") || shape.secret() => return Ok(Value::from(text)),
        () if is("boolean") => "true or false",
        () if is("integer") => "a whole number",
        () if is("number") => "a number",
        () if is("array") || is("object") => "JSON",
        () => return Ok(Value::from(text)),
    };
    match parse() {
        Ok(value) if value.is_boolean() && is("boolean") => Ok(value),
        Ok(value) if value.is_number() && (is("integer") || is("number")) => Ok(value),
        Ok(value) if (value.is_array() && is("array")) || (value.is_object() && is("object")) => Ok(value),
        _ => Err(format!("must be {wanted}")),
    }
}

fn at<'v>(value: &'v Value, path: &JsonPath) -> Option<&'v Value> {
    path.0.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

/// Calls `each` for every scalar, as text.
fn texts(value: Option<&Value>, here: &JsonPath, each: &mut dyn FnMut(&JsonPath, &str)) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => each(here, text),
        Some(Value::Object(map)) => {
            map.iter().for_each(|(key, value)| texts(Some(value), &here.key(key), each))
        }
        Some(Value::Array(values)) => {
            values.iter().enumerate().for_each(|(i, value)| texts(Some(value), &here.index(i), each));
        }
        Some(scalar) => each(here, &scalar.to_string()),
    }
}

fn redact(value: &Value, shape: &Shape<'_>) -> Value {
    match value {
        Value::Null => Value::Null,
        _ if shape.secret() => Value::from(MASK),
        Value::String(text) => Value::from(masked(text)),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), redact(value, &shape.member(key).unwrap_or_default())))
            .collect(),
        Value::Array(values) => {
            let items = shape.items();
            values.iter().map(|value| redact(value, &items)).collect()
        }
        scalar => scalar.clone(),
    }
}
