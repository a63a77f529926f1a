//! One attempt of one slice: takes what the source sends, in order, into the destination.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Body, Delivery, Error, Kind, Level, Message, Origin, Outlet, Patch, Progress, Result, Slice, Writer,
};

use super::commit::Segment;
use super::conform::Conform;
use super::job::StreamJob;
use super::machine::{Machine, Step};
use super::window::Pending;
use super::{Run, staged};

/// How an attempt ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Every stream of the slice is whole.
    Whole,
    /// It was asked to stop, and what was sent before the last checkpoint is durable.
    Stopped,
    /// A stream's columns were widened: the slice starts again.
    Restart,
}

/// The state of one attempt.
pub struct Attempt<'a> {
    pub(super) run: &'a Run,
    pub(super) slice: &'a Slice,
    pub(super) number: u32,
    pub(super) jobs: BTreeMap<String, Arc<StreamJob>>,
    pub(super) writer: Box<dyn Writer>,
    machine: Machine,
    pub(super) loads: BTreeMap<String, Conform>,
    pub(super) pending: BTreeMap<String, Pending>,
    pub(super) segments: BTreeMap<String, Segment>,
    /// Rows that came in this attempt.
    pub(super) read: BTreeMap<String, u64>,
    /// Rows without a cursor that this attempt has met.
    pub(super) null_cursors: BTreeMap<String, u64>,
    pub(super) restart: bool,
}

/// Why an attempt takes no more deliveries.
enum Pumped {
    /// There are none.
    Dry,
    /// The attempt starts again with wider columns.
    Restart,
    /// It is to stop, and no checkpoint will cover what was sent last.
    Abandoned,
}

/// Runs one attempt. `stop` makes the source end in good order.
pub async fn attempt(run: &Run, slice: &Slice, number: u32, stop: CancellationToken) -> Result<Done> {
    let jobs = run.jobs_of(slice)?;
    let single = jobs.values().any(|job| {
        let live = job.live();
        !staged(&live.load) && live.read.reading == waybill_protocol::Reading::Full
    });
    let writer = run.destination.writer(&slice.id).await.map_err(at_destination)?;
    let mut attempt = Attempt {
        run,
        slice,
        number,
        machine: Machine::new(jobs.keys().map(String::as_str), single),
        jobs,
        writer,
        loads: BTreeMap::new(),
        pending: BTreeMap::new(),
        segments: BTreeMap::new(),
        read: BTreeMap::new(),
        null_cursors: BTreeMap::new(),
        restart: false,
    };
    let done = match attempt.drive(stop).await {
        Ok(Done::Whole) => attempt.rest().map(|()| Done::Whole),
        done => done,
    };
    if !matches!(done, Ok(Done::Whole)) {
        // What was not committed goes; the attempt's own outcome says why.
        let _ = attempt.writer.abort().await;
    }
    done
}

