//! Two runs of one connection at the same moment: one runs, the others exit 6, and every row is
//! there once.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, Running, incremental, one_connection, postgres, script};

/// Reads 30 rows by cursor, stands still until the file `go` is there, and goes on to 60.
fn held(write: &str) -> Project {
    let held = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "touch", "path": "here"},
                      {"do": "wait_for_file", "path": "go"}, {"do": "table", "from": 31, "to": 60, "batch": 10}, {"do": "complete"}]);
    script::source(script::by_cursor(write), json!([held, script::whole(60)]))
}

#[track_caller]
fn exactly(project: &Project, to: i64) {
    let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s");
    assert_eq!(found, format!("{to}|{to}|{to}"));
}

#[test]
fn of_a_backend_and_a_terminal_one_runs_and_the_other_is_told() {
    for (first, second) in [("headless", "run"), ("run", "headless")] {
        let project = held("append");
        let running = project.start(&[first, "c"]);
        project.wait_for_file("here");
        let holder = project.log().run_id();
        let refused = project.waybill(&[second, "c"]).exits(6).says(&[holder.as_str().unwrap()]);
        if second == "headless" {
            let answer = refused.json();
            assert_eq!((&answer["exit_code"], &answer["artifacts"]), (&json!(6), &Value::Null));
            assert_eq!(answer["error"]["kind"], "locked");
        }
        project.file("go", "");
        running.wait().exits(0);
        exactly(&project, 60);
        assert_eq!(project.logs().len(), 1, "a refusal leaves no artifacts");
    }
}

#[test]
fn a_command_that_writes_state_waits_its_turn() {
    let project = held("append");
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    let before = project.config();
    for words in [["state", "reset"], ["state", "accept"]] {
        project.waybill(&[words[0], words[1], "c", "--stream", "s"]).exits(6);
    }
    assert_eq!(project.config(), before);
    project.file("go", "");
    running.wait().exits(0);
    exactly(&project, 60);
}

/// Twenty at once: whoever gets the lock runs, everybody else exits 6 and leaves nothing.
#[test]
fn of_many_started_at_once_each_runs_alone_or_not_at_all() {
    let project = script::source(script::by_cursor("append"), json!([script::whole(60)]));
    project.edit(|config| config["connections"][0]["id"] = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0002"));
    let all: Vec<Running> = (0..20).map(|_| project.start(&["run", "c"])).collect();
    let codes: Vec<i32> = all.into_iter().map(|running| running.wait().code).collect();
    let ran = codes.iter().filter(|code| **code == 0).count();
    assert!(ran >= 1 && codes.iter().all(|code| [0, 6].contains(code)), "{codes:?}");
    assert_eq!((project.logs().len(), project.summaries().len()), (ran, ran));
    exactly(&project, 60);
    assert_eq!(project.state("s")["cursor"], 60);
    // No two of them overlapped, and none was surprised by what another had written.
    let mut spans: Vec<(String, String)> = Vec::new();
    for log in project.logs() {
        log.check();
        assert!(log.ended() && log.named("state.merge_failed").is_empty(), "{}", log.path.display());
        let ts = |line: &Value| line["ts"].as_str().unwrap().to_owned();
        spans.push((ts(&log.lines[0]), ts(log.lines.last().unwrap())));
    }
    spans.sort();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
}

#[test]
fn of_many_that_wait_all_run_one_after_another_from_what_the_one_before_left() {
    let project = held("append");
    let mut script = script_of(&project);
    for rows in [70, 80, 90, 100] {
        script["streams"][0]["reads"].as_array_mut().unwrap().push(script::whole(rows));
    }
    project.file("source.json", script.to_string());
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    let waiting: Vec<Running> = (0..5).map(|_| project.start(&["run", "c", "--wait-lock", "80"])).collect();
    waiting.iter().for_each(|running| crate::fixture::wait_until("the wait", || listens(running.pid())));
    project.file("go", "");
    running.wait().exits(0);
    waiting.into_iter().for_each(|running| drop(running.wait().exits(0)));
    exactly(&project, 100);
    assert_eq!((project.logs().len(), &project.state("s")["cursor"]), (6, &json!(100)));
    assert!(project.logs().iter().all(|log| log.named("state.merge_failed").is_empty()));
}

#[test]
fn what_a_dead_process_left_is_no_lock() {
    let project = held("append");
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    running.signal("KILL");
    running.wait().exits(137);
    let locks = fs::read_dir(project.path("runs/.locks")).unwrap().flatten();
    let lock = locks.map(|entry| entry.path()).next().expect("the dead run's lock file is still there");
    assert!(fs::read_to_string(&lock).unwrap().contains("\"pid\""));
    project.run().exits(0);
    exactly(&project, 60);
    for left in [
        "",
        "torn {",
        "{\"pid\": 1, \"run_id\": \"x\", \"since\": \"2026-01-01T00:00:00Z\", \"connection\": \"c\"}",
    ] {
        fs::write(&lock, left).unwrap();
        project.run().exits(0);
    }
    exactly(&project, 60);
}

#[test]
fn a_waiting_run_obeys_a_signal() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let project = held("append");
        let running = project.start(&["run", "c"]);
        project.wait_for_file("here");
        let waiting = project.start(&["run", "c", "--wait-lock", "80"]);
        // It listens once it has said that it waits.
        crate::fixture::wait_until("the wait", || listens(waiting.pid()));
        waiting.signal(signal);
        waiting.wait().exits(code);
        project.file("go", "");
        running.wait().exits(0);
        exactly(&project, 60);
    }
}

