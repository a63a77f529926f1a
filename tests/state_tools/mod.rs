//! The state tools: what they say, and that it is true.

mod changing;
mod telling;
mod verify;

use serde_json::{Value, json};

use crate::fixture::process::PATIENCE;
use crate::fixture::{Project, incremental};

/// Runs SQL on a SQLite file of a project.
#[track_caller]
fn sqlite(project: &Project, file: &str, sql: &str) {
    let conn = rusqlite::Connection::open(project.path(file)).unwrap();
    conn.busy_timeout(PATIENCE).unwrap();
    conn.execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// A project with connection `c` from a SQLite file `shop.db`: `orders` merged by `at`, `items`
/// appended by `id`, `lists` replaced as a whole; 1000, 100 and 10 rows.
fn shop() -> Project {
    let streams = json!([
        incremental("orders", json!({"cursor": "at", "write": "merge"})),
        incremental("items", json!({"cursor": "id", "write": "append"})),
        {"name": "lists"},
    ]);
    let project = Project::new(crate::fixture::one_connection(
        "sqlite",
        json!({"path": "shop.db", "streams": streams}),
    ));
    sqlite(
        &project,
        "shop.db",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, amount DECIMAL(10,2), at TIMESTAMP, ref UUID);
         CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE lists (k TEXT, v REAL);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO orders SELECT i, 'customer ' || i % 7, i / 4.0,
             strftime('%Y-%m-%d %H:%M:%S', '2024-01-01', '+' || i || ' hours'),
             printf('0190a5c2-7b1e-7c3d-9f00-%012x', i) FROM n;
         INSERT INTO items SELECT id, 'item ' || id FROM orders WHERE id <= 100;
         INSERT INTO lists SELECT 'k' || id, id / 3.0 FROM orders WHERE id <= 10;",
    );
    project
}

/// The stream of that name in an answer.
#[track_caller]
fn stream<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let streams = answer["streams"].as_array().unwrap();
    streams.iter().find(|stream| stream["stream"] == name).unwrap_or_else(|| panic!("{answer:#}"))
}

/// What `state WORDS… c` answers as JSON, and its exit code.
fn ask(project: &Project, words: &[&str]) -> (Value, i32) {
    let all: Vec<&str> = ["state"].iter().chain(words).chain(&["--output", "json"]).copied().collect();
    let finished = project.waybill(&all);
    (finished.json(), finished.code)
}
