//! A writer with faults in its way.

use std::sync::Arc;

use async_trait::async_trait;
use waybill_protocol::{Commit, Payload, Receipt, Result, StreamLoad, Writer};

use super::destination::Faults;
use super::script::Operation;

/// The writer of a scripted destination.
pub(super) struct ScriptedWriter {
    pub(super) inner: Box<dyn Writer>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Writer for ScriptedWriter {
    async fn prepare(&mut self, load: &StreamLoad) -> Result<()> {
        self.faults.around(Operation::Prepare, self.inner.prepare(load)).await
    }

    async fn write(&mut self, stream: &str, payload: Payload) -> Result<()> {
        self.faults.around(Operation::Write, self.inner.write(stream, payload)).await
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Receipt> {
        self.faults.receipt(Operation::Commit, self.inner.commit(commit)).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.faults.around(Operation::Abort, self.inner.abort()).await
    }
}
