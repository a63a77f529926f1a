//! What secrets.toml holds and whether it can be had: names, origins and users, never values.

use std::collections::BTreeMap;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use waybill_protocol::{Error, ErrorRecord, Result, Role};

use crate::secrets::reference::{DEADLINE, Reference};
use crate::secrets::{Place, SecretsFile, resolve, resolve_destination};
use crate::store::config::{Finding, LoadedConfig};
use crate::store::project::Project;
use crate::store::shape::Shape;
use crate::store::systems::Systems;

/// One value of secrets.toml, without the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listed {
    /// Its place: `sources.crm.password`.
    pub name: String,
    /// The table that it stands in.
    pub section: String,
    /// `literal`, `env`, `file`, `command`, or `invalid` where it is none of them.
    pub origin: String,
    /// The variable, file or program; absent for a literal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether the connector calls the setting secret.
    pub secret: bool,
    /// Who uses it: `connection crm`, `destination warehouse`.
    pub used_by: Vec<String>,
}

/// Every value of secrets.toml, in the order of names. Reads no reference.
pub fn list(project: &Project, config: &LoadedConfig) -> Result<Vec<Listed>> {
    Ok(entries(project, config)?.into_iter().map(|(listed, _)| listed).collect())
}

/// Every value with what stands there.
fn entries(project: &Project, config: &LoadedConfig) -> Result<Vec<(Listed, Value)>> {
    let file = SecretsFile::read(project)?;
    let registry = waybill_connectors::registry();
    let systems = Systems::of(&registry);
    let mut found = Vec::new();
    for name in file.names("sources") {
        let section = format!("sources.{name}");
        let connection = config.valid().find(|connection| connection.name == name);
        let schema = connection.and_then(|c| systems.find(&c.system, Role::Source).ok()).map(|k| &k.source);
        let users: Vec<String> =
            config.names().iter().filter(|n| **n == name).map(|name| format!("connection {name}")).collect();
        leaves(&file.source(&name), &section, schema, &users, &mut found);
    }
    for name in file.names("destination") {
        let section = format!("destination.{name}");
        let target = config.destinations.iter().find(|destination| destination.name == name);
        let schema =
            target.and_then(|d| systems.find(&d.system, Role::Destination).ok()).map(|k| &k.destination);
        let known = target.is_some()
            || config.invalid_destinations.iter().any(|d| d.name.as_deref() == Some(name.as_str()));
        let users: Vec<String> = known.then(|| format!("destination {name}")).into_iter().collect();
        let (settings, credentials) = file.destination(&name)?;
        leaves(&settings, &section, schema, &users, &mut found);
        leaves(&credentials, &format!("{section}.credentials"), schema, &users, &mut found);
    }
    found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(found)
}

fn leaves(
    table: &Map<String, Value>,
    section: &str,
    schema: Option<&Value>,
    users: &[String],
    found: &mut Vec<(Listed, Value)>,
) {
    let shape = schema.map(Shape::of).unwrap_or_default();
    walk(table, section, section, &shape, users, found);
}

fn walk(
    table: &Map<String, Value>,
    section: &str,
    here: &str,
    shape: &Shape<'_>,
    users: &[String],
    found: &mut Vec<(Listed, Value)>,
) {
    for (key, value) in table {
        let name = format!("{here}.{key}");
        let member = shape.member(key);
        let known = member.is_some();
        let member = member.unwrap_or_default();
        let reference = Reference::of(value, &name);
        if let (Ok(None), Value::Object(inner)) = (&reference, value) {
            walk(inner, section, &name, &member, users, found);
            continue;
        }
        let origin = match &reference {
            Ok(Some(reference)) => reference.origin(),
            Ok(None) => "literal".to_owned(),
            Err(_) => "invalid".to_owned(),
        };
        let (origin, target) = match origin.split_once(':') {
            Some((kind, target)) => (kind.to_owned(), Some(target.to_owned())),
            None => (origin, None),
        };
        let listed = Listed {
            section: section.to_owned(),
            origin,
            target,
            secret: member.secret(),
            // A key that no setting is called by is read by nobody.
            used_by: if known { users.to_vec() } else { Vec::new() },
            name,
        };
        found.push((listed, value.clone()));
    }
}

/// Where a name such as `sources.crm.password` or `destination.warehouse.password` stands.
pub fn place(name: &str) -> Result<(Place, String)> {
    let wrong = || {
        Error::config(format!("{name:?} names no place of secrets.toml")).hint(
            "write sources.CONNECTION.KEY or destination.NAME.KEY; `waybill secrets list` shows what there is",
        )
    };
    let (section, rest) = name.split_once('.').ok_or_else(wrong)?;
    let (owner, key) = rest.split_once('.').ok_or_else(wrong)?;
    let key = match section {
        "destination" | "destinations" => key.strip_prefix("credentials.").unwrap_or(key),
        _ => key,
    };
    if owner.is_empty() || key.is_empty() {
        return Err(wrong());
    }
    let place = match section {
        "sources" | "source" => Place::Source(owner.to_owned()),
        "destination" | "destinations" => Place::Destination(owner.to_owned()),
        _ => return Err(wrong()),
    };
    Ok((place, key.to_owned()))
}

