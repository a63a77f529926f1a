//! From PostgreSQL into PostgreSQL, or into a SQLite file.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::play::System;
use super::rules::Transaction;
use super::script::{Script, Slot, Step, Stream};
use super::sqlite::{Files, ID};
use crate::fixture::{Database, Project, postgres};
use crate::server::{Open, PgServer};

/// Databases that no script uses now.
static FREE: Mutex<Vec<Database>> = Mutex::new(Vec::new());

/// The system.
pub struct Postgres {
    project: Project,
    source: Option<Database>,
    writer: Open,
    open: BTreeMap<Slot, Open>,
    target: Target,
}

enum Target {
    Files(Files),
    Server(Server),
}

/// A database as destination.
struct Server {
    database: Option<Database>,
    /// Whether copies are ever put back.
    keeps: bool,
    copies: usize,
    /// What it holds: table → rows, and the commits of states.
    tables: BTreeMap<String, Vec<[String; 3]>>,
    commits: BTreeMap<String, String>,
}

/// An empty database.
fn database() -> Database {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let free = FREE.lock().expect("no thread panicked").pop();
    let Some(database) = free else {
        return Database::new(&format!("model_{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    };
    database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    database
}

fn give_back(database: Option<Database>) {
    if let (Some(database), Ok(mut free)) = (database, FREE.lock()) {
        free.push(database);
    }
}

impl Postgres {
    /// An empty one, into a SQLite file.
    pub fn into_sqlite(_: &Script) -> Postgres {
        Postgres::new(|project| Target::Files(Files { folder: project.dir().to_owned(), copies: 0 }))
    }

    /// An empty one, into PostgreSQL.
    pub fn into_postgres(script: &Script) -> Postgres {
        let keeps = script.steps.iter().any(|step| matches!(step, Step::Restore { .. }));
        Postgres::new(|project| {
            let target = database();
            postgres::destination(project, &target);
            Target::Server(Server {
                database: Some(target),
                keeps,
                copies: 0,
                tables: BTreeMap::new(),
                commits: BTreeMap::new(),
            })
        })
    }

    fn new(target: impl FnOnce(&Project) -> Target) -> Postgres {
        let source = database();
        let project = postgres::source(&source, json!([]));
        project.edit(|config| config["connections"][0]["id"] = json!(ID));
        let writer = source.server.interactive(&source.name);
        let target = target(&project);
        Postgres { project, source: Some(source), writer, open: BTreeMap::new(), target }
    }

    fn source(&self) -> &Database {
        self.source.as_ref().expect("until it is dropped")
    }

    /// Waits until the server has noticed that a killed run is gone.
    fn settle(&self) {
        let target = match &self.target {
            Target::Server(server) => &server.database().name,
            Target::Files(_) => &self.source().name,
        };
        let sql = format!(
            "DO $$ BEGIN WHILE EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = 'waybill' \
             AND datname IN ('{}', '{target}')) LOOP PERFORM pg_sleep(0.003), pg_stat_clear_snapshot(); \
             END LOOP; END $$",
            self.source().name
        );
        self.source().server.psql("postgres", &sql);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.open.clear();
        let source = self.source.take();
        if let Some(source) = &source {
            let sql = format!("SELECT gid FROM pg_prepared_xacts WHERE database = '{}'", source.name);
            for gid in source.sql(&sql).lines() {
                source.sql(&format!("ROLLBACK PREPARED '{gid}'"));
            }
        }
        give_back(source);
        if let Target::Server(server) = &mut self.target {
            give_back(server.database.take());
        }
    }
}

impl System for Postgres {
    fn project(&self) -> &Project {
        &self.project
    }

    fn stream(&self, on: Stream) -> String {
        format!("public.s{on}")
    }

    fn write(&mut self, sql: &str) {
        self.writer.run(sql);
    }

    fn begin(&mut self, slot: Slot, sql: &str) {
        let source = self.source.as_ref().expect("until it is dropped");
        let open = self.open.entry(slot).or_insert_with(|| {
            let mut open = source.server.interactive(&source.name);
            open.run("BEGIN");
            open
        });
        open.run(sql);
    }

    fn prepare(&mut self, slot: Slot, transaction: Transaction) {
        let gid = format!("{}_{transaction}", self.source().name);
        if let Some(mut open) = self.open.remove(&slot) {
            open.run(&format!("PREPARE TRANSACTION '{gid}'"));
        }
    }

    fn end(&mut self, slot: Slot, prepared: Option<Transaction>, commit: bool) {
        let word = if commit { "COMMIT" } else { "ROLLBACK" };
        match (prepared, self.open.remove(&slot)) {
            (Some(transaction), _) => {
                let gid = format!("{}_{transaction}", self.source().name);
                self.writer.run(&format!("{word} PREPARED '{gid}'"));
            }
            (None, Some(mut open)) => open.run(word),
            (None, None) => {}
        }
    }

    fn copy(&mut self) {
        self.settle();
        match &mut self.target {
            Target::Files(files) => files.copy(),
            Target::Server(server) => server.copy(),
        }
    }

    fn restore(&mut self, copy: usize) {
        match &mut self.target {
            Target::Files(files) => files.restore(copy),
            Target::Server(server) => server.restore(copy),
        }
    }

    fn table(&mut self, on: Stream) -> Option<Vec<[String; 3]>> {
        match &self.target {
            Target::Files(files) => files.table(&format!("public_s{on}")),
            Target::Server(server) => server.tables.get(&format!("s{on}")).cloned(),
        }
    }

    fn commit(&mut self, on: Stream) -> Option<String> {
        match &self.target {
            Target::Files(files) => files.commit(&self.stream(on)),
            Target::Server(server) => server.commits.get(&self.stream(on)).cloned(),
        }
    }

    fn spoil(&mut self, on: Stream, drop: bool) {
        match &self.target {
            Target::Files(files) => files.spoil(&format!("public_s{on}"), drop),
            Target::Server(server) => {
                let word = if drop { "DROP TABLE" } else { "TRUNCATE" };
                server.database().sql(&format!("{word} s{on}"));
            }
        }
    }
}

impl Server {
    fn database(&self) -> &Database {
        self.database.as_ref().expect("until it is dropped")
    }

    fn kept(&self, copy: usize) -> String {
        format!("{}_copy_{copy}", self.database().name)
    }

    fn copy(&mut self) {
        self.look();
        if self.keeps {
            let (database, copy) = (&self.database().name, self.kept(self.copies));
            let server = PgServer::shared();
            server.psql("postgres", &format!("DROP DATABASE IF EXISTS {copy}"));
            server.psql("postgres", &format!("CREATE DATABASE {copy} TEMPLATE {database}"));
        }
        self.copies += 1;
    }

    fn restore(&mut self, copy: usize) {
        let (database, copy) = (&self.database().name, self.kept(copy));
        let server = PgServer::shared();
        server.psql("postgres", &format!("DROP DATABASE {database}"));
        server.psql("postgres", &format!("CREATE DATABASE {database} TEMPLATE {copy}"));
    }

    /// Reads everything.
    fn look(&mut self) {
        let database = self.database();
        let names = database.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let mut asked = Vec::new();
        for name in names.lines() {
            asked.push(match name {
                "_waybill_state" => format!(
                    "SELECT json_build_array('', scope, commit_id) FROM _waybill_state WHERE connection_id::text = '{ID}'"
                ),
                "s0" | "s1" => {
                    format!("SELECT json_build_array('{name}', id::text, n::text, v::text) FROM {name}")
                }
                _ => continue,
            });
        }
        let rows = if asked.is_empty() { String::new() } else { database.sql(&asked.join(" UNION ALL ")) };
        let mut tables: BTreeMap<String, Vec<[String; 3]>> = BTreeMap::new();
        for name in names.lines().filter(|name| matches!(*name, "s0" | "s1")) {
            tables.insert(name.to_owned(), Vec::new());
        }
        let mut commits = BTreeMap::new();
        for row in rows.lines() {
            let row: Vec<Value> = serde_json::from_str(row).expect(row);
            let text = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
            match tables.get_mut(&text(0)) {
                Some(table) => table.push([text(1), text(2), text(3)]),
                None => drop(commits.insert(text(1).trim_start_matches("stream:").to_owned(), text(2))),
            }
        }
        (self.tables, self.commits) = (tables, commits);
    }
}
