//! The contract of a source.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, CatalogStream};
use crate::cursor::CursorValue;
use crate::error::{ErrorRecord, Result};
use crate::outlet::Outlet;
use crate::state::StreamState;
use crate::stream::StreamSelection;
use crate::value::Logical;
use crate::wire::WireForm;

/// One finding of a check: what was looked at, and what is wrong with it, if anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked, in a few words: `connect`, `read public.orders`, `free space`.
    pub check: String,
    /// What was found, in a few words: a server version, a number of files.
    pub detail: String,
    /// What failed; absent when it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// What a person should know although it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl Check {
    /// A check that passed.
    pub fn passed(check: impl Into<String>, detail: impl Into<String>) -> Check {
        Check { check: check.into(), detail: detail.into(), error: None, warning: None }
    }

    /// A check that failed.
    pub fn failed(check: impl Into<String>, error: &crate::Error) -> Check {
        Check {
            check: check.into(),
            detail: error.message().to_owned(),
            error: Some(error.record()),
            warning: None,
        }
    }

    /// Whether it passed.
    pub fn ok(&self) -> bool {
        self.error.is_none()
    }
}

/// How a stream is to be read.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Everything there is.
    Full,
    /// By cursor: `floor ≤ cursor ≤ the end`, as STATE describes for [`StreamState`].
    Cursor {
        /// The cursor column.
        column: String,
        /// Its type.
        logical: Logical,
    },
    /// File by file with a ledger, for sources whose streams are made of files.
    Files,
}

/// A stream as the orchestrator asks a source to read it.
#[derive(Debug, Clone)]
pub struct StreamRead {
    /// What the person selected: `query`, `where`, `lookback`, `null_cursor`, options.
    pub selection: StreamSelection,
    /// The stream's name.
    pub stream: String,
    /// Namespace and name at the source, as the catalog has them.
    pub source: (Option<String>, String),
    /// The columns to send, in this order and of these types. A source that infers types honours
    /// them: a value is parsed as the type asked for, never inferred anew.
    pub schema: SchemaRef,
    /// The primary key; empty where there is none.
    pub primary_key: Vec<String>,
    /// How it is read.
    pub reading: Reading,
    /// Whether an index gives the cursor's order, as the catalog said: the read should then be
    /// ordered and send checkpoints on the way.
    pub ordered: bool,
    /// Read only rows with `from ≤ cursor`; such a run never moves state.
    pub from: Option<CursorValue>,
    /// Read only rows with `cursor < to`; such a run never moves state.
    pub to: Option<CursorValue>,
    /// Send at most this many rows; such a run never moves state.
    pub limit: Option<u64>,
    /// Whether the load goes to a staging table, so that a wider schema costs only a new start.
    pub staged: bool,
    /// The most slices that it may be split into; above 1 only for a staged load.
    pub parts: usize,
    /// The binary form to send rows in, one that [`Source::wire`] offered; absent: as Arrow.
    pub wire: Option<WireForm>,
}

impl StreamRead {
    /// A request for every row of a found stream: staged, in no order, decoded.
    pub fn whole(stream: &CatalogStream, selection: StreamSelection) -> StreamRead {
        StreamRead {
            selection,
            stream: stream.name.clone(),
            source: (stream.namespace.clone(), stream.table.clone()),
            schema: Arc::clone(&stream.schema),
            primary_key: stream.primary_key.clone(),
            reading: Reading::Full,
            ordered: false,
            from: None,
            to: None,
            limit: None,
            staged: true,
            parts: 1,
            wire: None,
        }
    }
}

/// The unit of reading, of retrying and of parallelism.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Unique within the run, and the same for the same work in every attempt.
    pub id: String,
    /// Its streams.
    pub streams: Vec<Arc<StreamRead>>,
    /// Slices with the same group share a snapshot: when one fails, all are planned and read again.
    pub retry_group: Option<String>,
    /// Whether it is read in the cursor's order, with checkpoints on the way.
    pub ordered: bool,
    /// What only the source understands.
    pub detail: serde_json::Value,
}

impl Slice {
    /// A slice that reads all of one stream.
    pub fn whole(stream: Arc<StreamRead>) -> Slice {
        Slice {
            id: stream.stream.clone(),
            ordered: stream.ordered,
            streams: vec![stream],
            retry_group: None,
            detail: serde_json::Value::Null,
        }
    }
}

