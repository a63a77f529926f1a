//! `connection test` of one and of all, and `connection list`.

use serde_json::json;

use super::by_hand;
use crate::fixture::{Database, Project, postgres, script};

#[test]
fn all_are_tested_and_no_driver_speaks_in_the_rows() {
    let database = Database::new("manage_test");
    database.sql("CREATE TABLE t (id bigint)");
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    project.edit(|config| {
        let copy = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
            let mut entry = config["connections"][0].clone();
            entry["name"] = json!(name);
            change(&mut entry);
            entry
        };
        let entries = vec![
            config["connections"][0].clone(),
            copy("wrong", &|entry| entry["schema"]["user"] = json!("nobody_of_that_name")),
            copy("down", &|entry| entry["schema"]["port"] = json!(1)),
            copy("off", &|entry| entry["enabled"] = json!(false)),
            json!({"name": "empty", "type": "postgres", "schema": {}}),
        ];
        config["connections"] = json!(entries);
    });
    for words in [&["connection", "test"][..], &["connection", "test", "--all"]] {
        let dir = project.dir().to_string_lossy().into_owned();
        let finished = project.waybill(&[words, &["--project-dir", &dir]].concat());
        let lines: Vec<&str> = finished.out.lines().collect();
        assert_eq!(lines.last().copied(), Some("4 tested · 1 passed"), "{}", finished.out);
        assert!(finished.out.contains("✓ c") && finished.out.contains("✗ wrong"), "{}", finished.out);
        assert!(
            !finished.out.contains("off") && finished.out.contains("source, connect: the login was refused")
        );
        for word in ["nobody_of_that_name", "refused (", "os error", "FATAL", "authentication failed"] {
            assert!(!finished.out.contains(word), "{word} in {}", finished.out);
        }
        let pointer = format!("more: waybill connection test wrong --project-dir {dir}");
        assert!(finished.out.contains(&pointer), "{pointer} in {}", finished.out);
        assert_eq!(finished.code, 3, "settings that are wrong weigh more than a check that failed");
    }
    project.edit(|config| drop(config["connections"].as_array_mut().unwrap().pop()));
    let answer = project.waybill(&["connection", "test", "--output", "json"]).exits(4).json();
    assert_eq!((&answer["tested"], &answer["passed"]), (&json!(3), &json!(1)));
    let names: Vec<&str> = answer["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["connection"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["c", "wrong", "down"]);
    // The one that is named says everything, and what to do.
    project.waybill(&["connection", "test", "wrong"]).exits(4).says(&[
        "✗ connect",
        "nobody_of_that_name",
        "hint:",
    ]);
    project.waybill(&["connection", "test", "c"]).exits(0).says(&["✓", "passed in"]);
    project.waybill(&["connection", "test", "c", "off"]).exits(4).says(&["2 tested · "]);
}

#[test]
fn one_attempt_is_made_and_more_only_where_they_may_help() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(3)]));
    for (kind, attempts) in [("network", 3), ("auth", 1)] {
        let source = json!({"check": {"kind": kind, "message": "no"},
                            "streams": [script::stream("s", json!([script::whole(3)]))]});
        project.file("source.json", source.to_string());
        let once = project.waybill(&["connection", "test", "c", "--output", "json"]).exits(4).json();
        assert_eq!(once["connections"][0]["attempts"], 1);
        let more =
            project.waybill(&["connection", "test", "c", "--retry", "2", "--output", "json"]).exits(4).json();
        assert_eq!(more["connections"][0]["attempts"], attempts, "{kind}");
    }
}

#[test]
fn the_list_has_a_warning_under_its_row() {
    let project: Project = by_hand();
    project.edit(|config| config["connections"][0]["schema"]["rot"] = json!("x"));
    project.run().exits(0);
    project.waybill(&["connection", "disable", "c"]).exits(0);
    let finished = project.waybill(&["connection", "list"]).exits(0);
    let lines: Vec<&str> = finished.out.lines().collect();
    for header in ["NAME", "TYPE", "DESTINATION", "LAST RUN"] {
        assert!(lines[0].contains(header), "{}", lines[0]);
    }
    assert!(
        lines[1].starts_with("○  c") && lines[1].contains("local (sqlite)") && lines[1].contains("succeeded"),
        "{}",
        lines[1]
    );
    let under = lines.iter().position(|line| line.contains("did you mean \"root\""));
    let broken = lines.iter().position(|line| line.starts_with("✗  broken"));
    assert!(under > Some(1) && under < broken, "{}", finished.out);
    assert!(lines.iter().any(|line| line.contains("✗  broken")), "{}", finished.out);
    let answer = project.waybill(&["connection", "list", "--output", "json"]).exits(0).json();
    assert_eq!(answer["connections"][0]["destination_type"], "sqlite");
    project.file("config.json", "{\"version\": 1}");
    project.waybill(&["connection", "list"]).exits(0).says(&["waybill connection add"]);
}
