//! Every kind of error at every step: tried again or not, and the exit code, as the one table says.

use serde_json::{Value, json};

use super::exactly;
use crate::fixture::{Project, script};

/// Kind, its own word on retrying, whether it is tried again, the exit code where it stays.
const KINDS: [(&str, Option<bool>, bool, i32); 14] = [
    ("config", None, false, 3),
    ("auth", None, false, 1),
    ("permission", None, false, 1),
    ("not_found", None, false, 1),
    ("network", None, true, 75),
    ("timeout", None, true, 75),
    ("rate_limit", None, true, 75),
    ("data", None, false, 1),
    ("schema", None, false, 1),
    ("destination", None, false, 1),
    ("destination", Some(true), true, 75),
    ("locked", None, false, 6),
    // Nobody asked for it: a bug.
    ("cancelled", None, false, 70),
    ("internal", None, false, 70),
];

/// Steps at which one kind of each fate will do: the others take the same way.
const SHORT: [&str; 6] = ["open", "check", "plan", "states", "prepare", "write"];

/// Each kind at one step: always, and only the first time.
fn every_kind(step: &str, selection: &Value, faulty: impl Fn(&Project, Value)) {
    for (kind, retryable, again, code) in KINDS {
        let fates = [
            ("auth", None),
            ("network", None),
            ("destination", Some(true)),
            ("locked", None),
            ("cancelled", None),
        ];
        if SHORT.contains(&step) && !fates.contains(&(kind, retryable)) {
            continue;
        }
        let fail = json!({"kind": kind, "retryable": retryable});
        let project = script::source(selection.clone(), json!([script::whole(20)]));
        project.edit(|config| config["connections"][0]["retries"] = json!(2));
        faulty(&project, json!({"at": step, "fail": fail}));
        project.run().exits(code);
        let (log, summary) = (project.log(), project.summary());
        let what = format!("{kind} at {step}");
        assert_eq!(log.named("retry.scheduled").len(), if again { 2 } else { 0 }, "{what}");
        let said = if kind == "cancelled" { "internal" } else { kind };
        assert_eq!(summary["error"]["kind"], said, "{what}");
        assert_eq!(summary["error"]["retryable"], again, "{what}");
        assert_eq!((&summary["status"], &summary["exit_code"]), (&json!("failed"), &json!(code)), "{what}");
        assert!(log.ended(), "{what}");
        if again {
            faulty(&project, json!({"at": step, "nth": 4, "fail": fail}));
            project.run().exits(0);
            exactly(&project, 20);
            assert_eq!(project.log().named("retry.scheduled").len(), 1, "{what}, once");
        }
    }
}

fn at_source(project: &Project, fault: Value) {
    let text = std::fs::read(project.path("source.json")).unwrap();
    let mut script: Value = serde_json::from_slice(&text).unwrap();
    script["faults"] = json!([fault]);
    project.file("source.json", script.to_string());
}

fn at_destination(project: &Project, fault: Value) {
    script::faults(project, json!([fault]));
}

#[test]
fn a_source_that_cannot_be_opened_checked_discovered_or_planned() {
    for step in ["open", "check", "discover", "plan"] {
        every_kind(step, &json!({"name": "s"}), at_source);
    }
}

#[test]
fn a_destination_that_cannot_be_opened_checked_or_begun() {
    for step in ["open", "check", "begin", "states"] {
        every_kind(step, &script::by_cursor("append"), at_destination);
    }
}

#[test]
fn a_destination_that_cannot_be_written() {
    for step in ["prepare", "write", "commit"] {
        every_kind(step, &script::by_cursor("append"), at_destination);
    }
}

#[test]
fn a_table_that_cannot_be_published() {
    every_kind("publish", &json!({"name": "s"}), at_destination);
}

#[test]
fn a_source_that_cannot_be_read() {
    for (kind, retryable, again, code) in KINDS {
        let fail = json!({"do": "fail", "kind": kind, "retryable": retryable});
        let read = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 10, "batch": 5}, fail]);
        let selections = [json!({"name": "s"}), script::by_cursor("merge")];
        for selection in selections.into_iter().take(if again { 2 } else { 1 }) {
            let project = script::source(selection.clone(), json!([read]));
            project.run().exits(code);
            let tried = project.log().named("stream.attempt_failed").len();
            assert_eq!(tried, if again { 4 } else { 1 }, "{kind} {selection}");
            if again {
                let project = script::source(selection, json!([read, script::whole(20)]));
                project.run().exits(0);
                exactly(&project, 20);
            }
        }
    }
}

#[test]
fn what_the_source_is_told_about_commits_fails_no_run() {
    for (kind, ..) in KINDS {
        let project = script::source(script::by_cursor("append"), json!([script::whole(20)]));
        at_source(&project, json!({"at": "acknowledge", "fail": {"kind": kind}}));
        project.run().exits(0).says(&["the source could not be told what is durable"]);
        exactly(&project, 20);
    }
}

#[test]
fn one_stream_that_cannot_be_planned_fails_alone() {
    let project = script::streams(
        json!([{"name": "s"}, {"name": "t"}]),
        json!([
            script::stream("s", json!([script::whole(20)])),
            script::stream("t", json!([script::whole(20)]))
        ]),
    );
    at_source(&project, json!({"at": "plan", "nth": 1, "fail": {"kind": "data", "stream": "t"}}));
    project.run().exits(5);
    exactly(&project, 20);
    assert_eq!(project.summary()["errors"]["t"]["kind"], "data");
}
