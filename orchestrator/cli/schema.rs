//! `waybill schema`: the JSON Schemas of what the program reads and writes.

use clap::{Args, ValueEnum};
use serde_json::Value;
use waybill_protocol::Result;

use super::terminal::Terminal;

/// Prints the JSON Schema of a document that the program reads or writes.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The document
    #[arg(value_enum)]
    document: Document,
}

/// The documents that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Document {
    /// config.json
    Config,
    /// One line of an event log
    Event,
    /// The summary of a run
    Summary,
    /// What a backend asks of `waybill headless`
    HeadlessRequest,
    /// What `waybill headless` answers
    #[value(alias = "headless")]
    HeadlessResponse,
    /// What a bundle says of itself
    BundleManifest,
    /// What `waybill state export` writes
    StateExport,
    /// What `waybill doctor --output json` answers
    Doctor,
    /// What `waybill connection preflight --output json` answers
    Preflight,
    /// What `waybill runs explain --output json` answers
    RunsExplain,
    /// What `waybill runs diff --output json` answers
    RunsDiff,
    /// What `waybill runs stats --output json` answers
    RunsStats,
}

/// Prints a schema.
pub fn schema(terminal: &Terminal, args: SchemaArgs) -> Result<u8> {
    terminal.json(&document(args.document))?;
    Ok(0)
}

fn document(document: Document) -> Value {
    match document {
        Document::Config => crate::store::schema::config_schema(&waybill_connectors::registry()),
        Document::Event => crate::events::schema::event().to_value(),
        Document::Summary => crate::summary::schema().to_value(),
        Document::HeadlessRequest => super::headless::request_schema().to_value(),
        Document::HeadlessResponse => super::headless::response_schema().to_value(),
        Document::BundleManifest => crate::bundle::schema().to_value(),
        Document::StateExport => crate::store::state::StateDocument::schema().to_value(),
        Document::Preflight => schemars::schema_for!(crate::manage::preflight::Report).to_value(),
        Document::RunsExplain => schemars::schema_for!(crate::explain::Explanation).to_value(),
        Document::RunsDiff => schemars::schema_for!(crate::explain::Comparison).to_value(),
        Document::RunsStats => schemars::schema_for!(crate::explain::Trend).to_value(),
        Document::Doctor => schemars::schema_for!(crate::manage::doctor::Report).to_value(),
    }
}

#[cfg(test)]
#[cfg(all(feature = "files", feature = "sqlite", feature = "postgres"))]
mod tests {
    use super::*;
    use std::path::Path;

    /// The schemas in the tree are those that the program prints; connectors for tests are left out.
    #[test]
    fn the_copies_in_the_tree_are_fresh() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        for choice in Document::value_variants() {
            let name = choice.to_possible_value().unwrap().get_name().to_owned();
            let fresh = match choice {
                Document::Config => {
                    let mut registry = waybill_connectors::registry();
                    registry.retain(|connector| connector.spec().name != "scripted");
                    crate::store::schema::config_schema(&registry)
                }
                other => document(*other),
            };
            let copy = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap_or_default();
            let fresh = serde_json::to_string_pretty(&fresh).unwrap() + "\n";
            assert!(
                copy == fresh,
                "schemas/{name}.json is stale: waybill schema {name} > schemas/{name}.json"
            );
        }
    }
}
