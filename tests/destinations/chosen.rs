//! The default: chosen, marked, and what that means for those who follow it.

use std::fs;

use serde_json::json;

use super::{listed, project};
use crate::fixture::{Project, one_connection};

#[test]
fn a_switch_is_said_with_what_it_means_for_those_who_follow() {
    let project = project();
    project.run().exits(0);
    project.waybill(&["destination", "add", "b", "sqlite", "--set", "path=b.db"]).exits(0);
    project.edit(|config| config["destination"] = json!("local"));
    let switched = project.waybill(&["destination", "use", "b"]).exits(0);
    assert_eq!(switched.out, "Switched from 'local' to 'b'\n");
    assert!(switched.err.contains("finds no state in 'b': c"), "{switched:?}");
    let list = project.waybill(&["destination", "list"]).exits(0);
    let marked: Vec<&str> = list.out.lines().filter(|line| line.starts_with('*')).collect();
    assert!(marked.len() == 1 && marked[0].contains("b.db") && marked[0].ends_with(" c"), "{list:?}");
    // As was said: its state says more than the new one holds, and that is for a person to decide.
    project.run().exits(1).says(&["waybill state reset c"]);
    project.waybill(&["destination", "use", "local"]).exits(0);
    project.run().exits(0);
    let before = fs::read_to_string(project.path("config.json")).unwrap();
    let again = project.waybill(&["destination", "use", "local", "--output", "json"]).exits(0).json();
    assert_eq!(again["changed"], json!(false));
    assert_eq!(fs::read_to_string(project.path("config.json")).unwrap(), before);
    project.waybill(&["destination", "use", "lcal"]).exits(3).says(&["did you mean \"local\""]);
}

#[test]
fn the_embedded_one_is_listed_tested_and_left_alone() {
    let project = Project::new(one_connection("files", json!({"streams": [{"name": "a", "path": "a.csv"}]})));
    let list = listed(&project);
    assert_eq!((&list["default"], &list["destinations"][0]["name"]), (&json!("local"), &json!("local")));
    project.waybill(&["destination", "test"]).exits(0).says(&["local", "passed"]);
    project.waybill(&["destination", "use", "local"]).exits(0).says(&["already"]);
    project.waybill(&["destination", "remove", "local"]).exits(3).says(&["embedded"]);
    project.waybill(&["destination", "edit", "local", "--set", "path=x.db"]).exits(3).says(&["embedded"]);
}

#[test]
fn several_are_tested_and_the_summary_names_the_command_that_shows_more() {
    let project = project();
    let add = [
        "destination",
        "add",
        "wh",
        "postgres",
        "--set",
        "host=127.0.0.1",
        "--set",
        "port=1",
        "--set",
        "database=d",
        "--set",
        "user=u",
    ];
    project.waybill(&add).exits(0);
    let all = project.waybill(&["destination", "test", "--project-dir", "."]).exits(4);
    assert!(all.out.contains("2 tested · 1 passed"), "{all:?}");
    assert!(all.out.contains("more: waybill destination test wh --project-dir "), "{all:?}");
    project.waybill(&["destination", "test", "wh"]).exits(4).says(&["✗ connect", "hint:", "failed in"]);
    let told = project.waybill(&["destination", "test", "--output", "json"]).exits(4).json();
    assert_eq!((&told["tested"], &told["passed"]), (&json!(2), &json!(1)));
    project.edit(|config| config["destinations"]["wh"]["type"] = json!("nonsense"));
    project.waybill(&["destination", "test"]).exits(3).says(&["2 tested"]);
    project.waybill(&["destination", "list"]).exits(0).says(&["invalid", "no connector"]);
}

#[test]
fn what_goes_to_the_embedded_destination_still_does_beside_a_new_one() {
    let project = project();
    project.edit(|config| drop(config.as_object_mut().unwrap().remove("destinations")));
    project.run().exits(0);
    project.waybill(&["destination", "add", "lake", "sqlite", "--set", "path=lake.db"]).exits(0);
    let config = project.config();
    assert_eq!(config["destination"], "local", "{config}");
    assert_eq!(config["destinations"]["local"], json!({"type": "sqlite", "path": "waybill.db"}));
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM a"), "1");
    // Where nothing goes to it, the first one is the default.
    project.file("config.json", "{\"version\": 1, \"connections\": []}");
    project.waybill(&["destination", "add", "lake", "sqlite", "--set", "path=lake.db"]).exits(0);
    assert_eq!(project.config()["destination"], "lake");
}
