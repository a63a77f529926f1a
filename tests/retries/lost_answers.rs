//! The connection to PostgreSQL is really cut at COMMIT: what the destination holds decides, and
//! each row is there once.

use serde_json::{Value, json};

use super::proxy::{Fault, Proxy};
use crate::fixture::{Database, Project, postgres, script, wait_until};

/// Fifty rows in batches of ten into PostgreSQL, through a proxy.
fn through(selection: Value, database: &Database, proxy: &Proxy) -> Project {
    let project = script::source(selection, json!([script::whole(50)]));
    postgres::destination(&project, database);
    project.edit(|config| {
        config["destinations"]["warehouse"]["port"] = json!(proxy.port);
        config["connections"][0]["retries"] = json!(6);
    });
    project
}

#[track_caller]
fn fifty(database: &Database, project: &Project, what: &str) {
    let sql = "SELECT count(*), count(DISTINCT id), max(id) FROM s";
    assert_eq!(database.sql(sql), "50|50|50", "{what}");
    if !what.contains("merge") {
        // A merge writes the row at the border again.
        assert_eq!(project.summary()["progress_counts"]["s"]["rows_loaded"], 50, "{what}");
    }
    assert_eq!(database.sql("SELECT rows FROM _waybill_state"), "50", "{what}");
    let said =
        project.log().lines.iter().any(|line| line.to_string().contains("although its answer was lost"));
    assert_eq!(said, what.contains("AnswerLost"), "{what}");
}

#[test]
fn a_commit_lost_on_its_way_there_or_back_loads_each_row_once() {
    for (number, selection) in [json!({"name": "s"}), script::by_cursor("append"), script::by_cursor("merge")]
        .into_iter()
        .enumerate()
    {
        for fault in [Fault::CommitLost, Fault::AnswerLost] {
            let staged = number == 0;
            let database = Database::new(&format!("lost_commit_{number}_{}", fault == Fault::AnswerLost));
            let proxy = Proxy::before(database.server.port, fault, "COPY ", 2);
            let project = through(selection.clone(), &database, &proxy);
            project.run().exits(0);
            assert_eq!(proxy.struck(), 2, "{fault:?} {selection}");
            // A commit into staging cannot be asked for: it is done again.
            let what = format!("{:?} {selection}", if staged { Fault::CommitLost } else { fault });
            fifty(&database, &project, &what);
            if staged || fault == Fault::CommitLost {
                assert_eq!(project.log().named("stream.attempt_failed").len(), 2, "{what}");
            }
        }
    }
}

#[test]
fn a_publication_lost_on_its_way_there_or_back_takes_place_once() {
    for fault in [Fault::CommitLost, Fault::AnswerLost] {
        let database = Database::new(&format!("lost_publication_{}", fault == Fault::AnswerLost));
        database.sql("CREATE TABLE watched (n int)");
        let proxy = Proxy::before(database.server.port, fault, "RENAME TO", 1);
        let project = through(json!({"name": "s"}), &database, &proxy);
        project.run().exits(0);
        assert_eq!(proxy.struck(), 1, "{fault:?}");
        fifty(&database, &project, &format!("{fault:?}"));
        let log = project.log();
        assert_eq!(log.named("stream.published").len(), 1, "{fault:?}");
        assert_eq!(log.named("stream.published")[0]["data"]["rows"], 50, "{fault:?}");
        let stages = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_waybill\\_stage%'";
        assert_eq!(database.sql(stages), "0", "{fault:?}");
        project.run().exits(0);
        fifty(&database, &project, "again");
    }
}

/// The commit is on its way while the run asks for it, asks again, and gives the attempt up; it
/// takes place while the next attempt is prepared.
#[test]
fn a_commit_still_under_way_is_waited_for_before_another_attempt() {
    let database = Database::new("held_commit");
    let proxy = Proxy::before(database.server.port, Fault::CommitHeld, "COPY ", 1);
    let project = through(script::by_cursor("append"), &database, &proxy);
    project.edit(|config| config["connections"][0]["stall_timeout_ms"] = json!(700));
    let running = project.start(&["run", "c"]);
    project.wait_for_event("retry.scheduled", "");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock'";
    wait_until("the question to wait for the commit", || database.sql(waiting) != "0");
    proxy.release();
    running.wait().exits(0);
    fifty(&database, &project, "held");
    let log = project.log();
    let receipts = log.named("checkpoint.committed");
    let rows: u64 = receipts.iter().map(|line| line["data"]["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, 50, "every row is under one receipt");
}

#[test]
fn a_publication_in_sqlite_whose_answer_is_lost_takes_place_once() {
    let lost = json!({"kind": "network", "message": "the answer was lost"});
    for (after, asked) in [(true, 1), (true, 2), (false, 1)] {
        let project = script::source(json!({"name": "s"}), json!([script::whole(50)]));
        // The question what became of it may go wrong too.
        let mut faults = vec![json!({"at": "publish", "nth": 1, "after": after, "fail": lost})];
        if asked == 2 {
            faults.push(json!({"at": "committed", "nth": 1, "fail": lost}));
        }
        script::faults(&project, Value::Array(faults));
        project.run().exits(0);
        super::exactly(&project, 50);
        let log = project.log();
        assert_eq!(log.named("stream.published").len(), 1, "{after} {asked}");
        assert_eq!(log.named("retry.scheduled").len(), usize::from(!after), "{after} {asked}");
        assert_eq!(project.summary()["progress_counts"]["s"]["rows_loaded"], 50);
    }
}
