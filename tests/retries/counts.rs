//! Counters and the rejects file speak of what became durable, each row once, however often it was
//! read.

use serde_json::{Value, json};

use crate::fixture::{Project, script};

fn rejecting(write: &str, limit: u64) -> Value {
    let mut selection = match write {
        "overwrite" => json!({"name": "s"}),
        write => script::by_cursor(write),
    };
    selection["on_bad_row"] = json!("reject");
    selection["max_bad_rows"] = json!(limit);
    selection
}

fn reject(place: &str) -> Value {
    json!({"do": "reject", "place": place})
}

fn rows(from: i64, count: i64) -> Value {
    json!({"do": "rows", "from": from, "count": count})
}

fn checkpoint(floor: i64) -> Value {
    json!({"do": "checkpoint", "floor": floor})
}

fn lost() -> Value {
    json!({"do": "fail", "kind": "network"})
}

fn ends(steps: &[Value]) -> Value {
    let mut read = vec![json!({"do": "schema"})];
    read.extend_from_slice(steps);
    read.push(json!({"do": "complete"}));
    Value::Array(read)
}

fn fails(steps: &[Value]) -> Value {
    let mut read = vec![json!({"do": "schema"})];
    read.extend_from_slice(steps);
    read.push(lost());
    Value::Array(read)
}

/// The places in the rejects file, in order; it must agree with the counter and the events.
#[track_caller]
fn rejected(project: &Project) -> Vec<String> {
    let summary = project.summary();
    let counted = summary["progress_counts"]["s"]["rows_rejected"].as_u64().unwrap();
    let told: u64 =
        project.log().named("row.rejected").iter().map(|line| line["data"]["rows"].as_u64().unwrap()).sum();
    assert_eq!(told, counted, "events and counter");
    let Some(path) = summary["artifacts"]["rejects"].as_str() else {
        assert_eq!(counted, 0, "there is no file");
        return Vec::new();
    };
    let text = std::fs::read_to_string(path).unwrap();
    let place =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["place"].as_str().unwrap().to_owned();
    let places: Vec<String> = text.lines().map(place).collect();
    assert_eq!(places.len() as u64, counted, "file and counter");
    let first = summary["report"][0].as_str().unwrap();
    assert_eq!(first.starts_with("warning: "), counted > 0, "{first}");
    places
}

fn count(project: &Project, of: &str) -> Value {
    project.summary()["progress_counts"]["s"][of].clone()
}

#[test]
fn a_rejected_row_that_is_read_again_is_rejected_once() {
    for write in ["overwrite", "append", "merge"] {
        let once = [reject("row a"), rows(1, 10), reject("row b")];
        let whole = ends(&[&once[..], &[checkpoint(10)]].concat());
        let project = script::source(rejecting(write, 2), json!([fails(&once), fails(&once), whole]));
        project.run().exits(0);
        assert_eq!(rejected(&project), ["row a", "row b"], "{write}");
        assert_eq!(count(&project, "rows_loaded"), 10, "{write}");
        assert_eq!(count(&project, "rows_read"), 30, "{write}: what was read counts every attempt");
        assert_eq!(project.value("SELECT count(*) FROM s"), "10");
    }
}

#[test]
fn what_a_commit_covered_stays_and_what_it_did_not_is_met_again() {
    for write in ["append", "merge"] {
        let first = fails(&[reject("a"), rows(1, 10), checkpoint(10), reject("b"), rows(11, 5)]);
        let second = ends(&[reject("b"), rows(11, 5), checkpoint(15), reject("c")]);
        let project = script::source(rejecting(write, 3), json!([first, second]));
        project.run().exits(0);
        assert_eq!(rejected(&project), ["a", "b", "c"], "{write}");
        assert_eq!(project.value("SELECT count(*) FROM s"), "15");
    }
}

#[test]
fn the_threshold_counts_over_all_attempts() {
    let first = fails(&[reject("a"), reject("b"), rows(1, 10), checkpoint(10)]);
    let second = ends(&[reject("c"), reject("d"), rows(11, 5), checkpoint(15)]);
    for (limit, code) in [(3, 1), (4, 0)] {
        let project = script::source(rejecting("append", limit), json!([first, second]));
        project.run().exits(code);
        // Those that make the stream fail are kept: the message sends people there.
        assert_eq!(rejected(&project), ["a", "b", "c", "d"], "at most {limit}");
    }
}

#[test]
fn the_threshold_counts_over_all_slices() {
    let part = |from: i64, name: &str| {
        json!([[{"do": "schema"}, rows(from, 10), reject(&format!("{name} 1")), reject(&format!("{name} 2")),
            {"do": "checkpoint"}, {"do": "complete"}]])
    };
    for (limit, code) in [(5, 1), (6, 0)] {
        let mut stream = script::stream("s", json!([]));
        stream["slices"] = json!([{"id": "s#1", "reads": part(1, "one")}, {"id": "s#2", "reads": part(11, "two")},
            {"id": "s#3", "reads": part(21, "three")}]);
        let project = script::streams(json!([rejecting("overwrite", limit)]), json!([stream]));
        project.run().exits(code);
        assert_eq!(rejected(&project).len(), 6, "at most {limit}");
    }
}

