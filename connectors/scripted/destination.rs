//! A SQLite destination with faults in its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::Field;
use async_trait::async_trait;
use serde_json::Value;
use waybill_protocol::{
    Capabilities, Check, Commit, Destination, Receipt, Result, StateRow, StreamLoad, TableInfo, TableRecord,
    TableRef, Verdict, WindowEntry, Writer,
};

use super::faults::Faults;
use super::script::Operation;
use super::writer::ScriptedWriter;

/// A session with a SQLite file and faults.
pub(super) struct ScriptedDestination {
    inner: Box<dyn Destination>,
    faults: Arc<Faults>,
}

impl ScriptedDestination {
    pub(super) fn new(inner: Box<dyn Destination>, faults: Faults) -> ScriptedDestination {
        ScriptedDestination { inner, faults: Arc::new(faults) }
    }
}

#[async_trait]
impl Destination for ScriptedDestination {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn verdict(&self, field: &Field) -> Verdict {
        self.inner.verdict(field)
    }

    async fn check(&self) -> Result<Vec<Check>> {
        self.faults.around(Operation::Check, self.inner.check()).await
    }

    async fn begin(&self) -> Result<()> {
        self.faults.around(Operation::Begin, self.inner.begin()).await
    }

    async fn states(&self) -> Result<Vec<StateRow>> {
        self.faults.around(Operation::States, self.inner.states()).await
    }

    async fn tables(&self) -> Result<Vec<TableRecord>> {
        self.inner.tables().await
    }

    async fn inspect(&self, table: &TableRef) -> Result<Option<TableInfo>> {
        self.inner.inspect(table).await
    }

    async fn window(&self, stream: &str) -> Result<Vec<WindowEntry>> {
        self.inner.window(stream).await
    }

    async fn parts(&self, stream: &str) -> Result<BTreeMap<String, Value>> {
        self.inner.parts(stream).await
    }

    async fn writer(&self, slice: &str) -> Result<Box<dyn Writer>> {
        let inner = self.inner.writer(slice).await?;
        Ok(Box::new(ScriptedWriter::new(inner, Arc::clone(&self.faults))))
    }

    async fn publish(&self, load: &StreamLoad, commit: &Commit) -> Result<Receipt> {
        let rows = commit.states.iter().map(|row| (load.stream.clone(), row.rows)).collect();
        let pretended = Receipt { rows, ..Receipt::default() };
        self.faults.receipt(Operation::Publish, pretended, self.inner.publish(load, commit)).await
    }

    async fn committed(&self, scope: &str, commit_id: &str) -> Result<bool> {
        self.faults.around(Operation::Committed, self.inner.committed(scope, commit_id)).await
    }

    async fn clean(&self) -> Result<()> {
        self.inner.clean().await
    }

    async fn write_states(&self, commit: &Commit) -> Result<()> {
        self.inner.write_states(commit).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
