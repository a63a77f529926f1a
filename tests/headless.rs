//! The backend's door: one JSON answer on standard output, whatever happens.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fixture::{Finished, Project, script};

const MEMBERS: [&str; 8] =
    ["report_text", "state_updates", "exit_code", "run_id", "status", "stats", "artifacts", "error"];

fn project() -> Project {
    script::source(script::by_cursor("append"), json!([script::whole(20), script::whole(25)]))
}

/// The one document, which agrees with how the program exited.
#[track_caller]
fn answer(finished: &Finished) -> Value {
    let answer = finished.json();
    for member in MEMBERS {
        assert!(answer.get(member).is_some(), "no {member} in {answer}");
    }
    assert_eq!(answer["exit_code"], finished.code);
    assert!(answer["report_text"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    answer
}

fn with_request(project: &Project, request: &str) -> Finished {
    project.file("request.json", request);
    project.waybill(&["headless", "--request", "request.json"])
}

#[test]
fn a_run_answers_with_what_the_summary_says() {
    let project = project();
    let finished = project.waybill(&["headless", "c"]).exits(0);
    let (answer, summary) = (answer(&finished), project.summary());
    for member in ["run_id", "status", "stats", "artifacts"] {
        assert_eq!(answer[member], summary[member], "{member}");
    }
    assert_eq!(
        answer["state_updates"]["s"],
        project.state("s"),
        "what stands in the config is what is answered"
    );
    assert!(answer["error"].is_null());
}

#[test]
fn a_finished_run_id_gets_its_recorded_answer() {
    let project = project();
    let words = ["headless", "c", "--run-id", "r-1"];
    let first = answer(&project.waybill(&words).exits(0));
    let second = answer(&project.waybill(&words).exits(0));
    assert_eq!((&second["recorded"], project.logs().len()), (&json!(true), 1));
    for member in ["run_id", "status", "stats", "report_text", "exit_code", "state_updates"] {
        assert_eq!(second[member], first[member], "{member}");
    }
    assert_eq!(project.value("SELECT count(*) FROM s"), "20");
}

#[test]
fn a_failed_run_has_its_error_and_its_artifacts() {
    let project = script::source(
        json!({"name": "s"}),
        json!([[{"do": "fail", "kind": "auth", "message": "no entry"}]]),
    );
    let answer = answer(&project.waybill(&["headless", "c"]).exits(1));
    assert_eq!((&answer["status"], &answer["error"]["kind"]), (&json!("failed"), &json!("auth")));
    assert!(answer["report_text"].as_str().unwrap().contains("no entry"));
    let log = answer["artifacts"]["log"].as_str().unwrap();
    assert!(std::path::Path::new(log).exists());
}

#[test]
fn what_never_became_a_run_is_answered_too() {
    let project = project();
    for (request, code) in [
        ("", 2),
        ("{\"connection\": ", 2),
        ("[1]", 2),
        (r#"{"connection": "c", "stream": ["s"]}"#, 2),
        (r#"{"connection": "c", "limit": 0}"#, 2),
        (r#"{"connection": "nobody"}"#, 3),
        (r#"{"connection": "../c"}"#, 3),
        (r#"{"connection": "c", "run_id": "../../x"}"#, 3),
    ] {
        let finished = with_request(&project, request);
        let answer = answer(&finished);
        assert_eq!((finished.code, &answer["status"]), (code, &json!("failed")), "{request}: {answer}");
        assert!(answer["artifacts"].is_null(), "{request}: {answer}");
        assert!(answer["error"]["hint"].is_string(), "{request}: {answer}");
    }
    for words in [&["headless"][..], &["headless", "c", "--limit", "x"], &["headless", "c", "--no-such-flag"]]
    {
        answer(&project.waybill(words).exits(2));
    }
    project.file("config.json", "{\"version\": 1, \"connections\": [");
    assert!(answer(&project.waybill(&["headless", "c"]).exits(3))["artifacts"].is_null());
    assert!(
        !project.path("runs").exists() && !project.path("run_logs").exists(),
        "a refusal leaves no artifacts"
    );
}

#[test]
fn a_held_lock_is_answered_too() {
    let read = json!([{"do": "schema"}, {"do": "touch", "path": "in"}, {"do": "wait_until_stopped"},
                      {"do": "checkpoint"}, {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([read]));
    let running = project.start(&["run", "c"]);
    project.wait_for_file("in");
    let answer = answer(&project.waybill(&["headless", "c"]).exits(6));
    assert_eq!((&answer["error"]["kind"], &answer["artifacts"]), (&json!("locked"), &Value::Null));
    assert!(answer["error"]["message"].as_str().unwrap().contains(&running.pid().to_string()));
    running.signal("INT");
    running.wait().exits(130);
}

#[test]
fn a_signal_is_answered_too() {
    let read = json!([{"do": "schema"}, {"do": "touch", "path": "in"}, {"do": "wait_until_stopped"},
                      {"do": "checkpoint"}, {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([read]));
    let running = project.start(&["headless", "c"]);
    project.wait_for_file("in");
    running.signal("TERM");
    let answer = answer(&running.wait().exits(143));
    assert_eq!(answer["status"], "cancelled");
    assert!(answer["report_text"].as_str().unwrap().contains("SIGTERM"), "{answer}");
}

#[test]
fn the_request_may_come_on_standard_input() {
    let project = script::source(script::by_cursor("merge"), json!([script::whole(20)]));
    let mut command = project.command(&["headless", "--request", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"connection\": \"c\", \"limit\": 3}").unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &answer["stats"]["total"]["rows"]), (Some(0), &json!(3)), "{answer}");
}

#[test]
fn events_come_on_the_chosen_descriptor_as_they_stand_in_the_log() {
    let project = project();
    let words = ["headless", "c", "--events-fd", "3"];
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$@\" 3>events.jsonl", "sh", env!("CARGO_BIN_EXE_waybill")]).args(words);
    command.current_dir(project.dir()).env_clear().env("HOME", project.dir());
    let finished = crate::fixture::Running::start(&mut command).wait().exits(0);
    answer(&finished);
    let log = std::fs::read_to_string(project.log().path).unwrap();
    let heard = std::fs::read_to_string(project.path("events.jsonl")).unwrap();
    assert_eq!(heard, log);
}

#[test]
fn a_descriptor_that_is_not_open_is_wrong_usage() {
    let project = project();
    answer(&project.waybill(&["headless", "c", "--events-fd", "99"]).exits(2));
    assert!(!project.path("runs").exists());
}
