//! `connection edit`, `rename`, `enable`, `disable`, and two who change one config.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{HAND, by_hand, config, entry, refused};
use crate::fixture::{Project, one_connection};

fn postgres() -> Project {
    let project = Project::new(one_connection(
        "postgres",
        json!({"host": "db", "user": "me", "streams": [{"name": "t"}]}),
    ));
    project.secrets("# keep\n[sources.c]\npassword = \"sesame-open-1\" # mine\n");
    project
}

fn secrets(project: &Project) -> String {
    std::fs::read_to_string(project.path("secrets.toml")).unwrap()
}

#[test]
fn only_what_is_named_changes_and_the_rest_stays_letter_by_letter() {
    let project = by_hand();
    project.waybill(&["connection", "edit", "c", "--set", "retries=5"]).exits(0).says(&["retries: 3 → 5"]);
    assert_eq!(config(&project), HAND.replace("\"retries\": 3", "\"retries\": 5"));
    project.waybill(&["connection", "edit", "c", "--unset", "retries"]).exits(0);
    assert_eq!(config(&project), HAND.replace(" \"retries\": 3,", ""));
    project.waybill_fed(&["connection", "edit", "c", "--json", "-"], "{\"retries\": 3}").exits(0);
    let finished = project.waybill(&["connection", "edit", "c", "--set", "root=data", "--dry-run"]).exits(0);
    finished.says(&["schema.root: nothing → \"data\"", "nothing was written"]);
    assert!(entry(&project, "c")["schema"].get("root").is_none());
    let same = config(&project);
    project.waybill(&["connection", "edit", "c", "--set", "retries=3"]).exits(0).says(&["nothing changed"]);
    assert_eq!(config(&project), same);
}

#[test]
fn a_json_merge_replaces_members_and_takes_secrets_out() {
    let project = postgres();
    let patch =
        json!({"schema": {"host": "new", "password": "geheim-geheim", "port": 5433}, "backoff_ms": null});
    let answer = project
        .waybill_fed(&["connection", "edit", "c", "--json", "-", "--output", "json"], &patch.to_string())
        .exits(0);
    project.nowhere("geheim-geheim", &["secrets.toml"], &answer);
    assert_eq!(
        (&answer.json()["changed"], &answer.json()["secrets_set"]),
        (&json!(true), &json!(["password"]))
    );
    let c = entry(&project, "c");
    assert_eq!(c["schema"], json!({"host": "new", "user": "me", "streams": [{"name": "t"}], "port": 5433}));
    assert!(c.get("backoff_ms").is_none());
    assert_eq!(secrets(&project), "# keep\n[sources.c]\npassword = \"geheim-geheim\" # mine\n");
    // An address fills the fields; what it does not say stays.
    project
        .waybill_fed(
            &["connection", "edit", "c", "--from-url", "-"],
            "postgresql://you:other-secret@far:99/shop",
        )
        .exits(0);
    let schema = entry(&project, "c")["schema"].clone();
    assert_eq!(
        (&schema["host"], &schema["port"], &schema["user"]),
        (&json!("far"), &json!(99), &json!("you"))
    );
    assert!(secrets(&project).contains("other-secret"));
    project.waybill(&["connection", "edit", "c", "--unset-secret", "password"]).exits(0);
    assert!(!secrets(&project).contains("other-secret"));
}

#[test]
fn a_change_that_would_break_something_changes_neither_file() {
    let project = postgres();
    for (words, part) in [
        (&["--set", "port=70000"][..], "port"),
        (&["--unset", "user"], "user"),
        (&["--unset", "hots"], "did you mean \"host\""),
        (&["--set", "name=x"], "rename"),
        (&["--set", "id=x"], "written once"),
        (&["--set", "schema={}"], "name a setting"),
        (&["--set", "streams=[]"], "select"),
        (&["--set", "destination=nowhere"], "no destination"),
        (&["--set", "password=geheim77"], "--secret password"),
        (&["--set", "=x"], "no setting"),
        (&["--unset-secret", "password", "--set", "port=x"], "whole number"),
    ] {
        let words = [&["connection", "edit", "c"], words].concat();
        refused(&project, &words, 3, &[part]);
    }
    for (patch, part) in [
        ("[]", "one JSON object"),
        ("{\"schema\": {\"port\": 0.5, \"password\": \"geheim77\"}}", "port"),
        ("{\"name\": \"d\"}", "rename"),
        ("{\"state\": {\"t\": {\"cursor\": 5}}}", "state"),
        ("{\"type\": \"nonsense\"}", "nonsense"),
        ("{\"schema\": null}", "user"),
        ("{,", "not JSON"),
    ] {
        let before = (config(&project), secrets(&project));
        project
            .waybill_fed(&["connection", "edit", "c", "--json", "-"], patch)
            .exits(3)
            .says(&[part, "hint:"]);
        assert_eq!((config(&project), secrets(&project)), before, "{patch}");
    }
    refused(&project, &["connection", "edit", "d", "--set", "retries=1"], 3, &["no connection \"d\""]);
    refused(&project, &["connection", "edit", "c", "--no-input"], 2, &["--set KEY=VALUE"]);
}

