//! The history of runs in PostgreSQL: three tables and one that says their layout, in schema `public`
//! beside the bookkeeping of the destination. What the columns mean is in docs/history.md.

mod check;
mod clean;
mod columns;
mod layout;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use sqlx::Row;
use waybill_protocol::{Check, Context, Error, History, Origin, Result, RunRecord};

use self::columns::RUNS;
use self::layout::Layout;
use super::destination::DEFAULT_SCHEMA as SCHEMA;
use super::destination::tx::{Args, Tx};
use super::session::Server;
use super::settings::{PoolSettings, PostgresSettings};
use super::sql::ident;

/// The table that says the layout.
const VERSION: &str = "waybill_history";

/// Opens a session; changes nothing.
pub(super) async fn open(ctx: Context, mut settings: PostgresSettings) -> Result<Box<dyn History>> {
    // One connection does, and a run's own pool may want several.
    settings.pool = Some(PoolSettings { min: Some(1), max: Some(1) });
    let server = Server::open(ctx, &settings).await.map_err(|e| e.origin(Origin::Destination))?;
    Ok(Box::new(PgHistory { server }))
}

struct PgHistory {
    server: Arc<Server>,
}

impl PgHistory {
    /// A transaction that waits for nobody's lock longer than a query may take.
    async fn begin(&self) -> Result<Tx> {
        let mut tx = Tx::begin(&self.server).await?;
        let ms = self.server.ctx.deadlines.query.as_millis().clamp(1, i32::MAX as u128);
        tx.run(&format!("SET LOCAL lock_timeout = {ms}")).await?;
        Ok(tx)
    }

    fn explained(&self, error: Error) -> Error {
        let error = error.origin(Origin::Destination);
        layout::explained(error, &self.server.address().user, &self.place())
    }

    async fn digests(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>> {
        let mut tx = self.begin().await?;
        match layout::look(&mut tx).await? {
            Layout::Known(_) => {}
            Layout::Absent => {
                tx.rollback().await;
                return Ok(BTreeMap::new());
            }
            Layout::Newer(version) => return Err(layout::newer(version, &self.place())),
        }
        let sql = format!(
            "SELECT run_id, digest FROM {} WHERE run_id IN (SELECT jsonb_array_elements_text($1::text::jsonb))",
            RUNS.sql()
        );
        let ids = clean::cleaned(json!(run_ids), self.server.facts().encoding == "UTF8").to_string();
        let rows = tx.fetch(&sql, Args::default().with(ids)?).await?;
        tx.rollback().await;
        let pair = |row: &sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter()
            .map(pair)
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|e| Error::internal("a row is not as it was asked for").cause(e))
    }
}

#[async_trait]
impl History for PgHistory {
    fn place(&self) -> String {
        format!("{}, schema {SCHEMA}", self.server.target)
    }

    async fn check(&self) -> Result<Vec<Check>> {
        check::check(self).await.map_err(|e| e.origin(Origin::Destination))
    }

    async fn known(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>> {
        self.digests(run_ids).await.map_err(|e| self.explained(e))
    }

    async fn write(&self, runs: &[RunRecord]) -> Result<Vec<String>> {
        let work = async {
            let mut tx = self.begin().await?;
            layout::ensure(&mut tx, &self.place()).await?;
            let written = write::write(&mut tx, runs, self.server.facts().encoding == "UTF8").await?;
            tx.commit().await?;
            Ok(written)
        };
        work.await.map_err(|e| self.explained(e))
    }

    async fn close(&self) {
        self.server.close().await;
    }
}

/// `column = excluded.column` for every column but the key.
fn taken_over() -> String {
    RUNS.each(|column| format!("{name} = excluded.{name}", name = ident(column.name)))
}
