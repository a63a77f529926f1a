//! What a connection is set up to do, as far as it can be told before a run: its streams with how
//! they are loaded, and their tables. By the same code as a run's.

use std::collections::BTreeMap;

use waybill_protocol::{
    Capabilities, CatalogStream, Destination, Load, OnExisting, Origin, Result, Source, StreamSelection,
};

use super::modes::{Modes, modes};
use super::plan::{Holdings, record_of, tables_of};
use super::{Options, error_of, matching, pipeline};
use crate::store::config::Connection;

/// A stream with what discovery found and how it is loaded; the error says why it cannot be.
pub struct Prospect {
    /// What the person selected.
    pub selection: StreamSelection,
    /// What was found.
    pub found: Result<(CatalogStream, Modes)>,
}

/// The selected streams; only those of these schemas, where any are named.
pub async fn prospects(
    connection: &Connection,
    source: &dyn Source,
    schemas: &[String],
) -> Result<Vec<Prospect>> {
    let (catalog, broken) =
        pipeline::discover(source, &connection.streams).await.map_err(|e| e.origin(Origin::Source))?;
    let mut matches = matching::matches(&connection.streams, &catalog, &[])?;
    for (selection, found) in &mut matches {
        if let (Err(error), Some(why)) = (found, broken.get(&selection.name)) {
            *error = error_of(why).origin(Origin::Source);
        }
    }
    let within = |selection: &StreamSelection, found: &Result<CatalogStream>| match found {
        _ if schemas.is_empty() => true,
        Ok(stream) => stream.namespace.as_ref().is_some_and(|name| schemas.contains(name)),
        Err(_) => schemas.iter().any(|schema| selection.name.starts_with(&format!("{schema}."))),
    };
    let kept = matches.into_iter().filter(|(selection, found)| within(selection, found));
    Ok(kept
        .map(|(selection, found)| {
            let found = found.and_then(|stream| {
                let modes = modes(&selection, &stream, &Options::default(), 0)?;
                Ok((stream, modes))
            });
            Prospect { selection, found }
        })
        .collect())
}

/// The tables that they are loaded into, as the destination names them.
pub async fn loads(
    connection: &Connection,
    prospects: &[Prospect],
    destination: Option<&dyn Destination>,
) -> Result<Vec<Load>> {
    // Where the destination cannot be asked: names as most databases have them.
    let unknown = Capabilities {
        namespaces: true,
        identifier_bytes: 63,
        case_sensitive: true,
        columns: 1600,
        parallel_slices: false,
    };
    let (can, tables) = match destination {
        Some(destination) => (destination.capabilities(), destination.tables().await?),
        None => (unknown, Vec::new()),
    };
    let holdings = Holdings { states: BTreeMap::new(), tables };
    let matches: Vec<matching::Match> = prospects
        .iter()
        .filter_map(|prospect| {
            let (stream, _) = prospect.found.as_ref().ok()?;
            Some((prospect.selection.clone(), Ok(stream.clone())))
        })
        .collect();
    let id = connection.id.map(|id| id.to_string()).unwrap_or_default();
    let mut tables = tables_of(&id, &can, &matches, &holdings);
    let load = |prospect: &Prospect| {
        let (_, modes) = prospect.found.as_ref().ok()?;
        let name = &prospect.selection.name;
        let table = tables.remove(name)?;
        let owned = record_of(&id, name, &holdings).is_some_and(|record| record.table == table);
        let adopt = prospect.selection.on_existing == OnExisting::Adopt || prospect.selection.shared;
        Some(Load { stream: name.clone(), table, write: modes.write, owned, adopt })
    };
    Ok(prospects.iter().filter_map(load).collect())
}
