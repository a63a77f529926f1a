//! What a writer has done on the connection's thread: staging tables, batches, commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use rusqlite::hooks::Action;
use rusqlite::{Connection, params};
use waybill_protocol::{Commit, Error, RUN_ID_COLUMN, Result, StreamLoad};

use super::bind::{Cells, Changed};
use super::database::Stop;
use super::fault::{Doing, is_constraint};
use super::identifier::{quote, quote_all, same};
use super::load::Plan;
use super::session::{Range, Session};
use super::{affinity, ledger, prepare, table};

/// Drops the temporary table of a direct load.
pub(crate) fn drop_staging(conn: &Connection, plan: &Plan) {
    // Best effort: the table is temporary and ends with the connection.
    drop(conn.execute_batch(&format!("DROP TABLE IF EXISTS {}", plan.staging)));
}

/// Fits the table of a direct load, and makes the table that its rows wait in.
pub(crate) fn direct(session: &Session, conn: &Connection, stop: &Stop, plan: &Plan) -> Result<()> {
    let turn = session.fenced(conn, stop)?;
    prepare::fit(&turn, session, &plan.load)?;
    session.finish(turn, stop)?;
    let ddl = table::create_table(&plan.staging, &plan.load)?;
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {}; {ddl}", plan.staging))
        .loading("create a staging table")
}

/// A fresh staging table; rows that other slices of the stream have committed in this run stay.
pub(crate) fn stage(session: &Session, conn: &Connection, stop: &Stop, plan: &Plan) -> Result<()> {
    let doing = "create the staging table";
    let ddl = table::create_table(&plan.staging, &plan.load)?;
    let turn = session.fenced(conn, stop)?;
    prepare::check_owner(&turn, session, &plan.load, true)?;
    {
        let mut stages = session.stages();
        let stage = stages.entry(plan.load.stream.clone()).or_default();
        let others = stage.ranges.iter().any(|r| r.committed && r.slice != plan.slice);
        if others && stage.ddl == ddl {
            let mine = |range: &Range| range.slice == plan.slice || !range.committed;
            for range in stage.ranges.iter().filter(|range| mine(range)) {
                delete_range(&turn, plan, range)?;
            }
            stage.ranges.retain(|range| !mine(range));
        } else {
            turn.execute_batch(&format!("DROP TABLE IF EXISTS {}; {ddl}", plan.staging)).loading(doing)?;
            stage.ddl = ddl;
            stage.ranges.clear();
            stage.thinned = false;
        }
    }
    session.finish(turn, stop)
}

fn delete_range(conn: &Connection, plan: &Plan, range: &Range) -> Result<()> {
    let sql = format!("DELETE FROM {} WHERE {} BETWEEN ?1 AND ?2", plan.staging, plan.rowid);
    conn.execute(&sql, params![range.rowids.0, range.rowids.1]).loading("empty the staging table").map(drop)
}

/// Writes a batch into the staging table.
pub(crate) fn fill(
    session: &Session,
    conn: &Connection,
    stop: &Stop,
    plan: &Plan,
    batch: &RecordBatch,
) -> Result<Vec<(String, Changed)>> {
    if plan.direct() {
        let turn = conn.unchecked_transaction().loading("stage rows")?;
        let (changed, _) = insert(&turn, stop, plan, batch, &session.ctx.run_id)?;
        turn.commit().loading("stage rows")?;
        return Ok(changed);
    }
    session.relaxed(conn, || {
        let turn = session.fenced(conn, stop)?;
        let (changed, rowids) = insert(&turn, stop, plan, batch, &session.ctx.run_id)?;
        session.finish(turn, stop)?;
        if let (Some(rowids), Some(stage)) = (rowids, session.stages().get_mut(&plan.load.stream)) {
            stage.ranges.push(Range { slice: plan.slice.clone(), rowids, committed: false });
        }
        Ok(changed)
    })
}

type Inserted = (Vec<(String, Changed)>, Option<(i64, i64)>);

