//! Trying for a lock again and again: each try is short, and between two of them others get their turn.

use std::time::{Duration, Instant};

use waybill_protocol::Error;
use waybill_protocol::event::Body;

use super::tx::{state_of, waited};
use crate::postgres::session::Server;

/// How long each try may keep others waiting behind it.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";
/// The server's code for a lock that it did not get.
pub(super) const NOT_AVAILABLE: &str = "55P03";
/// The first pause between two tries; doubled each time.
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The tries for one lock.
pub(super) struct Tries<'a> {
    server: &'a Server,
    what: String,
    limit: Duration,
    started: Instant,
    pause: Duration,
    number: u32,
}

impl<'a> Tries<'a> {
    /// Before the first try for `what`; no other begins after `limit`.
    pub(super) fn new(server: &'a Server, what: String, limit: Duration) -> Tries<'a> {
        Tries { server, what, limit, started: Instant::now(), pause: PAUSE, number: 1 }
    }

    /// As long as anything may be waited for.
    pub(super) fn patient(server: &'a Server, what: String) -> Tries<'a> {
        Tries::new(server, what, server.ctx.deadlines.stall)
    }

    /// Whether to try again after this error; waits a while first, and says so.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        let elapsed = self.started.elapsed();
        if state_of(error) != NOT_AVAILABLE || elapsed >= self.limit {
            return false;
        }
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let message = format!(
            "{} is in use by others after {} tries in {} ms; tries again in {} ms",
            self.what,
            self.number,
            ms(elapsed),
            ms(self.pause)
        );
        self.server.ctx.events.info(Body::LockWaited { lock: self.what.clone(), ms: ms(elapsed) }, message);
        tokio::select! {
            () = tokio::time::sleep(self.pause) => {}
            () = self.server.ctx.cancel.cancelled() => return false,
        }
        self.number += 1;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// Says how long it took, where there was more than one try.
    pub(super) fn over(&self) {
        if self.number > 1 {
            waited(self.server, &self.what, self.started);
        }
    }
}
