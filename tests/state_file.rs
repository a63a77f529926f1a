//! All state in a file of its own: moved there and back, and nothing of it in config.json.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fixture::shim::{Shim, calls};
use crate::fixture::{Project, Running, script, tell};

fn loaded() -> Project {
    let project = script::source(
        script::by_cursor("append"),
        json!([script::whole(12), script::whole(12), script::whole(20)]),
    );
    project.run().exits(0);
    project
}

fn file(project: &Project) -> Value {
    serde_json::from_slice(&fs::read(project.path("state.json")).unwrap()).unwrap()
}

fn moved(project: &Project, words: &[&str]) {
    project.waybill(&[&["config", "state-file"], words].concat()).exits(0);
}

#[test]
fn state_moves_there_and_back_and_the_config_is_as_it_was() {
    let project = loaded();
    let text = |name: &str| fs::read_to_string(project.path(name)).unwrap();
    let before = (text("config.json"), project.state("s"));
    moved(&project, &["state.json"]);
    let config = project.config();
    assert_eq!(
        (&config["state_file"], &config["connections"][0]["state"]),
        (&json!("state.json"), &Value::Null)
    );
    assert_eq!(project.state("s"), before.1);
    let apart = text("config.json");
    project.run().exits(0);
    assert_eq!(project.log().named("state.reconciled")[0]["data"]["rule"], "5");
    assert_eq!(text("config.json"), apart, "a run leaves the config as it is");
    project.run().exits(0);
    assert_eq!(
        file(&project)["connections"].as_object().unwrap().values().next().unwrap()["state"]["s"]["cursor"],
        20
    );
    assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "20|20");
    project.waybill(&["config", "state-file"]).exits(0).says(&["state stands in", "state.json"]);
    moved(&project, &["state.json"]);
    moved(&project, &["--off"]);
    assert!(!project.path("state.json").exists());
    let after: Value = serde_json::from_str(&text("config.json")).unwrap();
    let old: Value = serde_json::from_str(&before.0).unwrap();
    assert_eq!(after["connections"][0]["schema"], old["connections"][0]["schema"]);
    assert_eq!((&after["state_file"], &project.state("s")["cursor"]), (&Value::Null, &json!(20)));
    moved(&project, &["--off"]);
    assert!(project.path("backups").exists());
}

#[test]
fn a_missing_file_is_no_state_and_the_destination_is_the_truth() {
    let project = loaded();
    moved(&project, &["state.json"]);
    fs::remove_file(project.path("state.json")).unwrap();
    project.run().exits(0);
    assert_eq!(project.log().named("state.reconciled")[0]["data"]["rule"], "5");
    assert_eq!(project.value("SELECT count(*) FROM s"), "12");
    assert_eq!(project.state("s")["cursor"], 12, "the file is made anew");
}

