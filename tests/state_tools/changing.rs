//! `state set`, `export`, `import`, `reset`: what is written, what is refused.

use std::fs;

use serde_json::{Value, json};

use super::{ask, shop, sqlite, stream};
use crate::fixture::Project;

fn backups(project: &Project) -> usize {
    fs::read_dir(project.path("backups")).map(|found| found.count()).unwrap_or_default()
}

#[test]
fn a_cursor_that_is_set_is_where_the_next_run_starts() {
    let project = shop();
    project.run().exits(0);
    let before = backups(&project);
    let (answer, code) = ask(&project, &["set", "c", "--stream", "orders", "--cursor", "2024-01-20"]);
    assert_eq!((code, stream(&answer, "orders")["written"].as_bool()), (0, Some(true)), "{answer:#}");
    assert_eq!(project.state("orders")["set"]["cursor"], "2024-01-20T00:00:00");
    assert_eq!(backups(&project), before + 1);
    sqlite(&project, "waybill.db", "UPDATE orders SET customer = 'spoilt'");
    project.run().exits(0);
    let spoilt = project.value("SELECT count(*), max(at) FROM orders WHERE customer = 'spoilt'");
    assert_eq!(spoilt, "455|2024-01-19 23:00:00");
    assert!(project.state("orders").get("set").is_none(), "{}", project.state("orders"));
}

#[test]
fn a_value_of_another_type_is_refused_with_a_right_one() {
    let project = shop();
    // Never run: the type comes from the source.
    let config = project.config();
    let wrong = project.waybill(&["state", "set", "c", "--stream", "orders", "--cursor", "yesterday"]);
    wrong.exits(3).says(&["is no value of type timestamp", "a right value looks like 2024-05-01T12:30:00"]);
    project.run().exits(0);
    let wrong = project.waybill(&["state", "set", "c", "--stream", "items", "--cursor", "2024-01-20"]);
    wrong.exits(3).says(&["is no value of type int64, the type of its cursor \"id\"", "41200"]);
    for (stream, why) in [("lists", "full_refresh"), ("ordres", "did you mean \"orders\"")] {
        let refused = project.waybill(&["state", "set", "c", "--stream", stream, "--cursor", "1"]);
        refused.exits(3).says(&[why]);
    }
    let missing = project.waybill(&["state", "set", "c", "--stream", "orders"]).exits(2);
    missing.says(&["--cursor"]);
    project.waybill(&["state", "set", "c", "--cursor", "1"]).exits(2).says(&["--stream"]);
    assert_eq!(project.config()["connections"][0]["schema"], config["connections"][0]["schema"]);
    assert!(project.state("orders").get("set").is_none());
}

#[test]
fn a_dry_run_writes_nothing_at_all() {
    let project = shop();
    let before = fs::read(project.path("config.json")).unwrap();
    for words in [
        &["reset", "c", "--all", "--dry-run"][..],
        &["accept", "c", "--stream", "orders", "--dry-run"],
        &["set", "c", "--stream", "items", "--cursor", "-5", "--dry-run"],
    ] {
        let (answer, code) = ask(&project, words);
        assert_eq!((code, &answer["dry_run"]), (0, &json!(true)), "{answer:#}");
        let first = &answer["streams"][0];
        assert!(first["written"] == false && first["after"].is_object(), "{answer:#}");
    }
    assert_eq!(fs::read(project.path("config.json")).unwrap(), before);
    assert_eq!(backups(&project), 0);
    assert!(!project.path("runs/.locks").exists());
}

#[test]
fn a_reset_that_may_not_ask_names_the_flag() {
    let project = shop();
    project.run().exits(0);
    let refused = project.waybill(&["state", "reset", "c", "--all", "--no-input"]);
    refused.exits(2).says(&["--yes"]);
    assert!(project.state("orders").get("reset").is_none());
    project.waybill(&["state", "reset", "c", "--all", "--no-input", "--yes"]).exits(0);
    assert!(project.state("orders")["reset"].is_string() && project.state("items")["reset"].is_string());
}

#[test]
fn an_export_brings_a_connection_back_to_where_it_stood() {
    let project = shop();
    project.run().exits(0);
    project.waybill(&["state", "export", "c", "-o", "then.json"]).exits(0);
    let document: Value = serde_json::from_slice(&fs::read(project.path("then.json")).unwrap()).unwrap();
    assert_eq!((&document["version"], &document["connection"]), (&json!(1), &json!("c")));
    assert_eq!(document["streams"]["orders"]["type"], "timestamp");
    assert_eq!(document["streams"]["items"]["cursor"], 100);
    sqlite(&project, "shop.db", "INSERT INTO items VALUES (101, 'late'), (102, 'later')");
    project.run().exits(0);
    let (diff, code) = ask(&project, &["diff", "c", "then.json"]);
    assert_eq!(code, 1);
    assert_eq!(stream(&diff, "items")["standing"], "destination ahead of the export");
    assert_eq!(stream(&diff, "orders")["standing"], "equal");
    // Only items is asked for; lists has no cursor and is left alone either way.
    project.waybill(&["state", "import", "c", "then.json", "--stream", "items"]).exits(0);
    assert_eq!(project.state("items")["set"]["cursor"], 100);
    assert!(project.state("orders").get("set").is_none());
    let (all, _) = ask(&project, &["import", "c", "then.json", "--dry-run"]);
    assert!(
        stream(&all, "lists")["after"].is_null() && stream(&all, "orders")["after"].is_object(),
        "{all:#}"
    );
}

#[test]
fn an_import_is_checked_before_anything_is_written() {
    let project = shop();
    project.run().exits(0);
    project.waybill(&["state", "export", "c", "-o", "e.json"]).exits(0);
    let text = fs::read_to_string(project.path("e.json")).unwrap();
    let before = project.config();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let refused = |document: &Value, said: &[&str]| {
        project.file("wrong.json", document.to_string());
        let finished = project.waybill(&["state", "import", "c", "wrong.json"]);
        assert_ne!(finished.code, 0);
        finished.says(said);
        assert_eq!(project.config(), before);
    };
    document["connection_id"] = json!("0b0e7a52-5b5c-4a5e-9d3e-7b1f3a1c0001");
    refused(&document, &["of the same name with another id", "--other-connection"]);
    document = serde_json::from_str(&text).unwrap();
    document["streams"]["gone"] = document["streams"]["items"].clone();
    document["streams"]["away"] = document["streams"]["items"].clone();
    refused(&document, &["c does not select away, gone", "--stream"]);
    document = serde_json::from_str(&text).unwrap();
    document["streams"]["items"]["type"] = json!("text");
    refused(&document, &["has a cursor of type text, and now it is of type int"]);
    document["streams"]["items"] = json!(7);
    refused(&document, &["wrong.json: streams.items: "]);
    refused(&json!({"version": 9}), &["newer than this program knows"]);
}
