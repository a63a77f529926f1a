//! The merge into config.json at the end of a run, while others edit that file.

use serde_json::{Value, json};

use crate::fixture::{Project, Running, one_connection, script};

/// A run of 30 rows that stands still before its end until the file `go` is there.
fn held(write: &str) -> Project {
    let wait = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "touch", "path": "here"},
                      {"do": "wait_for_file", "path": "go"}, {"do": "complete"}]);
    script::source(script::by_cursor(write), json!([wait, script::whole(40)]))
}

fn held_run(project: &Project) -> Running {
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    running
}

fn goes_on(project: &Project, running: Running) -> crate::fixture::Finished {
    project.file("go", "");
    let finished = running.wait().exits(0);
    assert_eq!(project.summary()["status"], "succeeded");
    finished
}

/// The next run goes on from the destination's state, whatever became of the config.
#[track_caller]
fn adopts(project: &Project) {
    project.run().exits(0);
    assert_eq!(project.log().named("state.reconciled")[0]["data"]["rule"], "5");
    assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "40|40");
    assert_eq!(project.state("s")["cursor"], 40);
}

#[test]
fn an_edit_of_another_connection_or_of_this_one_s_settings_stays() {
    for write in ["append", "merge"] {
        let project = held(write);
        let running = held_run(&project);
        project.edit(|config| {
            config["connections"][0]["retries"] = json!(7);
            config["connections"][0]["note"] = json!("mine");
            config["defaults"] = json!({"parallelism": 2});
            let other = json!({"name": "other", "type": "nonsense", "state": {"s": {"cursor": 5}}});
            config["connections"].as_array_mut().unwrap().push(other);
        });
        let edited = project.config();
        goes_on(&project, running);
        let mut merged = project.config();
        assert_eq!(merged["connections"][0]["state"]["s"]["cursor"], 30);
        merged["connections"][0].as_object_mut().unwrap().shift_remove("state");
        assert_eq!(merged, edited);
        assert!(project.log().named("state.merge_failed").is_empty());
        adopts(&project);
    }
}

#[test]
fn an_edit_of_this_one_s_state_is_left_alone_with_a_warning_and_the_next_run_settles_it() {
    for (edit, rule) in [
        (json!({"cursor": 20}), "6"),
        (json!({"set": {"cursor": 20, "nonce": "s1"}}), "1"),
        (json!({"reset": "r1"}), "1"),
        (json!({"accept": "a1"}), "1"),
    ] {
        let project = held("merge");
        let running = held_run(&project);
        project.edit(|config| config["connections"][0]["state"]["s"] = edit.clone());
        let finished = goes_on(&project, running);
        assert_eq!(project.state("s"), edit);
        assert!(project.summary()["warnings"].to_string().contains("was not written into the config"));
        finished.says(&["added to the config while the run was going on"]);
        project.run().exits(0);
        assert_eq!(project.log().named("state.reconciled")[0]["data"]["rule"], rule, "{edit}");
        assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "40|40", "{edit}");
        assert_eq!(project.state("s")["cursor"], 40);
    }
}

#[test]
fn a_state_that_was_taken_out_during_the_run_comes_back_with_the_next() {
    let project = held("append");
    project.file("go", "");
    project.run().exits(0);
    std::fs::remove_file(project.path("go")).unwrap();
    let wait = json!([{"do": "schema"}, {"do": "touch", "path": "again"}, {"do": "wait_for_file", "path": "go"},
                      {"do": "table", "from": 1, "to": 35, "batch": 10}, {"do": "complete"}]);
    let streams = json!({"streams": [script::stream("s", json!([wait, wait, script::whole(40)]))]});
    project.file("source.json", streams.to_string());
    let running = project.start(&["run", "c"]);
    project.wait_for_file("again");
    project.edit(|config| drop(config["connections"][0].as_object_mut().unwrap().shift_remove("state")));
    goes_on(&project, running).says(&["removed from the config while the run was going on"]);
    assert!(project.state("s").is_null());
    adopts(&project);
}

