//! Where a source sends what it reads: bounded in bytes, cancellable, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cursor::CursorValue;
use crate::error::{Error, Result};
use crate::state::Patch;
use crate::wire::WireRows;

/// The size at which a batch should be sent, bytes.
pub const BATCH_BYTES: usize = 8 << 20;
/// The rows at which a batch should be sent even when they are few bytes.
pub const BATCH_ROWS: usize = 65_536;

static MOST_ROWS: AtomicUsize = AtomicUsize::new(BATCH_ROWS);

/// The number of rows at which a batch should be sent: [`BATCH_ROWS`], unless it was lowered.
pub fn batch_rows() -> usize {
    MOST_ROWS.load(Ordering::Relaxed)
}

/// Lowers [`batch_rows`] in this process: for tests of what happens at the borders of batches. An
/// ordered read then sends a checkpoint after each.
pub fn limit_batch_rows(rows: usize) {
    MOST_ROWS.store(rows.clamp(1, BATCH_ROWS), Ordering::Relaxed);
}
/// The bytes of batches that may be between all sources and destinations of a run.
pub const RUN_BUDGET_BYTES: usize = 32 << 20;

/// What flows from a source to a destination.
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// The columns of a stream; first message of each stream. Sent again, wider, when values do
    /// not fit: the attempt then starts again with it.
    Schema {
        /// The stream.
        stream: String,
        /// Its columns.
        schema: SchemaRef,
    },
    /// Rows of a stream.
    Batch {
        /// The stream.
        stream: String,
        /// The rows.
        payload: Payload,
    },
    /// Everything up to here was sent; the patch continues from here.
    Checkpoint {
        /// The change of state.
        patch: Patch,
    },
    /// The stream is whole: nothing is missing and nothing follows.
    Complete {
        /// The stream.
        stream: String,
    },
    /// A row that could not be read. The orchestrator counts it against the stream's threshold.
    Reject(Reject),
    /// The floor that the last checkpoint of this attempt will set at least, once it is known: rows
    /// below it need not be remembered in the window. Sent before the first batch of a stream read
    /// by cursor; absent: the floor stays −∞.
    NextFloor {
        /// The stream.
        stream: String,
        /// The floor to come.
        floor: Option<CursorValue>,
    },
    /// Rows left out by rule, for the counters.
    NullCursors {
        /// The stream.
        stream: String,
        /// How many rows have a NULL cursor.
        rows: u64,
    },
}

/// A row that could not be read or loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// The stream.
    pub stream: String,
    /// Where: `data/a.csv:17`, or a key.
    pub place: String,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// Why, without the value.
    pub reason: String,
    /// The row as it came, for the rejects file only.
    pub row: Value,
}

/// The rows of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum Payload {
    /// Decoded rows with the columns of the stream's schema, in its order.
    Arrow(RecordBatch),
    /// Undecoded rows in the form that was agreed on ([`StreamRead::wire`](crate::StreamRead::wire)).
    Wire(WireRows),
}

impl Payload {
    /// Rows in it.
    pub fn rows(&self) -> u64 {
        match self {
            Payload::Arrow(batch) => batch.num_rows() as u64,
            Payload::Wire(wire) => wire.rows,
        }
    }

    /// Bytes that it occupies in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Payload::Arrow(batch) => batch.get_array_memory_size(),
            Payload::Wire(wire) => wire.bytes.capacity(),
        }
    }
}

/// A message with its share of the run's byte budget; the share is given back when it is dropped.
#[derive(Debug)]
pub struct Delivery {
    /// What was sent.
    pub message: Message,
    share: Option<Share>,
}

#[derive(Debug)]
struct Share {
    _permit: OwnedSemaphorePermit,
    bytes: u64,
    queued: Arc<AtomicU64>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Delivery {
    /// Takes the message out and keeps the share until `Held` is dropped.
    pub fn split(self) -> (Message, Held) {
        (self.message, Held { _share: self.share })
    }
}

/// The share of the byte budget of a message that is being loaded.
#[derive(Debug)]
pub struct Held {
    _share: Option<Share>,
}

/// The byte budget that all slices of a run share.
#[derive(Debug, Clone)]
pub struct Budget {
    permits: Arc<Semaphore>,
    queued: Arc<AtomicU64>,
    total: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget { permits: Arc::new(Semaphore::new(bytes)), queued: Arc::default(), total: bytes }
    }

    /// Bytes of batches under way now.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    async fn take(&self, bytes: usize) -> Result<Share> {
        // A single value larger than the budget takes all of it, and so travels alone.
        let wanted = u32::try_from(bytes.clamp(1, self.total)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.permits).acquire_many_owned(wanted).await;
        let permit = permit.map_err(|_| Error::cancelled())?;
        self.queued.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(Share { _permit: permit, bytes: bytes as u64, queued: Arc::clone(&self.queued) })
    }
}

/// The sending end that a source gets for one attempt of one slice.
///
/// `send` waits while the destination is busy (back-pressure) and fails with kind `cancelled`
/// once the run wants an orderly stop or the attempt is over; what was sent before stays valid.
#[derive(Debug, Clone)]
pub struct Outlet {
    sender: mpsc::Sender<Delivery>,
    budget: Budget,
    stop: CancellationToken,
}

impl Outlet {
    /// An outlet and its receiving end. `stop` makes every further send fail.
    pub fn new(budget: Budget, stop: CancellationToken) -> (Outlet, mpsc::Receiver<Delivery>) {
        let (sender, receiver) = mpsc::channel(1);
        (Outlet { sender, budget, stop }, receiver)
    }

    /// Sends one message; see the type for waiting and refusal.
    pub async fn send(&self, message: Message) -> Result<()> {
        let deliver = async {
            let share = match &message {
                Message::Batch { payload, .. } => Some(self.budget.take(payload.bytes()).await?),
                _ => None,
            };
            let sent = self.sender.send(Delivery { message, share }).await;
            sent.map_err(|_| Error::cancelled())
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Error::cancelled()),
            sent = deliver => sent,
        }
    }

    /// Sends decoded rows.
    pub async fn batch(&self, stream: &str, batch: RecordBatch) -> Result<()> {
        self.send(Message::Batch { stream: stream.to_owned(), payload: Payload::Arrow(batch) }).await
    }

    /// Ends once sends are refused; for sources that wait before they have anything to send.
    pub async fn refused(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.sender.closed() => {}
        }
    }

    /// Whether sends are refused already; for sources that read ahead.
    pub fn stopped(&self) -> bool {
        self.stop.is_cancelled() || self.sender.is_closed()
    }
}
