//! The state of a connection as a document: what `state export` writes and `state import` reads.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waybill_protocol::state::digest;
use waybill_protocol::{CursorValue, Error, FilesDigest, Result, StateRow, StreamState};

/// The newest version of the document that this program knows.
pub const DOCUMENT_VERSION: u64 = 1;

/// How far the streams of a connection were loaded, as its destination said at some moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Waybill state export")]
pub struct StateDocument {
    /// The version of this format: 1.
    pub version: u64,
    /// When it was written: UTC.
    pub exported_at: String,
    /// The connection's name.
    pub connection: String,
    /// The connection's id.
    pub connection_id: String,
    /// The connector of the source.
    pub source: String,
    /// The name of the destination.
    pub destination: String,
    /// Stream → how far it was loaded.
    pub streams: BTreeMap<String, StreamDocument>,
}

/// How far one stream was loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamDocument {
    /// Where the next run starts: what `state import` sets. Absent where there is no cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Value>,
    /// The cursor's type: `int`, `decimal`, `text`, `uuid`, `date`, `timestamp`, `timestamp_tz`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Everything below was loaded for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<CursorValue>,
    /// The highest cursor up to which rows were looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<CursorValue>,
    /// For streams read file by file: what the ledger holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesDigest>,
    /// The table.
    pub table: String,
    /// Rows loaded since the last rebuild.
    pub rows: u64,
    /// The run that wrote the state.
    pub run_id: String,
    /// The commit that wrote it.
    pub commit_id: String,
    /// What the state belongs to: source, stream, cursor, modes, key, filter.
    pub fingerprint: String,
    /// Digest of the whole state, as the destination holds it.
    pub digest: String,
}

impl StreamDocument {
    /// What a row of the destination says.
    pub fn of(row: &StateRow) -> StreamDocument {
        let state = StreamState::from_value(&row.value).unwrap_or_default();
        let kind = state.floor.as_ref().or(state.ceiling.as_ref()).map(|value| value.type_name().to_owned());
        StreamDocument {
            cursor: state.floor.as_ref().map(CursorValue::plain),
            kind,
            floor: state.floor,
            ceiling: state.ceiling,
            files: state.files,
            table: row.table.to_string(),
            rows: row.rows,
            run_id: row.run_id.clone(),
            commit_id: row.commit_id.clone(),
            fingerprint: row.fingerprint.clone(),
            digest: digest(&row.value),
        }
    }
}

impl StateDocument {
    /// The JSON Schema of the document.
    pub fn schema() -> Schema {
        schema_for!(StateDocument)
    }

    /// Reads a document; `name` is where it came from.
    pub fn parse(text: &str, name: &str) -> Result<StateDocument> {
        let hint = "give a file that `waybill state export` wrote";
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::config(format!("{name}: no JSON document: {e}")).hint(hint))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version > DOCUMENT_VERSION => {
                return Err(Error::config(format!(
                    "{name}: version {version} is newer than this program knows ({DOCUMENT_VERSION})"
                ))
                .hint("use the program that wrote it, or a newer one"));
            }
            Some(_) => {}
            None => {
                return Err(Error::config(format!("{name}: no state export: it has no version")).hint(hint));
            }
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            Error::config(format!("{name}: {path}: {}", error.into_inner())).hint(hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use waybill_protocol::TableRef;

    #[test]
    fn a_document_reads_back_and_a_wrong_one_says_where() {
        let floor = Some(CursorValue::TimestampTz(1_714_521_600_123_456));
        let row = StateRow {
            scope: "stream:orders".into(),
            value: StreamState { floor: floor.clone(), ceiling: floor, ..StreamState::default() }.to_value(),
            based_on: None,
            fingerprint: "f".into(),
            run_id: "r".into(),
            commit_id: "c".into(),
            rows: 7,
            table: TableRef { namespace: Some("public".into()), name: "orders".into() },
        };
        let stream = StreamDocument::of(&row);
        assert_eq!(stream.cursor, Some(json!("2024-05-01T00:00:00.123456Z")));
        assert_eq!((stream.kind.as_deref(), stream.table.as_str()), (Some("timestamp_tz"), "public.orders"));
        let document = StateDocument {
            version: DOCUMENT_VERSION,
            exported_at: "2026-01-02T03:04:05Z".into(),
            connection: "crm".into(),
            connection_id: "id".into(),
            source: "postgres".into(),
            destination: "lake".into(),
            streams: BTreeMap::from([("orders".to_owned(), stream)]),
        };
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(StateDocument::parse(&text, "x").unwrap(), document);
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(StateDocument::parse(&newer, "x").unwrap_err().message().contains("newer than this program"));
        let wrong = text.replacen("\"rows\":7", "\"rows\":\"7\"", 1);
        let error = StateDocument::parse(&wrong, "x.json").unwrap_err();
        assert!(error.message().starts_with("x.json: streams.orders.rows: "), "{error}");
        for text in ["", "[]", "{}", "{\"version\": 1}"] {
            assert!(StateDocument::parse(text, "x").is_err(), "{text}");
        }
    }
}
