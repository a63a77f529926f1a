//! Records of earlier programs stay readable, and the examples of docs/debugging.md work on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::fixture::Project;
use crate::fixture::record::{Log, valid};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Logs of every version that there was: the first of all lines of a version stay for good.
fn kept() -> Vec<PathBuf> {
    let folder = root().join("tests/records/v1");
    let mut logs: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    logs.sort();
    assert!(logs.len() >= 3, "{logs:?}");
    logs
}

/// Whether all that the old one says is said by the new one.
fn says(new: &Value, old: &Value, place: &str) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (key, value) in old {
                let place = format!("{place}.{key}");
                says(new.get(key).unwrap_or_else(|| panic!("{place} is gone")), value, &place);
            }
        }
        _ => assert_eq!(new, old, "{place}"),
    }
}

#[test]
fn old_logs_fit_the_schema_and_come_to_the_summary_that_they_came_to_then() {
    for path in kept() {
        let log = Log::read(&path);
        log.check();
        let fold = waybill::summary::rebuild(&path).unwrap();
        let summary = path.with_extension("json");
        if summary.exists() {
            let old: Value = serde_json::from_slice(&fs::read(&summary).unwrap()).unwrap();
            valid("summary", &old, &summary);
            let new = serde_json::to_value(fold.summary()).unwrap();
            says(&new, &old, &summary.display().to_string());
        }
    }
}

#[test]
fn old_records_are_listed_shown_and_told() {
    let project = Project::new(serde_json::json!({"version": 1, "connections": []}));
    for path in kept() {
        let first = Log::read(&path).first();
        let (connection, run) = (first["connection"].as_str().unwrap(), first["run_id"].as_str().unwrap());
        let date = &first["ts"].as_str().unwrap()[..10];
        project.file(&format!("run_logs/{date}/{connection}_{run}_events.jsonl"), fs::read(&path).unwrap());
        if let Ok(summary) = fs::read(path.with_extension("json")) {
            project.file(&format!("runs/{date}/{connection}_{run}.json"), summary);
        }
    }
    let list = project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
    let mut statuses: Vec<String> = list["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["status"].as_str().unwrap().to_owned())
        .collect();
    statuses.sort();
    assert_eq!(statuses, ["crashed", "partial", "succeeded"]);
    for run in list["runs"].as_array().unwrap() {
        let id = run["run_id"].as_str().unwrap();
        project.waybill(&["runs", "show", id]).exits(0).says(&[id]);
        project.waybill(&["runs", "events", id, "--level", "debug"]).exits(0).says(&["run of "]);
    }
}

/// Every number of a value at the end of its range, or none at all for those that `least` says.
fn extreme(value: &Value, least: bool) -> Value {
    match value {
        Value::Number(number) if number.is_u64() => if least { 0 } else { u64::MAX }.into(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, item)| extreme(item, least != (at % 2 == 1))).collect()
        }
        Value::Object(members) => {
            members.iter().map(|(key, member)| (key.clone(), extreme(member, least))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn numbers_that_cannot_be_stop_no_command() {
    let project = Project::new(serde_json::json!({"version": 1, "connections": []}));
    let mut runs = Vec::new();
    for path in kept() {
        for (ended, n) in [(true, 0), (false, 1), (true, 2), (false, 3)] {
            let mut lines: Vec<Value> = Log::read(&path).lines;
            let run = format!("{:08x}-0000-7000-8000-00000000000{n}", runs.len());
            lines.retain(|line| ended || line["event"] != "run.finished");
            for (at, line) in lines.iter_mut().enumerate() {
                line["run_id"] = run.clone().into();
                // Some lines stay as they were, so that there is something between the extremes.
                if at > 0 && (n < 2 || at % 3 != 0) {
                    line["t_ms"] = u64::MAX.into();
                    line["data"] = extreme(&line["data"], at % 5 == 4);
                }
            }
            let date = lines[0]["ts"].as_str().unwrap()[..10].to_owned();
            let connection = lines[0]["connection"].as_str().unwrap().to_owned();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            project.file(&format!("run_logs/{date}/{connection}_{run}_events.jsonl"), text);
            runs.push(run);
        }
    }
    for run in &runs {
        for command in [
            &["explain", run][..],
            &["events", run],
            &["events", run, "--raw"],
            &["report", run, "-o", "page.html", "--force"],
            &["replay", run, "--speed", "max"],
            &["diff", run, &runs[0]],
            &["show", run],
            &["show", run, "--output", "json"],
        ] {
            project.start(&[&["runs"][..], command].concat()).wait().exits(0);
        }
    }
    project.start(&["runs", "list", "--limit", "0"]).wait().exits(0);
    project.start(&["runs", "stats", "crm"]).wait().exits(0);
}

/// The commands of a document and what stands below each.
fn examples(document: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for block in document.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let (command, output) = block.split_once('\n').unwrap();
        found.push((command.strip_prefix("$ ").expect("a command").to_owned(), output.to_owned()));
    }
    found
}

#[test]
fn the_examples_of_the_debugging_guide_print_what_stands_there() {
    let document = fs::read_to_string(root().join("docs/debugging.md")).unwrap();
    let examples = examples(&document);
    assert!(examples.len() >= 10, "{} examples", examples.len());
    for (command, expected) in examples {
        let output = Command::new("sh").args(["-c", &command]).current_dir(root()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, expected, "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}");
    }
}
