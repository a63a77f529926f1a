//! A transaction of the destination: rolled back, and its connection closed, unless it is committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments, AssertSqlSafe, Either, Encode, Executor, Postgres, Type};
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Kind, Result};

use crate::postgres::own::{self, Held, Purpose};
use crate::postgres::session::{Server, Session, text};
use crate::postgres::sql::literal;
use crate::postgres::watch::Haste;

/// A lock that takes longer than this to get is worth an event.
const NOTICEABLE: Duration = Duration::from_millis(100);

/// An open transaction.
pub(in crate::postgres) struct Tx {
    session: Session,
    key: Option<String>,
    held: Option<Held>,
}

/// Arguments of a statement.
#[derive(Default)]
pub(in crate::postgres) struct Args(PgArguments);

impl Args {
    /// One more.
    pub(in crate::postgres) fn with<'q, T>(mut self, value: T) -> Result<Args>
    where
        T: Encode<'q, Postgres> + Type<Postgres> + 'q,
    {
        let added = self.0.add(value);
        added.map_err(|e| Error::internal("an argument of a statement cannot be encoded").cause(e))?;
        Ok(self)
    }
}

impl Tx {
    /// Begins one with the run's id in it, whatever the server's or the role's defaults are.
    pub(in crate::postgres) async fn begin(server: &Arc<Server>) -> Result<Tx> {
        match Tx::on(server.session().await?).await {
            // An idle connection may have been closed by the other side: once more on a new one.
            Err(error) if error.kind() == Kind::Network => Tx::on_new_connection(server).await,
            answer => answer,
        }
    }

    /// The same on a connection of its own.
    pub(super) async fn on_new_connection(server: &Arc<Server>) -> Result<Tx> {
        Tx::on(server.connect().await?).await
    }

    async fn on(mut session: Session) -> Result<Tx> {
        let then = format!(
            "SET LOCAL lock_timeout = 0; SET LOCAL xmloption = content; SELECT set_config('waybill.run_id', {}, true), {}",
            literal(&session.server().ctx.run_id),
            own::SELF
        );
        let rows = session.begin_bulk("ISOLATION LEVEL READ COMMITTED READ WRITE", &then).await?;
        let key = rows.last().map(|row| text(row, 1)).transpose()?.flatten();
        Ok(Tx { session, key, held: None })
    }

    /// Says which tables it loads, and no others: a source of this run on the same server need not
    /// take it for a stranger's.
    pub(super) fn loads(&mut self, tables: Vec<(String, String)>) {
        self.held = self.key.clone().map(|key| Held::new(key, Purpose::Loading(tables)));
    }

    /// What it is a connection to.
    pub(super) fn server(&self) -> Arc<Server> {
        Arc::clone(self.session.server())
    }

    /// The session, for work that needs the connection itself.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Runs statements as one message; every value comes as text. Takes as long as it takes.
    pub(in crate::postgres) async fn run(&mut self, sql: &str) -> Result<Vec<PgRow>> {
        Ok(self.work(sql, None, Haste::None).await?.0)
    }

    /// Runs one statement with arguments and returns its rows.
    pub(in crate::postgres) async fn fetch(&mut self, sql: &str, args: Args) -> Result<Vec<PgRow>> {
        Ok(self.work(sql, Some(args.0), Haste::None).await?.0)
    }

    /// Runs one statement with arguments and returns how many rows it touched.
    pub(in crate::postgres) async fn execute(&mut self, sql: &str, args: Args) -> Result<u64> {
        Ok(self.work(sql, Some(args.0), Haste::None).await?.1)
    }

    /// The same for a statement that may wait for somebody else's lock on `what`: says how long.
    pub(in crate::postgres) async fn wait(
        &mut self,
        what: &str,
        sql: &str,
        args: Args,
    ) -> Result<Vec<PgRow>> {
        let started = Instant::now();
        let answer = self.fetch(sql, args).await;
        waited(&self.server(), what, started);
        answer
    }

    async fn work(
        &mut self,
        sql: &str,
        arguments: Option<PgArguments>,
        haste: Haste,
    ) -> Result<(Vec<PgRow>, u64)> {
        let server = self.server();
        let started = Instant::now();
        let silent = self.session.watch().gone_silent(haste);
        let mut busy = self.session.busy()?;
        let answer = {
            let conn = busy.conn()?;
            tokio::select! {
                biased;
                () = server.ctx.cancel.cancelled() => Err(Error::cancelled().origin(server.origin())),
                answer = send(conn, sql.to_owned(), arguments) => Ok(answer),
                error = silent => Err(error),
            }
        };
        match answer {
            Err(error) => Err(error),
            Ok(Ok(answer)) => {
                busy.done();
                Ok(answer)
            }
            Ok(Err(error)) => {
                // The transaction is over in any case; where the server answered, nothing else is.
                if matches!(error, sqlx::Error::Database(_)) {
                    busy.done()
                } else {
                    busy.lost()
                }
                Err(server.error(error, started, None))
            }
        }
    }

    /// Commits; an error may hide a commit that took place.
    pub(in crate::postgres) async fn commit(mut self) -> Result<()> {
        // Constraints that are looked at now, or a standby that is waited for, may take their time.
        self.work("COMMIT", None, Haste::Some).await?;
        self.session.over();
        drop(self.held.take());
        self.session.release();
        Ok(())
    }

    /// Rolls back and keeps the connection.
    pub(in crate::postgres) async fn rollback(mut self) {
        self.session.rollback().await;
        drop(self.held.take());
        if self.session.usable() {
            self.session.release();
        }
    }
}

/// A session in a transaction that only reads; end it with [`leave`].
pub(in crate::postgres) async fn reading(server: &Arc<Server>) -> Result<Session> {
    let mut session = server.session().await?;
    match session.begin("READ ONLY").await {
        Err(error) if error.kind() == Kind::Network => {
            // First, so that its place in the pool is free: there may be one only.
            drop(session);
            session = server.connect().await?;
            session.begin("READ ONLY").await?;
        }
        answer => answer?,
    }
    Ok(session)
}

/// Ends a [`reading`] session.
pub(in crate::postgres) async fn leave(mut session: Session) {
    session.rollback().await;
    if session.usable() {
        session.release();
    }
}

/// Emits `lock.waited` where it took noticeably long.
pub(super) fn waited(server: &Server, what: &str, started: Instant) {
    let elapsed = started.elapsed();
    if elapsed > NOTICEABLE {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let body = Body::LockWaited { lock: what.to_owned(), ms };
        server.ctx.events.info(body, format!("waited {ms} ms for {what}"));
    }
}

async fn send(
    conn: &mut PgConnection,
    sql: String,
    arguments: Option<PgArguments>,
) -> Result<(Vec<PgRow>, u64), sqlx::Error> {
    let mut answers = match arguments {
        None => sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(conn),
        Some(arguments) => conn.fetch_many(sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false)),
    };
    let (mut rows, mut touched) = (Vec::new(), 0);
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(done) => touched += done.rows_affected(),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok((rows, touched))
}

/// The server's code of an error.
pub(super) fn state_of(error: &Error) -> String {
    error.record().code.unwrap_or_default()
}
