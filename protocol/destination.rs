//! The contract of a destination: the truth about what it holds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Field, SchemaRef};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::identity::Identity;
use crate::outlet::Payload;
use crate::source::Check;
use crate::state::StreamState;
use crate::value::Verdict;
use crate::wire::WireForm;

/// What a destination can do.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// Whether tables live in schemas.
    pub namespaces: bool,
    /// Longest name, bytes of UTF-8.
    pub identifier_bytes: usize,
    /// Whether names that differ by case only are different names.
    pub case_sensitive: bool,
    /// Most columns of a table, the run id included.
    pub columns: usize,
    /// Whether several slices of one stream may be loaded at once.
    pub parallel_slices: bool,
}

/// A table at the destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TableRef {
    /// Its schema, where there are schemas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for TableRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::catalog::stream_name(self.namespace.as_deref(), &self.name))
    }
}

/// A column of a table on record: which column of the stream it holds, under which name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnRecord {
    /// The stream's name of it.
    pub source: String,
    /// The table's name of it.
    pub name: String,
    /// Its logical type, as [`Logical`](crate::Logical) writes it.
    pub logical: String,
    /// Whether the stream had it no more when it was last loaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Whether the table says NOT NULL because Waybill declared it: absent where it never did,
    /// false once the stream has, or may have, rows without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_null: Option<bool>,
}

impl ColumnRecord {
    /// A column that the stream has.
    pub fn new(source: &str, name: &str, logical: &str) -> ColumnRecord {
        ColumnRecord {
            source: source.into(),
            name: name.into(),
            logical: logical.into(),
            gone: false,
            not_null: None,
        }
    }
}

/// A row of `_waybill_tables`: who owns a table, and the mapping of names. Fixed at the first load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// The owner.
    pub connection_id: String,
    /// The owner's stream.
    pub stream: String,
    /// The table.
    pub table: TableRef,
    /// Its columns, without `_waybill_run_id`.
    pub columns: Vec<ColumnRecord>,
}

/// What a table at the destination looks like now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// Its columns: name and native type.
    pub columns: Vec<(String, String)>,
    /// Whether it has no rows.
    pub empty: bool,
    /// Objects that depend on it (views, foreign keys), by name.
    pub dependents: Vec<String>,
}

/// A row of `_waybill_state`, written in the transaction that committed the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRow {
    /// The scope's text form.
    pub scope: String,
    /// The state: for a stream a [`StreamState`](crate::StreamState).
    pub value: Value,
    /// Nonce of the instruction, or digest of the config entry, that the run started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<String>,
    /// What makes the value meaningful: source, stream, cursor and its type, modes, key, filter.
    pub fingerprint: String,
    /// The run that wrote it.
    pub run_id: String,
    /// The commit that wrote it.
    pub commit_id: String,
    /// Rows in the table since the last rebuild. What is handed to a commit counts every row sent;
    /// see [`Receipt::gone`].
    pub rows: u64,
    /// The table.
    pub table: TableRef,
}

impl StateRow {
    /// Nonces of the instructions that were carried out, newest last; none where the value is unreadable.
    pub fn carried(&self) -> Vec<String> {
        StreamState::from_value(&self.value).map(|state| state.carried).unwrap_or_default()
    }

    /// Whether the instruction of that nonce was carried out, by the last run or by one before it.
    pub fn carried_out(&self, nonce: &str) -> bool {
        self.based_on.as_deref() == Some(nonce) || self.carried().iter().any(|known| known == nonce)
    }
}

/// How a stream is loaded; fixed for an attempt.
#[derive(Debug, Clone)]
pub struct StreamLoad {
    /// The stream.
    pub stream: String,
    /// The table.
    pub table: TableRef,
    /// Columns of the batches, in order, under the names they have in the table. Columns of the
    /// table that are not among them stay as they are, NULL for new rows.
    pub schema: SchemaRef,
    /// The record to store for the table: owner, names and types, for every column that the table
    /// has had, not only those of `schema`.
    pub record: TableRecord,
    /// The primary key, names of the table; empty where there is none.
    pub key: Vec<String>,
    /// The cursor, name of the table: where a key comes twice in a commit, the higher one wins,
    /// then the later row.
    pub cursor: Option<String>,
    /// Whether rows are inserted or updated by key; otherwise they are added.
    pub upsert: bool,
    /// What happens to the rows: see [`Disposition`].
    pub disposition: Disposition,
    /// Whether a table that exists without an owner on record may be taken over.
    pub adopt: bool,
    /// Whether the table may be owned by another connection too.
    pub shared: bool,
    /// Whether rows carry the run id.
    pub metadata: bool,
    /// Whether the source keeps the key unique itself: no key comes twice in an attempt.
    pub distinct: bool,
    /// The binary form that the rows come in, one that [`Destination::takes`]; absent: as Arrow.
    pub wire: Option<WireForm>,
}

