//! An address before there is a connection: nothing is stored, and no password is a word of a command.

use serde_json::json;

use super::{PASSWORD, bare_role, found, named};
use crate::fixture::record::files_below;
use crate::fixture::{Database, Project};

#[test]
fn an_address_is_looked_at_and_nothing_is_stored() {
    let database = Database::new("preflight_address");
    bare_role(&database, "preflight_address");
    database.sql(
        "CREATE SCHEMA a; CREATE TABLE a.t (id int); CREATE SCHEMA b; CREATE TABLE b.t (id int);
                  GRANT USAGE ON SCHEMA a TO preflight_address; GRANT SELECT ON a.t TO preflight_address",
    );
    let project = Project::new(json!({"version": 1, "connections": []}));
    let at =
        format!("preflight_address@127.0.0.1:{}/preflight_address?sslmode=disable", database.server.port);
    let url = format!("postgresql://{at}");
    let words = |more: &[&'static str]| {
        let mut words = vec!["connection", "preflight", url.as_str(), "--output", "json"];
        words.extend(more);
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |more: &[&'static str], input: &str| {
        let words = words(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        project.waybill_fed(&words, input)
    };
    // Some tables may be none of its business.
    let answer = run(&["--password"], PASSWORD).exits(0).json();
    assert_eq!(named(&answer, "source", "select")["status"], "warn", "{answer:#}");
    run(&["--password", "--schemas", "a"], PASSWORD).exits(0);
    let narrow = run(&["--password", "--schemas", "b"], PASSWORD).exits(4).json();
    assert_eq!(found(&narrow, "source", "fail"), ["usage", "select b.t"], "{narrow:#}");
    let written = run(&["--password", "--as", "destination"], PASSWORD).exits(4).json();
    assert_eq!(found(&written, "destination", "fail"), ["create"], "{written:#}");
    // The whole address on standard input.
    let whole = format!("postgresql://preflight_address:{PASSWORD}@{}", at.split_once('@').unwrap().1);
    project.waybill_fed(&["connection", "preflight", "-"], &whole).exits(0).says(&["passed in"]);
    let argued = project.waybill(&["connection", "preflight", &whole]).exits(2);
    assert!(!argued.err.contains(PASSWORD), "{argued:?}");
    let mut by_variable = project.command(&["connection", "preflight", &url, "--password-env", "PW"]);
    crate::fixture::Running::start(by_variable.env("PW", PASSWORD)).wait().exits(0);
    assert_eq!(files_below(project.dir()), [project.path("config.json")]);
    project.waybill(&["connection", "preflight", "nobody"]).exits(3).says(&["nobody"]);
    project.waybill(&["connection", "preflight", "c", "--password"]).exits(2).says(&["belong to an address"]);
}

#[test]
fn every_system_answers_through_the_same_door() {
    let project = Project::new(json!({"version": 1, "connections": [
        {"name": "c", "type": "files", "schema": {"streams": [{"name": "a", "path": "a.csv"}, {"name": "b", "path": "b.csv"}]}}
    ]}));
    project.file("a.csv", "x\n1\n");
    project.file("b.csv", "x\n1\n");
    let (report, code) = super::preflight(&project, &[]);
    assert_eq!(code, 0, "{report:#}");
    assert!(found(&report, "destination", "pass").len() > 1, "{report:#}");
    std::fs::remove_file(project.path("b.csv")).unwrap();
    let (report, code) = super::preflight(&project, &[]);
    assert_eq!(code, 4, "{report:#}");
    let path = project.path("a.csv").display().to_string();
    project.waybill(&["connection", "preflight", &format!("file://{path}")]).exits(0);
}
