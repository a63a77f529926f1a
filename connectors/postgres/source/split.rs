//! Large tables in ranges that are read side by side, all in one exported snapshot.
//!
//! One transaction locks the tables against TRUNCATE and rewrites, which no snapshot shows rightly,
//! exports its snapshot, and stays open until every range has taken it over.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use waybill_protocol::event::Body;
use waybill_protocol::outlet::{BATCH_ROWS, batch_rows};
use waybill_protocol::{Error, Kind, Level, Reading, Result, Slice, StreamRead};

use super::select;
use crate::postgres::own::{self, Held, Purpose};
use crate::postgres::session::{Server, Session, text};
use crate::postgres::sql;

/// Bytes of a table below which a range of its own is not worth it.
const RANGE_BYTES: u64 = 64 << 20;

/// That size; where batches are made smaller, for tests, ranges are as well.
fn range_bytes() -> u64 {
    (RANGE_BYTES * batch_rows() as u64 / BATCH_ROWS as u64).max(1)
}

/// A range of a table's blocks, in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    /// The exported snapshot.
    pub(super) snapshot: String,
    /// The first block.
    first: u64,
    /// The first block that is not in it; absent: everything that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
}

impl Range {
    /// The range that a slice is, if it is one.
    pub(super) fn of(slice: &Slice) -> Result<Option<Range>> {
        if slice.detail.is_null() {
            return Ok(None);
        }
        let range = Range::deserialize(&slice.detail);
        range.map(Some).map_err(|e| Error::internal("a slice that this source did not plan").cause(e))
    }

    /// It as a condition.
    pub(super) fn condition(&self) -> String {
        let from = format!("q.ctid >= '({},0)'::tid", self.first);
        match self.end {
            Some(end) => format!("{from} AND q.ctid < '({end},0)'::tid"),
            None => from,
        }
    }
}

/// How large a table is.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    blocks: u64,
}

/// A transaction whose snapshot others take over.
pub(super) struct Exported {
    session: Session,
    /// It is one of ours that only reads: no read by cursor has to wait for its end.
    _held: Option<Held>,
    id: String,
    /// Slices that have not taken it over yet.
    waiting: BTreeSet<String>,
}

/// The snapshots that are held open, each until nobody waits for it.
#[derive(Default)]
pub(super) struct Snapshots(tokio::sync::Mutex<Vec<Exported>>);

impl Snapshots {
    /// A slice has taken its snapshot over.
    pub(super) async fn joined(&self, slice: &str, range: &Range) {
        self.leave(|exported| {
            if exported.id == range.snapshot {
                exported.waiting.remove(slice);
            }
        })
        .await;
    }

    async fn leave(&self, change: impl FnMut(&mut Exported)) {
        let mut held = self.0.lock().await;
        held.iter_mut().for_each(change);
        let (done, rest): (Vec<_>, Vec<_>) = held.drain(..).partition(|e| e.waiting.is_empty());
        *held = rest;
        drop(held);
        for mut exported in done {
            exported.session.rollback().await;
            if exported.session.usable() {
                exported.session.release();
            }
        }
    }

    /// Ends every transaction.
    pub(super) async fn close(&self) {
        self.leave(|exported| exported.waiting.clear()).await;
    }

    /// Slices of the streams: several for a table that is large enough, one for each other.
    pub(super) async fn plan(
        &self,
        server: &Arc<Server>,
        streams: &[Arc<StreamRead>],
        whole: impl Fn(&Arc<StreamRead>) -> Slice,
    ) -> Result<Vec<Slice>> {
        let planned: BTreeSet<&str> = streams.iter().map(|read| read.stream.as_str()).collect();
        // What was planned of them before is not read any more.
        self.leave(|e| e.waiting.retain(|id| !planned.contains(stream_of(id)))).await;
        let large: Vec<&Arc<StreamRead>> = streams.iter().filter(|read| may_split(server, read)).collect();
        let mut slices = Vec::new();
        if !large.is_empty() {
            match export(server, &large).await {
                Ok(None) => {}
                Ok(Some((exported, parts))) => {
                    slices = parts;
                    self.0.lock().await.push(exported);
                }
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                // One table that cannot be locked keeps nobody from the others: each read meets its own.
                Err(error) => {
                    let message = format!("large tables are read whole, not in ranges: {error}");
                    let body = Body::Runtime { detail: serde_json::Value::Null };
                    server.ctx.events.emit(Level::Warn, body, message, Some(error.record()));
                }
            }
        }
        let split: BTreeSet<String> =
            slices.iter().flat_map(|s| s.streams.iter().map(|read| read.stream.clone())).collect();
        slices.extend(streams.iter().filter(|read| !split.contains(&read.stream)).map(whole));
        Ok(slices)
    }
}

