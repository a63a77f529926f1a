//! One attempt of one slice: a connection of its own, one transaction from commit to commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use waybill_protocol::{
    Commit, Disposition, Error, Kind, Logical, Origin, Payload, RUN_ID_COLUMN, Receipt, Result, StreamLoad,
    Writer,
};

use super::books::{books, explained, fence};
use super::copy::{CHUNK, Copying, Statement, copy_sql};
use super::desk::Desk;
use super::evolve;
use super::ledger;
use super::merge::Merge;
use super::prepare::{self, Ready};
use super::tx::{Args, Tx};
use crate::postgres::encode;
use crate::postgres::pool::Place;
use crate::postgres::session::text;
use crate::postgres::sql::ident;

/// A stream of the slice, ready for rows.
struct Stream {
    load: StreamLoad,
    ready: Ready,
    merge: Option<Merge>,
    copy: Statement,
    /// Rows written since the last commit.
    pending: u64,
    /// Whether the transaction has the temporary table.
    gathering: bool,
}

pub(super) struct PgWriter {
    desk: Arc<Desk>,
    slice: String,
    /// The transaction, unless rows are being copied in it.
    tx: Option<Tx>,
    copying: Option<Copying>,
    streams: BTreeMap<String, Stream>,
    /// A write or commit did not end well: until `abort`, nothing may be committed, because rows
    /// that were taken are gone.
    failed: bool,
    /// With it there is a connection for this writer whenever it needs one.
    _seat: Place,
}

impl PgWriter {
    pub(super) async fn open(desk: Arc<Desk>, slice: &str) -> Result<PgWriter> {
        let seat = desk.server.pool().seat(&desk.server.ctx).await?;
        let (slice, streams) = (slice.to_owned(), BTreeMap::new());
        Ok(PgWriter { desk, slice, tx: None, copying: None, streams, failed: false, _seat: seat })
    }

    fn usable(&self) -> Result<()> {
        if self.failed {
            return Err(Error::internal("a writer is used after a failure without abort()"));
        }
        Ok(())
    }

    async fn transaction(&mut self) -> Result<Tx> {
        match self.tx.take() {
            Some(tx) => Ok(tx),
            None => {
                let mut tx = Tx::begin(&self.desk.server).await?;
                let places = self.streams.values().map(|s| s.ready.place.clone()).chain(books(&self.desk));
                tx.loads(places.map(|place| (place.schema, place.name)).collect());
                Ok(tx)
            }
        }
    }

    /// Ends the copying: what was sent is in the transaction.
    async fn settle(&mut self) -> Result<()> {
        let Some(copying) = self.copying.take() else { return Ok(()) };
        let (stream, sent) = (copying.stream.clone(), copying.sent);
        let (tx, kept) = copying.end().await.map_err(|e| e.stream(&stream))?;
        self.tx = Some(tx);
        self.kept(&stream, kept, sent)
    }

    fn kept(&self, stream: &str, kept: u64, sent: u64) -> Result<()> {
        if kept == sent {
            return Ok(());
        }
        let table = self.streams.get(stream).map(|s| s.load.table.to_string()).unwrap_or_default();
        Err(Error::data(format!("table {table} kept {kept} of {sent} rows"))
            .stream(stream)
            .hint("a trigger of the table drops rows: disable it, or load into another `table`"))
    }