/// Where the rows of a load go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Into the table, visible at each commit.
    Direct,
    /// Into a staging table that `publish` puts in the place of the table.
    Replace,
}

/// An identity kept in `_waybill_window`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowEntry {
    /// The row's identity.
    pub identity: Identity,
    /// How many rows have it; above 1 only where there is no primary key.
    pub count: u32,
    /// The row's cursor, as the JSON of a [`CursorValue`](crate::CursorValue); rows with one cursor
    /// may share it.
    pub cursor: Arc<str>,
}

/// The change to a stream's window in one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowChange {
    /// Forget everything first.
    pub clear: bool,
    /// Identities to forget.
    pub delete: Vec<Identity>,
    /// Identities to keep, replacing an entry of the same identity.
    pub insert: Vec<WindowEntry>,
}

/// What is written together with the data of a commit.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Its id, unique: a UUID.
    pub id: String,
    /// State rows to write, by scope; the row's `commit_id` is this commit's.
    pub states: Vec<StateRow>,
    /// File ledger: (stream, file) → value, `None` to forget it.
    pub parts: Vec<(String, String, Option<Value>)>,
    /// Ledger entries of these streams are forgotten first (a rebuild).
    pub clear_parts: Vec<String>,
    /// Window changes by stream.
    pub windows: BTreeMap<String, WindowChange>,
    /// Rows of the table to delete before the new ones count: (stream, column of the table, text value).
    /// Used when a changed file is loaded again.
    pub deletes: Vec<(String, String, String)>,
    /// Stream → rows that receipts say are in its staging table. One that has another number is not
    /// published. Absent where rows were merged into it.
    pub staged: BTreeMap<String, u64>,
}

impl Commit {
    /// The same commit where the tables have grown by so many rows less than were sent.
    pub fn less(&self, gone: &BTreeMap<String, u64>) -> Cow<'_, Commit> {
        if gone.values().all(|rows| *rows == 0) {
            return Cow::Borrowed(self);
        }
        let mut commit = self.clone();
        for row in &mut commit.states {
            let stream = row.scope.strip_prefix("stream:");
            let less = stream.and_then(|stream| gone.get(stream)).copied().unwrap_or(0);
            row.rows = row.rows.saturating_sub(less);
        }
        Cow::Owned(commit)
    }

    /// The same commit where the table of a stream has so many rows.
    pub fn with_rows(&self, stream: &str, rows: u64) -> Commit {
        let mut commit = self.clone();
        let scope = crate::state::Scope::Stream(stream.to_owned()).to_string();
        commit.states.iter_mut().filter(|row| row.scope == scope).for_each(|row| row.rows = rows);
        commit
    }
}

/// What a commit made durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Stream → rows.
    pub rows: BTreeMap<String, u64>,
    /// (stream, column, what was done) → values changed to fit.
    pub coerced: BTreeMap<(String, String, String), u64>,
    /// Stream → by how much fewer rows the table has grown than were sent: rows of a merge whose key
    /// was there, and rows that `Commit::deletes` removed. The destination has taken them off `rows`
    /// of the stream's state row in the same transaction. Absent where it cannot tell cheaply: that
    /// count is an upper bound from then on.
    pub gone: BTreeMap<String, u64>,
}

