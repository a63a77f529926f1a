//! Binary COPY out of the server, with a watchdog for silence.

use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, RecordBatch};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use waybill_protocol::event::{Body, Outcome};
use waybill_protocol::outlet::{BATCH_BYTES, batch_rows};
use waybill_protocol::{Error, Kind, Level, Outlet, Payload, Result};

use super::passage::{self, Passage};
use super::send::Sender;
use crate::deadline;
use crate::postgres::decode::{ColumnPlan, Decoder, Stop};
use crate::postgres::session::{Busy, Server, Session};
use crate::postgres::watch::{Haste, Watch};

/// How long a wait lasts before more is done about it than to wait.
const SHORT: Duration = Duration::from_millis(100);
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

/// What becomes of the server's bytes.
pub(super) enum Intake {
    /// Arrow.
    Decode(Box<Decoder>),
    /// The same bytes, row by row.
    Pass(Box<Passage>),
}

impl Intake {
    /// Decodes columns in this order.
    pub(super) fn decode(plans: &[ColumnPlan]) -> Result<Intake> {
        Ok(Intake::Decode(Box::new(Decoder::new(plans)?)))
    }

    fn feed(&mut self, chunk: &[u8]) -> Result<(), Stop> {
        match self {
            Intake::Decode(decoder) => decoder.feed(chunk),
            Intake::Pass(passage) => Ok(passage.feed(chunk)?),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Intake::Decode(decoder) => decoder.rows(),
            Intake::Pass(passage) => passage.rows(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Intake::Decode(decoder) => decoder.bytes(),
            Intake::Pass(passage) => passage.bytes(),
        }
    }

    /// The bytes of a batch.
    fn enough(&self) -> usize {
        match self {
            Intake::Decode(_) => BATCH_BYTES / 4,
            Intake::Pass(_) => passage::BATCH,
        }
    }

    fn ended(&self) -> bool {
        match self {
            Intake::Decode(decoder) => decoder.ended(),
            Intake::Pass(passage) => passage.ended(),
        }
    }

    /// The rows since the last batch, with the last cursor where the payload does not show it.
    fn take(&mut self) -> Result<(Payload, Option<ArrayRef>), Stop> {
        match self {
            Intake::Decode(decoder) => Ok((Payload::Arrow(decoder.take()?), None)),
            Intake::Pass(passage) => passage.take().map(|(rows, last)| (Payload::Wire(rows), last)),
        }
    }
}

impl Goal<'_> {
    async fn batch(&mut self, (payload, last): (Payload, Option<ArrayRef>)) -> Result<()> {
        match (self, payload) {
            (Goal::Send(sender), payload) => sender.batch(payload, last).await,
            (Goal::Keep(kept), Payload::Arrow(batch)) => {
                *kept = Some(batch);
                Ok(())
            }
            (Goal::Gather(kept, bytes), Payload::Arrow(batch)) => {
                *bytes += batch.get_array_memory_size();
                kept.push(batch);
                if *bytes > MOST_BYTES {
                    return Err(Error::new(Kind::Data, "the answer holds more than 64 MiB")
                        .hint("ask for fewer rows with --limit, or for fewer columns"));
                }
                Ok(())
            }
            (Goal::Keep(_) | Goal::Gather(..), _) => Err(Error::internal("an answer that is not decoded")),
        }
    }

    fn outlet(&self) -> Option<&Outlet> {
        match self {
            Goal::Send(sender) => Some(sender.outlet()),
            Goal::Keep(_) | Goal::Gather(..) => None,
        }
    }

