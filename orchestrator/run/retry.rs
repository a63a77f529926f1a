//! When to try again, and after how long.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use waybill_protocol::{Body, Error, Events, Level, Result};

use super::Stop;

/// How often and how patiently a run tries again. Connecting, discovering and preparing, each slice
/// and each publication draw on one budget: what the steps before the streams have used, no stream
/// has any more.
#[derive(Debug)]
pub struct Policy {
    /// Attempts after the first.
    retries: u32,
    /// The first wait; doubled each time up to a minute, ±10 %.
    backoff: Duration,
    /// Retries that the steps before the streams have used.
    spent: AtomicU32,
}

/// The longest wait of our own.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest wait that a peer may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

impl Policy {
    /// So many retries, with this first wait.
    pub fn new(retries: u32, backoff: Duration) -> Policy {
        Policy { retries, backoff, spent: AtomicU32::new(0) }
    }

    /// The wait before the attempt that follows number `attempt` (from 1), or `None` when there is
    /// none: the error is not retryable or the attempts are used up. `jitter` is in -1.0..=1.0.
    pub fn next(&self, attempt: u32, error: &Error, jitter: f64) -> Option<Duration> {
        let used = attempt.saturating_add(self.spent.load(Ordering::SeqCst));
        if !error.retryable() || used > self.retries {
            return None;
        }
        let doubled = self.backoff.saturating_mul(2u32.saturating_pow(used.saturating_sub(1)));
        let wait = doubled.min(LONGEST).mul_f64(1.0 + 0.1 * jitter.clamp(-1.0, 1.0));
        // A peer that names its own pause is not asked before it is over.
        Some(error.asks_to_wait().map_or(wait, |asked| wait.max(asked.min(LONGEST_ASKED))))
    }

    /// Attempts in all that a stream has.
    pub fn attempts(&self) -> u32 {
        self.retries.saturating_sub(self.spent.load(Ordering::SeqCst)).saturating_add(1)
    }

    /// Does a step before the streams, again after a wait while that makes sense.
    pub async fn steadily<T, F>(&self, events: &Events, stop: &Stop, work: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut number = 1;
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(wait) = self.next(1, &error, jitter()) else { return Err(error) };
            let attempts = number + self.attempts() - 1;
            self.spent.fetch_add(1, Ordering::SeqCst);
            number += 1;
            pause(events, stop, Scheduled { next: number, attempts, wait }, error).await?;
        }
    }
}

/// An attempt to come.
#[derive(Debug, Clone, Copy)]
pub struct Scheduled {
    /// Its number.
    pub next: u32,
    /// How many there may be.
    pub attempts: u32,
    /// The wait before it.
    pub wait: Duration,
}

/// Says that and when something is tried again, and waits; a stop ends the wait with the error.
pub async fn pause(events: &Events, stop: &Stop, scheduled: Scheduled, error: Error) -> Result<()> {
    let Scheduled { next, attempts, wait } = scheduled;
    let delay_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let body = Body::RetryScheduled { next_attempt: next, attempts, delay_ms };
    events.emit(Level::Warn, body, format!("{error}; tries again in {delay_ms} ms"), Some(error.record()));
    tokio::select! {
        () = tokio::time::sleep(wait) => Ok(()),
        () = stop.orderly().cancelled() => Err(error),
    }
}

/// A random number in -1.0..=1.0, from the system's randomness behind UUIDs.
pub fn jitter() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() as u32;
    f64::from(bits) / f64::from(u32::MAX) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::Kind;

    #[test]
    fn waits_double_up_to_a_minute_and_end() {
        let policy = Policy::new(9, Duration::from_secs(1));
        let error = Error::new(Kind::Network, "lost");
        let waits: Vec<_> = (1..=10).map(|n| policy.next(n, &error, 0.0).map(|d| d.as_secs())).collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        assert_eq!((&waits[..9], waits[9]), (&expected[..], None));
        assert_eq!(policy.next(1, &Error::new(Kind::Auth, "no"), 0.0), None);
        assert_eq!(Policy::new(0, Duration::ZERO).next(1, &error, 0.0), None);
        // No number of retries and no wait overflows.
        let endless = Policy::new(u32::MAX, Duration::from_secs(u64::MAX / 2));
        assert_eq!(endless.next(u32::MAX, &error, 0.0), Some(LONGEST));
    }

    #[test]
    fn a_wait_varies_by_a_tenth_at_most() {
        let policy = Policy::new(3, Duration::from_secs(1));
        let error = Error::new(Kind::Network, "lost");
        let wait = |jitter| policy.next(1, &error, jitter).unwrap().as_millis();
        assert_eq!([wait(-1.0), wait(0.0), wait(1.0), wait(7.0)], [900, 1000, 1100, 1100]);
        let drawn: Vec<f64> = (0..1000).map(|_| jitter()).collect();
        assert!(drawn.iter().all(|j| (-1.0..=1.0).contains(j)));
        assert!(drawn.iter().any(|j| *j < -0.5) && drawn.iter().any(|j| *j > 0.5));
    }

    #[test]
    fn a_peer_that_names_its_pause_is_left_alone_so_long() {
        let policy = Policy::new(3, Duration::from_secs(1));
        let asked = |seconds| {
            let error = Error::new(Kind::RateLimit, "slow down").wait(Duration::from_secs(seconds));
            policy.next(1, &error, 0.0).unwrap().as_secs()
        };
        assert_eq!([asked(0), asked(90), asked(86_400)], [1, 90, 600]);
    }

    #[tokio::test]
    async fn what_the_first_steps_use_no_stream_has_any_more() {
        let policy = Policy::new(3, Duration::from_millis(1));
        let left = std::cell::Cell::new(2);
        let lost = || Error::new(Kind::Network, "lost");
        let work = || async {
            left.set(left.get() - 1);
            if left.get() >= 0 { Err(lost()) } else { Ok(()) }
        };
        policy.steadily(&Events::none(), &Stop::new(), work).await.unwrap();
        assert_eq!(policy.attempts(), 2);
        assert!(policy.next(1, &lost(), 0.0).is_some());
        assert_eq!(policy.next(2, &lost(), 0.0), None);
        left.set(9);
        assert!(policy.steadily(&Events::none(), &Stop::new(), work).await.is_err());
        assert_eq!(left.get(), 7, "one attempt and the one retry that was left");
    }

    #[tokio::test]
    async fn a_stop_ends_a_wait_at_once_with_the_error_that_led_to_it() {
        let stop = Stop::new();
        let scheduled = Scheduled { next: 2, attempts: 4, wait: Duration::from_secs(3600) };
        let events = Events::none();
        let waiting = pause(&events, &stop, scheduled, Error::new(Kind::Timeout, "silent"));
        let asking = async { stop.ask(crate::run::Ended::Interrupt) };
        let (ended, ()) = tokio::join!(waiting, asking);
        assert_eq!(ended.unwrap_err().kind(), Kind::Timeout);
    }
}
