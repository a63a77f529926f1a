//! SQLite as a source.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::mpsc;
use waybill_protocol::event::Body;
use waybill_protocol::{
    Answer, Catalog, CatalogStream, Check, Context, Error, Kind, Level, Logical, Origin, Outlet, Progress,
    Reading, Result, Slice, Source, StreamRead, StreamSelection,
};

use super::database::{Database, READ_WAIT, Stop, open_to_read};
use super::discover::{self, Found};
use super::fault::Doing;
use super::query::query;
use super::read;
use super::sample;
use crate::deadline::{best_effort, bounded};

const COUNT: &str = "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')";
const LIST: &str = "SELECT … FROM sqlite_schema, pragma_table_list";
const ESTIMATE: &str = "SELECT count(*) FROM (SELECT 1 FROM … LIMIT 200000)";
const LOOK: &str = "SELECT … FROM pragma_table_xinfo(?); SELECT … LIMIT 10000";

/// A session with a database file that is read.
pub(crate) struct SqliteSource {
    ctx: Context,
    path: PathBuf,
    identity: String,
    database: Database,
}

impl SqliteSource {
    /// Opens the file, which has to exist. `named` is the path as the config has it.
    pub(crate) async fn open(ctx: Context, path: PathBuf, named: String) -> Result<SqliteSource> {
        let started = Instant::now();
        let database =
            bounded(&ctx, "open the database", COUNT, connect(ctx.deadlines.query, path.clone())).await?;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let target = path.display().to_string();
        let server = format!("SQLite {}", rusqlite::version());
        let body = Body::ConnectionOpened {
            role: ctx.role.into(),
            system: "sqlite".into(),
            server,
            target: target.clone(),
            ms,
        };
        ctx.events.info(body, format!("opened {target}"));
        Ok(SqliteSource { ctx, path, identity: format!("sqlite:{named}"), database })
    }

    /// A bounded query.
    async fn ask<T: Send + 'static>(
        &self,
        purpose: &str,
        sql: &str,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let ctx = &self.ctx;
        bounded(ctx, purpose, sql, self.database.within(ctx, move |conn, _| query(conn))).await
    }

    /// About how many rows a table has; unknown where SQLite takes too long to say.
    async fn estimate(&self, stream: &mut CatalogStream) -> Result<()> {
        if stream.kind != "table" {
            return Ok(());
        }
        let (ctx, table) = (&self.ctx, stream.table.clone());
        let work = self.database.within(ctx, move |conn, _| sample::estimate(conn, &table));
        let rows = best_effort(ctx, &format!("estimate the rows of {}", stream.name), ESTIMATE, work).await;
        stream.rows = rows.map_err(|e| e.context(&stream.name).stream(&stream.name))?.flatten();
        Ok(())
    }

    /// Reads one stream of a slice.
    async fn read_stream(
        &self,
        stream: &Arc<StreamRead>,
        progress: &Progress,
        outlet: &Outlet,
    ) -> Result<()> {
        let state = progress.streams.get(&stream.stream).cloned().unwrap_or_default();
        let database = connect(self.ctx.deadlines.read().unwrap_or(READ_WAIT), self.path.clone()).await?;
        let (out, mut messages) = mpsc::channel(1);
        let reading = Arc::clone(stream);
        let work = move |conn: &mut Connection, stop: &Stop| read::read(conn, stop, &reading, state, &out);
        let work = async {
            match self.ctx.deadlines.looking {
                true => bounded(&self.ctx, "read", LOOK, database.within(&self.ctx, work)).await,
                false => database.call(&self.ctx.cancel, work).await,
            }
        };
        // Owns the receiving end: once a send is refused, reading ends too.
        let forward = async move {
            while let Some(message) = messages.recv().await {
                outlet.send(message).await?;
            }
            Ok(())
        };
        // A query may work for long without a row: an orderly stop interrupts it.
        let both = async { tokio::join!(work, forward) };
        let done = tokio::select! {
            biased;
            (worked, forwarded) = both => forwarded.and(worked),
            () = outlet.refused() => Err(Error::cancelled()),
        };
        database.close().await;
        done
    }
}