impl Attempt<'_> {
    async fn drive(&mut self, stop: CancellationToken) -> Result<Done> {
        let mut progress = Progress::default();
        self.jobs.values().for_each(|job| job.progress(&mut progress));
        let (outlet, mut deliveries) = Outlet::new(self.run.budget.clone(), stop.clone());
        let (source, slice) = (Arc::clone(&self.run.source), self.slice.clone());
        let reading = tokio::spawn(async move { source.read(&slice, &progress, &outlet).await });
        let mut reading = AbortOnDrop(reading);
        let done = match self.pump(&mut deliveries, &stop).await {
            Ok(Pumped::Dry) => {
                let ended = reading.join().await;
                return self.ended(ended, &stop);
            }
            Ok(Pumped::Restart) => Ok(Done::Restart),
            Ok(Pumped::Abandoned) => Ok(Done::Stopped),
            Err(error) => Err(error),
        };
        reading.give_up().await;
        done
    }

    /// Takes deliveries until there are no more, or none of them matters any more.
    async fn pump(
        &mut self,
        deliveries: &mut tokio::sync::mpsc::Receiver<Delivery>,
        stop: &CancellationToken,
    ) -> Result<Pumped> {
        let at_once = self.run.stop.at_once().clone();
        let mut next: Option<Delivery> = None;
        loop {
            let delivery = match next.take() {
                Some(delivery) => Some(delivery),
                None => tokio::select! {
                    biased;
                    () = at_once.cancelled() => return Err(Error::cancelled()),
                    delivery = deliveries.recv() => delivery,
                },
            };
            let Some(delivery) = delivery else { return Ok(Pumped::Dry) };
            let moves = matches!(delivery.message, Message::Batch { .. } | Message::Schema { .. });
            {
                let mut taking = std::pin::pin!(self.take(delivery));
                let taken = tokio::select! {
                    biased;
                    () = stop.cancelled(), if moves => None,
                    taken = &mut taking => Some(taken),
                };
                match taken {
                    Some(taken) => taken?,
                    // Nothing more is sent from now on. Only a checkpoint that waits already makes
                    // the work on what came before it worth its while.
                    None => match deliveries.try_recv() {
                        Ok(waiting) if matches!(waiting.message, Message::Checkpoint { .. }) => {
                            taking.await?;
                            next = Some(waiting);
                        }
                        _ => return Ok(Pumped::Abandoned),
                    },
                }
            }
            if self.restart {
                return Ok(Pumped::Restart);
            }
        }
    }

    /// What the source's end means.
    fn ended(&self, ended: Result<()>, stop: &CancellationToken) -> Result<Done> {
        match ended {
            Err(error) if error.kind() == Kind::Cancelled && stop.is_cancelled() => {
                Ok(if self.machine.whole() { Done::Whole } else { Done::Stopped })
            }
            Err(error) if self.machine.whole() => {
                // Every stream is whole and durable: reading it again could only add rows twice.
                let error = error.origin(Origin::Source);
                let message =
                    format!("slice {} is whole, but the source ended with an error: {error}", self.slice.id);
                let body = Body::Runtime { detail: serde_json::Value::Null };
                self.run.events.emit(Level::Warn, body, message, Some(error.record()));
                Ok(Done::Whole)
            }
            Err(error) => Err(error.origin(Origin::Source)),
            Ok(()) if self.machine.whole() => Ok(Done::Whole),
            Ok(()) if stop.is_cancelled() => Ok(Done::Stopped),
            Ok(()) => self.machine.end().map(|()| Done::Whole),
        }
    }

    async fn take(&mut self, delivery: Delivery) -> Result<()> {
        let (message, held) = delivery.split();
        let step = self.machine.accept(&message)?;
        match (step, message) {
            (Step::Prepare, Message::Schema { stream, schema }) => self.prepare(&stream, &schema).await,
            (Step::Load, Message::Batch { stream, payload }) => {
                let loaded = self.load(&stream, payload).await;
                drop(held);
                loaded
            }
            (Step::Commit, Message::Checkpoint { patch }) => self.commit(&patch).await,
            (Step::Complete, Message::Complete { stream }) => {
                // Nothing new: the table and what the run is based on are written all the same.
                if !self.machine.committed() && self.machine.whole() {
                    self.commit(&Patch::new()).await?;
                }
                let completed = self.writer.complete(&stream);
                or_at_once(self.run, completed).await.map_err(|e| at_destination(e).stream(&stream))
            }
            (_, Message::NextFloor { stream, floor }) => {
                self.pending.entry(stream).or_default().expect_floor(floor);
                Ok(())
            }
            (_, Message::NullCursors { stream, rows }) => {
                *self.null_cursors.entry(stream).or_default() += rows;
                Ok(())
            }
            (_, Message::Reject(reject)) => {
                let job = self.job(&reject.stream)?;
                self.run.rejects.take(&job, &reject, self.number)
            }
            _ => Ok(()),
        }
    }
}

pub(super) async fn or_at_once<T>(run: &Run, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = run.stop.at_once().cancelled() => Err(Error::cancelled()),
        done = work => done,
    }
}

pub(super) fn at_destination(error: Error) -> Error {
    error.origin(Origin::Destination)
}

/// A task that does not outlive its attempt.
struct AbortOnDrop(tokio::task::JoinHandle<Result<()>>);

impl AbortOnDrop {
    /// Ends the task and waits, within bounds, until what it held is let go: a query that runs at
    /// a server is being cancelled then.
    async fn give_up(&mut self) {
        self.0.abort();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), &mut self.0).await;
    }

    async fn join(mut self) -> Result<()> {
        match (&mut self.0).await {
            Ok(ended) => ended,
            Err(e) if e.is_panic() => Err(panicked(e.into_panic())),
            Err(_) => Err(Error::cancelled()),
        }
    }
}

/// A panic as an error: what it said is kept as the cause.
pub fn panicked(payload: Box<dyn std::any::Any + Send>) -> Error {
    let said = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned());
    Error::internal("the connector panicked")
        .cause(said)
        .hint("this is a bug: report it with this run's event log")
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
