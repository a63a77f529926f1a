//! What a run's record says about it, alone and compared: a corpus of provoked failures whose true
//! cause stands in the first three lines, differences between runs, and their history.

mod compared;
mod destinations;
mod ended;
mod files;
mod history;
mod reached;
mod records;
mod secrets;
mod sources;

use serde_json::Value;

use crate::fixture::Project;

/// What `runs explain` says of the newest run; its first three lines name the cause with all of
/// these words, and its JSON says the same.
#[track_caller]
pub fn explained(project: &Project, name: &str, status: &str, words: &[&str]) -> String {
    let said = project.start(&["runs", "explain"]).wait().exits(0).out;
    if let Some(folder) = std::env::var_os("WAYBILL_CORPUS") {
        // For whoever wants to read what people read.
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.txt")), &said).unwrap();
    }
    let verdict: Vec<&str> = said.lines().take(3).collect();
    let first = verdict.join("\n");
    for word in words {
        assert!(first.contains(word), "no {word:?} in the verdict of {name}:\n{said}");
    }
    let answer = json(project);
    assert_eq!(answer["run"]["status"], status, "{name}:\n{said}");
    let lines: Vec<&str> = answer["verdict"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    if status != "running" {
        assert_eq!(lines, verdict[..lines.len()], "{name}");
    }
    assert!(said.lines().count() < 80, "{name}: a handful, not a dump:\n{said}");
    said
}

/// The failure of a run: all of [`explained`], and what a person needs beside the cause.
#[track_caller]
pub fn failed(project: &Project, name: &str, kind: &str, words: &[&str]) -> String {
    let status = project.summary()["status"].as_str().unwrap_or_default().to_owned();
    assert!(["failed", "partial"].contains(&status.as_str()), "{name} is {status}");
    let said = explained(project, name, &status, words);
    let answer = json(project);
    assert_eq!(answer["class"]["kind"], kind, "{name}:\n{said}");
    assert!(answer["cause"]["seq"].is_u64(), "{name}: the log has the cause:\n{said}");
    let led_to = answer["led_to"].as_array().unwrap();
    assert!((1..=12).contains(&led_to.len()), "{name}:\n{said}");
    assert_eq!(led_to.iter().filter(|moment| moment["role"] == "failed").count(), 1, "{name}:\n{said}");
    let remedies = answer["remedies"].as_array().unwrap();
    assert!(remedies.iter().any(|remedy| remedy["command"].is_string()), "{name}:\n{said}");
    let retryable = project.summary()["error"]["retryable"] == true || kind == "locked";
    let advice = if retryable { "sensible" } else { "after_change" };
    assert_eq!(answer["retry"]["advice"], advice, "{name}:\n{said}");
    said
}

/// What it says as JSON.
#[track_caller]
pub fn json(project: &Project) -> Value {
    project.start(&["runs", "explain", "last", "--output", "json"]).wait().exits(0).json()
}
