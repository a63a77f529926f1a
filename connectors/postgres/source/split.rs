//! Large tables in ranges that are read side by side, all in one exported snapshot.
//!
//! One transaction locks the tables against TRUNCATE and rewrites, which no snapshot shows rightly,
//! exports its snapshot, and stays open until every range has taken it over.
//!
//! A range of a table with partitions (or heirs) is the same blocks of each of them. Which they are
//! is told by the snapshot and said in the condition: one that is attached meanwhile would else be
//! seen by the ranges that begin later, and by them alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Kind, Level, Reading, Result, Slice, StreamRead};

use super::extent::{Size, members, sizes};
use super::select;
use crate::postgres::own::{self, Held, Purpose};
use crate::postgres::session::{Server, Session, text};

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
    /// The tables behind the name (oids), where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<u32>,
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
        let mut condition = format!("q.ctid >= '({},0)'::tid", self.first);
        if let Some(end) = self.end {
            condition.push_str(&format!(" AND q.ctid < '({end},0)'::tid"));
        }
        if !self.members.is_empty() {
            let members: Vec<String> = self.members.iter().map(u32::to_string).collect();
            condition.push_str(&format!(" AND q.tableoid = ANY ('{{{}}}'::oid[])", members.join(",")));
        }
        condition
    }
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
    let names: Vec<&Arc<StreamRead>> = large.iter().map(|(read, _)| *read).collect();
    let mut members = members(&mut session, &names).await?;
    let mut slices = Vec::new();
    for (read, size) in large {
        slices.extend(ranges(read, &id, &size, &members.remove(&read.stream).unwrap_or_default()));
    }
    let waiting = slices.iter().map(|slice| slice.id.clone()).collect();
    Ok(Some((Exported { session, _held: held, id, waiting }, slices)))
}

fn ranges(read: &Arc<StreamRead>, snapshot: &str, size: &Size, members: &[u32]) -> Vec<Slice> {
    let borders = size.borders(read.parts);
    let firsts = [0].into_iter().chain(borders.iter().copied());
    let ends = borders.iter().copied().map(Some).chain([None]);
    let slice = |(part, (first, end)): (usize, (u64, Option<u64>))| {
        let range = Range { snapshot: snapshot.to_owned(), first, end, members: members.to_vec() };
        Slice {
            id: format!("{}#{}", read.stream, part + 1),
            retry_group: Some(read.stream.clone()),
            detail: serde_json::to_value(range).unwrap_or_default(),
            ..Slice::whole(Arc::clone(read))
        }
    };
    firsts.zip(ends).enumerate().map(slice).collect()
}