    async fn send(&mut self, stream: &str, payload: Payload) -> Result<()> {
        if self.copying.as_ref().is_some_and(|copying| copying.stream != stream) {
            self.settle().await?;
        }
        let Some(s) = self.streams.get(stream) else {
            return Err(Error::internal("rows of a stream that was not prepared"));
        };
        let sent = payload.rows();
        // COPY has no form for rows without columns.
        if s.ready.plan.is_empty() {
            let kept = self.bare(stream, sent).await?;
            return self.kept(stream, kept, sent);
        }
        let mut copying = match self.copying.take() {
            Some(copying) => copying,
            None => self.copy(stream).await?,
        };
        copying.sent += sent;
        let Some(s) = self.streams.get_mut(stream) else { return Ok(()) };
        match (payload, &s.load.wire) {
            (Payload::Arrow(batch), None) => {
                let ordinal = s.merge.as_ref().map(|_| i64::try_from(s.pending).unwrap_or(i64::MAX));
                let mut rows = encode::Rows::new(stream, &s.ready.plan, &batch, s.load.upsert, ordinal)?;
                let mut more = true;
                while more {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    more = rows.fill(&mut chunk, CHUNK)?;
                    copying.push(chunk).await?;
                }
            }
            (Payload::Wire(rows), Some(_)) => copying.push(rows.bytes).await?,
            _ => return Err(Error::internal("a payload that this destination did not agree to")),
        }
        s.pending += sent;
        self.copying = Some(copying);
        Ok(())
    }

    /// Begins to copy rows of a stream.
    async fn copy(&mut self, stream: &str) -> Result<Copying> {
        let mut tx = self.transaction().await?;
        let Some(s) = self.streams.get_mut(stream) else {
            return Err(Error::internal("rows of a stream that was not prepared"));
        };
        if let Some(merge) = s.merge.as_ref().filter(|_| !s.gathering) {
            tx.run(&merge.create).await.map_err(|e| match e.kind() {
                Kind::Permission => e.hint("merging needs temporary tables: GRANT TEMPORARY ON DATABASE"),
                _ => e,
            })?;
            s.gathering = true;
        }
        Ok(Copying::begin(tx, stream, s.copy.clone()))
    }

    /// Rows without columns; how many there are now.
    async fn bare(&mut self, stream: &str, rows: u64) -> Result<u64> {
        let mut tx = self.transaction().await?;
        let Some(s) = self.streams.get_mut(stream) else { return Ok(0) };
        let count = i64::try_from(rows).unwrap_or(i64::MAX);
        let sql = format!("INSERT INTO {} SELECT FROM generate_series(1, $1::bigint)", s.ready.place.sql());
        let kept = tx.execute(&sql, Args::default().with(count)?).await?;
        s.pending += rows;
        self.tx = Some(tx);
        Ok(kept)
    }

    /// Rows that the new ones take the place of.
    async fn delete(&self, tx: &mut Tx, commit: &Commit, gone: &mut BTreeMap<String, u64>) -> Result<()> {
        // This transaction's id as `xmin` shows it.
        let own = "(txid_current() % 4294967296)::text";
        for (stream, column, value) in &commit.deletes {
            let Some(s) = self.streams.get(stream) else {
                return Err(
                    Error::internal("rows to delete of a stream that was not prepared").stream(stream)
                );
            };
            let textual = s.ready.plan.iter().any(|c| &c.name == column && c.logical == Logical::Text);
            let compared = if textual { ident(column) } else { format!("{}::text", ident(column)) };
            // What this transaction has written itself is the new data. An old row may bear the
            // same transaction id by wrap-around, but then not this run's id.
            let mut new = format!("xmin::text = {own}");
            if s.load.metadata && s.load.disposition == Disposition::Direct {
                new = format!(
                    "{new} AND {} IS NOT DISTINCT FROM current_setting('waybill.run_id', true)",
                    ident(RUN_ID_COLUMN)
                );
            }
            let sql = format!("DELETE FROM {} WHERE {compared} = $1 AND NOT ({new})", s.ready.place.sql());
            let deleted = tx.execute(&sql, Args::default().with(value.as_str())?).await;
            *gone.entry(stream.clone()).or_default() += deleted.map_err(|e| e.stream(stream))?;
        }
        Ok(())
    }

