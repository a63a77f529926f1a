//! The connectors of a registry with their schemas, computed once per use of the config.

use serde_json::Value;
use waybill_protocol::{Connector, Role, StreamSelection};

use super::nearest::{did_you_mean, shown};

/// One connector.
pub(crate) struct Known<'r> {
    pub(crate) connector: &'r dyn Connector,
    pub(crate) name: &'static str,
    pub(crate) roles: &'static [Role],
    /// JSON Schema of its settings as a source.
    pub(crate) source: Value,
    /// JSON Schema of its settings as a destination.
    pub(crate) destination: Value,
    /// JSON Schema of its own stream options.
    pub(crate) stream: Value,
    /// Whether the history of runs can be kept there.
    pub(crate) keeps_history: bool,
}

/// All connectors.
pub(crate) struct Systems<'r> {
    pub(crate) list: Vec<Known<'r>>,
    /// JSON Schema of what every stream's entry may have.
    pub(crate) selection: Value,
}

impl<'r> Systems<'r> {
    pub(crate) fn of(registry: &'r [Box<dyn Connector>]) -> Systems<'r> {
        let known = |connector: &'r dyn Connector| {
            let spec = connector.spec();
            Known {
                connector,
                name: spec.name,
                roles: spec.roles,
                source: spec.source.to_value(),
                destination: spec.destination.to_value(),
                stream: spec.stream.to_value(),
                keeps_history: spec.keeps_history,
            }
        };
        let selection = schemars::schema_for!(StreamSelection).to_value();
        Systems { list: registry.iter().map(AsRef::as_ref).map(known).collect(), selection }
    }

    /// The connector of this name in this role; otherwise what to say, and what to do.
    pub(crate) fn find(&self, name: &str, role: Role) -> Result<&Known<'r>, (String, String)> {
        let found = self.list.iter().find(|known| known.name == name);
        if let Some(known) = found.filter(|known| known.roles.contains(&role)) {
            return Ok(known);
        }
        let names: Vec<&str> =
            self.list.iter().filter(|known| known.roles.contains(&role)).map(|known| known.name).collect();
        let message = match found {
            Some(_) => format!("{name} cannot be used as a {}", role.word()),
            None => {
                let near = did_you_mean(name, names.iter().copied());
                format!("no connector {} in this build{near}", shown(name))
            }
        };
        Err((message, format!("use one of: {}", names.join(", "))))
    }
}
