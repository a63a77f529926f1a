//! The way from a blocking reader to the outlet.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde_json::Value;
use tokio::runtime::Handle;
use waybill_protocol::{Message, Outlet, Patch, Reject, Result};

use super::faults::Flaw;

/// Sends what a stream's reader has, waiting where the destination is busy.
pub(super) struct Sink {
    runtime: Handle,
    outlet: Outlet,
    stream: String,
}

impl Sink {
    /// A sink for one stream; called where the runtime is known.
    pub(super) fn new(outlet: &Outlet, stream: &str) -> Sink {
        Sink { runtime: Handle::current(), outlet: outlet.clone(), stream: stream.to_owned() }
    }

    fn send(&self, message: Message) -> Result<()> {
        self.runtime.block_on(self.outlet.send(message))
    }

    /// The columns.
    pub(super) fn schema(&self, schema: SchemaRef) -> Result<()> {
        self.send(Message::Schema { stream: self.stream.clone(), schema })
    }

    /// Rows.
    pub(super) fn batch(&self, batch: RecordBatch) -> Result<()> {
        self.runtime.block_on(self.outlet.batch(&self.stream, batch))
    }

    /// A row that cannot be loaded; `row` is its text as it came.
    pub(super) fn reject(&self, place: String, flaw: Flaw, row: &[u8]) -> Result<()> {
        let row = Value::from(String::from_utf8_lossy(row).into_owned());
        let stream = self.stream.clone();
        self.send(Message::Reject(Reject { stream, place, column: flaw.column, reason: flaw.reason, row }))
    }

    /// Everything up to here was sent.
    pub(super) fn checkpoint(&self, patch: Patch) -> Result<()> {
        self.send(Message::Checkpoint { patch })
    }

    /// The stream is whole.
    pub(super) fn complete(&self) -> Result<()> {
        self.send(Message::Complete { stream: self.stream.clone() })
    }
}
