//! Announced work of a server is not silence, however long it takes; a lock of somebody else is.

use serde_json::{Value, json};

use super::{out_of_time, said, set};
use crate::fixture::{Database, Project, postgres, script, wait_until};

/// How long nothing may come where the server does not say that it works.
const STALL_MS: u64 = 500;

fn into(database: &Database, selection: Value, rows: i64) -> Project {
    let project = script::source(selection, json!([script::whole(rows)]));
    postgres::destination(&project, database);
    set(&project, json!({"stall_timeout_ms": STALL_MS, "retries": 0}));
    project
}

fn adopting(write: &str) -> Value {
    let mut selection = script::by_cursor(write);
    selection["on_existing"] = json!("adopt");
    selection
}

const TABLE: &str = "CREATE TABLE s (id bigint PRIMARY KEY, note text, _waybill_run_id text);
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(TG_ARGV[0]::float8); RETURN NEW; END';";

#[test]
fn a_sort_without_an_index_before_the_first_row() {
    let database = Database::new("working_sort");
    database.sql(
        "CREATE VIEW v AS SELECT * FROM (SELECT n AS id, pg_sleep(0.08)::text AS s FROM generate_series(1, 20) n OFFSET 0) q ORDER BY id DESC",
    );
    let project = postgres::source(&database, json!([{"name": "public.v"}]));
    set(&project, json!({"stall_timeout_ms": STALL_MS, "retries": 0}));
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM public_v"), "20");
    assert!(said(&project, "a statement has been at work"));
}

#[test]
fn rows_that_cost_the_destination_much() {
    let database = Database::new("working_rows");
    database.sql(TABLE);
    // Ten rows a COPY, each of which takes longer than anything may be silent.
    database.sql("CREATE TRIGGER slow BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION slow(0.15)");
    let project = into(&database, adopting("append"), 20);
    project.run().exits(0);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM s"), "20|20");
    assert!(said(&project, "a statement has been at work"));
}

#[test]
fn constraints_that_are_looked_at_by_commit() {
    let database = Database::new("working_commit");
    database.sql(TABLE);
    database.sql(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow(0.05)",
    );
    let project = into(&database, adopting("append"), 50);
    set(&project, json!({"query_timeout_ms": 400}));
    project.run().exits(0);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM s"), "50|50");
    assert!(said(&project, "a statement has been at work"));
}

#[test]
fn an_index_that_takes_long_to_build() {
    let database = Database::new("working_index");
    let project = into(&database, json!({"name": "s"}), 40);
    project.run().exits(0);
    database.sql(
        "CREATE FUNCTION slow(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.03); RETURN $1; END';
         CREATE INDEX slow ON s (slow(id))",
    );
    project.run().exits(0);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM s"), "40|40");
    assert_eq!(database.sql("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%slow(id)%'"), "1");
    assert!(said(&project, "a statement has been at work"));
}

/// Ten rows are loaded, and somebody locks the table before there are more.
fn locked(name: &str) -> (Database, Project, crate::server::Open) {
    let database = Database::new(name);
    let project = into(&database, script::by_cursor("append"), 10);
    let more = script::stream("s", json!([script::whole(10), script::whole(20)]));
    project.file("source.json", json!({"streams": [more]}).to_string());
    project.run().exits(0);
    let mut other = database.server.interactive(&database.name);
    other.run("BEGIN");
    other.run("LOCK TABLE s IN EXCLUSIVE MODE");
    (database, project, other)
}

#[test]
fn a_lock_at_the_destination_is_waited_for_and_said_with_who_holds_it() {
    let (database, project, mut other) = locked("working_lock");
    set(&project, json!({"stall_timeout_ms": 90_000, "slow_query_ms": 100}));
    let running = project.start(&["run", "c"]);
    project.wait_for_event("lock.waited", "(psql)");
    other.run("COMMIT");
    running.wait().exits(0);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM s"), "20|20");
}

#[test]
fn a_lock_that_is_never_let_go_is_given_up() {
    let (database, project, other) = locked("working_lock_on");
    project.run().exits(75);
    let error = out_of_time(&project);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("waited for a lock") && message.contains("(psql) holds it"), "{error}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("(SELECT pg_terminate_backend("), "{error}");
    assert!(hint.contains(&format!("--set stall_timeout_ms={}", STALL_MS * 4)), "{error}");
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'";
    wait_until("the end of the waiting", || database.sql(waits) == "0");
    drop(other);
    project.run().exits(0);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM s"), "20|20");
}
