//! Resolving: the settings of a connection's source and destination as their connectors get them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use waybill_protocol::{Connector, Error, Result, Role, Secret};

use super::file::SecretsFile;
use super::hidden::MASK;
use super::merge::Settings;
use super::reference::{DEADLINE, Reference};
use crate::store::config::{Connection, Finding, LoadedConfig, variable, worded_path};
use crate::store::project::{Origin, Project};
use crate::store::shape::Shape;
use crate::store::systems::Systems;

/// A secret that a run uses: to be redacted wherever it shows up.
#[derive(Debug, Clone)]
pub struct ResolvedSecret {
    /// Its place, such as `sources.crm.password`.
    pub name: String,
    /// Its value.
    pub value: Secret,
    /// `literal`, `env:NAME`, `file:PATH`.
    pub origin: String,
}

/// The settings of a run, whole.
#[derive(Clone)]
pub struct Resolved {
    /// Settings of the source, secrets included.
    pub source: Value,
    /// Settings of the destination, secrets included.
    pub destination: Value,
    /// The destination's name.
    pub destination_name: String,
    /// The destination's connector.
    pub destination_type: String,
    /// Path (`source.host`, `destination.path`) → where its value comes from.
    pub origins: BTreeMap<String, String>,
    /// Every secret among the settings, passwords inside URLs too.
    pub secrets: Vec<ResolvedSecret>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// Path → `{value, origin}`, secrets masked: for the record and the screen.
    pub redacted: Value,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").field("settings", &self.redacted).finish_non_exhaustive()
    }
}

/// Resolves the settings of a connection with the connectors of this build. Follows references,
/// which may take up to ten seconds each; blocks its thread.
pub fn resolve(project: &Project, config: &LoadedConfig, connection: &Connection) -> Result<Resolved> {
    resolve_with(project, config, connection, &waybill_connectors::registry())
}

/// Resolves the settings of a connection with these connectors.
pub fn resolve_with(
    project: &Project,
    config: &LoadedConfig,
    connection: &Connection,
    registry: &[Box<dyn Connector>],
) -> Result<Resolved> {
    resolve_from(project, &SecretsFile::read(project)?, config, connection, registry)
}

/// Resolves the settings of a connection with secrets that may not be saved yet.
pub fn resolve_from(
    project: &Project,
    file: &SecretsFile,
    config: &LoadedConfig,
    connection: &Connection,
    registry: &[Box<dyn Connector>],
) -> Result<Resolved> {
    let destination = config.destination_of(connection)?;
    let systems = Systems::of(registry);
    let refused = |(message, hint): (String, String)| Error::config(message).hint(hint);
    let from = systems.find(&connection.system, Role::Source).map_err(refused)?;
    let to = systems.find(&destination.system, Role::Destination).map_err(refused)?;

    let mut source = Settings::new(project, Shape::of(&from.source), &connection.settings, &Origin::Config);
    let home = format!("sources.{}", connection.name);
    source.add(file, file.source(&connection.name), &home, &|_| false)?;
    let what = format!("source settings of connection {:?}", connection.name);
    let mut secrets = source.secrets(&home);
    validate(from.connector, Role::Source, &source, &what, &home, &secrets)?;

    let shape = Shape::of(&to.destination);
    let name = &destination.name;
    let mut target = Settings::new(project, shape.clone(), &destination.settings, &destination.origin);
    let overrides: Vec<(&str, String)> =
        shape.names().into_iter().map(|key| (key, variable(name, key))).collect();
    let given = |key: &str| overrides.iter().any(|(k, name)| *k == key && project.env.get(name).is_some());
    let (settings, credentials) = file.destination(name)?;
    target.add(file, settings, &format!("destination.{name}"), &given)?;
    let home = format!("destination.{name}.credentials");
    target.add(file, credentials, &home, &given)?;
    for (key, variable) in &overrides {
        if let Some((text, origin)) = project.env.get(variable) {
            target.set(key, text, variable, &origin)?;
        }
    }
    let found = target.secrets(&home);
    validate(
        to.connector,
        Role::Destination,
        &target,
        &format!("settings of destination {name:?}"),
        &home,
        &found,
    )?;
    secrets.extend(found);
    Ok(assemble(connection, config, source, target, secrets, &destination.system))
}

