//! SQLite's queries are interrupted, and the program goes on meanwhile.

use serde_json::json;

use super::{out_of_time, said, set};
use crate::fixture::{Project, one_connection};

/// A file with a table, a view that never ends, and one that never ends after what is looked at.
fn file(stream: &str) -> Project {
    let schema = json!({"path": "shop.db", "streams": [{"name": stream}]});
    let project = Project::new(one_connection("sqlite", schema));
    let conn = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2);
         CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) AS n FROM c;
         CREATE VIEW drying AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c WHERE x <= 10000;",
    )
    .unwrap();
    project
}

#[test]
fn a_view_that_never_ends_is_interrupted_and_the_others_are_shown() {
    let project = file("t");
    set(&project, json!({"query_timeout_ms": 400}));
    let raise = "`waybill connection edit c --set query_timeout_ms=1600`";
    for words in [["preview", "c", "endless"], ["query", "c", "SELECT * FROM endless"]] {
        let ended = project.waybill(&[&["connection"], &words[..]].concat()).exits(75);
        ended.says(&["query exceeded 0.4s", raise, "interrupted"]);
    }
    let preview = ["connection", "preview", "c", "drying", "--limit", "10000", "--format", "csv"];
    // Its rows are there at once, and there are no more to look for.
    assert_eq!(project.waybill(&preview).exits(0).out.lines().count(), 10_001);
    let all = project.waybill(&["connection", "discover", "c", "--all"]).exits(0);
    assert!(all.out.contains('t') && all.out.contains("drying"), "{all:?}");
    assert!(all.err.contains("endless is left out: query exceeded 0.4s"), "{all:?}");
}

#[test]
fn the_program_beats_and_hears_while_sqlite_works() {
    let project = file("endless");
    set(&project, json!({"query_timeout_ms": 6500, "retries": 0}));
    project.run().exits(75);
    let error = out_of_time(&project);
    assert_eq!(error["message"].as_str().unwrap().split(": ").last(), Some("query exceeded 6.5s"), "{error}");
    assert!(error["cause"].to_string().contains("interrupted"), "{error}");
    let log = project.log();
    let at = |name: &str| {
        let found =
            log.lines.iter().find(|l| l["event"] == name && l["data"]["purpose"] == "discover endless");
        found.unwrap()["seq"].as_u64().unwrap()
    };
    let (started, finished) = (at("query.started"), at("query.finished"));
    let beat =
        log.named("run.heartbeat").iter().any(|l| (started..finished).contains(&l["seq"].as_u64().unwrap()));
    assert!(beat, "no heartbeat while the query ran");

    set(&project, json!({"query_timeout_ms": 600_000}));
    let running = project.start(&["run", "c"]);
    project.wait_for_logs(2);
    project.wait_for_event("query.started", "discover endless");
    running.signal("INT");
    running.wait().exits(130);
}

#[test]
fn a_read_that_never_ends_is_stopped_by_the_budget_and_by_one_signal() {
    let project = file("drying");
    project.waybill(&["run", "c", "--timeout", "2s"]).exits(124);
    assert_eq!(project.summary()["status"], "cancelled");
    let running = project.start(&["run", "c"]);
    project.wait_for_logs(2);
    project.wait_for_event("stream.started", "drying");
    running.signal("INT");
    running.wait().exits(130);
}

#[test]
fn a_query_that_was_slow_is_a_warning() {
    let project = file("t");
    set(&project, json!({"slow_query_ms": 1}));
    let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) AS n FROM n";
    let slow = project.waybill(&["connection", "query", "c", count, "--format", "csv"]).exits(0);
    assert_eq!(slow.out, "n\n300000\n");
    assert!(slow.err.contains("warning: run the query took"), "{slow:?}");
    project.run().exits(0);
    assert!(!said(&project, "skipped"));
}
