//! `runs events`: nested, filtered, and honest about what is wrong with a log.

use super::partial;
use crate::fixture::{Finished, Project, script};
use serde_json::json;

fn events(project: &Project, more: &[&str]) -> Finished {
    let words: Vec<&str> = ["runs", "events", "last"].iter().chain(more).copied().collect();
    project.start(&words).wait().exits(0)
}

/// Spaces between the time and the rest of the first line that has a text.
#[track_caller]
fn inset(out: &str, text: &str) -> usize {
    let line = out.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text}: {out}"));
    let rest = &line[9..];
    rest.len() - rest.trim_start().len() - 2
}

#[test]
fn lines_are_moved_in_under_their_span() {
    let project = partial();
    project.run().exits(5);
    let out = events(&project, &["--level", "debug"]).out;
    for (text, depth) in [
        ("run of c started", 0),
        ("plan …", 0),
        ("public.orders  first load", 1),
        ("public.orders  incremental merge", 1),
        ("public.orders  warning: connection reset", 2),
        ("public.items  40 rows loaded", 1),
        ("public.broken  committed 3 rows", 2),
        ("run partial", 0),
    ] {
        assert_eq!(inset(&out, text), depth * 2, "{text}: {out}");
    }
    assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}') && !out.contains('\u{7}'));
    let coloured = events(&project, &["--color", "always"]).out;
    assert!(coloured.contains("\u{1b}[31merror: \u{1b}[0m"), "{coloured}");
}

#[test]
fn filters_by_phase_and_text_find_what_is_meant() {
    let project = partial();
    project.run().exits(5);
    let log = project.log();
    let count = |more: &[&str]| {
        events(&project, more)
            .out
            .lines()
            .filter(|line| {
                !line.starts_with("    ") || line.starts_with("    0.") || line.starts_with("    1.")
            })
            .count()
    };
    let of = |fits: &dyn Fn(&serde_json::Value) -> bool| log.lines.iter().filter(|line| fits(line)).count();
    assert_eq!(count(&["--phase", "plan", "--level", "debug"]), of(&|line| line["phase"] == "plan"));
    let two = count(&["--phase", "plan", "--phase", "publish", "--level", "debug"]);
    assert_eq!(two, of(&|line| line["phase"] == "plan" || line["phase"] == "publish"));
    assert_eq!(count(&["--text", "RESET AGAIN"]), 1);
    // A text is found in the data of an event of any level.
    let slice = events(&project, &["--text", "items 2", "--event", "slice.planned"]).out;
    assert!(slice.contains("slice items 2"), "{slice}");
    assert_eq!(count(&["--text", "no such thing"]), 0);
    project.waybill(&["runs", "events", "--phase", "lunch"]).exits(2).says(&["a step is one of load"]);
}

#[test]
fn raw_lines_are_those_of_the_log() {
    let project = partial();
    project.run().exits(5);
    // What a newer program adds is not lost.
    let log = project.log().path;
    let text =
        std::fs::read_to_string(&log).unwrap().replacen("{\"v\":1,\"seq\":2,", "{\"v\":9,\"seq\":2,", 1);
    let text = text.replacen("\"data\":{}}", "\"data\":{},\"mood\":\"good\"}", 1);
    std::fs::write(&log, &text).unwrap();
    assert_eq!(events(&project, &["--raw"]).out, text);
    assert_eq!(events(&project, &["--output", "json"]).out, text);
    let planned = events(&project, &["--raw", "--text", "ITEMS 2", "--event", "slice.*"]).out;
    let expected: Vec<&str> =
        text.lines().filter(|line| line.contains("slice.planned") && line.contains("items 2")).collect();
    assert_eq!(planned.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn torn_and_missing_lines_are_shown_in_their_place() {
    let project = script::source(script::by_cursor("append"), super::well());
    project.run().exits(0);
    let log = project.log().path;
    let text = std::fs::read_to_string(&log).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let read = lines.iter().position(|line| line.contains("stream.started")).unwrap();
    lines.truncate(read + 1);
    // Two lines are gone, one was written half, one is no line, and the last one is torn.
    let half = lines[2][..lines[2].len() - 7].to_owned();
    lines[2] = half;
    lines.drain(4..6);
    lines.insert(5, "\u{0}\u{0}\u{0}".to_owned());
    std::fs::write(&log, lines.join("\n") + "\n{\"v\":1,\"seq\":99,\"ts\":\"2026-").unwrap();
    project.summaries().iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let out = events(&project, &[]).out;
    for part in [
        "… line 3 cannot be read: no JSON object",
        "… 2 lines are missing (5 to 6)",
        "… line 6 cannot be read",
        "… torn line (27 bytes)",
        "interrupted: incremental append into s (since ",
        "interrupted: read … (since ",
        "… the log ends here, without run.finished",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    // Of a step whose end cannot be read the next one tells that it ended.
    assert_eq!(out.matches("interrupted:").count(), 2, "{out}");
    assert!(out.find("line 3 cannot") < out.find("2 lines are missing"), "{out}");
    // Whoever parses the lines gets lines.
    let raw = events(&project, &["--raw"]);
    assert!(
        raw.out.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{}",
        raw.out
    );
    assert!(raw.err.contains("the log: torn line (27 bytes)"), "{}", raw.err);
    // A filter says nothing of spans that it does not want.
    let other = events(&project, &["--stream", "other"]).out;
    assert!(!other.contains("interrupted:"), "{other}");
}

#[test]
fn what_is_under_way_in_a_run_that_goes_on_is_said_and_followed_to_its_end() {
    let reads = json!([[{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "touch", "path": "here"},
                        {"do": "wait_for_file", "path": "go"}, {"do": "checkpoint"}, {"do": "complete"}]]);
    let project = script::source(json!({"name": "s"}), reads);
    let running = project.start(&["run", "c"]);
    project.wait_for_file("here");
    project.wait_for_event("stream.started", "s");
    let out = events(&project, &[]).out;
    assert!(out.contains("under way: read … (since ") && !out.contains("interrupted"), "{out}");
    let follower = project.start(&["runs", "events", "c", "--follow", "--text", "LOADED"]);
    project.file("go", "");
    running.wait().exits(0);
    let followed = follower.wait().exits(0);
    assert!(followed.out.contains("5 rows loaded"), "{} {}", followed.out, followed.err);
    assert!(!followed.out.contains("interrupted") && followed.err.is_empty(), "{}", followed.err);
}
