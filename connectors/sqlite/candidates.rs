//! Columns that could serve as a cursor.

use arrow_schema::Schema;
use rusqlite::Connection;
use waybill_protocol::{CursorCandidate, Logical};

use super::identifier::same;
use super::table::Column;

const NAMES: [&str; 12] = [
    "updated_at",
    "modified_at",
    "last_modified",
    "updated",
    "modified",
    "changed_at",
    "created_at",
    "created",
    "inserted_at",
    "timestamp",
    "date",
    "time",
];

/// Columns that could serve as a cursor: the rowid, then by name.
pub(crate) fn cursors(
    conn: &Connection,
    table: &str,
    columns: &[Column],
    schema: &Schema,
) -> rusqlite::Result<Vec<CursorCandidate>> {
    let mut out = cursor_names(columns, schema);
    let sql = "SELECT i.name FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i
        WHERE i.seqno = 0 AND NOT l.partial AND i.name IS NOT NULL";
    let mut statement = conn.prepare(sql)?;
    let indexed: Vec<String> =
        statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for candidate in &mut out {
        candidate.indexed |= indexed.iter().any(|name| same(name, &candidate.column));
    }
    let keys: Vec<&Column> = columns.iter().filter(|c| c.key > 0).collect();
    if let [key] = keys.as_slice()
        && same(&key.declared, "INTEGER")
    {
        out.retain(|c| c.column != key.name);
        let reason = "integer primary key: finds new rows, not changed ones".to_owned();
        out.push(CursorCandidate { column: key.name.clone(), indexed: true, reason });
    }
    // Known to be indexed, so that a cursor chosen by hand is read in order too. Texts and UUIDs
    // seldom grow, and are not worth proposing.
    for column in columns.iter().filter(|c| indexed.iter().any(|name| same(name, &c.name))) {
        let worded = |l: Logical| matches!(l, Logical::Text | Logical::Uuid);
        let field = schema.field_with_name(&column.name).ok();
        let logical = field.and_then(|field| Logical::of(field).ok());
        let known = out.iter().any(|candidate| candidate.column == column.name);
        if !known && logical.is_some_and(|l| l.ordered() && !worded(l)) {
            let reason = "has an index: good if it only grows".to_owned();
            out.push(CursorCandidate { column: column.name.clone(), indexed: true, reason });
        }
    }
    Ok(out)
}

/// Columns whose names promise an order.
pub(crate) fn cursor_names(columns: &[Column], schema: &Schema) -> Vec<CursorCandidate> {
    let ordered = |name: &str| {
        let field = schema.field_with_name(name).ok();
        field.and_then(|f| Logical::of(f).ok()).is_some_and(Logical::ordered)
    };
    let named = NAMES.iter().flat_map(|wanted| columns.iter().filter(|c| same(&c.name, wanted)));
    named
        .filter(|c| ordered(&c.name))
        .map(|c| CursorCandidate {
            column: c.name.clone(),
            indexed: false,
            reason: format!("is called {}", c.name),
        })
        .collect()
}

/// What a person should know about reading by these cursors.
pub(crate) fn notes(cursors: &[CursorCandidate], schema: &Schema) -> Vec<String> {
    let logical = |name: &str| schema.field_with_name(name).ok().and_then(|f| Logical::of(f).ok());
    let timed = cursors.iter().any(|c| {
        matches!(logical(&c.column), Some(Logical::Date | Logical::Timestamp | Logical::TimestampTz))
    });
    if timed {
        vec!["a time as cursor comes from an application's clock: give it a `lookback`".to_owned()]
    } else {
        Vec::new()
    }
}