#[test]
fn a_config_that_became_invalid_during_the_run_costs_a_warning() {
    for broken in
        ["{\"version\": 1, \"connections\": [", "", "[]", "{\"version\": 1, \"connections\": 5}", "null"]
    {
        let project = held("append");
        let running = held_run(&project);
        let whole = std::fs::read_to_string(project.path("config.json")).unwrap();
        project.file("config.json", broken);
        goes_on(&project, running);
        assert_eq!(std::fs::read_to_string(project.path("config.json")).unwrap(), broken, "left as it is");
        let failed = project.log();
        let failed = failed.named("state.merge_failed");
        assert_eq!(failed.len(), 1, "{broken:?}");
        assert_eq!(failed[0]["data"]["states"]["s"]["cursor"], 30);
        assert!(!project.summary()["warnings"].as_array().unwrap().is_empty());
        // While it is broken nothing runs; once it is repaired, the next run adopts.
        project.run().exits(3);
        project.file("config.json", whole);
        adopts(&project);
    }
}

#[test]
fn a_config_that_is_gone_at_the_end_is_not_made_anew() {
    let project = held("append");
    let running = held_run(&project);
    std::fs::rename(project.path("config.json"), project.path("away.json")).unwrap();
    project.file("go", "");
    running.wait().exits(0);
    assert!(!project.path("config.json").exists());
    std::fs::rename(project.path("away.json"), project.path("config.json")).unwrap();
    adopts(&project);
}

#[test]
fn a_connection_that_was_removed_during_its_run_keeps_its_state_in_the_summary() {
    let project = held("append");
    let running = held_run(&project);
    let removed = project.config();
    project.edit(|config| config["connections"] = json!([]));
    let finished = goes_on(&project, running);
    assert_eq!(project.config()["connections"], json!([]));
    let summary = project.summary();
    assert_eq!(summary["state"]["s"]["after"]["floor"]["value"], 30, "{}", summary["state"]);
    let report = summary["report"].to_string();
    assert!(report.contains("no longer in the config") && report.contains("stream s"), "{report}");
    finished.says(&["the connection is no longer in the config"]);
    // Put back as it was, it goes on.
    project.file("config.json", removed.to_string());
    adopts(&project);
}

/// Connections `a` and `b`, each from a table of its own, into one SQLite file.
fn two_connections() -> Project {
    let streams =
        |table: &str| json!([{"name": table, "mode": "incremental", "cursor": "id", "write": "append"}]);
    let mut config = one_connection("sqlite", json!({"path": "a.db", "streams": streams("ta")}));
    let mut second = config["connections"][0].clone();
    config["connections"][0]["name"] = json!("a");
    second["name"] = json!("b");
    second["schema"] = json!({"path": "b.db", "streams": streams("tb")});
    config["connections"].as_array_mut().unwrap().push(second);
    Project::new(config)
}

#[test]
fn two_connections_that_finish_at_the_same_time_both_write_their_state() {
    const TURNS: i64 = 20;
    let project = two_connections();
    let sql = |name: &str, sql: &str| {
        rusqlite::Connection::open(project.path(&format!("{name}.db"))).unwrap().execute_batch(sql).unwrap();
    };
    for name in ["a", "b"] {
        sql(name, &format!("CREATE TABLE t{name} (id INTEGER PRIMARY KEY)"));
    }
    for turn in 1..=TURNS {
        for name in ["a", "b"] {
            sql(name, &format!("INSERT INTO t{name} VALUES ({turn})"));
        }
        let both = ["a", "b"].map(|name| project.start(&["run", name]));
        both.into_iter().for_each(|running| drop(running.wait().exits(0)));
        let config = project.config();
        let cursor = |at: usize, stream: &str| config["connections"][at]["state"][stream]["cursor"].clone();
        assert_eq!((cursor(0, "ta"), cursor(1, "tb")), (Value::from(turn), Value::from(turn)));
    }
    for table in ["ta", "tb"] {
        let found = project.value(&format!("SELECT count(*) || '|' || count(DISTINCT id) FROM {table}"));
        assert_eq!(found, format!("{TURNS}|{TURNS}"));
    }
    for log in project.logs() {
        assert!(log.named("state.merge_failed").is_empty(), "{}", log.path.display());
    }
}
