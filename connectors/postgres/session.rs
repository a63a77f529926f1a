//! Sessions with a server: bounded statements, transactions, and work that is cancelled when dropped.
//!
//! A [`Server`] is what a role of a run shares; a [`Session`] is one connection of it. Statements
//! go out over the simple protocol: one round trip, no prepared statements that a transaction pooler
//! would be in the way of, and text answers.

use std::sync::Arc;
use std::time::Instant;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use waybill_protocol::{Error, Kind, Result};

use super::link::Live;
pub(super) use super::link::{Facts, Server};
use super::pool::Place;
use super::watch::{Backend, Watch};
use crate::deadline;

/// One connection. Dropped, it is closed; [`Session::release`] keeps it for the next use.
pub(super) struct Session {
    server: Arc<Server>,
    live: Option<Live>,
    in_transaction: bool,
    /// Whether the server bounds neither statements nor pauses of this transaction.
    unbounded: bool,
    /// Its place in the pool; given back after the connection is.
    _place: Place,
}

impl Session {
    pub(super) fn new(server: Arc<Server>, live: Live, place: Place) -> Session {
        Session { server, live: Some(live), in_transaction: false, unbounded: false, _place: place }
    }

    /// What it is a connection to.
    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Whether statements can still be sent.
    pub(super) fn usable(&self) -> bool {
        self.live.is_some()
    }

    /// What looks after statements that take as long as they take.
    pub(super) fn watch(&self) -> Watch {
        let backend = self.live.as_ref().map(|live| live.backend.clone());
        Watch::new(Arc::clone(&self.server), backend.unwrap_or_default())
    }

    /// Keeps the connection for the next [`Server::session`]; one in a transaction is closed.
    pub(super) fn release(mut self) {
        if let Some(live) = self.live.take().filter(|_| !self.in_transaction) {
            self.server.pool().keep(live);
        }
    }

    /// Asks the server what it is.
    pub(super) async fn facts(&mut self) -> Result<Facts> {
        let sql = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
            (SELECT oid::text FROM pg_catalog.pg_database WHERE datname = current_database()), \
            pg_is_in_recovery()::text, \
            coalesce(has_function_privilege(to_regprocedure('pg_catalog.pg_control_system()')::oid, 'EXECUTE'), false)::text, \
            current_setting('server_encoding')";
        let rows = self.query("ask the server what it is", sql).await?;
        let row = rows.first().ok_or_else(|| Error::internal("no answer to a query without FROM"))?;
        let field = |i| text(row, i).map(Option::unwrap_or_default);
        Ok(Facts {
            version: field(0)?.parse().unwrap_or(0),
            version_text: field(1)?,
            database_oid: field(2)?,
            standby: field(3)? == "true",
            control: field(4)? == "true",
            encoding: field(5)?,
        })
    }

