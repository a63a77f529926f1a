//! The layout of the tables: made, brought forward step by step, and never back.

use waybill_protocol::{Error, Kind, Origin, Result};

use super::columns::{Column, EVENTS, RUNS, STREAMS, TABLES, Table};
use super::{SCHEMA, VERSION};
use crate::postgres::destination::names::lock_key;
use crate::postgres::destination::tx::{Args, Tx};
use crate::postgres::session::text;
use crate::postgres::sql::{ident, literal, qualified};

/// The layout that this program writes. 2 added `events_left_out`, `peak_memory_bytes`, the indexes
/// and the comments.
pub(super) const NEWEST: i32 = 2;

/// The layout that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// There are no tables yet.
    Absent,
    /// One that this program may have to bring forward.
    Known(i32),
    /// One of a newer program.
    Newer(i32),
}

/// The table that says the layout.
pub(super) fn version_table() -> String {
    qualified(Some(SCHEMA), VERSION)
}

/// What is there.
pub(super) async fn look(tx: &mut Tx) -> Result<Layout> {
    // Not to_regclass(): in one transaction that goes on saying what it said before another program
    // made the table.
    let there = format!(
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {}",
        literal(SCHEMA),
        literal(VERSION)
    );
    if tx.run(&there).await?.is_empty() {
        return Ok(Layout::Absent);
    }
    let rows = tx.run(&format!("SELECT max(version)::text FROM {}", version_table())).await?;
    let version = rows.first().map(|row| text(row, 0)).transpose()?.flatten();
    Ok(match version.and_then(|version| version.parse().ok()) {
        None => Layout::Absent,
        Some(version) if version > NEWEST => Layout::Newer(version),
        Some(version) => Layout::Known(version),
    })
}

/// The error of a layout that only a newer program knows.
pub(super) fn newer(version: i32, place: &str) -> Error {
    Error::config(format!(
        "the run history in {place} has layout {version}, and this program knows {NEWEST} at most: nothing was written"
    ))
    .hint("update waybill on this host, then: waybill history sync")
    .origin(Origin::Destination)
}

/// Sees to it that the layout is the newest known one; a newer one is refused.
pub(super) async fn ensure(tx: &mut Tx, place: &str) -> Result<()> {
    match look(tx).await? {
        Layout::Known(NEWEST) => return Ok(()),
        Layout::Newer(version) => return Err(newer(version, place)),
        Layout::Absent | Layout::Known(_) => {}
    }
    // Two programs may be here at once; the second one finds the work done.
    let key = Args::default().with(lock_key(&["waybill", "run history", SCHEMA]))?;
    tx.fetch("SELECT pg_advisory_xact_lock($1)", key).await?;
    let from = match look(tx).await? {
        Layout::Known(version) => version,
        Layout::Newer(version) => return Err(newer(version, place)),
        Layout::Absent => 0,
    };
    for version in from + 1..=NEWEST {
        tx.run(&step(version)).await?;
    }
    let table = version_table();
    tx.run(&format!(
        "DELETE FROM {table}; INSERT INTO {table} (version, program) VALUES ({NEWEST}, {})",
        literal(env!("CARGO_PKG_VERSION"))
    ))
    .await
    .map(drop)
}

/// What leads from the layout before to this one.
fn step(version: i32) -> String {
    let mut sql = match version {
        1 => vec![format!(
            "CREATE TABLE IF NOT EXISTS {} (version integer NOT NULL, program text NOT NULL, \
             since timestamptz NOT NULL DEFAULT now())",
            version_table()
        )],
        _ => Vec::new(),
    };
    for table in TABLES {
        let new: Vec<&Column> = table.columns.iter().filter(|column| column.since == version).collect();
        let declared = |column: &Column| format!("{} {}{}", ident(column.name), column.kind, column.more);
        if version == 1 {
            // Not IF NOT EXISTS: a table of somebody else's with this name is none of ours.
            let columns: Vec<String> = new.into_iter().map(declared).collect();
            let written = "written_at timestamptz NOT NULL DEFAULT now()";
            let written = if table.name == RUNS.name { format!("{written}, ") } else { String::new() };
            sql.push(format!(
                "CREATE TABLE {} ({}, {written}{}{})",
                table.sql(),
                columns.join(", "),
                table.constraints,
                belongs(table)
            ));
        } else {
            sql.extend(new.into_iter().map(|column| {
                format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {}", table.sql(), declared(column))
            }));
        }
    }
    if version == 2 {
        sql.extend(indexes());
        sql.extend(comments());
    }
    sql.join("; ")
}