/// A session with a destination, for one run.
///
/// **Fence.** [`begin`](Destination::begin) takes it; from then on every commit and publish reads
/// the epoch in the data's own transaction and, when another run has taken the fence since, rolls
/// back with kind `locked`.
/// **Truth.** State, ownership, window and ledger are written in the same transaction as the data
/// they speak of, never before and never after.
/// **Concurrency.** Methods may be called at the same time; writers of different slices work
/// side by side and never wait for each other longer than one write or one commit.
/// **Waiting** for a lock of somebody else is said by the event `lock.waited`.
#[async_trait]
pub trait Destination: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// How it would hold a column. Pure.
    fn verdict(&self, field: &Field) -> Verdict;

    /// Whether a load takes rows in a binary form, so that the table holds the same as if they had
    /// been decoded. Changes nothing.
    async fn takes(&self, _load: &StreamLoad, _form: &WireForm) -> Result<bool> {
        Ok(false)
    }

    /// Looks whether it can be reached and written; every finding. Leaves nothing behind.
    async fn check(&self) -> Result<Vec<Check>>;

    /// Creates the bookkeeping tables where they are missing and takes the fence for this
    /// connection (`epoch + 1`). Called before anything is written; again only where it failed.
    async fn begin(&self) -> Result<()>;

    /// All state rows of this connection; empty where there are no bookkeeping tables yet.
    async fn states(&self) -> Result<Vec<StateRow>>;

    /// Tables on record, of every connection.
    async fn tables(&self) -> Result<Vec<TableRecord>>;

    /// What a table looks like now; `None` where there is none.
    async fn inspect(&self, table: &TableRef) -> Result<Option<TableInfo>>;

    /// The identities kept for a stream.
    async fn window(&self, stream: &str) -> Result<Vec<WindowEntry>>;

    /// The file ledger of a stream: file → value.
    async fn parts(&self, stream: &str) -> Result<BTreeMap<String, Value>>;

    /// A writer for one attempt of one slice.
    async fn writer(&self, slice: &str) -> Result<Box<dyn Writer>>;

    /// Puts the staging table of a [`Disposition::Replace`] load in the place of the table and
    /// writes the commit, in one transaction; a reader sees the old table or the new one, never
    /// none. An existing table keeps its owner, grants and indexes. Builds the primary key; a
    /// duplicate key is an error of kind `data`. The receipt and the state row say how many rows the
    /// table has. Called once per stream, after every slice of it
    /// is complete and committed. `Disposition::Direct` is a broken contract.
    async fn publish(&self, load: &StreamLoad, commit: &Commit) -> Result<Receipt>;

    /// Whether a commit whose acknowledgement was lost took place, looked up under a lock that
    /// waits for it to be over. Reconnects if it has to.
    async fn committed(&self, scope: &str, commit_id: &str) -> Result<bool>;

    /// Removes what unfinished runs of this connection left (staging tables). Best effort.
    async fn clean(&self) -> Result<()>;

    /// Writes state rows without data, in one transaction under the fence (`state` commands,
    /// instructions that load nothing). A row of value `null` is removed.
    async fn write_states(&self, commit: &Commit) -> Result<()>;

    /// Ends the session.
    async fn close(&self);
}

/// One attempt to load one slice. Dropped or aborted, it leaves nothing visible.
///
/// Calls come one at a time: `prepare` for each stream, then writes and commits. For staged loads a
/// commit makes the slice's rows durable in the staging table, invisible until `publish`.
#[async_trait]
pub trait Writer: Send {
    /// Makes the table fit the load: creates it (or a fresh, empty staging table), adds columns,
    /// widens types, checks ownership. The orchestrator has decided that the change is allowed.
    /// A table without an owner on record is refused (kind `permission`) unless `load.adopt`,
    /// one of another connection unless `load.shared`. A table that does not take `load.wire` any
    /// more is an error of kind `schema`, to be tried again.
    async fn prepare(&mut self, load: &StreamLoad) -> Result<()>;

    /// Takes rows. On return they are out of memory or in a bounded buffer; not durable yet. What is
    /// wrong with them may be said by a later call, at the latest by the commit.
    async fn write(&mut self, stream: &str, payload: Payload) -> Result<()>;

    /// Makes everything written since the last commit durable together with `commit`, in one
    /// transaction that checks the fence. When the answer is lost the error is retryable and the
    /// orchestrator asks [`Destination::committed`]; whatever the answer, it calls `abort` before it
    /// uses the writer again.
    async fn commit(&mut self, commit: &Commit) -> Result<Receipt>;

    /// Every row of a direct load was committed: builds what was put off until then (a key). The next
    /// `prepare` does the same where it did not come to this.
    async fn complete(&mut self, _stream: &str) -> Result<()> {
        Ok(())
    }

    /// Gives up everything since the last commit.
    async fn abort(&mut self) -> Result<()>;
}
