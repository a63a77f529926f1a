//! Tables that keep their place when they are loaded anew: what their definition or their triggers
//! say would be lost with them, so that their rows are exchanged instead.

use rusqlite::Connection;
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Kind, Origin, RUN_ID_COLUMN, Result, StreamLoad};

use super::fault::{Doing, fault, is_constraint};
use super::identifier::{quote, quote_all, same};
use super::prepare;
use super::rebuild::is_plain;
use super::session::Session;
use super::table::columns;

/// What a table has that another in its place would not have; none where it may be replaced.
pub(crate) fn ties(conn: &Connection, table: &str) -> Result<Vec<String>> {
    let doing = format!("look what table {table} has");
    let now = columns(conn, "main", table).loading(&doing)?;
    let mut found = Vec::new();
    if !is_plain(conn, table, &now)? {
        found.push("a definition of its own (defaults, constraints, keys)".to_owned());
    }
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name";
    let mut statement = conn.prepare(sql).loading(&doing)?;
    let names = statement.query_map([table], |row| row.get::<_, String>(0)).loading(&doing)?;
    for name in names {
        found.push(format!("trigger {}", name.loading(&doing)?));
    }
    Ok(found)
}

/// Gives the staging table the columns that only the table has: they stay, empty for the new rows.
pub(crate) fn keep_columns(conn: &Connection, staging: &str, stage: &str, table: &str) -> Result<()> {
    let doing = format!("keep the other columns of table {table}");
    let staged = columns(conn, "main", stage).loading(&doing)?;
    for column in columns(conn, "main", table).loading(&doing)? {
        if staged.iter().any(|c| same(&c.name, &column.name)) {
            continue;
        }
        let sql = format!("ALTER TABLE {staging} ADD COLUMN {} {}", quote(&column.name), column.declared);
        conn.execute_batch(&sql).loading(&doing)?;
    }
    Ok(())
}

/// Exchanges the rows of a table, in the transaction that is open.
pub(crate) fn refill(
    conn: &Connection,
    session: &Session,
    load: &StreamLoad,
    staging: &str,
    table: &str,
    ties: &[String],
) -> Result<()> {
    let message =
        format!("table {table} keeps its place because of {}: its rows are exchanged", ties.join(", "));
    let detail = serde_json::json!({"table": table, "kept_for": ties});
    session.ctx.events.for_stream(&load.stream).info(Body::Runtime { detail }, message);
    prepare::widen(conn, load, table)?;
    let names = load.schema.fields().iter().map(|field| field.name().clone());
    let names: Vec<String> = names.chain(load.metadata.then(|| RUN_ID_COLUMN.to_owned())).collect();
    let (target, list) = (quote(table), quote_all(&names));
    let doing = format!("stream {}: exchange the rows of table {table}", load.stream);
    let kept = |e: rusqlite::Error| {
        let constraint = is_constraint(&e);
        let error = fault(Origin::Destination, &doing, e).stream(&load.stream);
        if !constraint {
            return error;
        }
        error.hint("the table's own constraint does not take the new rows: change it, or correct the rows at the source")
    };
    conn.execute_batch(&format!("DELETE FROM main.{target}")).map_err(kept)?;
    conn.execute_batch(&format!("INSERT INTO main.{target} ({list}) SELECT {list} FROM {staging}"))
        .map_err(kept)?;
    let count =
        |of: &str| conn.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get::<_, i64>(0));
    let (rows, held) = (count(staging).loading(&doing)?, count(&format!("main.{target}")).loading(&doing)?);
    if rows != held {
        return Err(Error::new(
            Kind::Data,
            format!("stream {}: table {table} would hold {held} rows where {rows} were loaded", load.stream),
        )
        .origin(Origin::Destination)
        .stream(&load.stream)
        .hint("a trigger of the table keeps or drops rows: drop it, or give the stream another `table`"));
    }
    conn.execute_batch(&format!("DROP TABLE {staging}")).loading(&doing)
}
