//! How a stream could be read and written, proposed from what the catalog says of it, and why.

use serde::Serialize;
use serde_json::{Map, Value, json};
use waybill_protocol::{CatalogStream, CursorCandidate, Logical};

/// What is proposed for a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proposal {
    /// Members of its entry in `streams`; the name alone where every default is right.
    pub entry: Map<String, Value>,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// Another way that may suit better, and when.
    pub alternative: Option<(Map<String, Value>, String)>,
}

/// How far below its end a stream is read again where the catalog says that commits may come late.
const LOOKBACK: &str = "10m";

/// Proposes how to read and write a stream. Reading by cursor is proposed only where it finds new
/// and changed rows; where it would miss changes, it is the alternative.
pub fn propose(stream: &CatalogStream) -> Proposal {
    if stream.kind == "files" {
        return files(stream);
    }
    let changes = stream.cursors.iter().find(|candidate| finds_changes(stream, candidate));
    match changes {
        Some(candidate) if !stream.primary_key.is_empty() => by_changes(stream, candidate),
        Some(candidate) => {
            let why = format!(
                "{} tells of changes, but there is no primary key to merge them by: read whole",
                candidate.column
            );
            let alternative = (
                by_cursor(stream, candidate, "append"),
                "where each version of a row may stay: every change is added as a row of its own".to_owned(),
            );
            Proposal { entry: named(stream), reasons: vec![why], alternative: Some(alternative) }
        }
        None => match stream.cursors.first() {
            Some(candidate) => {
                let reason = "no column tells of changed rows: read whole".to_owned();
                let write = if stream.primary_key.is_empty() { "append" } else { "merge" };
                let when = format!(
                    "where rows are only added, never changed: {} ({})",
                    described(stream, candidate),
                    candidate.reason
                );
                Proposal {
                    entry: named(stream),
                    reasons: vec![reason],
                    alternative: Some((by_cursor(stream, candidate, write), when)),
                }
            }
            None => Proposal {
                entry: named(stream),
                reasons: vec!["no column grows: read whole".to_owned()],
                alternative: None,
            },
        },
    }
}

fn by_changes(stream: &CatalogStream, candidate: &CursorCandidate) -> Proposal {
    let mut reasons = vec![
        format!("{}: new and changed rows are found by it", described(stream, candidate)),
        format!("merged by the primary key {}", stream.primary_key.join(", ")),
    ];
    if nullable(stream, &candidate.column) {
        reasons.push(format!("{} may be NULL: such rows are left out and counted", candidate.column));
    }
    if late(stream) {
        reasons.push(format!("the last {LOOKBACK} are read again, since commits may come late"));
    }
    let when =
        "where deleted rows must go too: rows deleted at the source do not arrive by cursor".to_owned();
    Proposal {
        entry: by_cursor(stream, candidate, "merge"),
        reasons,
        alternative: Some((named(stream), when)),
    }
}

fn files(stream: &CatalogStream) -> Proposal {
    let mut entry = named(stream);
    entry.extend([("mode".to_owned(), json!("incremental")), ("write".to_owned(), json!("append"))]);
    Proposal {
        entry: named(stream),
        reasons: vec!["files: all of them are read in every run".to_owned()],
        alternative: Some((entry, "where files are added and never changed: each is loaded once".to_owned())),
    }
}

fn named(stream: &CatalogStream) -> Map<String, Value> {
    Map::from_iter([("name".to_owned(), json!(stream.name))])
}

fn by_cursor(stream: &CatalogStream, candidate: &CursorCandidate, write: &str) -> Map<String, Value> {
    let mut entry = named(stream);
    for (key, value) in [("mode", "incremental"), ("write", write), ("cursor", candidate.column.as_str())] {
        entry.insert(key.to_owned(), json!(value));
    }
    if late(stream) && is_time(stream, &candidate.column) {
        entry.insert("lookback".to_owned(), json!(LOOKBACK));
    }
    entry
}

