//! Making a table fit a load: ownership, creation, new columns, wider types.

use rusqlite::{Connection, OptionalExtension};
use waybill_protocol::{Error, Kind, Logical, Origin, RUN_ID_COLUMN, Result, StreamLoad};

use super::affinity::{declared, keeps, native};
use super::fault::Doing;
use super::identifier::{check_table, key_index, quote, quote_all, same};
use super::rebuild::{self, Target};
use super::session::Session;
use super::table::{Column, columns, create_table, find};
use super::{fault, ledger};

/// Refuses a table that is not this connection's to change.
pub(crate) fn check_owner(
    conn: &Connection,
    session: &Session,
    load: &StreamLoad,
    replace: bool,
) -> Result<()> {
    let table = &load.table.name;
    check_table(table)?;
    let Some((kind, _)) = find(conn, table)? else { return Ok(()) };
    let refuse = |what: String, hint: &str| {
        Err(Error::new(Kind::Permission, format!("stream {}: table {table} {what}", load.stream))
            .origin(Origin::Destination)
            .hint(hint))
    };
    if kind == "view" {
        return refuse("is a view".into(), "give the stream another `table`, or drop the view");
    }
    let records = ledger::tables(conn)?;
    let owners: Vec<&str> = records
        .iter()
        .filter(|(record, _)| same(&record.table.name, table))
        .map(|(record, _)| record.connection_id.as_str())
        .collect();
    let ours = session.ctx.connection_id.as_str();
    let Some(other) = owners.iter().find(|owner| **owner != ours) else {
        if owners.is_empty() && !load.adopt {
            return refuse(
                "exists already and Waybill did not make it".into(),
                "set the stream's `on_existing` to \"adopt\" to take it over, or give another `table`",
            );
        }
        return Ok(());
    };
    let name = owner_name(conn, other)?;
    if replace && owners.contains(&ours) {
        return refuse(
            format!("is shared with connection {name}, so it cannot be replaced"),
            "load it with `write` append or merge, or give another `table`",
        );
    }
    if replace || !load.shared {
        return refuse(
            format!("belongs to connection {name}"),
            "set `shared` to true in both connections (append and merge only), or give another `table`",
        );
    }
    Ok(())
}

fn owner_name(conn: &Connection, connection_id: &str) -> Result<String> {
    let sql = "SELECT name FROM _waybill_connections WHERE connection_id = ?1";
    let found = conn.query_row(sql, [connection_id], |row| row.get(0)).optional();
    Ok(found.loading("look for the owner")?.unwrap_or_else(|| connection_id.to_owned()))
}

/// Creates the table of a direct load, or makes the one that is there fit; puts it on record.
pub(crate) fn fit(conn: &Connection, session: &Session, load: &StreamLoad) -> Result<()> {
    check_owner(conn, session, load, false)?;
    let table = &load.table.name;
    match find(conn, table)? {
        None => {
            let ddl = create_table(&quote(table), load)?;
            conn.execute_batch(&ddl).loading(&format!("create table {table}"))?;
            ledger::record(conn, &load.record, &load.key, true)?;
        }
        Some((_, name)) => {
            widen(conn, load, &name)?;
            ledger::record(conn, &load.record, &load.key, false)?;
        }
    }
    if load.upsert { ensure_key(conn, load) } else { drop_key(conn, table) }
}

/// Adds missing columns and rebuilds the table where a type has to become wider.
pub(crate) fn widen(conn: &Connection, load: &StreamLoad, table: &str) -> Result<()> {
    let doing = format!("change table {table}");
    let recorded = recorded_types(conn, table)?;
    let now = columns(conn, "main", table).loading(&doing)?;
    let mut targets: Vec<Target> = Vec::new();
    let mut added = Vec::new();
    for field in load.schema.fields() {
        let logical = Logical::of(field)?;
        let Some(column) = now.iter().find(|c| same(&c.name, field.name())) else {
            added.push(format!("{} {}", quote(field.name()), native(logical)));
            continue;
        };
        // Where several connections share the table, an older record may speak of a narrower column.
        let mine =
            recorded.iter().filter(|(name, was)| same(name, &column.name) && keeps(&column.declared, *was));
        let was = mine.map(|(_, was)| *was).reduce(Logical::widen);
        let fits = keeps(&column.declared, logical);
        let grown = was.is_some_and(|was| was != logical) && !same(&column.declared, &native(logical));
        let was = was.or_else(|| declared(&column.declared));
        if was.is_some_and(|was| was != logical && was.widen(logical) != logical) {
            if fits {
                continue;
            }
            return Err(narrower(load, column, logical));
        }
        if !fits || grown {
            targets.push(Target { column: column.name.clone(), was, logical });
        }
    }
    if load.metadata && !now.iter().any(|c| same(&c.name, RUN_ID_COLUMN)) {
        added.push(format!("{} TEXT", quote(RUN_ID_COLUMN)));
    }
    if !targets.is_empty() {
        rebuild::rebuild(conn, &load.stream, table, &now, &targets)?;
    }
    for column in added {
        conn.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {column}", quote(table))).loading(&doing)?;
    }
    Ok(())
}

