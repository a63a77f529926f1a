//! Bad input: the right exit code, a message that says what, where and what next, a summary that
//! tells it too where a run began, nothing lost, no panic.

mod documents;
mod places;
mod rows;
mod systems;

use serde_json::json;

use crate::fixture::{Finished, Project};

/// A project that loads one file as stream `t`.
fn one_file(stream: serde_json::Value) -> Project {
    Project::new(crate::fixture::one_connection("files", json!({"streams": [stream]})))
}

/// What every failure keeps: words for people and no sign of a panic.
#[track_caller]
fn told(finished: Finished, code: i32, parts: &[&str]) -> Finished {
    let finished = finished.exits(code).says(parts);
    for word in ["panicked", "a bug in waybill", "RUST_BACKTRACE", "unwrap"] {
        assert!(!finished.err.contains(word) && !finished.out.contains(word), "{finished:?}");
    }
    if code != 0 {
        let next = ["hint: ", "next: ", "must be"]
            .iter()
            .any(|word| finished.err.contains(word) || finished.out.contains(word));
        assert!(next, "it says nothing about what to do next: {finished:?}");
    }
    finished
}

/// A run that began and failed: its record is whole and tells the same.
#[track_caller]
fn recorded(project: &Project, code: i32, parts: &[&str]) {
    assert!(project.log().ended());
    let summary = project.summary();
    assert_eq!(summary["exit_code"], code);
    let report = summary["report"].to_string();
    for part in parts {
        let part = part.replace('"', "\\\"");
        assert!(report.contains(&part), "no {part:?} in {report}");
    }
    assert!(!summary["error"].is_null() || code == 0);
}
