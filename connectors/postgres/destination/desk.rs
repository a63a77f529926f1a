//! What the destination's session and its writers share: the server, the fence, the staging tables.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waybill_protocol::{Error, Result, TableRef};

use super::names::{Place, hash8};
use crate::postgres::session::Server;

/// Where tables without a namespace and the bookkeeping tables lie.
pub(super) const DEFAULT_SCHEMA: &str = "public";

/// Shared by everything of one session.
pub(super) struct Desk {
    pub(super) server: Arc<Server>,
    epoch: Mutex<Option<i64>>,
    staged: Mutex<HashMap<String, Staged>>,
}

/// A staging table of this session.
#[derive(Debug, Clone, Default)]
pub(super) struct Staged {
    /// Its columns: name and type; another set makes a new table.
    pub columns: Vec<(String, String)>,
    /// The transactions that wrote into it.
    pub loads: Vec<StagedLoad>,
}

/// One transaction that wrote into a staging table.
#[derive(Debug, Clone)]
pub(super) struct StagedLoad {
    /// The slice whose rows it wrote.
    pub slice: String,
    /// Its id, modulo 2^32 as `xmin` shows it.
    pub xid: String,
    /// How many rows; unknown where the answer to COMMIT was lost.
    pub rows: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    pub(super) fn new(server: Arc<Server>) -> Desk {
        Desk { server, epoch: Mutex::default(), staged: Mutex::default() }
    }

    /// The connection's id: key of everything on record.
    pub(super) fn connection_id(&self) -> &str {
        &self.server.ctx.connection_id
    }

    /// A bookkeeping table, quoted.
    pub(super) fn book(&self, name: &str) -> String {
        Place { schema: DEFAULT_SCHEMA.into(), name: name.into() }.sql()
    }

    /// Where a table lies.
    pub(super) fn place(&self, table: &TableRef) -> Place {
        Place::of(table, DEFAULT_SCHEMA)
    }

    /// The names of all staging tables of this connection begin so.
    pub(super) fn stage_prefix(&self) -> String {
        format!("_waybill_stage_{}_", hash8(&[self.connection_id()]))
    }

    /// The staging table of a stream, beside its table.
    pub(super) fn stage(&self, stream: &str, target: &Place) -> Place {
        target.sibling(format!("{}{}", self.stage_prefix(), hash8(&[stream])))
    }

    pub(super) fn set_epoch(&self, epoch: i64) {
        *lock(&self.epoch) = Some(epoch);
    }

    /// The epoch that this run took.
    pub(super) fn epoch(&self) -> Result<i64> {
        lock(&self.epoch).ok_or_else(|| Error::internal("the destination is written before begin()"))
    }

    /// What is known about a stream's staging table.
    pub(super) fn staged(&self, stream: &str) -> Option<Staged> {
        lock(&self.staged).get(stream).cloned()
    }

    pub(super) fn set_staged(&self, stream: &str, staged: Option<Staged>) {
        let mut all = lock(&self.staged);
        match staged {
            Some(staged) => all.insert(stream.to_owned(), staged),
            None => all.remove(stream),
        };
    }

    /// Notes a transaction that is about to commit rows into a staging table.
    pub(super) fn staging(&self, stream: &str, slice: &str, xid: &str) {
        if let Some(staged) = lock(&self.staged).get_mut(stream) {
            staged.loads.push(StagedLoad { slice: slice.to_owned(), xid: xid.to_owned(), rows: None });
        }
    }

    /// Notes that it took place.
    pub(super) fn staged_rows(&self, stream: &str, xid: &str, rows: u64) {
        if let Some(staged) = lock(&self.staged).get_mut(stream)
            && let Some(load) = staged.loads.iter_mut().find(|load| load.xid == xid)
        {
            load.rows = Some(rows);
        }
    }
}