/// Opens the file; `limit` bounds the wait for somebody's lock.
async fn connect(limit: Duration, path: PathBuf) -> Result<Database> {
    Database::open(Origin::Source, move || open_to_read(&path, limit)).await
}

#[async_trait]
impl Source for SqliteSource {
    async fn check(&self) -> Result<Vec<Check>> {
        let tables = self.ask("read the schema", COUNT, |conn| {
            conn.query_row(COUNT, [], |row| row.get::<_, i64>(0)).reading("read the schema")
        });
        Ok(vec![match tables.await {
            Ok(count) => {
                Check::passed("read", format!("SQLite {}, {count} tables and views", rusqlite::version()))
            }
            Err(error) => Check::failed("read", &error),
        }])
    }

    async fn discover(&self, selections: &[StreamSelection]) -> Result<Catalog> {
        let chosen = selections.to_vec();
        let found = self.ask("list tables", LIST, move |conn| discover::list(conn, &chosen)).await?;
        let mut streams = Vec::new();
        for Found { name, table, kind, named } in found {
            let purpose = format!("discover {name}");
            let stream = self.ask(&purpose, LOOK, {
                let name = name.clone();
                move |conn| discover::table_stream(conn, &name, &table, &kind)
            });
            match stream.await {
                Ok(mut stream) => {
                    self.estimate(&mut stream).await?;
                    streams.push(stream);
                }
                // A broken view keeps nobody from the others; nor does an endless one where nothing is
                // selected, and so nothing is to be loaded.
                Err(error)
                    if !named
                        && (error.kind() == Kind::Schema
                            || selections.is_empty() && error.kind() == Kind::Timeout) =>
                {
                    let message = format!("{name} is left out: {error}");
                    let body = Body::Runtime { detail: serde_json::Value::Null };
                    self.ctx.events.emit(Level::Warn, body, message, Some(error.record()));
                }
                Err(error) if error.kind() == Kind::Timeout => return Err(error.stream(name)),
                Err(error) => return Err(error.context(&name).stream(name)),
            }
        }
        for selection in selections {
            if let Some(query) = selection.query.clone() {
                let name = selection.name.clone();
                let purpose = format!("discover {name}");
                let stream =
                    self.ask(&purpose, LOOK, move |conn| discover::query_stream(conn, &name, &query));
                streams.push(stream.await.map_err(|e| e.stream(&selection.name))?);
            }
        }
        Ok(Catalog { identity: self.identity.clone(), streams })
    }

    fn infers(&self) -> bool {
        true
    }

    async fn plan(&self, streams: &[Arc<StreamRead>], _progress: &Progress) -> Result<Vec<Slice>> {
        let slice = |stream: &Arc<StreamRead>| {
            // The order of text is the database's: no checkpoint on the way could say where it is.
            let by_cursor = |l: &Logical| *l != Logical::Text;
            let ordered = matches!(&stream.reading, Reading::Cursor { logical, .. } if by_cursor(logical));
            Slice { ordered: ordered && stream.ordered, ..Slice::whole(Arc::clone(stream)) }
        };
        Ok(streams.iter().map(slice).collect())
    }

    async fn read(&self, slice: &Slice, progress: &Progress, outlet: &Outlet) -> Result<()> {
        for stream in &slice.streams {
            let read = self.read_stream(stream, progress, outlet).await;
            read.map_err(|e| e.stream(&stream.stream))?;
        }
        Ok(())
    }

    async fn query(&self, sql: &str, limit: u64) -> Result<Answer> {
        let database = connect(self.ctx.deadlines.query, self.path.clone()).await?;
        let text = sql.to_owned();
        let work = database.within(&self.ctx, move |conn, stop| query(conn, stop, &text, limit));
        let answer = bounded(&self.ctx, "run the query", sql, work).await;
        database.close().await;
        answer
    }

    async fn close(&self) {
        self.database.close().await;
        let role = self.ctx.role.to_owned();
        self.ctx.events.info(Body::ConnectionClosed { role }, "closed the database");
    }
}
