//! Finding streams.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{Field, Schema};
use waybill_protocol::catalog::stream_name;
use waybill_protocol::column::{COLLATION_KEY, COMMENT_KEY, DEFAULT_KEY, POSTGRES_KEY, saying};
use waybill_protocol::{Catalog, CatalogStream, CursorCandidate, Kind, Logical, Result, StreamSelection};

use super::query;
use super::relation::{ORDINARY, Relation, RelationColumn, relations, sizes};
use super::snapshot::blamed;
use crate::postgres::session::{Server, Session, text};
use crate::postgres::sql;

/// Finds the selected streams, or all where nothing is selected.
pub(super) async fn discover(server: &Arc<Server>, selections: &[StreamSelection]) -> Result<Catalog> {
    let mut session = server.session().await?;
    let mut catalog = Catalog { identity: identity(&mut session).await?, streams: Vec::new() };
    let names: Vec<&str> = selections.iter().filter(|s| s.query.is_none()).map(|s| s.name.as_str()).collect();
    if selections.is_empty() || !names.is_empty() {
        let condition = format!("{ORDINARY} AND {}", wanted(&names));
        let standby = server.facts().standby;
        let found = match relations(&mut session, "discover streams", &condition).await {
            // The text of a default is only shown under a lock of its table.
            Err(error) if error.kind() == Kind::Timeout => {
                return Err(blamed(&mut session, None, error).await);
            }
            found => found?,
        };
        let sizes = sizes(&mut session, &condition).await?;
        let streams = found.into_iter().map(|relation| {
            let bytes = sizes.get(&relation.oid).copied();
            stream(relation, bytes, standby)
        });
        catalog.streams.extend(
            streams.filter(|stream| {
                names.is_empty() || names.iter().any(|pattern| selects(pattern, &stream.name))
            }),
        );
    }
    for selection in selections {
        if let Some(text) = &selection.query {
            let columns = query::describe(&mut session, text)
                .await
                .map_err(|e| e.context("the query cannot be prepared").stream(&selection.name))?;
            catalog.streams.push(query_stream(selection, columns));
        }
    }
    session.release();
    Ok(catalog)
}

fn selects(pattern: &str, name: &str) -> bool {
    pattern == name || sql::matches(pattern, name)
}

/// The selected names as a condition; it may let more through.
fn wanted(names: &[&str]) -> String {
    if names.is_empty() {
        return "true".into();
    }
    let like = |name: &&str| {
        let pattern = sql::like(name);
        format!("n.nspname || '.' || c.relname LIKE {}", sql::literal(&pattern))
    };
    format!("({})", names.iter().map(like).collect::<Vec<_>>().join(" OR "))
}

/// What the database is, independent of where it is reached: the cluster's system identifier and
/// the database's oid. Where pg_control_system() may not be called, the address has to do, and a
/// changed address then needs an `accept`.
pub(super) async fn identity(session: &mut Session) -> Result<String> {
    let facts = session.server().facts();
    if facts.control {
        let sql = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
        let rows = session.query("identify the database", sql).await?;
        if let Some(id) = rows.first().map(|row| text(row, 0)).transpose()?.flatten() {
            return Ok(format!("postgres:{id}:{}", facts.database_oid));
        }
    }
    Ok(format!("postgres://{}", session.server().target))
}

