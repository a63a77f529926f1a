//! Tables as they stand, and as a load wants them.

use rusqlite::{Connection, OptionalExtension};
use waybill_protocol::{Error, Kind, Logical, Origin, RUN_ID_COLUMN, Result, StreamLoad};

use super::affinity::native;
use super::fault::Doing;
use super::identifier::{quote, rowid};

/// A column of a table as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its declared type.
    pub(crate) declared: String,
    /// Whether it is declared NOT NULL.
    pub(crate) not_null: bool,
    /// Its place in the primary key, from 1; 0 where it is not in it.
    pub(crate) key: i64,
}

/// The columns of a table or view, generated ones included; empty where there is none.
pub(crate) fn columns(conn: &Connection, schema: &str, table: &str) -> rusqlite::Result<Vec<Column>> {
    // Hidden 1: columns of virtual tables that no `SELECT *` shows.
    let sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1, ?2) WHERE hidden <> 1";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([table, schema], |row| {
        Ok(Column { name: row.get(0)?, declared: row.get(1)?, not_null: row.get(2)?, key: row.get(3)? })
    })?;
    rows.collect()
}

/// Kind and name of what has a table's name; `None` where nothing has.
pub(crate) fn find(conn: &Connection, table: &str) -> Result<Option<(String, String)>> {
    let sql = "SELECT type, name FROM sqlite_schema
        WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
    let found = conn.query_row(sql, [table], |row| Ok((row.get(0)?, row.get(1)?))).optional();
    found.loading("look for the table")
}

/// `CREATE TABLE` of a load's table under a name (quoted, qualified).
pub(crate) fn create_table(name: &str, load: &StreamLoad) -> Result<String> {
    let mut columns = Vec::new();
    for field in load.schema.fields() {
        columns.push(format!("{} {}", quote(field.name()), native(Logical::of(field)?)));
    }
    if load.metadata {
        columns.push(format!("{} TEXT", quote(RUN_ID_COLUMN)));
    }
    if columns.is_empty() {
        return Err(Error::new(Kind::Schema, format!("stream {} has no columns to load", load.stream))
            .origin(Origin::Destination)
            .hint("SQLite has no table without columns: leave `metadata` on, or leave the stream out"));
    }
    Ok(format!("CREATE TABLE {name} ({})", columns.join(", ")))
}

/// The name of the rowid in a load's staging table.
pub(crate) fn rowid_of(load: &StreamLoad) -> Result<&'static str> {
    rowid(load.schema.fields().iter().map(|f| f.name().as_str())).ok_or_else(|| {
        Error::new(
            Kind::Schema,
            format!(
                "stream {}: the columns rowid, _rowid_ and oid leave no name for SQLite's own",
                load.stream
            ),
        )
        .origin(Origin::Destination)
        .hint("leave one of them out with `columns`, or rename it in a `query`")
    })
}
