//! Files that are gone, broken, or changed.

use serde_json::{Value, json};

use super::failed;
use crate::fixture::{Project, one_connection};

fn one_file(stream: Value, content: &str) -> Project {
    let project = Project::new(one_connection("files", json!({"streams": [stream]})));
    project.file("t.csv", content);
    project
}

#[test]
fn a_row_of_a_file_that_is_broken() {
    let project = one_file(json!({"name": "t", "path": "t.csv"}), "a,b\n1,2\n1,2,3\n");
    project.run().exits(1);
    failed(&project, "bad-csv-row", "data", &["t.csv:3", "stream t"]);
}

#[test]
fn a_value_of_a_declared_type_that_is_none() {
    let stream = json!({"name": "t", "path": "t.csv", "types": {"n": "int64"}});
    let project = one_file(stream, "n\n1\n2\n3\nfour\n");
    project.run().exits(1);
    failed(&project, "bad-csv-value", "data", &["t.csv:5", "n"]);
}

#[test]
fn more_rejected_rows_than_are_allowed() {
    let stream = json!({"name": "t", "path": "t.csv", "on_bad_row": "reject", "max_bad_rows": 2});
    let project = one_file(stream, "a,b\n1,2\n1,2,3\n4,5\n6\n");
    project.run().exits(0);
    let said = super::explained(&project, "rejected-rows", "succeeded", &["2 rows", "rejected"]);
    assert!(said.contains("t: 2 rows rejected and not loaded"), "{said}");
    project.file("t.csv", "a,b\n1,2,3\n4\n6\n7,8\n");
    project.run().exits(1);
    failed(&project, "reject-threshold", "data", &["more than 2 rows could not be loaded", "t.csv:4"]);
}

#[test]
fn a_file_that_is_gone() {
    let project = one_file(json!({"name": "t", "path": "t.csv"}), "a,b\n1,2\n");
    project.run().exits(0);
    std::fs::remove_file(project.path("t.csv")).unwrap();
    project.run().exits(1);
    failed(&project, "file-gone", "not_found", &["t.csv"]);
}

#[test]
fn a_file_that_was_changed_after_it_was_loaded() {
    let stream = json!({"name": "t", "path": "t.csv", "mode": "incremental", "write": "append"});
    let project = one_file(stream, "a,b\n1,2\n");
    project.run().exits(0);
    project.file("t.csv", "a,b\n1,2\n3,4\n5,6\n");
    let finished = project.run();
    assert_ne!(finished.code, 0, "{finished:?}");
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "file-changed", &kind, &["t.csv", "changed"]);
}

#[test]
fn a_file_that_may_not_be_read_and_one_of_several_streams() {
    let project = Project::new(one_connection(
        "files",
        json!({"streams": [{"name": "good", "path": "good.csv"}, {"name": "bad", "path": "bad.csv"}]}),
    ));
    project.file("good.csv", "a\n1\n");
    project.file("bad.csv", "a,b\n1,2\n3\n");
    project.run().exits(5);
    let said = failed(&project, "partial", "data", &["partial: 1 of 2 streams", "bad.csv:3", "stream bad"]);
    assert!(said.contains("waybill run c --stream bad"), "{said}");
}
