//! Whether `run --all` runs a connection.

use serde_json::{Value, json};
use waybill_protocol::{Connector, Result};

use crate::store::config::ConfigText;
use crate::store::edit::{Backup, change, edit, find_by_name};
use crate::store::project::Project;

/// Switches a connection on; whether that changed anything. One whose entry is wrong stays off.
pub fn enable(project: &Project, name: &str, registry: &[Box<dyn Connector>]) -> Result<bool> {
    edit(project, registry, |text, document| set(text, document, name, true))
}

/// Switches a connection off; whether that changed anything. This goes for one that is wrong, too.
pub fn disable(project: &Project, name: &str) -> Result<bool> {
    change(project, Backup::Keep, |text, document| set(text, document, name, false))
}

fn set(text: &ConfigText, document: &mut Value, name: &str, enabled: bool) -> Result<bool> {
    let entry = find_by_name(text, document, name)?;
    if entry.get("enabled").is_none_or(|now| now == &json!(true)) == enabled {
        return Ok(false);
    }
    if let Some(map) = entry.as_object_mut() {
        match map.get_mut("enabled") {
            Some(value) => *value = json!(enabled),
            None => {
                let behind = map.keys().position(|key| key == "type").map_or(map.len(), |at| at + 1);
                map.shift_insert(behind, "enabled".to_owned(), json!(enabled));
            }
        }
    }
    Ok(true)
}
