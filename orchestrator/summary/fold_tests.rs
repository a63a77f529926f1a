use serde_json::json;
use waybill_protocol::event::{Level, Outcome, Phase};
use waybill_protocol::{Error, Kind, Origin};

use super::*;
use crate::summary::rebuild;
use crate::summary::scripted::{Script, commit, finished, floor, keys, loaded};

fn script(folder: &tempfile::TempDir) -> Script {
    Script::begin_with(
        &folder.path().join("log"),
        "0190-run",
        "crm",
        "here",
        crate::events::Redactor::new(),
        &[("log", "run_logs/x.jsonl"), ("rejects", "run_logs/x_rejects.jsonl")],
    )
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn network() -> Error {
    let cause = std::io::Error::other("os error 104");
    Error::new(Kind::Network, "connection reset").code("08006").origin(Origin::Source).cause(cause)
}

#[test]
fn a_run_that_succeeded_reads_well() {
    let folder = folder();
    let script = script(&folder);
    script.load("public.orders", 1_234_567);
    script.load("public.customers", 12);
    let summary = script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    assert_eq!(
        summary.report,
        [
            "crm succeeded: 1.2 M rows in 4.2 s (postgres → warehouse (sqlite))",
            "",
            "  public.customers     12 rows        6/s    300 B/s  2.0 s  2024-05-01 → 2024-05-09",
            "  public.orders     1.2 M rows  617 284/s  30.8 MB/s  2.0 s  2024-05-01 → 2024-05-09",
            "",
            "log: run_logs/x.jsonl",
        ]
    );
    assert_eq!((summary.status, summary.exit_code, summary.error), (RunStatus::Succeeded, Some(0), None));
    assert_eq!(summary.state["public.orders"], StateChange { before: Some(floor(1)), after: Some(floor(9)) });
    assert_eq!(summary.progress_counts["public.orders"], loaded(1_234_567));
    assert_eq!(summary.stats.total, Figures::new(1_234_579, 61_728_950, 4_250));
    assert_eq!(summary.versions["waybill"], "0.1.0");
    assert_eq!(summary.stats.peak_memory_bytes, 9 << 20);
}

#[test]
fn a_partial_run_names_the_first_cause_and_what_is_next() {
    let folder = folder();
    let script = script(&folder);
    script.load("a", 5);
    let dropped = script.start("b", false);
    let failed = Body::StreamAttemptFailed { slice: "b".to_owned(), counts: loaded(1) };
    let events = script.events.in_phase(Phase::Read).for_stream("b");
    events.for_attempt(1).emit(Level::Warn, failed, "attempt 1 failed", Some(network().record()));
    drop(dropped);
    let survived = script.start("b", false);
    script.events.for_stream("b").for_attempt(2).info(commit(9, None, false), "committed");
    let body = Body::StreamFinished { outcome: Outcome::Succeeded, counts: loaded(9), ms: 10, after: None };
    survived.finish(Level::Info, body, "loaded", None);
    let staged = script.start("c", true);
    script.tell("c", commit(70, None, true), "staged");
    Script::fail(staged, 70, network().hint("look at the server's log").record());
    let second = script.start("d", false);
    Script::fail(second, 0, Error::new(Kind::Data, "row 7 is no number").record());
    let summary = script.log.conclude(finished(Status::Partial, 5)).unwrap();
    assert_eq!(
        summary.report,
        [
            "crm is partial: 2 of 4 streams loaded, 14 rows in 4.2 s (postgres → warehouse (sqlite))",
            "",
            "  a  loaded  5 rows    3/s    125 B/s   2.0 s  2024-05-01 → 2024-05-09",
            "  b  loaded  9 rows  900/s  45.0 kB/s   10 ms  still at 2024-05-01, 2 attempts",
            "  c  FAILED  0 rows                    900 ms  still at 2024-05-01, 70 rows staged, the table is as it was",
            "  d  FAILED  0 rows                    900 ms  still at 2024-05-01",
            "",
            "error: c: connection reset (network, source, 08006)",
            "  because: os error 104",
            "  next: look at the server's log",
            "error: d: row 7 is no number (data)",
            "warning: b: attempt 1 failed",
            "warning: b: ended without an answer",
            "log: run_logs/x.jsonl",
        ]
    );
    let first = summary.error.unwrap();
    assert_eq!(
        (first.phase, first.error.stream.as_deref(), first.error.kind),
        (Some(Phase::Read), Some("c"), Kind::Network)
    );
    assert_eq!(keys(&summary.errors), ["c", "d"]);
    assert_eq!(summary.stats.streams["c"].rows_unpublished, 70);
    assert_eq!(summary.stats.total.rows, 14);
}

#[test]
fn a_check_that_failed_is_the_cause_also_where_the_steps_end_does_not_repeat_it() {
    let folder = folder();
    let script = script(&folder);
    let events = script.events.in_phase(Phase::Check);
    let span = events.span(Level::Info, Body::PhaseStarted {}, "checking");
    let failed = Body::ConnectionFailed { role: "source".to_owned(), target: "db:5432".to_owned() };
    events.emit(Level::Error, failed, "refused", Some(Error::new(Kind::Auth, "password refused").record()));
    span.end(Outcome::Failed, "check failed", None);
    let summary = script.log.conclude(finished(Status::Failed, 1)).unwrap();
    let first = summary.error.unwrap();
    assert_eq!((first.phase, first.error.message.as_str()), (Some(Phase::Check), "password refused"));
    assert!(summary.report[0].starts_with("crm failed in check after 4.2 s: nothing was loaded"));
    assert_eq!(summary.report[2], "next: when that is mended: waybill run crm");
    assert_eq!(keys(&summary.timings), ["check"]);
}

#[test]
fn the_signal_is_the_cause_of_a_cancelled_run() {
    let folder = folder();
    let script = script(&folder);
    let span = script.start("a", false);
    let body = Body::StreamFinished { outcome: Outcome::Cancelled, counts: loaded(3), ms: 5, after: None };
    span.finish(Level::Warn, body, "stopped", Some(Error::cancelled().record()));
    let mut end = finished(Status::Cancelled, 130);
    end.error = Some(Error::new(Kind::Cancelled, "SIGINT").record());
    let summary = script.log.conclude(end).unwrap();
    assert_eq!(summary.error.unwrap().error.message, "SIGINT");
    assert!(summary.report[0].starts_with("crm was cancelled after 4.2 s: 3 rows committed"));
    assert!(summary.report.contains(&"next: waybill run crm goes on from the last commit".to_owned()));
}

#[test]
fn rejected_rows_come_before_the_verdict() {
    let folder = folder();
    let script = script(&folder);
    let reject = |rows| Body::RowRejected { place: "a.csv:17".to_owned(), column: None, rows };
    script.events.for_stream("a").warn(reject(2), "2 rows are no numbers");
    script.events.for_stream("a").warn(reject(1), "2 rows are no numbers");
    script.load("a", 5);
    let summary = script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    assert_eq!(
        summary.report[0],
        "warning: 3 rows were rejected and not loaded, see run_logs/x_rejects.jsonl"
    );
    assert!(summary.report[1].starts_with("crm succeeded"));
    assert!(summary.report.contains(&"warning: a: 2 rows are no numbers (×2)".to_owned()));
    assert_eq!(summary.progress_counts["a"].rows_rejected, 3);
}

#[test]
fn warnings_are_bounded_and_counted() {
    let folder = folder();
    let script = script(&folder);
    for number in 0..150 {
        script.events.warn(Body::Runtime { detail: json!(null) }, format!("warning {number}"));
    }
    let summary = script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    assert_eq!((summary.warnings.len(), summary.warnings_total), (100, 150));
    assert!(
        summary.report.contains(&"… and 140 more warnings in the log".to_owned()),
        "{:?}",
        summary.report
    );
}

#[test]
fn a_killed_run_tells_at_least_what_was_committed_and_what_was_under_way() {
    let folder = folder();
    let script = script(&folder);
    let span = script.start("a", false);
    script.tell("a", commit(40, Some(floor(4)), false), "committed 40 rows");
    script.tell("a", commit(60, Some(floor(6)), false), "committed 60 rows");
    script.tell("a", Body::StreamProgress { counts: loaded(40) }, "an older count");
    // The process is killed: its guards never run.
    std::mem::forget(span);
    let path = script.kill();
    let whole = std::fs::read(&path).unwrap();
    for torn in [0, 1, 20] {
        std::fs::write(&path, [&whole, &b"{\"v\":1,\"seq\":99,\"ts\":\"2"[..torn]].concat()).unwrap();
        let summary = rebuild(&path).unwrap().summary();
        assert_eq!((summary.status, summary.exit_code), (RunStatus::Crashed, None));
        assert_eq!(summary.stats.streams["a"].figures.rows, 100);
        assert_eq!(summary.state["a"], StateChange { before: Some(floor(1)), after: Some(floor(6)) });
        let report = summary.report_text();
        assert!(report.starts_with("crm crashed: its log ends after "), "{report}");
        for part in [
            "at least 100 rows committed",
            "under way when it ended:\n  a: loading a (since ",
            "last events:\n",
            "committed 60 rows",
            "next: waybill run crm finds out what was committed",
        ] {
            assert!(report.contains(part), "{report}");
        }
        assert_eq!(report.contains("damaged log: its last line is torn"), torn > 0, "{report}");
        assert_eq!(summary.interrupted[0].stream.as_deref(), Some("a"));
    }
}

#[test]
fn a_log_cut_off_anywhere_gives_a_summary_that_claims_no_more_than_it_knows() {
    let folder = folder();
    let script = script(&folder);
    script.load("a", 100);
    script.load("b", 100);
    script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    script.log.finish();
    let whole = std::fs::read(&script.path).unwrap();
    let mut before = 0;
    for cut in (0..whole.len() - 1).step_by(7).chain([whole.len() - 1, whole.len()]) {
        let mut fold = Fold::default();
        crate::events::Reader::new(&whole[..cut]).for_each(|entry| fold.apply_entry(&entry));
        let summary = fold.summary();
        let complete = cut >= whole.len() - 1;
        assert_eq!(summary.status == RunStatus::Succeeded, complete, "cut at {cut}");
        assert!(summary.rows() >= before && summary.rows() <= 200, "cut at {cut}");
        before = summary.rows();
    }
    assert_eq!(before, 200);
}

#[test]
fn a_state_that_was_cut_is_not_told_as_if_it_were_whole() {
    let folder = folder();
    let script = script(&folder);
    script.tell("a", commit(1, Some(json!({"data": "x".repeat(100_000)})), false), "committed");
    let summary = script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    assert_eq!(summary.state["a"].after, Some(json!("too large for the event log")));
    script.log.finish();
}

#[test]
fn the_schema_names_what_a_summary_has() {
    let folder = folder();
    let script = script(&folder);
    script.load("a", 1);
    let summary = script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    let schema = crate::summary::schema().to_value();
    for member in serde_json::to_value(&summary).unwrap().as_object().unwrap().keys() {
        assert!(schema["properties"].get(member).is_some(), "{member}");
    }
    let stream = &schema["$defs"]["StreamStats"]["properties"];
    for member in serde_json::to_value(&summary.stats.streams["a"]).unwrap().as_object().unwrap().keys() {
        assert!(stream.get(member).is_some(), "{member}");
    }
}

#[test]
fn a_span_that_was_dropped_takes_no_counts_back_and_nothing_follows_the_end() {
    let folder = folder();
    let script = script(&folder);
    let span = script.start("a", false);
    script.tell("a", Body::StreamProgress { counts: loaded(50) }, "half");
    drop(span);
    let summary = script.log.conclude(finished(Status::Failed, 70)).unwrap();
    assert_eq!(summary.progress_counts["a"], loaded(50));
    assert_eq!(summary.stats.streams["a"].outcome, Some(Outcome::Interrupted));
    script.log.finish();
    let mut fold = rebuild(&script.path).unwrap();
    let line = r#"{"seq":99,"ts":"2026-01-02T03:04:05Z","event":"x","level":"warn","message":"late"}"#;
    fold.apply(&Line::parse(line.as_bytes()).unwrap());
    assert_eq!(fold.summary(), summary);
}
