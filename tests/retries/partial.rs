//! Some streams failed: that is loud everywhere, and each stream's state speaks for itself.

use serde_json::{Value, json};

use crate::fixture::{Project, script};

/// Streams `good` (20 rows), `bad` (fails behind its second checkpoint) and `worse` (fails before
/// any), all by cursor and loaded up to 10 before, and more selections.
fn project(more: &[Value]) -> Project {
    let selection = |name: &str| {
        let mut selection = script::by_cursor("append");
        selection["name"] = json!(name);
        selection
    };
    let rows = |from: i64, count: i64| json!({"do": "rows", "from": from, "count": count});
    let at = |floor: i64| json!({"do": "checkpoint", "floor": floor});
    let (schema, complete) = (json!({"do": "schema"}), json!({"do": "complete"}));
    let torn = json!({"do": "fail", "kind": "data", "message": "line 12 is torn"});
    let first = json!([schema, rows(1, 10), at(10), complete]);
    let bad = json!([schema, rows(10, 3), at(12), rows(13, 3), torn]);
    let worse = json!([schema, rows(10, 3), torn]);
    let stream = |name: &str, second: &Value| script::stream(name, json!([first, second, script::whole(20)]));
    let whole = script::whole(20);
    let mut selections = vec![selection("good"), selection("bad"), selection("worse")];
    selections.extend_from_slice(more);
    script::streams(
        Value::Array(selections),
        json!([stream("good", &whole), stream("bad", &bad), stream("worse", &worse)]),
    )
}

#[test]
fn partial_is_loud_and_only_what_was_loaded_moves_its_state() {
    let project = project(&[]);
    project.run().exits(0);
    let finished = project.run().exits(5).says(&["c is partial", "line 12 is torn", "FAILED"]);
    assert!(finished.err.contains("bad"), "{}", finished.err);
    let summary = project.summary();
    assert_eq!((&summary["status"], &summary["exit_code"]), (&json!("partial"), &json!(5)));
    let report: Vec<&str> = summary["report"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(report[0].starts_with("c is partial: 1 of 3 streams loaded"), "{report:?}");
    let told = |part: &str| report.iter().any(|line| line.contains(part));
    assert!(told("error: bad: line 12 is torn (data, source)"), "{report:?}");
    assert!(["bad", "worse"].map(Value::from).contains(&summary["error"]["stream"]), "{summary}");
    assert_eq!(summary["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["bad", "worse"]);
    assert_eq!(summary["stats"]["streams"]["good"]["outcome"], "succeeded");
    assert_eq!(summary["stats"]["streams"]["bad"]["outcome"], "failed");
    let cursors = ["good", "bad", "worse"].map(|name| project.state(name)["cursor"].clone());
    assert_eq!(cursors, [json!(20), json!(12), json!(10)]);
    assert_eq!(project.value("SELECT count(*) FROM bad"), "12", "the rows of no commit are not there");
    project.run().exits(0);
    for table in ["good", "bad", "worse"] {
        let sql = format!("SELECT count(*) || '|' || count(DISTINCT id) FROM {table}");
        assert_eq!(project.value(&sql), "20|20", "{table}");
    }
}

#[test]
fn a_backend_reads_the_same() {
    let project = project(&[]);
    project.run().exits(0);
    let finished = project.waybill(&["headless", "c"]);
    assert_eq!(finished.code, 5, "{finished:?}");
    let answer = finished.json();
    assert_eq!((&answer["status"], &answer["exit_code"]), (&json!("partial"), &json!(5)));
    assert_eq!(answer["error"]["kind"], "data");
    assert!(["bad", "worse"].map(Value::from).contains(&answer["error"]["stream"]), "{answer}");
    assert!(answer["report_text"].as_str().unwrap().starts_with("c is partial"), "{answer}");
    assert_eq!(answer["state_updates"]["good"]["cursor"], 20, "{answer}");
    assert!(answer["state_updates"].get("bad").is_some_and(|bad| bad["cursor"] == 12), "{answer}");
}

#[test]
fn a_stream_that_is_gone_is_a_failed_stream() {
    let gone = json!({"name": "nowhere"});
    let project = project(std::slice::from_ref(&gone));
    project.run().exits(5).says(&["nowhere"]);
    let summary = project.summary();
    assert_eq!(summary["errors"]["nowhere"]["kind"], "not_found");
    assert!(summary["report"][0].as_str().unwrap().contains("3 of 4 streams"), "{}", summary["report"]);
    // Alone it is no partial success.
    let alone = script::source(gone, json!([script::whole(5)]));
    alone.run().exits(1);
    assert_eq!(alone.summary()["status"], "failed");
}

#[test]
fn when_every_stream_failed_the_run_failed_with_the_worst_code() {
    let fails = |kind: &str| json!([[{"do": "schema"}, {"do": "fail", "kind": kind}]]);
    let project = script::streams(
        json!([{"name": "a"}, {"name": "b"}, {"name": "d"}]),
        json!([
            script::stream("a", fails("network")),
            script::stream("b", fails("data")),
            script::stream("d", fails("destination"))
        ]),
    );
    project.run().exits(1);
    let summary = project.summary();
    assert_eq!(summary["status"], "failed");
    assert_eq!(summary["errors"].as_object().unwrap().len(), 3);
    assert!(summary["report"][0].as_str().unwrap().starts_with("c failed"), "{}", summary["report"]);
}
