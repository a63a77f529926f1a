//! Sending rows by COPY: one that stays open while batches of a stream come.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgCopyIn};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use waybill_protocol::{Error, Result};

use super::names::{Place, idents};
use super::tx::{Tx, waited};
use crate::postgres::encode::{ColumnPlan, textual};
use crate::postgres::session::Server;
use crate::postgres::sql::ident;
use crate::postgres::watch::Watch;

/// Bytes that go out at once.
pub(super) const CHUNK: usize = 512 << 10;
/// A piece that is larger than this is waited for: two of them are not kept in memory.
const LARGE: usize = 4 << 20;
/// A COPY takes so many bytes before another one follows it: the server says what is wrong with its
/// rows only at its end.
const STRETCH: usize = 64 << 20;
/// How long a COPY that is not wanted any more may take to end in good order.
const PATIENCE: Duration = Duration::from_secs(2);
/// The column that keeps the order of arrival where rows are merged.
pub(super) const ORDINAL: &str = "_waybill_ordinal";

/// The statement for a table and the columns of a load. `ordinal`: a last column keeps the order of
/// arrival. `wire`: rows come undecoded.
pub(super) fn copy_sql(place: &Place, plan: &[ColumnPlan], ordinal: bool, wire: bool) -> String {
    let mut columns = idents(plan.iter().map(|column| column.name.as_str()));
    if ordinal {
        columns = format!("{columns}, {}", ident(ORDINAL));
    }
    // What has no binary form of ours is read from its text, and the whole row with it.
    let format = if textual(plan) && !wire { "text" } else { "binary" };
    format!("COPY {} ({columns}) FROM STDIN (FORMAT {format})", place.sql())
}

/// A COPY statement, and what stands before its rows and after them.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// As [`copy_sql`] makes it.
    pub(super) sql: String,
    /// Header and trailer of its format.
    pub(super) frame: (&'static [u8], &'static [u8]),
}

/// What a copy is given.
enum Piece {
    /// Whole rows; the sender is dropped once they are out of memory.
    Rows(Vec<u8>, Option<oneshot::Sender<()>>),
    /// There are no more.
    End,
}

type CopyIn<'c> = PgCopyIn<&'c mut PgConnection>;

/// Why a COPY failed.
enum Fault {
    Driver(sqlx::Error),
    Ours(Error),
}

/// A transaction that takes rows of one stream. Dropped, its connection is closed.
pub(super) struct Copying {
    /// The stream.
    pub(super) stream: String,
    /// Rows given to it.
    pub(super) sent: u64,
    pieces: mpsc::Sender<Piece>,
    task: JoinSet<Result<(Tx, u64)>>,
}

impl Copying {
    /// Begins in a transaction.
    pub(super) fn begin(tx: Tx, stream: &str, statement: Statement) -> Copying {
        let (pieces, taken) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(carry(tx, statement, taken));
        Copying { stream: stream.to_owned(), sent: 0, pieces, task }
    }

    /// Takes whole rows; they are out of memory, or in a bounded buffer, when it returns.
    pub(super) async fn push(&mut self, rows: Vec<u8>) -> Result<()> {
        let (done, gone) = oneshot::channel();
        let large = rows.len() > LARGE;
        let piece = Piece::Rows(rows, large.then_some(done));
        if self.pieces.send(piece).await.is_err() {
            return Err(self.failure().await);
        }
        if large {
            // An error of the copy is said by the next piece, or by its end.
            let _ = gone.await;
        }
        Ok(())
    }

    async fn failure(&mut self) -> Error {
        let ended = self.join().await;
        ended.err().unwrap_or_else(|| Error::internal("a COPY ended before its rows did"))
    }

    /// Ends it; returns the transaction and how many rows the table has kept.
    pub(super) async fn end(mut self) -> Result<(Tx, u64)> {
        // One that takes nothing any more has an error to say.
        let _ = self.pieces.send(Piece::End).await;
        self.join().await
    }

