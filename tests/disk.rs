//! Full disks: a clear error, the exit code, nothing torn, and the next run goes on once there is
//! room. Each place stands on a tiny file system of its own.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::mounts::{Mounted, privately};
use crate::fixture::project::sqlite_rows;
use crate::fixture::record::{Log, files_below};
use crate::fixture::{Finished, Project, Running, incremental, one_connection};

const FULL: &str = "No space left on device";

/// Connection `c` from a SQLite table of so many rows, some two hundred bytes each.
fn project(rows: i64, stream: Value) -> Project {
    let mut selection = incremental("t", json!({"cursor": "id"}));
    for (key, value) in stream.as_object().unwrap() {
        selection[key] = value.clone();
    }
    if selection["mode"] == "full_refresh" {
        selection.as_object_mut().unwrap().shift_remove("cursor");
    }
    let project =
        Project::new(one_connection("sqlite", json!({"path": "source.db", "streams": [selection]})));
    project.edit(|config| config["connections"][0]["id"] = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0005"));
    source(&project, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
    add(&project, 1, rows);
    project
}

fn source(project: &Project, sql: &str) {
    rusqlite::Connection::open(project.path("source.db")).unwrap().execute_batch(sql).unwrap();
}

fn add(project: &Project, from: i64, to: i64) {
    source(
        project,
        &format!(
            "WITH RECURSIVE a(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM a WHERE i < {to})
             INSERT INTO t SELECT i, printf('%0200d', i) FROM a"
        ),
    );
}

fn run(project: &Project, tiny: &Mounted) -> Finished {
    words(project, tiny, &["run", "c"])
}

fn words(project: &Project, tiny: &Mounted, words: &[&str]) -> Finished {
    let mut command = project.command(words);
    tiny.before(&mut command);
    let finished = Running::start(&mut command).wait();
    for word in ["panicked", "a bug in waybill"] {
        assert!(!finished.err.contains(word) && !finished.out.contains(word), "{finished:?}");
    }
    finished
}

/// Every summary is whole, every log reads up to its end, config.json parses, no temporary file is
/// left where it could be seen.
fn nothing_is_torn(project: &Project) {
    project.config();
    for path in files_below(&project.path("runs")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".json") && !name.starts_with('.') {
            let text = fs::read_to_string(&path).unwrap();
            let summary: Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(summary["run_id"].is_string());
        }
        assert!(!name.ends_with(".tmp"), "{}", path.display());
    }
    for path in files_below(&project.path("run_logs")) {
        assert!(!path.to_string_lossy().ends_with(".tmp"), "{}", path.display());
        if path.to_string_lossy().ends_with("_events.jsonl") {
            Log::read(&path).check();
        }
    }
}

#[track_caller]
fn exactly(project: &Project, rows: i64) {
    let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM t");
    assert_eq!(found, format!("{rows}|{rows}"));
}

#[test]
fn no_room_for_the_record_refuses_the_run_before_anything_is_touched() {
    for folder in ["runs", "run_logs"] {
        privately(|mounts| {
            let project = project(50, json!({"write": "append"}));
            let tiny = mounts.tiny(&project.path(folder), 64);
            tiny.leave(0);
            run(&project, &tiny).exits(3).says(&["cannot be written", FULL, "make room"]);
            assert!(!project.path("waybill.db").exists() && project.state("t").is_null());
            tiny.room();
            run(&project, &tiny).exits(0);
            exactly(&project, 50);
        });
    }
}

/// The disk fills while the run goes on: what was loaded is right, the exit code says that the
/// record is not whole, and it is whole as far as it goes.
#[test]
fn a_record_that_fills_its_disk_during_the_run_costs_no_data() {
    let mut codes = std::collections::BTreeMap::new();
    for folder in ["runs", "run_logs"] {
        for kib in [4, 8, 12, 16] {
            privately(|mounts| {
                let project = project(50, json!({"write": "append"}));
                let tiny = mounts.tiny(&project.path(folder), 128);
                tiny.leave(kib);
                let finished = run(&project, &tiny);
                assert!([0, 3].contains(&finished.code), "{folder} {kib}: {finished:?}");
                *codes.entry((folder, finished.code)).or_insert(0) += 1;
                if finished.code == 3 {
                    assert!(finished.out.contains(FULL) || finished.err.contains(FULL), "{finished:?}");
                }
                nothing_is_torn(&project);
                tiny.room();
                add(&project, 51, 60);
                run(&project, &tiny).exits(0);
                exactly(&project, 60);
                assert_eq!(project.state("t")["cursor"], 60);
                nothing_is_torn(&project);
                words(&project, &tiny, &["runs", "list", "--output", "json"]).exits(0).json();
                words(&project, &tiny, &["runs", "show", "last"]).exits(0);
            });
        }
    }
    println!("exit codes by folder: {codes:?}");
    assert!(codes.contains_key(&("runs", 3)) && codes.contains_key(&("run_logs", 3)), "{codes:?}");
}

#[test]
fn a_full_disk_under_the_destination_fails_the_run_and_loses_nothing() {
    for stream in [
        json!({"write": "append"}),
        json!({"write": "merge"}),
        json!({"mode": "full_refresh", "write": "overwrite"}),
    ] {
        for kib in [0, 8, 40, 160] {
            privately(|mounts| {
                let project = project(100, stream.clone());
                let folder = project.path("data");
                let tiny = mounts.tiny(&folder, 4096);
                let database = folder.join("target.db");
                project.edit(|config| {
                    config["destination"] = json!("local");
                    config["destinations"] = json!({"local": {"type": "sqlite", "path": "data/target.db"}});
                    config["connections"][0]["retries"] = json!(1);
                });
                run(&project, &tiny).exits(0);
                let state = project.state("t");
                add(&project, 101, 3000);
                tiny.leave(kib);
                let finished = run(&project, &tiny);
                let what = format!("{stream} with {kib} KiB: {finished:?}");
                assert!([1, 75].contains(&finished.code), "{what}");
                let said = format!("{}{}", finished.out, finished.err);
                assert!(said.contains("free some space on the disk"), "{what}");
                let summary = project.summary();
                assert_eq!(
                    (&summary["error"]["origin"], &summary["status"]),
                    (&json!("destination"), &json!("failed")),
                    "{what}"
                );
                nothing_is_torn(&project);
                assert!(project.log().ended());
                // Looking at a database takes a little room too.
                tiny.room();
                intact(&database, &what);
                // Of what was not finished, nothing is visible but what was committed and is in the state.
                let rows = |sql: &str| sqlite_rows(&database, sql).remove(0);
                let loaded: i64 = rows("SELECT count(*) FROM t").parse().unwrap();
                assert!((100..3000).contains(&loaded), "{loaded}: {what}");
                if stream["write"] == "overwrite" {
                    assert_eq!(loaded, 100, "a swap is whole or not at all: {what}");
                    assert_eq!(project.state("t"), state);
                }
                run(&project, &tiny).exits(0);
                assert_eq!(
                    rows("SELECT count(*) || '|' || count(DISTINCT id) FROM t"),
                    "3000|3000",
                    "{what}"
                );
                intact(&database, &what);
                let left = sqlite_rows(&database, "SELECT name FROM sqlite_schema WHERE name LIKE '%stag%'");
                assert!(left.is_empty(), "{left:?}");
            });
        }
    }
}

fn intact(database: &Path, what: &str) {
    assert_eq!(sqlite_rows(database, "PRAGMA integrity_check"), ["ok"], "{what}");
}

#[test]
fn no_room_for_a_backup_refuses_a_person_s_edit_and_not_a_run() {
    privately(|mounts| {
        let project = project(50, json!({"write": "append"}));
        let tiny = mounts.tiny(&project.path("backups"), 64);
        run(&project, &tiny).exits(0);
        tiny.leave(0);
        let before = fs::read_to_string(project.path("config.json")).unwrap();
        let reset = ["state", "reset", "c", "--stream", "t"];
        words(&project, &tiny, &reset)
            .exits(3)
            .says(&["no backup could be made, so nothing was changed", FULL]);
        assert_eq!(fs::read_to_string(project.path("config.json")).unwrap(), before);
        assert!(fs::read_dir(project.path("backups")).unwrap().flatten().all(|entry| {
            let name = entry.file_name();
            name == ".filler" || entry.metadata().unwrap().len() > 0
        }));
        add(&project, 51, 60);
        run(&project, &tiny).exits(0);
        exactly(&project, 60);
        assert_eq!(project.state("t")["cursor"], 60);
        tiny.room();
        words(&project, &tiny, &reset).exits(0);
        run(&project, &tiny).exits(0);
        exactly(&project, 60);
    });
}
