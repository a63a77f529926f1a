//! What a session of a connector gets from the run: events, cancellation, deadlines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event::Events;
use crate::tunnel::Tunnel;

/// Limits of waiting; see each field for what it bounds.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Bounds every bounded query: checks, discovery, previews, state. The server is told too.
    pub query: Duration,
    /// A bounded query that finished but took longer is an event at warn.
    pub slow_query: Duration,
    /// Bounds only time waiting for a peer that owes bytes in a bulk read or load; never
    /// back-pressure, never server work that was announced.
    pub stall: Duration,
    /// Whether reads are bounded queries too: where only a look is wanted, as in a preview.
    pub looking: bool,
}

impl Deadlines {
    /// How long to wait for a bounded query. Longer than the system was told: its own words are worth
    /// more than ours, and its connection stays of use.
    pub fn patience(&self) -> Duration {
        self.query + (self.query / 2).clamp(Duration::from_millis(500), Duration::from_secs(2))
    }

    /// What bounds a read, where something does.
    pub fn read(&self) -> Option<Duration> {
        self.looking.then_some(self.query)
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            query: Duration::from_millis(30_000),
            slow_query: Duration::from_millis(10_000),
            stall: Duration::from_millis(300_000),
            looking: false,
        }
    }
}

/// Handed to a connector when a session is opened; valid for that session.
///
/// A connector never opens a log, prints, or reads the environment: what it has to say goes
/// through `events`; what it needs is in its settings or here. Whatever waits listens to `cancel`.
#[derive(Clone)]
pub struct Context {
    /// The run, or a fresh id for a session without a run (a test, a preview).
    pub run_id: String,
    /// The connection's id: key of state, ownership and fence.
    pub connection_id: String,
    /// The connection's name, for people.
    pub connection: String,
    /// `source` or `destination`: the role of this session, for events.
    pub role: &'static str,
    /// Where events go.
    pub events: Events,
    /// Set when the run is to stop at once. An orderly stop reaches a source as an
    /// [`Outlet`](crate::Outlet) that refuses further batches.
    pub cancel: CancellationToken,
    /// Limits of waiting.
    pub deadlines: Deadlines,
    /// The folder that relative paths in settings start at.
    pub base_dir: PathBuf,
    /// How many slices may be read at once.
    pub parallelism: usize,
    /// The way to a server that the settings put behind a tunnel; dialled instead of the server.
    pub tunnel: Option<Arc<dyn Tunnel>>,
}

impl Context {
    /// The command that raises a limit of this connection to so many times what it is now.
    fn raise(&self, policy: &str, now: Duration) -> String {
        let ms = now.as_millis().saturating_mul(4).min(i32::MAX as u128);
        let named = !self.connection.is_empty() && !self.connection.contains(' ');
        match named {
            true => format!("`waybill connection edit {} --set {policy}={ms}`", self.connection),
            false => format!("{policy} under `defaults` of config.json ({ms})"),
        }
    }

    /// What to type so that bounded queries may take longer.
    pub fn raise_query(&self) -> String {
        self.raise("query_timeout_ms", self.deadlines.query)
    }

    /// What to type so that a peer may be silent for longer.
    pub fn raise_stall(&self) -> String {
        self.raise("stall_timeout_ms", self.deadlines.stall)
    }
}