/// The stream that a slice of this module is of.
fn stream_of(slice: &str) -> &str {
    slice.rsplit_once('#').map_or(slice, |(stream, _)| stream)
}

/// Whether a stream may be read in ranges: the server finds them by their blocks since version 14.
/// Behind a pooler no snapshot can be kept; one connection cannot keep it and read.
fn may_split(server: &Server, read: &StreamRead) -> bool {
    read.parts > 1
        && read.staged
        && read.reading == Reading::Full
        && read.limit.is_none()
        && read.selection.query.is_none()
        && server.facts().version >= 140_000
        && !server.pooler
        && server.pool().max > 1
}

/// Exports a snapshot in which the large ones of the tables are read in ranges; none is large: nothing.
async fn export(server: &Arc<Server>, reads: &[&Arc<StreamRead>]) -> Result<Option<(Exported, Vec<Slice>)>> {
    let mut session = server.session().await?;
    let sized = sizes(&mut session, reads).await?;
    let large: Vec<(&Arc<StreamRead>, Size)> =
        reads.iter().zip(sized).filter_map(|(read, size)| Some((*read, size?))).collect();
    if large.is_empty() {
        session.release();
        return Ok(None);
    }
    let tables: Vec<String> = large.iter().map(|(read, _)| select::table(read)).collect();
    let then = format!(
        "LOCK TABLE {} IN ACCESS SHARE MODE; SELECT pg_export_snapshot(), {}",
        tables.join(", "),
        own::SELF
    );
    let rows = session.begin_bulk("ISOLATION LEVEL REPEATABLE READ READ ONLY", &then).await?;
    let id = rows.last().map(|row| text(row, 0)).transpose()?.flatten();
    let id = id.ok_or_else(|| Error::internal("the server exported no snapshot"))?;
    let key = rows.last().map(|row| text(row, 1)).transpose()?.flatten();
    let held = key.map(|key| Held::new(key, Purpose::Reading));
    let mut slices = Vec::new();
    for (read, size) in large {
        slices.extend(ranges(read, &id, size));
    }
    let waiting = slices.iter().map(|slice| slice.id.clone()).collect();
    Ok(Some((Exported { session, _held: held, id, waiting }, slices)))
}

/// The blocks of each table that is worth it: an ordinary one that nobody inherits from, all of whose
/// columns may be read.
async fn sizes(session: &mut Session, reads: &[&Arc<StreamRead>]) -> Result<Vec<Option<Size>>> {
    let names: Vec<String> = reads
        .iter()
        .enumerate()
        .map(|(n, read)| {
            format!("({n}, {}, {})", sql::literal(select::namespace(read)), sql::literal(&read.source.1))
        })
        .collect();
    // The size of a locked table cannot be asked for without waiting: it is read whole.
    let sql = format!(
        "SELECT coalesce(CASE WHEN c.oid NOT IN (SELECT relation FROM pg_catalog.pg_locks \
           WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL) THEN pg_catalog.pg_relation_size(c.oid) END, 0)::text, \
         current_setting('block_size') FROM (VALUES {}) AS v(n, schema, name) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema \
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name AND c.relkind = 'r' \
           AND NOT c.relhassubclass AND pg_catalog.has_table_privilege(c.oid, 'SELECT') \
           AND c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'heap') ORDER BY v.n",
        names.join(", ")
    );
    let rows = session.query("look how large the tables are", &sql).await?;
    let number =
        |row, at| -> Result<u64> { Ok(text(row, at)?.and_then(|text| text.parse().ok()).unwrap_or(0)) };
    rows.iter()
        .map(|row| {
            let (bytes, block) = (number(row, 0)?, number(row, 1)?.max(1));
            Ok((bytes >= 2 * range_bytes()).then_some(Size { bytes, blocks: bytes / block }))
        })
        .collect()
}

fn ranges(read: &Arc<StreamRead>, snapshot: &str, size: Size) -> Vec<Slice> {
    let Size { bytes, blocks } = size;
    let parts = (bytes / range_bytes()).clamp(1, read.parts as u64);
    let each = blocks.div_ceil(parts);
    let slice = |part: u64| {
        let range = Range {
            snapshot: snapshot.to_owned(),
            first: part * each,
            end: (part + 1 < parts).then_some((part + 1) * each),
        };
        Slice {
            id: format!("{}#{}", read.stream, part + 1),
            retry_group: Some(read.stream.clone()),
            detail: serde_json::to_value(range).unwrap_or_default(),
            ..Slice::whole(Arc::clone(read))
        }
    };
    (0..parts).map(slice).collect()
}
