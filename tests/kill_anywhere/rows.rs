//! The rows that are moved, as the test itself knows them, and how each side holds them.

use std::collections::{BTreeMap, BTreeSet};

use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Project};

/// A table of the source, and how it is loaded: `whole`, `added`, `merged`.
pub const TABLES: [&str; 3] = ["whole", "added", "merged"];

/// A row. Cursors are shared by several rows, and texts are not only ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: i64,
    pub tick: i64,
    pub note: Option<String>,
    /// The column `ratio` is a quarter of it, which no system rounds.
    pub quarters: i64,
}

impl Row {
    fn new(id: i64, tick: i64, version: &str) -> Row {
        let note = (id % 5 != 0).then(|| format!("{version} of {id}: „ä“, 'b'; \"c\" | \\"));
        Row { id, tick, note, quarters: id * 3 - 50 }
    }

    fn line(&self) -> String {
        let Row { id, tick, note, quarters } = self;
        format!("{id} {tick} {quarters} {}", note.as_deref().unwrap_or("NULL"))
    }
}

/// What the source holds before the first run.
pub fn before(table: &str) -> Vec<Row> {
    let more = if table == "whole" { 90 } else { 60 };
    (1..=more).map(|id| Row::new(id, id / 7, "first")).collect()
}

/// What the source holds before the second run: new rows and changed ones; where the whole table
/// is read, others are gone.
pub fn after(table: &str) -> Vec<Row> {
    let mut rows: BTreeMap<i64, Row> = before(table).into_iter().map(|row| (row.id, row)).collect();
    let changed = |id| Row::new(id, 9 + id / 40, "second");
    rows.extend((55..=100).step_by(3).map(|id| (id, changed(id))));
    if table == "whole" {
        rows.retain(|id, _| id % 4 != 0);
    }
    rows.into_values().collect()
}

/// What the destination holds after a run over the source as it is `after`, else `before`.
pub fn loaded(table: &str, later: bool) -> Vec<String> {
    let rows: BTreeSet<Row> = match (table, later) {
        (_, false) => before(table).into_iter().collect(),
        // Each version of a row is added once.
        ("added", true) => before(table).into_iter().chain(after(table)).collect(),
        (_, true) => after(table).into_iter().collect(),
    };
    sorted(rows.iter().map(Row::line).collect())
}

/// SQL that fills the source, for either system.
pub fn fill(rows: impl Fn(&str) -> Vec<Row>) -> String {
    let mut sql = String::from("BEGIN;");
    for table in TABLES {
        sql.push_str(&format!(
            "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (id BIGINT NOT NULL PRIMARY KEY, tick BIGINT NOT NULL, \
             note TEXT, ratio DOUBLE PRECISION NOT NULL);"
        ));
        let values = rows(table).iter().map(literal).collect::<Vec<_>>().join(", ");
        sql.push_str(&format!("INSERT INTO {table} VALUES {values};"));
    }
    sql + "COMMIT"
}

/// SQL that brings the source from `before` to `after`, in place.
pub fn change() -> String {
    let mut sql = String::from("BEGIN;");
    for table in TABLES {
        let old: BTreeSet<Row> = before(table).into_iter().collect();
        let new: BTreeSet<Row> = after(table).into_iter().collect();
        for row in old.difference(&new) {
            sql.push_str(&format!("DELETE FROM {table} WHERE id = {};", row.id));
        }
        let values = new.difference(&old).map(literal).collect::<Vec<_>>().join(", ");
        sql.push_str(&format!("INSERT INTO {table} VALUES {values};"));
    }
    sql + "COMMIT"
}

fn literal(row: &Row) -> String {
    let note = row.note.as_ref().map_or("NULL".to_owned(), |note| format!("'{}'", note.replace('\'', "''")));
    format!("({}, {}, {note}, {:?})", row.id, row.tick, row.quarters as f64 / 4.0)
}

/// Rows as a CSV file has them.
pub fn csv(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let note =
            row.note.as_ref().map_or(String::new(), |note| format!("\"{}\"", note.replace('"', "\"\"")));
        format!("{},{},{note},{:?}\n", row.id, row.tick, row.quarters as f64 / 4.0)
    };
    "id,tick,note,ratio\n".to_owned() + &rows.iter().map(line).collect::<String>()
}

/// Where rows arrive.
pub enum Target {
    Sqlite,
    Postgres(Database),
}

impl Target {
    /// Every column of every row of a table, in no order that means anything; `None`: no such table.
    pub fn rows(&self, project: &Project, table: &str) -> Option<Vec<String>> {
        let there = match self {
            Target::Sqlite => format!("SELECT count(*) FROM sqlite_schema WHERE name = '{table}'"),
            Target::Postgres(_) => format!("SELECT count(*) FROM pg_class WHERE relname = '{table}'"),
        };
        if !self.exists(project) || self.ask(project, &there) == ["0"] {
            return None;
        }
        let shown = "id || ' ' || tick || ' ' || CAST(ratio * 4 AS bigint) || ' ' || coalesce(note, 'NULL')";
        Some(sorted(self.ask(project, &format!("SELECT {shown} FROM {table}"))))
    }

    /// How many rows of all tables a run has loaded.
    pub fn rows_of(&self, project: &Project, run: &str) -> u64 {
        let count = |table: &&str| {
            self.rows(project, table)?;
            let sql = format!("SELECT count(*) FROM {table} WHERE _waybill_run_id = '{run}'");
            self.ask(project, &sql)[0].parse::<u64>().ok()
        };
        TABLES.iter().filter_map(count).sum()
    }

    /// Tables that no run should leave behind.
    pub fn leftovers(&self, project: &Project) -> Vec<String> {
        let own =
            "'waybill_connections', '_waybill_state', '_waybill_tables', '_waybill_window', '_waybill_files'";
        let own = own.replacen('\'', "'_", 1);
        self.ask(project, &match self {
            Target::Sqlite => format!("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_waybill%' ESCAPE '\\' AND name NOT IN ({own})"),
            Target::Postgres(_) => format!("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '\\_waybill%' AND relname NOT IN ({own})"),
        })
    }

    fn exists(&self, project: &Project) -> bool {
        matches!(self, Target::Postgres(_)) || project.path("waybill.db").exists()
    }

    fn ask(&self, project: &Project, sql: &str) -> Vec<String> {
        match self {
            Target::Sqlite => sqlite_rows(&project.path("waybill.db"), sql),
            Target::Postgres(database) => database.sql(sql).lines().map(str::to_owned).collect(),
        }
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}