/// What a source continues from: the last committed state of a slice's streams.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Stream → state; absent: nothing was ever loaded.
    pub streams: std::collections::BTreeMap<String, StreamState>,
    /// (stream, part) → the part's state: the file ledger.
    pub parts: std::collections::BTreeMap<(String, String), serde_json::Value>,
}

/// The rows of a person's own statement.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its first rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows than were asked for.
    pub more: bool,
}

/// A session with a source, for one run.
///
/// **Concurrency.** All methods may be called at the same time from several tasks; `read` is
/// called for several slices at once, never twice at once for the same slice.
/// **Cancellation.** A dropped future, and the context's `cancel`, end a call soon; a query that
/// runs at a server is cancelled there.
/// **Errors** carry a kind; `network`, `timeout` and `rate_limit` are tried again by the
/// orchestrator. A source never retries data on its own and never skips what it cannot read.
#[async_trait]
pub trait Source: Send + Sync {
    /// Looks whether the source can be reached and read; every finding, not only the first bad one.
    /// An `Err` means that the check itself could not be done.
    async fn check(&self) -> Result<Vec<Check>>;

    /// Finds streams. `selections` empty: every stream there is. Otherwise only those, whose
    /// options and queries are taken into account; a name that matches nothing is simply not in
    /// the catalog, and the orchestrator decides what that means.
    async fn discover(&self, selections: &[StreamSelection]) -> Result<Catalog>;

    /// Whether its types are inferred from values, so that [`StreamRead::schema`] may ask for a
    /// wider type than the catalog says and gets it. Pure.
    fn infers(&self) -> bool {
        false
    }

    /// The binary form in which it could send a stream undecoded, where it has one; the orchestrator
    /// asks the destination whether it takes that. Pure.
    fn wire(&self, _read: &StreamRead) -> Option<WireForm> {
        None
    }

    /// Splits streams into slices. Every stream is in at least one slice; no row is in two.
    /// A stream that is not staged is one slice, and so is one read by cursor.
    async fn plan(&self, streams: &[Arc<StreamRead>], progress: &Progress) -> Result<Vec<Slice>>;

    /// Reads a slice into `outlet`, continuing from `progress`, in this order per stream:
    /// one `Schema`, then batches and checkpoints, then `Complete`.
    ///
    /// - Rows of a stream come at least once, each whole. Without changes at the source two reads
    ///   from the same progress send the same rows.
    /// - A checkpoint says: everything of its streams up to this point was sent, and its patch
    ///   continues from here. A stream read in no order has one, after its last batch. A stream
    ///   read in order sends one about every 8 MiB or second.
    /// - An empty input is one `Schema`, a checkpoint where state changes, and `Complete`.
    /// - `Complete` is a promise that nothing is missing. Returning `Ok` without it, except after
    ///   a wider `Schema` or a refused send, is a broken contract.
    /// - When values do not fit the schema that was asked for and the policy is `evolve`, the
    ///   source sends a `Schema` with the wider types and returns; the orchestrator widens the
    ///   table and starts the attempt again with it.
    /// - Where [`StreamRead::wire`] is set, every batch is [`Payload::Wire`](crate::Payload::Wire) in
    ///   that form. Columns that cannot be had in it any more are an error of kind `schema`, to be
    ///   tried again.
    /// - A send that is refused with kind `cancelled` means an orderly stop: return that error. A query
    ///   that works without sending anything is ended then too.
    /// - Where the context's deadlines are for `looking`, a read is a bounded query.
    async fn read(&self, slice: &Slice, progress: &Progress, outlet: &Outlet) -> Result<()>;

    /// Told after each commit what is durable now; a replication slot may be advanced. Its
    /// failure is a warning, and the call may be repeated.
    async fn acknowledge(&self, _progress: &Progress) -> Result<()> {
        Ok(())
    }

    /// Runs one statement of a person's own in a read-only transaction, under the query deadline,
    /// and returns its first `limit` rows. What would write is refused by the system itself, and
    /// several statements in one text are refused before any is run.
    async fn query(&self, _sql: &str, _limit: u64) -> Result<Answer> {
        Err(crate::Error::config("this system answers no queries")
            .hint("look at its streams: `waybill connection preview NAME STREAM`"))
    }

    /// Ends the session; nothing is lost if it is never called.
    async fn close(&self);
}
