//! Bounded queries of PostgreSQL: the server is told, ends them, and its connection stays of use.

use serde_json::json;

use super::{nothing_left, out_of_time, said, set};
use crate::fixture::{Database, Pooler, incremental, postgres};
use crate::retries::proxy::{Fault, Proxy};

const MINUTES: &str = "CREATE VIEW slow AS SELECT n, pg_sleep(600)::text AS s FROM generate_series(1, 5) n";

#[test]
fn a_view_that_takes_minutes_is_ended_by_the_server_itself() {
    let database = Database::new("deadline_view");
    database.sql(MINUTES);
    let project = postgres::source(&database, json!([{"name": "public.slow"}]));
    set(&project, json!({"query_timeout_ms": 3000}));
    for words in [["preview", "c", "public.slow"], ["query", "c", "SELECT * FROM slow"]] {
        let raise = "`waybill connection edit c --set query_timeout_ms=12000`";
        let ended = project.waybill(&[&["connection"], &words[..]].concat()).exits(75);
        // The code is the server's: it was told, and ended the query before anybody had to cut it off.
        let ended = ended.says(&["query exceeded 3s", raise]);
        assert!(ended.err.contains("57014"), "{ended:?}");
    }
    nothing_left(&database);
    let raise = ["connection", "edit", "c", "--set", "query_timeout_ms=12000"];
    project.waybill(&raise).exits(0);
    assert_eq!(project.config()["connections"][0]["query_timeout_ms"], 12000);
}

#[test]
fn a_source_table_that_somebody_has_locked_is_said_with_who() {
    let database = Database::new("deadline_locked");
    database.sql("CREATE TABLE t (id bigint PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a')");
    for (name, stream) in [
        ("whole", json!({"name": "public.t"})),
        ("by cursor", incremental("public.t", json!({"cursor": "id"}))),
    ] {
        let project = postgres::source(&database, json!([stream]));
        set(&project, json!({"query_timeout_ms": 500, "stall_timeout_ms": 300, "retries": 0}));
        let mut other = database.server.interactive(&database.name);
        other.run("BEGIN");
        other.run("LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
        project.run().exits(75);
        let error = out_of_time(&project);
        let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        let asked = match name {
            "whole" => message == "query exceeded 0.5s" && hint.contains("has locked public.t"),
            _ => message.contains("waited for a lock") && message.contains("(psql) holds it"),
        };
        assert!(asked && hint.contains("pg_terminate_backend("), "{name}: {error}");
        assert!(hint.contains("`waybill connection edit c --set "), "{name}: {error}");
        nothing_left(&database);
        drop(other);
        project.run().exits(0);
        assert_eq!(project.value("SELECT note FROM public_t"), "a");
    }
}

#[test]
fn an_estimate_that_runs_out_is_skipped_and_its_connection_replaced() {
    let database = Database::new("deadline_estimate");
    database.sql("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)");
    // The server never hears the question, and this connection nothing more.
    let proxy = Proxy::before(database.server.port, Fault::ServerHearsNothing, "pg_relation_size", 20);
    let streams = json!([{"name": "public.t"}, {"name": "mine", "query": "SELECT id AS mine FROM t"}]);
    let project = postgres::source(&database, streams);
    project.edit(|config| config["connections"][0]["schema"]["port"] = json!(proxy.port));
    set(&project, json!({"query_timeout_ms": 400, "retries": 0}));
    let skipped = "estimate the sizes: skipped, since the query exceeded 0.4s";
    project.waybill(&["connection", "discover", "c"]).exits(0).says(&["public.t", "mine", skipped]);
    project.run().exits(0);
    assert!(proxy.struck() >= 2);
    assert!(said(&project, skipped));
    assert_eq!(project.value("SELECT (SELECT id FROM public_t) + (SELECT mine FROM mine)"), "2");
}

#[test]
fn a_bounded_query_that_was_slow_is_a_warning() {
    let database = Database::new("deadline_slow");
    let project = postgres::source(&database, json!([]));
    set(&project, json!({"slow_query_ms": 100}));
    let slow = ["connection", "query", "c", "SELECT 7 AS n, pg_sleep(0.2)::text AS s"];
    let slow = project.waybill(&[&slow[..], &["--format", "csv"]].concat()).exits(0);
    assert!(slow.out.contains("7,") && slow.err.contains("warning: run the query took"), "{slow:?}");
    database.sql("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT id FROM t WHERE (SELECT pg_sleep(0.2)::text) = ''");
    let project = postgres::source(&database, json!([incremental("public.v", json!({"cursor": "id"}))]));
    set(&project, json!({"slow_query_ms": 100}));
    project.run().exits(0);
    let log = project.log();
    let slow = |line: &&serde_json::Value| {
        line["level"] == "warn" && line["data"]["purpose"] == "find the highest cursor"
    };
    assert!(log.named("query.finished").into_iter().any(|line| slow(&line)));
}

#[test]
fn behind_a_transaction_pooler_the_limit_is_that_of_the_transaction() {
    let database = Database::new("deadline_pooled");
    database.sql(MINUTES);
    database.sql(
        "CREATE TABLE t (id bigint); INSERT INTO t VALUES (1);
         CREATE VIEW v AS SELECT id FROM t WHERE (SELECT pg_sleep(2.5)::text) = ''",
    );
    // One connection to the server: what one client left in its session would meet the next.
    let pooler = Pooler::start(database.server, 1);
    let project = postgres::source_at(pooler.settings(&database.name), json!([{"name": "public.v"}]));
    set(&project, json!({"query_timeout_ms": 2000, "stall_timeout_ms": 500, "retries": 0}));
    let preview = ["connection", "preview", "c", "public.slow"];
    project.waybill(&preview).exits(75).says(&["query exceeded 2s"]);
    nothing_left(&database);
    project.run().exits(0);
    assert_eq!(project.value("SELECT id FROM public_v"), "1");
}