/// Looks whether the settings of a connection's source are whole and good. A reference that cannot
/// be followed here is said and stops nothing: it may lead somewhere where the runs are.
pub fn check_source(
    project: &Project,
    file: &SecretsFile,
    connection: &Connection,
    registry: &[Box<dyn Connector>],
) -> Result<Vec<String>> {
    let systems = Systems::of(registry);
    let refused = |(message, hint): (String, String)| Error::config(message).hint(hint);
    let from = systems.find(&connection.system, Role::Source).map_err(refused)?;
    let home = format!("sources.{}", connection.name);
    let section = file.source(&connection.name);
    let mut lost = Vec::new();
    for (key, value) in &section {
        let place = format!("{home}.{key}");
        if let Some(reference) = Reference::of(value, &place)? {
            lost.extend(reference.resolve(project, &place, DEADLINE).err().map(|e| e.to_string()));
        }
    }
    let mut source = Settings::new(project, Shape::of(&from.source), &connection.settings, &Origin::Config);
    if !lost.is_empty() {
        return Ok(lost);
    }
    source.add(file, section, &home, &|_| false)?;
    let what = format!("source settings of connection {:?}", connection.name);
    validate(from.connector, Role::Source, &source, &what, &home, &source.secrets(&home))?;
    Ok(source.findings.into_iter().map(|finding| finding.message).collect())
}

fn assemble(
    connection: &Connection,
    config: &LoadedConfig,
    source: Settings<'_>,
    target: Settings<'_>,
    secrets: Vec<ResolvedSecret>,
    system: &str,
) -> Resolved {
    let mut shown = Map::new();
    let mut origins = BTreeMap::new();
    let mut show = |path: String, value: Value, origin: String| {
        shown.insert(path.clone(), json!({"value": value, "origin": origin}));
        origins.insert(path, origin);
    };
    let name = &connection.destination;
    let destination_origin = config.destination_of(connection).map_or(Origin::Default, |d| d.origin.clone());
    show("source.type".into(), json!(connection.system), Origin::Config.to_string());
    show("destination.name".into(), json!(name), connection.destination_origin.to_string());
    show("destination.type".into(), json!(system), destination_origin.to_string());
    for (role, settings) in [("source", &source), ("destination", &target)] {
        for (key, value) in settings.redacted() {
            let origin = settings.origins.get(&key).cloned().unwrap_or_default();
            show(format!("{role}.{key}"), value, origin);
        }
    }
    for (policy, value) in connection.policies.values().into_iter().filter(|(_, value)| !value.is_null()) {
        let origin = connection.policies.origins.get(policy).unwrap_or(&Origin::Default);
        show(policy.to_owned(), value, origin.to_string());
    }
    let mut findings = source.findings;
    findings.extend(target.findings);
    Resolved {
        source: Value::Object(source.values),
        destination: Value::Object(target.values),
        destination_name: name.clone(),
        destination_type: system.to_owned(),
        origins,
        secrets,
        findings,
        redacted: Value::Object(shown),
    }
}

/// The connector's own look at its settings; its words must not repeat a secret.
fn validate(
    connector: &dyn Connector,
    role: Role,
    settings: &Settings<'_>,
    what: &str,
    home: &str,
    secrets: &[ResolvedSecret],
) -> Result<()> {
    let Err(error) = connector.validate(role, &Value::Object(settings.values.clone())) else { return Ok(()) };
    let scrub = |text: &str| {
        secrets
            .iter()
            .map(|secret| secret.value.expose())
            .filter(|value| value.len() > 3)
            .fold(text.to_owned(), |text, value| text.replace(value, MASK))
    };
    let message = format!("{what}: {}", scrub(&worded_path(error.message())));
    let missing = error.message().split("missing field `").nth(1).and_then(|rest| rest.split('`').next());
    let hint = match (error.get_hint(), missing) {
        (Some(hint), _) => scrub(hint),
        (None, Some(key)) if settings.shape.member(key).is_some_and(|member| member.secret()) => {
            format!("add {key} to secrets.toml under [{home}]")
        }
        (None, Some(key)) => format!("add {key} to config.json, or to secrets.toml under [{home}]"),
        (None, None) => "correct it in config.json or secrets.toml; `waybill config show --origin` says where each value stands".into(),
    };
    Err(Error::new(error.kind(), message).hint(hint))
}

/// Looks at secrets.toml as a whole: tables and keys that nothing reads.
pub fn check(project: &Project, config: &LoadedConfig) -> Result<Vec<Finding>> {
    let file = SecretsFile::read(project)?;
    let destinations: Vec<&str> = config.destinations.iter().map(|d| d.name.as_str()).collect();
    let invalid = config.invalid_destinations.iter().filter_map(|d| d.name.as_deref());
    let destinations: Vec<&str> = destinations.into_iter().chain(invalid).collect();
    Ok(file.strays(&config.names(), &destinations))
}
