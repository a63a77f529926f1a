//! State: scopes, what a stream's state holds, and the patches that change it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::cursor::CursorValue;

/// The most identities that the window of a stream may hold.
pub const WINDOW_LIMIT: usize = 1_000_000;

/// How many instructions that were carried out a stream's state remembers.
pub const CARRIED_LIMIT: usize = 32;

/// What a piece of state belongs to. Its text form is its key at the destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The connection as a whole.
    Shared,
    /// One stream.
    Stream(String),
    /// One part of a stream, such as a file: kept apart so that slices never overwrite each other.
    Part(String, String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Shared => f.write_str("shared"),
            Scope::Stream(stream) => write!(f, "stream:{stream}"),
            Scope::Part(stream, key) => write!(f, "part:{stream}\u{1f}{key}"),
        }
    }
}

/// The state of one stream: the value that the destination holds in the transaction of the data.
///
/// For reading by cursor it is the window `[floor, ceiling]` in which every loaded identity is
/// known. An absent floor is −∞.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamState {
    /// Everything below was loaded and cannot change: reading starts here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<CursorValue>,
    /// The highest cursor up to which rows were looked for; it never falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<CursorValue>,
    /// Transactions that were open at the source, each with the ceiling before it was first seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<String, Option<CursorValue>>,
    /// The identities kept in `_waybill_window`; filled by the orchestrator, not by a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowDigest>,
    /// For streams read file by file: what the ledger holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesDigest>,
    /// Instructions of the config that were carried out, newest last, at most [`CARRIED_LIMIT`];
    /// filled by the orchestrator, not by a source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<String>,
    /// What only the source understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// How many identities the window holds, and their order-free digest, to notice tampering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowDigest {
    /// Identities.
    pub count: u64,
    /// Wrapping sum of their 128-bit hashes (times their counts), hex.
    pub digest: String,
    /// Version of hash and encoding.
    pub version: u32,
    /// Columns that an identity covers, in order; empty: the whole row, with a count.
    pub columns: Vec<String>,
}

/// What the file ledger of a stream holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesDigest {
    /// Files loaded.
    pub files: u64,
    /// Rows loaded from them.
    pub rows: u64,
    /// Path of the last one in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

impl StreamState {
    /// Reads a stored value. An unknown member is ignored, a misshapen one is an error.
    pub fn from_value(value: &Value) -> Result<StreamState, serde_json::Error> {
        serde_json::from_value(value.clone())
    }

    /// The stored form.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|_| Value::Object(Map::new()))
    }

    /// What a person sees in the config: the floor as a plain value, or the number of files.
    pub fn shown(&self) -> Value {
        match (&self.floor, &self.files) {
            (Some(floor), _) => floor.plain(),
            (None, Some(files)) => serde_json::json!({"files": files.files, "rows": files.rows}),
            (None, None) => self.data.clone().unwrap_or(Value::Null),
        }
    }
}

/// A change to one scope.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The scope's whole new value. For a stream it is a [`StreamState`].
    Put(Value),
    /// The scope is forgotten.
    Remove,
}

/// What a checkpoint changes: scope → change. Scopes that are not named stay.
pub type Patch = BTreeMap<Scope, Change>;

/// The first 16 hex digits of the SHA-256 of a value's canonical JSON (keys sorted, no spaces).
pub fn digest(value: &Value) -> String {
    let hash = Sha256::digest(canonical(value).as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Canonical JSON: keys sorted by their bytes, no white space.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let members: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_keys() {
        assert_eq!(
            digest(&json!({"a": 1, "b": [2, {"d": 4, "c": 3}]})),
            digest(&json!({"b": [2, {"c": 3, "d": 4}], "a": 1}))
        );
        assert_ne!(digest(&json!({"a": 1})), digest(&json!({"a": "1"})));
        assert_eq!(canonical(&json!({"b": "x\"", "a": null})), r#"{"a":null,"b":"x\""}"#);
    }
}
