//! SQLite as a destination.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_schema::Field;
use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::Value;
use waybill_protocol::event::Body;
use waybill_protocol::{
    Capabilities, Check, Commit, Context, Destination, Error, Kind, Origin, Receipt, Result, StateRow,
    StreamLoad, TableInfo, TableRecord, TableRef, Verdict, WindowEntry, Writer,
};

use super::database::READ_WAIT;
use super::fault::Doing;
use super::load::SqliteWriter;
use super::session::{Fence, Session};
use super::{affinity, identifier, ledger, publish, rebuild, table};
use crate::deadline::bounded;

/// A session with a database file that is loaded into.
pub(crate) struct SqliteDestination {
    session: Arc<Session>,
}

impl SqliteDestination {
    /// A session; the file is opened when it is first needed, and created by `begin`.
    pub(crate) fn new(ctx: Context, path: PathBuf, wait: Duration) -> SqliteDestination {
        SqliteDestination { session: Arc::new(Session::new(ctx, path, wait)) }
    }

    /// A bounded query; the default answer where there is no file yet.
    async fn ask<T: Default + Send + 'static>(
        &self,
        purpose: &str,
        sql: &str,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let ctx = &self.session.ctx;
        bounded(ctx, purpose, sql, async {
            match self.session.existing().await? {
                Some(database) => database.within(ctx, move |conn, _| query(conn)).await,
                None => Ok(T::default()),
            }
        })
        .await
    }
}

