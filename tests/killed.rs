//! Killed without warning at every step, a run loses nothing and the next one completes exactly.

use serde_json::{Value, json};

use crate::fixture::{Project, script};

const ROWS: i64 = 60;

/// Where a run stands still until it is killed.
fn steps() -> Vec<(&'static str, bool, u64)> {
    let mut steps = Vec::new();
    for (at, turns) in [("begin", 1), ("prepare", 1), ("write", 2), ("commit", 3)] {
        for turn in 1..=turns {
            steps.extend([(at, false, turn), (at, true, turn)]);
        }
    }
    steps
}

fn killed_at(project: &Project, at: &str, after: bool, nth: u64) {
    script::faults(
        project,
        json!([{"at": at, "nth": nth, "after": after, "touch": "here", "wait_for_file": "never"}]),
    );
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    running.signal("KILL");
    running.wait().exits(137);
    project.log().check();
    assert!(!project.log().ended());
}

#[track_caller]
fn completes(project: &Project, what: &str) {
    project.run().exits(0);
    let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s");
    assert_eq!(found, format!("{ROWS}|{ROWS}|{ROWS}"), "{what}");
    let left = project.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%stag%'");
    assert!(left.is_empty(), "{what}: left behind: {left:?}");
    let list = project.waybill(&["runs", "list", "--output", "json"]).exits(0).out;
    assert!(list.contains("\"crashed\"") && list.contains("\"succeeded\""), "{what}: {list}");
}

fn at_every_step(selection: &Value) {
    for (at, after, nth) in steps() {
        if selection["mode"].is_null() && at == "commit" && nth > 1 {
            continue;
        }
        let project = script::source(selection.clone(), json!([script::whole(ROWS)]));
        killed_at(&project, at, after, nth);
        completes(&project, &format!("{selection}: {at} {nth}, after: {after}"));
    }
}

#[test]
fn an_append_is_exact() {
    at_every_step(&script::by_cursor("append"));
}

#[test]
fn a_merge_is_exact() {
    at_every_step(&script::by_cursor("merge"));
}

#[test]
fn a_full_refresh_is_exact() {
    at_every_step(&json!({"name": "s"}));
}

#[test]
fn a_swap_took_place_or_did_not() {
    for after in [false, true] {
        let old = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 7}, {"do": "checkpoint"}, {"do": "complete"}]);
        let project = script::source(json!({"name": "s"}), json!([old, script::whole(ROWS)]));
        project.run().exits(0);
        killed_at(&project, "publish", after, 1);
        let rows = project.value("SELECT count(*) FROM s");
        assert_eq!(rows, if after { ROWS.to_string() } else { "7".to_owned() });
        completes(&project, "publish");
    }
}
