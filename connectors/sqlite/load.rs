//! The writer: rows go into a staging table, a commit moves them on in one transaction.
//!
//! Rows of a direct load wait in a temporary table, which SQLite keeps in a file of its own that is
//! gone with the process: waiting rows neither lock nor grow the database. Rows of a load that
//! replaces the table go at once into the table that will take its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use waybill_protocol::{Commit, Disposition, Error, Logical, Payload, Receipt, Result, StreamLoad, Writer};

use super::bind::{MINUS_ZERO, NAN_AS_TEXT};
use super::database::{Database, Stop};
use super::identifier::quote;
use super::session::Session;
use super::stage::{commit_rows, direct, drop_staging, fill, give_up, stage};
use super::{identifier, table};

/// How one stream is loaded by one writer.
pub(crate) struct Plan {
    /// What was asked for.
    pub(crate) load: StreamLoad,
    /// The slice.
    pub(crate) slice: String,
    /// Columns with their types, in the batches' order.
    pub(crate) columns: Vec<(String, Logical)>,
    /// The staging table: quoted and qualified.
    pub(crate) staging: String,
    /// Puts a row into it.
    pub(crate) insert: String,
    /// The name of the staging table's rowid.
    pub(crate) rowid: &'static str,
}

impl Plan {
    fn new(session: &Session, load: &StreamLoad, slice: &str) -> Result<Plan> {
        let columns: Vec<(String, Logical)> = load
            .schema
            .fields()
            .iter()
            .map(|field| Ok((field.name().clone(), Logical::of(field)?)))
            .collect::<Result<_>>()?;
        let staging = match load.disposition {
            Disposition::Replace => staging_table(session, load),
            _ => format!("temp.{}", quote(&format!("_waybill_load_{}", session.number()))),
        };
        let places = columns.len() + usize::from(load.metadata);
        let places: Vec<String> = (1..=places).map(|at| format!("?{at}")).collect();
        let insert = format!("INSERT INTO {staging} VALUES ({})", places.join(", "));
        let rowid = table::rowid_of(load)?;
        Ok(Plan { load: load.clone(), slice: slice.to_owned(), columns, staging, insert, rowid })
    }

    /// Whether its rows go into the table at each commit.
    pub(crate) fn direct(&self) -> bool {
        self.load.disposition == Disposition::Direct
    }
}

/// The staging table of a load that replaces a table.
pub(crate) fn staging_table(session: &Session, load: &StreamLoad) -> String {
    format!("main.{}", quote(&identifier::stage(&session.ctx.connection_id, &load.stream)))
}

/// One attempt to load one slice.
pub(crate) struct SqliteWriter {
    session: Arc<Session>,
    database: Arc<Database>,
    slice: String,
    plans: BTreeMap<String, Arc<Plan>>,
    /// Rows and changed values since the last commit.
    pending: Receipt,
    /// Set when a write failed: what waits is not whole and must not be committed.
    broken: bool,
}

impl SqliteWriter {
    /// A writer for a slice.
    pub(crate) fn new(session: Arc<Session>, database: Arc<Database>, slice: &str) -> SqliteWriter {
        let plans = BTreeMap::new();
        let pending = Receipt::default();
        SqliteWriter { session, database, slice: slice.to_owned(), plans, pending, broken: false }
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session, &Connection, &Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let session = Arc::clone(&self.session);
        let cancel = self.session.ctx.cancel.clone();
        self.database.call(&cancel, move |conn, stop| work(&session, conn, stop)).await
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn prepare(&mut self, load: &StreamLoad) -> Result<()> {
        let plan = Arc::new(Plan::new(&self.session, load, &self.slice)?);
        let before = self.plans.insert(load.stream.clone(), Arc::clone(&plan));
        self.call(move |session, conn, stop| {
            if let Some(before) = before.filter(|before| before.direct()) {
                drop_staging(conn, &before);
            }
            if plan.direct() { direct(session, conn, stop, &plan) } else { stage(session, conn, stop, &plan) }
        })
        .await
        .map_err(|e| e.stream(&load.stream))
    }

    async fn write(&mut self, stream: &str, payload: Payload) -> Result<()> {
        let plan = self.plans.get(stream).map(Arc::clone);
        let plan = plan.ok_or_else(|| Error::internal(format!("stream {stream} was not prepared")))?;
        let Payload::Arrow(batch) = payload else {
            return Err(Error::internal("a payload that SQLite does not take"));
        };
        let rows = batch.num_rows() as u64;
        self.broken = true;
        let changed = self.call(move |session, conn, stop| fill(session, conn, stop, &plan, &batch)).await;
        let changed = changed.map_err(|e| e.stream(stream))?;
        self.broken = false;
        *self.pending.rows.entry(stream.to_owned()).or_default() += rows;
        for (column, changed) in changed {
            for (what, values) in [(NAN_AS_TEXT, changed.nan), (MINUS_ZERO, changed.minus_zero)] {
                if values > 0 {
                    let key = (stream.to_owned(), column.clone(), what.to_owned());
                    *self.pending.coerced.entry(key).or_default() += values;
                }
            }
        }
        Ok(())
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Receipt> {
        if self.broken {
            return Err(Error::internal("a commit after a write that failed"));
        }
        let plans: Vec<Arc<Plan>> = self.plans.values().map(Arc::clone).collect();
        let (commit, waiting) = (commit.clone(), self.pending.rows.clone());
        let committed =
            self.call(move |session, conn, stop| commit_rows(session, conn, stop, &plans, &commit, &waiting));
        let gone = committed.await?;
        Ok(Receipt { gone, ..std::mem::take(&mut self.pending) })
    }

    async fn abort(&mut self) -> Result<()> {
        self.pending = Receipt::default();
        self.broken = false;
        let plans: Vec<Arc<Plan>> = self.plans.values().map(Arc::clone).collect();
        let session = Arc::clone(&self.session);
        // Not under the run's cancellation: this is what follows it.
        let never = tokio_util::sync::CancellationToken::new();
        self.database.call(&never, move |conn, stop| give_up(&session, conn, stop, &plans)).await
    }
}

impl Drop for SqliteWriter {
    fn drop(&mut self) {
        let plans: Vec<Arc<Plan>> = self.plans.values().filter(|p| p.direct()).map(Arc::clone).collect();
        if !plans.is_empty() {
            self.database.post(move |conn| plans.iter().for_each(|plan| drop_staging(conn, plan)));
        }
    }
}
