//! The writer's thread: numbers, times, redacts, cuts, writes, reports and folds every event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use waybill_protocol::event::{Body, Event, Level};

use super::cut::fit;
use super::journal::Journal;
use super::line::{Line, Place};
use super::log::{LogHeader, Reporter};
use super::memory::memory;
use super::redact::Redactor;
use crate::summary::{Fold, Summary};

/// How long a wanted fsync may be put off while events keep coming: several then share one.
const SYNC_WITHIN: Duration = Duration::from_millis(200);

/// An event and when it happened, which is when it was emitted, not when it was written.
pub(super) struct Stamped {
    pub(super) event: Box<Event>,
    pub(super) ts: DateTime<Utc>,
    pub(super) at: Instant,
}

/// What the writer is asked to do.
pub(super) enum Order {
    Event(Stamped),
    Snapshot(Sender<Summary>),
    Conclude(Stamped, Sender<Summary>),
    Close,
}

/// The one writer of a log.
pub(super) struct Writer {
    header: LogHeader,
    redactor: Redactor,
    reporters: Vec<Box<dyn Reporter>>,
    journal: Journal,
    queue_bytes: Box<dyn FnMut() -> u64 + Send>,
    fold: Fold,
    seq: u64,
    last_ms: u64,
    next_beat: Instant,
    /// Since when an fsync is wanted.
    unsynced: Option<Instant>,
    /// The terminal line, built and folded, to be the last one.
    terminal: Option<(Line, Vec<u8>)>,
    /// What came after the terminal event was built.
    late: Vec<Stamped>,
}

impl Writer {
    pub(super) fn new(
        header: LogHeader,
        redactor: Redactor,
        reporters: Vec<Box<dyn Reporter>>,
        journal: Journal,
        queue_bytes: Box<dyn FnMut() -> u64 + Send>,
    ) -> Writer {
        let next_beat = Instant::now() + header.heartbeat;
        Writer {
            header,
            redactor,
            reporters,
            journal,
            queue_bytes,
            fold: Fold::default(),
            seq: 0,
            last_ms: 0,
            next_beat,
            unsynced: None,
            terminal: None,
            late: Vec::new(),
        }
    }

    /// Works until it is told to close, or until nobody is left to emit.
    pub(super) fn run(mut self, inbox: &Receiver<Order>) {
        while let Some(order) = self.next(inbox) {
            match order {
                Order::Event(stamped) if self.terminal.is_some() => self.late.push(stamped),
                Order::Event(stamped) => self.record(stamped),
                Order::Snapshot(answer) => {
                    self.journal.catch_up();
                    // Whoever asked may have gone; nothing depends on the answer.
                    let _ = answer.send(self.fold.running());
                }
                Order::Conclude(stamped, answer) => {
                    let _ = answer.send(self.conclude(stamped));
                }
                Order::Close => break,
            }
        }
        if let Some((line, bytes)) = self.terminal.take() {
            self.put(&line, &bytes);
        }
        self.journal.sync();
    }

    /// The next order; between orders it beats and syncs.
    fn next(&mut self, inbox: &Receiver<Order>) -> Option<Order> {
        loop {
            if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_WITHIN) {
                self.sync();
            }
            let now = Instant::now();
            if now >= self.next_beat {
                self.beat();
                self.next_beat = now + self.header.heartbeat;
            }
            match inbox.try_recv() {
                Ok(order) => return Some(order),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if self.unsynced.is_some() => {
                    self.sync();
                    continue;
                }
                Err(TryRecvError::Empty) => {}
            }
            match inbox.recv_timeout(self.next_beat.saturating_duration_since(now)) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn sync(&mut self) {
        self.journal.sync();
        self.unsynced = None;
    }

    /// Writes a heartbeat, once the log has begun and while it has not ended.
    fn beat(&mut self) {
        if self.seq == 0 || self.terminal.is_some() {
            return;
        }
        let (memory, queue_bytes) = (memory(), (self.queue_bytes)());
        let event = Event {
            level: Level::Debug,
            body: Body::RunHeartbeat {
                memory_bytes: memory.resident,
                peak_memory_bytes: memory.peak,
                queue_bytes,
            },
            message: "running".to_owned(),
            stream: None,
            phase: None,
            attempt: None,
            span: None,
            parent: None,
            error: None,
        };
        self.record(Stamped { event: Box::new(event), ts: Utc::now(), at: Instant::now() });
    }

    fn record(&mut self, stamped: Stamped) {
        let (line, bytes) = self.build(stamped);
        self.fold.apply(&line);
        self.put(&line, &bytes);
    }

    /// Numbers and times an event and makes it the line that readers will read: redacted first,
    /// then cut, then read back, so that what is folded here is what is folded from the disk.
    fn build(&mut self, stamped: Stamped) -> (Line, Vec<u8>) {
        let since = stamped.at.saturating_duration_since(self.header.clock).as_millis();
        let t_ms = u64::try_from(since).unwrap_or(u64::MAX).max(self.last_ms);
        let place = Place {
            seq: self.seq + 1,
            ts: stamped.ts,
            t_ms,
            run_id: &self.header.run_id,
            connection: &self.header.connection,
        };
        let mut line = Line::of(*stamped.event, place);
        self.redactor.redact_line(&mut line);
        let bytes = fit(&mut line);
        let line = Line::parse(&bytes).unwrap_or(line);
        (line, bytes)
    }

    /// Writes a line that was built, and reports it.
    fn put(&mut self, line: &Line, bytes: &[u8]) {
        self.seq = line.seq;
        self.last_ms = line.t_ms;
        self.journal.write(bytes);
        if is_milestone(line) && self.unsynced.is_none() {
            self.unsynced = Some(Instant::now());
        }
        self.reporters.retain_mut(|reporter| catch_unwind(AssertUnwindSafe(|| reporter.line(line))).is_ok());
    }

    fn conclude(&mut self, stamped: Stamped) -> Summary {
        self.terminal = None;
        for late in std::mem::take(&mut self.late) {
            self.record(late);
        }
        let (line, bytes) = self.build(stamped);
        let mut fold = self.fold.clone();
        fold.apply(&line);
        self.terminal = Some((line, bytes));
        fold.summary()
    }
}

/// What must not be forgotten by the disk once it was said.
fn is_milestone(line: &Line) -> bool {
    matches!(
        line.body,
        Some(
            Body::CheckpointCommitted { .. }
                | Body::StreamPublished { .. }
                | Body::StateMerged { .. }
                | Body::RunFinished { .. }
        )
    )
}
