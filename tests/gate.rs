//! The gate: of several runs none is started where something that one of them needs fails.

use serde_json::{Value, json};

use crate::fixture::{Database, Project, postgres, script};
use crate::server::PASSWORD;

/// `good` and `bad` from scripts into SQLite, `bad` with a source whose check fails as said.
fn two(check: Value) -> Project {
    let project = script::source(json!({"name": "s"}), json!([script::whole(12)]));
    project.edit(|config| {
        config["connections"][0]["name"] = json!("good");
        let mut second = config["connections"][0].clone();
        second["name"] = json!("bad");
        second["schema"]["script"] = json!("other.json");
        second["schema"]["streams"][0]["table"] = json!("other");
        config["connections"].as_array_mut().unwrap().push(second);
    });
    let streams = json!([script::stream("s", json!([script::whole(3)]))]);
    project.file("other.json", json!({"streams": streams, "check": check}).to_string());
    project
}

fn failing() -> Project {
    two(json!({"kind": "auth", "message": "the password is wrong"}))
}

#[test]
fn where_one_source_fails_none_is_started_and_it_is_named_with_the_command() {
    let project = failing();
    for words in [&["run", "good", "bad"][..], &["run", "--all"], &["run", "bad", "good", "--quiet"]] {
        project.waybill(words).exits(4).says(&[
            "source bad (scripted)",
            "waybill connection test bad",
            "nothing was run: 1 of 3 failed its test",
            "--no-gate",
        ]);
    }
    assert!(project.logs().is_empty() && project.summaries().is_empty(), "nothing was run");
    let told = project.waybill(&["run", "good", "bad", "--output", "json"]).exits(4).json();
    assert_eq!(told.as_array().unwrap().len(), 2);
    for one in told.as_array().unwrap() {
        assert_eq!((&one["exit_code"], &one["summary"]), (&json!(4), &Value::Null));
    }
    assert_eq!(told[1]["error"]["kind"], "auth");
    assert!(told[0]["error"]["message"].as_str().unwrap().contains("nothing was run"), "{told}");
}

#[test]
fn one_alone_has_no_gate_and_without_it_the_others_go_on() {
    let project = failing();
    project.waybill(&["run", "good"]).exits(0);
    let finished = project.waybill(&["run", "bad", "good", "--no-gate"]);
    assert_eq!(project.logs().len(), 3, "each of them has a log: {finished:?}");
    assert_ne!(finished.code, 4);
    project.edit(|config| config["connections"][1]["enabled"] = json!(false));
    project.waybill(&["run", "--all"]).exits(0);
}

#[test]
fn a_gate_that_opens_says_what_was_tested_and_each_destination_is_tested_once() {
    let target = Database::new("gate_once");
    let project = two(Value::Null);
    postgres::destination(&project, &target);
    let finished = project.waybill(&["run", "--all"]).exits(0);
    assert!(
        finished.err.contains("tested before the first run: 2 sources and 1 destination"),
        "{finished:?}"
    );
}

#[test]
fn a_destination_that_refuses_is_named_once_and_its_password_never() {
    let target = Database::new("gate_refused");
    let project = two(Value::Null);
    postgres::destination(&project, &target);
    project.secrets("[destination.warehouse.credentials]\npassword = 'sesame-sesame'\n");
    let finished = project.waybill(&["run", "--all"]).exits(4);
    assert_eq!(finished.err.matches("destination warehouse (postgres)").count(), 1, "{finished:?}");
    assert!(finished.err.contains("waybill destination test warehouse"), "{finished:?}");
    project.nowhere("sesame-sesame", &["secrets.toml"], &finished);
    // A secret that is missing fails the gate once, and not for each that goes there.
    project.secrets("[destination.warehouse.credentials]\npassword = { env = 'NOT_SET' }\n");
    let finished = project.waybill(&["run", "--all"]).exits(4);
    assert_eq!(finished.err.matches("NOT_SET is not set").count(), 1, "{finished:?}");
    project.secrets(&format!("[destination.warehouse.credentials]\npassword = '{PASSWORD}'\n"));
    project.waybill(&["run", "--all"]).exits(0);
}

#[test]
fn an_entry_that_is_wrong_is_told_and_stops_no_other() {
    let project = two(Value::Null);
    project.edit(|config| config["connections"][1]["type"] = json!("nonsense"));
    project.waybill(&["run", "--all"]).exits(3).says(&["nonsense"]);
    assert_eq!(project.logs().len(), 1);
    project.waybill(&["run", "good", "bad"]).exits(3);
    assert_eq!(project.logs().len(), 2);
}
