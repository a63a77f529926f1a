//! Records that are not whole: without a summary, without a log, damaged, of another program.

use serde_json::json;

use super::{explained, json as answer};
use crate::fixture::{Project, script};

/// A run that failed after some attempts.
fn failed() -> Project {
    let lost = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 5, "batch": 5},
                      {"do": "fail", "kind": "network", "message": "the line is dead"}]);
    let project = script::source(script::by_cursor("append"), json!([script::whole(3), lost]));
    project.run().exits(0);
    project.run().exits(75);
    project
}

const CAUSE: [&str; 3] = ["the line is dead", "network", "stream s"];

#[test]
fn the_log_alone_is_enough() {
    let project = failed();
    let whole = explained(&project, "record-whole", "failed", &CAUSE);
    std::fs::remove_file(project.summaries().pop().unwrap()).unwrap();
    let alone = explained(&project, "record-log-alone", "failed", &CAUSE);
    let verdict = |text: &str| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(verdict(&whole), verdict(&alone));
    assert!(alone.contains("of its log alone: there is no summary"), "{alone}");
    assert_eq!(answer(&project)["record"]["summary"], false);
}

#[test]
fn the_summary_alone_is_enough() {
    let project = failed();
    std::fs::remove_file(project.log().path).unwrap();
    let alone = explained(&project, "record-summary-alone", "failed", &CAUSE);
    assert!(alone.contains("its summary alone: the log is gone"), "{alone}");
    let answer = answer(&project);
    assert_eq!(answer["record"], json!({"summary": true, "log": false, "lines": 0}));
    assert!(answer["led_to"].is_null() && answer["retry"]["advice"] == "sensible", "{answer}");
}

#[test]
fn damaged_lines_and_events_of_a_newer_program_do_not_hide_the_cause() {
    let project = failed();
    let path = project.log().path;
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.insert(4, "\u{0}\u{0}\u{0} what a disk made of it".to_owned());
    lines.insert(6, r#"{"v":9,"seq":6,"ts":"2026-01-02T03:04:05Z","t_ms":9,"level":"loud","event":"moon.landed","message":"m","error":{"kind":"gravity","message":"fell"},"data":{"x":1}}"#.to_owned());
    lines.insert(8, "[1, 2]".to_owned());
    std::fs::write(&path, lines.join("\n")).unwrap();
    let said = explained(&project, "record-damaged", "failed", &CAUSE);
    assert!(said.contains("damaged: line 5 cannot be read") && said.contains("damaged: line 9"), "{said}");
    // An empty log, and one that is no text at all.
    for junk in [&b""[..], b"\xff\xfe\x00junk\n\xff"] {
        std::fs::write(&path, junk).unwrap();
        explained(&project, "record-junk", "failed", &CAUSE);
    }
}
