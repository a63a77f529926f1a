//! The swap: the staging table takes the place of the table, in one transaction.

use std::time::Instant;

use sqlx::Row;
use waybill_protocol::{Commit, Disposition, Error, Kind, Origin, Receipt, Result, StreamLoad};

use super::books::{broken, fence};
use super::desk::Desk;
use super::names::{Place, hash8};
use super::prepare::{PAUSE, TRIES, dependents_error, in_use, may_change, take_turn};
use super::table::{self, Table};
use super::tx::{Args, Tx, state_of, waited};
use super::{afterwards, carry, ledger};
use crate::postgres::sql::ident;

/// Publishes a staged load.
pub(super) async fn publish(desk: &Desk, load: &StreamLoad, commit: &Commit) -> Result<Receipt> {
    if load.disposition != Disposition::Replace {
        return Err(Error::internal("publish() of a load that was not staged").stream(&load.stream));
    }
    let place = desk.place(&load.table);
    let stage = desk.stage(&load.stream, &place);
    let named = |e: Error| e.stream(&load.stream).origin(Origin::Destination);
    let rows = finish_stage(desk, load, &place, &stage).await.map_err(named)?;
    if let Some(expected) = commit.staged.get(&load.stream).filter(|expected| **expected != rows) {
        return Err(named(
            Error::internal(format!(
                "the staging table of {} has {rows} of the {expected} rows that were committed into it",
                load.table
            ))
            .hint(
                "the table is as it was; run again, and leave tables that begin with _waybill_stage_ alone",
            ),
        ));
    }
    let (started, commit) = (Instant::now(), commit.with_rows(&load.stream, rows));
    let mut tries = 0;
    loop {
        tries += 1;
        match swap(desk, load, &commit, &place, &stage).await {
            Err(error) if state_of(&error) == "55P03" && tries < TRIES => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                if tries > 1 {
                    waited(&desk.server, &format!("table {}", load.table), started);
                }
                return Err(named(in_use(load, error)));
            }
            Ok(()) => break,
        }
    }
    if tries > 1 {
        waited(&desk.server, &format!("table {}", load.table), started);
    }
    desk.set_staged(&load.stream, None);
    Ok(Receipt { rows: [(load.stream.clone(), rows)].into(), ..Receipt::default() })
}

async fn staged_table(tx: &mut Tx, load: &StreamLoad, stage: &Place) -> Result<Table> {
    table::describe(tx, stage).await?.ok_or_else(|| {
        Error::new(Kind::Destination, format!("the staging table of {} is gone", load.table))
            .retry(true)
            .hint("somebody dropped it, or cleaned up after this run: load the stream again")
    })
}

/// What may take long: the primary key, indexes and constraints, before anybody has to wait.
async fn finish_stage(desk: &Desk, load: &StreamLoad, place: &Place, stage: &Place) -> Result<u64> {
    let mut tx = Tx::begin(&desk.server).await?;
    fence(desk, &mut tx).await?;
    tx.commit().await?;
    // The fence is not held meanwhile: the swap reads it again.
    let mut tx = Tx::begin(&desk.server).await?;
    staged_table(&mut tx, load, stage).await?;
    let belongings = match table::describe(&mut tx, place).await? {
        Some(old) => carry::collect(&mut tx, old.oid, stage, load).await?,
        None => carry::Belongings::default(),
    };
    carry::build(&mut tx, stage, load, &belongings).await?;
    let known = desk.staged(&load.stream).filter(|_| !load.upsert);
    let rows = match known.and_then(|staged| staged.loads.iter().map(|load| load.rows).sum::<Option<u64>>()) {
        Some(rows) => rows,
        // The answer to a commit was lost, or rows were merged: the table knows.
        None => {
            let counted = tx.fetch(&format!("SELECT count(*) FROM {}", stage.sql()), Args::default()).await?;
            let rows: i64 =
                counted.first().map(|row| row.try_get(0)).transpose().map_err(broken)?.unwrap_or(0);
            u64::try_from(rows).unwrap_or(0)
        }
    };
    tx.commit().await?;
    Ok(rows)
}

async fn swap(desk: &Desk, load: &StreamLoad, commit: &Commit, place: &Place, stage: &Place) -> Result<()> {
    let mut tx = Tx::begin(&desk.server).await?;
    fence(desk, &mut tx).await?;
    take_turn(&mut tx, place).await?;
    let fresh = staged_table(&mut tx, load, stage).await?;
    let rename = format!("ALTER TABLE {} RENAME TO {}", stage.sql(), ident(&place.name));
    let mut belongings = carry::Belongings::default();
    let mut inherited = Vec::new();
    if table::describe(&mut tx, place).await?.is_some_and(|t| matches!(t.relkind.as_str(), "r" | "p")) {
        let started = Instant::now();
        tx.run(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", place.sql())).await?;
        waited(&desk.server, &format!("table {}", load.table), started);
    }
    match table::describe(&mut tx, place).await? {
        None => drop(tx.run(&rename).await?),
        Some(old) => {
            may_change(desk, &mut tx, load, &old).await?;
            belongings = carry::collect(&mut tx, old.oid, stage, load).await?;
            // Nothing is left to build, unless somebody added an index a moment ago.
            carry::build(&mut tx, stage, load, &belongings).await?;
            inherited = afterwards::statements(&mut tx, old.oid, fresh.oid, place).await?;
            let aside = place.sibling(format!("_waybill_old_{}", hash8(&[&place.name])));
            tx.run(&format!("ALTER TABLE {} RENAME TO {}; {rename}", place.sql(), ident(&aside.name)))
                .await?;
            tx.run(&format!("DROP TABLE {}", aside.sql())).await.map_err(|e| {
                match state_of(&e).as_str() {
                    "2BP01" => dependents_error(load, &["another object".to_owned()]).cause(e),
                    _ => e,
                }
            })?;
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
    tx.commit().await
}