/// `updated_at is indexed and a timestamp`.
fn described(stream: &CatalogStream, candidate: &CursorCandidate) -> String {
    let what = match logical(stream, &candidate.column) {
        Some(Logical::Timestamp | Logical::TimestampTz) => "a timestamp",
        Some(Logical::Date) => "a date",
        Some(Logical::Int16 | Logical::Int32 | Logical::Int64) => "a whole number",
        _ => "in an order",
    };
    let indexed = if candidate.indexed { "indexed and " } else { "" };
    format!("{} is {indexed}{what}", candidate.column)
}

fn finds_changes(stream: &CatalogStream, candidate: &CursorCandidate) -> bool {
    let name = candidate.column.to_ascii_lowercase();
    let named = ["updat", "modif", "chang", "touched"].iter().any(|word| name.contains(word));
    named && is_time(stream, &candidate.column)
}

fn is_time(stream: &CatalogStream, column: &str) -> bool {
    matches!(logical(stream, column), Some(Logical::Timestamp | Logical::TimestampTz))
}

fn logical(stream: &CatalogStream, column: &str) -> Option<Logical> {
    stream.schema.field_with_name(column).ok().and_then(|field| Logical::of(field).ok())
}

fn nullable(stream: &CatalogStream, column: &str) -> bool {
    stream.schema.field_with_name(column).is_ok_and(|field| field.is_nullable())
}

fn late(stream: &CatalogStream) -> bool {
    stream.notes.iter().any(|note| note.contains("lookback"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::Schema;
    use std::sync::Arc;

    fn stream(key: &[&str], cursors: &[(&str, bool)]) -> CatalogStream {
        let fields = vec![
            Logical::Int64.field("id", false, ""),
            Logical::TimestampTz.field("updated_at", true, ""),
            Logical::TimestampTz.field("created_at", false, ""),
        ];
        let candidate = |(column, indexed): &(&str, bool)| CursorCandidate {
            column: (*column).to_owned(),
            indexed: *indexed,
            reason: "filled by a sequence".to_owned(),
        };
        CatalogStream {
            name: "public.orders".to_owned(),
            namespace: Some("public".to_owned()),
            table: "orders".to_owned(),
            kind: "table".to_owned(),
            schema: Arc::new(Schema::new(fields)),
            primary_key: key.iter().map(|key| (*key).to_owned()).collect(),
            distinct: false,
            cursors: cursors.iter().map(candidate).collect(),
            rows: None,
            bytes: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_time_of_changes_with_a_key_is_read_by_cursor_and_merged() {
        let mut orders = stream(&["id"], &[("id", true), ("updated_at", true)]);
        let proposal = propose(&orders);
        assert_eq!(
            Value::Object(proposal.entry),
            json!({"name": "public.orders", "mode": "incremental", "write": "merge", "cursor": "updated_at"})
        );
        assert!(
            proposal.reasons[0].starts_with("updated_at is indexed and a timestamp"),
            "{:?}",
            proposal.reasons
        );
        assert!(proposal.reasons.iter().any(|reason| reason.contains("may be NULL")));
        orders.notes = vec!["the server is a standby: incremental reading needs a lookback".to_owned()];
        assert_eq!(propose(&orders).entry["lookback"], "10m");
    }

    #[test]
    fn what_would_miss_changed_rows_is_only_the_alternative() {
        for (key, cursors) in [
            (&["id"][..], &[("id", true)][..]),
            (&["id"], &[("created_at", true)]),
            (&[], &[("updated_at", true)]),
        ] {
            let proposal = propose(&stream(key, cursors));
            assert_eq!(Value::Object(proposal.entry), json!({"name": "public.orders"}));
            let (entry, when) = proposal.alternative.unwrap();
            assert_eq!((&entry["mode"], &entry["cursor"]), (&json!("incremental"), &json!(cursors[0].0)));
            assert!(when.starts_with("where "), "{when}");
        }
        let proposal = propose(&stream(&[], &[]));
        assert_eq!(
            (proposal.reasons[0].as_str(), proposal.alternative),
            ("no column grows: read whole", None)
        );
    }
}
