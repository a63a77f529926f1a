//! A writer with faults in its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use waybill_protocol::{Commit, Payload, Receipt, Result, StreamLoad, Writer};

use super::faults::Faults;
use super::script::Operation;

/// The writer of a scripted destination.
pub(super) struct ScriptedWriter {
    inner: Box<dyn Writer>,
    faults: Arc<Faults>,
    /// Rows since the last commit: what a lie would have to say.
    rows: BTreeMap<String, u64>,
}

impl ScriptedWriter {
    pub(super) fn new(inner: Box<dyn Writer>, faults: Arc<Faults>) -> ScriptedWriter {
        ScriptedWriter { inner, faults, rows: BTreeMap::new() }
    }
}

#[async_trait]
impl Writer for ScriptedWriter {
    async fn prepare(&mut self, load: &StreamLoad) -> Result<()> {
        self.faults.around(Operation::Prepare, self.inner.prepare(load)).await
    }

    async fn write(&mut self, stream: &str, payload: Payload) -> Result<()> {
        *self.rows.entry(stream.to_owned()).or_default() += payload.rows();
        self.faults.around(Operation::Write, self.inner.write(stream, payload)).await
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Receipt> {
        let pretended = Receipt { rows: std::mem::take(&mut self.rows), ..Receipt::default() };
        self.faults.receipt(Operation::Commit, pretended, self.inner.commit(commit)).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.rows.clear();
        self.faults.around(Operation::Abort, self.inner.abort()).await
    }
}
