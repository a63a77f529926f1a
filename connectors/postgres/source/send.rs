//! Batches and checkpoints on their way to the outlet.

use std::time::{Duration, Instant};

use arrow_array::ArrayRef;
use waybill_protocol::outlet::{BATCH_BYTES, BATCH_ROWS, batch_rows};
use waybill_protocol::{
    Change, Logical, Message, Outlet, Patch, Payload, Result, Scope, StreamRead, StreamState,
};

use super::value::cursor_at;
use super::window::Window;

/// How long an ordered read goes on without a checkpoint.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// The bytes after which it sends one sooner.
const CHECKPOINT_BYTES: usize = 2 * BATCH_BYTES;

/// Where the checkpoints of an ordered read come from.
pub(super) struct Checkpoints<'a> {
    /// The window of the attempt.
    pub(super) window: &'a Window,
    /// The cursor's place in the batch.
    pub(super) column: usize,
    /// Its type.
    pub(super) logical: Logical,
}

/// Sends one stream's batches, with checkpoints where it is read in order.
pub(super) struct Sender<'a> {
    outlet: &'a Outlet,
    stream: &'a str,
    checkpoints: Option<Checkpoints<'a>>,
    bytes: usize,
    last: Instant,
}

impl<'a> Sender<'a> {
    /// A sender for one attempt.
    pub(super) fn new(
        outlet: &'a Outlet,
        read: &'a StreamRead,
        checkpoints: Option<Checkpoints<'a>>,
    ) -> Self {
        Sender { outlet, stream: &read.stream, checkpoints, bytes: 0, last: Instant::now() }
    }

    /// Where it sends to.
    pub(super) fn outlet(&self) -> &Outlet {
        self.outlet
    }

    /// The cursor's place in a row, where checkpoints need its last value.
    pub(super) fn cursor(&self) -> Option<usize> {
        self.checkpoints.as_ref().map(|c| c.column)
    }

    /// Whether a checkpoint should come although the batch is small.
    pub(super) fn overdue(&self) -> bool {
        self.checkpoints.is_some() && self.last.elapsed() >= CHECKPOINT_EVERY
    }

    /// Sends a batch and, when it is time, a checkpoint.
    ///
    /// `last` is the cursor of the last row, where the payload does not show it.
    pub(super) async fn batch(&mut self, payload: Payload, last: Option<ArrayRef>) -> Result<()> {
        let reached = match (&self.checkpoints, &payload, &last) {
            (Some(c), Payload::Arrow(batch), _) => {
                let last = batch.num_rows().saturating_sub(1);
                cursor_at(batch.column(c.column), c.logical, last)?.map(|at| c.window.reached(&at))
            }
            (Some(c), _, Some(last)) => cursor_at(last, c.logical, 0)?.map(|at| c.window.reached(&at)),
            _ => None,
        };
        self.bytes += payload.bytes();
        self.outlet.send(Message::Batch { stream: self.stream.to_owned(), payload }).await?;
        if let Some(state) = reached
            && (self.bytes >= CHECKPOINT_BYTES
                || self.last.elapsed() >= CHECKPOINT_EVERY
                || batch_rows() < BATCH_ROWS)
        {
            checkpoint(self.outlet, self.stream, Some(&state)).await?;
            self.bytes = 0;
            self.last = Instant::now();
        }
        Ok(())
    }
}

/// Sends a checkpoint; without a state it changes none.
pub(super) async fn checkpoint(outlet: &Outlet, stream: &str, state: Option<&StreamState>) -> Result<()> {
    let change = state.map(|s| (Scope::Stream(stream.to_owned()), Change::Put(s.to_value())));
    let patch: Patch = change.into_iter().collect();
    outlet.send(Message::Checkpoint { patch }).await
}
