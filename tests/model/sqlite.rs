//! From a SQLite file into a SQLite file.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde_json::json;

use super::play::System;
use super::rules::Transaction;
use super::script::{Slot, Stream};
use crate::fixture::{Project, one_connection};

/// The id of the connection.
pub const ID: &str = "0b0e7a52-5b5c-4a5e-9d3e-7b1f3a1c0001";

/// The system.
pub struct Sqlite {
    project: Project,
    source: Connection,
    target: Files,
}

impl Sqlite {
    /// An empty one.
    pub fn new() -> Sqlite {
        let mut config = one_connection("sqlite", json!({"path": "source.db", "streams": []}));
        config["connections"][0]["id"] = json!(ID);
        let project = Project::new(config);
        let source = Connection::open(project.path("source.db")).expect("the source opens");
        source.execute_batch("PRAGMA synchronous = OFF").expect("a pragma");
        let target = Files { folder: project.dir().to_owned(), copies: 0 };
        Sqlite { project, source, target }
    }
}

impl System for Sqlite {
    fn project(&self) -> &Project {
        &self.project
    }

    fn write(&mut self, sql: &str) {
        self.source.execute_batch(sql).expect(sql);
    }

    fn begin(&mut self, _: Slot, _: &str) {}

    fn prepare(&mut self, _: Slot, _: Transaction) {}

    fn end(&mut self, _: Slot, _: Option<Transaction>, _: bool) {}

    fn copy(&mut self) {
        self.target.copy();
    }

    fn restore(&mut self, copy: usize) {
        self.target.restore(copy);
    }

    fn table(&mut self, on: Stream) -> Option<Vec<[String; 3]>> {
        self.target.table(&self.stream(on))
    }

    fn commit(&mut self, on: Stream) -> Option<String> {
        self.target.commit(&self.stream(on))
    }

    fn spoil(&mut self, on: Stream, drop: bool) {
        self.target.spoil(&self.stream(on), drop);
    }
}

/// The embedded destination's files, and copies of them.
pub struct Files {
    /// The project's folder.
    pub folder: PathBuf,
    /// How many copies there are.
    pub copies: usize,
}

impl Files {
    /// Keeps a copy, as a backup of the files would: with the journal.
    pub fn copy(&mut self) {
        let to = self.folder.join(format!("copies/{}", self.copies));
        fs::create_dir_all(&to).expect("a folder");
        move_files(&self.folder, &to);
        self.copies += 1;
    }

    /// Puts a copy back.
    pub fn restore(&self, copy: usize) {
        for name in ["waybill.db", "waybill.db-wal", "waybill.db-shm"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
        move_files(&self.folder.join(format!("copies/{copy}")), &self.folder);
    }

    /// Opens the newest copy.
    fn newest(&self) -> Option<Connection> {
        let path = self.folder.join(format!("copies/{}/waybill.db", self.copies - 1));
        path.exists()
            .then(|| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens"))
    }

    /// The rows of a table in the newest copy.
    pub fn table(&self, stream: &str) -> Option<Vec<[String; 3]>> {
        let conn = self.newest()?;
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = ?1";
        conn.query_row(sql, [stream], |_| Ok(())).optional().expect(sql)?;
        let sql = format!("SELECT CAST(id AS TEXT), CAST(n AS TEXT), CAST(v AS TEXT) FROM {stream}");
        let mut statement = conn.prepare(&sql).expect(&sql);
        let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).expect(&sql);
        Some(rows.collect::<rusqlite::Result<_>>().expect(&sql))
    }

    /// The commit that wrote a stream's state in the newest copy.
    pub fn commit(&self, stream: &str) -> Option<String> {
        let conn = self.newest()?;
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = '_waybill_state'";
        conn.query_row(sql, [], |_| Ok(())).optional().expect(sql)?;
        let sql = "SELECT commit_id FROM _waybill_state WHERE connection_id = ?1 AND scope = 'stream:' || ?2";
        conn.query_row(sql, [ID, stream], |row| row.get(0)).optional().expect(sql)
    }

    /// Empties a table beside the program, or drops it.
    pub fn spoil(&self, table: &str, drop: bool) {
        let sql = if drop { format!("DROP TABLE {table}") } else { format!("DELETE FROM {table}") };
        let conn = Connection::open(self.folder.join("waybill.db")).expect("it opens");
        conn.execute_batch(&format!("PRAGMA synchronous = OFF; {sql}")).expect(&sql);
    }
}

fn move_files(from: &Path, to: &Path) {
    for name in ["waybill.db", "waybill.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).expect("a copy");
        }
    }
}
