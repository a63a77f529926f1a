//! Ten thousand runs: written into the history from the disk, and listed.

use std::fs;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{kept, summary_text};
use crate::fixture::{Database, Project, tell};

/// How many.
const RUNS: usize = 10_000;

/// Makes so many runs, on fifty days, out of the last one: every second one with its log, every
/// hundredth failed.
fn copies(project: &Project) {
    let (summary, log) = (summary_text(project), fs::read_to_string(&project.log().path).unwrap());
    let value: Value = serde_json::from_str(&summary).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    let (run_id, started) = (text("run_id"), text("started_at"));
    let first: DateTime<Utc> = started.parse().unwrap();
    for number in 0..RUNS {
        let at = first - TimeDelta::minutes(7 * (number as i64 + 1));
        let (date, stamp) = (at.format("%Y-%m-%d").to_string(), at.format("%Y%m%dT%H%M%S%3fZ").to_string());
        let id = format!("0190aaaa-0000-7000-8000-{number:012}");
        let moment = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let mut summary = summary.replace(&run_id, &id).replace(&started, &moment);
        if number % 100 == 0 {
            summary = summary.replacen("\"status\": \"succeeded\"", "\"status\": \"failed\"", 1).replacen(
                "\"exit_code\": 0",
                "\"exit_code\": 1",
                1,
            );
        }
        let (runs, logs) = (project.path("runs").join(&date), project.path("run_logs").join(&date));
        if !runs.is_dir() {
            fs::create_dir_all(&runs).unwrap();
            fs::create_dir_all(&logs).unwrap();
        }
        fs::write(runs.join(format!("c_{stamp}_{}.json", &id[id.len() - 8..])), summary).unwrap();
        if number % 2 == 0 {
            fs::write(logs.join(format!("c_{id}_events.jsonl")), log.replace(&run_id, &id)).unwrap();
        }
    }
}

#[test]
fn ten_thousand_runs_are_written_from_the_disk_once_and_listed_fast() {
    let database = Database::new("history_many");
    let project = kept(&database);
    project.run().exits(0);
    copies(&project);
    // Not through the fixture, which would read all of the records at each step.
    let ask = |words: &[&str]| {
        let started = Instant::now();
        let finished = project.start(words).wait().exits(0);
        (finished, started.elapsed().as_secs_f64())
    };
    let (written, first) = ask(&["history", "sync", "--output", "json"]);
    let written = written.json();
    assert_eq!(
        (written["found"].as_u64(), written["written"].as_u64()),
        (Some(10_001), Some(10_000)),
        "{written}"
    );
    let (again, second) = ask(&["history", "sync", "--output", "json"]);
    assert_eq!((again.json()["written"].as_u64(), again.json()["present"].as_u64()), (Some(0), Some(10_001)));
    let sql = "SELECT count(*), count(*) FILTER (WHERE status = 'failed'), (SELECT count(*) FROM waybill_run_streams) FROM waybill_runs";
    assert_eq!(database.sql(sql), "10001|100|10001");

    let listed = |words: &[&str]| {
        let (finished, seconds) = ask(&[&["runs", "list", "--output", "json"], words].concat());
        (finished.json()["runs"].as_array().unwrap().len(), seconds)
    };
    let (twenty, newest) = listed(&[]);
    let (failed, all_failed) = listed(&["--failed", "--limit", "0"]);
    let (none, nobody) = listed(&["--status", "crashed,partial"]);
    let (of_day, day) = listed(&["--since", "1d", "--limit", "0"]);
    let (all, everything) = listed(&["--limit", "0"]);
    assert_eq!((twenty, failed, none, all), (20, 100, 0, 10_001));
    assert!((195..=210).contains(&of_day), "{of_day}");
    let (_, shown) = ask(&["runs", "show", "0190aaaa-0000-7000-8000-000000000777"]);
    tell(&format!(
        "10 000 runs, unoptimised build: sync {first:.1} s, again {second:.1} s; runs list {newest:.2} s, --failed (100) {all_failed:.2} s, \
         --status crashed,partial (none) {nobody:.2} s, --since 1d {day:.2} s, all {everything:.2} s; runs show by id {shown:.2} s"
    ));
    // Far above what it takes, also unoptimised and on a busy machine.
    assert!(newest < 5.0 && all_failed < 15.0 && first < 120.0);
}
