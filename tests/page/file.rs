//! The page as a file: where it goes, what it replaces, and of which runs it can be made.

use super::{page, partial, well};
use crate::fixture::{Project, script};

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let (project, path) = page();
    std::fs::write(&path, "mine").unwrap();
    project
        .waybill(&["runs", "report", "-o", "page.html"])
        .exits(3)
        .says(&["page.html is there already", "--force"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    let said = project.waybill(&["runs", "report", "-o", "page.html", "--force"]).exits(0);
    assert_eq!(said.out.trim(), path.canonicalize().unwrap().display().to_string());
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("<!DOCTYPE html>"));
    project.waybill(&["runs", "report", "-o", "."]).exits(3).says(&["is a folder", "-o ./report.html"]);
    project.waybill(&["runs", "report", "-o", "none/page.html"]).exits(3).says(&["none"]);
    project.waybill(&["runs", "report", "nothing"]).exits(1).says(&["no run is meant"]);
    let answer = project.waybill(&["runs", "report", "--output", "json"]).exits(0).json();
    assert_eq!(
        answer["path"].as_str().unwrap(),
        project.path("report.html").canonicalize().unwrap().to_str().unwrap()
    );
}

#[test]
fn on_standard_output_it_is_the_page_and_nothing_else() {
    let project = partial();
    project.run().exits(5);
    let said = project.waybill(&["runs", "report", "c", "-o", "-"]).exits(0);
    assert!(said.out.starts_with("<!DOCTYPE html>") && said.out.ends_with("</html>\n"));
    assert_eq!(said.err, "");
    assert!(said.out.len() < 300_000, "{}", said.out.len());
}

fn cut(project: &Project, keep: usize, torn: &str) {
    let log = project.log().path;
    let text = std::fs::read_to_string(&log).unwrap();
    let mut lines: Vec<&str> = text.lines().take(keep).collect();
    lines.push(torn);
    std::fs::write(&log, lines.join("\n")).unwrap();
    project.summaries().iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[test]
fn of_a_killed_run_it_says_what_is_known_and_what_is_not() {
    let project = script::source(script::by_cursor("append"), well());
    project.run().exits(0);
    let begun = project.log().lines.iter().position(|line| line["event"] == "checkpoint.committed").unwrap();
    let torn = "{\"v\":1,\"seq\":4711,\"ts\":\"20";
    cut(&project, begun + 1, torn);
    let damage = format!("the last line is torn ({} bytes of it)", torn.len());
    let page = project.start(&["runs", "report", "-o", "-"]).wait().exits(0).out;
    for part in [
        "<span class=\"badge crashed\">crashed</span>",
        "It ends without run.finished",
        &damage,
        "Under way when the log ended",
        "never ended",
        "class=\"open\"",
        "≥ ",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn without_its_log_it_has_what_the_summary_tells() {
    let project = partial();
    project.run().exits(5);
    std::fs::remove_dir_all(project.path("run_logs")).unwrap();
    let page = project.start(&["runs", "report", "-o", "-"]).wait().exits(0).out;
    for part in
        ["The event log is gone", "badge partial", "public.orders", "connection reset again", "not there"]
    {
        assert!(page.contains(part), "{part}");
    }
}
