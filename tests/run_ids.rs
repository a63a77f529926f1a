//! A caller's run id: one that has finished is answered from the record, one that was killed may be
//! used again, and no other run is ever taken for it.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Project, script};

const ID: &str = "nightly-2026-01-02";

/// Reads 30 rows by cursor, stands still until the file `go` is there, and goes on to 60.
fn held() -> Project {
    let held = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "touch", "path": "here"},
                      {"do": "wait_for_file", "path": "go"}, {"do": "table", "from": 31, "to": 60, "batch": 10}, {"do": "complete"}]);
    script::source(script::by_cursor("append"), json!([held, held, script::whole(60)]))
}

fn words<'a>(face: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[face, "c", "--run-id", ID], more].concat()
}

fn killed(project: &Project) {
    let _ = fs::remove_file(project.path("here"));
    let running = project.start(&words("run", &[]));
    project.wait_for_file("here");
    running.signal("KILL");
    running.wait().exits(137);
}

fn statuses(project: &Project) -> Vec<(String, String)> {
    let list = project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
    let text = |run: &Value, key: &str| run[key].as_str().unwrap().to_owned();
    list["runs"].as_array().unwrap().iter().map(|run| (text(run, "run_id"), text(run, "status"))).collect()
}

#[track_caller]
fn exactly(project: &Project, to: i64) {
    let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s");
    assert_eq!(found, format!("{to}|{to}|{to}"));
}

#[test]
fn the_id_of_a_run_that_was_killed_may_be_used_again_and_each_leaves_its_record() {
    for face in ["run", "headless"] {
        let project = held();
        killed(&project);
        killed(&project);
        project.waybill(&words(face, &[])).exits(0);
        exactly(&project, 60);
        let id = || ID.to_owned();
        let expected = ["succeeded", "crashed", "crashed"].map(|status| (id(), status.to_owned()));
        assert_eq!(statuses(&project), expected);
        // One log and one summary each, and each summary belongs to its log.
        let logs = project.logs();
        assert_eq!((logs.len(), project.summaries().len()), (3, 3));
        let ended: Vec<bool> = logs.iter().map(crate::fixture::record::Log::ended).collect();
        assert_eq!(ended, [false, false, true]);
        for (log, path) in logs.iter().zip(project.summaries()) {
            log.check_against(&path);
        }
        let names: Vec<String> =
            logs.iter().map(|log| log.path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert!(names[1].ends_with(&format!("{ID}.2_events.jsonl")), "{names:?}");
        // To a person the id is the newest of them.
        for query in [ID, &ID[..8], &ID[ID.len() - 8..], "last"] {
            let shown = project.waybill(&["runs", "show", query, "--output", "json"]).exits(0).json();
            assert!(shown.to_string().contains("\"succeeded\""), "{query}: {shown}");
        }
        // Now it has finished.
        let again = project.waybill(&words(face, &[])).exits(0);
        assert!(face == "headless" || again.err.contains("has finished before"), "{again:?}");
        assert_eq!(project.logs().len(), 3);
    }
}

#[test]
fn of_two_runs_with_one_id_at_once_one_runs_and_the_other_gets_its_answer() {
    let project = held();
    let running = project.start(&words("run", &[]));
    project.wait_for_file("here");
    project.waybill(&words("headless", &[])).exits(6).says(&[ID]);
    let waiting = project.start(&words("headless", &["--wait-lock", "80"]));
    project.file("go", "");
    running.wait().exits(0);
    let answer = waiting.wait().exits(0).json();
    assert_eq!((&answer["run_id"], &answer["status"]), (&json!(ID), &json!("succeeded")));
    assert_eq!(project.logs().len(), 1, "nothing was run a second time");
    exactly(&project, 60);
}

#[test]
fn a_log_without_a_line_is_no_run_that_goes_on() {
    let project = held();
    project.file("go", "");
    let day = chrono::Utc::now().format("%Y-%m-%d");
    project.file(&format!("run_logs/{day}/c_{ID}_events.jsonl"), "");
    project.start(&words("run", &[])).wait().exits(0);
    exactly(&project, 60);
    assert!(project.path(&format!("run_logs/{day}/c_{ID}.2_events.jsonl")).exists());
}

#[test]
fn the_id_of_another_connection_s_run_is_refused() {
    let project = held();
    project.file("go", "");
    project.waybill(&words("run", &[])).exits(0);
    project.edit(|config| {
        let mut other = config["connections"][0].clone();
        other["name"] = json!("d");
        let entry = other.as_object_mut().unwrap();
        entry.shift_remove("id");
        entry.shift_remove("state");
        config["connections"].as_array_mut().unwrap().push(other);
    });
    let refused = project.waybill(&["run", "d", "--run-id", ID]).exits(3);
    refused.says(&[ID, "\"c\"", "a run id of its own"]);
    assert_eq!(project.logs().len(), 1);
}

/// A run that is killed and started again with its id follows an edit that was made in between, also
/// where its first attempt fails.
#[test]
fn an_edit_between_two_runs_of_one_id_is_followed() {
    let part = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "touch", "path": "here"},
                      {"do": "wait_for_file", "path": "never"}]);
    let fails = json!([{"do": "schema"}, {"do": "fail", "kind": "network"}]);
    let reads = json!([script::whole(20), part, fails, script::whole(60)]);
    let project = script::source(script::by_cursor("merge"), reads);
    project.run().exits(0);
    killed(&project);
    project.rows("DELETE FROM s WHERE id > 5 RETURNING id");
    project.edit(|config| config["connections"][0]["state"]["s"]["cursor"] = json!(5));
    project.waybill(&words("run", &[])).exits(0);
    exactly(&project, 60);
}
