//! What is tried again, what is not, and that no row is lost or doubled by it.

mod budget;
mod counts;
mod kinds;
mod lies;
mod lost_answers;
mod merge_rows;
mod partial;
pub mod proxy;
mod stall;
mod stops;

use serde_json::{Value, json};

use crate::fixture::{Project, script};

/// Rows `1..=to`, each once.
#[track_caller]
fn exactly(project: &Project, to: i64) {
    assert_eq!(
        project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM s"),
        format!("{to}|{to}|{to}")
    );
}

fn full() -> Value {
    json!({"name": "s"})
}

#[test]
fn a_retryable_error_is_tried_again_from_the_last_commit() {
    for (selection, retried) in
        [(full(), 2), (script::by_cursor("append"), 2), (script::by_cursor("merge"), 2)]
    {
        let failing = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10},
                             {"do": "fail", "kind": "network", "message": "the line went dead"}]);
        let project = script::source(selection.clone(), json!([failing, failing, script::whole(50)]));
        project.run().exits(0);
        exactly(&project, 50);
        let log = project.log();
        assert_eq!(log.named("stream.attempt_failed").len(), retried, "{selection}");
        assert_eq!(log.named("retry.scheduled").len(), retried, "{selection}");
        assert_eq!(project.summary()["progress_counts"]["s"]["retries"], retried, "{selection}");
    }
}

#[test]
fn retries_are_used_up_and_the_next_run_completes() {
    let failing = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10},
                         {"do": "wait_ms", "ms": 20}, {"do": "fail", "kind": "timeout"}]);
    let reads = json!([failing, failing, failing, failing, failing, script::whole(60)]);
    let project = script::source(script::by_cursor("append"), reads);
    project.edit(|config| config["connections"][0]["retries"] = json!(1));
    let finished = project.run().exits(75);
    assert!(finished.err.contains("failed as scripted"), "{}", finished.err);
    let after_first = project.log().named("stream.attempt_failed").len();
    let mut runs = 1;
    while project.summary()["exit_code"] != 0 {
        assert!(runs < 5, "the script has five failures");
        project.run();
        runs += 1;
    }
    exactly(&project, 60);
    assert!(after_first <= 2, "{after_first} attempts with one retry");
}

#[test]
fn an_error_that_will_come_again_is_not_tried_again() {
    for (kind, code) in [("data", 1), ("auth", 1), ("permission", 1), ("not_found", 1), ("config", 3)] {
        let project = script::source(full(), json!([[{"do": "schema"}, {"do": "fail", "kind": kind}]]));
        project.run().exits(code);
        assert!(project.log().named("retry.scheduled").is_empty(), "{kind}");
        assert_eq!(project.summary()["error"]["kind"], kind);
        assert_eq!(project.summary()["error"]["origin"], "source");
    }
}

#[test]
fn a_fault_of_the_destination_is_tried_again_without_doubling() {
    for at in ["prepare", "write", "commit", "publish"] {
        for after in [false, true] {
            for selection in [full(), script::by_cursor("append")] {
                if at == "publish" && selection != full() {
                    continue;
                }
                let project = script::source(selection.clone(), json!([script::whole(50)]));
                let lost = json!({"kind": "network", "message": "the answer was lost"});
                script::faults(&project, json!([{"at": at, "nth": 1, "after": after, "fail": lost}]));
                project.run().exits(0);
                exactly(&project, 50);
                assert!(!project.logs().is_empty(), "{at} {after} {selection}");
            }
        }
    }
}

#[test]
fn a_lost_acknowledgement_counts_the_rows_once() {
    let project = script::source(script::by_cursor("append"), json!([script::whole(50)]));
    let lost = json!({"kind": "network", "message": "the answer was lost"});
    script::faults(&project, json!([{"at": "commit", "nth": 2, "after": true, "fail": lost}]));
    project.run().exits(0);
    exactly(&project, 50);
    let summary = project.summary();
    assert_eq!(summary["progress_counts"]["s"]["rows_loaded"], 50);
    assert_eq!(summary["stats"]["total"]["rows"], 50);
    // It was settled, not tried again.
    assert!(project.log().named("stream.attempt_failed").is_empty());
}

