//! The history of runs in PostgreSQL: three tables and one that says their layout, in schema `public`
//! beside the bookkeeping of the destination. What the columns mean is in docs/history.md.

mod clean;
mod columns;
mod layout;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use sqlx::Row;
use waybill_protocol::{Check, Context, Error, History, Kind, Origin, Result, RunRecord};

use self::columns::{RUNS, TABLES};
use self::layout::{Layout, NEWEST};
use super::destination::DEFAULT_SCHEMA as SCHEMA;
use super::destination::tx::{Args, Tx};
use super::session::{Server, text};
use super::settings::{PoolSettings, PostgresSettings};
use super::sql::{ident, literal};

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

    async fn looked(&self) -> Result<Vec<Check>> {
        let mut tx = self.begin().await?;
        let (schema, table) = (literal(SCHEMA), literal(&layout::version_table()));
        let owned = "SELECT pg_has_role(c.relowner, 'USAGE')::text FROM pg_catalog.pg_class c WHERE c.oid = to_regclass";
        let rights: Vec<String> = TABLES
            .iter()
            .map(|known| known.sql())
            .chain([layout::version_table()])
            .map(|name| {
                format!(
                    "coalesce(has_table_privilege(to_regclass({name})::oid, 'SELECT') \
                     AND has_table_privilege(to_regclass({name})::oid, 'INSERT') \
                     AND has_table_privilege(to_regclass({name})::oid, 'UPDATE') \
                     AND has_table_privilege(to_regclass({name})::oid, 'DELETE'), true)",
                    name = literal(&name)
                )
            })
            .collect();
        let sql = format!(
            "SELECT pg_is_in_recovery()::text, \
             (has_schema_privilege({schema}, 'CREATE') AND has_schema_privilege({schema}, 'USAGE'))::text, \
             ({rights})::text, to_regclass({table})::text, coalesce(({owned}({table})), 'true')",
            rights = rights.join(" AND ")
        );
        let rows = tx.run(&sql).await?;
        let row = rows.first().ok_or_else(|| Error::internal("no answer to a query without FROM"))?;
        let yes = |index| text(row, index).map(|value| value.as_deref() == Some("true"));
        let server = format!("PostgreSQL {} at {}", self.server.facts().version_text, self.server.target);
        let mut found = vec![Check::passed("connect", server)];
        let user = &self.server.address().user;
        let refused = |what: String| {
            let error = Error::new(Kind::Permission, what).hint(layout::rights(user));
            Check::failed("write the run history", &error.origin(Origin::Destination))
        };
        if yes(0)? {
            let standby = Error::new(Kind::Permission, "the server is a standby and takes no writes");
            found.push(Check::failed("write the run history", &standby.hint("name the primary")));
        } else if !yes(2)? {
            found.push(refused(format!("user {user} may not write the tables of the run history")));
        } else {
            let (absent, may_create, owner) = (text(row, 3)?.is_none(), yes(1)?, yes(4)?);
            let layout = if absent { Layout::Absent } else { layout::look(&mut tx).await? };
            found.push(match layout {
                Layout::Newer(version) => Check::failed("layout", &layout::newer(version, &self.place())),
                Layout::Absent if !may_create => {
                    refused(format!("user {user} may not create tables in schema {SCHEMA}"))
                }
                Layout::Absent => Check::passed("layout", "the first run makes the tables"),
                Layout::Known(version) if version < NEWEST && !owner => refused(format!(
                    "the tables have layout {version}, and only their owner can bring them to {NEWEST}"
                )),
                Layout::Known(version) if version < NEWEST => {
                    Check::passed("layout", format!("the next run brings it from {version} to {NEWEST}"))
                }
                Layout::Known(version) => {
                    let sql = format!("SELECT count(*)::text, max(started_at)::text FROM {}", RUNS.sql());
                    let rows = tx.run(&sql).await?;
                    let field = |at| rows.first().map(|row| text(row, at)).transpose().map(Option::flatten);
                    let newest = field(1)?.map(|newest| format!(", the newest of {newest}"));
                    let count = field(0)?.unwrap_or_default();
                    let newest = newest.unwrap_or_default();
                    Check::passed("layout", format!("{version}; {count} runs{newest}"))
                }
            });
        }
        tx.rollback().await;
        Ok(found)
    }
}

#[async_trait]
impl History for PgHistory {
    fn place(&self) -> String {
        format!("{}, schema {SCHEMA}", self.server.target)
    }

    async fn check(&self) -> Result<Vec<Check>> {
        self.looked().await.map_err(|e| e.origin(Origin::Destination))
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
