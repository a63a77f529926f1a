//! The column that says which run has brought a row.

use waybill_protocol::{Disposition, RUN_ID_COLUMN, Result, StreamLoad};

use super::names::Place;
use super::table::Table;
use super::tx::Tx;
use crate::postgres::sql::{ident, literal};

/// The default that gives a row its run.
pub(super) const DEFAULT: &str = "current_setting('waybill.run_id', true)";
/// A table has no room for another column.
const MOST_COLUMNS: usize = 1600;

/// Its declaration.
pub(super) fn column() -> String {
    format!("{} text DEFAULT {DEFAULT}", ident(RUN_ID_COLUMN))
}

/// Whether a table of so many columns that is made for a load gets it once the rows are there: all of
/// them are of this run, and a column that is added with a constant takes neither time nor room.
pub(super) fn comes_last(load: &StreamLoad, columns: usize, version: u32) -> bool {
    // Before 11 the server writes every row again.
    load.disposition == Disposition::Replace
        && load.metadata
        && !load.upsert
        && version >= 110_000
        && columns < MOST_COLUMNS
}

/// Adds it to a staging table that has none yet; says whether it did.
pub(super) async fn add(tx: &mut Tx, load: &StreamLoad, stage: &Place, staged: &Table) -> Result<bool> {
    if !load.metadata || staged.column(RUN_ID_COLUMN).is_some() {
        return Ok(false);
    }
    // An earlier try may have added it and lost the answer: this one waits for it.
    let (table, column) = (stage.sql(), ident(RUN_ID_COLUMN));
    let run_id = literal(&tx.server().ctx.run_id);
    tx.run(&format!(
        "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} text DEFAULT {run_id}; \
         ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {DEFAULT}"
    ))
    .await?;
    Ok(true)
}
