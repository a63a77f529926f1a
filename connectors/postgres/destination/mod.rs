//! PostgreSQL as a destination.
//!
//! Every commit is one transaction on the writer's own connection: rows by binary COPY, then the
//! fence, then state, ledger and window, then COMMIT. Nothing relies on session settings, so a
//! transaction pooler may stand in between.

mod afterwards;
mod bonds;
mod books;
mod carry;
mod check;
mod columns;
mod copy;
mod declare;
mod desk;
mod evolve;
mod ledger;
mod merge;
pub(super) mod names;
pub(super) mod own;
mod patience;
mod pg_type;
mod prepare;
mod publish;
mod records;
mod refill;
mod run_id;
mod snapshots;
mod table;
pub(super) mod tx;
mod widen;
mod wire;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::Field;
use async_trait::async_trait;
use serde_json::Value;
use waybill_protocol::{
    Capabilities, Check, Commit, Context, Destination, Origin, Receipt, Result, StateRow, StreamLoad,
    TableInfo, TableRecord, TableRef, Verdict, WindowEntry, WireForm, Writer,
};

use self::desk::Desk;
use self::tx::Tx;
use super::session::{Server, text};
use super::settings::PostgresSettings;
use super::sql::literal;

/// Where tables without a namespace and the bookkeeping tables lie.
pub(super) const DEFAULT_SCHEMA: &str = desk::DEFAULT_SCHEMA;
/// The bookkeeping tables.
pub(super) const BOOKS: [&str; 5] =
    [books::CONNECTIONS, books::STATE, books::TABLES, books::WINDOW, books::FILES];

/// Opens a session as a destination.
pub(crate) async fn open(ctx: Context, settings: PostgresSettings) -> Result<Box<dyn Destination>> {
    let server = Server::open(ctx, &settings).await?;
    Ok(Box::new(PgDestination { desk: Arc::new(Desk::new(server)) }))
}

struct PgDestination {
    desk: Arc<Desk>,
}

impl Drop for PgDestination {
    fn drop(&mut self) {
        self.desk.server.given_up();
    }
}

#[async_trait]
impl Destination for PgDestination {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            namespaces: true,
            identifier_bytes: 63,
            case_sensitive: true,
            columns: 1600,
            parallel_slices: true,
        }
    }

    fn verdict(&self, field: &Field) -> Verdict {
        columns::verdict(field, self.desk.server.facts().version)
    }

    async fn takes(&self, load: &StreamLoad, form: &WireForm) -> Result<bool> {
        wire::takes(&self.desk, load, form).await.map_err(|e| e.origin(Origin::Destination))
    }

    async fn check(&self) -> Result<Vec<Check>> {
        check::check(&self.desk).await
    }

    async fn begin(&self) -> Result<()> {
        books::begin(&self.desk).await.map_err(|e| e.origin(Origin::Destination))
    }

    async fn states(&self) -> Result<Vec<StateRow>> {
        records::states(&self.desk).await
    }

    async fn tables(&self) -> Result<Vec<TableRecord>> {
        records::tables(&self.desk).await
    }

    async fn inspect(&self, table: &TableRef) -> Result<Option<TableInfo>> {
        table::inspect(&self.desk, &self.desk.place(table)).await
    }

    async fn window(&self, stream: &str) -> Result<Vec<WindowEntry>> {
        records::window(&self.desk, stream).await
    }

    async fn parts(&self, stream: &str) -> Result<BTreeMap<String, Value>> {
        records::parts(&self.desk, stream).await
    }

    async fn writer(&self, slice: &str) -> Result<Box<dyn Writer>> {
        Ok(Box::new(writer::PgWriter::open(Arc::clone(&self.desk), slice).await?))
    }

    async fn publish(&self, load: &StreamLoad, commit: &Commit) -> Result<Receipt> {
        publish::publish(&self.desk, load, commit).await
    }

    async fn committed(&self, scope: &str, commit_id: &str) -> Result<bool> {
        records::committed(&self.desk, scope, commit_id).await.map_err(|e| e.origin(Origin::Destination))
    }

    /// Drops the staging tables of this connection, each on its own: one that is in use stays.
    async fn clean(&self) -> Result<()> {
        let prefix = self.desk.stage_prefix();
        let sql = format!(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND left(c.relname, {}) = {}",
            prefix.len(),
            literal(&prefix)
        );
        let mut session = tx::reading(&self.desk.server).await?;
        let rows = session.query("look for staging tables that were left", &sql).await;
        tx::leave(session).await;
        for row in rows? {
            let Some(name) = text(&row, 0)? else { continue };
            let mut tx = Tx::begin(&self.desk.server).await?;
            if self.desk.epoch().is_ok() {
                books::fence(&self.desk, &mut tx).await?;
            }
            tx.run(patience::LOCK_TIMEOUT).await?;
            if tx.run(&format!("DROP TABLE IF EXISTS {name}")).await.is_ok() {
                tx.commit().await?;
            }
        }
        Ok(())
    }

    async fn write_states(&self, commit: &Commit) -> Result<()> {
        let mut tx = Tx::begin(&self.desk.server).await?;
        books::fence(&self.desk, &mut tx).await?;
        ledger::write(&self.desk, &mut tx, commit).await?;
        tx.commit().await
    }

    async fn close(&self) {
        self.desk.server.close().await;
    }
}

#[cfg(test)]
mod tests;
