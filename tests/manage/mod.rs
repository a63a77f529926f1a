//! Connections on the command line: added, changed, renamed, removed, brought back, selected, tested.

mod adding;
mod completing;
mod editing;
mod removing;
mod selecting;
mod testing;

use serde_json::{Value, json};

use crate::fixture::{Finished, Project};

/// An empty project.
fn empty() -> Project {
    Project::new(json!({"version": 1, "connections": []}))
}

/// A project with the files connection `c`, laid out by hand, with an unknown member.
fn by_hand() -> Project {
    let project = empty();
    project.file("config.json", HAND);
    project.file("data/a.csv", "id,name\n1,x\n2,y\n");
    project
}

const HAND: &str = r#"{
    "version" : 1,
    "connections": [
        { "name": "c", "type": "files", "retries": 3, "mine": [1,2],
          "schema": { "streams": [ {"name": "a", "path": "data/a.csv"} ] } },
        { "name": "broken", "type": "nonsense" }
    ]
}
"#;

/// The text of config.json.
fn config(project: &Project) -> String {
    std::fs::read_to_string(project.path("config.json")).unwrap()
}

/// The entry of that name.
#[track_caller]
fn entry(project: &Project, name: &str) -> Value {
    let config = project.config();
    let entries = config["connections"].as_array().unwrap();
    entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{config:#}")).clone()
}

/// Asserts that a command is refused so, says why, and has changed nothing.
#[track_caller]
fn refused(project: &Project, words: &[&str], code: i32, parts: &[&str]) -> Finished {
    let files = || ["config.json", "secrets.toml"].map(|name| std::fs::read(project.path(name)).ok());
    let before = files();
    let finished = project.waybill(words).exits(code).says(parts);
    assert_eq!(files(), before, "`waybill {}` changed a file", words.join(" "));
    finished
}
