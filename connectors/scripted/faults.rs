//! Faults in the way of what a source or a destination is asked to do.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use waybill_protocol::{Context, Receipt, Result};

use super::act;
use super::script::{Fault, Operation};
use super::tally::Tally;

/// The faults of a session and the counts that they go by.
pub(super) struct Faults {
    ctx: Context,
    faults: Vec<Fault>,
    tally: Tally,
}

impl Faults {
    /// Those of a script; counted beside it.
    pub(super) fn new(ctx: Context, faults: Vec<Fault>, script: Option<&Path>) -> Faults {
        Faults { ctx, faults, tally: Tally::of(script) }
    }

    /// Does `work` with the faults that its turn has. Without any, nothing is counted or touched.
    pub(super) async fn around<T>(
        &self,
        at: Operation,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let turn = self.turn(at)?;
        self.strike_all(&turn, false).await?;
        let done = work.await?;
        self.strike_all(&turn, true).await?;
        Ok(done)
    }

    /// The same for what gives a receipt, which may be made to lie: about its rows, or altogether.
    pub(super) async fn receipt(
        &self,
        at: Operation,
        pretended: Receipt,
        work: impl Future<Output = Result<Receipt>> + Send,
    ) -> Result<Receipt> {
        let turn = self.turn(at)?;
        self.strike_all(&turn, false).await?;
        let mut receipt = if turn.iter().any(|fault| fault.lie) { pretended } else { work.await? };
        for fault in turn.iter().filter(|fault| fault.after) {
            receipt.rows.values_mut().for_each(|rows| *rows = rows.saturating_add_signed(fault.extra_rows));
        }
        self.strike_all(&turn, true).await?;
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

    async fn strike_all(&self, turn: &[Fault], after: bool) -> Result<()> {
        for fault in turn.iter().filter(|fault| fault.after == after) {
            self.strike(fault).await?;
        }
        Ok(())
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