fn insert(
    conn: &Connection,
    stop: &Stop,
    plan: &Plan,
    batch: &RecordBatch,
    run_id: &str,
) -> Result<Inserted> {
    let (stream, doing) = (&plan.load.stream, "stage rows");
    if batch.num_columns() != plan.columns.len() {
        return Err(Error::internal(format!(
            "stream {stream}: a batch of {} columns where {} were announced",
            batch.num_columns(),
            plan.columns.len()
        )));
    }
    let mut cells = Vec::with_capacity(plan.columns.len());
    for ((name, logical), array) in plan.columns.iter().zip(batch.columns()) {
        let keyed = plan.load.upsert || !plan.direct();
        if keyed && array.null_count() > 0 && plan.load.key.iter().any(|k| same(k, name)) {
            return Err(Error::data(format!("stream {stream}: the primary key column {name} has NULLs"))
                .hint("correct the stream's `primary_key`, or leave such rows out with `where`"));
        }
        cells.push(Cells::of(name, *logical, array)?);
    }
    let mut changed = vec![Changed::default(); cells.len()];
    let mut scratch = String::new();
    let mut statement = conn.prepare_cached(&plan.insert).loading(doing)?;
    if plan.load.metadata {
        statement.raw_bind_parameter(cells.len() + 1, run_id).loading(doing)?;
    }
    for row in 0..batch.num_rows() {
        if row % 1024 == 0 {
            stop.check()?;
        }
        for (at, (cell, changed)) in cells.iter().zip(&mut changed).enumerate() {
            cell.bind(&mut statement, at + 1, row, &mut scratch, changed).loading(doing)?;
        }
        statement.raw_execute().loading(doing)?;
    }
    // Rowids of a table from which only ends are deleted follow one another.
    let last = conn.last_insert_rowid();
    let rows = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
    let rowids = (rows > 0).then_some((last - rows + 1, last));
    Ok((plan.columns.iter().map(|(name, _)| name.clone()).zip(changed).collect(), rowids))
}

