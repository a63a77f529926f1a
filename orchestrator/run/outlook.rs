//! What the next run would do about each stream, decided by the same code, without taking the fence
//! and without writing anything.

use std::collections::BTreeMap;

use waybill_protocol::{
    CatalogStream, Destination, Error, Origin, Result, Scope, Source, StateRow, StreamSelection, TableRecord,
};

use super::modes::{Modes, modes};
use super::plan::{Grounds, Holdings, decide, print_of, record_of, tables_of};
use super::reconcile::Decision;
use super::{Options, error_of, matching, pipeline};
use crate::store::config::Connection;
use crate::store::state::StateEntry;

/// A selected stream before a run.
pub struct Outlook {
    /// What the person selected.
    pub selection: StreamSelection,
    /// What discovery found and how the stream is loaded; the error says why it cannot be.
    pub found: Result<(CatalogStream, Modes)>,
    /// The entry of the config.
    pub entry: Option<StateEntry>,
    /// The row at the destination.
    pub row: Option<StateRow>,
    /// What its state would belong to now; another one than the row's needs a reset or accept.
    pub fingerprint: Option<String>,
    /// The table on record.
    pub record: Option<TableRecord>,
    /// Where the next run starts from and why, or why it refuses; `None` where `found` failed.
    pub next: Option<Result<Decision>>,
}

/// Looks at the selected streams of a connection; only at `only`, where names are given.
pub async fn outlook(
    connection: &Connection,
    source: &dyn Source,
    destination: &dyn Destination,
    only: &[String],
) -> Result<Vec<Outlook>> {
    matching::known(&connection.streams, only)?;
    let (catalog, broken) =
        pipeline::discover(source, &connection.streams).await.map_err(|e| e.origin(Origin::Source))?;
    let at_destination = |e: Error| e.origin(Origin::Destination);
    let states = destination.states().await.map_err(at_destination)?;
    let states: BTreeMap<_, _> = states.into_iter().map(|row| (row.scope.clone(), row)).collect();
    let holdings = Holdings { states, tables: destination.tables().await.map_err(at_destination)? };
    let mut matches = matching::matches(&connection.streams, &catalog, only)?;
    for (selection, found) in &mut matches {
        if let (Err(error), Some(why)) = (found, broken.get(&selection.name)) {
            *error = error_of(why).origin(Origin::Source);
        }
    }
    let id = connection.id.map(|id| id.to_string()).unwrap_or_default();
    let tables = tables_of(&id, &destination.capabilities(), &matches, &holdings);
    let options = Options::default();
    let mut outlooks = Vec::new();
    for (selection, found) in matches {
        let name = selection.name.clone();
        let row = holdings.states.get(&Scope::Stream(name.clone()).to_string());
        let entry = connection.state.get(&name);
        let grounds = Grounds { connection: &connection.name, options: &options, destination, entry };
        let rows = row.map_or(0, |row| row.rows);
        let found = found.and_then(|stream| {
            let modes = modes(&selection, &stream, &options, rows)?;
            Ok((stream, modes))
        });
        let print = found.as_ref().ok().map(|(_, modes)| print_of(&catalog.identity, &selection, modes));
        let next = match (&found, &print, tables.get(&name)) {
            (Ok((_, modes)), Some(print), Some(table)) => {
                Some(decide(&grounds, &selection, modes, row, table, print).await)
            }
            _ => None,
        };
        outlooks.push(Outlook {
            entry: entry.cloned(),
            row: row.cloned(),
            fingerprint: print,
            record: record_of(&id, &name, &holdings).cloned(),
            selection,
            found,
            next,
        });
    }
    Ok(outlooks)
}