    async fn finish(&mut self, commit: &Commit) -> Result<Receipt> {
        self.settle().await?;
        let mut tx = self.transaction().await?;
        let mut receipt = Receipt::default();
        self.delete(&mut tx, commit, &mut receipt.gone).await?;
        for (name, s) in self.streams.iter().filter(|(_, s)| s.gathering) {
            if let Some(merge) = &s.merge {
                let rows = tx.run(&merge.apply).await.map_err(|e| e.stream(name))?;
                let fresh = rows.first().map(|row| text(row, 0)).transpose()?.flatten();
                if let Some(fresh) = fresh.and_then(|fresh| fresh.parse().ok()) {
                    *receipt.gone.entry(name.clone()).or_default() += s.pending.saturating_sub(fresh);
                }
            }
        }
        // Last, so that nobody has to wait for the fence longer than the ledger takes.
        let xid = fence(&self.desk, &mut tx).await?;
        ledger::write(&self.desk, &mut tx, &commit.less(&receipt.gone)).await?;
        for (name, s) in self.streams.iter().filter(|(_, s)| s.pending > 0) {
            receipt.rows.insert(name.clone(), s.pending);
            if s.load.disposition == Disposition::Replace {
                self.desk.staging(name, &self.slice, &xid);
            }
        }
        tx.commit().await?;
        for (name, rows) in &receipt.rows {
            self.desk.staged_rows(name, &xid, *rows);
        }
        Ok(receipt)
    }

    /// What an error comes from, once its transaction is gone.
    async fn explained(&mut self, error: Error) -> Error {
        drop((self.copying.take(), self.tx.take()));
        explained(&self.desk, error).await.origin(Origin::Destination)
    }

    fn forget_pending(&mut self) {
        for s in self.streams.values_mut() {
            s.pending = 0;
            s.gathering = false;
        }
    }
}

#[async_trait]
impl Writer for PgWriter {
    async fn prepare(&mut self, load: &StreamLoad) -> Result<()> {
        self.usable()?;
        // A transaction of ours must not hold the table that another connection is to change.
        if self.streams.values().any(|s| s.pending > 0) {
            return Err(Error::internal("prepare() between rows and their commit").stream(&load.stream));
        }
        if let Some(tx) = self.tx.take() {
            tx.rollback().await;
            self.forget_pending();
        }
        let ready = prepare::prepare(&self.desk, &self.slice, load).await?;
        let merge = (load.upsert && !ready.keyless).then(|| Merge::of(load, &ready));
        let wire = load.wire.is_some();
        let sql = match &merge {
            Some(merge) => copy_sql(&merge.temp, &ready.plan, !wire, wire),
            None => copy_sql(&ready.place, &ready.plan, false, wire),
        };
        let copy = Statement { sql, frame: encode::frame(&ready.plan, wire) };
        let stream = Stream { load: load.clone(), ready, merge, copy, pending: 0, gathering: false };
        self.streams.insert(load.stream.clone(), stream);
        Ok(())
    }

    async fn write(&mut self, stream: &str, payload: Payload) -> Result<()> {
        self.usable()?;
        if payload.rows() == 0 {
            return Ok(());
        }
        self.failed = true;
        if let Err(error) = self.send(stream, payload).await {
            return Err(self.explained(error).await.stream(stream));
        }
        self.failed = false;
        Ok(())
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Receipt> {
        self.usable()?;
        self.failed = true;
        let receipt = match self.finish(commit).await {
            Ok(receipt) => receipt,
            Err(error) => return Err(self.explained(error).await),
        };
        self.forget_pending();
        self.failed = false;
        Ok(receipt)
    }

    async fn complete(&mut self, stream: &str) -> Result<()> {
        self.usable()?;
        let Some(s) = self.streams.get(stream).filter(|s| s.ready.keyless) else { return Ok(()) };
        if s.load.disposition != Disposition::Direct {
            return Ok(());
        }
        if let Some(tx) = self.tx.take() {
            tx.rollback().await;
        }
        let built = evolve::build_key(&self.desk, &s.load, &s.ready.place).await;
        built.map_err(|e| e.stream(stream).origin(Origin::Destination))
    }

    async fn abort(&mut self) -> Result<()> {
        if let Some(copying) = self.copying.take() {
            copying.abort().await;
        }
        if let Some(tx) = self.tx.take() {
            tx.rollback().await;
        }
        self.forget_pending();
        self.failed = false;
        Ok(())
    }
}
