//! CSV and JSONL that are broken, hostile, or merely odd.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{one_file, recorded, told};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// The file fails the run; the message has these parts.
#[track_caller]
fn fails(path: &str, content: &[u8], options: Value, parts: &[&str]) {
    let mut stream = json!({"name": "t", "path": path});
    options.as_object().unwrap().iter().for_each(|(key, value)| stream[key] = value.clone());
    let project = one_file(stream);
    project.file(path, content);
    told(project.run(), 1, parts);
    recorded(&project, 1, parts);
    assert_eq!(project.rows("SELECT 1 FROM sqlite_schema WHERE name = 't'").len(), 0);
}

/// The file is loaded; a query gives these rows.
#[track_caller]
fn loads(path: &str, content: &[u8], sql: &str, rows: &[&str]) {
    let project = one_file(json!({"name": "t", "path": path}));
    project.file(path, content);
    told(project.run(), 0, &[]);
    assert_eq!(project.rows(sql), rows, "{path}");
}

#[test]
fn csv_that_is_broken_is_told_by_file_and_line() {
    let none = json!({});
    fails("t.csv", b"a,b\n1,2\n1,2,3\n", none.clone(), &["t.csv:3"]);
    fails("t.csv", b"a,b\n1,2\n1\n", none.clone(), &["t.csv:3"]);
    fails("t.csv", b"a,b\n1,\xff\xfe\n", none.clone(), &["t.csv:2", "UTF-8"]);
    fails("t.csv", b"a,b\n1,2\n3,\"never closed\n4,5\n", none.clone(), &["t.csv:3"]);
    fails("t.csv", b"a,b,a\n1,2,3\n", none.clone(), &["t.csv", "\"a\""]);
    fails("t.csv", b"", none.clone(), &["t.csv"]);
    fails("t.csv", b"\x1f\x8b\x08not gzip at all", none.clone(), &["t.csv"]);
    fails("t.csv", b"n\n1\nx\n", json!({"types": {"n": "int64"}}), &["t.csv:3", "n"]);
    let packed = gzip("n\n".repeat(50_000).as_bytes());
    fails("t.csv.gz", &packed[..packed.len() / 2], none, &["t.csv.gz"]);
}

#[test]
fn a_declared_type_of_no_column_is_told() {
    let project = one_file(json!({"name": "t", "path": "t.csv", "types": {"absent": "int64"}}));
    project.file("t.csv", "n\n1\n");
    told(project.run(), 3, &["absent"]);
    recorded(&project, 3, &["absent"]);
}

#[test]
fn csv_that_is_merely_odd_is_loaded_exactly() {
    loads("t.csv", "\u{feff}id,name\n1,é\n".as_bytes(), "SELECT id, name FROM t", &["1|é"]);
    loads("t.csv", b"id,name\r\n1,\"a\r\nb\"\r\n", "SELECT id, hex(name) FROM t", &["1|610D0A62"]);
    loads("t.csv", b"id,name\n1,\"say \"\"hi\"\"\"", "SELECT name FROM t", &["say \"hi\""]);
    loads("t.csv", b"zip\n01234\n00001\n", "SELECT zip FROM t ORDER BY 1", &["00001", "01234"]);
    loads("t.csv", b"a,b\n,\n\"\",x\n", "SELECT a IS NULL, b IS NULL FROM t ORDER BY 1", &["0|0", "1|1"]);
    loads("t.csv", b"a\n12345678901234567890123456789\n1\n", "SELECT max(length(a)) FROM t", &["29"]);
    loads("t.csv", b"a,b\n", "SELECT count(*) FROM t", &["0"]);
    let members = [gzip(b"n\n1\n"), gzip(b"2\n3\n")].concat();
    loads("t.csv.gz", &members, "SELECT n FROM t ORDER BY n", &["1", "2", "3"]);
}

#[test]
fn nul_bytes_are_kept_or_told() {
    let project = one_file(json!({"name": "t", "path": "t.csv"}));
    project.file("t.csv", b"a,b\nx\0y,1\n");
    let finished = project.run();
    match finished.code {
        0 => assert_eq!(project.rows("SELECT hex(a) FROM t"), ["780079"]),
        _ => drop(told(finished, 1, &["t.csv:2"])),
    }
}