#[async_trait]
impl Destination for SqliteDestination {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            namespaces: false,
            identifier_bytes: 255,
            case_sensitive: false,
            columns: 2000,
            parallel_slices: false,
        }
    }

    fn verdict(&self, field: &Field) -> Verdict {
        affinity::verdict(field)
    }

    async fn check(&self) -> Result<Vec<Check>> {
        let path = self.session.path.clone();
        let mut found = vec![];
        let folder = tokio::task::spawn_blocking(move || check_folder(&path)).await;
        match folder.map_err(|e| Error::internal("the check of a folder ended early").cause(e))? {
            Ok(detail) => found.push(Check::passed("folder", detail)),
            Err(error) => {
                found.push(Check::failed("folder", &error));
                return Ok(found);
            }
        }
        let opened = self.ask("open the file", "SELECT count(*) FROM sqlite_schema", |conn| {
            let sql = "SELECT sqlite_version(), count(*) FROM sqlite_schema WHERE type = 'table'";
            let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?));
            conn.query_row(sql, [], row).map(Some).loading("read the schema")
        });
        match opened.await {
            Ok(Some((version, tables))) => {
                found.push(Check::passed("open", format!("SQLite {version}, {tables} tables")));
            }
            Ok(None) => {
                found.push(Check::passed("open", "no file yet; the first run creates it"));
                return Ok(found);
            }
            Err(error) => {
                found.push(Check::failed("open", &error));
                return Ok(found);
            }
        }
        let (session, ctx) = (Arc::clone(&self.session), &self.session.ctx);
        let written = bounded(ctx, "take the write lock", "BEGIN IMMEDIATE; ROLLBACK", async {
            let database = self.session.database().await?;
            database.within(ctx, move |conn, _| try_write(conn, &session)).await
        });
        found.push(match written.await {
            Ok(()) => Check::passed("write", "free to write"),
            Err(error) => Check::failed("write", &error),
        });
        Ok(found)
    }

    async fn begin(&self) -> Result<()> {
        let started = Instant::now();
        let database = self.session.database().await?;
        let session = Arc::clone(&self.session);
        let cancel = self.session.ctx.cancel.clone();
        let version = database.call(&cancel, move |conn, stop| {
            let wal = session.patiently(conn, stop, || write_ahead(conn))?;
            let turn = session.turn(conn, stop)?;
            ledger::create(&turn)?;
            let epoch = ledger::take_fence(&turn, &session.ctx)?;
            session.finish(turn, stop)?;
            session.begun(Fence { epoch, wal, file: session.file()? });
            Ok(rusqlite::version())
        });
        let version = version.await?;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let target = self.session.path.display().to_string();
        let body = Body::ConnectionOpened {
            role: self.session.ctx.role.into(),
            system: "sqlite".into(),
            server: format!("SQLite {version}"),
            target: target.clone(),
            ms,
        };
        self.session.ctx.events.info(body, format!("opened {target}"));
        Ok(())
    }

    async fn states(&self) -> Result<Vec<StateRow>> {
        let id = self.session.ctx.connection_id.clone();
        let sql = "SELECT … FROM _waybill_state WHERE connection_id = ?";
        self.ask("read the state", sql, move |conn| ledger::states(conn, &id)).await
    }

    async fn tables(&self) -> Result<Vec<TableRecord>> {
        let found = self.ask("read the ownership of tables", "SELECT … FROM _waybill_tables", ledger::tables);
        Ok(found.await?.into_iter().map(|(record, _)| record).collect())
    }

    async fn inspect(&self, table: &TableRef) -> Result<Option<TableInfo>> {
        let name = table.name.clone();
        self.ask("look at a table", "SELECT … FROM pragma_table_xinfo(?)", move |conn| look(conn, &name))
            .await
    }

    async fn window(&self, stream: &str) -> Result<Vec<WindowEntry>> {
        let (id, stream) = (self.session.ctx.connection_id.clone(), stream.to_owned());
        let sql = "SELECT … FROM _waybill_window WHERE connection_id = ? AND stream = ?";
        self.ask("read the window", sql, move |conn| ledger::window(conn, &id, &stream)).await
    }

    async fn parts(&self, stream: &str) -> Result<BTreeMap<String, Value>> {
        let (id, stream) = (self.session.ctx.connection_id.clone(), stream.to_owned());
        let sql = "SELECT … FROM _waybill_files WHERE connection_id = ? AND stream = ?";
        self.ask("read the file ledger", sql, move |conn| ledger::parts(conn, &id, &stream)).await
    }

    async fn writer(&self, slice: &str) -> Result<Box<dyn Writer>> {
        self.session.fence()?;
        let database = self.session.database().await?;
        Ok(Box::new(SqliteWriter::new(Arc::clone(&self.session), database, slice)))
    }

    async fn publish(&self, load: &StreamLoad, commit: &Commit) -> Result<Receipt> {
        let database = self.session.database().await?;
        let (session, plan, commit) = (Arc::clone(&self.session), load.clone(), commit.clone());
        let cancel = self.session.ctx.cancel.clone();
        let done =
            database.call(&cancel, move |conn, stop| publish::publish(&session, conn, stop, &plan, &commit));
        done.await.map_err(|e| e.stream(&load.stream))
    }

    async fn committed(&self, scope: &str, commit_id: &str) -> Result<bool> {
        let Some(database) = self.session.existing().await? else { return Ok(false) };
        let session = Arc::clone(&self.session);
        let (scope, commit_id) = (scope.to_owned(), commit_id.to_owned());
        let cancel = self.session.ctx.cancel.clone();
        let found = database.call(&cancel, move |conn, stop| {
            let turn = session.turn(conn, stop)?;
            ledger::committed(&turn, &session.ctx.connection_id, &scope, &commit_id)
        });
        found.await
    }

    async fn clean(&self) -> Result<()> {
        let Some(database) = self.session.existing().await? else { return Ok(()) };
        let session = Arc::clone(&self.session);
        let cancel = self.session.ctx.cancel.clone();
        database.call(&cancel, move |conn, stop| clean(&session, conn, stop)).await
    }

    async fn write_states(&self, commit: &Commit) -> Result<()> {
        let database = self.session.database().await?;
        let (session, commit) = (Arc::clone(&self.session), commit.clone());
        let cancel = self.session.ctx.cancel.clone();
        let done = database.call(&cancel, move |conn, stop| {
            let turn = session.fenced(conn, stop)?;
            ledger::write(&turn, &session.ctx.connection_id, &commit)?;
            session.finish(turn, stop)
        });
        done.await
    }

    async fn close(&self) {
        let began = self.session.fence().is_ok();
        self.session.close().await;
        if began {
            let role = self.session.ctx.role.to_owned();
            self.session.ctx.events.info(Body::ConnectionClosed { role }, "closed the database");
        }
    }
}