    fn due(&self, intake: &Intake) -> bool {
        let rows = intake.rows();
        if intake.bytes() >= intake.enough() || rows >= batch_rows() {
            return true;
        }
        match self {
            Goal::Send(sender) => rows > 0 && rows.is_multiple_of(CLOCK_ROWS) && sender.overdue(),
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
    intake: Intake,
    goal: &mut Goal<'_>,
) -> Result<(), Stop> {
    let server = std::sync::Arc::clone(session.server());
    let role = || server.ctx.role.to_owned();
    let started = Body::QueryStarted { role: role(), purpose: purpose.into(), sql: select.into() };
    let span = server.ctx.events.span(Level::Debug, started, purpose);
    let answer = send(session, &server, select, intake, goal).await;
    let ms = span.ms();
    // A question of one row that takes long, such as the highest cursor, lacks an index.
    let slow = matches!(goal, Goal::Keep(_)) && deadline::is_slow(&server.ctx, ms);
    let (level, outcome, error) = match &answer {
        Err(Stop::Fault(e)) if e.kind() == Kind::Cancelled => (Level::Debug, Outcome::Cancelled, None),
        Err(Stop::Fault(e)) => (Level::Error, Outcome::Failed, Some(e.record())),
        Ok(()) if slow => (Level::Warn, Outcome::Succeeded, None),
        Ok(()) | Err(Stop::Misfit { .. }) => (Level::Debug, Outcome::Succeeded, None),
    };
    let finished = Body::QueryFinished { role: role(), purpose: purpose.into(), outcome, rows: None, ms };
    let message = if slow { format!("{purpose} took {ms} ms") } else { purpose.to_owned() };
    span.finish(level, finished, message, error);
    answer
}

async fn send(
    session: &mut Session,
    server: &Server,
    select: &str,
    mut intake: Intake,
    goal: &mut Goal<'_>,
) -> Result<(), Stop> {
    let statement = format!("COPY ({select}\n) TO STDOUT (FORMAT binary)");
    let started = Instant::now();
    let watch = session.watch();
    let mut busy = session.busy()?;
    let outcome = receive(&mut busy, &statement, &watch, &mut intake, goal).await;
    match outcome {
        Ok(()) => busy.done(),
        Err(Broken::Stop(stop)) => return Err(stop),
        Err(Broken::Server(error)) => {
            // The query is over; a COPY refused at its start leaves the connection out of step.
            busy.lost();
            let limits = server.ctx.deadlines;
            let limit = if matches!(goal, Goal::Gather(..)) { Some(limits.query) } else { limits.read() };
            return Err(server.error(error, started, limit).into());
        }
    }
    if intake.rows() > 0 {
        goal.batch(intake.take()?).await?;
    }
    Ok(())
}

enum Broken {
    Stop(Stop),
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
    watch: &Watch,
    intake: &mut Intake,
    goal: &mut Goal<'_>,
) -> Result<(), Broken> {
    let mut silence = Silence { watch, broken: false };
    // A query may sort or scan for long before its first byte; an orderly stop does not wait for it.
    let mut rows = tokio::select! {
        biased;
        begun = busy.conn()?.copy_out_raw(statement) => begun.map_err(Broken::Server)?,
        () = refused(goal.outlet()) => return Err(Error::cancelled().into()),
        error = watch.clone().gone_silent(Haste::None) => return Err(error.into()),
    };
    loop {
        match next(&mut rows, &mut silence, goal.outlet()).await {
            Next::Chunk(chunk) => {
                intake.feed(chunk.as_ref())?;
                if goal.due(intake) {
                    goal.batch(intake.take()?).await?;
                }
            }
            Next::End if intake.ended() => return Ok(()),
            Next::End => {
                return Err(Error::new(Kind::Network, "the server's data ended without its end mark").into());
            }
            Next::Failed(error) => return Err(Broken::Server(error)),
            Next::Refused => return Err(Error::cancelled().into()),
            Next::Silent(error) => return Err(error.into()),
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
    copy(session, purpose, select, Intake::decode(plans)?, &mut goal).await.map_err(|stop| match stop {
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
    Silent(Error),
}

/// What comes next. Only the time in here is waiting for the server.
async fn next<B>(
    rows: &mut BoxStream<'_, Result<B, sqlx::Error>>,
    silence: &mut Silence<'_>,
    outlet: Option<&Outlet>,
) -> Next<B> {
    let arrived = |item| match item {
        None => Next::End,
        Some(Ok(chunk)) => Next::Chunk(chunk),
        Some(Err(error)) => Next::Failed(error),
    };
    // Mostly a row is there already, and a timer would cost more than the row.
    if let Some(item) = rows.next().now_or_never() {
        silence.broken = true;
        return arrived(item);
    }
    if let Ok(item) = tokio::time::timeout(SHORT, rows.next()).await {
        silence.broken = true;
        return arrived(item);
    }
    tokio::select! {
        biased;
        item = rows.next() => {
            silence.broken = true;
            arrived(item)
        }
        () = refused(outlet) => Next::Refused,
        error = silence.lasts() => Next::Silent(error),
    }
}

/// Nothing comes: for how long that may last.
struct Silence<'a> {
    watch: &'a Watch,
    /// Whether rows have come: from then on the server owes bytes. Before that it may sort.
    broken: bool,
}

impl Silence<'_> {
    /// Ends when it has lasted too long.
    async fn lasts(&self) -> Error {
        match self.broken {
            true => self.watch.clone().bytes_missing().await,
            false => self.watch.clone().gone_silent(Haste::None).await,
        }
    }
}