/// The columns as a schema, with what the server says of them beside their types.
pub(super) fn schema(columns: &[RelationColumn]) -> Schema {
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

fn field(c: &RelationColumn) -> Field {
    let mut field = c.pg_type().logical().field(&c.name, !c.not_null, &c.native);
    let said = [
        (POSTGRES_KEY, &c.base),
        (COMMENT_KEY, &c.comment),
        (DEFAULT_KEY, &c.default),
        (COLLATION_KEY, &c.collation),
    ];
    for (key, text) in said {
        field = saying(field, key, text.as_deref().unwrap_or_default());
    }
    field
}

fn stream(relation: Relation, bytes: Option<u64>, standby: bool) -> CatalogStream {
    let cursors = cursors(&relation);
    let notes = notes(&relation, &cursors, standby);
    let comment: HashMap<String, String> =
        relation.comment.iter().map(|text| (COMMENT_KEY.to_owned(), text.clone())).collect();
    let kind = match relation.kind.as_str() {
        "v" => "view",
        "m" => "materialized view",
        "p" => "partitioned table",
        "f" => "foreign table",
        _ => "table",
    };
    CatalogStream {
        name: stream_name(Some(&relation.schema), &relation.name),
        kind: kind.into(),
        schema: Arc::new(schema(&relation.columns).with_metadata(comment)),
        rows: (relation.rows >= 0.0).then_some(relation.rows as u64),
        bytes,
        // A key holds in one table, not in those that inherit from it.
        distinct: !relation.primary_key.is_empty() && !relation.heirs,
        primary_key: relation.primary_key,
        cursors,
        notes,
        namespace: Some(relation.schema),
        table: relation.name,
    }
}

fn query_stream(selection: &StreamSelection, columns: Vec<RelationColumn>) -> CatalogStream {
    let times = columns.iter().filter(|c| is_time(c)).map(|c| CursorCandidate {
        column: c.name.clone(),
        indexed: false,
        reason: "a time, named like one of changes".into(),
    });
    CatalogStream {
        name: selection.name.clone(),
        namespace: None,
        table: selection.name.clone(),
        kind: "query".into(),
        cursors: times.collect(),
        schema: Arc::new(schema(&columns)),
        primary_key: Vec::new(),
        distinct: false,
        rows: None,
        bytes: None,
        notes: vec!["a query: read without checkpoints on the way".into()],
    }
}

/// Columns that could serve as a cursor, best first.
fn cursors(relation: &Relation) -> Vec<CursorCandidate> {
    let mut ranked: Vec<(u8, CursorCandidate)> = Vec::new();
    for column in &relation.columns {
        let indexed = relation.indexed.contains(&column.name);
        let alone = relation.primary_key == [column.name.clone()];
        let whole = matches!(column.pg_type().logical(), Logical::Int16 | Logical::Int32 | Logical::Int64);
        let (rank, reason) = if is_time(column) && is_change(&column.name) {
            (if indexed { 0 } else { 2 }, "a time that is named like one of changes")
        } else if whole && column.sequence {
            (1, "filled by a sequence: finds new rows, not changed ones")
        } else if is_time(column) {
            (3, "a time that is named like one of creation: finds new rows, not changed ones")
        } else if whole && alone {
            (4, "a primary key of whole numbers: good if it only grows")
        } else if indexed && column.pg_type().logical().ordered() && !worded(column.pg_type().logical()) {
            // Known to be indexed, so that a cursor chosen by hand is read in order too.
            (5, "has an index: good if it only grows")
        } else {
            continue;
        };
        let candidate = CursorCandidate { column: column.name.clone(), indexed, reason: reason.to_owned() };
        ranked.push((rank, candidate));
    }
    ranked.sort_by_key(|(rank, candidate)| (*rank, !candidate.indexed));
    ranked.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Texts and UUIDs seldom grow, and are not worth proposing.
fn worded(logical: Logical) -> bool {
    matches!(logical, Logical::Text | Logical::Uuid)
}

fn is_change(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["updat", "modif", "chang", "touched"].iter().any(|word| name.contains(word))
}

fn is_time(column: &RelationColumn) -> bool {
    let name = column.name.to_ascii_lowercase();
    let named = is_change(&name) || ["creat", "insert", "added"].iter().any(|word| name.contains(word));
    named && matches!(column.pg_type().logical(), Logical::Timestamp | Logical::TimestampTz)
}

fn notes(relation: &Relation, cursors: &[CursorCandidate], standby: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !relation.readable {
        notes.push("not all of it may be read: GRANT SELECT on it".into());
    }
    if relation.filtered {
        notes.push("row security may hide rows from this user".into());
    }
    if matches!(relation.kind.as_str(), "v" | "f") {
        notes.push(format!(
            "a {}: no index is known, so an incremental read scans it",
            if relation.kind == "v" { "view" } else { "foreign table" }
        ));
    } else if !cursors.is_empty() && !cursors.iter().any(|c| c.indexed) {
        notes.push("no cursor candidate has an index: an incremental read scans the table".into());
    }
    if standby {
        notes.push("the server is a standby: incremental reading needs a lookback".into());
    }
    if relation.subscribed {
        notes.push("filled by a subscription: incremental reading needs a lookback".into());
    }
    for column in relation.columns.iter().filter(|c| c.cache.is_some_and(|n| n > 1)) {
        notes.push(format!(
            "the sequence of column {} hands out several values at once: as a cursor it needs a lookback",
            column.name
        ));
    }
    notes
}