/// Whether a process catches SIGHUP, SIGINT and SIGTERM.
fn listens(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    [1, 2, 15].iter().all(|number| mask & (1 << (number - 1)) != 0)
}

/// Another user of the same folder: the group may read and write in it.
#[test]
fn of_two_users_of_a_folder_one_runs_and_the_other_is_told() {
    if !is_root() {
        println!("only root can be two users: left out");
        return;
    }
    const GROUP: u32 = 61_001;
    let project = held("append");
    let reads = json!([script::whole(60), script::whole(70), script::whole(80)]);
    let held = std::mem::take(&mut script_of(&project)["streams"][0]["reads"][0]);
    let reads = [vec![held], reads.as_array().unwrap().clone()].concat();
    project.file("source.json", json!({"streams": [script::stream("s", Value::from(reads))]}).to_string());
    let out = Command::new("chown").args(["-R", &format!("61002:{GROUP}")]).arg(project.dir()).status();
    assert!(out.unwrap().success());
    fs::set_permissions(project.dir(), Permissions::from_mode(0o2770)).unwrap();
    fs::set_permissions(project.path("config.json"), Permissions::from_mode(0o660)).unwrap();
    let program = reachable(project.dir());
    let as_user = |user: u32| {
        let mut command = Command::new("sh");
        let (user, group) = (format!("--reuid={user}"), format!("--regid={GROUP}"));
        command.args(["-c", "umask 0007; exec setpriv \"$@\"", "sh", &user, &group, "--clear-groups"]);
        command.arg(&program).args(["run", "c"]).current_dir(project.dir()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", project.dir());
        command
    };
    let running = Running::start(&mut as_user(61_002));
    project.wait_for_file("here");
    let holder = project.log().run_id();
    Running::start(&mut as_user(61_003)).wait().exits(6).says(&[holder.as_str().unwrap()]);
    project.file("go", "");
    running.wait().exits(0);
    exactly(&project, 60);
    // The other one's turn, with the first one's files: lock, config, folders of the day. The database
    // is SQLite's own, which gives the group no right to write.
    fs::set_permissions(project.path("waybill.db"), Permissions::from_mode(0o660)).unwrap();
    for (user, rows) in [(61_003, 60), (61_002, 70), (61_003, 80)] {
        Running::start(&mut as_user(user)).wait().exits(0);
        exactly(&project, rows);
        assert_eq!(project.state("s")["cursor"], rows);
        let config = fs::metadata(project.path("config.json")).unwrap();
        assert_eq!((config.gid(), config.mode() & 0o777), (GROUP, 0o660));
    }
    assert_eq!(project.summaries().len(), 4);
    assert!(project.logs().iter().all(|log| log.named("state.merge_failed").is_empty()));
}

fn script_of(project: &Project) -> Value {
    serde_json::from_slice(&fs::read(project.path("source.json")).unwrap()).unwrap()
}

fn is_root() -> bool {
    let asked = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&asked.stdout).trim() == "0"
}

