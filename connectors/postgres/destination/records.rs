//! Reading the bookkeeping tables; missing ones are empty.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::postgres::PgRow;
use waybill_protocol::{
    ColumnRecord, Error, Identity, Kind, Result, StateRow, TableRecord, TableRef, WindowEntry,
};

use super::books::{CONNECTIONS, FILES, STATE, TABLES, WINDOW};
use super::desk::Desk;
use super::tx::{Args, Tx, leave, reading, state_of};
use crate::postgres::session::text;
use crate::postgres::sql::literal;

/// Rows of one query, every value as text; none where the table does not exist.
async fn rows(desk: &Desk, purpose: &str, sql: &str) -> Result<Vec<PgRow>> {
    let mut session = reading(&desk.server).await?;
    let answer = session.query(purpose, sql).await;
    leave(session).await;
    match answer {
        Err(error) if matches!(state_of(&error).as_str(), "42P01" | "3F000") => Ok(Vec::new()),
        answer => answer,
    }
}

fn field(row: &PgRow, index: usize) -> Result<String> {
    text(row, index)?.ok_or_else(|| Error::internal("NULL in a bookkeeping table"))
}

fn json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        Error::new(Kind::Destination, format!("{what} does not read as it was written")).cause(e).hint(
            "somebody edited the bookkeeping tables: restore them, or reset the stream (`waybill state reset`)",
        )
    })
}

pub(super) async fn states(desk: &Desk) -> Result<Vec<StateRow>> {
    let sql = format!(
        "SELECT scope, value::text, based_on, fingerprint, run_id, commit_id, rows, table_namespace, table_name \
         FROM {} WHERE connection_id = {} ORDER BY scope",
        desk.book(STATE),
        literal(desk.connection_id())
    );
    let rows = rows(desk, "read the state", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(StateRow {
                scope: field(row, 0)?,
                value: json(&field(row, 1)?, "a state")?,
                based_on: text(row, 2)?,
                fingerprint: field(row, 3)?,
                run_id: field(row, 4)?,
                commit_id: field(row, 5)?,
                rows: json(&field(row, 6)?, "the row count of a state")?,
                table: TableRef { namespace: text(row, 7)?, name: field(row, 8)? },
            })
        })
        .collect()
}

fn table_records(rows: &[PgRow]) -> Result<Vec<TableRecord>> {
    rows.iter()
        .map(|row| {
            Ok(TableRecord {
                connection_id: field(row, 0)?,
                stream: field(row, 1)?,
                table: TableRef { namespace: text(row, 2)?, name: field(row, 3)? },
                columns: json::<Vec<ColumnRecord>>(&field(row, 4)?, "the record of a table")?,
            })
        })
        .collect()
}

fn tables_sql(desk: &Desk) -> String {
    format!(
        "SELECT connection_id, stream, table_namespace, table_name, columns::text FROM {} ORDER BY 1, 2",
        desk.book(TABLES)
    )
}

pub(super) async fn tables(desk: &Desk) -> Result<Vec<TableRecord>> {
    table_records(&rows(desk, "read the tables on record", &tables_sql(desk)).await?)
}

/// The same within a transaction after `begin`.
pub(super) async fn tables_in(desk: &Desk, tx: &mut Tx) -> Result<Vec<TableRecord>> {
    table_records(&tx.run(&tables_sql(desk)).await?)
}

pub(super) async fn window(desk: &Desk, stream: &str) -> Result<Vec<WindowEntry>> {
    let sql = format!(
        "SELECT identity, count, cursor FROM {} WHERE connection_id = {} AND stream = {} ORDER BY identity",
        desk.book(WINDOW),
        literal(desk.connection_id()),
        literal(stream)
    );
    let rows = rows(desk, "read the window", &sql).await?;
    rows.iter()
        .map(|row| {
            let id = field(row, 0)?.replace('-', "");
            let identity = Identity::parse(&id).ok_or_else(|| Error::internal("a uuid that is none"))?;
            Ok(WindowEntry {
                identity,
                count: json(&field(row, 1)?, "a count")?,
                cursor: field(row, 2)?.into(),
            })
        })
        .collect()
}

pub(super) async fn parts(desk: &Desk, stream: &str) -> Result<BTreeMap<String, Value>> {
    let sql = format!(
        "SELECT file, value::text FROM {} WHERE connection_id = {} AND stream = {}",
        desk.book(FILES),
        literal(desk.connection_id()),
        literal(stream)
    );
    let rows = rows(desk, "read the file ledger", &sql).await?;
    rows.iter().map(|row| Ok((field(row, 0)?, json(&field(row, 1)?, "a file's entry")?))).collect()
}

/// Whether a commit took place. Every commit holds the connection's row in share mode to its end,
/// so locking it for update waits for one that is still under way.
pub(super) async fn committed(desk: &Desk, scope: &str, commit_id: &str) -> Result<bool> {
    let mut tx = settled(desk).await?;
    let sql = format!(
        "SELECT 1 FROM {} WHERE connection_id = $1 AND scope = $2 AND commit_id = $3",
        desk.book(STATE)
    );
    let args = Args::default().with(desk.connection_id())?.with(scope)?.with(commit_id)?;
    let found = tx.fetch(&sql, args).await?;
    tx.rollback().await;
    Ok(!found.is_empty())
}

/// A transaction on a new connection, at a moment when no commit of this connection is under way.
pub(super) async fn settled(desk: &Desk) -> Result<Tx> {
    let mut tx = Tx::on_new_connection(&desk.server).await?;
    let limit = desk.server.ctx.deadlines.stall.as_millis();
    tx.run(&format!("SET LOCAL statement_timeout = {}", limit.clamp(1, i32::MAX as u128))).await?;
    let sql = format!("SELECT 1 FROM {} WHERE connection_id = $1 FOR UPDATE", desk.book(CONNECTIONS));
    let answer = tx.wait("a commit whose answer was lost", &sql, Args::default().with(desk.connection_id())?);
    // The limit is ours: nobody else had the server cancel anything.
    answer.await.map_err(|error| match state_of(&error).as_str() {
        "57014" if error.kind() == Kind::Network => {
            let seconds = desk.server.ctx.deadlines.stall.as_secs_f64();
            Error::new(
                Kind::Timeout,
                format!("a commit whose answer was lost is still under way after {seconds}s"),
            )
            .hint("look in pg_stat_activity what it waits for; the next run goes on from what became of it")
            .cause(error)
        }
        _ => error,
    })?;
    Ok(tx)
}
