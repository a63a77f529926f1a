//! Publishing a staged load in one transaction: the staging table takes the place of the table, or,
//! where the table cannot be given up, its rows take the place of the table's rows.

use std::time::{Duration, Instant};

use sqlx::Row;
use waybill_protocol::event::Body;
use waybill_protocol::{Commit, Disposition, Error, Kind, Origin, Receipt, Result, StreamLoad};

use super::bonds::bonds;
use super::books::{broken, explained, fence};
use super::desk::Desk;
use super::names::{Place, hash8};
use super::patience::{NOT_AVAILABLE, Tries};
use super::prepare::{in_use, may_change, take_turn};
use super::refill::{refill, unlike};
use super::table::{self, Table};
use super::tx::{Args, Tx, state_of, waited};
use super::{afterwards, carry, ledger, run_id, snapshots};
use crate::postgres::sql::ident;

/// How long readers may hold up a swap before the rows are exchanged instead, which waits for no reader.
const SWAP: Duration = Duration::from_secs(20);
/// How long to wait for snapshots that are older than the new rows.
const SNAPSHOTS: Duration = Duration::from_secs(2);
/// How often indexes that came meanwhile are built before the swap is given up.
const BUILDS: u32 = 5;

/// How a staged load is published.
enum Way {
    /// The staging table becomes the table.
    Swap,
    /// The table stays, because of these.
    Refill(Vec<String>),
}

/// How a try of a swap ended.
enum Swapped {
    Yes,
    /// Something was added to the table that has to be built first.
    Unbuilt,
    /// Something was added that the table must not lose.
    Bound(Vec<String>),
}

/// A staged load that is whole.
struct Whole {
    rows: u64,
    way: Way,
    /// Whether exchanging the rows would come to the same.
    alike: bool,
    /// The transactions that were open when the last row had been staged.
    open: Vec<String>,
}

/// Publishes a staged load.
pub(super) async fn publish(desk: &Desk, load: &StreamLoad, commit: &Commit) -> Result<Receipt> {
    if load.disposition != Disposition::Replace {
        return Err(Error::internal("publish() of a load that was not staged").stream(&load.stream));
    }
    let place = desk.place(&load.table);
    let stage = desk.stage(&load.stream, &place);
    let rows = match put(desk, load, commit, &place, &stage).await {
        Err(error) => Err(explained(desk, error).await),
        rows => rows,
    };
    let rows = rows.map_err(|e| in_use(load, e).stream(&load.stream).origin(Origin::Destination))?;
    desk.set_staged(&load.stream, None);
    Ok(Receipt { rows: [(load.stream.clone(), rows)].into(), ..Receipt::default() })
}