    /// Gives it up, and the transaction with it.
    pub(super) async fn abort(self) {
        let Copying { pieces, mut task, .. } = self;
        drop(pieces);
        if let Ok(Some(Ok(Ok((tx, _))))) = tokio::time::timeout(PATIENCE, task.join_next()).await {
            tx.rollback().await;
        }
        task.shutdown().await;
    }

    async fn join(&mut self) -> Result<(Tx, u64)> {
        match self.task.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(e)) if e.is_panic() => Err(Error::internal("sending rows panicked").cause(e)),
            _ => Err(Error::cancelled()),
        }
    }
}

/// Sends what comes. On any error the connection is closed, and the transaction with it.
async fn carry(mut tx: Tx, statement: Statement, pieces: mpsc::Receiver<Piece>) -> Result<(Tx, u64)> {
    let server = tx.server();
    let started = Instant::now();
    let watch = tx.session().watch();
    let mut busy = tx.session().busy()?;
    let answer = {
        let conn = busy.conn()?;
        tokio::select! {
            biased;
            () = server.ctx.cancel.cancelled() => Err(Fault::Ours(Error::cancelled())),
            answer = copies(&server, conn, &statement, pieces, &watch) => answer,
        }
    };
    let error = match answer {
        Ok(kept) => {
            busy.done();
            return Ok((tx, kept));
        }
        Err(Fault::Driver(error)) => {
            busy.lost();
            server.error(error, started, None)
        }
        // What the server is at is cancelled there too.
        Err(Fault::Ours(error)) => {
            drop(busy);
            error
        }
    };
    Err(error.origin(server.origin()))
}

/// One COPY after the other until the end; how many rows they have kept.
async fn copies(
    server: &Server,
    conn: &mut PgConnection,
    statement: &Statement,
    mut pieces: mpsc::Receiver<Piece>,
    watch: &Watch,
) -> Result<u64, Fault> {
    let mut kept = 0;
    while let Some(Piece::Rows(rows, done)) = pieces.recv().await {
        let started = Instant::now();
        // The statement may wait for a lock on the table: work that the server has been told to do.
        let mut copy = watched(watch, conn.copy_in_raw(&statement.sql)).await?;
        waited(server, "the table that is loaded", started);
        let (header, trailer) = statement.frame;
        send(&mut copy, header, watch).await?;
        let ended = stretch(&mut copy, (rows, done), &mut pieces, watch).await?;
        if let Ended::Unwanted = ended {
            watched(watch, copy.abort("the rows are not wanted any more")).await?;
            break;
        }
        send(&mut copy, trailer, watch).await?;
        kept += watched(watch, copy.finish()).await?;
        if let Ended::Whole = ended {
            break;
        }
    }
    Ok(kept)
}

/// Why a COPY takes no more rows.
enum Ended {
    /// There are none.
    Whole,
    /// It has taken enough of them.
    Enough,
    /// Nobody wants them.
    Unwanted,
}

type Rows = (Vec<u8>, Option<oneshot::Sender<()>>);

async fn stretch(
    copy: &mut CopyIn<'_>,
    first: Rows,
    pieces: &mut mpsc::Receiver<Piece>,
    watch: &Watch,
) -> Result<Ended, Fault> {
    let (mut now, mut sent) = (first, 0);
    loop {
        sent += now.0.len();
        send(copy, &now.0, watch).await?;
        drop(now);
        if sent >= STRETCH {
            return Ok(Ended::Enough);
        }
        now = match pieces.recv().await {
            Some(Piece::Rows(rows, done)) => (rows, done),
            Some(Piece::End) => return Ok(Ended::Whole),
            None => return Ok(Ended::Unwanted),
        };
    }
}

async fn send(copy: &mut CopyIn<'_>, bytes: &[u8], watch: &Watch) -> Result<(), Fault> {
    for chunk in bytes.chunks(CHUNK) {
        // One that takes no bytes may be at work on those it has: triggers, indexes.
        watched(watch, copy.send(chunk)).await?;
    }
    Ok(())
}

async fn watched<T>(watch: &Watch, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Fault> {
    tokio::select! {
        biased;
        done = work => done.map_err(Fault::Driver),
        error = watch.clone().bytes_missing() => Err(Fault::Ours(error)),
    }
}
