//! `runs list`: what the filters mean.

use serde_json::{Value, json};

use crate::fixture::{Project, one_connection, script};

/// Two connections, `good` and `bad`, run in turn three times; the newest run is of `good`.
fn project() -> Project {
    let stream = json!([{"name": "a", "path": "a.csv"}]);
    let mut config = one_connection("files", json!({"streams": stream}));
    config["connections"][0]["name"] = json!("good");
    let mut bad = config["connections"][0].clone();
    bad["name"] = json!("bad");
    bad["schema"]["streams"] = json!([{"name": "b", "path": "b.csv", "on_existing": "adopt"}]);
    config["connections"].as_array_mut().unwrap().push(bad);
    let project = Project::new(config);
    project.file("a.csv", "x\n1\n");
    for _ in 0..3 {
        project.waybill(&["run", "bad"]).exits(1);
        project.waybill(&["run", "good"]).exits(0);
    }
    project
}

fn listed(project: &Project, words: &[&str]) -> Vec<String> {
    let words = [&["runs", "list", "--output", "json"], words].concat();
    // Some tests break artifacts that the fixture would look at.
    let answer = project.start(&words).wait().exits(0).json();
    let name =
        |run: &Value| format!("{} {}", run["connection"].as_str().unwrap(), run["status"].as_str().unwrap());
    answer["runs"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn each_filter_means_what_it_says_and_they_go_together() {
    let project = project();
    let (good, bad) = ("good succeeded", "bad failed");
    assert_eq!(listed(&project, &[]), [good, bad, good, bad, good, bad]);
    assert_eq!(listed(&project, &["--limit", "2"]), [good, bad]);
    assert_eq!(listed(&project, &["--limit", "0"]).len(), 6);
    assert_eq!(listed(&project, &["--connection", "bad"]), [bad, bad, bad]);
    assert_eq!(
        listed(&project, &["--connection", "bad", "--connection", "good", "--limit", "3"]),
        [good, bad, good]
    );
    assert_eq!(listed(&project, &["--failed", "--limit", "2"]), [bad, bad]);
    assert_eq!(listed(&project, &["--status", "succeeded,crashed"]), [good, good, good]);
    assert_eq!(listed(&project, &["--status", "crashed", "--status", "failed"]), [bad, bad, bad]);
    assert!(listed(&project, &["--connection", "good", "--failed"]).is_empty());
    assert!(listed(&project, &["--connection", "goo"]).is_empty());
    // Moments, to the microsecond, with the first one in and the last one out.
    let starts: Vec<String> =
        project.logs().iter().map(|log| log.first()["ts"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed(&project, &["--since", &starts[2]]), [good, bad, good, bad]);
    assert_eq!(listed(&project, &["--until", &starts[2]]), [good, bad]);
    assert_eq!(listed(&project, &["--since", &starts[1], "--until", &starts[3]]), [bad, good]);
    assert_eq!(listed(&project, &["--since", "2h"]).len(), 6);
    assert!(
        listed(&project, &["--since", "0s"]).is_empty()
            && listed(&project, &["--until", "2000-01-01"]).is_empty()
    );
    project.waybill(&["runs", "list", "--since", "soon"]).exits(2).says(&["write a date (2026-01-31)"]);
    project.waybill(&["runs", "list", "--failed", "--status", "failed"]).exits(2);
    project.waybill(&["runs", "list", "--limit", "2"]).exits(0).says(&["there are older ones: --limit 10"]);
}

#[test]
fn artifacts_under_other_names_are_found_all_the_same() {
    let project = project();
    let summaries = project.summaries();
    std::fs::rename(&summaries[5], summaries[5].with_file_name("kept for later.json")).unwrap();
    std::fs::remove_file(&project.logs()[3].path).unwrap();
    std::fs::write(&summaries[2], "{").unwrap();
    let (good, bad) = ("good succeeded", "bad failed");
    assert_eq!(listed(&project, &[]), [good, bad, good, bad, good, bad]);
    assert_eq!(listed(&project, &["--failed"]), [bad, bad, bad]);
    assert_eq!(listed(&project, &["--connection", "good"]), [good, good, good]);
    project.start(&["runs", "show", "last"]).wait().exits(0).says(&["good succeeded", "kept for later.json"]);
    // One of two is gone: what remains still tells.
    std::fs::remove_file(&project.logs()[1].path).unwrap();
    assert_eq!(listed(&project, &["--connection", "bad"]).len(), 3);
}

#[test]
fn a_run_that_goes_on_and_one_that_was_killed_are_told_apart_by_filters_too() {
    let held = json!([{"do": "schema"}, {"do": "touch", "path": "here"}, {"do": "wait_for_file", "path": "go"}, {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([held, held, held]));
    for _ in 0..2 {
        let _ = std::fs::remove_file(project.path("here"));
        let running = project.start(&["run", "c"]);
        project.wait_for_file("here");
        running.signal("KILL");
        running.wait().exits(137);
    }
    let _ = std::fs::remove_file(project.path("here"));
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    assert_eq!(listed(&project, &[]), ["c running", "c crashed", "c crashed"]);
    assert_eq!(listed(&project, &["--failed"]), ["c crashed", "c crashed"]);
    assert_eq!(listed(&project, &["--status", "running"]), ["c running"]);
    assert_eq!(listed(&project, &["--limit", "1", "--failed"]), ["c crashed"]);
    project.waybill(&["runs", "show", "last"]).exits(0).says(&["c is running", "read ", "runs events"]);
    project.file("go", "");
    running.wait().exits(0);
}
