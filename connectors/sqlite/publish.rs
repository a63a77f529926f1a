//! Putting a staging table in the place of the table, in one transaction.

use rusqlite::Connection;
use waybill_protocol::{Commit, Disposition, Error, Kind, Logical, Origin, Receipt, Result, StreamLoad};

use super::database::Stop;
use super::fault::{Doing, fault, is_constraint};
use super::identifier::{key_index, quote, quote_all, same, stage};
use super::load::staging_table;
use super::prepare::{check_owner, duplicate};
use super::rebuild::{belongings, carry_over};
use super::refill::{keep_columns, refill, ties};
use super::session::Session;
use super::table::{find, rowid_of};
use super::{affinity, ledger};

/// Swaps, builds the primary key, carries indexes and triggers over, writes the commit.
pub(crate) fn publish(
    session: &Session,
    conn: &Connection,
    stop: &Stop,
    load: &StreamLoad,
    commit: &Commit,
) -> Result<Receipt> {
    if load.disposition != Disposition::Replace {
        return Err(Error::internal(format!("stream {}: publish of a direct load", load.stream)));
    }
    let turn = session.fenced(conn, stop)?;
    check_owner(&turn, session, load, true)?;
    let staging = staging_table(session, load);
    if find(&turn, &stage(&session.ctx.connection_id, &load.stream))?.is_none() {
        return Err(Error::new(
            Kind::Destination,
            format!("stream {}: its staging table is gone", load.stream),
        )
        .origin(Origin::Destination)
        .hint("leave tables that begin with _waybill_stage_ alone during a run, then run again"));
    }
    let doing = format!("stream {}: count the staged rows", load.stream);
    drop_waiting(&turn, session, load, &staging)?;
    let mut rows = match staged_rows(session, load) {
        Some(rows) => rows,
        None => {
            turn.query_row(&format!("SELECT count(*) FROM {staging}"), [], |r| r.get(0)).loading(&doing)?
        }
    };
    if let Some(expected) = commit.staged.get(&load.stream).filter(|n| u64::try_from(rows) != Ok(**n)) {
        return Err(Error::internal(format!(
            "stream {}: its staging table has {rows} of the {expected} rows that were committed into it",
            load.stream
        ))
        .origin(Origin::Destination)
        .hint("the table is as it was; run again, and leave tables that begin with _waybill_stage_ alone"));
    }
    rows -= put(&turn, session, load, &staging)?;
    ledger::record(&turn, &load.record, &load.key, true)?;
    let rows = u64::try_from(rows).unwrap_or(0);
    ledger::write(&turn, &session.ctx.connection_id, &commit.with_rows(&load.stream, rows))?;
    session.finish(turn, stop)?;
    session.stages().remove(&load.stream);
    let mut receipt = Receipt::default();
    receipt.rows.insert(load.stream.clone(), rows);
    Ok(receipt)
}

/// Rows that no commit covers have no place in the table.
fn drop_waiting(conn: &Connection, session: &Session, load: &StreamLoad, staging: &str) -> Result<()> {
    let mut stages = session.stages();
    let Some(stage) = stages.get_mut(&load.stream) else { return Ok(()) };
    for range in stage.ranges.iter().filter(|range| !range.committed) {
        let sql = format!("DELETE FROM {staging} WHERE {} BETWEEN ?1 AND ?2", rowid_of(load)?);
        conn.execute(&sql, [range.rowids.0, range.rowids.1]).loading("drop rows that no commit covers")?;
    }
    Ok(())
}

fn staged_rows(session: &Session, load: &StreamLoad) -> Option<i64> {
    let stages = session.stages();
    let stage = stages.get(&load.stream).filter(|stage| !stage.thinned)?;
    Some(stage.ranges.iter().filter(|r| r.committed).map(|r| r.rowids.1 - r.rowids.0 + 1).sum())
}

/// Puts the new rows in place; how many gave way to another of the same key.
fn put(conn: &Connection, session: &Session, load: &StreamLoad, staging: &str) -> Result<i64> {
    let Some((_, old)) = find(conn, &load.table.name)? else {
        return swap(conn, load, staging, None);
    };
    let ties = ties(conn, &old)?;
    let name = stage(&session.ctx.connection_id, &load.stream);
    if ties.is_empty() {
        keep_columns(conn, staging, &name, &old)?;
        return swap(conn, load, staging, Some(&old));
    }
    let index = key_index(&name);
    let gone = if load.key.is_empty() { 0 } else { build_key(conn, load, &name, &index)? };
    refill(conn, session, load, staging, &old, &ties)?;
    Ok(gone)
}

/// The staging table becomes the table.
fn swap(conn: &Connection, load: &StreamLoad, staging: &str, old: Option<&str>) -> Result<i64> {
    let table = &load.table.name;
    let doing = format!("stream {}: put the new table {table} in place", load.stream);
    let mut kept = Vec::new();
    if let Some(old) = old {
        kept = belongings(conn, old)?;
        kept.retain(|(name, _)| !same(name, &key_index(table)));
        conn.execute_batch(&format!("DROP TABLE main.{}", quote(old))).loading(&doing)?;
    }
    // An index of that name may be left behind on a table that was renamed by hand.
    let index = key_index(table);
    let sql =
        format!("DROP INDEX IF EXISTS {}; ALTER TABLE {staging} RENAME TO {}", quote(&index), quote(table));
    conn.execute_batch(&sql).loading(&doing)?;
    let gone = if load.key.is_empty() { 0 } else { build_key(conn, load, table, &index)? };
    carry_over(conn, &load.stream, table, &kept)?;
    Ok(gone)
}

fn build_key(conn: &Connection, load: &StreamLoad, table: &str, index: &str) -> Result<i64> {
    let table = quote(table);
    let doing = format!("stream {}: build the primary key of table {}", load.stream, load.table.name);
    let sql = format!("CREATE UNIQUE INDEX {} ON {table} ({})", quote(index), quote_all(&load.key));
    match conn.execute_batch(&sql) {
        Err(e) if is_constraint(&e) && load.upsert => {
            let gone = keep_highest(conn, load, &table)?;
            conn.execute_batch(&sql).loading(&doing)?;
            Ok(gone)
        }
        Err(e) if is_constraint(&e) => Err(duplicate(conn, load, &table, e)),
        Err(e) => Err(fault(Origin::Destination, &doing, e)),
        Ok(()) => Ok(0),
    }
}

/// Of rows with one key the one with the highest cursor stays, then the later one.
fn keep_highest(conn: &Connection, load: &StreamLoad, table: &str) -> Result<i64> {
    let rowid = rowid_of(load)?;
    let mut order = String::new();
    if let Some(cursor) = &load.cursor {
        let field = load.schema.fields().iter().find(|f| same(f.name(), cursor));
        let logical = field.map(|f| Logical::of(f)).transpose()?;
        order = logical.map(|l| affinity::order_terms(&quote(cursor), l)).unwrap_or_default();
    }
    let sql = format!(
        "DELETE FROM {table} WHERE {rowid} IN (SELECT id FROM (SELECT {rowid} AS id, row_number() OVER \
         (PARTITION BY {} ORDER BY {order}{rowid} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS nth, \
         count(*) OVER (PARTITION BY {0}) AS of FROM {table}) WHERE nth < of)",
        quote_all(&load.key)
    );
    let gone = conn.execute(&sql, []).loading("keep one row of each key")?;
    Ok(i64::try_from(gone).unwrap_or(i64::MAX))
}
