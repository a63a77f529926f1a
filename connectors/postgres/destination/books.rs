//! The bookkeeping tables, and the fence that keeps a second writer out.

use sqlx::Row;
use waybill_protocol::{Error, Kind, Result, TableRef};

use super::desk::{DEFAULT_SCHEMA, Desk};
use super::names::{Place, lock_key};
use super::tx::{Args, Tx, state_of};
use crate::postgres::session::text;
use crate::postgres::sql::{ident, literal};

pub(super) const CONNECTIONS: &str = "_waybill_connections";
pub(super) const STATE: &str = "_waybill_state";
pub(super) const TABLES: &str = "_waybill_tables";
pub(super) const WINDOW: &str = "_waybill_window";
pub(super) const FILES: &str = "_waybill_files";

/// Each table and its columns.
const BOOKS: [(&str, &str); 5] = [
    (CONNECTIONS, "connection_id text PRIMARY KEY, name text NOT NULL, epoch bigint NOT NULL"),
    (
        STATE,
        "connection_id text NOT NULL, scope text NOT NULL, value json NOT NULL, based_on text, \
         fingerprint text NOT NULL, run_id text NOT NULL, commit_id text NOT NULL, rows bigint NOT NULL, \
         table_namespace text, table_name text NOT NULL, committed_at timestamptz NOT NULL DEFAULT now(), \
         PRIMARY KEY (connection_id, scope)",
    ),
    (
        TABLES,
        "connection_id text NOT NULL, stream text NOT NULL, table_namespace text, table_name text NOT NULL, \
         columns json NOT NULL, PRIMARY KEY (connection_id, stream)",
    ),
    (
        WINDOW,
        "connection_id text NOT NULL, stream text NOT NULL, identity uuid NOT NULL, count integer NOT NULL, \
         cursor text NOT NULL, PRIMARY KEY (connection_id, stream, identity)",
    ),
    (
        FILES,
        "connection_id text NOT NULL, stream text NOT NULL, file text NOT NULL, value json NOT NULL, \
         PRIMARY KEY (connection_id, stream, file)",
    ),
];

/// Where they lie.
pub(super) fn books(desk: &Desk) -> impl Iterator<Item = Place> {
    BOOKS.iter().map(|(name, _)| desk.place(&TableRef { namespace: None, name: (*name).to_owned() }))
}

/// Creates what is missing and takes the fence.
pub(super) async fn begin(desk: &Desk) -> Result<()> {
    let mut tx = Tx::begin(&desk.server).await?;
    let present = BOOKS.map(|(name, _)| format!("to_regclass({}) IS NOT NULL", literal(&desk.book(name))));
    let rows = tx.run(&format!("SELECT ({})::text", present.join(" AND "))).await?;
    if rows.first().map(|row| text(row, 0)).transpose()?.flatten().as_deref() != Some("true") {
        create(desk, &mut tx).await.map_err(|e| {
            let hint = format!(
                "let the user create tables in schema {DEFAULT_SCHEMA}: GRANT CREATE, USAGE ON SCHEMA"
            );
            e.context("the bookkeeping tables cannot be created").hint(hint)
        })?;
    }
    let sql = format!(
        "INSERT INTO {} AS c (connection_id, name, epoch) VALUES ($1, $2, 1) \
         ON CONFLICT (connection_id) DO UPDATE SET name = excluded.name, epoch = c.epoch + 1 RETURNING epoch",
        desk.book(CONNECTIONS)
    );
    let args = Args::default().with(desk.connection_id())?.with(desk.server.ctx.connection.as_str())?;
    let rows = tx.wait("the fence of this connection", &sql, args).await?;
    let epoch: i64 = rows.first().map(|row| row.try_get(0)).transpose().map_err(broken)?.unwrap_or(0);
    tx.commit().await?;
    desk.set_epoch(epoch);
    Ok(())
}

async fn create(desk: &Desk, tx: &mut Tx) -> Result<()> {
    // Two runs may be here at once, and IF NOT EXISTS alone loses that race.
    let key = lock_key(&["waybill", "bookkeeping", DEFAULT_SCHEMA]);
    tx.wait(
        "the creation of the bookkeeping tables",
        "SELECT pg_advisory_xact_lock($1)",
        Args::default().with(key)?,
    )
    .await?;
    ensure_schema(tx, DEFAULT_SCHEMA).await?;
    let statements: Vec<String> = BOOKS
        .iter()
        .map(|(name, columns)| format!("CREATE TABLE IF NOT EXISTS {} ({columns})", desk.book(name)))
        .collect();
    tx.run(&statements.join("; ")).await.map(drop)
}

/// Creates a schema that is missing; one that exists needs no right to create any.
pub(super) async fn ensure_schema(tx: &mut Tx, schema: &str) -> Result<()> {
    let sql = format!("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {}", literal(schema));
    if tx.run(&sql).await?.is_empty() {
        // IF NOT EXISTS does not see one that another transaction is about to create.
        let key = Args::default().with(lock_key(&["waybill", "schema", schema]))?;
        tx.wait(&format!("the creation of schema {schema}"), "SELECT pg_advisory_xact_lock($1)", key).await?;
        tx.run(&format!("CREATE SCHEMA IF NOT EXISTS {}", ident(schema))).await?;
    }
    Ok(())
}

/// Reads the fence in the data's own transaction: another epoch means that another run has taken
/// over. Returns the transaction's id as `xmin` shows it.
///
/// The row stays locked in share mode until the end, so that [`begin`] of another run, and the
/// question whether a commit took place, wait for it. The pause between the statements that follow
/// is bounded: a transaction that lost its client must not hold the fence for hours.
pub(super) async fn fence(desk: &Desk, tx: &mut Tx) -> Result<String> {
    let sql = format!(
        "SELECT epoch, (txid_current() % 4294967296)::text, \
         set_config('idle_in_transaction_session_timeout', '60s', true) \
         FROM {} WHERE connection_id = $1 FOR SHARE",
        desk.book(CONNECTIONS)
    );
    let args = Args::default().with(desk.connection_id())?;
    let rows = tx.wait("the fence of this connection", &sql, args).await.map_err(|e| {
        match state_of(&e).as_str() {
            "42P01" => taken("the bookkeeping tables are gone").cause(e),
            _ => e,
        }
    })?;
    let Some(row) = rows.first() else { return Err(taken("this connection is no longer on record")) };
    let epoch: i64 = row.try_get(0).map_err(broken)?;
    if epoch != desk.epoch()? {
        return Err(taken("another run of this connection has started since"));
    }
    row.try_get(1).map_err(broken)
}

/// Whoever took the fence may have dropped or changed the table that a run was at: then that is what
/// went wrong, and not what the server says about the table.
pub(super) async fn explained(desk: &Desk, error: Error) -> Error {
    if matches!(error.kind(), Kind::Network | Kind::Timeout | Kind::Cancelled | Kind::Locked) {
        return error;
    }
    let Ok(mut tx) = Tx::begin(&desk.server).await else { return error };
    let asked = fence(desk, &mut tx).await;
    tx.rollback().await;
    match asked {
        Err(locked) if locked.kind() == Kind::Locked => locked.cause(error),
        _ => error,
    }
}

fn taken(why: &str) -> Error {
    Error::new(
        Kind::Locked,
        format!("the destination was taken over: {why}; nothing of this commit was kept"),
    )
    .origin(waybill_protocol::Origin::Destination)
    .hint("look who else runs this connection, on another host or from another copy of the project")
}

pub(super) fn broken(error: sqlx::Error) -> Error {
    Error::internal("a row is not as it was asked for").cause(error)
}
