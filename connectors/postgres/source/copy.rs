//! Binary COPY out of the server, with a watchdog for silence.

use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use waybill_protocol::event::{Body, Outcome};
use waybill_protocol::outlet::{BATCH_BYTES, batch_rows};
use waybill_protocol::{Error, Kind, Level, Outlet, Result};

use super::send::Sender;
use crate::postgres::decode::{ColumnPlan, Decoder, Stop};
use crate::postgres::session::{Busy, Server, Session};

/// How long a wait lasts before the outlet is asked whether it still takes anything.
const LOOK: Duration = Duration::from_millis(100);
/// How often an ordered read looks at the time, in rows.
const CLOCK_ROWS: usize = 1024;

/// Where batches go.
pub(super) enum Goal<'a> {
    /// To the destination.
    Send(Sender<'a>),
    /// Here: for answers of one row.
    Keep(Option<RecordBatch>),
    /// Here: for answers of some rows.
    Gather(Vec<RecordBatch>, usize),
}

/// Bytes that an answer may hold.
const MOST_BYTES: usize = 64 << 20;

impl Goal<'_> {
    async fn batch(&mut self, batch: RecordBatch) -> Result<()> {
        match self {
            Goal::Send(sender) => sender.batch(batch).await,
            Goal::Keep(kept) => {
                *kept = Some(batch);
                Ok(())
            }
            Goal::Gather(kept, bytes) => {
                *bytes += batch.get_array_memory_size();
                kept.push(batch);
                if *bytes > MOST_BYTES {
                    return Err(Error::new(Kind::Data, "the answer holds more than 64 MiB")
                        .hint("ask for fewer rows with --limit, or for fewer columns"));
                }
                Ok(())
            }
        }
    }

    fn outlet(&self) -> Option<&Outlet> {
        match self {
            Goal::Send(sender) => Some(sender.outlet()),
            Goal::Keep(_) | Goal::Gather(..) => None,
        }
    }

    fn due(&self, decoder: &Decoder) -> bool {
        if decoder.bytes() >= BATCH_BYTES / 2 || decoder.rows() >= batch_rows() {
            return true;
        }
        match self {
            Goal::Send(sender) => {
                decoder.rows() > 0 && decoder.rows().is_multiple_of(CLOCK_ROWS) && sender.overdue()
            }
            Goal::Keep(_) | Goal::Gather(..) => false,
        }
    }
}

/// Copies what `select` returns. The connection is given up, and the query cancelled at the
/// server, when this fails or is dropped.
pub(super) async fn copy(
    session: &mut Session,
    purpose: &str,
    select: &str,
    plans: &[ColumnPlan],
    goal: &mut Goal<'_>,
) -> Result<(), Stop> {
    let server = std::sync::Arc::clone(session.server());
    let role = || server.ctx.role.to_owned();
    let started = Body::QueryStarted { role: role(), purpose: purpose.into(), sql: select.into() };
    let span = server.ctx.events.span(Level::Debug, started, purpose);
    let answer = send(session, &server, select, plans, goal).await;
    let (level, outcome, error) = match &answer {
        Err(Stop::Fault(e)) if e.kind() == Kind::Cancelled => (Level::Debug, Outcome::Cancelled, None),
        Err(Stop::Fault(e)) => (Level::Error, Outcome::Failed, Some(e.record())),
        Ok(()) | Err(Stop::Misfit { .. }) => (Level::Debug, Outcome::Succeeded, None),
    };
    let ms = span.ms();
    let finished = Body::QueryFinished { role: role(), purpose: purpose.into(), outcome, rows: None, ms };
    span.finish(level, finished, purpose, error);
    answer
}

async fn send(
    session: &mut Session,
    server: &Server,
    select: &str,
    plans: &[ColumnPlan],
    goal: &mut Goal<'_>,
) -> Result<(), Stop> {
    let mut decoder = Decoder::new(plans)?;
    let statement = format!("COPY ({select}\n) TO STDOUT (FORMAT binary)");
    let started = Instant::now();
    let stall = server.ctx.deadlines.stall;
    let mut busy = session.busy()?;
    let outcome = receive(&mut busy, &statement, stall, &mut decoder, goal).await;
    match outcome {
        Ok(()) => busy.done(),
        Err(Broken::Stop(stop)) => return Err(stop),
        Err(Broken::Silent) => return Err(silent(server, stall).into()),
        Err(Broken::Server(error)) => {
            // The query is over; a COPY refused at its start leaves the connection out of step.
            busy.lost();
            return Err(server.error(error, started, None).into());
        }
    }
    if decoder.rows() > 0 {
        goal.batch(decoder.take()?).await?;
    }
    Ok(())
}

