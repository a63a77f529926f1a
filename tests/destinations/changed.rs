//! Adding, changing and removing: each value in the file where it belongs.

use std::fs;

use serde_json::json;

use super::{flags, listed, project, words};
use crate::fixture::Database;
use crate::server::PASSWORD;

#[test]
fn a_destination_is_added_tested_and_loaded_into() {
    let (database, project) = (Database::new("destinations_add"), project());
    let flags = flags(&database);
    let all = words(
        &["destination", "add", "wh", "postgres", "--secret", "password", "--test", "--default"],
        &flags,
    );
    let finished = project.waybill_fed(&all, &format!("{PASSWORD}\n")).exits(0);
    assert!(finished.out.contains("added destination wh") && finished.out.contains("passed"), "{finished:?}");
    project.nowhere(PASSWORD, &["secrets.toml"], &finished);
    let entry = &project.config()["destinations"]["wh"];
    assert_eq!((&entry["type"], &entry["port"]), (&json!("postgres"), &json!(database.server.port)));
    assert!(entry.get("password").is_none());
    let list = listed(&project);
    assert_eq!((&list["default"], &list["destinations"][1]["used_by"]), (&json!("wh"), &json!(["c"])));
    project.waybill(&["destination", "test", "wh"]).exits(0).says(&["✓ connect", "passed in"]);
    project.run().exits(0);
    assert_eq!(database.sql("SELECT x FROM a"), "1");
}

#[test]
fn a_change_keeps_comments_order_and_what_it_does_not_mean() {
    let (database, project) = (Database::new("destinations_edit"), project());
    let flags = flags(&database);
    project
        .waybill(&words(&["destination", "add", "wh", "postgres", "--secret-env", "password=PW"], &flags))
        .exits(0);
    let config = "{\n  \"version\": 1,   \"note\": \"mine\",\n  \"destinations\": {\n    \"wh\": { \"type\": \"postgres\", \"host\": \"h\",  \"database\": \"d\", \"user\": \"u\", \"port\": 5 }\n  },\n  \"connections\": []\n}\n";
    project.file("config.json", config);
    let secrets = "# mine\n\n[destination.wh.credentials]  # of the warehouse\npassword   = { env = 'OLD' }  # rotate in May\n\n[other]\nx = 1\n";
    project.secrets(secrets);
    let edit = |words: &[&str]| project.waybill(&[&["destination", "edit", "wh"], words].concat());
    edit(&["--set", "port=6", "--secret-file", "password=pw.txt"]).exits(0);
    assert_eq!(
        fs::read_to_string(project.path("config.json")).unwrap(),
        config.replace("\"port\": 5", "\"port\": 6")
    );
    assert_eq!(
        fs::read_to_string(project.path("secrets.toml")).unwrap(),
        secrets.replace("{ env = 'OLD' }", "{ file = \"pw.txt\" }")
    );
    edit(&["--unset", "port"]).exits(0);
    assert!(project.config()["destinations"]["wh"].get("port").is_none());
    let before = (project.config(), fs::read_to_string(project.path("secrets.toml")).unwrap());
    for (wrong, code) in [
        (&["--set", "prt=5"][..], 3),
        (&["--set", "port=x"], 3),
        (&["--set", "port=70000"], 3),
        (&["--set", "password=sesame-sesame"], 3),
        (&["--set", "port"], 2),
        (&["--set", "=5"], 2),
        (&["--secret", "password", "--no-input"], 2),
        (&["--secret-env", "password"], 2),
        (&["--secret-command", "password=op read"], 2),
        (&["--unset", "user"], 3),
        (&["--unset", "nothing"], 3),
        (&["--json", "nowhere.json"], 3),
        (&[], 2),
    ] {
        let refused = edit(wrong).exits(code);
        assert!(refused.err.contains("error:") && !refused.err.contains("sesame"), "{refused:?}");
    }
    assert_eq!(before, (project.config(), fs::read_to_string(project.path("secrets.toml")).unwrap()));
    project
        .waybill(&["destination", "edit", "hw", "--set", "port=1"])
        .exits(3)
        .says(&["did you mean \"wh\""]);
}

