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
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            query: Duration::from_millis(30_000),
            slow_query: Duration::from_millis(10_000),
            stall: Duration::from_millis(300_000),
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
