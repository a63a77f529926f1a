//! Servers that stop answering, and runs that end while a server works.

use serde_json::json;

use super::{at_work, nothing_left, out_of_time, set};
use crate::fixture::{Database, Project, one_connection, postgres, script, wait_until};
use crate::server::{Frozen, PgServer};

/// A server of its own, with a database.
fn own(name: &str) -> Database {
    let server: &'static PgServer = Box::leak(Box::new(PgServer::start(&[])));
    Database { server, name: server.database(name) }
}

/// The processes of a database that sleep in a statement.
fn sleeping(database: &Database) -> String {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'",
        database.name
    );
    database.server.psql("postgres", &sql)
}

fn impatient(project: &Project) {
    set(project, json!({"query_timeout_ms": 700, "stall_timeout_ms": 300, "retries": 0}));
}

#[test]
fn a_server_that_stops_answering_is_given_up_on_either_side() {
    let database = own("frozen");
    // Work takes long as long as this says so.
    database.sql(
        "CREATE TABLE pace (seconds float8); INSERT INTO pace VALUES (600);
         CREATE VIEW v AS SELECT n AS id, (SELECT pg_sleep(seconds)::text FROM pace) AS s FROM generate_series(1, 3) n;
         CREATE TABLE s (id bigint PRIMARY KEY, note text, _waybill_run_id text);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(seconds) FROM pace; RETURN NEW; END';
         CREATE TRIGGER slow BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let from = postgres::source(&database, json!([{"name": "public.v"}]));
    from.edit(|config| config["connections"][0]["schema"]["connect_timeout_ms"] = json!(600));
    let mut selection = script::by_cursor("merge");
    selection["on_existing"] = json!("adopt");
    let into = script::source(selection, json!([script::whole(5), script::whole(5)]));
    postgres::destination(&into, &database);
    into.edit(|config| config["destinations"]["warehouse"]["connect_timeout_ms"] = json!(600));
    for (project, side) in [(&from, "source"), (&into, "destination")] {
        impatient(project);
        let running = project.start(&["run", "c"]);
        wait_until("its work", || !sleeping(&database).is_empty());
        let frozen = database.server.freeze();
        running.wait().exits(75);
        drop(frozen);
        assert_eq!(out_of_time(project)["origin"], side);
        // What hung there is cancelled by a person once the server answers again.
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%waybill%'";
        database.sql(end);
        nothing_left(&database);
    }
    database.sql("UPDATE pace SET seconds = 0");
    from.run().exits(0);
    assert_eq!(from.value("SELECT count(*) FROM public_v"), "3");
    into.run().exits(0);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM s"), "5|5");
    database.server.stop();
}

#[test]
fn a_query_whose_server_process_is_stopped_is_given_up_a_moment_later() {
    let database = Database::new("frozen_query");
    let project = postgres::source(&database, json!([]));
    set(&project, json!({"query_timeout_ms": 500}));
    let running = project.start(&["connection", "query", "c", "SELECT pg_sleep(600)"]);
    // It is stopped in its sleep, or has met the limit before that; then this shows nothing.
    wait_until("the query", || !sleeping(&database).is_empty() || at_work(&database) == "0");
    let frozen = Frozen::new(sleeping(&database).split_whitespace().map(str::to_owned).collect());
    running.wait().exits(75).says(&["query exceeded 0.5s"]);
    drop(frozen);
    nothing_left(&database);
}

#[test]
fn a_run_whose_time_is_up_does_not_wait_for_the_first_row() {
    let database = Database::new("budget_sort");
    database.sql("CREATE VIEW v AS SELECT n AS id, pg_sleep(600)::text AS s FROM generate_series(1, 3) n");
    let project = postgres::source(&database, json!([{"name": "public.v"}]));
    project.waybill(&["run", "c", "--timeout", "2s"]).exits(124);
    assert_eq!(project.summary()["status"], "cancelled");
    nothing_left(&database);
}

#[test]
fn a_run_that_is_stopped_takes_its_index_build_with_it() {
    let database = Database::new("stopped_index");
    let project = Project::new(one_connection("sqlite", json!({"path": "a.db", "streams": [{"name": "t"}]})));
    postgres::destination(&project, &database);
    let source = rusqlite::Connection::open(project.path("a.db")).unwrap();
    source.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)").unwrap();
    project.run().exits(0);
    database.sql(
        "CREATE TABLE pace (seconds float8); INSERT INTO pace VALUES (0);
         CREATE FUNCTION slow(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(seconds) FROM public.pace; RETURN $1; END';
         CREATE INDEX slow ON t (slow(id)); UPDATE pace SET seconds = 600",
    );
    let running = project.start(&["run", "c"]);
    wait_until("the index", || !sleeping(&database).is_empty());
    running.signal("TERM");
    project.wait_for_event("signal.received", "SIGTERM");
    running.signal("TERM");
    running.wait().exits(143);
    nothing_left(&database);
    database.sql("UPDATE pace SET seconds = 0");
    project.run().exits(0);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM t"), "2|2");
}