/// One commit: deletes, rows, state.
pub(crate) fn commit_rows(
    session: &Session,
    conn: &Connection,
    stop: &Stop,
    plans: &[Arc<Plan>],
    commit: &Commit,
    waiting: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, u64>> {
    let turn = session.fenced(conn, stop)?;
    let mut gone = BTreeMap::new();
    for plan in plans {
        let stream = &plan.load.stream;
        let gone = gone.entry(stream.clone()).or_default();
        for (_, column, value) in commit.deletes.iter().filter(|(of, _, _)| of == stream) {
            *gone += delete_rows(&turn, session, plan, column, value)?;
        }
        if plan.direct() {
            let waiting = waiting.get(stream).copied().unwrap_or(0);
            *gone += move_rows(&turn, plan, waiting).map_err(|e| e.stream(stream))?;
        }
    }
    ledger::write(&turn, &session.ctx.connection_id, &commit.less(&gone))?;
    session.finish(turn, stop)?;
    let mut stages = session.stages();
    for plan in plans.iter().filter(|plan| !plan.direct()) {
        let ranges = stages.get_mut(&plan.load.stream).map(|stage| stage.ranges.iter_mut());
        ranges.into_iter().flatten().filter(|r| r.slice == plan.slice).for_each(|r| r.committed = true);
    }
    Ok(gone)
}

/// Deletes rows of a file that is loaded again; in a staging table only those of earlier commits.
fn delete_rows(conn: &Connection, session: &Session, plan: &Plan, column: &str, value: &str) -> Result<u64> {
    let doing = format!("delete rows of {column} before they are loaded again");
    let (from, below) = if plan.direct() {
        (format!("main.{}", quote(&plan.load.table.name)), i64::MAX)
    } else {
        let mut stages = session.stages();
        let waiting = stages.get_mut(&plan.load.stream).and_then(|stage| {
            stage.thinned = true;
            stage.ranges.iter().filter(|r| !r.committed).map(|r| r.rowids.0).min()
        });
        (plan.staging.clone(), waiting.unwrap_or(i64::MAX))
    };
    let bound = if plan.direct() { "?2 = ?2".to_owned() } else { format!("{} < ?2", plan.rowid) };
    let sql = format!("DELETE FROM {from} AS t WHERE t.{} = ?1 AND {bound}", quote(column));
    conn.execute(&sql, params![value, below]).loading(&doing).map(|rows| rows as u64)
}

/// Moves the waiting rows of a direct load into the table; by how many fewer than these it has grown.
fn move_rows(conn: &Connection, plan: &Plan, waiting: u64) -> Result<u64> {
    let load = &plan.load;
    let table = &load.table.name;
    let mut names: Vec<&str> = plan.columns.iter().map(|(name, _)| name.as_str()).collect();
    if load.metadata {
        names.push(RUN_ID_COLUMN);
    }
    let columns = quote_all(&names);
    let mut sql =
        format!("INSERT INTO main.{} ({columns}) SELECT {columns} FROM {}", quote(table), plan.staging);
    if load.upsert {
        sql.push_str(&format!(" WHERE true ORDER BY {}{}", order_terms(plan), plan.rowid));
        let set: Vec<String> = names
            .iter()
            .filter(|name| !load.key.iter().any(|k| same(k, name)))
            .map(|name| format!("{0} = excluded.{0}", quote(name)))
            .collect();
        sql.push_str(&format!(" ON CONFLICT ({}) DO ", quote_all(&load.key)));
        if set.is_empty() {
            sql.push_str("NOTHING");
        } else {
            sql.push_str(&format!("UPDATE SET {}", set.join(", ")));
        }
    } else {
        sql.push_str(&format!(" ORDER BY {}", plan.rowid));
    }
    let grown = if load.upsert {
        counting_inserts(conn, table, || conn.execute(&sql, []).map_err(|e| refused(load, e)))?
    } else {
        Some(conn.execute(&sql, []).map_err(|e| refused(load, e))? as u64)
    };
    conn.execute(&format!("DELETE FROM {}", plan.staging), []).loading("empty the staging table")?;
    match grown {
        // A trigger that drops rows would lose them in silence.
        Some(grown) if !load.upsert && grown != waiting => {
            Err(Error::data(format!("table {table} kept {grown} of {waiting} rows"))
                .hint("a trigger of the table drops rows: drop it, or load into another `table`"))
        }
        grown => Ok(waiting.saturating_sub(grown.unwrap_or(waiting))),
    }
}

/// How many rows of a merge were new; `None` where SQLite does not tell: a table without rowids, or
/// one whose triggers write into it.
fn counting_inserts(
    conn: &Connection,
    table: &str,
    merge: impl FnOnce() -> Result<usize>,
) -> Result<Option<u64>> {
    let seen = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let (counted, name) = (Arc::clone(&seen), table.to_owned());
    let hook = move |action: Action, database: &str, table: &str, _: i64| {
        if database == "main" && same(table, &name) {
            counted.0.fetch_add(1, Ordering::Relaxed);
            counted.1.fetch_add(u64::from(action == Action::SQLITE_INSERT), Ordering::Relaxed);
        }
    };
    conn.update_hook(Some(hook)).loading("merge rows")?;
    let merged = merge();
    conn.update_hook(None::<fn(Action, &str, &str, i64)>).loading("merge rows")?;
    let touched = merged? as u64;
    Ok((seen.0.load(Ordering::Relaxed) == touched).then(|| seen.1.load(Ordering::Relaxed)))
}

fn refused(load: &StreamLoad, error: rusqlite::Error) -> Error {
    let constraint = is_constraint(&error);
    let doing = format!("stream {}: load rows into table {}", load.stream, load.table.name);
    let error = super::fault::fault(waybill_protocol::Origin::Destination, &doing, error);
    if constraint {
        error.hint("drop the table's constraint or index, correct the rows, or load with `write` merge")
    } else {
        error
    }
}

/// The order in which rows of one key arrive: the highest cursor last.
fn order_terms(plan: &Plan) -> String {
    let cursor = plan.load.cursor.as_deref();
    let found = cursor.and_then(|cursor| plan.columns.iter().find(|(name, _)| same(name, cursor)));
    found.map(|(name, logical)| affinity::order_terms(&quote(name), *logical)).unwrap_or_default()
}

/// Removes what waits since the last commit.
pub(crate) fn give_up(session: &Session, conn: &Connection, stop: &Stop, plans: &[Arc<Plan>]) -> Result<()> {
    for plan in plans {
        if plan.direct() {
            let sql = format!("DELETE FROM {}", plan.staging);
            conn.execute(&sql, []).loading("empty the staging table")?;
            continue;
        }
        let mine = |range: &Range| range.slice == plan.slice && !range.committed;
        let mut stages = session.stages();
        let Some(stage) = stages.get_mut(&plan.load.stream) else { continue };
        if stage.ranges.iter().any(mine) {
            let turn = session.fenced(conn, stop)?;
            for range in stage.ranges.iter().filter(|range| mine(range)) {
                delete_range(&turn, plan, range)?;
            }
            session.finish(turn, stop)?;
            stage.ranges.retain(|range| !mine(range));
        }
    }
    Ok(())
}
