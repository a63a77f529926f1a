//! Rows whose cursor is NULL, by each policy.

use serde_json::{Value, json};

use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Project, incremental, one_connection, postgres};

fn policies(name: &str, stream: &str, table: &str, sql: &dyn Fn(&str), project: &dyn Fn(Value) -> Project) {
    sql("CREATE TABLE t (id INTEGER PRIMARY KEY, at INTEGER, note TEXT)");
    sql("INSERT INTO t VALUES (1, 1, 'a'), (2, NULL, 'b'), (3, 2, 'c'), (4, NULL, 'd')");
    let with = |write: &str, policy: &str| {
        project(json!([incremental(stream, json!({"cursor": "at", "write": write, "null_cursor": policy}))]))
    };
    let ids = format!("SELECT group_concat(id, ',') FROM (SELECT id FROM {table} ORDER BY id)");
    for write in ["append", "merge"] {
        let skipping = with(write, "skip");
        skipping.run().exits(0);
        assert_eq!(skipping.value(&ids), "1,3", "{name} {write}");
        let counts = skipping.summary()["progress_counts"][stream].clone();
        assert_eq!(counts["rows_null_cursor"], 2, "{counts}");
        let failing = with(write, "fail");
        failing.run().exits(1).says(&["2 rows", "null_cursor"]);
        assert_eq!(failing.summary()["progress_counts"][stream]["rows_read"], 0);
    }
    with("append", "include_always").run().exits(3).says(&["include_always", "merge"]);
    let always = with("merge", "include_always");
    always.run().exits(0);
    assert_eq!(always.value(&ids), "1,2,3,4", "{name}");
    sql("UPDATE t SET note = 'changed' WHERE id = 2");
    sql("INSERT INTO t VALUES (5, NULL, 'e'), (6, 3, 'f')");
    always.run().exits(0);
    assert_eq!(always.value(&ids), "1,2,3,4,5,6", "{name}");
    assert_eq!(always.value(&format!("SELECT note FROM {table} WHERE id = 2")), "changed");
    // A row that gets its cursor later is found by it.
    sql("UPDATE t SET at = 4 WHERE id = 4");
    let skipping = with("append", "skip");
    skipping.run().exits(0);
    sql("UPDATE t SET at = 5 WHERE id = 2");
    skipping.run().exits(0);
    assert_eq!(skipping.value(&ids), "1,2,3,4,6", "{name}");
    // All of them: nothing to read, and no end.
    sql("UPDATE t SET at = NULL");
    let none = with("append", "skip");
    none.run().exits(0);
    assert_eq!(none.value(&format!("SELECT count(*) FROM {table}")), "0");
    sql("UPDATE t SET at = 9 WHERE id = 1");
    none.run().exits(0);
    assert_eq!(none.value(&ids), "1", "{name}");
    sql("DROP TABLE t");
}

#[test]
fn nulls_follow_their_policy_from_postgres() {
    let source = Database::new("cursor_nulls");
    policies("postgres", "public.t", "public_t", &|sql| drop(source.sql(sql)), &|streams| {
        postgres::source(&source, streams)
    });
}

#[test]
fn nulls_follow_their_policy_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    policies("sqlite", "t", "t", &|sql| drop(sqlite_rows(&path, sql)), &|streams| {
        Project::new(one_connection("sqlite", json!({"path": path, "streams": streams})))
    });
}
