//! How a run is ended from outside: once in good order, twice at once, or by its time budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result};

/// What asked a run to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// SIGHUP.
    Hangup,
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The time budget (`--timeout`) is used up.
    Budget,
}

impl Ended {
    /// The exit code that says so.
    pub fn exit_code(self) -> u8 {
        match self {
            Ended::Hangup => 129,
            Ended::Interrupt => 130,
            Ended::Terminate => 143,
            Ended::Budget => 124,
        }
    }

    /// The signal's name, or what else it was.
    pub fn word(self) -> &'static str {
        match self {
            Ended::Hangup => "SIGHUP",
            Ended::Interrupt => "SIGINT",
            Ended::Terminate => "SIGTERM",
            Ended::Budget => "time budget",
        }
    }

    fn from_number(number: u8) -> Option<Ended> {
        [Ended::Hangup, Ended::Interrupt, Ended::Terminate, Ended::Budget]
            .into_iter()
            .find(|ended| *ended as u8 + 1 == number)
    }
}

/// Shared by the faces, which turn signals into it, and the engine, which obeys it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    orderly: CancellationToken,
    at_once: CancellationToken,
    reason: Arc<AtomicU8>,
    count: Arc<AtomicU8>,
}

impl Stop {
    /// Nothing has been asked yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks to end: in good order the first time, at once the second.
    pub fn ask(&self, why: Ended) {
        let _ = self.reason.compare_exchange(0, why as u8 + 1, Ordering::SeqCst, Ordering::SeqCst);
        if self.count.fetch_add(1, Ordering::SeqCst) > 0 {
            self.at_once.cancel();
        }
        self.orderly.cancel();
    }

    /// What asked first.
    pub fn reason(&self) -> Option<Ended> {
        Ended::from_number(self.reason.load(Ordering::SeqCst))
    }

    /// How often it was asked.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst).into()
    }

    /// Set by the first request: stop reading, commit at the last safe point.
    pub fn orderly(&self) -> &CancellationToken {
        &self.orderly
    }

    /// Set by the second: stop at once.
    pub fn at_once(&self) -> &CancellationToken {
        &self.at_once
    }

    /// Does work that may be given up at any point: the first request ends it.
    ///
    /// # Errors
    /// Those of the work, and `cancelled` once the run was asked to end.
    pub async fn unless_asked<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.orderly.cancelled() => Err(Error::cancelled()),
            done = work => done,
        }
    }

    /// Turns SIGHUP, SIGINT and SIGTERM into requests, for the life of the runtime. Must be called
    /// inside one.
    pub fn listen(&self) -> std::io::Result<()> {
        let kinds = [
            (SignalKind::hangup(), Ended::Hangup),
            (SignalKind::interrupt(), Ended::Interrupt),
            (SignalKind::terminate(), Ended::Terminate),
        ];
        for (kind, ended) in kinds {
            let (mut signals, stop) = (signal(kind)?, self.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    stop.ask(ended);
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_names_the_reason_and_the_second_ends_at_once() {
        let stop = Stop::new();
        assert_eq!(stop.reason(), None);
        stop.ask(Ended::Terminate);
        assert!(stop.orderly().is_cancelled() && !stop.at_once().is_cancelled());
        stop.ask(Ended::Interrupt);
        assert!(stop.at_once().is_cancelled());
        assert_eq!(stop.reason(), Some(Ended::Terminate));
        assert_eq!(stop.reason().unwrap().exit_code(), 143);
    }
}