/// An editor that does what a script says with the file `$1`.
fn editor(project: &Project, script: &str) {
    project.file("editor.sh", format!("#!/bin/sh\nset -e\n{script}\n"));
    std::fs::set_permissions(project.path("editor.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn edited(project: &Project, words: &[&str]) -> crate::fixture::Finished {
    let mut command = project.command(words);
    command.env("EDITOR", project.path("editor.sh"));
    command.env("WAYBILL", env!("CARGO_BIN_EXE_waybill"));
    crate::fixture::Running::start(&mut command).wait()
}

#[test]
fn what_another_process_changed_while_the_editor_was_open_is_kept_or_the_conflict_named() {
    let project = by_hand();
    let edit = ["connection", "edit", "c", "--editor"];
    editor(
        &project,
        "\"$WAYBILL\" connection edit c --set backoff_ms=7 >/dev/null 2>&1\nsed -i 's/\"retries\": 3/\"retries\": 9/' \"$1\"",
    );
    edited(&project, &edit).exits(0).says(&["retries: 3 → 9"]);
    let c = entry(&project, "c");
    assert_eq!((&c["retries"], &c["backoff_ms"], &c["mine"]), (&json!(9), &json!(7), &json!([1, 2])));
    editor(
        &project,
        "\"$WAYBILL\" connection edit c --set retries=1 >/dev/null 2>&1\nsed -i 's/\"retries\": 9/\"retries\": 2/' \"$1\"",
    );
    let finished = edited(&project, &edit)
        .exits(3)
        .says(&["retries: it was 9, you say 2, and now it is 1", "stays in "]);
    assert_eq!(entry(&project, "c")["retries"], 1);
    let kept = finished.err.split("stays in ").nth(1).unwrap().trim().to_owned();
    assert!(std::fs::read_to_string(&kept).unwrap().contains("\"retries\": 2"));
    std::fs::remove_file(kept).unwrap();
    // Removed under the editor: nothing comes back by itself.
    editor(
        &project,
        "\"$WAYBILL\" connection remove c --yes >/dev/null 2>&1\nsed -i 's/\"retries\": 1/\"retries\": 4/' \"$1\"",
    );
    let finished = edited(&project, &edit).exits(3).says(&["no connection \"c\"", "stays in "]);
    std::fs::remove_file(finished.err.split("stays in ").nth(1).unwrap().trim()).unwrap();
    project.waybill(&["connection", "restore", "c"]).exits(0);
    for (script, part) in
        [("echo '{' > \"$1\"", "not JSON"), ("exit 3", "ended with"), (": > \"$1\"", "not JSON")]
    {
        editor(&project, script);
        let before = config(&project);
        let finished = edited(&project, &edit).exits(3).says(&[part, "hint:"]);
        assert_eq!(config(&project), before);
        finished.err.split("stays in ").nth(1).map(|path| std::fs::remove_file(path.trim()));
    }
}

#[test]
fn many_who_change_one_config_lose_nothing() {
    let project = by_hand();
    let names: Vec<String> = (0..8).map(|n| format!("x{n}")).collect();
    let running: Vec<_> = names
        .iter()
        .map(|name| project.start(&["connection", "add", name, "--from-url", "data/a.csv", "--no-test"]))
        .chain((0..4).map(|n| {
            let key = ["backoff_ms", "slow_query_ms", "query_timeout_ms", "stall_timeout_ms"][n];
            project.start(&["connection", "edit", "c", "--set", &format!("{key}={}", n + 10)])
        }))
        .collect();
    running.into_iter().for_each(|running| drop(running.wait().exits(0)));
    names.iter().for_each(|name| drop(entry(&project, name)));
    let c = entry(&project, "c");
    let values =
        ["backoff_ms", "slow_query_ms", "query_timeout_ms", "stall_timeout_ms"].map(|key| c[key].as_i64());
    assert_eq!(values, [Some(10), Some(11), Some(12), Some(13)]);
}

#[test]
fn a_new_name_keeps_state_and_secrets() {
    let project = by_hand();
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["mode"] = json!("incremental"));
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["write"] = json!("append"));
    project.secrets("# keep\n[sources.c]   # here\nroot = '.'\n\n[sources.other]\nx = 1\n");
    project.run().exits(0);
    project
        .waybill(&["connection", "rename", "c", "shop"])
        .exits(0)
        .says(&["c is called shop now, and so are its secrets"]);
    assert_eq!(secrets(&project), "# keep\n[sources.shop]   # here\nroot = '.'\n\n[sources.other]\nx = 1\n");
    project.waybill(&["run", "shop"]).exits(0);
    assert_eq!(project.value("SELECT count(*) FROM a"), "2", "nothing is loaded twice");
    project.waybill(&["connection", "rename", "shop", "Shop"]).exits(0);
    assert!(secrets(&project).contains("[sources.Shop]"));
    for (to, code, part) in [
        ("broken", 3, "there is a connection \"broken\" already"),
        ("BROKEN", 3, "already"),
        ("other", 3, "[sources.other]"),
        ("../x", 3, "letters, digits"),
        ("Shop", 3, "has that name already"),
    ] {
        refused(&project, &["connection", "rename", "Shop", to], code, &[part]);
    }
    refused(&project, &["connection", "rename", "nobody", "x"], 3, &["no connection \"nobody\""]);
}

