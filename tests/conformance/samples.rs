//! For each system something to read and somewhere to load into.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use waybill_protocol::StreamSelection;

use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, script};
use crate::server::{PASSWORD, PgServer, USER};

/// How many rows the full stream has.
pub const ROWS: u64 = 2500;

/// Something to read.
pub struct Input {
    pub folder: tempfile::TempDir,
    pub settings: Value,
    /// A stream of [`ROWS`] rows.
    pub full: StreamSelection,
    /// A stream without rows.
    pub empty: StreamSelection,
    /// A stream that is not there.
    pub absent: StreamSelection,
}

/// Counts the rows of a table.
type Count = Box<dyn Fn(&str) -> Option<u64> + Send + Sync>;

/// Somewhere to load into.
pub struct Output {
    pub folder: tempfile::TempDir,
    pub settings: Value,
    /// The schema that tables lie in.
    pub namespace: Option<String>,
    /// Rows of a table as another program sees them; `None` where there is no table.
    pub count: Count,
}

/// The input of a source.
pub fn input(system: &str, name: &str) -> Input {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let named = StreamSelection::named;
    let (settings, full, empty, absent) = match system {
        "files" => {
            let rows: String = (1..=ROWS).map(|n| format!("{n},Größe {n}\n")).collect();
            fs::write(path.join("full.csv"), format!("id,note\n{rows}")).unwrap();
            fs::write(path.join("empty.csv"), "id,note\n").unwrap();
            (json!({}), at("full", "full.csv"), at("empty", "empty.csv"), at("absent", "absent.csv"))
        }
        "sqlite" => {
            let conn = rusqlite::Connection::open(path.join("in.db")).unwrap();
            conn.execute_batch(&tables("INTEGER PRIMARY KEY", &sqlite_series())).unwrap();
            (json!({"path": "in.db"}), named("full_rows"), named("no_rows"), named("absent"))
        }
        "postgres" => {
            let database = Database::new(&format!("conformance_in_{name}"));
            database.sql(&tables("bigint PRIMARY KEY", &format!("generate_series(1, {ROWS}) n")));
            let streams = ["public.full_rows", "public.no_rows", "public.absent"].map(named);
            let [full, empty, absent] = streams;
            (reached(database.server, &database.name), full, empty, absent)
        }
        "scripted" => {
            let streams = json!({"streams": [
                script::stream("full", json!([script::whole(ROWS as i64)])),
                script::stream("empty", json!([script::whole(0)])),
            ]});
            fs::write(path.join("script.json"), streams.to_string()).unwrap();
            (json!({"script": "script.json"}), named("full"), named("empty"), named("absent"))
        }
        other => panic!("no sample for {other}: add what the suite can read to tests/conformance/samples.rs"),
    };
    Input { folder, settings, full, empty, absent }
}

/// The output of a destination.
pub fn output(system: &str, name: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    match system {
        "sqlite" | "scripted" => {
            let path = folder.path().join("out.db");
            let count = Box::new(move |table: &str| count_sqlite(&path, table));
            Output { folder, settings: json!({"path": "out.db"}), namespace: None, count }
        }
        "postgres" => {
            let database = Database::new(&format!("conformance_out_{name}"));
            let settings = reached(database.server, &database.name);
            let count = Box::new(move |table: &str| count_postgres(&database, table));
            Output { folder, settings, namespace: Some("public".into()), count }
        }
        other => {
            panic!("no sample for {other}: add where the suite can load to tests/conformance/samples.rs")
        }
    }
}

fn at(name: &str, path: &str) -> StreamSelection {
    let mut selection = StreamSelection::named(name);
    selection.options.insert("path".into(), path.into());
    selection
}

fn reached(server: &PgServer, database: &str) -> Value {
    json!({"host": "127.0.0.1", "port": server.port, "database": database, "user": USER,
           "password": PASSWORD, "tls": "disable"})
}

fn sqlite_series() -> String {
    format!(
        "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) SELECT n FROM s)"
    )
}

fn tables(key: &str, series: &str) -> String {
    format!(
        "CREATE TABLE full_rows (id {key}, note text);
         INSERT INTO full_rows SELECT n, 'Größe ' || n FROM {series};
         CREATE TABLE no_rows (id {key}, note text);"
    )
}

fn count_sqlite(path: &Path, table: &str) -> Option<u64> {
    let found = sqlite_rows(
        &PathBuf::from(path),
        &format!("SELECT count(*) FROM sqlite_schema WHERE name = '{table}'"),
    );
    let there = found.first().is_some_and(|count| count == "1");
    there.then(|| sqlite_rows(path, &format!("SELECT count(*) FROM {table}"))[0].parse().unwrap())
}

fn count_postgres(database: &Database, table: &str) -> Option<u64> {
    let there = database.sql(&format!("SELECT to_regclass('public.{table}') IS NOT NULL")) == "t";
    there.then(|| database.sql(&format!("SELECT count(*) FROM public.{table}")).parse().unwrap())
}
