//! Many rows with one cursor, in batches of a few rows.

use serde_json::json;

use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Finished, Project, Running, incremental, one_connection, postgres};

/// A run whose batches have so many rows, with a checkpoint after each where the order is known.
fn run(project: &Project, rows: u32) -> Finished {
    if cfg!(not(feature = "failpoints")) {
        panic!("these tests need --features failpoints");
    }
    let mut command = project.command(&["run", "c"]);
    command.env("WAYBILL_TEST_BATCH_ROWS", rows.to_string());
    let finished = Running::start(&mut command).wait();
    project.log().check();
    finished
}

/// The four ways: with and without a key, in order and not.
fn projects(project: impl Fn(serde_json::Value, bool) -> Project, stream: &str) -> Vec<(String, Project)> {
    let mut all = Vec::new();
    for (key, write) in [(true, "append"), (true, "merge"), (false, "append")] {
        for indexed in [true, false] {
            let mut selected = incremental(stream, json!({"cursor": "at", "write": write}));
            if key {
                selected["primary_key"] = json!(["id"]);
            }
            let words = format!(
                "{write}, {} key, {} index",
                if key { "a" } else { "no" },
                if indexed { "an" } else { "no" }
            );
            all.push((words, project(selected, indexed)));
        }
    }
    all
}

#[test]
fn ten_thousand_ties_cross_the_borders_of_batches_and_arrive_once() {
    let source = Database::new("ties");
    for table in ["by_index", "by_scan"] {
        source.sql(&format!(
            "CREATE TABLE {table} (id int, at int);
             INSERT INTO {table} SELECT n, CASE WHEN n <= 50 THEN 1 WHEN n <= 10050 THEN 2 ELSE 3 END FROM generate_series(1, 10100) n"
        ));
    }
    source.sql("CREATE INDEX ON by_index (at)");
    let of = |selected: serde_json::Value, indexed: bool| {
        let mut selected = selected;
        selected["name"] = json!(if indexed { "public.by_index" } else { "public.by_scan" });
        selected["table"] = json!("t");
        postgres::source(&source, json!([selected]))
    };
    let all = projects(of, "public.by_index");
    for (n, (words, project)) in all.iter().enumerate() {
        // In order, every batch is a commit: fewer of them, then.
        let rows = if words.ends_with("an index") { 97 + n as u32 } else { 1 + n as u32 };
        run(project, rows).exits(0);
        let counted =
            || project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || sum(id) FROM t");
        assert_eq!(counted(), "10100|10100|51010050", "{words}");
        let commits = project.log().named("checkpoint.committed").len();
        assert_eq!(commits > 50, words.ends_with("an index"), "{words}: {commits} commits");
        run(project, rows).exits(0);
        assert_eq!(counted(), "10100|10100|51010050", "{words}");
    }
    // More ties at the end, below it and above.
    for table in ["by_index", "by_scan"] {
        source.sql(&format!("INSERT INTO {table} SELECT n, 3 + n % 2 FROM generate_series(10101, 10200) n"));
    }
    for (words, project) in &all {
        run(project, 7).exits(0);
        let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || sum(id) FROM t");
        assert_eq!(found, "10200|10200|52025100", "{words}");
    }
}

#[test]
fn equal_rows_without_a_key_are_counted_across_batches_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let sql = |sql: &str| sqlite_rows(&path, sql);
    sql("CREATE TABLE t (id INTEGER, at INTEGER)");
    sql("CREATE INDEX i ON t (at)");
    sql(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) INSERT INTO t SELECT 1, 1 FROM c",
    );
    let stream = incremental("t", json!({"cursor": "at", "write": "append"}));
    let project = Project::new(one_connection("sqlite", json!({"path": path, "streams": [stream]})));
    for (rows, expected) in [(3, "300"), (4, "300"), (5, "407")] {
        if expected == "407" {
            sql(
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 107) INSERT INTO t SELECT 1, 1 FROM c",
            );
        }
        run(&project, rows).exits(0);
        assert_eq!(project.value("SELECT count(*) FROM t"), expected);
        let commits = project.log().named("checkpoint.committed").len();
        assert!(commits >= 300 / rows as usize, "{commits} commits: an index on the cursor is an order");
    }
    sql("INSERT INTO t VALUES (1, 2), (1, 2)");
    run(&project, 1).exits(0);
    assert_eq!(project.value("SELECT count(*) FROM t"), "409");
}