#[test]
fn a_stream_that_fails_for_another_reason_keeps_no_rejects_of_what_was_given_up() {
    let read = json!([{"do": "schema"}, reject("a"), rows(1, 10), {"do": "fail", "kind": "data"}]);
    let project = script::source(rejecting("overwrite", 5), json!([read]));
    project.run().exits(1);
    assert_eq!(rejected(&project), [""; 0]);
}

#[test]
fn rows_rejected_before_the_columns_were_widened_stand_in_the_file_once() {
    let wider = json!({"do": "schema", "columns": {"id": "int64", "note": "text"}});
    let first = json!([{"do": "schema"}, reject("a"), rows(1, 10), wider]);
    let mut stream =
        script::stream("s", json!([first, ends(&[reject("a"), rows(1, 40), json!({"do": "checkpoint"})])]));
    stream["columns"] = json!({"id": "int64", "note": "int64"});
    let project = script::streams(json!([rejecting("overwrite", 1)]), json!([stream]));
    let mut script: Value =
        serde_json::from_slice(&std::fs::read(project.path("source.json")).unwrap()).unwrap();
    script["infers"] = json!(true);
    project.file("source.json", script.to_string());
    project.run().exits(0);
    assert_eq!(rejected(&project), ["a"]);
}

/// `at` is the cursor, `id` the key.
fn keyed(reads: Value) -> Project {
    let mut stream = script::stream("s", reads);
    stream["columns"] = json!({"id": "int64", "at": "int64"});
    stream["cursor"] = json!("at");
    let selection = json!({"name": "s", "mode": "incremental", "cursor": "at", "write": "merge",
        "on_bad_row": "reject"});
    script::streams(json!([selection]), json!([stream]))
}

#[test]
fn a_row_without_a_key_at_the_border_of_a_checkpoint_is_rejected_once() {
    let values = |rows: Value| json!({"do": "values", "rows": rows});
    let first = fails(&[values(json!([[1, 1], [null, 2], [null, 2]])), checkpoint(2)]);
    // The border is read again; a third row like it is a new one.
    let second = ends(&[values(json!([[null, 2], [null, 2], [null, 2], [3, 3]])), checkpoint(3)]);
    let project = keyed(json!([first, second]));
    project.run().exits(0);
    assert_eq!(rejected(&project), ["row 2 of s", "row 3 of s", "row 3 of s"]);
    assert_eq!(project.value("SELECT count(*) FROM s"), "2");
}

#[test]
fn rows_known_already_count_once() {
    let first = ends(&[rows(1, 30), checkpoint(30)]);
    let lost = fails(&[rows(30, 5)]);
    let project = script::source(
        script::by_cursor("append"),
        json!([first, lost, lost, ends(&[rows(30, 5), checkpoint(34)])]),
    );
    project.run().exits(0);
    project.run().exits(0);
    assert_eq!((count(&project, "rows_known"), count(&project, "rows_loaded")), (json!(1), json!(4)));
    assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "34|34");
}

#[test]
fn rows_without_a_cursor_count_once_and_are_said_once() {
    let nulls = json!({"do": "null_cursors", "rows": 5});
    for write in ["append", "merge"] {
        let first = fails(&[nulls.clone(), rows(1, 10), checkpoint(10)]);
        let second = fails(&[nulls.clone(), rows(10, 1)]);
        let third = ends(&[nulls.clone(), rows(10, 11), checkpoint(20)]);
        let project = script::source(script::by_cursor(write), json!([first, second, third]));
        project.run().exits(0);
        assert_eq!(count(&project, "rows_null_cursor"), 5, "{write}");
        let said =
            project.log().lines.iter().filter(|line| line.to_string().contains("have no cursor")).count();
        assert_eq!(said, 1, "{write}");
    }
}

#[test]
fn a_commit_of_which_nobody_knew_counts_its_rows_once() {
    let first = fails(&[reject("a"), rows(1, 10), checkpoint(10)]);
    let second = ends(&[rows(11, 10), checkpoint(20)]);
    for after in [true, false] {
        // The answer is lost, and the question what became of the commit goes wrong as well.
        let mut reads = vec![first.clone(), second.clone()];
        if !after {
            reads.insert(1, ends(&[reject("a"), rows(1, 20), checkpoint(20)]));
        }
        let project = script::source(rejecting("append", 1), json!(reads));
        let gone = json!({"kind": "network"});
        script::faults(
            &project,
            json!([{"at": "commit", "nth": 1, "after": after, "fail": gone},
                   {"at": "committed", "nth": 1, "fail": {"kind": "destination"}}]),
        );
        project.run().exits(0);
        assert_eq!(rejected(&project), ["a"], "{after}");
        assert_eq!(count(&project, "rows_loaded"), 20, "{after}");
        assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "20|20");
        let receipts: u64 = project
            .log()
            .named("checkpoint.committed")
            .iter()
            .map(|line| line["data"]["rows"].as_u64().unwrap())
            .sum();
        assert_eq!(receipts, 20, "{after}: every row is under one receipt");
    }
}
