//! The leak gate: what a run leaves is looked through for its secrets before it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::fixture::{Finished, Project, script};

const SECRET: &str = "c0rrect/horse+battery \"staple\"";

/// Every form of DESIGN.md section 6.
fn forms() -> Vec<(&'static str, String)> {
    vec![
        ("raw", SECRET.to_owned()),
        ("URL-encoded", "c0rrect%2Fhorse%2Bbattery%20%22staple%22".to_owned()),
        ("URL-encoded, lower case", "c0rrect%2fhorse%2bbattery%20%22staple%22".to_owned()),
        ("as a form", "c0rrect%2Fhorse%2Bbattery+%22staple%22".to_owned()),
        ("base64", STANDARD.encode(SECRET)),
        ("base64 after one byte", STANDARD.encode(format!("1{SECRET}!"))),
        ("base64 after two bytes", STANDARD.encode(format!("12{SECRET}!"))),
        ("base64 for URLs", URL_SAFE_NO_PAD.encode(SECRET)),
        ("user:secret in base64", STANDARD.encode(format!("user:{SECRET}"))),
        ("JSON-escaped", serde_json::to_string(SECRET).unwrap()),
        ("JSON in JSON", json!(serde_json::to_string(&json!({"token": SECRET})).unwrap()).to_string()),
        ("in a URL", "https://user:c0rrect%2Fhorse%2Bbattery%20%22staple%22@example.com/x".to_owned()),
    ]
}

fn project(steps: Vec<Value>) -> Project {
    let mut read = vec![json!({"do": "schema"})];
    read.extend(steps);
    read.extend([
        json!({"do": "rows", "from": 1, "count": 3}),
        json!({"do": "checkpoint"}),
        json!({"do": "complete"}),
    ]);
    let project = script::source(json!({"name": "s"}), json!([read]));
    project.secrets(&format!("[sources.c]\ntoken = '{SECRET}'\n"));
    project
}

/// Neither the secret nor what decodes to it is anywhere but where the test put it.
#[track_caller]
fn nowhere(project: &Project, finished: &Finished, but: &[&str]) {
    for (_, form) in forms() {
        let but = [&["secrets.toml", "source.json"], but].concat();
        project.nowhere(&form, &but, finished);
    }
}

fn quarantined(project: &Project) -> Vec<PathBuf> {
    let mut found = crate::fixture::record::files_below(project.dir());
    found.retain(|path| path.to_string_lossy().ends_with(".quarantined"));
    found
}

#[test]
fn whatever_a_connector_says_of_a_secret_is_redacted_and_passes_the_gate() {
    for (what, form) in forms() {
        let text = format!("before {form} after");
        let project = project(vec![
            json!({"do": "say", "message": text, "detail": {"a": [{"b": text}], "c": form}}),
            json!({"do": "output", "chunks": [text]}),
        ]);
        let finished = project.waybill(&["headless", "c"]).exits(0);
        nowhere(&project, &finished, &[]);
        assert_eq!(quarantined(&project), Vec::<PathBuf>::new(), "{what}");
        let said = project.log().named("process.output")[0]["message"].clone();
        let said = said.as_str().unwrap().to_owned();
        assert!(said.contains("[redacted]") && said.starts_with("before "), "{what}: {said}");
    }
    let failing =
        project(vec![json!({"do": "fail", "kind": "data", "message": format!("refused {SECRET}")})]);
    let finished = failing.run().exits(1);
    nowhere(&failing, &finished, &[]);
}

#[test]
fn a_secret_that_gets_into_the_log_all_the_same_puts_the_log_aside_and_fails_the_run() {
    let (a, b) = SECRET.split_at(11);
    let encoded = STANDARD.encode(SECRET);
    let (c, d) = encoded.split_at(20);
    for (what, step) in [
        ("split", json!({"do": "output", "chunks": [format!("x {a}"), format!("{b} y")]})),
        ("split in base64", json!({"do": "output", "chunks": [c, d]})),
        ("a key", json!({"do": "say", "message": "m", "detail": {SECRET: 1}})),
        ("a key in base64", json!({"do": "say", "message": "m", "detail": {encoded.as_str(): 1}})),
    ] {
        let project = project(vec![step]);
        let finished = project.waybill(&["headless", "c"]).exits(70);
        let answer = finished.json();
        assert_eq!(answer["status"], "failed", "{what}");
        assert_eq!(answer["error"]["kind"], "internal", "{what}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(message, "the event log of this run holds a secret (sources.c.token)", "{what}");
        let aside = quarantined(&project);
        assert_eq!(aside.len(), 1, "{what}: {aside:?}");
        assert_eq!(fs::metadata(&aside[0]).unwrap().permissions().mode() & 0o777, 0o600, "{what}");
        assert_eq!(answer["artifacts"]["log"], aside[0].display().to_string(), "{what}");
        let name = aside[0].file_name().unwrap().to_str().unwrap();
        // What was said live is out; the record and the answer are not the place to say it again.
        for file in project.summaries() {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains(SECRET) && !text.contains(&encoded), "{what}: {text}");
        }
        assert!(project.logs().is_empty(), "{what}: the log keeps its name");
        assert!(name.ends_with("_events.jsonl.quarantined"), "{name}");
        // The rows are loaded all the same, and the run is in the record.
        assert_eq!(project.value("SELECT count(*) FROM s"), "3", "{what}");
        project.waybill(&["runs", "show"]).exits(0).says(&["holds a secret (sources.c.token)", name]);
        project.waybill(&["runs", "events"]).exits(1).says(&["put aside", name]);
        let list = project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
        assert_eq!(
            (&list["runs"][0]["status"], &list["runs"][0]["exit_code"]),
            (&json!("failed"), &json!(70))
        );
    }
}

#[test]
fn a_password_that_the_config_shows_as_another_value_is_no_leak() {
    let project = project(vec![json!({"do": "say", "message": "m"})]);
    // The name of the script is in the config for everybody to read.
    project.secrets("[sources.c]\ntoken = 'source.json'\n");
    project.run().exits(0);
    assert_eq!(quarantined(&project), Vec::<PathBuf>::new());
    project.secrets("[sources.c]\ntoken = 'scripted'\n");
    project.run().exits(0);
}
