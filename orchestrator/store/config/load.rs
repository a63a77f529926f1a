//! Reading config.json whole: the version, destinations, connections, and what they share.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use waybill_protocol::{Connector, Error, Result, Role};

use super::super::name::check_name;
use super::super::nearest::{did_you_mean, shown};
use super::super::project::{Origin, Project};
use super::super::shape::Shape;
use super::super::span::JsonPath;
use super::super::state::{StateFile, state_file};
use super::super::systems::Systems;
use super::entry::Reader;
use super::variables::{stray_variables, variables_meet};
use super::{
    CONFIG_VERSION, ConfigText, Connection, Destination, EMBEDDED_NAME, EMBEDDED_PATH, EMBEDDED_TYPE,
    Finding, Head, InvalidEntry, LoadedConfig, Policies,
};
use crate::store::schema::document_schema;

/// Reads the project's config with the connectors of this build.
pub fn load(project: &Project) -> Result<LoadedConfig> {
    load_with(project, &waybill_connectors::registry())
}

/// Reads the project's config with these connectors.
pub fn load_with(project: &Project, registry: &[Box<dyn Connector>]) -> Result<LoadedConfig> {
    read_with(ConfigText::read(&project.config_path)?, project, registry)
}

/// Reads a config that is a text already.
pub fn read_with(
    text: ConfigText,
    project: &Project,
    registry: &[Box<dyn Connector>],
) -> Result<LoadedConfig> {
    version(&text)?;
    let top = JsonPath::default();
    let doubled = doubled(&text)?;
    let systems = Systems::of(registry);
    let nothing = Policies::default();
    let states = state_file(&text)?.map(|path| StateFile::read(&path)).transpose()?;
    let mut reader = Reader {
        text: &text,
        systems: &systems,
        defaults: &nothing,
        findings: Vec::new(),
        states: states.as_ref(),
    };
    let defaults: Policies = match text.value.get("defaults") {
        Some(defaults) => reader
            .typed(reader.object(defaults, &top.key("defaults")).map(|_| defaults)?, &top.key("defaults"))?,
        None => Policies::default(),
    };
    reader.defaults = &defaults;
    unknown_members(&mut reader);
    let default: Option<String> = match text.value.get("destination") {
        Some(value) => reader.typed(value, &top.key("destination"))?,
        None => None,
    };
    let (destinations, invalid_destinations) = destinations(&mut reader, &doubled)?;
    variables_meet(&reader, &destinations)?;
    let known: Vec<String> = destinations
        .iter()
        .map(|d| d.name.clone())
        .chain(invalid_destinations.iter().filter_map(|d| d.name.clone()))
        .collect();
    let history = history(&mut reader, &destinations, &known)?;
    let empty = json!([]);
    let entries = text.value.get("connections").unwrap_or(&empty);
    let entries = entries
        .as_array()
        .ok_or_else(|| text.error(&top.key("connections"), "must be a list of connections"))?;
    let mut connections = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let wrong: Vec<Error> =
            doubled.iter().filter(|(at, _)| *at == Some(index)).map(|(_, p)| twice(&text, p)).collect();
        let read = if wrong.is_empty() {
            reader.connection(index, entry, |head, here| pick(&text, head, here, default.as_deref(), &known))
        } else {
            Err(wrong)
        };
        connections.push(read.map_err(|errors| invalid(Some(index), name_of(entry), &errors)));
    }
    unique(&text, entries, &mut connections);
    let mut findings = reader.findings;
    stray_variables(project, &destinations, &systems, &mut findings);
    if let Some(name) = default.iter().find(|name| !known.contains(name)) {
        let path = top.key("destination");
        let near = did_you_mean(name, known.iter().map(String::as_str));
        let message = text.say(&path, format!("no destination {}{near}", shown(name)));
        findings.push(Finding { path: path.to_string(), message });
    }
    let path = project.config_path.clone();
    let state_file = states.map(|file| file.path);
    Ok(LoadedConfig {
        path,
        state_file,
        destination: default,
        history,
        destinations,
        invalid_destinations,
        connections,
        findings,
        text,
    })
}

fn version(text: &ConfigText) -> Result<()> {
    let here = JsonPath::default().key("version");
    match text.value.get("version").map(|version| (version, version.as_u64())) {
        None | Some((_, Some(1..=CONFIG_VERSION))) => Ok(()),
        Some((_, Some(newer))) if newer > CONFIG_VERSION => Err(text
            .error(
                &here,
                format!("version {newer} is newer than this program, which knows version {CONFIG_VERSION}"),
            )
            .hint("update waybill, or run the version that wrote the file")),
        Some(_) => Err(text.error(&here, "must be the number 1")),
    }
}

