//! What discovery found.

use arrow_schema::{Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{Logical, NATIVE_KEY};

/// The streams of a source.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// What the source is, independent of where it is reached: part of every state's fingerprint.
    /// The same database behind another host name has the same identity.
    pub identity: String,
    /// Streams, in the source's own order.
    pub streams: Vec<CatalogStream>,
}

/// One stream of a catalog.
#[derive(Debug, Clone)]
pub struct CatalogStream {
    /// Its name, with its namespace where it has one: `public.orders`. A part that itself
    /// contains a dot or a quote is written in double quotes.
    pub name: String,
    /// Its namespace: a schema, a database; absent for files and queries.
    pub namespace: Option<String>,
    /// Its name within the namespace.
    pub table: String,
    /// `table`, `view`, `query`, `files`, …
    pub kind: String,
    /// Columns in the source's order, each of a [`Logical`] type with its native type in the metadata.
    pub schema: SchemaRef,
    /// Columns of the primary key, in key order; empty where there is none.
    pub primary_key: Vec<String>,
    /// Whether the system itself keeps that key unique among all rows of the stream: one read never
    /// sends it twice.
    pub distinct: bool,
    /// Columns that could serve as a cursor, best first.
    pub cursors: Vec<CursorCandidate>,
    /// Estimated rows.
    pub rows: Option<u64>,
    /// Estimated bytes.
    pub bytes: Option<u64>,
    /// What a person should know before loading it (`at_least_once without lookback`, …).
    pub notes: Vec<String>,
}

/// A column that could serve as a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CursorCandidate {
    /// The column.
    pub column: String,
    /// Whether an index gives its order, so that a read can checkpoint in the middle.
    pub indexed: bool,
    /// Why it is proposed.
    pub reason: String,
}

/// A catalog's stream as JSON: for events, `discover --output json`, and the config's proposals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamDescription {
    /// Its name.
    pub name: String,
    /// `table`, `view`, `query`, `files`, …
    pub kind: String,
    /// Its columns.
    pub columns: Vec<ColumnDescription>,
    /// Columns of the primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primary_key: Vec<String>,
    /// Columns that could serve as a cursor, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cursors: Vec<CursorCandidate>,
    /// Estimated rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Estimated bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What a person should know before loading it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One column as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its logical type: `int64`, `decimal(12,2)`, …
    #[serde(rename = "type")]
    pub logical: String,
    /// The source's own name of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<String>,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl CatalogStream {
    /// The JSON form.
    pub fn describe(&self) -> StreamDescription {
        StreamDescription {
            name: self.name.clone(),
            kind: self.kind.clone(),
            columns: describe_columns(&self.schema),
            primary_key: self.primary_key.clone(),
            cursors: self.cursors.clone(),
            rows: self.rows,
            bytes: self.bytes,
            notes: self.notes.clone(),
        }
    }
}

/// The columns of a schema as JSON.
pub fn describe_columns(schema: &Schema) -> Vec<ColumnDescription> {
    schema
        .fields()
        .iter()
        .map(|field| ColumnDescription {
            name: field.name().clone(),
            logical: Logical::of(field).map_or_else(|_| field.data_type().to_string(), |l| l.to_string()),
            native: field.metadata().get(NATIVE_KEY).cloned(),
            nullable: field.is_nullable(),
        })
        .collect()
}

/// Writes one part of a stream's name: quoted only where it has to be.
pub fn quote_part(part: &str) -> String {
    if part.contains(['.', '"']) || part.is_empty() {
        format!("\"{}\"", part.replace('"', "\"\""))
    } else {
        part.to_owned()
    }
}

/// `namespace.table` as a stream's name.
pub fn stream_name(namespace: Option<&str>, table: &str) -> String {
    match namespace {
        Some(namespace) => format!("{}.{}", quote_part(namespace), quote_part(table)),
        None => quote_part(table),
    }
}
