//! What a commit writes beside the data: state, ownership, windows and the file ledger.

use std::collections::BTreeMap;

use uuid::Uuid;
use waybill_protocol::{Commit, Error, Result, StateRow, TableRecord, WindowChange};

use super::books::{FILES, STATE, TABLES, WINDOW};
use super::desk::Desk;
use super::tx::{Args, Tx};

/// Identities that go into one statement.
const CHUNK: usize = 20_000;

/// Writes states, ledger and windows of a commit.
pub(super) async fn write(desk: &Desk, tx: &mut Tx, commit: &Commit) -> Result<()> {
    for row in &commit.states {
        state(desk, tx, commit, row).await?;
    }
    parts(desk, tx, commit).await?;
    for (stream, change) in &commit.windows {
        window(desk, tx, stream, change).await?;
    }
    Ok(())
}

async fn state(desk: &Desk, tx: &mut Tx, commit: &Commit, row: &StateRow) -> Result<()> {
    let id = Args::default().with(desk.connection_id())?.with(row.scope.as_str())?;
    let table = desk.book(STATE);
    if row.value.is_null() {
        let sql = format!("DELETE FROM {table} WHERE connection_id = $1 AND scope = $2");
        return tx.execute(&sql, id).await.map(drop);
    }
    let sql = format!(
        "INSERT INTO {table} (connection_id, scope, value, based_on, fingerprint, run_id, commit_id, rows, \
         table_namespace, table_name) VALUES ($1, $2, $3::text::json, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (connection_id, scope) DO UPDATE SET value = excluded.value, based_on = excluded.based_on, \
         fingerprint = excluded.fingerprint, run_id = excluded.run_id, commit_id = excluded.commit_id, \
         rows = excluded.rows, table_namespace = excluded.table_namespace, table_name = excluded.table_name, \
         committed_at = excluded.committed_at"
    );
    let rows = i64::try_from(row.rows).map_err(|e| Error::internal("a count beyond 63 bits").cause(e))?;
    let args = id
        .with(row.value.to_string())?
        .with(row.based_on.as_deref())?
        .with(row.fingerprint.as_str())?
        .with(row.run_id.as_str())?
        .with(commit.id.as_str())?
        .with(rows)?
        .with(row.table.namespace.as_deref())?
        .with(row.table.name.as_str())?;
    tx.execute(&sql, args).await.map(drop)
}

async fn parts(desk: &Desk, tx: &mut Tx, commit: &Commit) -> Result<()> {
    let table = desk.book(FILES);
    if !commit.clear_parts.is_empty() {
        let sql = format!("DELETE FROM {table} WHERE connection_id = $1 AND stream = ANY($2)");
        tx.execute(&sql, Args::default().with(desk.connection_id())?.with(commit.clear_parts.clone())?)
            .await?;
    }
    // The last entry of a file counts; one statement must not meet a row twice.
    let last: BTreeMap<(&str, &str), Option<String>> = commit
        .parts
        .iter()
        .map(|(s, f, v)| ((s.as_str(), f.as_str()), v.as_ref().map(ToString::to_string)))
        .collect();
    let (mut kept, mut gone) = ((vec![], vec![], vec![]), (vec![], vec![]));
    for ((stream, file), value) in last {
        match value {
            Some(value) => {
                kept.0.push(stream.to_owned());
                kept.1.push(file.to_owned());
                kept.2.push(value);
            }
            None => {
                gone.0.push(stream.to_owned());
                gone.1.push(file.to_owned());
            }
        }
    }
    if !gone.0.is_empty() {
        let sql = format!(
            "DELETE FROM {table} f USING unnest($2::text[], $3::text[]) AS g(stream, file) \
             WHERE f.connection_id = $1 AND f.stream = g.stream AND f.file = g.file"
        );
        tx.execute(&sql, Args::default().with(desk.connection_id())?.with(gone.0)?.with(gone.1)?).await?;
    }
    if !kept.0.is_empty() {
        let sql = format!(
            "INSERT INTO {table} (connection_id, stream, file, value) SELECT $1, k.stream, k.file, k.value::json \
             FROM unnest($2::text[], $3::text[], $4::text[]) AS k(stream, file, value) \
             ON CONFLICT (connection_id, stream, file) DO UPDATE SET value = excluded.value"
        );
        let args = Args::default().with(desk.connection_id())?.with(kept.0)?.with(kept.1)?.with(kept.2)?;
        tx.execute(&sql, args).await?;
    }
    Ok(())
}

async fn window(desk: &Desk, tx: &mut Tx, stream: &str, change: &WindowChange) -> Result<()> {
    let table = desk.book(WINDOW);
    let of = || Args::default().with(desk.connection_id())?.with(stream);
    if change.clear {
        tx.execute(&format!("DELETE FROM {table} WHERE connection_id = $1 AND stream = $2"), of()?).await?;
    }
    let delete =
        format!("DELETE FROM {table} WHERE connection_id = $1 AND stream = $2 AND identity = ANY($3)");
    for chunk in change.delete.chunks(CHUNK) {
        let ids: Vec<Uuid> = chunk.iter().map(|identity| Uuid::from_u128(identity.0)).collect();
        tx.execute(&delete, of()?.with(ids)?).await?;
    }
    let insert = format!(
        "INSERT INTO {table} (connection_id, stream, identity, count, cursor) SELECT $1, $2, k.* \
         FROM unnest($3::uuid[], $4::int4[], $5::text[]) AS k \
         ON CONFLICT (connection_id, stream, identity) DO UPDATE SET count = excluded.count, cursor = excluded.cursor"
    );
    for chunk in change.insert.chunks(CHUNK) {
        let last: BTreeMap<u128, _> = chunk.iter().map(|entry| (entry.identity.0, entry)).collect();
        let ids: Vec<Uuid> = last.keys().map(|id| Uuid::from_u128(*id)).collect();
        let counts: Vec<i32> = last.values().map(|e| i32::try_from(e.count).unwrap_or(i32::MAX)).collect();
        let cursors: Vec<&str> = last.values().map(|e| e.cursor.as_ref()).collect();
        tx.execute(&insert, of()?.with(ids)?.with(counts)?.with(cursors)?).await?;
    }
    Ok(())
}

/// Writes who owns a table and how its columns are named.
pub(super) async fn record(desk: &Desk, tx: &mut Tx, record: &TableRecord) -> Result<()> {
    let columns = serde_json::to_string(&record.columns)
        .map_err(|e| Error::internal("a table's record cannot be written as JSON").cause(e))?;
    let sql = format!(
        "INSERT INTO {} (connection_id, stream, table_namespace, table_name, columns) \
         VALUES ($1, $2, $3, $4, $5::text::json) ON CONFLICT (connection_id, stream) DO UPDATE SET \
         table_namespace = excluded.table_namespace, table_name = excluded.table_name, columns = excluded.columns",
        desk.book(TABLES)
    );
    let args = Args::default()
        .with(record.connection_id.as_str())?
        .with(record.stream.as_str())?
        .with(record.table.namespace.as_deref())?
        .with(record.table.name.as_str())?
        .with(columns)?;
    tx.execute(&sql, args).await.map(drop)
}
