//! Once and twice, SIGINT, SIGTERM and SIGHUP, at every moment of a run.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::record::Log;
use crate::fixture::{Project, Running, script, wait_until};

const SIGNALS: [(&str, i32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];
const ROWS: i64 = 40;

/// Where a run stands still: an operation of the destination, its how-manieth, before or after it.
fn moments(whole: bool) -> Vec<(&'static str, u64, bool)> {
    let mut moments = vec![("check", 1, false), ("begin", 1, false), ("begin", 1, true), ("states", 1, true)];
    moments.extend([("prepare", 1, false), ("prepare", 1, true), ("write", 1, false), ("write", 2, true)]);
    moments.extend([("commit", 1, false), ("commit", 1, true)]);
    if whole {
        moments.extend([("publish", 1, false), ("publish", 1, true)]);
    } else {
        moments.extend([("commit", 2, false), ("commit", 4, false), ("commit", 4, true)]);
    }
    moments
}

fn project(selection: &Value) -> Project {
    let old = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 7, "batch": 10}, {"do": "checkpoint"},
                     {"do": "complete"}]);
    let project = script::source(selection.clone(), json!([old, script::whole(ROWS)]));
    project.run().exits(0);
    project
}

/// Sends a signal and waits until the run has heard it. Before it loads, one is enough to end it.
fn send(project: &Project, running: &Running, signal: &str, time: usize) {
    if !project.log().ended() {
        running.signal(signal);
    }
    wait_until("the signal's event", || {
        let log = project.log();
        log.ended() || log.named("signal.received").len() >= time
    });
}

/// The record is whole, says the same as the exit code, and the next run completes.
fn keeps_its_promises(project: &Project, code: i32, signal_code: i32, what: &str) {
    assert!([0, signal_code].contains(&code), "{what}: exit code {code}");
    let log = project.log();
    log.check();
    assert!(log.ended(), "{what}");
    let summary = project.summary();
    let status = if code == 0 { "succeeded" } else { "cancelled" };
    assert_eq!((&summary["exit_code"], &summary["status"]), (&json!(code), &json!(status)), "{what}");
    let rows = |sql: &str| project.value(sql).parse::<i64>().unwrap();
    let (all, different) = (rows("SELECT count(*) FROM s"), rows("SELECT count(DISTINCT id) FROM s"));
    assert_eq!(all, different, "{what}");
    assert!(all >= 7 && (code != 0 || all == ROWS), "{what}: {all} rows");
    let state = project.state("s");
    assert!(state.is_null() || state["cursor"].as_i64().unwrap() <= all, "{what}: {state}");
    project.file("faults.json", "{\"faults\": []}");
    project.run().exits(0);
    let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s");
    assert_eq!(found, format!("{ROWS}|{ROWS}|{ROWS}"), "{what}");
    let left = project.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%stag%'");
    assert!(left.is_empty(), "{what}: left behind: {left:?}");
}

fn at_every_moment(selection: &Value) -> usize {
    let mut cases = 0;
    for (at, nth, after) in moments(selection["mode"].is_null()) {
        for times in [1, 2] {
            let (signal, code) = SIGNALS[cases % 3];
            cases += 1;
            let what = format!("{selection}: SIG{signal} {times} times at {at} {nth}, after: {after}");
            let project = project(selection);
            let hold = json!({"at": at, "nth": nth, "after": after, "touch": "here", "wait_for_file": "go"});
            script::faults(&project, json!([hold]));
            let running = project.start(&["run", "c"]);
            project.wait_for_file("here");
            for time in 1..=times {
                send(&project, &running, signal, time);
            }
            if times == 1 {
                project.file("go", "");
            }
            // Twice, it ends without the held operation going on.
            let finished = running.wait();
            keeps_its_promises(&project, finished.code, code, &what);
        }
    }
    cases
}

#[test]
fn an_append_is_stopped_at_every_moment() {
    println!("stopped at {} moments", at_every_moment(&script::by_cursor("append")));
}

#[test]
fn a_merge_is_stopped_at_every_moment() {
    println!("stopped at {} moments", at_every_moment(&script::by_cursor("merge")));
}

#[test]
fn a_full_refresh_is_stopped_at_every_moment() {
    println!("stopped at {} moments", at_every_moment(&json!({"name": "s"})));
}

/// Somebody else holds the lock of config.json while the run merges its state. Everything is loaded
/// by then: that is a success, whatever comes.
#[test]
fn a_run_is_stopped_while_it_waits_to_write_its_state() {
    for (at, (signal, _)) in SIGNALS.into_iter().enumerate() {
        let project = project(&script::by_cursor("append"));
        let lock = project.path("config.json.lock");
        let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).open(lock).unwrap();
        fs2::FileExt::lock_exclusive(&lock).unwrap();
        let running = project.start(&["run", "c"]);
        let merges = |log: &Log| log.named("phase.started").iter().any(|line| line["phase"] == "merge");
        wait_until("the second merge", || project.logs().iter().filter(|log| merges(log)).count() == 2);
        running.signal(signal);
        if at == 0 {
            drop(lock);
            running.wait().exits(0);
            assert_eq!(project.state("s")["cursor"], ROWS);
        } else {
            // A second one does not wait for the other editor, and the next run adopts.
            project.wait_for_event("signal.received", signal);
            running.signal(signal);
            running.wait().exits(0).says(&["stopped at once while another process edits the config"]);
            assert_eq!(project.state("s")["cursor"], 7);
            drop(lock);
        }
        keeps_its_promises(&project, 0, 0, signal);
        assert_eq!(project.state("s")["cursor"], ROWS);
    }
}

#[test]
fn a_signal_before_anything_else_leaves_nothing_half_done() {
    for (signal, code) in SIGNALS {
        let project = project(&script::by_cursor("append"));
        let before = project.logs().len();
        let running = project.start(&["run", "c"]);
        running.signal(signal);
        let finished = running.wait();
        // Before it listens a signal ends it as the system does; later in good order; or it was done.
        let killed = 128
            + [("HUP", 1), ("INT", 2), ("TERM", 15)].into_iter().find(|(name, _)| *name == signal).unwrap().1;
        assert!([0, code, killed].contains(&finished.code), "{finished:?}");
        assert!(project.logs().len() <= before + 1);
        project.run().exits(0);
        let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s");
        assert_eq!(found, format!("{ROWS}|{ROWS}"));
    }
}
