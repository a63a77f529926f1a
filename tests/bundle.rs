//! The record of a run in one file, looked at elsewhere.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Project, script};

const SECRET: &str = "pa55/word with spaces";

/// A good run, and a failed one after it.
fn project() -> Project {
    let fails = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5},
                       {"do": "fail", "kind": "data", "message": "row 6 is broken"}]);
    let project = script::source(json!({"name": "s"}), json!([script::whole(25), fails]));
    project.secrets(&format!("[sources.c]\ntoken = '{SECRET}'\n"));
    project.run().exits(0);
    project.run().exits(1);
    project
}

#[test]
fn a_bundle_shows_elsewhere_what_the_project_shows_here() {
    let project = project();
    let answer = project.waybill(&["runs", "bundle", "-o", "b.tar.gz", "--output", "json"]).exits(0).json();
    let files: Vec<&str> =
        answer["manifest"]["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    for name in ["config.json", "doctor.json", "environment.json", "schemas/event.json"] {
        assert!(files.contains(&name), "{name} in {files:?}");
    }
    let of = |end: &str| files.iter().filter(|name| name.ends_with(end)).count();
    assert_eq!((of("_events.jsonl"), files.iter().filter(|f| f.starts_with("runs/")).count()), (2, 2));
    assert_eq!(answer["manifest"]["secrets"], 1);

    let elsewhere = Project::new(json!({"version": 1, "connections": []}));
    fs::copy(project.path("b.tar.gz"), elsewhere.path("x.tar.gz")).unwrap();
    for words in
        [&["list", "--output", "json"][..], &["show", "--output", "json"], &["events", "last", "--raw"]]
    {
        let here = project.waybill(&[&["runs"], words].concat()).exits(0);
        let there = elsewhere.waybill(&[&["runs", "--bundle", "x.tar.gz"], words].concat()).exits(0);
        let plain = |text: &str| -> Vec<Value> {
            let mut lines: Vec<Value> =
                serde_json::Deserializer::from_str(text).into_iter().map(Result::unwrap).collect();
            // The files lie elsewhere; what they say is the same.
            for run in lines.iter_mut().filter_map(|line| line["runs"].as_array_mut()).flatten() {
                run.as_object_mut().unwrap().retain(|key, _| !key.ends_with("_path"));
            }
            lines
        };
        assert_eq!(plain(&there.out), plain(&here.out), "{words:?}");
    }
    elsewhere.waybill(&["runs", "--bundle", "x.tar.gz", "show"]).exits(0).says(&["row 6 is broken"]);
    elsewhere.waybill(&["runs", "show", "--bundle", "x.tar.gz"]).exits(0).says(&["row 6 is broken"]);
    for (words, part) in [
        (&["explain"][..], "row 6 is broken"),
        (&["report", "-o", "-"], "row 6 is broken"),
        (&["replay", "--speed", "max"], "row 6 is broken"),
        (&["stats", "c"], "2 runs"),
        (&["diff", "-2", "-1"], "to   c"),
    ] {
        let finished = elsewhere.waybill(&[&["runs", "--bundle", "x.tar.gz"], words].concat()).exits(0);
        assert!(format!("{}{}", finished.out, finished.err).contains(part), "{words:?}: {finished:?}");
    }
    elsewhere.waybill(&["runs", "--bundle", "x.tar.gz", "prune", "--keep", "1", "--yes"]).exits(3);
    elsewhere
        .waybill(&["runs", "--bundle", "none.tar.gz", "show"])
        .exits(3)
        .says(&["none.tar.gz cannot be read as a bundle"]);
    // Nothing is replaced unasked.
    project.waybill(&["runs", "bundle", "-o", "b.tar.gz"]).exits(3).says(&["is there already", "--force"]);
    project.waybill(&["runs", "bundle", "-o", "b.tar.gz", "--force"]).exits(0);
}

#[test]
fn a_bundle_never_holds_a_secret() {
    let project = project();
    let log = project.log().path;
    let text = fs::read_to_string(&log).unwrap();
    for spelling in [
        SECRET.to_owned(),
        "pa55%2Fword%20with%20spaces".to_owned(),
        "cGE1NS93b3JkIHdpdGggc3BhY2Vz".to_owned(),
    ] {
        fs::write(&log, text.replace("run of c started", &format!("run of c {spelling}"))).unwrap();
        let finished = project.waybill(&["runs", "bundle", "-o", "b.tar.gz"]).exits(70);
        finished.says(&["would hold a secret (sources.c.token)", "_events.jsonl", "nothing was written"]);
        assert!(!project.path("b.tar.gz").exists(), "{spelling}");
    }
    fs::write(&log, &text).unwrap();
    // One in the config is left out of what is packed.
    project.edit(|config| config["connections"][0]["note"] = json!(format!("the token is {SECRET}")));
    project.waybill(&["runs", "bundle", "-o", "b.tar.gz"]).exits(0);
}

#[test]
fn a_bundle_of_a_run_that_goes_on_or_was_killed_says_so() {
    let read = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "touch", "path": "in"},
                      {"do": "wait_for_file", "path": "go"}, {"do": "checkpoint"}, {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([read]));
    let running = project.start(&["run", "c"]);
    project.wait_for_file("in");
    project.waybill(&["runs", "bundle", "-o", "going.tar.gz"]).exits(0);
    let status = |file: &str| {
        let list = project.waybill(&["runs", "--bundle", file, "list", "--output", "json"]).exits(0).json();
        list["runs"][0]["status"].clone()
    };
    assert_eq!(status("going.tar.gz"), "running");
    running.signal("KILL");
    running.wait();
    // Also later, when nothing goes on any more.
    assert_eq!(status("going.tar.gz"), "running");
    project.waybill(&["runs", "bundle", "-o", "killed.tar.gz"]).exits(0);
    assert_eq!(status("killed.tar.gz"), "crashed");
    project.waybill(&["runs", "--bundle", "killed.tar.gz", "show"]).exits(0).says(&["crashed"]);
}

#[test]
fn prune_says_first_what_goes_and_leaves_what_matters() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(5)]));
    for _ in 0..3 {
        project.run().exits(0);
    }
    project.file("source.json", "{}");
    project.run().exits(3);
    project.run().exits(3);
    let count = || {
        project.waybill(&["runs", "list", "--output", "json"]).exits(0).json()["runs"]
            .as_array()
            .unwrap()
            .len()
    };
    project.waybill(&["runs", "prune"]).exits(2);
    project.waybill(&["runs", "prune", "--older-than", "1d"]).exits(0).says(&["no run goes"]);
    let dry = project.waybill(&["runs", "prune", "--keep", "1"]).exits(0);
    dry.says(&["3 runs", "nothing was removed: --yes does it"]);
    assert_eq!(count(), 5);
    let answer = project
        .waybill(&["runs", "prune", "--older-than", "0s", "--yes", "--output", "json"])
        .exits(0)
        .json();
    assert_eq!((answer["removed"].as_bool(), answer["runs"].as_array().unwrap().len()), (Some(true), 3));
    // The newest, and the newest good one.
    let list = project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
    let statuses: Vec<&str> =
        list["runs"].as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["failed", "succeeded"]);
    assert_eq!(project.logs().len(), 2);
}
