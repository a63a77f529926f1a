//! The record tells the truth: whole logs, rebuilt summaries, and runs that were killed.

use std::fs;

use serde_json::json;

use crate::fixture::{Project, script};

#[test]
fn a_log_has_its_phases_and_its_totals() {
    let project = script::source(script::by_cursor("append"), json!([script::whole(25)]));
    project.run().exits(0);
    let log = project.log();
    assert!(log.ended());
    let started = log.first();
    assert_eq!(started["data"]["source"], "scripted");
    assert!(started["data"]["pid"].is_u64() && started["connection"] == "c");
    let phases: Vec<_> = log.named("phase.started").iter().map(|line| line["phase"].clone()).collect();
    for phase in ["resolve", "check", "discover", "plan", "read", "merge"] {
        assert!(phases.contains(&json!(phase)), "no phase {phase} in {phases:?}");
    }
    let committed: u64 =
        log.named("checkpoint.committed").iter().map(|line| line["data"]["rows"].as_u64().unwrap()).sum();
    assert_eq!(committed, 25);
    let last = log.lines.last().unwrap();
    assert_eq!((&last["data"]["status"], &last["data"]["rows_loaded"]), (&json!("succeeded"), &json!(25)));
    let summary = project.summary();
    assert_eq!(summary["events"], log.lines.len());
    for (kind, path) in summary["artifacts"].as_object().unwrap() {
        if ["log", "summary"].contains(&kind.as_str()) {
            assert!(std::path::Path::new(path.as_str().unwrap()).exists(), "{kind}: {path}");
        }
    }
}

#[test]
fn a_summary_that_is_gone_is_rebuilt_from_the_log() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(25)]));
    project.run().exits(0);
    let written = project.summary();
    let path = project.summaries().remove(0);
    let id = written["run_id"].as_str().unwrap();
    assert_eq!(project.waybill(&["runs", "show", id, "--output", "json"]).exits(0).json(), written);
    fs::remove_file(&path).unwrap();
    assert_eq!(project.waybill(&["runs", "show", id, "--output", "json"]).exits(0).json(), written);
}

#[test]
fn a_quiet_run_says_every_ten_seconds_that_it_lives() {
    let read = json!([{"do": "schema"}, {"do": "touch", "path": "in"}, {"do": "wait_for_file", "path": "go"},
                      {"do": "checkpoint"}, {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([read]));
    let running = project.start(&["run", "c"]);
    project.wait_for_file("in");
    project.wait_for_event("run.heartbeat", "memory_bytes");
    project.file("go", "");
    running.wait().exits(0);
    let beat = project.log().named("run.heartbeat")[0].clone();
    assert!(beat["data"]["memory_bytes"].as_u64().unwrap() > 0 && beat["t_ms"].as_u64().unwrap() <= 12_000);
}

fn killed(write: &str) -> Project {
    let half = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "hang"}]);
    let project = script::source(script::by_cursor(write), json!([half, script::whole(60)]));
    let running = project.start(&["run", "c"]);
    project.wait_for_commits(3);
    running.signal("KILL");
    running.wait().exits(137);
    project
}

#[test]
fn a_killed_run_is_called_crashed_and_the_next_one_completes_exactly() {
    for write in ["append", "merge"] {
        let project = killed(write);
        let log = project.log();
        log.check();
        assert!(!log.ended() && project.summaries().is_empty());
        let list = project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
        assert!(list.to_string().contains("\"crashed\""), "{list}");
        let id = log.run_id();
        let shown =
            project.waybill(&["runs", "show", id.as_str().unwrap(), "--output", "json"]).exits(0).json();
        assert_eq!(shown["status"], "crashed");
        assert_eq!(shown["progress_counts"]["s"]["rows_loaded"], 30);
        project.run().exits(0);
        let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s");
        assert_eq!(found, "60|60|60", "{write}");
    }
}

#[test]
fn a_torn_last_line_does_not_hide_the_run() {
    let project = killed("append");
    let path = project.log().path;
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"v\":1,\"seq\":99,\"ev");
    fs::write(&path, text).unwrap();
    let shown = project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
    assert!(shown.to_string().contains("\"crashed\""), "{shown}");
}

#[test]
fn a_run_id_that_has_finished_is_not_run_again() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(5), script::whole(9)]));
    for _ in 0..2 {
        project.waybill(&["run", "c", "--run-id", "nightly-7"]).exits(0);
        assert_eq!(project.value("SELECT count(*) FROM s"), "5");
    }
    assert_eq!(project.logs().len(), 1);
    project.waybill(&["run", "c", "--run-id", "nightly-8"]).exits(0);
    assert_eq!(project.value("SELECT count(*) FROM s"), "9");
}

#[test]
fn an_entry_that_a_person_edits_during_the_run_is_left_alone() {
    let read = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10},
                      {"do": "touch", "path": "half"}, {"do": "wait_for_file", "path": "go"}, {"do": "complete"}]);
    let project =
        script::source(script::by_cursor("append"), json!([script::whole(10), read, script::whole(40)]));
    project.run().exits(0);
    let running = project.start(&["run", "c"]);
    project.wait_for_file("half");
    project.edit(|config| config["connections"][0]["state"]["s"] = json!({"cursor": 5}));
    project.file("go", "");
    running.wait().exits(0);
    assert_eq!(project.state("s"), json!({"cursor": 5}));
    project.run().exits(0);
    let found = project.value("SELECT count(DISTINCT id) || '|' || max(id) FROM s");
    assert_eq!(found, "40|40");
}