#[test]
fn a_fault_of_the_destination_that_will_come_again_fails() {
    let project = script::source(full(), json!([script::whole(50)]));
    script::faults(&project, json!([{"at": "write", "fail": {"kind": "destination"}}]));
    project.run().exits(1);
    assert_eq!(project.summary()["error"]["origin"], "destination");
    assert!(project.log().named("retry.scheduled").is_empty());
}

#[test]
fn a_source_that_breaks_the_contract_is_a_bug_and_loads_nothing() {
    let rows = json!({"do": "rows", "from": 1, "count": 5});
    let (schema, checkpoint, complete) =
        (json!({"do": "schema"}), json!({"do": "checkpoint"}), json!({"do": "complete"}));
    let broken: [(&str, Value); 8] = [
        ("no end", json!([schema, rows, checkpoint])),
        ("nothing at all", json!([])),
        ("rows without columns", json!([rows, checkpoint, complete])),
        ("rows after the end", json!([schema, rows, checkpoint, complete, rows])),
        ("an end with rows after the last checkpoint", json!([schema, rows, complete])),
        ("an unknown stream", json!([schema, {"do": "rows", "from": 1, "count": 5, "stream": "x"}])),
        ("the columns of an unknown stream", json!([{"do": "schema", "stream": "x"}])),
        ("the end of an unknown stream", json!([schema, {"do": "complete", "stream": "x"}])),
    ];
    for (what, read) in broken {
        let project = script::source(full(), json!([read]));
        project.run().exits(70);
        let summary = project.summary();
        assert_eq!(
            (&summary["status"], &summary["error"]["kind"]),
            (&json!("failed"), &json!("internal")),
            "{what}"
        );
        assert_eq!(project.rows("SELECT 1 FROM sqlite_schema WHERE name = 's'").len(), 0, "{what}");
        assert!(project.log().named("retry.scheduled").is_empty(), "{what}");
    }
}

#[test]
fn a_full_read_into_a_visible_table_has_one_checkpoint() {
    let (rows, checkpoint) = (json!({"do": "rows", "from": 1, "count": 5}), json!({"do": "checkpoint"}));
    let read = json!([{"do": "schema"}, rows, checkpoint, rows, checkpoint, {"do": "complete"}]);
    let project = script::source(json!({"name": "s", "write": "append"}), json!([read]));
    project.run().exits(70);
    exactly(&project, 5);
    assert_eq!(project.summary()["error"]["kind"], "internal");
}

#[test]
fn a_panic_is_reported_as_a_bug_with_its_record_whole() {
    let read = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "panic"}]);
    let project = script::streams(
        json!([{"name": "s"}, {"name": "t"}]),
        json!([script::stream("s", json!([read])), script::stream("t", json!([script::whole(20)]))]),
    );
    let finished = project.run();
    assert!([5, 70].contains(&finished.code), "{finished:?}");
    assert!(project.log().ended());
    assert_eq!(project.summary()["errors"]["s"]["kind"], "internal");
    assert_eq!(project.value("SELECT count(*) FROM t"), "20", "the other stream is loaded");
    assert_eq!(project.rows("SELECT 1 FROM sqlite_schema WHERE name = 's'").len(), 0);
}

