//! The variables that override settings of destinations: `WAYBILL_DESTINATION__<NAME>__<KEY>`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use waybill_protocol::Result;

use super::entry::Reader;
use super::{Destination, Finding};
use crate::store::nearest::{did_you_mean, shown};
use crate::store::project::Project;
use crate::store::shape::Shape;
use crate::store::span::JsonPath;
use crate::store::systems::Systems;

/// The variable that overrides a destination's setting.
pub(crate) fn variable(destination: &str, key: &str) -> String {
    let fold = |text: &str| text.to_uppercase().replace('-', "_");
    format!("{VARIABLES}{}__{}", fold(destination), fold(key))
}

const VARIABLES: &str = "WAYBILL_DESTINATION__";

fn keys_of<'s>(system: &str, systems: &'s Systems<'_>) -> Vec<&'s str> {
    let known = systems.list.iter().find(|known| known.name == system);
    known.map(|known| Shape::of(&known.destination).names()).unwrap_or_default()
}

/// Two settings with one variable cannot both be overridden.
pub(super) fn variables_meet(reader: &Reader<'_>, destinations: &[Destination]) -> Result<()> {
    let names = reader.text.value.get("destinations").and_then(Value::as_object);
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let clash = |variable: String, name: &str, other: &str| {
        let here = JsonPath::default().key("destinations").key(name);
        Err(reader
            .text
            .error(&here, format!("{} and {} meet in the variable {variable}", shown(other), shown(name)))
            .hint("rename one of them: upper case, - is the same as _ there"))
    };
    for name in names.into_iter().flat_map(Map::keys) {
        if let Some(other) = folded.insert(variable(name, ""), name) {
            return clash(format!("{}<KEY>", variable(name, "")), name, other);
        }
    }
    for destination in destinations {
        for key in keys_of(&destination.system, reader.systems) {
            let variable = variable(&destination.name, key);
            match taken.insert(variable.clone(), &destination.name) {
                Some(other) if other != destination.name => return clash(variable, &destination.name, other),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A variable that looks like an override and is none deserves a word.
pub(super) fn stray_variables(
    project: &Project,
    destinations: &[Destination],
    systems: &Systems<'_>,
    findings: &mut Vec<Finding>,
) {
    let strays: Vec<&str> = project.env.names().filter(|name| name.starts_with(VARIABLES)).collect();
    if strays.is_empty() {
        return;
    }
    let known: Vec<String> = destinations
        .iter()
        .flat_map(|d| keys_of(&d.system, systems).into_iter().map(|key| variable(&d.name, key)))
        .collect();
    for name in strays.into_iter().filter(|name| !known.iter().any(|known| known == name)) {
        let near = did_you_mean(name, known.iter().map(String::as_str));
        let message = format!("the variable {name} is no setting of a destination, and ignored{near}");
        findings.push(Finding { path: name.to_owned(), message });
    }
}
