//! Finding streams: tables, views and queries with the types that their values have.

use std::sync::Arc;

use rusqlite::Connection;
use waybill_protocol::{CatalogStream, Error, Kind, Logical, Origin, Result, StreamSelection};

use super::candidates::{cursor_names, cursors, notes};
use super::fault::Doing;
use super::identifier::{is_internal, quote, same};
use super::ledger;
use super::sample::{bare, rowid, sample};
use super::table::{self, Column};

/// A table or view that may be a stream.
pub(crate) struct Found {
    /// The stream's name.
    pub(crate) name: String,
    /// The table's.
    pub(crate) table: String,
    /// `table`, `view` or `virtual`.
    pub(crate) kind: String,
    /// Whether it was asked for by its very name.
    pub(crate) named: bool,
}

/// The tables and views that are selected; all of them when nothing is.
pub(crate) fn list(conn: &Connection, selections: &[StreamSelection]) -> Result<Vec<Found>> {
    // Shadow tables hold the insides of virtual ones.
    let sql = "SELECT s.name, l.type FROM sqlite_schema AS s JOIN pragma_table_list AS l
        ON l.name = s.name AND l.schema = 'main' WHERE l.type IN ('table', 'view', 'virtual') ORDER BY s.rowid";
    let mut statement = conn.prepare(sql).reading("list tables")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).reading("list tables")?;
    let all: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>().reading("list tables")?;
    let found = all.into_iter().filter(|(table, _)| !is_internal(table)).map(|(table, kind)| {
        let name = waybill_protocol::catalog::stream_name(None, &table);
        let named = selections.iter().any(|s| s.query.is_none() && s.name == name);
        Found { name, table, kind, named }
    });
    let wanted = |found: &Found| {
        selections.is_empty() || selections.iter().any(|s| s.query.is_none() && matches(&s.name, &found.name))
    };
    Ok(found.filter(wanted).collect())
}

/// Whether a selection's name, in which `*` stands for anything, means a stream.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Describes a table or view, but for how many rows it has.
pub(crate) fn table_stream(conn: &Connection, name: &str, table: &str, kind: &str) -> Result<CatalogStream> {
    // What stands there in a file of somebody else's is no record.
    let records = ledger::tables(conn).unwrap_or_default();
    let columns = table::columns(conn, "main", table).reading("read its columns")?;
    let mine: Vec<_> = records.iter().filter(|(record, _)| same(&record.table.name, table)).collect();
    let recorded = |column: &str| {
        let all = mine.iter().flat_map(|(record, _)| &record.columns);
        all.filter(|c| same(&c.name, column)).find_map(|c| c.logical.parse::<Logical>().ok())
    };
    let from = quote(table);
    let rowid = rowid(conn, table).reading("read its definition")?;
    let schema = sample(conn, &from, &columns, &recorded, rowid.is_none())?;
    let mut keyed: Vec<&Column> = columns.iter().filter(|c| c.key > 0).collect();
    keyed.sort_by_key(|c| c.key);
    let mut primary_key: Vec<String> = keyed.iter().map(|c| c.name.clone()).collect();
    if primary_key.is_empty()
        && let Some((_, key)) = mine.first()
    {
        primary_key = key.iter().filter(|k| columns.iter().any(|c| same(&c.name, k))).cloned().collect();
    }
    let cursors = cursors(conn, table, &columns, &schema).reading("read its indexes")?;
    let notes = notes(&cursors, &schema);
    Ok(CatalogStream {
        name: name.to_owned(),
        namespace: None,
        table: table.to_owned(),
        kind: if kind == "view" { "view".into() } else { "table".into() },
        schema: Arc::new(schema),
        primary_key,
        distinct: false,
        cursors,
        rows: None,
        bytes: None,
        notes,
    })
}

/// A query as a stream. A temporary view tells its columns and makes sure that it is one `SELECT`.
pub(crate) fn query_stream(conn: &Connection, name: &str, query: &str) -> Result<CatalogStream> {
    let doing = format!("stream {name}: its query");
    let view = "_waybill_query";
    conn.execute_batch(&format!("DROP VIEW IF EXISTS temp.{view}")).reading(&doing)?;
    let query = bare(query);
    // A bracket of its own keeps a trailing comment from swallowing what follows.
    conn.execute(&format!("CREATE TEMP VIEW {view} AS SELECT * FROM (\n{query}\n)"), []).map_err(|e| {
        super::fault::fault(Origin::Source, &doing, e).hint("`query` must be one SELECT statement of SQLite")
    })?;
    let columns = table::columns(conn, "temp", view).reading(&doing)?;
    let schema = sample(conn, &format!("temp.{view}"), &columns, &|_| None, true);
    conn.execute_batch(&format!("DROP VIEW temp.{view}")).reading(&doing)?;
    let schema = schema.map_err(|e| e.context(&doing))?;
    let duplicate =
        columns.iter().enumerate().find(|(at, c)| columns.iter().take(*at).any(|b| same(&b.name, &c.name)));
    if let Some((_, column)) = duplicate {
        return Err(Error::new(Kind::Schema, format!("{doing} has two columns {}", column.name))
            .origin(Origin::Source)
            .hint("name them apart with AS"));
    }
    let named = cursor_names(&columns, &schema);
    let notes = notes(&named, &schema);
    Ok(CatalogStream {
        name: name.to_owned(),
        namespace: None,
        table: name.to_owned(),
        kind: "query".into(),
        schema: Arc::new(schema),
        primary_key: Vec::new(),
        distinct: false,
        cursors: named,
        rows: None,
        bytes: None,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("*", "x", true),
            ("ord*", "orders", true),
            ("*ers", "orders", true),
            ("o*d*s", "orders", true),
            ("o*x*s", "orders", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
