//! A destination that says something else than it did: no success over it, and no row lost by it.

use serde_json::{Value, json};

use super::exactly;
use crate::fixture::{Project, script};

/// Runs into a destination that lies; the next run finds everything as it should be.
#[track_caller]
fn noticed(selection: &Value, faults: Value, code: i32, kind: &str) -> Project {
    let project = script::source(selection.clone(), json!([script::whole(20)]));
    script::faults(&project, faults);
    project.run().exits(code);
    let summary = project.summary();
    assert_eq!((&summary["status"], &summary["error"]["kind"]), (&json!("failed"), &json!(kind)));
    assert_eq!(summary["error"]["origin"], "destination");
    project
}

#[test]
fn a_commit_that_was_confirmed_and_did_not_take_place_is_no_success() {
    let last = json!([{"at": "commit", "nth": 3, "lie": true}]);
    let only = json!([{"at": "commit", "nth": 1, "lie": true}]);
    let append = json!({"name": "s", "write": "append"});
    for (selection, faults, kept) in [
        (script::by_cursor("append"), last.clone(), 20),
        (script::by_cursor("merge"), last, 20),
        (append, only, 0),
    ] {
        // Batches of ten: the third commit is the one without rows at the end.
        let project = noticed(&selection, faults, 75, "destination");
        assert_eq!(project.value("SELECT count(*) FROM s"), kept.to_string(), "{selection}");
        assert_eq!(project.state("s"), Value::Null, "the config is not ahead of the destination");
        script::faults(&project, json!([]));
        project.run().exits(0);
        exactly(&project, 20);
    }
}

#[test]
fn a_publication_that_was_confirmed_and_did_not_take_place_is_no_success() {
    let overwrite = json!({"name": "s"});
    let project = noticed(&overwrite, json!([{"at": "publish", "nth": 1, "lie": true}]), 75, "destination");
    assert!(project.rows("SELECT 1 FROM sqlite_schema WHERE name = 's'").is_empty());
    project.run().exits(0);
    exactly(&project, 20);
}

#[test]
fn a_commit_into_staging_that_did_not_take_place_is_not_published() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(20)]));
    project.run().exits(0);
    script::faults(&project, json!([{"at": "commit", "nth": 1, "lie": true}]));
    project.run().exits(70).says(&["0 of the 20 rows"]);
    exactly(&project, 20);
    project.run().exits(0);
    exactly(&project, 20);
}

#[test]
fn a_commit_that_was_lost_before_another_attempt_is_noticed_then() {
    let lost = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 20, "batch": 10},
        {"do": "fail", "kind": "network"}]);
    let project = script::source(script::by_cursor("append"), json!([lost, script::whole(40)]));
    script::faults(&project, json!([{"at": "commit", "nth": 2, "lie": true}]));
    project.run().exits(75).says(&["does not hold"]);
    assert_eq!(project.value("SELECT count(*) FROM s"), "10", "nothing was loaded behind the hole");
    project.run().exits(0);
    exactly(&project, 40);
}

#[test]
fn a_receipt_over_other_rows_than_were_sent_is_no_success() {
    for (extra, selection) in [
        (3, json!({"name": "s"})),
        (-3, json!({"name": "s"})),
        (1, script::by_cursor("append")),
        (-1, script::by_cursor("append")),
    ] {
        let faults = json!([{"at": "commit", "nth": 1, "after": true, "extra_rows": extra}]);
        let project = noticed(&selection, faults, 70, "internal");
        assert!(project.log().named("retry.scheduled").is_empty(), "a lie is not tried again");
    }
}

#[test]
fn another_run_that_took_over_after_the_last_commit_is_named() {
    let project = script::source(script::by_cursor("append"), json!([script::whole(20)]));
    // The second time that the state is read is the question before success.
    script::faults(&project, json!([{"at": "states", "nth": 2, "touch": "asked", "wait_for_file": "go"}]));
    let running = project.start(&["run", "c"]);
    project.wait_for_file("asked");
    let conn = rusqlite::Connection::open(project.path("waybill.db")).unwrap();
    conn.execute("UPDATE _waybill_state SET run_id = 'other', commit_id = 'theirs'", []).unwrap();
    drop(conn);
    project.file("go", "");
    running.wait().exits(6).says(&["run other of this connection"]);
    assert_eq!(project.summary()["error"]["kind"], "locked");
    assert_eq!(project.state("s"), Value::Null);
}