enum Broken {
    Stop(Stop),
    Silent,
    Server(sqlx::Error),
}

impl From<Stop> for Broken {
    fn from(stop: Stop) -> Broken {
        Broken::Stop(stop)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken::Stop(error.into())
    }
}

/// Ends once the outlet takes nothing any more.
async fn refused(outlet: Option<&Outlet>) {
    match outlet {
        Some(outlet) => outlet.refused().await,
        None => std::future::pending().await,
    }
}

async fn receive(
    busy: &mut Busy<'_>,
    statement: &str,
    stall: Duration,
    decoder: &mut Decoder,
    goal: &mut Goal<'_>,
) -> Result<(), Broken> {
    let begun = tokio::time::timeout(stall, busy.conn()?.copy_out_raw(statement));
    // A query may work for long before its first byte; an orderly stop does not wait for it.
    let mut rows = tokio::select! {
        begun = begun => begun.map_err(|_| Broken::Silent)?.map_err(Broken::Server)?,
        () = refused(goal.outlet()) => return Err(Error::cancelled().into()),
    };
    loop {
        match next(&mut rows, stall, goal.outlet()).await {
            Next::Chunk(chunk) => {
                decoder.feed(chunk.as_ref())?;
                if goal.due(decoder) {
                    goal.batch(decoder.take()?).await?;
                }
            }
            Next::End if decoder.ended() => return Ok(()),
            Next::End => {
                return Err(Error::new(Kind::Network, "the server's data ended without its end mark").into());
            }
            Next::Failed(error) => return Err(Broken::Server(error)),
            Next::Refused => return Err(Error::cancelled().into()),
            Next::Silent => return Err(Broken::Silent),
        }
    }
}

/// The single row that `select` returns.
pub(super) async fn one_row(
    session: &mut Session,
    purpose: &str,
    select: &str,
    plans: &[ColumnPlan],
) -> Result<RecordBatch> {
    let mut goal = Goal::Keep(None);
    copy(session, purpose, select, plans, &mut goal).await.map_err(|stop| match stop {
        Stop::Fault(error) => error,
        Stop::Misfit { .. } => Error::data("the highest cursor does not fit the type of its column"),
    })?;
    match goal {
        Goal::Keep(Some(batch)) if batch.num_rows() == 1 => Ok(batch),
        _ => Err(Error::internal("a query for one row returned another number")),
    }
}

enum Next<B> {
    Chunk(B),
    End,
    Failed(sqlx::Error),
    /// The outlet takes nothing any more.
    Refused,
    /// Nothing came for too long.
    Silent,
}

/// What comes next. Only the time in here is waiting for the server.
async fn next<B>(
    rows: &mut BoxStream<'_, Result<B, sqlx::Error>>,
    stall: Duration,
    outlet: Option<&Outlet>,
) -> Next<B> {
    let arrived = |item| match item {
        None => Next::End,
        Some(Ok(chunk)) => Next::Chunk(chunk),
        Some(Err(error)) => Next::Failed(error),
    };
    // Mostly a row is there already, and a timer would cost more than the row.
    if let Some(item) = rows.next().now_or_never() {
        return arrived(item);
    }
    let until = Instant::now() + stall;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left.min(LOOK), rows.next()).await {
            Ok(item) => return arrived(item),
            Err(_) if outlet.is_some_and(Outlet::stopped) => return Next::Refused,
            Err(_) if Instant::now() >= until => return Next::Silent,
            Err(_) => {}
        }
    }
}

fn silent(server: &Server, stall: Duration) -> Error {
    let seconds = stall.as_secs_f64();
    Error::new(Kind::Timeout, format!("{} sent nothing for {seconds}s", server.host_port()))
        .origin(server.origin())
        .hint("look what the server is doing (pg_stat_activity), or raise stall_timeout_ms of the connection")
}
