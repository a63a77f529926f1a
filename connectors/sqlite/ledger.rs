//! The bookkeeping tables: fence, state, ownership, windows, file ledger.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use waybill_protocol::{
    ColumnRecord, Commit, Error, Identity, Kind, Origin, Result, StateRow, TableRecord, TableRef, WindowEntry,
};

use super::fault::Doing;

const CREATE: &str = r#"
CREATE TABLE IF NOT EXISTS _waybill_connections (
    connection_id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, epoch INTEGER NOT NULL,
    run_id TEXT NOT NULL, since TEXT NOT NULL, last_commit TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _waybill_state (
    connection_id TEXT NOT NULL, scope TEXT NOT NULL, value TEXT NOT NULL, based_on TEXT,
    fingerprint TEXT NOT NULL, run_id TEXT NOT NULL, commit_id TEXT NOT NULL, rows INTEGER NOT NULL,
    "table" TEXT NOT NULL, PRIMARY KEY (connection_id, scope)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _waybill_tables (
    "table" TEXT NOT NULL COLLATE NOCASE, connection_id TEXT NOT NULL, stream TEXT NOT NULL,
    columns TEXT NOT NULL, "key" TEXT NOT NULL, PRIMARY KEY ("table", connection_id, stream)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _waybill_window (
    connection_id TEXT NOT NULL, stream TEXT NOT NULL, identity BLOB NOT NULL, count INTEGER NOT NULL,
    cursor TEXT NOT NULL, PRIMARY KEY (connection_id, stream, identity)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _waybill_files (
    connection_id TEXT NOT NULL, stream TEXT NOT NULL, file TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (connection_id, stream, file)) WITHOUT ROWID;
"#;

/// Creates the bookkeeping tables where they are missing.
pub(crate) fn create(conn: &Connection) -> Result<()> {
    conn.execute_batch(CREATE).loading("create the bookkeeping tables")
}

/// Whether there is a table or view of that name.
pub(crate) fn exists(conn: &Connection, table: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
    let found = conn.query_row(sql, [table], |_| Ok(())).optional();
    Ok(found.loading("look for a table")?.is_some())
}

/// Takes the fence: one epoch more, and ours.
pub(crate) fn take_fence(conn: &Connection, ctx: &waybill_protocol::Context) -> Result<i64> {
    let sql = "INSERT INTO _waybill_connections (connection_id, name, epoch, run_id, since)
        VALUES (?1, ?2, 1, ?3, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
        ON CONFLICT (connection_id) DO UPDATE SET epoch = epoch + 1, name = excluded.name,
            run_id = excluded.run_id, since = excluded.since
        RETURNING epoch";
    conn.query_row(sql, params![ctx.connection_id, ctx.connection, ctx.run_id], |row| row.get(0))
        .loading("take the fence")
}

/// Fails with kind `locked` when another run has taken the fence since.
pub(crate) fn check_fence(conn: &Connection, connection_id: &str, epoch: i64) -> Result<()> {
    let sql = "SELECT epoch, run_id, since FROM _waybill_connections WHERE connection_id = ?1";
    let row =
        |r: &rusqlite::Row<'_>| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?));
    let found = conn.query_row(sql, [connection_id], row).optional().loading("check the fence")?;
    let who = match found {
        Some((now, _, _)) if now == epoch => return Ok(()),
        Some((_, run, since)) => format!("run {run} of this connection took over the destination at {since}"),
        None => "this connection's entry in _waybill_connections is gone".to_owned(),
    };
    Err(Error::new(Kind::Locked, format!("{who}; nothing more is written by this run"))
        .origin(Origin::Destination)
        .hint("let the other run finish, then run again; run this connection from one place only"))
}

/// Writes everything of a commit but its rows.
pub(crate) fn write(conn: &Connection, connection_id: &str, commit: &Commit) -> Result<()> {
    write_states(conn, connection_id, commit).loading("write the state")?;
    write_files(conn, connection_id, commit).loading("write the file ledger")?;
    write_windows(conn, connection_id, commit).loading("write the window")?;
    // One change at least, so that the commit is brought to the disk with all before it.
    conn.execute(
        "UPDATE _waybill_connections SET last_commit = ?2 WHERE connection_id = ?1",
        params![connection_id, commit.id],
    )
    .loading("write the commit's id")
    .map(drop)
}

fn write_states(conn: &Connection, connection_id: &str, commit: &Commit) -> rusqlite::Result<()> {
    for row in &commit.states {
        if row.value.is_null() {
            let sql = "DELETE FROM _waybill_state WHERE connection_id = ?1 AND scope = ?2";
            conn.prepare_cached(sql)?.execute(params![connection_id, row.scope])?;
            continue;
        }
        let sql = "INSERT OR REPLACE INTO _waybill_state
            (connection_id, scope, value, based_on, fingerprint, run_id, commit_id, rows, \"table\")
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        conn.prepare_cached(sql)?.execute(params![
            connection_id,
            row.scope,
            row.value.to_string(),
            row.based_on,
            row.fingerprint,
            row.run_id,
            commit.id,
            i64::try_from(row.rows).unwrap_or(i64::MAX),
            row.table.name,
        ])?;
    }
    Ok(())
}

fn write_files(conn: &Connection, connection_id: &str, commit: &Commit) -> rusqlite::Result<()> {
    for stream in &commit.clear_parts {
        let sql = "DELETE FROM _waybill_files WHERE connection_id = ?1 AND stream = ?2";
        conn.prepare_cached(sql)?.execute(params![connection_id, stream])?;
    }
    for (stream, file, value) in &commit.parts {
        match value {
            Some(value) => {
                let sql = "INSERT OR REPLACE INTO _waybill_files (connection_id, stream, file, value)
                    VALUES (?1, ?2, ?3, ?4)";
                conn.prepare_cached(sql)?.execute(params![connection_id, stream, file, value.to_string()])?
            }
            None => {
                let sql = "DELETE FROM _waybill_files WHERE connection_id = ?1 AND stream = ?2 AND file = ?3";
                conn.prepare_cached(sql)?.execute(params![connection_id, stream, file])?
            }
        };
    }
    Ok(())
}

fn write_windows(conn: &Connection, connection_id: &str, commit: &Commit) -> rusqlite::Result<()> {
    for (stream, change) in &commit.windows {
        if change.clear {
            let sql = "DELETE FROM _waybill_window WHERE connection_id = ?1 AND stream = ?2";
            conn.prepare_cached(sql)?.execute(params![connection_id, stream])?;
        }
        let sql = "DELETE FROM _waybill_window WHERE connection_id = ?1 AND stream = ?2 AND identity = ?3";
        let mut delete = conn.prepare_cached(sql)?;
        for identity in &change.delete {
            delete.execute(params![connection_id, stream, identity.0.to_be_bytes()])?;
        }
        let sql = "INSERT OR REPLACE INTO _waybill_window (connection_id, stream, identity, count, cursor)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = conn.prepare_cached(sql)?;
        for entry in &change.insert {
            let identity = entry.identity.0.to_be_bytes();
            insert.execute(params![connection_id, stream, identity, entry.count, entry.cursor])?;
        }
    }
    Ok(())
}

/// All state rows of a connection.
pub(crate) fn states(conn: &Connection, connection_id: &str) -> Result<Vec<StateRow>> {
    if !exists(conn, "_waybill_state")? {
        return Ok(Vec::new());
    }
    let sql = "SELECT scope, value, based_on, fingerprint, run_id, commit_id, rows, \"table\"
        FROM _waybill_state WHERE connection_id = ?1 ORDER BY scope";
    let mut statement = conn.prepare(sql).loading("read the state")?;
    let rows = statement.query_map([connection_id], |row| {
        let value: String = row.get(1)?;
        let state = StateRow {
            scope: row.get(0)?,
            value: Value::Null,
            based_on: row.get(2)?,
            fingerprint: row.get(3)?,
            run_id: row.get(4)?,
            commit_id: row.get(5)?,
            rows: u64::try_from(row.get::<_, i64>(6)?).unwrap_or(0),
            table: TableRef { namespace: None, name: row.get(7)? },
        };
        Ok((state, value))
    });
    rows.loading("read the state")?
        .map(|row| {
            let (mut state, value) = row.loading("read the state")?;
            state.value = parse(&value, "_waybill_state")?;
            Ok(state)
        })
        .collect()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, table: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        Error::new(Kind::Destination, format!("a row of {table} does not hold what Waybill wrote"))
            .origin(Origin::Destination)
            .hint("restore the table from a copy, or remove the row and reset the stream")
            .cause(e)
    })
}

/// Tables on record, each with its primary key.
pub(crate) fn tables(conn: &Connection) -> Result<Vec<(TableRecord, Vec<String>)>> {
    if !exists(conn, "_waybill_tables")? {
        return Ok(Vec::new());
    }
    let sql =
        "SELECT \"table\", connection_id, stream, columns, \"key\" FROM _waybill_tables ORDER BY 1, 2, 3";
    let mut statement = conn.prepare(sql).loading("read the ownership of tables")?;
    let rows = statement.query_map([], |row| {
        let columns: String = row.get(3)?;
        let key: String = row.get(4)?;
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, columns, key))
    });
    rows.loading("read the ownership of tables")?
        .map(|row| {
            let (name, connection_id, stream, columns, key) = row.loading("read the ownership of tables")?;
            let columns: Vec<ColumnRecord> = parse(&columns, "_waybill_tables")?;
            let table = TableRef { namespace: None, name };
            Ok((TableRecord { connection_id, stream, table, columns }, parse(&key, "_waybill_tables")?))
        })
        .collect()
}

/// Puts a table on record; with `alone`, it is nobody else's from now on.
pub(crate) fn record(conn: &Connection, record: &TableRecord, key: &[String], alone: bool) -> Result<()> {
    let json = |e: serde_json::Error| Error::internal("a table's record has no JSON form").cause(e);
    let columns = serde_json::to_string(&record.columns).map_err(json)?;
    let key = serde_json::to_string(key).map_err(json)?;
    let table = &record.table.name;
    if alone {
        conn.execute("DELETE FROM _waybill_tables WHERE \"table\" = ?1", [table])
            .loading("record the table")?;
    }
    let sql = "INSERT OR REPLACE INTO _waybill_tables (\"table\", connection_id, stream, columns, \"key\")
        VALUES (?1, ?2, ?3, ?4, ?5)";
    conn.execute(sql, params![table, record.connection_id, record.stream, columns, key])
        .loading("record the table")
        .map(drop)
}

/// The identities kept for a stream.
pub(crate) fn window(conn: &Connection, connection_id: &str, stream: &str) -> Result<Vec<WindowEntry>> {
    if !exists(conn, "_waybill_window")? {
        return Ok(Vec::new());
    }
    let sql = "SELECT identity, count, cursor FROM _waybill_window WHERE connection_id = ?1 AND stream = ?2";
    let mut statement = conn.prepare(sql).loading("read the window")?;
    let rows = statement.query_map([connection_id, stream], |row| {
        let identity = Identity(u128::from_be_bytes(row.get(0)?));
        Ok(WindowEntry { identity, count: row.get(1)?, cursor: row.get(2)? })
    });
    rows.loading("read the window")?.collect::<rusqlite::Result<_>>().loading("read the window")
}

/// The file ledger of a stream.
pub(crate) fn parts(conn: &Connection, connection_id: &str, stream: &str) -> Result<BTreeMap<String, Value>> {
    if !exists(conn, "_waybill_files")? {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT file, value FROM _waybill_files WHERE connection_id = ?1 AND stream = ?2";
    let mut statement = conn.prepare(sql).loading("read the file ledger")?;
    let rows = statement
        .query_map([connection_id, stream], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    rows.loading("read the file ledger")?
        .map(|row| {
            let (file, value) = row.loading("read the file ledger")?;
            Ok((file, parse(&value, "_waybill_files")?))
        })
        .collect()
}

/// Whether a commit took place: it wrote the state of the scope, or was the connection's last.
pub(crate) fn committed(conn: &Connection, connection_id: &str, scope: &str, commit: &str) -> Result<bool> {
    if !exists(conn, "_waybill_state")? {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM _waybill_state
            WHERE connection_id = ?1 AND scope = ?2 AND commit_id = ?3)
        OR EXISTS (SELECT 1 FROM _waybill_connections WHERE connection_id = ?1 AND last_commit = ?3)";
    conn.query_row(sql, params![connection_id, scope, commit], |row| row.get(0)).loading("look for a commit")
}