fn narrower(load: &StreamLoad, column: &Column, logical: Logical) -> Error {
    Error::new(
        Kind::Schema,
        format!(
            "stream {}: column {} of table {} is {}, which cannot become {logical}",
            load.stream, column.name, load.table.name, column.declared
        ),
    )
    .origin(Origin::Destination)
    .hint("reset the stream (`waybill state reset`) to build the table anew, or give another `table`")
}

/// The logical types that Waybill last had for a table's columns.
pub(crate) fn recorded_types(conn: &Connection, table: &str) -> Result<Vec<(String, Logical)>> {
    let records = ledger::tables(conn)?;
    let mine = records.into_iter().filter(|(record, _)| same(&record.table.name, table));
    let columns = mine.flat_map(|(record, _)| record.columns);
    Ok(columns.filter_map(|c| Some((c.name, c.logical.parse().ok()?))).collect())
}

/// Makes sure that rows can be found by their key.
pub(crate) fn ensure_key(conn: &Connection, load: &StreamLoad) -> Result<()> {
    let table = &load.table.name;
    if load.key.is_empty() {
        return Err(Error::internal(format!("stream {}: a merge without a primary key", load.stream)));
    }
    let doing = format!("build the primary key of table {table}");
    if has_unique(conn, table, &load.key).loading(&doing)? {
        return Ok(());
    }
    let index = key_index(table);
    conn.execute_batch(&format!("DROP INDEX IF EXISTS {}", quote(&index))).loading(&doing)?;
    let sql = format!("CREATE UNIQUE INDEX {} ON {} ({})", quote(&index), quote(table), quote_all(&load.key));
    conn.execute_batch(&sql).map_err(|e| {
        if fault::is_constraint(&e) {
            duplicate(conn, load, &quote(table), e)
        } else {
            fault::fault(Origin::Destination, &doing, e)
        }
    })
}

/// An append may bring a key again, as another version of the row: Waybill's own index gives way.
fn drop_key(conn: &Connection, table: &str) -> Result<()> {
    conn.execute_batch(&format!("DROP INDEX IF EXISTS {}", quote(&key_index(table))))
        .loading(&format!("drop the primary key of table {table}"))
}

/// Whether a unique index or a primary key covers exactly these columns.
fn has_unique(conn: &Connection, table: &str, key: &[String]) -> rusqlite::Result<bool> {
    let covers = |columns: &[String]| {
        columns.len() == key.len() && key.iter().all(|k| columns.iter().any(|c| same(c, k)))
    };
    let primary: Vec<String> =
        columns(conn, "main", table)?.into_iter().filter(|c| c.key > 0).map(|c| c.name).collect();
    if covers(&primary) {
        return Ok(true);
    }
    let sql = "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial";
    let mut statement = conn.prepare(sql)?;
    let indexes: Vec<String> =
        statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for index in indexes {
        // Expressions have no name and cover nothing here.
        let mut statement = conn.prepare("SELECT coalesce(name, '') FROM pragma_index_info(?1)")?;
        let columns: Vec<String> =
            statement.query_map([&index], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        if covers(&columns) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The error of a key that comes twice, with one example.
pub(crate) fn duplicate(conn: &Connection, load: &StreamLoad, from: &str, cause: rusqlite::Error) -> Error {
    let key = quote_all(&load.key);
    let shown: Vec<String> = load.key.iter().map(|k| format!("quote({})", quote(k))).collect();
    let sql = format!(
        "SELECT {}, count(*) FROM {from} GROUP BY {key} HAVING count(*) > 1 LIMIT 1",
        shown.join(" || ', ' || ")
    );
    let example = conn.query_row(&sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    let which = match example {
        Ok((value, count)) => {
            let value: String = value.chars().take(200).collect();
            format!(": {value} comes {count} times")
        }
        Err(_) => String::new(),
    };
    Error::data(format!(
        "stream {}: the primary key ({}) of table {} is not unique{which}",
        load.stream,
        load.key.join(", "),
        load.table.name
    ))
    .origin(Origin::Destination)
    .stream(&load.stream)
    .hint("correct the stream's `primary_key`, or load it with `write` append")
    .cause(cause)
}
