//! `runs show` of real runs.

use serde_json::json;

use crate::fixture::{Project, Screen, one_connection, script};

#[test]
fn a_run_is_shown_with_its_phases_streams_state_and_artifacts() {
    let project = script::source(script::by_cursor("merge"), json!([script::whole(50), script::whole(70)]));
    (0..2).for_each(|_| drop(project.run().exits(0)));
    let shown = project.waybill(&["runs", "show"]).exits(0).says(&[
        "c succeeded: ",
        "PHASES",
        "STREAM",
        "state 50 → 70",
    ]);
    for phase in ["resolve", "check", "discover", "plan", "read", "merge"] {
        let line = shown
            .out
            .lines()
            .find(|line| line.starts_with(phase))
            .unwrap_or_else(|| panic!("no {phase}: {shown:?}"));
        assert!(["█", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].iter().any(|bar| line.contains(bar)), "{line}");
    }
    let (log, summary) = (project.log().path, project.summaries().pop().unwrap());
    for path in [log, summary] {
        assert!(shown.out.contains(&format!(" {}\n", path.display())), "{shown:?}");
    }
    // The report's own table and log line are not said twice.
    assert_eq!(shown.out.matches("50 → 70").count(), 1, "{shown:?}");
    assert_eq!(shown.out.matches("_events.jsonl").count(), 1, "{shown:?}");
    assert!(shown.out.lines().all(|line| line == line.trim_end()), "{shown:?}");
    assert!(!shown.out.contains('\u{1b}'), "no colours where nobody looks");
    for query in ["last", "-1", "c"] {
        assert_eq!(project.waybill(&["runs", "show", query]).exits(0).out, shown.out);
    }
    let json = project.waybill(&["runs", "show", "--output", "json"]).exits(0).json();
    assert_eq!(json, project.summary());
}

#[test]
fn a_failed_run_shows_its_first_error_with_what_to_do() {
    let project =
        Project::new(one_connection("files", json!({"streams": [{"name": "a", "path": "nowhere.csv"}]})));
    project.run().exits(1);
    let shown = project.waybill(&["runs", "show"]).exits(0).says(&["FAILED", "exit 1"]);
    let at = |text: &str| shown.out.find(text).unwrap_or_else(|| panic!("no {text}: {shown:?}"));
    let order = [
        "c failed in plan",
        "error: a: nowhere.csv does not exist",
        "next: look whether",
        "PHASES",
        "STREAM",
    ];
    assert!(order.map(at).is_sorted(), "{shown:?}");
}

#[test]
fn on_a_narrow_terminal_every_line_of_a_table_fits() {
    let project = script::source(script::by_cursor("merge"), json!([script::whole(50)]));
    project.run().exits(0);
    for columns in [60, 80] {
        let text = Screen::open(&project.command(&["runs", "show"]), 50, columns).ends(0);
        let table = text.split("PHASES").nth(1).unwrap().split("log ").next().unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= usize::from(columns)), "{columns}: {text}");
        assert!(table.contains("STREAM") && table.contains("LOADED"), "{columns}: {text}");
    }
}