/// Members that stand twice: one of a connection belongs to it, any other is the whole file's.
fn doubled(text: &ConfigText) -> Result<Vec<(Option<usize>, JsonPath)>> {
    use super::super::span::Step;
    let mut found = Vec::new();
    for path in text.doubled() {
        match path.0.as_slice() {
            [Step::Key(list), Step::Index(index), ..] if list == "connections" => {
                found.push((Some(*index), path))
            }
            [Step::Key(map), Step::Key(_), _, ..] if map == "destinations" => found.push((None, path)),
            _ => return Err(twice(text, &path)),
        }
    }
    Ok(found)
}

fn twice(text: &ConfigText, path: &JsonPath) -> Error {
    text.error(path, "stands twice").hint("remove one of the two; it is not clear which one counts")
}

fn invalid(index: Option<usize>, name: Option<String>, errors: &[Error]) -> InvalidEntry {
    InvalidEntry { index, name, errors: errors.iter().map(Error::record).collect() }
}

fn name_of(entry: &Value) -> Option<String> {
    entry.get("name").and_then(Value::as_str).map(str::to_owned)
}

fn unknown_members(reader: &mut Reader<'_>) {
    let schema = document_schema();
    let mut ignored = Vec::new();
    let value = &reader.text.value;
    // Destinations and each `schema` are walked with their connector's own schema.
    reader.walk(value, &Shape::of(&schema), &JsonPath::default(), &mut ignored);
}

fn destinations(
    reader: &mut Reader<'_>,
    doubled: &[(Option<usize>, JsonPath)],
) -> Result<(Vec<Destination>, Vec<InvalidEntry>)> {
    let here = JsonPath::default().key("destinations");
    let empty = Value::Object(Map::new());
    let value = reader.text.value.get("destinations").unwrap_or(&empty);
    let map = reader.object(value, &here)?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (name, value) in map {
        let here = here.key(name);
        let wrong = doubled
            .iter()
            .find(|(_, path)| path.starts_with(&here))
            .map(|(_, path)| twice(reader.text, path));
        match wrong.map_or_else(|| destination(reader, name, value, &here), Err) {
            Ok(destination) => good.push(destination),
            Err(error) => bad.push(invalid(None, Some(name.clone()), &[error])),
        }
    }
    if map.is_empty() {
        good.push(Destination {
            name: EMBEDDED_NAME.to_owned(),
            system: EMBEDDED_TYPE.to_owned(),
            settings: Map::from_iter([("path".to_owned(), json!(EMBEDDED_PATH))]),
            origin: Origin::Default,
        });
    }
    Ok((good, bad))
}

fn destination(reader: &mut Reader<'_>, name: &str, value: &Value, here: &JsonPath) -> Result<Destination> {
    check_name("destination name", name).map_err(|e| reader.placed(e, here))?;
    let mut settings = reader.object(value, here)?.clone();
    let system = match settings.shift_remove("type") {
        Some(Value::String(system)) => system,
        Some(_) => return Err(reader.text.error(&here.key("type"), "must be the name of a connector")),
        None => {
            return Err(reader.text.error(here, "has no type").hint("add \"type\": the name of a connector"));
        }
    };
    let known = reader.find(&system, Role::Destination, &here.key("type"))?;
    let home = format!("destination.{name}.credentials");
    let settings = reader.settings(Value::Object(settings), &Shape::of(&known.destination), here, &home)?;
    reader.no_passwords(&settings, here, &home)?;
    Ok(Destination { name: name.to_owned(), system, settings, origin: Origin::Config })
}

