//! `connection query`: one statement that reads, its first rows, and nothing else.

use serde_json::json;

use crate::fixture::{Database, Project, one_connection, postgres};

const WRITES: &str = "the statement would write";

fn server(name: &str) -> (Database, Project) {
    let database = Database::new(name);
    database.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, price numeric(12,2), note text, at timestamptz, tags text[]);
         INSERT INTO t SELECT i, i / 4.0, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'a,\"b\"' END,
             '2024-01-01T00:00:00Z'::timestamptz + i * interval '1 hour', ARRAY['x', i::text]
             FROM generate_series(1, 250) i;
         CREATE FUNCTION sly() RETURNS int LANGUAGE sql AS $$ DELETE FROM t RETURNING 1 $$;",
    );
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    (database, project)
}

fn file() -> Project {
    let project =
        Project::new(one_connection("sqlite", json!({"path": "shop.db", "streams": [{"name": "t"}]})));
    let conn = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
         INSERT INTO t SELECT i, CASE WHEN i % 2 THEN 'a,b' END FROM n;",
    )
    .unwrap();
    project
}

#[test]
fn rows_come_exact_as_a_table_as_csv_and_as_json() {
    let (_database, project) = server("query_forms");
    let sql = "SELECT id, price, note, at, tags FROM t WHERE id <= 3 ORDER BY id; -- the first";
    let csv = project.waybill(&["connection", "query", "c", sql, "--format", "csv"]).exits(0);
    assert_eq!(
        csv.out,
        "id,price,note,at,tags\n1,0.25,\"\",2024-01-01T01:00:00Z,\"{x,1}\"\n\
         2,0.50,\"a,\"\"b\"\"\",2024-01-01T02:00:00Z,\"{x,2}\"\n3,0.75,,2024-01-01T03:00:00Z,\"{x,3}\"\n"
    );
    assert_eq!(csv.err, "");
    let json = project.waybill(&["connection", "query", "c", sql, "--output", "json"]).exits(0);
    let first = json.out.lines().nth(1).unwrap();
    assert_eq!(
        first,
        r#"{"id":2,"price":"0.50","note":"a,\"b\"","at":"2024-01-01T02:00:00Z","tags":"{x,2}"}"#
    );
    project.waybill(&["connection", "query", "c", sql]).exits(0).says(&["price", "0.75", "NULL"]);
    project.waybill(&["connection", "query", "c", "EXPLAIN SELECT * FROM t"]).exits(0).says(&["Scan"]);
    project.waybill(&["connection", "query", "c", "SHOW server_version"]).exits(0);
    project.waybill_fed(&["connection", "query", "c", "-"], "VALUES (1)").exits(0).says(&["column1"]);
}

#[test]
fn only_the_first_rows_are_shown_and_that_is_said() {
    let (_database, project) = server("query_limit");
    for project in [project, file()] {
        let ask = |words: &[&str]| {
            let all = [&["connection", "query", "c", "SELECT id FROM t", "--format", "csv"], words].concat();
            project.waybill(&all).exits(0)
        };
        let usual = ask(&[]);
        assert_eq!(usual.out.lines().count(), 101);
        assert!(usual.err.contains("only the first 100 rows: raise --limit"), "{usual:?}");
        assert_eq!(ask(&["--limit", "249"]).out.lines().count(), 250);
        let whole = ask(&["--limit", "250"]);
        assert_eq!((whole.out.lines().count(), whole.err.as_str()), (251, ""));
    }
}

#[test]
fn nothing_is_written_and_several_statements_are_refused() {
    let (database, project) = server("query_writes");
    let ask = |sql: &str| project.waybill(&["connection", "query", "c", sql]);
    // These the server itself refuses.
    for sql in [
        "SELECT sly()",
        "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM t",
        "SELECT nextval('s')",
    ] {
        database.sql("CREATE SEQUENCE IF NOT EXISTS s");
        let refused = ask(sql).exits(1);
        assert!(refused.err.contains(WRITES), "{sql}: {refused:?}");
    }
    for sql in [
        "DELETE FROM t",
        "SELECT 1; DELETE FROM t",
        "SELECT 1; COMMIT; DROP TABLE t",
        "SELECT 1) AS q ON false; COMMIT; DROP TABLE t; SELECT * FROM (SELECT 1",
        "SELECT E'\\'; COMMIT; DROP TABLE t; --'; COMMIT; DROP TABLE t",
        "COMMIT",
        "DO $$ BEGIN DELETE FROM t; END $$",
        "COPY t TO '/tmp/waybill-must-not-be-there'",
        "SELECT 'open",
        " -- nothing\n",
    ] {
        let refused = ask(sql).exits(2);
        assert!(refused.err.contains("hint:"), "{sql}: {refused:?}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM t"), "250");
    ask("SELECT nothing FROM t").exits(1).says(&["nothing"]);
}

#[test]
fn a_sqlite_file_is_only_read() {
    let project = file();
    let ask = |sql: &str| project.waybill(&["connection", "query", "c", sql]);
    for sql in ["DELETE FROM t", "CREATE TABLE x (a)", "PRAGMA user_version = 5", "SELECT 1; SELECT 2"] {
        ask(sql).exits(2);
    }
    for sql in ["ATTACH 'other.db' AS o", "VACUUM INTO 'copy.db'", "PRAGMA journal_mode = DELETE; SELECT 1"] {
        ask(sql).exits(2);
    }
    assert!(!project.path("other.db").exists() && !project.path("copy.db").exists());
    ask("SELEC 1").exits(1);
    let mixed = "SELECT 1 AS a UNION ALL SELECT 'x' UNION ALL SELECT NULL UNION ALL SELECT 2.5";
    let csv = project.waybill(&["connection", "query", "c", mixed, "--format", "csv"]).exits(0);
    assert_eq!(csv.out, "a\n1\nx\n\n2.5\n");
    let empty =
        project.waybill(&["connection", "query", "c", "SELECT id, note FROM t WHERE id < 0"]).exits(0);
    assert!(empty.out.contains("no rows; columns: id, note"), "{empty:?}");
}

#[test]
fn a_slow_statement_meets_the_deadline_on_either_system() {
    let (_database, project) = server("query_slow");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    for (project, sql) in [(project, "SELECT pg_sleep(600)"), (file(), endless)] {
        project.edit(|config| config["connections"][0]["query_timeout_ms"] = json!(300));
        project.waybill(&["connection", "query", "c", sql]).exits(75).says(&["query exceeded 0.3s"]);
    }
}

#[test]
fn the_destination_can_be_asked_and_files_cannot() {
    let (database, project) = server("query_back");
    project.run().exits(0);
    let ask = ["connection", "query", "c", "SELECT count(*) AS n FROM public_t", "--destination"];
    let answer = project.waybill(&[&ask[..], &["--format", "csv"]].concat()).exits(0);
    assert_eq!(answer.out, "n\n250\n");
    drop(database);
    let files = Project::new(one_connection("files", json!({"streams": [{"name": "a", "path": "a.csv"}]})));
    files.file("a.csv", "x\n1\n");
    files
        .waybill(&["connection", "query", "c", "SELECT 1"])
        .exits(2)
        .says(&["answers no queries", "preview"]);
    files.waybill(&["connection", "preview", "c", "a", "--format", "csv"]).exits(0).says(&["x\n1\n"]);
    files.waybill(&["connection", "query", "c", "  "]).exits(2);
    files.waybill(&["connection", "query", "c", "SELECT 1", "--limit", "0"]).exits(2);
}
