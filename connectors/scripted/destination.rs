//! A SQLite destination with faults in its way.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::Field;
use async_trait::async_trait;
use serde_json::Value;
use waybill_protocol::{
    Capabilities, Check, Commit, Context, Destination, Receipt, Result, StateRow, StreamLoad, TableInfo,
    TableRecord, TableRef, Verdict, WindowEntry, Writer,
};

use super::act;
use super::script::{Fault, Operation};
use super::tally::Tally;
use super::writer::ScriptedWriter;

/// The faults of a session and the counts that they go by.
pub(super) struct Faults {
    ctx: Context,
    faults: Vec<Fault>,
    tally: Tally,
}

impl Faults {
    /// Does `work` with the faults that its turn has. Without any, nothing is counted or touched.
    pub(super) async fn around<T>(
        &self,
        at: Operation,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let turn = self.turn(at)?;
        for fault in turn.iter().filter(|fault| !fault.after) {
            self.strike(fault).await?;
        }
        let done = work.await?;
        for fault in turn.iter().filter(|fault| fault.after) {
            self.strike(fault).await?;
        }
        Ok(done)
    }

    /// The same for what gives a receipt, which may be made to lie.
    pub(super) async fn receipt(
        &self,
        at: Operation,
        work: impl Future<Output = Result<Receipt>> + Send,
    ) -> Result<Receipt> {
        let turn = self.turn(at)?;
        for fault in turn.iter().filter(|fault| !fault.after) {
            self.strike(fault).await?;
        }
        let mut receipt = work.await?;
        for fault in turn.iter().filter(|fault| fault.after) {
            receipt.rows.values_mut().for_each(|rows| *rows += fault.extra_rows);
            self.strike(fault).await?;
        }
        Ok(receipt)
    }

    fn turn(&self, at: Operation) -> Result<Vec<Fault>> {
        if !self.faults.iter().any(|fault| fault.at == at) {
            return Ok(Vec::new());
        }
        let number = self.tally.next(&format!("{at:?}"))?;
        let struck = |fault: &&Fault| fault.at == at && fault.nth.is_none_or(|nth| nth == number);
        Ok(self.faults.iter().filter(struck).cloned().collect())
    }

    async fn strike(&self, fault: &Fault) -> Result<()> {
        if let Some(path) = &fault.touch {
            act::touch(&self.ctx.base_dir, path)?;
        }
        if let Some(path) = &fault.wait_for_file {
            act::wait_for_file(&self.ctx, path).await?;
        }
        let until = tokio::time::Instant::now() + Duration::from_millis(fault.wait_ms);
        act::wait_until(&self.ctx, || tokio::time::Instant::now() >= until).await?;
        if fault.panic {
            act::break_off();
        }
        fault.fail.as_ref().map_or(Ok(()), |failure| Err(failure.error()))
    }
}

/// A session with a SQLite file and faults.
pub(super) struct ScriptedDestination {
    inner: Box<dyn Destination>,
    faults: Arc<Faults>,
}

impl ScriptedDestination {
    pub(super) fn new(
        ctx: Context,
        inner: Box<dyn Destination>,
        faults: Vec<Fault>,
        script: Option<PathBuf>,
    ) -> ScriptedDestination {
        let faults = Faults { ctx, faults, tally: Tally::of(script.as_deref()) };
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
        Ok(Box::new(ScriptedWriter { inner, faults: Arc::clone(&self.faults) }))
    }

    async fn publish(&self, load: &StreamLoad, commit: &Commit) -> Result<Receipt> {
        self.faults.receipt(Operation::Publish, self.inner.publish(load, commit)).await
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