#[test]
fn a_whole_entry_comes_as_json_and_its_secret_goes_to_the_secrets() {
    let project = project();
    let entry =
        json!({"type": "postgres", "host": "h", "database": "d", "user": "u", "password": "sesame-sesame"});
    let finished = project
        .waybill_fed(&["destination", "add", "wh", "--json", "-", "--output", "json"], &entry.to_string())
        .exits(0);
    assert_eq!(finished.json()["secrets"], json!(["password"]));
    project.nowhere("sesame-sesame", &["secrets.toml"], &finished);
    for (wrong, code) in [
        ("", 3),
        ("[]", 3),
        ("{\"type\": \"sqlite\", \"pth\": \"x\"}", 3),
        ("{\"password\": \"sesame-sesame", 3),
        ("{}", 2),
    ] {
        let refused =
            project.waybill_fed(&["destination", "add", "x", "--json", "-", "--no-input"], wrong).exits(code);
        assert!(!refused.err.contains("sesame"), "{refused:?}");
    }
    project
        .waybill_fed(&["destination", "add", "wh", "--json", "-"], &entry.to_string())
        .exits(3)
        .says(&["already"]);
}

#[test]
fn what_is_missing_is_named_and_a_name_follows_the_rule() {
    let project = project();
    let before = project.config();
    let add = |words: &[&str]| project.waybill(&[&["destination", "add"], words, &["--no-input"]].concat());
    add(&["x"]).exits(2).says(&["TYPE is missing: one of", "sqlite"]);
    add(&["x", "sqlite"]).exits(2).says(&["--set path="]);
    add(&["x", "postgres"]).exits(2).says(&["missing"]);
    add(&["x", "oracle", "--set", "a=b"]).exits(3).says(&["no connector", "use one of"]);
    add(&["x", "files", "--set", "a=b"]).exits(3).says(&["cannot be used as a destination"]);
    for name in ["../x", "a b", "", "-"] {
        let refused = add(&[name, "sqlite", "--set", "path=x.db"]);
        assert!([2, 3].contains(&refused.code), "{name}: {refused:?}");
    }
    assert_eq!(project.config(), before);
    assert!(!project.path("secrets.toml").exists());
}

#[test]
fn one_that_is_used_is_not_removed_unless_by_force() {
    let project = project();
    project.waybill(&["destination", "add", "other", "sqlite", "--set", "path=other.db"]).exits(0);
    project.edit(|config| config["connections"][0]["destination"] = json!("other"));
    project.secrets("[destination.other]\n# kept\n[sources.c]\n");
    project.waybill(&["destination", "remove", "other"]).exits(3).says(&["is used by: c", "--force"]);
    assert!(project.config()["destinations"]["other"].is_object());
    let removed = project.waybill(&["destination", "remove", "other", "--force"]).exits(0);
    assert!(removed.err.contains("without a destination now: c"), "{removed:?}");
    assert!(project.config()["destinations"]["other"].is_null());
    project.run().exits(3).says(&["no destination \"other\""]);
    project
        .edit(|config| drop(config["connections"][0].as_object_mut().unwrap().shift_remove("destination")));
    project
        .waybill(&[
            "destination",
            "add",
            "third",
            "postgres",
            "--set",
            "host=h",
            "--set",
            "database=d",
            "--set",
            "user=u",
            "--secret-env",
            "password=PW",
        ])
        .exits(0);
    project.waybill(&["destination", "remove", "third"]).exits(0).says(&["still in secrets.toml"]);
    project.waybill(&["destination", "remove", "third"]).exits(3);
    assert!(fs::read_to_string(project.path("secrets.toml")).unwrap().contains("PW"));
}