/// A file system that cannot share memory refuses the write-ahead log; everything works without.
fn write_ahead(conn: &Connection) -> rusqlite::Result<bool> {
    let mode: String = conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    conn.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=4000;",
    )?;
    Ok(mode.eq_ignore_ascii_case("wal"))
}

fn look(conn: &Connection, table: &str) -> Result<Option<TableInfo>> {
    let Some((_, name)) = table::find(conn, table)? else { return Ok(None) };
    let doing = format!("look at table {name}");
    let columns = table::columns(conn, "main", &name).loading(&doing)?;
    let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM main.{})", identifier::quote(&name));
    let empty = conn.query_row(&sql, [], |row| row.get(0)).loading(&doing)?;
    let columns = columns.into_iter().map(|c| (c.name, c.declared)).collect();
    Ok(Some(TableInfo { columns, empty, dependents: rebuild::dependents(conn, &name)? }))
}

/// Drops this connection's staging tables.
fn clean(session: &Session, conn: &Connection, stop: &super::database::Stop) -> Result<()> {
    let prefix = identifier::stage_prefix(&session.ctx.connection_id);
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, length(?1)) = ?1";
    let mut statement = conn.prepare(sql).loading("look for staging tables")?;
    let names = statement.query_map([&prefix], |row| row.get(0)).loading("look for staging tables")?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>().loading("look for staging tables")?;
    drop(statement);
    if names.is_empty() {
        return Ok(());
    }
    let turn =
        if session.fence().is_ok() { session.fenced(conn, stop)? } else { session.turn(conn, stop)? };
    for name in names {
        turn.execute_batch(&format!("DROP TABLE main.{}", identifier::quote(&name)))
            .loading("drop a staging table")?;
    }
    session.finish(turn, stop)?;
    session.stages().clear();
    Ok(())
}

/// Takes the write lock and gives it back; a check does not wait long for it.
fn try_write(conn: &Connection, session: &Session) -> Result<()> {
    let doing = format!("write to {}", session.path.display());
    conn.busy_timeout(Duration::from_secs(1)).loading(&doing)?;
    let taken = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map(drop);
    conn.busy_timeout(READ_WAIT).loading(&doing)?;
    taken.loading(&doing)
}

/// Another check is at it at this moment: then a file can be made.
fn made_by_another(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Whether files can be made in the folder, or in the nearest one above that exists.
fn check_folder(path: &Path) -> Result<String> {
    let mut folder = path.parent().unwrap_or(Path::new("/"));
    while !folder.exists() {
        folder = folder.parent().unwrap_or(Path::new("/"));
    }
    // One name for all: what a killed process left, the next check removes.
    let probe = folder.join(".waybill-check");
    let _ = std::fs::remove_file(&probe);
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    let _ = std::fs::remove_file(&probe);
    match made.map(drop).or_else(made_by_another) {
        Ok(()) => Ok(folder.display().to_string()),
        Err(e) => Err(Error::new(
            Kind::Permission,
            format!("no file can be made in {}: {e}", folder.display()),
        )
        .origin(Origin::Destination)
        .hint("SQLite needs to write beside the database: make the folder writable, or give another `path`")
        .cause(e)),
    }
}

#[cfg(test)]
impl SqliteDestination {
    /// Lets the file grow to so many pages only, as a full disk would.
    pub(crate) async fn limit_pages(&self, pages: u32) {
        let database = self.session.database().await.unwrap();
        let set = database.call(&self.session.ctx.cancel, move |conn, _| {
            conn.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(())).loading("limit")
        });
        set.await.unwrap();
    }
}
