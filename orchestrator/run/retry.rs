//! When to try again, and after how long.

use std::time::Duration;

use waybill_protocol::Error;

/// How often and how patiently a slice is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts after the first.
    pub retries: u32,
    /// The first wait; doubled each time up to a minute, ±10 %.
    pub backoff: Duration,
}

const LONGEST: Duration = Duration::from_secs(60);

impl Policy {
    /// The wait before the attempt that follows number `attempt` (from 1), or `None` when there is
    /// none: the error is not retryable or the attempts are used up. `jitter` is in -1.0..=1.0.
    pub fn next(&self, attempt: u32, error: &Error, jitter: f64) -> Option<Duration> {
        if !error.retryable() || attempt > self.retries {
            return None;
        }
        let doubled = self.backoff.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)));
        Some(doubled.min(LONGEST).mul_f64(1.0 + 0.1 * jitter.clamp(-1.0, 1.0)))
    }

    /// Attempts in all.
    pub fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
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
        let policy = Policy { retries: 9, backoff: Duration::from_secs(1) };
        let error = Error::new(Kind::Network, "lost");
        let waits: Vec<_> = (1..=10).map(|n| policy.next(n, &error, 0.0).map(|d| d.as_secs())).collect();
        assert_eq!(waits[..3], [Some(1), Some(2), Some(4)]);
        assert_eq!(waits[8..], [Some(60), None]);
        assert_eq!(policy.next(1, &error, 1.0), Some(Duration::from_millis(1100)));
        assert_eq!(policy.next(1, &Error::new(Kind::Auth, "no"), 0.0), None);
        assert!((0..100).all(|_| (-1.0..=1.0).contains(&jitter())));
    }
}
