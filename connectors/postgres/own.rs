//! The transactions that this process holds open itself, in either role and of every connection.
//!
//! The fence of the source asks who may still commit values below what was read. A transaction of
//! our own that only reads cannot. One that loads can, where the loaded table is (part of) what is
//! read, or where its triggers, rules or foreign keys write there: so it says which tables it loads,
//! and the fence decides (`source/fence.rs`).
//!
//! A transaction is known by its virtual id and the start of its server, never by a pid: behind a
//! pooler a pid soon serves somebody else, and after a restart ids begin again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The start of the server, which tells its virtual transactions from those before a restart.
pub(super) const START: &str = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8::text";

/// The key of the transaction that asks: `virtual:3/1234@<start of the server>`.
pub(super) const SELF: &str = "(SELECT 'virtual:' || virtualtransaction || '@' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8::text \
     FROM pg_catalog.pg_locks WHERE locktype = 'virtualxid' AND mode = 'ExclusiveLock' AND granted \
     AND pid = pg_backend_pid() LIMIT 1)";

/// What an own transaction is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It reads a source, in a transaction that cannot write.
    Reading,
    /// It loads these tables: schema and name.
    Loading(Vec<(String, String)>),
}

static OPEN: Mutex<BTreeMap<String, Purpose>> = Mutex::new(BTreeMap::new());

fn open() -> MutexGuard<'static, BTreeMap<String, Purpose>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An own transaction, on record until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    key: String,
}

impl Held {
    /// Puts a transaction on record.
    pub(super) fn new(key: String, purpose: Purpose) -> Held {
        open().insert(key.clone(), purpose);
        Held { key }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        open().remove(&self.key);
    }
}

/// What the transaction is for, where it is an own one.
pub(super) fn purpose(key: &str) -> Option<Purpose> {
    open().get(key).cloned()
}