#[test]
fn a_field_of_fifty_megabytes_arrives_whole() {
    let mut content = b"a,b\n1,".to_vec();
    content.resize(content.len() + 50_000_000, b'x');
    content.extend_from_slice(b"\n2,y\n");
    loads("t.csv", &content, "SELECT a, length(b) FROM t ORDER BY a", &["1|50000000", "2|1"]);
}

#[test]
fn jsonl_that_is_broken_is_told_by_file_and_line() {
    let none = json!({});
    fails("t.jsonl", b"{\"a\": 1}\n{\"a\": NaN}\n", none.clone(), &["t.jsonl:2"]);
    fails("t.jsonl", b"{\"a\": 1}\n{\"a\": \"\\ud800\"}\n", none.clone(), &["t.jsonl:2"]);
    fails("t.jsonl", b"{\"a\": 1}\n{\"a\": 2", none.clone(), &["t.jsonl:2"]);
    fails("t.jsonl", b"{\"a\": 1}\n[1]\n", none.clone(), &["t.jsonl:2"]);
    fails("t.jsonl", b"{\"a\": 1}\n{\"a\": \"\xff\"}\n", none.clone(), &["t.jsonl:2"]);
    fails("t.jsonl", b"{\"a\": 1}\n{\"a\": 1} {\"a\": 2}\n", none.clone(), &["t.jsonl:2"]);
    let deep = format!("{{\"a\": 1}}\n{{\"a\": {}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    fails("t.jsonl", deep.as_bytes(), none, &["t.jsonl:2"]);
}

#[test]
fn jsonl_that_is_merely_odd_is_loaded_exactly() {
    loads("t.jsonl", b"{\"a\": 1}\n{\"a\": \"x\"}\n", "SELECT a FROM t ORDER BY a", &["1", "x"]);
    loads(
        "t.jsonl",
        b"{\"a\": 18446744073709551617}\n{\"a\": 1}\n",
        "SELECT CAST(a AS TEXT) FROM t ORDER BY length(CAST(a AS TEXT))",
        &["1", "18446744073709551617"],
    );
    loads(
        "t.jsonl",
        b"{\"a\": 1e400}\n",
        "SELECT length(CAST(a AS TEXT)) > 300 OR a = '1e400' FROM t",
        &["1"],
    );
    loads("t.jsonl", b"\n{\"a\": null}\n\n{}\n", "SELECT count(*) FROM t", &["2"]);
    loads("t.jsonl", "{\"a\": \"\\ud83d\\ude00\"}\n".as_bytes(), "SELECT a FROM t", &["😀"]);
}

#[test]
fn a_column_that_first_appears_in_the_last_line_is_loaded() {
    let line = format!("{{\"a\": 1, \"filler\": \"{}\"}}\n", "x".repeat(2_000));
    let mut content = line.repeat(17 * 512);
    content.push_str("{\"a\": \"text now\", \"late\": 1.5}\n");
    loads("t.jsonl", content.as_bytes(), "SELECT a, late FROM t WHERE late IS NOT NULL", &["text now|1.5"]);
}

#[test]
fn rejected_rows_are_counted_and_kept_up_to_the_threshold() {
    let stream = json!({"name": "t", "path": "t.csv", "on_bad_row": "reject", "max_bad_rows": 2});
    let project = one_file(stream);
    project.file("t.csv", "a,b\n1,2\n1,2,3\n4,5\n6\n");
    let finished = project.run().exits(0);
    assert!(finished.out.contains('2'), "{finished:?}");
    assert_eq!(project.rows("SELECT a FROM t ORDER BY a"), ["1", "4"]);
    let summary = project.summary();
    assert_eq!(summary["progress_counts"]["t"]["rows_rejected"], 2);
    let rejects = summary["artifacts"]["rejects"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(rejects).unwrap().lines().count(), 2);
    project.file("t.csv", "a,b\n1,2,3\n4\n6\n7,8\n");
    told(project.run(), 1, &["t.csv"]);
    assert_eq!(project.rows("SELECT a FROM t ORDER BY a"), ["1", "4"], "the old table stays");
}

#[test]
fn a_file_whose_only_line_is_broken_is_told_by_line() {
    fails("t.jsonl", b"{\"a\": 1} {\"a\": 2}\n", json!({}), &["t.jsonl:1"]);
}