#[test]
fn a_rename_that_is_refused_leaves_the_secrets_of_the_other_connection() {
    let project = postgres();
    project.edit(|config| {
        let mut twin = config["connections"][0].clone();
        twin["name"] = json!("d");
        config["connections"].as_array_mut().unwrap().push(twin);
    });
    // Word for word the same secrets: those of `d` are not a leftover of a killed rename.
    project.secrets("[sources.c]\npassword = \"same-same\"\n\n[sources.d]\npassword = \"same-same\"\n");
    project.waybill(&["connection", "enable", "c", "d"]).exits(0);
    refused(&project, &["connection", "rename", "c", "d"], 3, &["already"]);
}

#[test]
fn a_rename_that_was_killed_between_the_two_files_is_done_by_saying_it_again() {
    let project = by_hand();
    project.secrets("[sources.c]\nroot = \".\"\n\n[sources.shop]\nroot = \".\"\n");
    project.waybill(&["connection", "test", "c"]).exits(0);
    project.waybill(&["connection", "rename", "c", "shop"]).exits(0);
    assert_eq!(secrets(&project), "\n[sources.shop]\nroot = \".\"\n");
    // Killed behind it: what is left over is named.
    project.secrets("[sources.c]\nroot = \".\"\n\n[sources.shop]\nroot = \".\"\n");
    project.waybill(&["connection", "test", "shop"]).exits(0);
    project.waybill(&["config", "validate"]).says(&["sources.c", "nothing reads it"]);
}

#[test]
fn switching_on_and_off_changes_one_word() {
    let project = by_hand();
    project
        .waybill(&["connection", "disable", "c", "broken"])
        .exits(0)
        .says(&["c is switched off", "broken is switched off"]);
    assert!(config(&project).contains("\"type\": \"files\", \"enabled\": false, \"retries\": 3"));
    project.waybill(&["connection", "disable", "c"]).exits(0).says(&["already"]);
    // What is wrong can be switched off, not on; and nothing is switched where one does not exist.
    refused(&project, &["connection", "enable", "broken"], 3, &["no connector \"nonsense\""]);
    refused(&project, &["connection", "enable", "c", "nobody"], 3, &["no connection \"nobody\""]);
    let answer = project.waybill(&["connection", "enable", "c", "--output", "json"]).exits(0).json();
    assert_eq!(answer, json!({"connections": [{"connection": "c", "enabled": true, "changed": true}]}));
}
