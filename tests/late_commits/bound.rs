//! The bound of the window: said before the first row.

use serde_json::json;

use super::{by, fails};
use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Project, postgres};

#[test]
fn a_window_beyond_its_bound_stops_before_the_first_row_and_says_the_ways_on() {
    let source = Database::new("late_bound");
    source.sql(
        "CREATE TABLE t AS SELECT n AS id, now() - interval '1 day' AS at FROM generate_series(1, 1000001) n",
    );
    source.sql("CREATE INDEX ON t (at); CREATE INDEX ON t (id); ALTER TABLE t ALTER id SET NOT NULL");
    let stream = |cursor: &str| {
        let mut stream = by("public.t", cursor, "append");
        stream["primary_key"] = json!(["id"]);
        postgres::source(&source, json!([stream]))
    };
    // One single timestamp: every row is a tie with the end.
    let ties = stream("at");
    fails(&ties, 1).says(&["more than 1000000 rows", "merge", "full_refresh"]);
    assert_eq!(ties.summary()["progress_counts"]["public.t"]["rows_read"], 0);
    // All different, but somebody has been open since before the first of them.
    source.sql("CREATE TABLE all_of_t AS TABLE t; DELETE FROM t WHERE id > 3");
    let wide = stream("id");
    wide.run().exits(0);
    let mut a = source.server.interactive(&source.name);
    a.run("BEGIN; SELECT 1");
    source.sql("INSERT INTO t SELECT id, at FROM all_of_t WHERE id > 3");
    source.sql("INSERT INTO t VALUES (1000002, now()), (1000003, now()), (1000004, now())");
    let said = fails(&wide, 1);
    let pid = source.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'");
    said.says(&[
        "more than 1000000 rows",
        &format!("held open by pid {pid}"),
        &format!("SELECT pg_terminate_backend({pid})"),
    ]);
    assert_eq!(wide.summary()["progress_counts"]["public.t"]["rows_read"], 0);
    assert_eq!(wide.value("SELECT count(*) FROM public_t"), "3");
    source.sql(&format!("SELECT pg_terminate_backend({pid})"));
    drop(a);
}

#[test]
fn in_sqlite_too() {
    let stream =
        json!({"name": "t", "mode": "incremental", "cursor": "at", "write": "append", "primary_key": ["id"]});
    let project =
        Project::new(crate::fixture::one_connection("sqlite", json!({"path": "s.db", "streams": [stream]})));
    sqlite_rows(&project.path("s.db"), "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME)");
    sqlite_rows(
        &project.path("s.db"),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000001)
         INSERT INTO t SELECT n, '2024-01-01 00:00:00' FROM c",
    );
    sqlite_rows(&project.path("s.db"), "CREATE INDEX i ON t (at)");
    fails(&project, 1).says(&["more than 1000000 rows", "merge", "full_refresh"]);
    assert_eq!(project.summary()["progress_counts"]["t"]["rows_read"], 0);
}
