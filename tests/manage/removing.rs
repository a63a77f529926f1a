//! `connection remove` and `restore`.

use serde_json::json;

use super::{by_hand, config, entry, refused};
use crate::fixture::{Project, script};

fn held() -> Project {
    let reads = json!([[{"do": "schema"}, {"do": "table", "from": 1, "to": 3, "batch": 10}, {"do": "touch", "path": "here"},
                        {"do": "wait_for_file", "path": "go"}, {"do": "checkpoint"}, {"do": "complete"}]]);
    script::source(json!({"name": "s"}), reads)
}

#[test]
fn a_removed_connection_comes_back_with_its_state_to_where_it_stood() {
    let project = by_hand();
    project.edit(|config| {
        config["connections"][0]["schema"]["streams"][0]["mode"] = json!("incremental");
        config["connections"][0]["schema"]["streams"][0]["write"] = json!("append");
    });
    project.secrets("[sources.c]\nroot = \".\"\n");
    project.run().exits(0);
    let before = config(&project);
    let finished = project.waybill(&["connection", "remove", "c", "--yes"]).exits(0);
    finished.says(&[
        "c was removed",
        "waybill connection restore c",
        "stay in secrets.toml: root",
        "stays at the destination",
    ]);
    assert_eq!(project.config()["connections"].as_array().unwrap().len(), 1);
    let list = project.waybill(&["connection", "restore", "--list", "--output", "json"]).exits(0).json();
    assert_eq!(
        (&list["removed"][0]["connection"], &list["removed"][0]["secrets"]),
        (&json!("c"), &json!(["root"]))
    );
    project.waybill(&["connection", "restore", "--list"]).exits(0).says(&["c", "files"]);
    project.waybill(&["connection", "restore", "c"]).exits(0).says(&["c is back"]);
    let (was, is): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&before).unwrap(), project.config());
    assert_eq!(is, was);
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM a"), "2", "the state came back: nothing is loaded twice");
    project.waybill(&["connection", "restore", "--list"]).exits(0).says(&["no removed connections"]);
}

#[test]
fn secrets_are_removed_only_when_that_is_said_and_never_kept_in_a_backup() {
    let project = by_hand();
    project.secrets("[sources.c]\nroot = \"sesame-open-1\"\n\n[sources.d]\nx = 1\n");
    let finished = project.waybill(&["connection", "remove", "c", "--yes", "--with-secrets"]).exits(0);
    let text = std::fs::read_to_string(project.path("secrets.toml")).unwrap();
    assert!(!text.contains("sources.c") && text.contains("[sources.d]"), "{text}");
    project.nowhere("sesame-open-1", &[], &finished);
    let restored = project.waybill(&["connection", "restore", "c"]).exits(0);
    restored.says(&["its secrets are gone: root", "waybill connection edit c --secret root"]);
}

#[test]
fn a_taken_name_or_id_is_refused_and_the_newest_comes_back() {
    let project = by_hand();
    project.waybill(&["run", "c"]).exits(0);
    project.waybill(&["connection", "remove", "c", "--yes"]).exits(0);
    project.waybill(&["connection", "add", "C", "--from-url", "data/a.csv", "--no-test"]).exits(0);
    refused(&project, &["connection", "restore", "c"], 3, &["there is a connection \"C\" already"]);
    project.waybill(&["connection", "rename", "C", "d"]).exits(0);
    let id = project.config()["connections"][1]["id"].clone();
    project.waybill(&["connection", "restore", "c"]).exits(0);
    let own = entry(&project, "c")["id"].clone();
    assert!(own.is_string() && own != id);
    project.waybill(&["connection", "remove", "c", "--yes"]).exits(0);
    project.edit(|config| config["connections"][0]["id"] = own.clone());
    refused(&project, &["connection", "restore", "c"], 3, &["has the id"]);
    refused(&project, &["connection", "restore", "nobody"], 3, &["no removed connection \"nobody\""]);
    project.file("backups/removed/c-torn.json", "{");
    project.waybill(&["connection", "restore", "--list"]).exits(0).says(&["c"]);
}

#[test]
fn a_run_that_is_going_on_is_waited_for_or_the_removal_refused() {
    let project = held();
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    refused(
        &project,
        &["connection", "remove", "c", "--yes"],
        6,
        &["it was not removed", "--wait-lock", "--force"],
    );
    assert!(!project.path("backups/removed").exists());
    let waiting = project.start(&["connection", "remove", "c", "--yes", "--wait-lock", "80"]);
    project.file("go", "");
    running.wait().exits(0);
    waiting.wait().exits(0);
    assert_eq!(project.config()["connections"], json!([]));
    // The state that the run merged at its end is in the backup.
    project.waybill(&["connection", "restore", "c"]).exits(0);
    assert!(entry(&project, "c")["state"]["s"].is_object() || entry(&project, "c")["state"].is_null());
}

#[test]
fn by_force_nothing_is_waited_for_and_the_run_still_ends_in_good_order() {
    let project = held();
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    project.waybill(&["connection", "remove", "c", "--yes", "--force"]).exits(0);
    project.file("go", "");
    running.wait().exits(0);
    assert_eq!(project.config()["connections"], json!([]), "the run's merge does not bring it back");
    assert_eq!(project.value("SELECT count(*) FROM s"), "3");
}

#[test]
fn without_a_terminal_the_yes_must_be_said_and_wrong_entries_can_go() {
    let project = by_hand();
    refused(&project, &["connection", "remove", "c"], 2, &["--yes"]);
    refused(&project, &["connection", "remove", "nobody", "--yes"], 3, &["no connection \"nobody\""]);
    project.waybill(&["connection", "remove", "broken", "--yes"]).exits(0);
    project.waybill(&["connection", "restore", "broken"]).exits(0).says(&["no connector \"nonsense\""]);
    // Where no backup can be made, nothing is removed.
    project.file("backups/removed2", "");
    std::fs::remove_dir_all(project.path("backups")).unwrap();
    project.file("backups", "");
    refused(&project, &["connection", "remove", "c", "--yes"], 3, &["cannot be written"]);
}