/// The destination that keeps the run history. One that is wrong in itself is told where it stands.
fn history(
    reader: &mut Reader<'_>,
    destinations: &[Destination],
    known: &[String],
) -> Result<Option<String>> {
    let here = JsonPath::default().key("history");
    let Some(value) = reader.text.value.get("history").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let name: String = reader.typed(value, &here)?;
    let keeps =
        |system: &str| reader.systems.find(system, Role::Destination).is_ok_and(|known| known.keeps_history);
    let able: Vec<&str> = destinations.iter().filter(|d| keeps(&d.system)).map(|d| d.name.as_str()).collect();
    let systems: Vec<&str> =
        reader.systems.list.iter().filter(|known| known.keeps_history).map(|known| known.name).collect();
    let hint = match (able.as_slice(), systems.as_slice()) {
        ([], []) => "remove the member: no connector of this build can keep it".to_owned(),
        ([], systems) => format!("add a destination of type {}, or remove the member", systems.join(" or ")),
        (able, _) => format!("set it to one of: {}", able.join(", ")),
    };
    match destinations.iter().find(|destination| destination.name == name) {
        Some(destination) if !keeps(&destination.system) => {
            let system = &destination.system;
            let message = format!(
                "destination {} is of type {system}, which cannot keep the run history",
                shown(&name)
            );
            Err(reader.text.error(&here, message).hint(hint))
        }
        None if !known.contains(&name) => {
            let near = did_you_mean(&name, able.iter().copied());
            Err(reader.text.error(&here, format!("no destination {}{near}", shown(&name))).hint(hint))
        }
        _ => Ok(Some(name)),
    }
}

/// The destination that a connection goes to, and who says so.
fn pick(
    text: &ConfigText,
    head: &Head,
    here: &JsonPath,
    default: Option<&str>,
    known: &[String],
) -> Result<(String, Origin)> {
    let (name, here, origin) = match (&head.destination, default, known) {
        (Some(own), _, _) => (own.as_str(), here.clone(), Origin::Config),
        (None, Some(default), _) => (default, JsonPath::default().key("destination"), Origin::Config),
        (None, None, [only]) => (only.as_str(), here.clone(), Origin::Default),
        (None, None, _) => {
            return Err(text
                .error(here, "missing, and the config has several destinations and no default one")
                .hint(format!("set destination here or at the top to one of: {}", known.join(", "))));
        }
    };
    if known.iter().any(|one| one == name) {
        return Ok((name.to_owned(), origin));
    }
    let near = did_you_mean(name, known.iter().map(String::as_str));
    Err(text
        .error(&here, format!("no destination {}{near}", shown(name)))
        .hint(format!("the config has: {}", known.join(", "))))
}

/// Names and ids that two connections share make both invalid: neither can be meant for sure.
fn unique(
    text: &ConfigText,
    entries: &[Value],
    connections: &mut [std::result::Result<Connection, InvalidEntry>],
) {
    let same_id = |entry: &Value| {
        let id = entry.get("id").and_then(Value::as_str)?;
        uuid::Uuid::try_parse(id).ok().map(|id| id.to_string())
    };
    let same_name = |entry: &Value| name_of(entry).map(|name| name.to_lowercase());
    let hint = "names are unique ignoring case: change one of them";
    shared(text, "name", hint, entries.iter().map(same_name), connections);
    let hint = "in the copy, remove the line with the id: the program writes a new one";
    shared(text, "id", hint, entries.iter().map(same_id), connections);
}

fn shared(
    text: &ConfigText,
    member: &str,
    hint: &str,
    values: impl Iterator<Item = Option<String>>,
    connections: &mut [std::result::Result<Connection, InvalidEntry>],
) {
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, value) in values.enumerate() {
        if let Some(value) = value {
            places.entry(value).or_default().push(index);
        }
    }
    let names: Vec<Option<String>> = connections
        .iter()
        .map(|found| match found {
            Ok(connection) => Some(connection.name.clone()),
            Err(invalid) => invalid.name.clone(),
        })
        .collect();
    let name_of = |index: usize| match names.get(index) {
        Some(Some(name)) if member != "name" => format!(" ({})", shown(name)),
        _ => String::new(),
    };
    for (value, places) in places.iter().filter(|(_, places)| places.len() > 1) {
        for index in places {
            let here = JsonPath::default().key("connections").index(*index).key(member);
            let others: Vec<String> = places
                .iter()
                .filter(|other| *other != index)
                .map(|other| format!("connections[{other}]{}", name_of(*other)))
                .collect();
            let message =
                format!("{}{} is also that of {}", shown(value), name_of(*index), others.join(", "));
            let error = text.error(&here, message).hint(hint);
            match connections.get_mut(*index) {
                Some(Err(invalid)) => invalid.errors.push(error.record()),
                Some(slot @ Ok(_)) => {
                    let name = slot.as_ref().ok().map(|found| found.name.clone());
                    *slot = Err(invalid(Some(*index), name, &[error]));
                }
                None => {}
            }
        }
    }
}
