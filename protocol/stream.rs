//! What a person selects: one entry of a connection's `schema.streams`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cursor::Lookback;

/// How a stream is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Everything, every time.
    #[default]
    FullRefresh,
    /// What is new since the last run: by cursor, or by file.
    Incremental,
}

/// How a stream is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    /// Replace the table, through a staging table and one swap.
    #[default]
    Overwrite,
    /// Add rows.
    Append,
    /// Insert or update by primary key.
    Merge,
}

impl fmt::Display for SyncMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SyncMode::FullRefresh => "full_refresh",
            SyncMode::Incremental => "incremental",
        })
    }
}

impl fmt::Display for WriteMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WriteMode::Overwrite => "overwrite",
            WriteMode::Append => "append",
            WriteMode::Merge => "merge",
        })
    }
}

/// What to do with rows whose cursor is NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullCursor {
    /// Leave them out, and count them.
    #[default]
    Skip,
    /// Read them in every run; needs write mode merge.
    IncludeAlways,
    /// Fail the stream.
    Fail,
}

/// What to do when the columns of a stream are not what was stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaPolicy {
    /// Add new columns, widen types; a column that is gone stays, as NULL for new rows.
    #[default]
    Evolve,
    /// Fail the stream.
    Freeze,
    /// Load the stored columns as they are; leave new ones out.
    Ignore,
}

/// What to do with a row that cannot be loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// Fail the stream, naming the row.
    #[default]
    Fail,
    /// Write it to the rejects file and go on, up to `max_bad_rows`.
    Reject,
}

/// What to do with a table that exists and has no owner on record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// Refuse to change it.
    #[default]
    Refuse,
    /// Take it over.
    Adopt,
}

/// What to do when the table is gone, or empty although rows were loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnEmpty {
    /// Stop: reset loads it again, accept goes on from where it was.
    #[default]
    Refuse,
    /// Go on (for tables that somebody empties on purpose).
    Accept,
}

/// One stream of a connection's selection. What is not here goes to the connector as its own
/// stream options (`path`, `format`, … of `files`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub struct StreamSelection {
    /// The stream's name as `connection discover` shows it (`public.orders`; `public.*` selects
    /// all that match), or, with `query` or `path`, a name of your own.
    pub name: String,
    /// An SQL query of your own in place of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The columns to load, in this order; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// An SQL condition that rows must meet.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How it is read. Default: `full_refresh`.
    #[serde(default)]
    pub mode: SyncMode,
    /// How it is written. Default: `overwrite` for a full refresh; for incremental `merge` where
    /// there is a primary key, else `append`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteMode>,
    /// The column by which new rows are found, for incremental reading of tables and queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The primary key, where the source has none or another one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<Vec<String>>,
    /// How far below the known end to read again in every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookback: Option<Lookback>,
    /// What to do with rows whose cursor is NULL. Default: `skip`.
    #[serde(default)]
    pub null_cursor: NullCursor,
    /// The schema at the destination, where it has schemas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The table at the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What to do when columns change. Default: `evolve`.
    #[serde(default)]
    pub schema_policy: SchemaPolicy,
    /// What to do with a row that cannot be loaded. Default: `fail`.
    #[serde(default)]
    pub on_bad_row: OnBadRow,
    /// How many rows may be rejected before the stream fails. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bad_rows: Option<u64>,
    /// What to do with a table that exists and has no owner on record. Default: `refuse`.
    #[serde(default)]
    pub on_existing: OnExisting,
    /// What to do when the table is gone or empty although rows were loaded. Default: `refuse`.
    #[serde(default)]
    pub on_empty: OnEmpty,
    /// The largest share (0 to 1) by which an overwrite may make the table smaller; more fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_shrink: Option<f64>,
    /// Columns whose values the destination may change to fit; `["*"]` for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_lossy: Vec<String>,
    /// Whether loaded rows carry `_waybill_run_id`. Default: true.
    #[serde(default = "yes")]
    pub metadata: bool,
    /// Whether several connections may load into the table (append or merge only).
    #[serde(default)]
    pub shared: bool,
    /// Whether it is loaded. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The connector's own stream options.
    #[serde(flatten)]
    #[schemars(skip)]
    pub options: Map<String, Value>,
}

fn yes() -> bool {
    true
}

impl StreamSelection {
    /// A selection with every default.
    pub fn named(name: impl Into<String>) -> StreamSelection {
        StreamSelection {
            name: name.into(),
            query: None,
            columns: None,
            filter: None,
            mode: SyncMode::FullRefresh,
            write: None,
            cursor: None,
            primary_key: None,
            lookback: None,
            null_cursor: NullCursor::Skip,
            schema: None,
            table: None,
            schema_policy: SchemaPolicy::Evolve,
            on_bad_row: OnBadRow::Fail,
            max_bad_rows: None,
            on_existing: OnExisting::Refuse,
            on_empty: OnEmpty::Refuse,
            max_shrink: None,
            allow_lossy: Vec::new(),
            metadata: true,
            shared: false,
            enabled: true,
            options: Map::new(),
        }
    }
}