async fn put(desk: &Desk, load: &StreamLoad, commit: &Commit, place: &Place, stage: &Place) -> Result<u64> {
    let (server, what) = (&desk.server, format!("table {}", load.table));
    let mut whole = finish_stage(desk, load, place, stage).await?;
    as_committed(load, commit, whole.rows)?;
    let commit = &commit.with_rows(&load.stream, whole.rows);
    if matches!(whole.way, Way::Swap) && whole.alike {
        let older = snapshots::outlive(server, &whole.open, SNAPSHOTS).await?;
        if !older.is_empty() {
            whole.way = Way::Refill(vec![format!("an older snapshot ({})", older.join(", "))]);
        }
    }
    let patience =
        if whole.alike { SWAP.min(server.ctx.deadlines.stall / 10) } else { server.ctx.deadlines.stall };
    let mut swaps = Tries::new(server, what.clone(), patience);
    let mut refills = Tries::patient(server, what);
    let mut built = 0;
    loop {
        match &whole.way {
            Way::Swap => match swap(desk, load, commit, place, stage).await {
                Ok(Swapped::Yes) => break swaps.over(),
                Ok(Swapped::Unbuilt) if built < BUILDS => {
                    built += 1;
                    whole = finish_stage(desk, load, place, stage).await?;
                }
                Ok(Swapped::Unbuilt) => return Err(restless(load)),
                Ok(Swapped::Bound(why)) => whole.way = Way::Refill(why),
                Err(error) if swaps.again(&error).await => {}
                Err(error) if state_of(&error) == NOT_AVAILABLE && whole.alike => {
                    whole.way = Way::Refill(vec!["readers that do not let go of it".to_owned()]);
                }
                Err(error) => return Err(error),
            },
            Way::Refill(why) => {
                said(desk, load, why);
                match refill(desk, load, commit, place, stage, whole.rows).await {
                    Ok(()) => break refills.over(),
                    Err(error) if refills.again(&error).await => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(whole.rows)
}

/// A staging table that somebody else wrote to is not published.
fn as_committed(load: &StreamLoad, commit: &Commit, rows: u64) -> Result<()> {
    match commit.staged.get(&load.stream).filter(|expected| **expected != rows) {
        None => Ok(()),
        Some(expected) => Err(Error::internal(format!(
            "the staging table of {} has {rows} of the {expected} rows that were committed into it",
            load.table
        ))
        .hint("the table is as it was; run again, and leave tables that begin with _waybill_stage_ alone")),
    }
}

fn restless(load: &StreamLoad) -> Error {
    Error::new(Kind::Destination, format!("table {} was given new indexes while it was replaced", load.table))
        .retry(true)
        .hint("run again once nobody changes the table's indexes")
}

/// Says why a table keeps its place.
fn said(desk: &Desk, load: &StreamLoad, why: &[String]) {
    let message =
        format!("table {} keeps its place because of {}: its rows are exchanged", load.table, why.join(", "));
    let detail = serde_json::json!({"table": load.table.to_string(), "kept_for": why});
    desk.server.ctx.events.for_stream(&load.stream).info(Body::Runtime { detail }, message);
}

async fn staged_table(tx: &mut Tx, load: &StreamLoad, stage: &Place) -> Result<Table> {
    table::describe(tx, stage).await?.ok_or_else(|| {
        Error::new(Kind::Destination, format!("the staging table of {} is gone", load.table))
            .retry(true)
            .hint("somebody dropped it, or cleaned up after this run: load the stream again")
    })
}

/// What may take long: the primary key, indexes and constraints, before anybody has to wait.
async fn finish_stage(desk: &Desk, load: &StreamLoad, place: &Place, stage: &Place) -> Result<Whole> {
    let mut tx = Tx::begin(&desk.server).await?;
    fence(desk, &mut tx).await?;
    tx.commit().await?;
    // The fence is not held meanwhile: the transaction that publishes reads it again.
    let mut tx = Tx::begin(&desk.server).await?;
    let open = snapshots::open(&mut tx).await?;
    let mut staged = staged_table(&mut tx, load, stage).await?;
    if run_id::add(&mut tx, load, stage, &staged).await? {
        staged = staged_table(&mut tx, load, stage).await?;
    }
    let target = table::describe(&mut tx, place).await?;
    let way = match &target {
        Some(target) => way(ties(&mut tx, target, &staged, load).await?),
        None => Way::Swap,
    };
    let belongings = match (&target, &way) {
        (Some(target), Way::Swap) => carry::collect(&mut tx, target.oid, stage, load).await?,
        _ => carry::Belongings::default(),
    };
    let steps = carry::missing(&mut tx, stage, load, &belongings).await?;
    carry::build(&mut tx, load, steps).await?;
    let alike = match &target {
        Some(target) => {
            unlike(load, target, &staged).is_none() && carry::same_key(&mut tx, place, stage).await?
        }
        None => false,
    };
    let rows = staged_rows(desk, &mut tx, load, stage).await?;
    tx.commit().await?;
    Ok(Whole { rows, way, alike, open })
}

fn way(why: Vec<String>) -> Way {
    if why.is_empty() { Way::Swap } else { Way::Refill(why) }
}

/// What ties the table to its place, with the columns that came to it since the staging table was made.
async fn ties(tx: &mut Tx, target: &Table, staged: &Table, load: &StreamLoad) -> Result<Vec<String>> {
    let mut why = bonds(tx, target.oid, load).await?;
    let new = target.columns.iter().filter(|column| staged.column(&column.name).is_none());
    why.extend(new.map(|column| format!("column {:?}, which is not among the staged ones", column.name)));
    Ok(why)
}

async fn staged_rows(desk: &Desk, tx: &mut Tx, load: &StreamLoad, stage: &Place) -> Result<u64> {
    let known = desk.staged(&load.stream).filter(|_| !load.upsert);
    match known.and_then(|staged| staged.loads.iter().map(|load| load.rows).sum::<Option<u64>>()) {
        Some(rows) => Ok(rows),
        // The answer to a commit was lost, or rows were merged: the table knows.
        None => {
            let counted = tx.fetch(&format!("SELECT count(*) FROM {}", stage.sql()), Args::default()).await?;
            let rows: i64 =
                counted.first().map(|row| row.try_get(0)).transpose().map_err(broken)?.unwrap_or(0);
            Ok(u64::try_from(rows).unwrap_or(0))
        }
    }
}

async fn swap(
    desk: &Desk,
    load: &StreamLoad,
    commit: &Commit,
    place: &Place,
    stage: &Place,
) -> Result<Swapped> {
    let mut tx = Tx::begin(&desk.server).await?;
    fence(desk, &mut tx).await?;
    take_turn(&mut tx, place).await?;
    let fresh = staged_table(&mut tx, load, stage).await?;
    if table::describe(&mut tx, place).await?.is_some_and(|t| matches!(t.relkind.as_str(), "r" | "p")) {
        let started = Instant::now();
        tx.run(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", place.sql())).await?;
        waited(&desk.server, &format!("table {}", load.table), started);
    }
    let rename = format!("ALTER TABLE {} RENAME TO {}", stage.sql(), ident(&place.name));
    let mut belongings = carry::Belongings::default();
    let mut inherited = Vec::new();
    match table::describe(&mut tx, place).await? {
        None => drop(tx.run(&rename).await?),
        Some(old) => {
            may_change(desk, &mut tx, load, &old).await?;
            let why = ties(&mut tx, &old, &fresh, load).await?;
            if !why.is_empty() {
                tx.rollback().await;
                return Ok(Swapped::Bound(why));
            }
            belongings = carry::collect(&mut tx, old.oid, stage, load).await?;
            if !carry::missing(&mut tx, stage, load, &belongings).await?.is_empty() {
                // Somebody added an index a moment ago: nobody waits while it is built.
                tx.rollback().await;
                return Ok(Swapped::Unbuilt);
            }
            inherited = afterwards::statements(&mut tx, old.oid, fresh.oid, place).await?;
            let aside = place.sibling(format!("_waybill_old_{}", hash8(&[&place.name])));
            let aside_sql = format!("ALTER TABLE {} RENAME TO {}", place.sql(), ident(&aside.name));
            tx.run(&format!("{aside_sql}; {rename}")).await?;
            if let Err(error) = tx.run(&format!("DROP TABLE {}", aside.sql())).await {
                return match state_of(&error).as_str() {
                    // Something that is not known here stands on it.
                    "2BP01" => Ok(Swapped::Bound(vec!["another object that depends on it".to_owned()])),
                    _ => Err(error),
                };
            }
        }
    }
    carry::rename(&mut tx, place, &belongings, load).await?;
    for statement in &inherited {
        tx.run(statement).await.map_err(|e| {
            e.context(format!("table {} cannot be given what the old one had", load.table))
                .hint("let the user of the destination own the table, or be a member of its owner")
        })?;
    }
    ledger::record(desk, &mut tx, &load.record).await?;
    ledger::write(desk, &mut tx, commit).await?;
    tx.commit().await?;
    Ok(Swapped::Yes)
}
