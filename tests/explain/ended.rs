//! Runs that were stopped, killed, broke off by a bug, or go on.

use serde_json::{Value, json};

use super::{explained, failed, json as answer};
use crate::fixture::{Database, Gate};
use crate::fixture::{Project, postgres, script, wait_until};

/// Some rows, then it waits for the file `go`.
fn held() -> Value {
    json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 20, "batch": 10}, {"do": "touch", "path": "here"},
        {"do": "wait_for_file", "path": "go"}, {"do": "table", "from": 21, "to": 40, "batch": 10},
        {"do": "complete"}])
}

/// Some rows, then it waits until it is told to stop.
fn stopping() -> Project {
    let read = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 20, "batch": 10}, {"do": "touch", "path": "here"},
        {"do": "wait_until_stopped"}, {"do": "table", "from": 21, "to": 40, "batch": 10}, {"do": "complete"}]);
    script::source(script::by_cursor("append"), json!([read]))
}

fn project() -> Project {
    script::source(script::by_cursor("append"), json!([held()]))
}

/// A project whose run was killed after its second commit.
fn killed() -> Project {
    let project = project();
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    project.wait_for_commits(2);
    running.signal("KILL");
    running.wait().exits(137);
    project
}

#[test]
fn a_run_that_was_killed() {
    let project = killed();
    let said = explained(
        &project,
        "killed",
        "crashed",
        &["crashed", "20 rows committed", "was killed", "loading s for"],
    );
    assert!(said.contains("nothing is lost or doubled") && said.contains("waybill run c"), "{said}");
    // It is said of the log alone, and again of the summary that was made of it.
    let json = answer(&project);
    assert_eq!(json["record"]["log"], true);
    assert!(json["under_way"].as_array().is_some_and(|open| !open.is_empty()), "{said}");
    project.waybill(&["runs", "show"]).exits(0);
    explained(&project, "killed-again", "crashed", &["was killed", "loading s for"]);
}

#[test]
fn a_run_whose_log_was_torn_when_it_was_killed() {
    let project = killed();
    let log = project.log().path;
    let text = std::fs::read(&log).unwrap();
    std::fs::write(&log, &text[..text.len() - 30]).unwrap();
    let said = project.waybill(&["runs", "explain"]).exits(0).out;
    assert!(said.contains("was killed") && said.contains("damaged: its last line is torn"), "{said}");
}

#[test]
fn a_run_that_was_interrupted_by_its_user_or_told_to_end() {
    for (signal, code, words) in [("INT", 130, "SIGINT"), ("TERM", 143, "SIGTERM"), ("HUP", 129, "SIGHUP")] {
        let project = stopping();
        let running = project.start(&["run", "c"]);
        project.wait_for_file("here");
        running.signal(signal);
        running.wait().exits(code);
        let said = explained(
            &project,
            &format!("signal-{signal}"),
            "cancelled",
            &["cancelled", words, "phase read"],
        );
        assert!(said.contains("waybill run c") && said.contains("signal.received"), "{said}");
        let json = answer(&project);
        assert_eq!(
            (&json["retry"]["advice"], &json["class"]["kind"]),
            (&json!("sensible"), &json!("cancelled"))
        );
    }
}

#[test]
fn a_time_budget_that_was_used_up() {
    let project = stopping();
    project.waybill(&["run", "c", "--timeout", "1s"]).exits(124);
    explained(&project, "time-budget", "cancelled", &["time budget of 1.0 s", "--timeout"]);
}

#[test]
fn a_connector_that_panics() {
    let read = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "panic"}]);
    let project = script::source(json!({"name": "s"}), json!([read]));
    project.run().exits(70);
    let said = failed(&project, "panic", "internal", &["panicked", "panicked as scripted", "stream s"]);
    assert!(said.contains("report"), "{said}");
}

#[test]
fn a_connector_that_breaks_its_contract() {
    let read = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "return"}]);
    let project = script::source(json!({"name": "s"}), json!([read]));
    let finished = project.run();
    assert_ne!(finished.code, 0, "{finished:?}");
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(
        &project,
        "broken-contract",
        &kind,
        &["broke its contract", "stopped before it was whole", "stream s"],
    );
}