#[test]
fn a_panic_at_the_destination_leaves_a_record_and_nothing_else() {
    for at in ["check", "begin", "states", "prepare", "write", "commit"] {
        let project = script::source(full(), json!([script::whole(20)]));
        script::faults(&project, json!([{"at": at, "panic": true}]));
        project.run().exits(70);
        let log = project.log();
        let spans = |kind: &str| {
            log.lines.iter().filter(|line| line["event"].as_str().unwrap().ends_with(kind)).count()
        };
        // `run.started` has no span, and neither has `run.finished`.
        assert_eq!(
            spans(".started") - 1,
            spans(".finished") - usize::from(log.ended()),
            "{at}: a span is open"
        );
        if ["prepare", "write", "commit"].contains(&at) {
            assert_eq!(project.summary()["error"]["kind"], "internal", "{at}");
        }
        if at != "check" {
            assert_eq!(project.rows("SELECT 1 FROM sqlite_schema WHERE name = 's'").len(), 0, "{at}");
        }
        script::faults(&project, json!([]));
        project.run().exits(0);
        exactly(&project, 20);
    }
}

#[test]
fn a_wider_schema_starts_the_attempt_again_and_loses_nothing() {
    let wider = json!({"id": "int64", "note": "text"});
    let first =
        json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 10}, {"do": "schema", "columns": wider}]);
    let mut stream = script::stream("s", json!([first, script::whole(40)]));
    stream["columns"] = json!({"id": "int64", "note": "int64"});
    let project = script::streams(json!([full()]), json!([stream]));
    let script = std::fs::read_to_string(project.path("source.json")).unwrap();
    let mut script: Value = serde_json::from_str(&script).unwrap();
    script["infers"] = json!(true);
    project.file("source.json", script.to_string());
    project.run().exits(0);
    exactly(&project, 40);
    assert_eq!(project.value("SELECT DISTINCT typeof(note) FROM s"), "text");
}

#[test]
fn a_check_that_fails_stops_the_run_before_anything_is_touched() {
    let project = script::source(full(), json!([script::whole(5)]));
    let text = std::fs::read_to_string(project.path("source.json")).unwrap();
    let mut script: Value = serde_json::from_str(&text).unwrap();
    script["check"] = json!({"kind": "auth", "message": "not let in"});
    project.file("source.json", script.to_string());
    project.run().exits(1).says(&["not let in"]);
    assert!(project.log().ended());
    assert!(!project.path("waybill.db").exists());
}

#[test]
fn slices_of_a_staged_stream_side_by_side_make_one_table() {
    let part = |from: i64| {
        json!([{"do": "schema"}, {"do": "rows", "from": from, "count": 10}, {"do": "wait_ms", "ms": 30},
            {"do": "checkpoint"}, {"do": "complete"}])
    };
    let mut stream = script::stream("s", json!([]));
    stream["slices"] = json!([
        {"id": "s#1", "reads": [part(1)]},
        {"id": "s#2", "reads": [part(11)]},
        {"id": "s#3", "reads": [part(21)]},
    ]);
    let project = script::streams(json!([full()]), json!([stream]));
    project.run().exits(0);
    exactly(&project, 30);
}

#[test]
fn a_receipt_that_lies_is_noticed() {
    let project = script::source(full(), json!([script::whole(50)]));
    script::faults(&project, json!([{"at": "commit", "after": true, "extra_rows": 3}]));
    project.run().exits(70);
    assert_eq!(project.summary()["error"]["kind"], "internal");
}

#[test]
fn a_panic_in_any_step_is_reported_as_a_bug_with_its_record_whole() {
    for at in ["check", "begin", "states", "prepare", "write", "commit", "publish"] {
        let project = script::source(full(), json!([script::whole(20)]));
        script::faults(&project, json!([{"at": at, "panic": true}]));
        project.run().exits(70);
        assert!(project.log().ended(), "{at}");
        assert_eq!(project.summary()["error"]["kind"], "internal", "{at}");
    }
}

#[test]
fn a_full_read_that_is_durable_is_not_read_again() {
    let append = json!({"name": "s", "write": "append"});
    let read = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "checkpoint"},
        {"do": "complete"}, {"do": "fail", "kind": "network"}]);
    let again = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "checkpoint"},
        {"do": "complete"}]);
    let project = script::source(append, json!([read, again]));
    project.run().exits(0);
    exactly(&project, 5);
}