/// The program where any user may start it.
fn reachable(folder: &std::path::Path) -> std::path::PathBuf {
    let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_waybill"));
    let asked = Command::new("setpriv")
        .args(["--reuid=61002", "--regid=61001", "--clear-groups"])
        .arg(&program)
        .arg("--version")
        .output();
    if asked.is_ok_and(|done| done.status.success()) {
        return program;
    }
    let copy = folder.join("waybill");
    fs::copy(&program, &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    copy
}

/// Two folders with the same connection and the same destination: no file lock stands between them.
#[test]
fn of_two_clones_on_one_destination_the_first_is_fenced_off() {
    for server in [false, true] {
        for write in ["append", "merge"] {
            let target = server.then(|| Database::new(&format!("together_clones_{write}")));
            let shared = tempfile::tempdir().unwrap();
            let clone = |id: &str| {
                let project = held(write);
                project.edit(|config| {
                    config["connections"][0]["id"] = json!(id);
                    config["connections"][0]["retries"] = json!(0);
                    config["destination"] = json!("local");
                    let path = shared.path().join("shared.db");
                    config["destinations"] = json!({"local": {"type": "sqlite", "path": path}});
                });
                if let Some(target) = &target {
                    postgres::destination(&project, target);
                }
                project
            };
            let id = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0003";
            let (first, second) = (clone(id), clone(id));
            let running = first.start(&["run", "c"]);
            first.wait_for_file("here");
            first.wait_for_commits(3);
            // The second takes the fence, and adopts what the first has committed.
            second.file("go", "");
            second.run().exits(0);
            first.file("go", "");
            let fenced = running.wait().exits(6);
            let kind = &first.summary()["error"]["kind"];
            assert_eq!(kind, "locked", "{fenced:?}");
            assert!(first.log().ended());
            let sql = "SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s";
            let found = || match &target {
                Some(target) => target.sql(sql),
                None => crate::fixture::project::sqlite_rows(&shared.path().join("shared.db"), sql).remove(0),
            };
            assert_eq!(found(), "60|60|60", "{write}");
            first.run().exits(0);
            assert_eq!(found(), "60|60|60", "{write}");
        }
    }
}

#[test]
fn of_two_clones_that_start_at_once_one_at_least_ends_well_and_nothing_is_doubled() {
    let shared = tempfile::tempdir().unwrap();
    let source = shared.path().join("source.db");
    let sql = |sql: &str| rusqlite::Connection::open(&source).unwrap().execute_batch(sql).unwrap();
    sql("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let streams = json!([incremental("t", json!({"cursor": "id", "write": "append"}))]);
    let clone = || {
        let project = Project::new(one_connection("sqlite", json!({"path": source, "streams": streams})));
        project.edit(|config| {
            config["connections"][0]["id"] = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0004");
            config["destination"] = json!("local");
            config["destinations"] =
                json!({"local": {"type": "sqlite", "path": shared.path().join("shared.db")}});
        });
        project
    };
    let clones = [clone(), clone()];
    for turn in 1..=8 {
        sql(&format!(
            "INSERT INTO t WITH RECURSIVE a(i) AS (SELECT {turn}000 UNION ALL SELECT i + 1 FROM a WHERE i < {turn}499) SELECT i FROM a"
        ));
        let codes =
            clones.each_ref().map(|project| project.start(&["run", "c"])).map(|running| running.wait().code);
        assert!(codes.contains(&0) && codes.iter().all(|code| [0, 6].contains(code)), "{codes:?}");
        let found = "SELECT count(*) || '|' || count(DISTINCT id) FROM t";
        let found = crate::fixture::project::sqlite_rows(&shared.path().join("shared.db"), found).remove(0);
        assert_eq!(found, format!("{0}|{0}", turn * 500), "{codes:?}");
    }
}