#[test]
fn a_run_of_another_host_that_went_silent() {
    let project = project();
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    running.signal("KILL");
    running.wait().exits(137);
    let log = project.log().path;
    let host = project.log().first()["data"]["host"].as_str().unwrap().to_owned();
    let text = std::fs::read_to_string(&log).unwrap();
    let elsewhere = text.replacen(&format!("\"host\":\"{host}\""), "\"host\":\"far-away\"", 1);
    let today = project.log().first()["ts"].as_str().unwrap()[..10].to_owned();
    std::fs::write(&log, elsewhere.replace(&format!("\"ts\":\"{today}"), "\"ts\":\"2026-01-02")).unwrap();
    let said = explained(
        &project,
        "silent-elsewhere",
        "crashed",
        &["crashed (presumed)", "no sign of life", "far-away"],
    );
    assert!(said.contains("look at its host"), "{said}");
}

#[test]
fn a_run_that_goes_on_says_what_it_does() {
    let project = project();
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    project.wait_for_commits(2);
    let said =
        explained(&project, "running", "running", &["c is running", "now: loading s for", "last event"]);
    assert!(said.contains("--follow"), "{said}");
    project.file("go", "");
    running.wait().exits(0);
    explained(&project, "succeeded", "succeeded", &["c succeeded: 40 rows", "nothing was unusual"]);
}

#[test]
fn a_run_that_waits_for_a_lock_says_whose() {
    let target = Database::new("explain_waits");
    let project = script::source(script::by_cursor("append"), json!([script::whole(10), script::whole(20)]));
    postgres::destination(&project, &target);
    project.run().exits(0);
    project.edit(|config| {
        config["connections"][0]["stall_timeout_ms"] = json!(90_000);
        config["connections"][0]["slow_query_ms"] = json!(100);
    });
    let mut other = target.server.interactive(&target.name);
    other.run("BEGIN");
    other.run("LOCK TABLE s IN EXCLUSIVE MODE");
    let running = project.start(&["run", "c"]);
    project.wait_for_event("lock.waited", "(psql)");
    // However long it has been: nothing happens until the lock is let go.
    let said = explained(&project, "waits-for-lock", "running", &["waiting", "a lock of pid", "(psql)"]);
    assert!(said.contains("c is running"), "{said}");
    other.run("COMMIT");
    running.wait().exits(0);
    explained(&project, "waited-for-lock", "succeeded", &["c succeeded"]);
}

#[test]
fn a_run_whose_query_takes_long_says_which() {
    let from = Database::new("explain_query");
    from.sql("CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 10) n");
    let gate = Gate::before(from.server.port);
    let mut schema = from.settings();
    schema["port"] = json!(gate.port);
    let project = postgres::source_at(schema, json!([{"name": "public.t"}]));
    gate.shut("COPY ", 0);
    let running = project.start(&["run", "c"]);
    gate.wait();
    project.wait_for_event("query.started", "\"purpose\":\"read\"");
    let said =
        explained(&project, "query-runs", "running", &["now: query \"read\" runs for", "loading public.t"]);
    assert!(said.contains("FROM \"public\".\"t\""), "{said}");
    // Killed now, it is what was under way.
    running.signal("KILL");
    running.wait().exits(137);
    gate.open();
    explained(
        &project,
        "killed-in-query",
        "crashed",
        &["was killed", "under way then: query \"read\" runs for"],
    );
}

#[test]
fn a_run_that_waits_before_another_attempt_says_why() {
    let reads = json!([[{"do": "schema"}, {"do": "fail", "kind": "network", "message": "the line is dead"}]]);
    let project = script::source(script::by_cursor("append"), reads);
    project.edit(|config| {
        config["connections"][0]["retries"] = json!(3);
        config["connections"][0]["backoff_ms"] = json!(60_000);
    });
    let running = project.start(&["run", "c"]);
    project.wait_for_event("retry.scheduled", "tries again");
    explained(&project, "waits-to-retry", "running", &["another attempt", "the line is dead"]);
    running.signal("INT");
    running.wait().exits(130);
    let said = explained(&project, "stopped-while-waiting", "cancelled", &["SIGINT"]);
    wait_until("the fault in what else failed", || said.contains("the line is dead"));
}

#[test]
fn attempts_that_all_fail_are_told_as_such() {
    let lost = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 5, "batch": 5},
                      {"do": "fail", "kind": "network", "message": "the line is dead"}]);
    let project = script::source(script::by_cursor("append"), json!([lost]));
    project.run().exits(75);
    let said = failed(
        &project,
        "retries-used-up",
        "network",
        &["the line is dead", "stream s", "phase read", "attempt 4, the last"],
    );
    assert!(said.contains("tried 4 times") && said.contains("last good"), "{said}");
    let json = answer(&project);
    let roles: Vec<&str> =
        json["led_to"].as_array().unwrap().iter().filter_map(|moment| moment["role"].as_str()).collect();
    assert_eq!(roles.iter().filter(|role| **role == "survived").count(), 3, "{said}");
}
