//! Disks that are full or take no writing.

use std::fs;

use serde_json::json;

use super::{one_file, told};
use crate::fixture::{Project, Running};

fn project() -> Project {
    let project = one_file(json!({"name": "t", "path": "t.csv"}));
    project.file("t.csv", "n\n1\n");
    project
}

#[test]
fn a_run_that_cannot_leave_its_record_is_refused_before_anything_is_touched() {
    for (variable, folder) in [("RUNS_DIR", "runs"), ("RUN_LOGS_DIR", "run_logs")] {
        // sysfs takes no folders, from root neither: the stand-in for a read-only disk.
        let project = project();
        let mut command = project.command(&["run", "c"]);
        let finished = Running::start(command.env(variable, "/sys/waybill")).wait();
        told(finished, 1, &["/sys/waybill"]);
        assert!(!project.path("waybill.db").exists());
        // A file in the folder's place.
        fs::write(project.path(folder), "").unwrap();
        told(project.run(), 3, &[folder]);
        assert!(!project.path("waybill.db").exists());
    }
}

/// Runs the program where no file may grow beyond so many blocks, as on a full disk.
fn cramped(project: &Project, blocks: u32) -> crate::fixture::Finished {
    let mut command = std::process::Command::new("sh");
    let limit = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    command.args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_waybill"), "run", "c"]);
    command.current_dir(project.dir()).env_clear().env("HOME", project.dir());
    Running::start(&mut command).wait()
}

#[test]
fn a_full_disk_refuses_the_run_or_fails_it_and_loses_nothing() {
    let project = project();
    told(cramped(&project, 0), 3, &["cannot be written"]);
    assert!(!project.path("waybill.db").exists());
    // Room for the record, not for the data.
    let rows: String = (0..60_000).map(|n| format!("{n},{}\n", "x".repeat(40))).collect();
    project.file("t.csv", format!("n,filler\n{rows}"));
    let finished = cramped(&project, 512);
    assert!([1, 75].contains(&finished.code), "{finished:?}");
    project.log().check();
    assert!(project.log().ended());
    assert_eq!(project.summary()["error"]["origin"], "destination");
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT n) FROM t"), "60000|60000");
}

#[test]
fn backups_that_cannot_be_made_do_not_stop_a_run_that_has_its_id() {
    let project = project();
    let stream = json!({"name": "t", "path": "t*.csv", "mode": "incremental", "write": "append"});
    project.edit(|config| config["connections"][0]["schema"]["streams"][0] = stream);
    project.run().exits(0);
    // Backups that cannot be made keep a person's edits from being lost, and must not keep a run from
    // its state.
    let state = project.state("t");
    project.file("t2.csv", "n\n2\n");
    let mut command = project.command(&["run", "c"]);
    let finished = Running::start(command.env("BACKUPS_DIR", "/sys/waybill")).wait().exits(0);
    assert_eq!(project.rows("SELECT n FROM t ORDER BY n"), ["1", "2"], "{finished:?}");
    assert_ne!(project.state("t"), state);
}

#[test]
fn a_config_that_takes_no_writing_costs_a_warning_and_the_next_run_goes_on() {
    let project = project();
    project.file("t.csv", "n\n1\n");
    let stream = json!({"name": "t", "path": "t*.csv", "mode": "incremental", "write": "append"});
    project.edit(|config| {
        config["connections"][0]["id"] = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000");
        config["connections"][0]["schema"] = json!({"root": project.dir(), "streams": [stream]});
        config["destination"] = json!("local");
        config["destinations"] = json!({"local": {"type": "sqlite", "path": project.path("waybill.db")}});
    });
    // A file that has no name any more can be read, and neither locked beside nor replaced.
    let run = || {
        let mut command = std::process::Command::new("sh");
        let nameless = "cp config.json copy.json; exec 3<copy.json; rm copy.json; exec \"$@\"";
        command.args(["-c", nameless, "sh", env!("CARGO_BIN_EXE_waybill"), "run", "c"]);
        command.args(["--project-dir", ".", "--config", "/proc/self/fd/3"]);
        command.current_dir(project.dir()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        Running::start(&mut command).wait().exits(0)
    };
    run();
    assert_eq!(project.log().named("state.merge_failed").len(), 1);
    let warnings = project.summary()["warnings"].to_string();
    assert!(warnings.contains("state"), "{warnings}");
    project.file("t2.csv", "n\n2\n");
    run();
    assert_eq!(project.rows("SELECT n FROM t ORDER BY n"), ["1", "2"]);
}