    /// Takes the connection for work of one's own (COPY, bulk statements). Unless
    /// [`Busy::done`] is called the connection is given up, and what it does is cancelled.
    pub(super) fn busy(&mut self) -> Result<Busy<'_>> {
        if self.live.is_none() {
            return Err(Error::new(
                Kind::Network,
                format!("the connection to {} is lost", self.server.host_port()),
            )
            .origin(self.server.origin()));
        }
        Ok(Busy { session: self, finished: false, cancel: true })
    }

    /// Runs statements as one message and, outside a transaction, as one transaction, under the
    /// query deadline. Returns all their rows; every value is text.
    pub(super) async fn query(&mut self, purpose: &str, sql: &str) -> Result<Vec<PgRow>> {
        let sent = self.limited(sql);
        let server = Arc::clone(&self.server);
        let work = self.ask(sent);
        let answer = deadline::bounded(&server.ctx, purpose, sql, work).await;
        answer.map_err(|e| e.origin(server.origin()))
    }

    /// The same for what its caller can do without: `None` where it took too long, which is said.
    /// Not for use in a transaction, which would be over then.
    pub(super) async fn best_effort(&mut self, purpose: &str, sql: &str) -> Result<Option<Vec<PgRow>>> {
        let sent = self.limited(sql);
        let server = Arc::clone(&self.server);
        let work = self.ask(sent);
        let answer = deadline::best_effort(&server.ctx, purpose, sql, work).await;
        answer.map_err(|e| e.origin(server.origin()))
    }

    /// Runs one statement that has what nobody else should see: `shown` stands in its place.
    pub(super) async fn query_hidden(&mut self, purpose: &str, shown: &str, sql: String) -> Result<()> {
        let server = Arc::clone(&self.server);
        let work = self.ask(sql);
        let answer = deadline::bounded(&server.ctx, purpose, shown, work).await;
        answer.map(drop).map_err(|e| e.origin(server.origin()))
    }

    /// Statements with the limit that the server is to know, where its session has another one.
    fn limited(&self, sql: &str) -> String {
        let limit = || self.server.limit_sql("LOCAL ", self.server.ctx.deadlines.query);
        match (self.in_transaction, self.unbounded, self.server.pooler) {
            (true, true, _) => format!("{}{sql}; {UNLIMITED}", limit()),
            (false, _, true) => format!("{}{sql}", limit()),
            _ => sql.to_owned(),
        }
    }

    /// Sends statements and takes the answer. A connection that was given up is replaced first,
    /// unless its transaction went with it. Dropped on the way, it is given up, and what it does is
    /// cancelled.
    async fn ask(&mut self, sent: String) -> Result<Vec<PgRow>> {
        let server = Arc::clone(&self.server);
        if self.live.is_none() && !self.in_transaction {
            self.live = Some(server.another().await?);
        }
        let started = Instant::now();
        let mut busy = self.busy()?;
        let answer = sqlx::raw_sql(AssertSqlSafe(sent)).fetch_all(busy.conn()?).await;
        match answer.as_ref().err().is_none_or(survivable) {
            true => busy.done(),
            false => busy.lost(),
        }
        answer.map_err(|e| server.error(e, started, Some(server.ctx.deadlines.query)))
    }

    /// Begins a transaction whose statements the server bounds by the query deadline;
    /// `characteristics` such as `READ ONLY` follow BEGIN.
    pub(super) async fn begin(&mut self, characteristics: &str) -> Result<()> {
        let limit = self.server.limit_sql("LOCAL ", self.server.ctx.deadlines.query);
        self.start(&format!("BEGIN {characteristics}; {limit}"), "").await.map(drop)
    }

    /// Begins a transaction for bulk work: the server bounds neither its statements nor its pauses,
    /// but those of `then`, which come with BEGIN.
    pub(super) async fn begin_bulk(&mut self, characteristics: &str, then: &str) -> Result<Vec<PgRow>> {
        let deadlines = self.server.ctx.deadlines;
        // Behind a pooler nobody can cancel the query of a run that is gone: the server looks itself
        // whether the pooler has hung up. Not every server can.
        let watch = match self.server.pooler && self.server.facts().version >= 140_000 {
            true => {
                "SELECT set_config('client_connection_check_interval', '500', true) WHERE version() LIKE '%linux%'; "
            }
            false => "",
        };
        // Nor is it known there who serves a connection but in a transaction. Asked last, since a lock
        // that `then` takes has to come before the snapshot.
        let who = if self.server.pooler { "; SELECT pg_backend_pid()::text" } else { "" };
        let limit = self.server.limit_sql("LOCAL ", deadlines.query);
        let begin = format!(
            "BEGIN {characteristics}; {limit}SET LOCAL idle_in_transaction_session_timeout = 0; {watch}{then}{who}"
        );
        let mut rows = self.start(&begin, if deadlines.looking { "" } else { UNLIMITED }).await?;
        self.unbounded = !deadlines.looking;
        if self.server.pooler
            && let (Some(live), Some(row)) = (self.live.as_mut(), rows.pop())
        {
            let pid = text(&row, 0)?.and_then(|t| t.parse().ok()).unwrap_or(0);
            live.backend = Backend { pid, since: String::new() };
        }
        Ok(rows)
    }

    async fn start(&mut self, begin: &str, then: &str) -> Result<Vec<PgRow>> {
        if self.live.is_none() {
            // Once the transaction has begun, a connection that is lost stays so.
            self.live = Some(self.server.another().await?);
        }
        self.in_transaction = true;
        // What comes with it has the limit that it sets.
        self.unbounded = false;
        self.query("begin a transaction", &format!("{begin}; {then}")).await
    }

    /// Commits.
    pub(super) async fn commit(&mut self) -> Result<()> {
        self.unbounded = false;
        let answer = self.query("commit", "COMMIT").await.map(drop);
        if answer.is_ok() {
            self.over();
        }
        answer
    }

    /// Rolls back; a connection that cannot is closed.
    pub(super) async fn rollback(&mut self) {
        self.unbounded = false;
        if self.live.is_some() && self.in_transaction && self.query("roll back", "ROLLBACK").await.is_err() {
            self.live = None;
        }
        self.over();
    }

    /// The transaction is over.
    pub(super) fn over(&mut self) {
        (self.in_transaction, self.unbounded) = (false, false);
        if let Some(live) = self.live.as_mut().filter(|_| self.server.pooler) {
            live.backend = Backend::default();
        }
    }
}

/// Lets the statements of a transaction take as long as they take.
const UNLIMITED: &str = "SET LOCAL statement_timeout = 0";

/// Whether the connection is still in step with the server after this error.
fn survivable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(inner) => {
            let code = inner.code().unwrap_or_default();
            !(code.starts_with("08") || code.starts_with("57P"))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => false,
        _ => true,
    }
}

/// A connection at work. Dropped without [`Busy::done`], it is closed and its query cancelled.
pub(super) struct Busy<'a> {
    session: &'a mut Session,
    finished: bool,
    cancel: bool,
}

impl Busy<'_> {
    /// The connection.
    pub(super) fn conn(&mut self) -> Result<&mut PgConnection> {
        let live = self.session.live.as_mut();
        live.map(|live| &mut live.conn).ok_or_else(|| Error::internal("a busy session without a connection"))
    }

    /// The work is over and the connection in step with the server.
    pub(super) fn done(mut self) {
        self.finished = true;
    }

    /// The server ended the work, and the connection is of no further use.
    pub(super) fn lost(mut self) {
        self.cancel = false;
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let Some(live) = self.session.live.take() else { return };
        let Live { conn, backend } = live;
        // Closed first: a server that is blocked sending to us hears nothing else.
        drop(conn);
        if self.cancel {
            self.session.server.cancel(&backend);
        } else {
            // What ended this one has often ended the others too, and each would cost an attempt.
            self.session.server.pool().forget();
        }
    }
}

/// A value of a row that came over the simple protocol.
pub(super) fn text(row: &PgRow, index: usize) -> Result<Option<String>> {
    row.try_get_unchecked(index).map_err(|e| Error::internal("a row is not as it was asked for").cause(e))
}
