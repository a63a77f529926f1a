//! Signals, time budgets, and two runs at once.

mod moments;
mod pipes;
mod queries;

use serde_json::{Value, json};

use crate::fixture::{Project, script};

/// Reads 30 rows by cursor, says so by a file, waits to be stopped, and would go on to 60.
fn held() -> Value {
    json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "touch", "path": "half"},
           {"do": "wait_until_stopped"}, {"do": "table", "from": 31, "to": 60, "batch": 10}, {"do": "complete"}])
}

fn held_project(write: &str) -> Project {
    script::source(script::by_cursor(write), json!([held(), script::whole(60)]))
}

#[track_caller]
fn exactly(project: &Project, to: i64) {
    let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s");
    assert_eq!(found, format!("{to}|{to}|{to}"));
}

#[test]
fn one_signal_keeps_what_was_committed_and_the_next_run_goes_on() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let project = held_project("append");
        let running = project.start(&["run", "c"]);
        project.wait_for_commits(3);
        running.signal(signal);
        running.wait().exits(code);
        let log = project.log();
        log.check();
        assert!(log.ended());
        assert_eq!(log.named("signal.received")[0]["data"]["signal"], format!("SIG{signal}"));
        let summary = project.summary();
        assert_eq!((&summary["status"], &summary["exit_code"]), (&json!("cancelled"), &json!(code)));
        exactly(&project, 30);
        assert_eq!(project.state("s")["cursor"], 30, "the state is merged into the config");
        project.run().exits(0);
        exactly(&project, 60);
    }
}

#[test]
fn a_full_refresh_that_is_stopped_leaves_the_old_table() {
    let first = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 7}, {"do": "checkpoint"}, {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([first, held(), script::whole(60)]));
    project.run().exits(0);
    let running = project.start(&["run", "c"]);
    project.wait_for_file("half");
    running.signal("INT");
    running.wait().exits(130);
    exactly(&project, 7);
    project.run().exits(0);
    exactly(&project, 60);
}

#[test]
fn a_second_signal_ends_at_once_with_a_valid_record() {
    let hang = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "hang"}]);
    let project = script::source(script::by_cursor("append"), json!([hang, script::whole(60)]));
    let running = project.start(&["run", "c"]);
    project.wait_for_commits(3);
    running.signal("TERM");
    project.wait_for_event("signal.received", "SIGTERM");
    running.signal("TERM");
    running.wait().exits(143);
    project.log().check();
    project.run().exits(0);
    exactly(&project, 60);
}

#[test]
fn a_time_budget_ends_on_a_commit() {
    let project = held_project("append");
    project.waybill(&["run", "c", "--timeout", "2s"]).exits(124);
    assert_eq!(project.summary()["status"], "cancelled");
    exactly(&project, 30);
    project.run().exits(0);
    exactly(&project, 60);
}

#[test]
fn a_second_run_is_told_who_holds_the_lock_and_may_wait() {
    let project = held_project("append");
    // The first run writes the connection's id; the lock goes by it.
    let running = project.start(&["run", "c"]);
    project.wait_for_file("half");
    let holder = project.log().run_id();
    let pid = running.pid().to_string();
    let summaries = project.summaries().len();
    project.waybill(&["run", "c"]).exits(6).says(&[holder.as_str().unwrap(), &pid]);
    assert_eq!(
        (project.logs().len(), project.summaries().len()),
        (1, summaries),
        "a refusal leaves no artifacts"
    );
    project.waybill(&["run", "c", "--wait-lock", "1"]).exits(6);
    let waiting = project.start(&["run", "c", "--wait-lock", "60"]);
    running.signal("INT");
    running.wait().exits(130);
    waiting.wait().exits(0);
    exactly(&project, 60);
}
