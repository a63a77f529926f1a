//! The event log of a run: emitters hand events over and go on; one thread writes them.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use waybill_protocol::event::{Emit, Event};
use waybill_protocol::{Error, Origin, Result};

use super::journal::{Health, Journal};
use super::line::Line;
use super::redact::Redactor;
use super::writer::{Order, Stamped, Writer};
use crate::summary::Summary;

/// Time between two heartbeats: well under the ten seconds that readers are promised.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// Gets every line after redaction, in order, on the writer's thread: the terminal, a backend's
/// stream. One that panics gets no more lines.
pub trait Reporter: Send {
    /// One line; it stands in the log already, unless the disk is full.
    fn line(&mut self, line: &Line);
}

/// What every line of a log carries.
#[derive(Debug, Clone)]
pub struct LogHeader {
    /// The run.
    pub run_id: String,
    /// The connection's name.
    pub connection: String,
    /// Start of the run by the steady clock: `t_ms` counts from here.
    pub clock: Instant,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
}

impl LogHeader {
    /// The header of a run that starts now.
    pub fn new(run_id: impl Into<String>, connection: impl Into<String>) -> LogHeader {
        LogHeader {
            run_id: run_id.into(),
            connection: connection.into(),
            clock: Instant::now(),
            heartbeat: HEARTBEAT,
        }
    }
}

/// The open event log of a run. Dropped without [`EventLog::finish`], it writes what was emitted
/// and ends without `run.finished`.
pub struct EventLog {
    orders: Sender<Order>,
    writer: Option<JoinHandle<()>>,
    health: Health,
}

/// Emission into a log; after the log's end it drops what it gets.
struct Sink(Sender<Order>);

impl Emit for Sink {
    fn emit(&self, event: Event) {
        // A log that has ended takes nothing: the run is over.
        let _ = self.0.send(Order::Event(Stamped::now(event)));
    }
}

impl EventLog {
    /// Creates the log and starts its writer. `queue_bytes` tells heartbeats how much data is
    /// between sources and destinations. A file that cannot be written refuses the run.
    pub fn open(
        path: &Path,
        header: LogHeader,
        redactor: Redactor,
        reporters: Vec<Box<dyn Reporter>>,
        queue_bytes: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<(EventLog, Arc<dyn Emit>)> {
        let refused = |error: std::io::Error| {
            Error::config(format!("cannot write the event log {}: {error}", path.display()))
                .hint("free space or make the folder writable, or set RUN_LOGS_DIR to another one")
                .origin(Origin::Orchestrator)
                .cause(error)
        };
        let health = Health::default();
        let journal = Journal::create(path, health.clone()).map_err(refused)?;
        let writer = Writer::new(header, redactor, reporters, journal, Box::new(queue_bytes));
        let (orders, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("event-log".to_owned());
        let writer = thread.spawn(move || writer.run(&inbox)).map_err(refused)?;
        let sink: Arc<dyn Emit> = Arc::new(Sink(orders.clone()));
        Ok((EventLog { orders, writer: Some(writer), health }, sink))
    }

    /// Why lines are missing on disk, while some are. Ask after [`EventLog::snapshot`], which waits
    /// until everything emitted so far was tried.
    pub fn failed(&self) -> Option<String> {
        self.health.failure()
    }

    /// Waits until everything emitted so far is written, and returns its fold: the summary as of
    /// now, of a run that goes on.
    pub fn snapshot(&self) -> Result<Summary> {
        let (answer, summary) = mpsc::channel();
        let _ = self.orders.send(Order::Snapshot(answer));
        summary.recv().map_err(|_| ended())
    }

    /// Builds and folds the terminal event without writing it, and returns the run's summary, to
    /// be written before [`EventLog::finish`] appends the event. May be called again with another
    /// event, when the first one cannot be true any more.
    pub fn conclude(&self, finished: Event) -> Result<Summary> {
        let (answer, summary) = mpsc::channel();
        let _ = self.orders.send(Order::Conclude(Stamped::now(finished), answer));
        summary.recv().map_err(|_| ended())
    }

    /// Appends the terminal event as the last line, fsyncs and ends the writer. What was emitted
    /// after [`EventLog::conclude`] is dropped. Returns why the log is not whole, if it is not.
    pub fn finish(mut self) -> Option<String> {
        self.close();
        self.health.failure()
    }

    fn close(&mut self) {
        let _ = self.orders.send(Order::Close);
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has no more to say, and the summary call has failed by then.
            let _ = writer.join();
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        if self.writer.is_some() {
            self.close();
        }
    }
}

fn ended() -> Error {
    Error::internal("the event log's writer has ended").origin(Origin::Orchestrator)
}

impl Stamped {
    fn now(event: Event) -> Stamped {
        Stamped {
            event: Box::new(event),
            ts: DateTime::<Utc>::from(std::time::SystemTime::now()),
            at: Instant::now(),
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