#[test]
fn instructions_stand_in_the_file_with_a_backup_and_none_in_a_dry_run() {
    let project = loaded();
    moved(&project, &["state.json"]);
    let (config, before) = (project.config(), file(&project));
    project.waybill(&["state", "reset", "c", "--all", "--no-input", "--yes", "--dry-run"]).exits(0);
    assert_eq!(file(&project), before);
    project.waybill(&["state", "reset", "c", "--all", "--no-input", "--yes"]).exits(0);
    assert!(project.state("s")["reset"].is_string());
    assert_eq!(project.config(), config);
    let backups: Vec<String> = fs::read_dir(project.path("backups"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("state.json."))
        .collect();
    assert_eq!(backups.len(), 1, "{backups:?}");
    project.run().exits(0);
    assert_eq!(project.log().named("state.reconciled")[0]["data"]["rule"], "1");
    for words in [&["show", "c"][..], &["explain", "c"], &["diff", "c"]] {
        project.waybill(&[&["state"], words].concat()).exits(0);
    }
}

#[test]
fn a_config_that_cannot_be_written_does_not_stop_the_state() {
    let project = loaded();
    moved(&project, &["state.json"]);
    // Root may write anywhere; a folder in the place of the config's lock stops it too.
    let _ = fs::remove_file(project.path("config.json.lock"));
    fs::create_dir(project.path("config.json.lock")).unwrap();
    project.run().exits(0);
    project.run().exits(0);
    assert_eq!(project.state("s")["cursor"], 20);
    // And the other way round: what cannot be written is a warning, and the next run adopts.
    let before = file(&project);
    let _ = fs::remove_file(project.path("state.json.lock"));
    fs::create_dir(project.path("state.json.lock")).unwrap();
    project.file(
        "source.json",
        json!({"streams": [script::stream("s", json!([script::whole(25)]))]}).to_string(),
    );
    project.run().exits(0).says(&["the state could not be written"]);
    assert_eq!(file(&project), before);
    fs::remove_dir(project.path("state.json.lock")).unwrap();
    project.run().exits(0);
    assert_eq!(project.state("s")["cursor"], 25);
    fs::remove_dir(project.path("config.json.lock")).unwrap();
    let _ = fs::set_permissions(project.path("state.json"), Permissions::from_mode(0o644));
}

#[test]
fn a_file_that_is_broken_is_refused_with_its_place_and_changes_nothing() {
    let project = loaded();
    moved(&project, &["state.json"]);
    let good = fs::read_to_string(project.path("state.json")).unwrap();
    for (bad, part) in [
        ("", "empty"),
        ("{", "state.json:1:"),
        ("[]", "no object"),
        ("{\"version\": 9}", "version"),
        ("{\"connections\": []}", "must be an object"),
        ("{\"connections\": {\"x\": 5}}", "must be an object"),
        ("{\"connections\": {}, \"connections\": {}}", "stands twice"),
    ] {
        project.file("state.json", bad);
        project.run().exits(3).says(&[part]);
        assert_eq!(fs::read_to_string(project.path("state.json")).unwrap(), bad);
    }
    project.file("state.json", good.replace("\"cursor\": 12", "\"cursor\": 12, \"reset\": \"x\""));
    project.run().exits(3).says(&["state.json:", "reset stands alone"]);
    project.file("state.json", &good);
    project.run().exits(0);
    for wrong in ["config.json", "./config.json", "nowhere/state.json", ""] {
        let other = loaded();
        let before = other.config();
        other.waybill(&["config", "state-file", wrong]).exits(3);
        assert_eq!(other.config(), before, "{wrong:?}");
    }
}

#[test]
fn state_in_both_places_is_refused_and_not_guessed() {
    let project = loaded();
    let entry = project.state("s");
    moved(&project, &["state.json"]);
    project.edit(|config| config["connections"][0]["state"] = json!({"s": entry}));
    project.run().exits(3).says(&["connections[0].state", "state_file names"]);
    project.edit(|config| config["connections"][0]["state"] = json!({}));
    project.run().exits(0);
}

/// What a move that was killed leaves: the new file beside a config that does not name it, or the old
/// file beside one that no longer does.
#[test]
fn a_move_that_is_cut_off_leaves_the_state_where_the_config_says() {
    let project = loaded();
    let config = fs::read(project.path("config.json")).unwrap();
    moved(&project, &["state.json"]);
    let left = fs::read(project.path("state.json")).unwrap();
    // Killed before the config was written: the file is nobody's, and the next move replaces it.
    project.file("config.json", &config);
    project.run().exits(0);
    project.run().exits(0);
    assert_eq!(
        (project.state("s")["cursor"].clone(), fs::read(project.path("state.json")).unwrap()),
        (json!(20), left.clone())
    );
    moved(&project, &["state.json"]);
    assert_eq!(project.state("s")["cursor"], 20);
    // Killed behind it on the way back: the file stays, and nothing reads it.
    moved(&project, &["--off"]);
    project.file("state.json", &left);
    project.run().exits(0);
    assert_eq!(project.state("s")["cursor"], 20);
    assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "20|20");
}

#[test]
fn a_move_killed_at_any_call_loses_nothing_and_can_be_done_again() {
    let mut points = 0;
    for (from, to) in [("--off", "state.json"), ("state.json", "--off")] {
        let ground = loaded();
        moved(&ground, &[from]);
        let entry = ground.state("s");
        let killed = |at: Option<u64>, torn: bool| {
            let project = ground.copy();
            let mut command = project.command(&["config", "state-file", to]);
            Shim { kill_at: at, torn, no_sync: true }.before(&mut command, Some(&project.path("calls")));
            let finished = Running::start(&mut command).wait();
            assert_eq!(finished.code, if at.is_some() { 137 } else { 0 }, "{at:?} {finished:?}");
            project
        };
        let all = calls(&killed(None, false).path("calls")).len() as u64;
        assert!(all > 5, "{all} calls");
        for at in 1..=all {
            for torn in [false, true] {
                let project = killed(Some(at), torn);
                assert_eq!(project.state("s"), entry, "{to} killed at call {at}");
                project.waybill(&["config", "state-file", to]).exits(0);
                assert_eq!(project.state("s"), entry, "{to} again after call {at}");
                assert_eq!(project.config()["state_file"].is_string(), to == "state.json");
                points += 1;
            }
            if at % 5 == 0 {
                let project = killed(Some(at), false);
                project.run().exits(0);
                assert_eq!(project.log().named("state.reconciled")[0]["data"]["rule"], "5");
                assert_eq!(project.value("SELECT count(*) FROM s"), "12");
            }
        }
    }
    tell(&format!("state_file: moves were killed at {points} points"));
}