/// Whoever deletes a run deletes what belongs to it.
fn belongs(table: &Table) -> String {
    match table.name == RUNS.name {
        true => String::new(),
        false => format!(", FOREIGN KEY (run_id) REFERENCES {} ON DELETE CASCADE", RUNS.sql()),
    }
}

/// For lists of the newest runs, of a connection's and of a stream's, and for what happened lately.
fn indexes() -> Vec<String> {
    let on = |name: &str, table: &Table, what: &str| {
        format!("CREATE INDEX IF NOT EXISTS {} ON {} ({what})", ident(name), table.sql())
    };
    vec![
        on("waybill_runs_started", &RUNS, "started_at DESC"),
        on("waybill_runs_connection", &RUNS, "connection_id, started_at DESC"),
        on("waybill_run_streams_stream", &STREAMS, "stream, run_id"),
        on("waybill_run_events_ts", &EVENTS, "ts DESC"),
    ]
}

fn comments() -> Vec<String> {
    let mut all = Vec::new();
    for table in TABLES {
        all.push(format!("COMMENT ON TABLE {} IS {}", table.sql(), literal(table.says)));
        all.extend(table.columns.iter().filter(|column| column.since <= 2).map(|column| {
            let place = format!("{}.{}", table.sql(), ident(column.name));
            format!("COMMENT ON COLUMN {place} IS {}", literal(column.says))
        }));
    }
    all
}

/// An error of the server in words that say what is to be done about the run history.
pub(super) fn explained(error: Error, user: &str, place: &str) -> Error {
    let code = error.get_code().map(str::to_owned).unwrap_or_default();
    let error = match code.as_str() {
        "42501" => error.hint_instead(rights(user)),
        "42P07" => error.hint_instead(
            "a table of that name is there already and is not Waybill's: rename it, then: waybill history sync",
        ),
        "55P03" => error.hint_instead(
            "somebody holds a lock of these tables, see pg_locks; later: waybill history sync",
        ),
        _ if error.get_hint().is_none() && error.kind() == Kind::Data => {
            error.hint("waybill history sync tries each run alone and says which one it is")
        }
        _ => error,
    };
    // That of a newer layout says it itself.
    if error.message().starts_with("the run history in ") {
        return error;
    }
    error.context(format!("the run history in {place}"))
}

/// The statements that give a user what it needs: the message of the server says which is missing.
fn rights(user: &str) -> String {
    format!(
        "where the tables are missing, {}; where they are there, {}; then: waybill history sync",
        to_make(user),
        to_write(user)
    )
}

/// What a user needs to make the tables.
pub(super) fn to_make(user: &str) -> String {
    format!("as the owner of schema {SCHEMA}: GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {}", ident(user))
}

/// What a user needs to write them.
pub(super) fn to_write(user: &str) -> String {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).chain([VERSION]).collect();
    format!("as their owner: GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}", names.join(", "), ident(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_comes_with_one_step() {
        for table in TABLES {
            for column in table.columns {
                let made: Vec<i32> = (1..=NEWEST)
                    .filter(|version| {
                        let step = step(*version);
                        step.split("; ").any(|sql| {
                            let made = ["CREATE TABLE", "ALTER TABLE"]
                                .map(|word| format!("{word} {} ", table.sql()));
                            made.iter().any(|begin| sql.starts_with(begin))
                                && sql.contains(&format!("{} {}", ident(column.name), column.kind))
                        })
                    })
                    .collect();
                assert_eq!(made, [column.since], "{}.{}", table.name, column.name);
            }
        }
    }
}
