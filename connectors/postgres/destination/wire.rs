//! Rows that come undecoded: whether a table takes them as they are.

use waybill_protocol::wire::POSTGRES_COPY;
use waybill_protocol::{Disposition, Error, Kind, Result, StreamLoad, WireForm};

use super::bonds::bonds;
use super::desk::Desk;
use super::prepare::{self, plain_types};
use super::tx::Tx;
use super::{evolve, table};
use crate::postgres::encode::ColumnPlan;

/// Whether the columns of a table take what comes, byte for byte.
fn alike(plan: &[ColumnPlan], form: &WireForm) -> bool {
    form.format == POSTGRES_COPY
        && !plan.is_empty()
        && plan.iter().map(|column| &column.word).eq(&form.columns)
}

/// Whether the table of a load, as it is or will be made, takes rows in a form.
pub(super) async fn takes(desk: &Desk, load: &StreamLoad, form: &WireForm) -> Result<bool> {
    let mut tx = Tx::begin(&desk.server).await?;
    let plan = plan(desk, &mut tx, load).await;
    tx.rollback().await;
    // What is wrong with the load itself is said when it is prepared.
    Ok(plan?.is_some_and(|plan| alike(&plan, form)))
}

async fn plan(desk: &Desk, tx: &mut Tx, load: &StreamLoad) -> Result<Option<Vec<ColumnPlan>>> {
    let version = tx.server().facts().version;
    let existing = table::describe(tx, &desk.place(&load.table)).await?;
    let kept = match &existing {
        Some(_) if load.disposition == Disposition::Direct => true,
        Some(table) => !bonds(tx, table.oid, load).await?.is_empty(),
        None => false,
    };
    let types = match existing.filter(|_| kept) {
        Some(table) => evolve::changes(load, &table, version).map(|changes| changes.types),
        None => plain_types(load, version),
    };
    Ok(types.and_then(|types| prepare::plan(load, &types)).ok())
}

/// Refuses a table that changed since it was asked.
pub(super) fn verify(load: &StreamLoad, plan: &[ColumnPlan]) -> Result<()> {
    match &load.wire {
        Some(form) if !alike(plan, form) => {
            Err(Error::new(Kind::Schema, format!("the columns of table {} changed just now", load.table))
                .retry(true)
                .hint("the next attempt decodes the rows"))
        }
        _ => Ok(()),
    }
}
