//! `doctor`: what is wrong is found, with what to do about it, and what is well is not complained of.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, one_connection, postgres, script};

fn healthy() -> Project {
    let project = Project::new(one_connection("files", json!({"streams": [{"name": "a", "path": "a.csv"}]})));
    project.file("a.csv", "x\n1\n");
    project
}

fn ask(project: &Project, words: &[&str]) -> (Value, i32) {
    let finished = project.waybill(&[&["doctor", "--output", "json"], words].concat());
    (finished.json(), finished.code)
}

/// The findings of a level, each as its text.
fn of(report: &Value, level: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["level"] == level).map(Value::to_string).collect()
}

#[test]
fn a_healthy_project_has_nothing_to_complain_of() {
    let project = healthy();
    let (report, code) = ask(&project, &[]);
    assert_eq!((code, &report["exit_code"]), (0, &json!(0)), "{report:#}");
    assert!(of(&report, "error").is_empty() && of(&report, "warning").is_empty(), "{report:#}");
    let text = report.to_string();
    for part in ["\"places\"", "\"config\"", "\"locks\"", "\"disk\"", "\"systems\"", "sqlite", "free of"] {
        assert!(text.contains(part), "no {part} in {report:#}");
    }
    assert_eq!(report["systems"].as_array().unwrap().len(), 2);
    project.waybill(&["doctor"]).exits(0).says(&["0 errors, 0 warnings", "connectors: files (source)"]);
    let before: Vec<_> = fs::read_dir(project.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(before.len(), 2, "it leaves nothing behind: {before:?}");
}

#[test]
fn every_finding_has_its_place_and_its_remedy() {
    let project = healthy();
    project.file("secrets.toml", "[sources.c]\nx = 'y'\n[sources.nobody]\nz = 'a'\n");
    fs::set_permissions(project.path("secrets.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    project.file("runs", "a file");
    project.edit(|config| {
        config["connections"][0]["retrys"] = json!(1);
        let mut second = config["connections"][0].clone();
        second["name"] = json!("second");
        second["type"] = json!("nonsense");
        config["connections"].as_array_mut().unwrap().push(second);
    });
    let (report, code) = ask(&project, &["--offline"]);
    assert_eq!(code, 3, "{report:#}");
    let (errors, warnings) = (of(&report, "error").join("\n"), of(&report, "warning").join("\n"));
    for part in ["chmod 600 ", "connections[1].type", "is no folder", "use one of: "] {
        assert!(errors.contains(part), "no {part} in {errors}");
    }
    assert!(
        warnings.contains("connections[0].retrys") && warnings.contains("waybill config validate"),
        "{warnings}"
    );
    for finding in report["findings"].as_array().unwrap().iter().filter(|f| f["level"] != "ok") {
        assert!(finding["remedy"].is_string(), "no remedy: {finding}");
    }
    project.file("config.json", "{");
    let (report, code) = ask(&project, &[]);
    assert_eq!(code, 3);
    assert!(of(&report, "error").join("\n").contains("config.json:1:"), "{report:#}");
    fs::remove_file(project.path("config.json")).unwrap();
    project.waybill(&["doctor"]).exits(3).says(&["waybill init"]);
}

#[test]
fn a_system_that_cannot_be_reached_is_exit_4_unless_it_is_left_out() {
    let database = Database::new("doctor_wrong");
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    project.secrets("[sources.c]\npassword = 'sesame-sesame'\n");
    let finished = project.waybill(&["doctor", "--project-dir", "."]).exits(4);
    let dir = project.dir().display().to_string();
    assert!(finished.out.contains("connection test c --project-dir"), "{dir}: {finished:?}");
    project.nowhere("sesame-sesame", &["secrets.toml"], &finished);
    project.waybill(&["doctor", "--offline"]).exits(0).says(&["systems were left out"]);
}

#[test]
fn a_run_that_is_going_on_is_named_with_its_process() {
    let held = json!([{"do": "schema"}, {"do": "touch", "path": "here"}, {"do": "wait_for_file", "path": "go"},
                      {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([held]));
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    let (report, code) = ask(&project, &["--offline"]);
    assert_eq!(code, 0, "{report:#}");
    let locks = of(&report, "warning").join("\n");
    assert!(
        locks.contains(&format!("process {}", running.pid())) && locks.contains("runs events c --follow")
    );
    project.file("go", "");
    running.wait().exits(0);
}

#[test]
fn the_answer_has_the_form_that_its_schema_says() {
    let project = healthy();
    let schema = project.waybill(&["schema", "doctor"]).exits(0).json();
    let (report, _) = ask(&project, &[]);
    for member in schema["required"].as_array().unwrap() {
        assert!(!report[member.as_str().unwrap()].is_null(), "no {member}");
    }
    for member in report.as_object().unwrap().keys() {
        assert!(schema["properties"].get(member).is_some(), "{member} is not in the schema");
    }
}