/// Whether somebody will read a secret of that name, else why not.
pub fn unread(config: &LoadedConfig, place: &Place, key: &str) -> Option<String> {
    let registry = waybill_connectors::registry();
    let systems = Systems::of(&registry);
    let (owner, known, schema) = match place {
        Place::Source(name) => {
            let connection = config.valid().find(|c| c.name == *name);
            let schema = connection.and_then(|c| systems.find(&c.system, Role::Source).ok());
            (
                format!("connection {name:?}"),
                config.names().contains(&name.as_str()),
                schema.map(|k| &k.source),
            )
        }
        Place::Destination(name) => {
            let target = config.destinations.iter().find(|d| d.name == *name);
            let schema = target.and_then(|d| systems.find(&d.system, Role::Destination).ok());
            let invalid = config.invalid_destinations.iter().any(|d| d.name.as_deref() == Some(name));
            (format!("destination {name:?}"), target.is_some() || invalid, schema.map(|k| &k.destination))
        }
    };
    if !known {
        return Some(format!("the config has no {owner}: nothing reads it"));
    }
    let first = key.split('.').next().unwrap_or(key);
    let shape = Shape::of(schema?);
    shape.member(first).is_none().then(|| {
        format!(
            "{owner} has no setting {first:?}, and will not read it; it has: {}",
            shape.names().join(", ")
        )
    })
}

/// What became of one value, or of the file as a whole.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Checked {
    /// A place of secrets.toml, or the file.
    pub name: String,
    /// `literal`, `env:NAME`, `file:PATH`, `command:PROGRAM`; absent for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Whether it can be had and is used.
    pub ok: bool,
    /// How long it took, where something was asked.
    pub ms: u64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// What a person should know although it stops nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl Checked {
    fn warned(finding: &Finding) -> Checked {
        Checked {
            name: finding.path.clone(),
            origin: None,
            ok: true,
            ms: 0,
            error: None,
            warning: Some(finding.message.clone()),
        }
    }

    fn failed(name: String, error: &Error) -> Checked {
        Checked { name, origin: None, ok: false, ms: 0, error: Some(error.record()), warning: None }
    }
}

/// Follows every reference, each under its deadline, and looks for what is missing or unused.
/// Blocks its thread.
pub fn check(project: &Project, config: &LoadedConfig) -> Vec<Checked> {
    let file = project.secrets_path.display().to_string();
    let entries = match entries(project, config) {
        Ok(entries) => entries,
        Err(error) => return vec![Checked::failed(file, &error)],
    };
    let mut found: Vec<Checked> = together(project, &entries);
    if let Ok(strays) = crate::secrets::check(project, config) {
        // Tables that nothing reads; their keys are told by the table.
        found.extend(strays.iter().map(Checked::warned));
    }
    for listed in entries.iter().map(|(listed, _)| listed).filter(|listed| listed.used_by.is_empty()) {
        let stray =
            |known: &Checked| known.warning.is_some() && listed.name.starts_with(&format!("{}.", known.name));
        if !found.iter().any(stray)
            && let Some(known) = found.iter_mut().find(|known| known.name == listed.name)
        {
            known.warning = Some("unknown to its connector: nothing reads it".to_owned());
        }
    }
    missing(project, config, &mut found);
    found
}

/// References that take long do not wait for each other.
fn together(project: &Project, entries: &[(Listed, Value)]) -> Vec<Checked> {
    const AT_ONCE: usize = 8;
    let mut found = Vec::new();
    for part in entries.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let asked: Vec<_> =
                part.iter().map(|(listed, value)| scope.spawn(|| one(project, listed, value))).collect();
            for (asked, (listed, _)) in asked.into_iter().zip(part) {
                let broken =
                    |_| Checked::failed(listed.name.clone(), &Error::internal("the check broke off"));
                found.push(asked.join().unwrap_or_else(broken));
            }
        });
    }
    found
}

fn one(project: &Project, listed: &Listed, value: &Value) -> Checked {
    let started = Instant::now();
    let mut checked = Checked {
        name: listed.name.clone(),
        origin: Some("literal".to_owned()),
        ok: true,
        ms: 0,
        error: None,
        warning: None,
    };
    let answer = match Reference::of(value, &listed.name) {
        Ok(None) => value.as_str().map(str::to_owned).map(Ok),
        Ok(Some(reference)) => {
            checked.origin = Some(reference.origin());
            Some(reference.resolve(project, &listed.name, DEADLINE))
        }
        Err(error) => {
            checked.origin = None;
            Some(Err(error))
        }
    };
    match answer {
        Some(Err(error)) => (checked.ok, checked.error) = (false, Some(error.record())),
        Some(Ok(text)) if text.is_empty() => checked.warning = Some("is empty".to_owned()),
        Some(Ok(text)) if listed.secret && text.len() < 8 => {
            checked.warning = Some(
                "is shorter than 8 bytes: it is kept out of the record only as a whole value".to_owned(),
            );
        }
        _ => {}
    }
    checked.ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    checked
}

/// What connections and destinations lack, as far as nothing above has said it.
fn missing(project: &Project, config: &LoadedConfig, found: &mut Vec<Checked>) {
    let mut errors: BTreeMap<String, Error> = BTreeMap::new();
    for connection in config.valid() {
        if let Err(error) = resolve(project, config, connection) {
            errors.insert(format!("sources.{}", connection.name), error);
        }
    }
    for destination in &config.destinations {
        if let Err(error) = resolve_destination(project, destination) {
            errors.insert(format!("destination.{}.credentials", destination.name), error);
        }
    }
    for (name, error) in errors {
        let said = |known: &Checked| known.error.as_ref().is_some_and(|e| e.message == error.message());
        if !found.iter().any(said) {
            found.push(Checked::failed(name, &error));
        }
    }
}
