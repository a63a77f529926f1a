//! config.json as typed values: what is wrong with an entry stops that entry and no other.

mod entry;
mod load;
mod policy;
#[cfg(test)]
mod tests;
mod text;
mod variables;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use waybill_protocol::{Error, ErrorRecord, Result, StreamSelection};

use super::nearest::{did_you_mean, shown};
use super::project::Origin;
use super::state::StateEntry;

pub(crate) use entry::worded_path;
pub use load::{load, load_with, read_with};
pub use policy::{InForce, Policies};
pub use text::ConfigText;
pub(crate) use variables::variable;

/// The newest version of config.json that this program knows.
pub const CONFIG_VERSION: u64 = 1;
/// The name of the embedded default destination.
pub const EMBEDDED_NAME: &str = "local";
/// Its system.
pub const EMBEDDED_TYPE: &str = "sqlite";
/// Its file, in the project's folder.
pub const EMBEDDED_PATH: &str = "waybill.db";

/// The members of a connection that are read by their types; `schema`, `state` and the policies
/// are read beside them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) struct Head {
    /// Identity of the connection, written by the program once: state and ownership are keyed by
    /// it, so that a new name keeps them.
    #[serde(default)]
    pub(crate) id: Option<Uuid>,
    /// Its name: letters, digits, _ and -, at most 64 bytes, unique ignoring case.
    pub(crate) name: String,
    /// The connector of the source.
    #[serde(rename = "type")]
    pub(crate) system: String,
    /// Whether `run --all` runs it. Default: true.
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    /// The destination's name; the config's default one when absent.
    #[serde(default)]
    pub(crate) destination: Option<String>,
}

fn yes() -> bool {
    true
}

/// A connection that is good as far as its text goes. Secrets are not in it yet.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its place in `connections`.
    pub index: usize,
    /// Its identity; absent until the program has written it.
    pub id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// The connector of the source.
    pub system: String,
    /// Whether `run --all` runs it.
    pub enabled: bool,
    /// The name of its destination.
    pub destination: String,
    /// Where the destination's name comes from.
    pub destination_origin: Origin,
    /// Settings of the source as they stand in the file, unknown ones left out.
    pub settings: Map<String, Value>,
    /// Selected streams, unknown options left out.
    pub streams: Vec<StreamSelection>,
    /// Stream → entry of the member `state`.
    pub state: std::collections::BTreeMap<String, StateEntry>,
    /// The member `state`, or what the state file has, as it stands; null where it is absent.
    pub state_as_loaded: Value,
    /// Retries, deadlines, parallelism.
    pub policies: InForce,
    /// Digest of the entry without its state.
    pub config_hash: String,
}

/// A destination as it stands in the file.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Its connector.
    pub system: String,
    /// Its settings, unknown ones left out.
    pub settings: Map<String, Value>,
    /// `config.json`, or `default` for the embedded one.
    pub origin: Origin,
}

/// An entry that is wrong, and why.
#[derive(Debug, Clone, Serialize)]
pub struct InvalidEntry {
    /// Its place in `connections`; absent for a destination.
    pub index: Option<usize>,
    /// Its name, where it has a readable one.
    pub name: Option<String>,
    /// What is wrong, the first first.
    pub errors: Vec<ErrorRecord>,
}

/// Something that a person should know although it stops nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// Where: a path in the file, or a variable.
    pub path: String,
    /// What, with file and line where there is one.
    pub message: String,
}

/// A config that was read.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The file.
    pub path: PathBuf,
    /// The file that state stands in, where it is not the config itself.
    pub state_file: Option<PathBuf>,
    /// The config's own default destination, where it names one.
    pub destination: Option<String>,
    /// The destination that keeps the run history, where one does.
    pub history: Option<String>,
    /// Destinations; the embedded one alone where the file has none.
    pub destinations: Vec<Destination>,
    /// Destinations that are wrong.
    pub invalid_destinations: Vec<InvalidEntry>,
    /// Connections, in the file's order.
    pub connections: Vec<std::result::Result<Connection, InvalidEntry>>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// The text and its value.
    pub text: ConfigText,
}

impl InvalidEntry {
    /// The first error.
    pub fn error(&self) -> Error {
        let Some(record) = self.errors.first() else {
            return Error::internal("an invalid entry without error");
        };
        let error = Error::new(record.kind, record.message.clone());
        match &record.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

impl LoadedConfig {
    /// The connection of this name; the error of an invalid one, or the names that are near.
    pub fn connection(&self, name: &str) -> Result<&Connection> {
        for entry in &self.connections {
            match entry {
                Ok(connection) if connection.name == name => return Ok(connection),
                Err(invalid) if invalid.name.as_deref() == Some(name) => return Err(invalid.error()),
                _ => {}
            }
        }
        Err(unknown_connection(&self.path.display().to_string(), name, &self.names()))
    }

    /// The names of all connections, of the invalid ones too.
    pub fn names(&self) -> Vec<&str> {
        self.connections
            .iter()
            .filter_map(|entry| match entry {
                Ok(connection) => Some(connection.name.as_str()),
                Err(invalid) => invalid.name.as_deref(),
            })
            .collect()
    }

    /// Connections that are good.
    pub fn valid(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter_map(|entry| entry.as_ref().ok())
    }

    /// Connections that are not.
    pub fn invalid(&self) -> impl Iterator<Item = &InvalidEntry> {
        self.connections.iter().filter_map(|entry| entry.as_ref().err())
    }

    /// The destination of a connection.
    pub fn destination_of(&self, connection: &Connection) -> Result<&Destination> {
        self.destination_named(&connection.destination)
    }

    /// The destination of this name; the error of an invalid one, or the names that are near.
    pub fn destination_named(&self, name: &str) -> Result<&Destination> {
        if let Some(found) = self.destinations.iter().find(|destination| destination.name == name) {
            return Ok(found);
        }
        if let Some(invalid) = self.invalid_destinations.iter().find(|d| d.name.as_deref() == Some(name)) {
            return Err(invalid.error());
        }
        let known: Vec<&str> = self.destinations.iter().map(|d| d.name.as_str()).collect();
        let near = did_you_mean(name, known.iter().copied());
        Err(Error::config(format!("{}: no destination {}{near}", self.path.display(), shown(name)))
            .hint(format!("the config has: {}", list(&known))))
    }
}

/// The error of a name that no connection has.
pub(crate) fn unknown_connection(file: &str, name: &str, known: &[&str]) -> Error {
    let near = did_you_mean(name, known.iter().copied());
    Error::config(format!("{file}: no connection {}{near}", shown(name)))
        .hint(format!("the config has: {}; `waybill connection list` shows them", list(known)))
}

fn list(names: &[&str]) -> String {
    const MOST: usize = 20;
    match names.len() {
        0 => "none".to_owned(),
        count if count > MOST => {
            format!("{}, … ({count})", names.iter().take(MOST).copied().collect::<Vec<_>>().join(", "))
        }
        _ => names.join(", "),
    }
}
