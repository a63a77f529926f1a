//! What a person or a script meets at the command line.

use std::process::Stdio;

use serde_json::json;

use crate::fixture::{Project, script};

fn loaded() -> Project {
    let project = script::source(json!({"name": "s"}), json!([script::whole(12)]));
    project.run().exits(0);
    project
}

#[test]
fn the_demo_shows_that_only_new_rows_move() {
    let project = Project::new(json!({"version": 1}));
    let finished = project.waybill(&["demo", "shop"]).exits(0);
    for name in ["config.json", "secrets.toml", "waybill.db", "data/ORIGIN.md", "runs", "run_logs"] {
        assert!(project.path("shop").join(name).exists(), "{name}");
    }
    let rows = |sql: &str| crate::fixture::project::sqlite_rows(&project.path("shop/waybill.db"), sql);
    let total: u64 = rows("SELECT count(*) FROM earthquakes")[0].parse().unwrap();
    let distinct: u64 = rows("SELECT count(DISTINCT id) FROM earthquakes")[0].parse().unwrap();
    assert!(total > 1000 && total == distinct);
    let list =
        project.waybill(&["runs", "list", "--project-dir", "shop", "--output", "json"]).exits(0).json();
    let loaded: Vec<u64> = find_rows(&list);
    assert_eq!(loaded.len(), 3, "{list}");
    let (last, first) = (loaded.iter().min().unwrap(), total - loaded.iter().min().unwrap());
    assert!(
        *last > 0 && loaded.contains(&first),
        "the second earthquake run moved the new rows only: {loaded:?}"
    );
    assert!(finished.out.contains("Try next"), "{}", finished.out);
    // Once more there is nothing new, and a folder that is in use is not made anew.
    project.waybill(&["run", "--all", "--project-dir", "shop"]).exits(0);
    assert_eq!(rows("SELECT count(*) FROM earthquakes")[0], total.to_string());
    let again = project.waybill(&["demo", "shop"]);
    assert_ne!(again.code, 0);
    assert_eq!(rows("SELECT count(*) FROM earthquakes")[0], total.to_string());
}

/// The row counts of the runs in a list.
fn find_rows(list: &serde_json::Value) -> Vec<u64> {
    let runs = list.as_array().or_else(|| list["runs"].as_array()).expect("a list of runs");
    runs.iter().map(|run| run["rows"].as_u64().expect("rows")).collect()
}

#[test]
fn an_empty_project_is_made_and_is_valid() {
    let project = Project::new(json!({}));
    std::fs::remove_file(project.path("config.json")).unwrap();
    project.waybill(&["init"]).exits(0);
    project.waybill(&["config", "validate"]).exits(0);
    project.waybill(&["connection", "list"]).exits(0);
}

#[test]
fn without_a_terminal_there_is_help_and_wrong_usage() {
    let project = Project::new(json!({"version": 1, "connections": []}));
    let finished = project.waybill(&[]).exits(2);
    assert!(format!("{}{}", finished.out, finished.err).contains("Usage"), "{finished:?}");
    for words in
        [&["run"][..], &["no-such-command"], &["run", "c", "--limit", "0"], &["run", "c", "--timeout", "5"]]
    {
        project.waybill(words).exits(2);
    }
    project.waybill(&["--version"]).exits(0);
    assert!(!project.path("runs").exists());
}

#[test]
fn data_goes_to_standard_output_and_reads_as_json() {
    let project = loaded();
    for words in [
        &["runs", "list"][..],
        &["runs", "show", "last"],
        &["connection", "list"],
        &["connection", "test", "c"],
        &["connection", "discover", "c"],
        &["state", "show", "c"],
        &["config", "validate"],
        &["config", "show", "--origin"],
        &["schema", "config"],
        &["schema", "event"],
        &["schema", "summary"],
        &["schema", "headless-request"],
        &["schema", "headless-response"],
    ] {
        let mut words = words.to_vec();
        words.extend(["--output", "json"]);
        project.waybill(&words).exits(0).json();
    }
    let events = project.waybill(&["runs", "events", "last", "--output", "json"]).exits(0);
    let lines: Vec<serde_json::Value> =
        events.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, project.log().lines);
}

#[test]
fn a_quiet_run_says_nothing_on_standard_error() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(12)]));
    let finished = project.waybill(&["run", "c", "--quiet"]).exits(0);
    assert_eq!(finished.err, "");
}

#[test]
fn a_reader_that_goes_away_is_exit_141() {
    let project = loaded();
    let mut command = project.command(&["schema", "config"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn several_connections_exit_with_the_worst_code() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(12)]));
    project.edit(|config| {
        let mut second = config["connections"][0].clone();
        second["name"] = json!("d");
        second["schema"]["script"] = json!("other.json");
        second["schema"]["streams"] = json!([{"name": "u"}]);
        config["connections"].as_array_mut().unwrap().push(second);
    });
    let failing = script::stream("u", json!([[{"do": "fail", "kind": "auth"}]]));
    project.file("other.json", json!({"streams": [failing]}).to_string());
    project.waybill(&["run", "--all"]).exits(1);
    assert_eq!((project.summaries().len(), project.value("SELECT count(*) FROM s")), (2, "12".to_owned()));
    project.edit(|config| config["connections"][1]["enabled"] = json!(false));
    project.waybill(&["run", "--all"]).exits(0);
}
