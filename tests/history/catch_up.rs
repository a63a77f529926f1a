//! `history sync`: what is on disk and missing there.

use serde_json::json;

use super::{content, forget, keep_at, kept, picture, stands};
use crate::fixture::{Database, script};

#[test]
fn a_run_that_was_killed_is_rebuilt_from_its_log_and_written() {
    let database = Database::new("history_crashed");
    let held = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "checkpoint"},
                      {"do": "touch", "path": "here"}, {"do": "wait_for_file", "path": "go"}, {"do": "complete"}]);
    let project = script::source(script::by_cursor("append"), json!([held, script::whole(60)]));
    keep_at(&project, database.settings());
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    project.wait_for_commits(1);
    // While it goes on it is left alone.
    project.waybill(&["history", "sync"]).exits(0).says(&["0 written", "1 still going on"]);
    running.signal("KILL");
    running.wait().exits(137);
    project.waybill(&["history", "sync", "--dry-run"]).exits(0).says(&["1 would be written"]);
    assert_eq!(database.sql("SELECT to_regclass('waybill_runs')"), "");
    project.waybill(&["history", "sync"]).exits(0).says(&["1 written"]);
    let row = "SELECT status, exit_code, rows_loaded FROM waybill_runs";
    assert_eq!(database.sql(row), "crashed||30");
    // The next run writes the summary of the killed one: the same that was written already.
    project.run().exits(0);
    assert_eq!(project.summaries().len(), 2);
    let before = picture(&database);
    project.waybill(&["history", "sync"]).exits(0).says(&["0 written, 2 there already"]);
    assert_eq!(picture(&database), before);
}

#[test]
fn the_run_that_had_its_id_from_a_killed_one_is_what_stands_there() {
    let database = Database::new("history_again");
    let held = json!([{"do": "schema"}, {"do": "touch", "path": "here"}, {"do": "wait_for_file", "path": "go"}, {"do": "complete"}]);
    let project = script::source(script::by_cursor("append"), json!([held, script::whole(20)]));
    keep_at(&project, database.settings());
    let words = ["run", "c", "--run-id", "nightly-1"];
    let running = project.start(&words);
    project.wait_for_file("here");
    running.signal("KILL");
    running.wait().exits(137);
    project.waybill(&["history", "sync"]).exits(0).says(&["1 written"]);
    assert_eq!(database.sql("SELECT status FROM waybill_runs"), "crashed");
    project.waybill(&words).exits(0);
    stands(&database, &project);
    let before = picture(&database);
    project.waybill(&["history", "sync"]).exits(0).says(&["0 written, 1 there already"]);
    assert_eq!(picture(&database), before);
}

#[test]
fn a_run_that_was_written_otherwise_is_replaced_wholly_and_never_by_one_that_knows_less() {
    let database = Database::new("history_replaced");
    let project = kept(&database);
    project.run().exits(0);
    let whole = content(&database);
    // Less is known there: fewer lines, another stream, an event of a log that was cut.
    database.sql("UPDATE waybill_runs SET digest = 'x', log_lines = 3, status = 'crashed', exit_code = NULL; \
                  UPDATE waybill_run_streams SET stream = 'old'; \
                  INSERT INTO waybill_run_events (run_id, seq, ts, level, event, message) SELECT run_id, 2, now(), 'warn', 'x', 'x' FROM waybill_runs");
    let answer = project.waybill(&["history", "sync", "--output", "json"]).exits(0).json();
    assert_eq!(
        (&answer["written"], &answer["replaced"], &answer["present"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(content(&database), whole);
    // More is known there: it stays.
    database.sql("UPDATE waybill_runs SET digest = 'x', log_lines = log_lines + 1000, host = 'elsewhere'");
    project.waybill(&["history", "sync"]).exits(0).says(&["0 written, 1 there already"]);
    assert_eq!(database.sql("SELECT host FROM waybill_runs"), "elsewhere");
    // Whoever deletes a run deletes all of it.
    forget(&database);
    assert_eq!(database.sql("SELECT count(*) FROM waybill_run_streams"), "0");
}

#[test]
fn a_log_that_cannot_be_read_keeps_only_its_own_run_from_the_history() {
    let database = Database::new("history_unread");
    let project = kept(&database);
    (0..2).for_each(|_| drop(project.run().exits(0)));
    forget(&database);
    let log = project.logs()[0].path.clone();
    let aside = log.with_extension("aside");
    std::fs::rename(&log, &aside).unwrap();
    std::fs::create_dir(&log).unwrap();
    let sync = || project.start(&["history", "sync"]).wait();
    let finished = sync().exits(1);
    let name = log.display().to_string();
    assert!(finished.out.contains("1 written") && finished.out.contains("1 failed"), "{finished:?}");
    assert!(finished.err.contains(&name) && finished.err.contains("make it readable"), "{finished:?}");
    // Alone it is no empty batch either, and once it is readable it is caught up.
    assert!(sync().exits(1).err.contains(&name));
    std::fs::remove_dir(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    sync().exits(0).says(&["2 runs on disk, 1 written, 1 there already"]);
}

#[test]
fn since_leaves_older_runs_alone_and_a_summary_that_cannot_be_read_is_named() {
    let database = Database::new("history_since");
    let project = kept(&database);
    (0..3).for_each(|_| drop(project.run().exits(0)));
    forget(&database);
    let third = project.summary()["started_at"].as_str().unwrap().to_owned();
    project.waybill(&["history", "sync", "--since", &third]).exits(0).says(&["1 run on disk, 1 written"]);
    project.waybill(&["history", "sync", "--since", "0s"]).exits(0).says(&["0 runs on disk, 0 written"]);
    project.waybill(&["history", "sync", "--since", "soon"]).exits(2).says(&["2026-01-31"]);
    // Of a summary of tomorrow's program the log still tells; without its log nothing does.
    let first = &project.summaries()[0];
    let text = std::fs::read_to_string(first).unwrap().replace("\"version\": 1,", "\"version\": 99,");
    std::fs::write(first, text).unwrap();
    let sync = || project.start(&["history", "sync"]).wait();
    sync().exits(0).says(&["3 runs on disk, 2 written, 1 there already"]);
    std::fs::remove_file(&project.logs()[0].path).unwrap();
    let finished = sync().exits(1);
    assert!(
        finished.err.contains("its version 99 is newer") && finished.out.contains("1 failed"),
        "{finished:?}"
    );
}
