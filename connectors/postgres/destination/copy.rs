//! Sending a batch by COPY.

use std::time::Instant;

use sqlx::postgres::PgConnection;
use waybill_protocol::{Error, Result};

use super::names::{Place, idents};
use super::tx::{Tx, waited};
use crate::postgres::encode::{self, ColumnPlan, textual};
use crate::postgres::session::Server;
use crate::postgres::sql::ident;
use crate::postgres::watch::Watch;

/// Bytes that go out at once.
const CHUNK: usize = 512 << 10;
/// A buffer that one wide value has blown up is not kept.
const KEPT: usize = 4 << 20;
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

/// Rows of one batch on their way into the server.
pub(super) enum Rows<'a> {
    /// From Arrow.
    Encoded(encode::Rows<'a>),
    /// As they came; what is left of them.
    Wire(&'a [u8]),
}

impl Rows<'_> {
    /// What stands before the rows and after them.
    fn frame(&self) -> (&'static [u8], &'static [u8]) {
        match self {
            Rows::Encoded(rows) => rows.frame(),
            Rows::Wire(_) => encode::BINARY_FRAME,
        }
    }

    /// Adds about so many bytes to the buffer; says whether there are more.
    fn fill(&mut self, buffer: &mut Vec<u8>, bytes: usize) -> Result<bool> {
        match self {
            Rows::Encoded(rows) => rows.fill(buffer, bytes),
            Rows::Wire(rest) => {
                let (now, later) = rest.split_at(bytes.min(rest.len()));
                buffer.extend_from_slice(now);
                *rest = later;
                Ok(!later.is_empty())
            }
        }
    }
}

/// Why a COPY ended.
enum Fault {
    Driver(sqlx::Error),
    Ours(Error),
}

/// Sends the rows. On any error the connection is closed, and the transaction with it.
pub(super) async fn copy(tx: &mut Tx, sql: &str, rows: &mut Rows<'_>, buffer: &mut Vec<u8>) -> Result<u64> {
    let server = tx.server();
    let started = Instant::now();
    let watch = tx.session().watch();
    let mut busy = tx.session().busy()?;
    buffer.clear();
    let answer = {
        let conn = busy.conn()?;
        tokio::select! {
            biased;
            () = server.ctx.cancel.cancelled() => Err(Fault::Ours(Error::cancelled())),
            answer = stream(&server, conn, sql, rows, buffer, &watch) => answer,
        }
    };
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
    let error = match answer {
        Ok(sent) => {
            busy.done();
            return Ok(sent);
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

async fn stream(
    server: &Server,
    conn: &mut PgConnection,
    sql: &str,
    rows: &mut Rows<'_>,
    buffer: &mut Vec<u8>,
    watch: &Watch,
) -> Result<u64, Fault> {
    let started = Instant::now();
    // The statement may wait for a lock on the table: work that the server has been told to do.
    let mut copy = watched(watch, conn.copy_in_raw(sql)).await?;
    waited(server, "the table that is loaded", started);
    let (header, trailer) = rows.frame();
    buffer.extend_from_slice(header);
    let mut more = true;
    while more {
        more = rows.fill(buffer, CHUNK).map_err(Fault::Ours)?;
        if !more {
            buffer.extend_from_slice(trailer);
        }
        // One that takes no bytes may be at work on those it has: triggers, indexes.
        watched(watch, copy.send(buffer.as_slice())).await?;
        buffer.clear();
    }
    watched(watch, copy.finish()).await
}

async fn watched<T>(watch: &Watch, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Fault> {
    tokio::select! {
        biased;
        done = work => done.map_err(Fault::Driver),
        error = watch.clone().bytes_missing() => Err(Fault::Ours(error)),
    }
}
