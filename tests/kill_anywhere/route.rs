//! A project at the moment before a run that will be killed, and what that run does when it is not.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::rows::{self, TABLES, Target};
use crate::fixture::project::sqlite_rows;
use crate::fixture::shim::{Call, Shim, calls};
use crate::fixture::{Database, Project, incremental, one_connection, postgres};
use crate::server::PgServer;

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Files,
    Sqlite,
    Postgres,
}

/// Where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Sqlite,
    Postgres,
}

/// A prepared run.
pub struct Route {
    /// The project before the run; every point gets a copy of it.
    pub project: Project,
    /// The destination.
    pub target: Target,
    /// Whether an earlier run has filled the tables.
    pub later: bool,
    /// The calls of a run that nobody kills.
    pub calls: Vec<Call>,
    /// The states of config.json in the course of such a run.
    pub configs: BTreeSet<String>,
    empty: Option<Database>,
}

impl Route {
    /// Prepares the first run of a route, or a later one after changes at the source.
    pub fn new(name: &str, from: From, to: To, later: bool) -> Route {
        Route::on(PgServer::shared(), name, from, to, later)
    }

    /// The same with the databases on another server.
    pub fn on(server: &'static PgServer, name: &str, from: From, to: To, later: bool) -> Route {
        let source_name = format!("kill_{name}_{later}_source");
        let project = source(server, &source_name, from);
        let target = match to {
            To::Sqlite => Target::Sqlite,
            To::Postgres => {
                let database = new_database(server, &format!("kill_{name}_{later}"));
                postgres::destination(&project, &database);
                Target::Postgres(database)
            }
        };
        if later {
            project.run().exits(0);
            change(server, &project, &source_name, from);
        }
        let empty = match &target {
            Target::Sqlite => None,
            Target::Postgres(database) => Some(clone_of(database, &format!("{}_before", database.name))),
        };
        let mut route = Route { project, target, later, calls: Vec::new(), configs: BTreeSet::new(), empty };
        route.watch();
        route
    }

    /// A copy of the project, with the destination as it was.
    pub fn start(&self) -> Project {
        if let (Target::Postgres(database), Some(empty)) = (&self.target, &self.empty) {
            clone_of(empty, &database.name);
        }
        self.project.copy()
    }

    /// The tables as they were before the run.
    pub fn before(&self, table: &str) -> Option<Vec<String>> {
        self.later.then(|| rows::loaded(table, false))
    }

    /// The tables as they are to be.
    pub fn expected(&self, table: &str) -> Vec<String> {
        rows::loaded(table, self.later)
    }

    /// Runs once without a kill.
    fn watch(&mut self) {
        let project = self.start();
        let mut command = project.command(&["run", "c"]);
        let report = project.path("calls");
        Shim { no_sync: true, ..Shim::default() }.before(&mut command, Some(&report));
        let ended = command.output().expect("the program starts");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        self.calls = calls(&report);
        for table in TABLES {
            assert_eq!(self.target.rows(&project, table).expect(table), self.expected(table), "{table}");
        }
        let mut with_id = self.project.config();
        with_id["connections"][0]["id"] = project.config()["connections"][0]["id"].clone();
        self.configs = [self.project.config(), with_id, project.config()].iter().map(shape).collect();
    }
}

/// A config without what differs from run to run.
pub fn shape(config: &Value) -> String {
    let mut config = config.clone();
    let entry = &mut config["connections"][0];
    let id = entry.as_object_mut().and_then(|entry| entry.shift_remove("id"));
    format!("{} {config}", if id.is_some() { "with an id" } else { "without an id" })
}

fn source(server: &'static PgServer, name: &str, from: From) -> Project {
    let by_cursor = |table: &str, more: Value| incremental(table, merged(json!({"cursor": "tick"}), more));
    let names = |prefix: &str| TABLES.map(|table| format!("{prefix}{table}"));
    let streams = |[whole, added, merged]: [String; 3]| {
        json!([
            {"name": whole, "table": "whole"},
            by_cursor(&added, json!({"write": "append", "table": "added"})),
            by_cursor(&merged, json!({"write": "merge", "table": "merged"})),
        ])
    };
    let project = match from {
        From::Sqlite => {
            let schema = json!({"path": "source.db", "streams": streams(names(""))});
            let project = Project::new(one_connection("sqlite", schema));
            write(&project.path("source.db"), &rows::fill(rows::before));
            project
        }
        From::Postgres => {
            let database = new_database(server, name);
            database.sql(&rows::fill(rows::before));
            postgres::source(&database, streams(names("public.")))
        }
        From::Files => {
            let one = |table: &str, more: Value| {
                let path = format!("{table}/*.csv");
                merged(json!({"name": table, "path": path, "format": "csv"}), more)
            };
            let streams = json!([
                one("whole", json!({})),
                one("added", json!({"mode": "incremental", "write": "append", "on_change": "tail"})),
                one("merged", json!({"mode": "incremental", "write": "merge", "primary_key": ["id"]})),
            ]);
            let project = Project::new(one_connection("files", json!({"root": ".", "streams": streams})));
            for table in TABLES {
                let rows = rows::before(table);
                let (first, second) = rows.split_at(rows.len() / 2);
                project.file(&format!("{table}/1.csv"), rows::csv(first));
                project.file(&format!("{table}/2.csv"), rows::csv(second));
            }
            project
        }
    };
    // One after the other, so that a point is the same step each time.
    project.edit(|config| config["connections"][0]["parallelism"] = json!(1));
    project
}

fn change(server: &'static PgServer, project: &Project, name: &str, from: From) {
    match from {
        From::Sqlite => write(&project.path("source.db"), &rows::change()),
        From::Postgres => drop(Database { server, name: name.to_owned() }.sql(&rows::change())),
        From::Files => {
            project.file("whole/1.csv", rows::csv(&rows::after("whole")));
            std::fs::remove_file(project.path("whole/2.csv")).expect("the file is removed");
            for table in ["added", "merged"] {
                let old = rows::before(table);
                let new: Vec<_> = rows::after(table).into_iter().filter(|row| !old.contains(row)).collect();
                let (first, second) = new.split_at(new.len() / 3);
                project.file(&format!("{table}/3.csv"), rows::csv(second));
                let text = rows::csv(first);
                match table {
                    "added" => project.append("added/2.csv", text.split_once('\n').expect("a header").1),
                    _ => project.file("merged/4.csv", text),
                }
            }
        }
    }
}

fn merged(mut one: Value, other: Value) -> Value {
    for (key, value) in other.as_object().expect("an object") {
        one[key] = value.clone();
    }
    one
}

fn write(path: &Path, sql: &str) {
    rusqlite::Connection::open(path)
        .expect("the file opens")
        .execute_batch(sql)
        .expect("the rows are written");
    assert!(sqlite_rows(path, "PRAGMA integrity_check") == ["ok"]);
}

fn new_database(server: &'static PgServer, name: &str) -> Database {
    Database { server, name: server.database(name) }
}

/// A database that is a copy of another, in the place of what had its name.
fn clone_of(database: &Database, name: &str) -> Database {
    let server = database.server;
    server.psql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", database.name));
    Database { server, name: name.to_owned() }
}
