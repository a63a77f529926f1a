//! How many rows a merged table has is known exactly, so that it can be told when it would shrink.

use serde_json::{Value, json};

use crate::fixture::{Database, Project, postgres, script};

fn rows(ids: &[i64]) -> Value {
    let rows: Vec<Value> = ids.iter().map(|id| json!([id, format!("row {id}")])).collect();
    json!({"do": "values", "rows": rows})
}

fn at(floor: i64) -> Value {
    json!({"do": "checkpoint", "floor": floor})
}

/// Inserts, updates, keys that come twice in one commit, and a key that is there from a commit before.
fn reads() -> Value {
    let (schema, complete) = (json!({"do": "schema"}), json!({"do": "complete"}));
    json!([
        [schema, rows(&[1, 2, 3, 3]), at(3), rows(&[3, 4, 5]), rows(&[5]), at(5), complete],
        [schema, rows(&[5, 6, 6, 7]), at(7), complete],
        [schema, rows(&[7]), at(7), complete]
    ])
}

fn known(project: &Project, counted: impl Fn() -> String) {
    for expected in ["5|5", "7|7", "7|7"] {
        project.run().exits(0);
        assert_eq!(counted(), expected);
    }
}

#[test]
fn in_sqlite() {
    let project = script::source(script::by_cursor("merge"), reads());
    known(&project, || project.value("SELECT rows || '|' || (SELECT count(*) FROM s) FROM _waybill_state"));
}

#[test]
fn in_sqlite_a_table_without_rowids_has_an_upper_bound() {
    let project = script::source(script::by_cursor("merge"), reads());
    let conn = rusqlite::Connection::open(project.path("waybill.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE s (id INTEGER PRIMARY KEY, note TEXT, _waybill_run_id TEXT) WITHOUT ROWID",
    )
    .unwrap();
    drop(conn);
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["on_existing"] = json!("adopt"));
    project.run().exits(0);
    assert_eq!(project.value("SELECT rows || '|' || (SELECT count(*) FROM s) FROM _waybill_state"), "8|5");
}

#[test]
fn in_postgres() {
    let database = Database::new("merge_rows");
    let project = script::source(script::by_cursor("merge"), reads());
    postgres::destination(&project, &database);
    known(&project, || database.sql("SELECT rows || '|' || (SELECT count(*) FROM s) FROM _waybill_state"));
}

#[test]
fn in_postgres_a_partitioned_table_has_an_upper_bound() {
    let database = Database::new("merge_rows_partitioned");
    database.sql(
        "CREATE TABLE s (id bigint PRIMARY KEY, note text, _waybill_run_id text) PARTITION BY RANGE (id);
         CREATE TABLE s1 PARTITION OF s FOR VALUES FROM (0) TO (4);
         CREATE TABLE s2 PARTITION OF s FOR VALUES FROM (4) TO (100)",
    );
    let project = script::source(script::by_cursor("merge"), reads());
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["on_existing"] = json!("adopt"));
    postgres::destination(&project, &database);
    project.run().exits(0);
    assert_eq!(database.sql("SELECT rows || '|' || (SELECT count(*) FROM s) FROM _waybill_state"), "8|5");
}

#[test]
fn a_rebuild_that_would_shrink_a_merged_table_too_far_is_refused() {
    let database = Database::new("merge_shrinks");
    for postgres in [false, true] {
        let whole = script::whole(50);
        let project = script::source(script::by_cursor("merge"), json!([whole, whole, script::whole(10)]));
        project.edit(|config| config["connections"][0]["schema"]["streams"][0]["max_shrink"] = json!(0.3));
        if postgres {
            postgres::destination(&project, &database);
        }
        project.run().exits(0);
        // The same rows again: no growth, and nothing that a rebuild of fifty rows could shrink.
        project.waybill(&["run", "c", "--full-refresh"]).exits(0);
        project.waybill(&["run", "c", "--full-refresh"]).exits(1).says(&["from 50 to 10 rows"]);
    }
}
