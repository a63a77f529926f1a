//! Exchanging the rows of a table that keeps its place: something stands on it, or it has what no
//! other table can be given. Readers see the old rows until the commit, and then the new ones.

use sqlx::Row;
use waybill_protocol::{Commit, Disposition, Error, Kind, RUN_ID_COLUMN, Result, StreamLoad};

use super::bonds::{Exchange, references};
use super::books::{broken, fence};
use super::desk::Desk;
use super::names::{Place, idents};
use super::prepare::{may_change, take_turn};
use super::table::{self, Table};
use super::tx::{Args, Tx, state_of, waited};
use super::{evolve, ledger};
use std::time::Instant;

/// Puts the staged rows in the place of the table's rows, and writes the commit with them.
pub(super) async fn refill(
    desk: &Desk,
    load: &StreamLoad,
    commit: &Commit,
    place: &Place,
    stage: &Place,
    rows: u64,
) -> Result<()> {
    fit(desk, load, place).await?;
    let mut tx = Tx::begin(&desk.server).await?;
    take_turn(&mut tx, place).await?;
    let started = Instant::now();
    // Keeps writers away, and whoever would refer to a row; readers go on.
    tx.run(&format!("LOCK TABLE {} IN EXCLUSIVE MODE", place.sql())).await?;
    waited(&desk.server, &format!("table {}", load.table), started);
    let table = found(&mut tx, load, place).await?;
    may_change(desk, &mut tx, load, &table).await?;
    let staged = found(&mut tx, load, stage).await?;
    if let Some(column) = unlike(load, &table, &staged) {
        return Err(changed(load, &format!("its column {column:?} changed")));
    }
    let limit = desk.server.ctx.deadlines.stall.as_millis().clamp(1, i32::MAX as u128);
    let how = references(&mut tx, load, place, table.oid).await?;
    tx.run(&format!("SET LOCAL row_security = off; SET LOCAL lock_timeout = {limit}")).await?;
    exchange(&mut tx, load, place, stage, &table, how).await?;
    let counted = tx.fetch(&format!("SELECT count(*) FROM {}", only(place, &table)), Args::default()).await?;
    let kept: i64 = counted.first().map(|row| row.try_get(0)).transpose().map_err(broken)?.unwrap_or(0);
    if u64::try_from(kept).ok() != Some(rows) {
        return Err(Error::data(format!(
            "table {} would hold {kept} rows where {rows} were loaded",
            load.table
        ))
        .hint(
            "a trigger or a rule of the table keeps or drops rows: disable it, or load into another `table`",
        ));
    }
    tx.run(&format!("DROP TABLE {}", stage.sql())).await?;
    // Last, so that nobody has to wait for the fence as long as the rows take.
    fence(desk, &mut tx).await?;
    ledger::record(desk, &mut tx, &load.record).await?;
    ledger::write(desk, &mut tx, commit).await?;
    tx.commit().await
}

/// New columns and wider types, in a transaction of their own: they lock readers out, for a moment.
async fn fit(desk: &Desk, load: &StreamLoad, place: &Place) -> Result<()> {
    let mut tx = Tx::begin(&desk.server).await?;
    fence(desk, &mut tx).await?;
    take_turn(&mut tx, place).await?;
    let table = found(&mut tx, load, place).await?;
    may_change(desk, &mut tx, load, &table).await?;
    evolve::evolve(&mut tx, place, load, &table).await?;
    tx.commit().await
}

async fn found(tx: &mut Tx, load: &StreamLoad, place: &Place) -> Result<Table> {
    table::describe(tx, place).await?.ok_or_else(|| changed(load, &format!("{} is gone", place.sql())))
}

fn changed(load: &StreamLoad, what: &str) -> Error {
    Error::new(
        Kind::Destination,
        format!("table {} changed while its new rows were staged: {what}", load.table),
    )
    .retry(true)
    .hint("run again: the table is as it was")
}

/// A column of the load that the two tables do not have in one type.
pub(super) fn unlike(load: &StreamLoad, table: &Table, staged: &Table) -> Option<String> {
    let alike = |name: &str| {
        let kind = |of: &Table| of.column(name).map(|column| column.kind.clone());
        kind(table).is_some() && kind(table) == kind(staged)
    };
    load.schema.fields().iter().map(|field| field.name()).find(|name| !alike(name)).cloned()
}

/// The table without those that inherit from it; a partitioned one has its rows nowhere else.
fn only(place: &Place, table: &Table) -> String {
    if table.relkind == "p" { place.sql() } else { format!("ONLY {}", place.sql()) }
}

async fn exchange(
    tx: &mut Tx,
    load: &StreamLoad,
    place: &Place,
    stage: &Place,
    table: &Table,
    how: Exchange,
) -> Result<()> {
    debug_assert_eq!(load.disposition, Disposition::Replace);
    let names = load.schema.fields().iter().map(|field| field.name().as_str());
    let columns = idents(names.chain(load.metadata.then_some(RUN_ID_COLUMN)));
    let delete = format!("DELETE FROM {}", only(place, table));
    let insert = format!(
        "INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {}",
        place.sql(),
        stage.sql()
    );
    let done = match how {
        Exchange::Apart => match tx.run(&delete).await {
            Ok(_) => tx.run(&insert).await,
            Err(error) => Err(error),
        },
        // The condition is worked out before the first row is inserted, and with it every row is gone.
        Exchange::AtOnce => {
            tx.run(&format!(
                "WITH gone AS ({delete} RETURNING 1) {insert} WHERE (SELECT count(*) FROM gone) >= 0"
            ))
            .await
        }
    };
    let done = match done {
        // What would be looked at by COMMIT is looked at here, where the answer has a place.
        Ok(_) => tx.run("SET CONSTRAINTS ALL IMMEDIATE").await,
        Err(error) => Err(error),
    };
    done.map(drop).map_err(|error| explained(load, error))
}

fn explained(load: &StreamLoad, error: Error) -> Error {
    let table = &load.table;
    match state_of(&error).as_str() {
        "23503" => error
            .context(format!("table {table} cannot be replaced: rows are referred to that do not come again, or refer to none"))
            .hint("remove the referring rows first, or look why the source no longer has what they refer to"),
        "23502" | "23505" | "23514" | "23P01" => error
            .context(format!("table {table} has a rule of its own that the new rows do not fit"))
            .hint("drop what the message names, or correct the rows at the source"),
        "42501" => error
            .context(format!("the rows of table {table} cannot be exchanged"))
            .hint(format!("GRANT SELECT, INSERT, DELETE ON {table} to the user of the destination; row security must not hide rows from it")),
        _ => error.context(format!("the rows of table {table} cannot be exchanged")),
    }
}
