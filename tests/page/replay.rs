//! `runs replay`: a run shown again.

use std::time::{Duration, Instant};

use serde_json::json;

use super::partial;
use crate::fixture::{Project, Screen, script};

/// Gives each line of a log, by its number, another moment of the run.
fn spread(project: &Project, moment: impl Fn(usize) -> usize) {
    let log = project.log().path;
    let lines: Vec<String> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .enumerate()
        .map(|(at, line)| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["t_ms"] = json!(moment(at));
            line.to_string()
        })
        .collect();
    std::fs::write(&log, lines.join("\n") + "\n").unwrap();
}

#[test]
fn at_once_it_says_what_the_run_said() {
    let project = partial();
    let live = project.run().exits(5);
    let again = project.start(&["runs", "replay", "last", "--speed", "max"]).wait().exits(0);
    assert_eq!(again.out, live.out);
    assert_eq!(again.err, live.err);
    let quiet = project.start(&["runs", "replay", "--speed", "max", "--quiet"]).wait().exits(0);
    assert_eq!((quiet.out, quiet.err.as_str()), (live.out, ""));
    project.waybill(&["runs", "replay", "--speed", "0"]).exits(2).says(&["a number above 0, or max"]);
}

#[test]
fn speed_divides_the_time_and_long_pauses_are_shortened_and_said() {
    let project = script::source(json!({"name": "s"}), super::well());
    project.run().exits(0);
    spread(&project, |line| line * 1000);
    let lines = project.log().lines.len() as u64;
    let begun = Instant::now();
    project.start(&["runs", "replay", "--speed", "100"]).wait().exits(0);
    assert!(begun.elapsed() >= Duration::from_millis((lines - 1) * 10), "{:?}", begun.elapsed());
    // A day of silence before the last line is over in seconds.
    let log = project.log().path;
    let text = std::fs::read_to_string(&log).unwrap();
    let last = format!("\"t_ms\":{}", (lines - 1) * 1000);
    std::fs::write(&log, text.replace(&last, "\"t_ms\":90000000")).unwrap();
    let again = project.start(&["runs", "replay", "--speed", "1000"]).wait().exits(0);
    assert!(again.err.contains("in which nothing was said, shortened"), "{}", again.err);
}

#[test]
fn on_a_terminal_it_moves_and_ctrl_c_ends_it() {
    let project = script::source(json!({"name": "orders"}), super::well());
    project.file("source.json", json!({"streams": [script::stream("orders", super::well())]}).to_string());
    project.run().exits(0);
    let begun = project.log().lines.iter().position(|line| line["event"] == "stream.started").unwrap();
    // From there on an hour lies between two lines: long enough to be looked at, however shortened.
    spread(&project, |line| if line <= begun { line } else { line * 3_600_000 });
    let screen = Screen::open(&project.command(&["runs", "replay"]), 24, 100);
    screen.shows("c: loading").shows("orders").shows("in which nothing was said, shortened");
    screen.interrupt();
    let left = screen.ends(130);
    assert!(!left.contains("c: loading"), "{left}");
    let screen = Screen::open(&project.command(&["runs", "replay", "--speed", "max"]), 24, 100);
    let left = screen.ends(0);
    assert!(left.contains("c succeeded: 30 rows") && !left.contains("saving state"), "{left}");
}
