//! One point: the run is killed there, what it left is looked at, and the next run completes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::route::{Route, shape};
use super::rows::{TABLES, Target};
use crate::fixture::project::copy_folder;
use crate::fixture::record::{Log, files_below};
use crate::fixture::shim::{Call, Shim};
use crate::fixture::{Project, Running};

/// Where a run is killed: before its n-th call, or in the middle of what that writes.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub at: u64,
    pub torn: bool,
}

/// Every point of a run.
pub fn points(calls: &[Call], wanted: impl Fn(&Call) -> bool) -> Vec<Point> {
    let mut points = Vec::new();
    for (at, call) in (1u64..).zip(calls) {
        if !wanted(call) {
            continue;
        }
        points.push(Point { at, torn: false });
        if ["write", "send"].contains(&call.name.as_str()) && call.bytes > 1 {
            points.push(Point { at, torn: true });
        }
    }
    points
}

/// Kills a run there; says whether it lived that long.
pub fn kill(route: &Route, point: Point) -> bool {
    let project = route.start();
    let mut command = project.command(&["run", "c"]);
    let shim = Shim { kill_at: Some(point.at), torn: point.torn, no_sync: true };
    shim.before(&mut command, Some(&project.path("calls")));
    let killed = Running::start(&mut command).wait();
    let last = fs::read_to_string(project.path("calls")).unwrap_or_default();
    fs::remove_file(project.path("calls")).expect("there is a report");
    let call = last.lines().last().unwrap_or_default().to_owned();
    let place = format!("killed at {point:?} of {}: {call}", route.calls.len());
    if killed.code == 0 {
        return false;
    }
    assert_eq!(killed.code, 137, "{place}: {killed:?}");
    let dead = left_behind(route, &project, &place);
    let known = counts(route, &project);
    let next = project.run();
    assert_eq!(next.code, 0, "{place}: the next run: {next:?}");
    completed(route, &project, dead.as_ref(), &known, &place);
    true
}

/// What a killed run leaves is old or new, and says that it crashed.
fn left_behind(route: &Route, project: &Project, place: &str) -> Option<Value> {
    let config = shape(&project.config());
    assert!(route.configs.contains(&config), "{place}: {config}");
    for backup in files_below(&project.path("backups")) {
        if temporary(&backup) {
            continue;
        }
        let text = fs::read(&backup).expect("a backup is readable");
        let _: Value = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{place}: {backup:?}: {e}"));
    }
    let begun: Vec<_> = project.logs().into_iter().filter(|log| !log.lines.is_empty()).collect();
    begun.iter().for_each(Log::check);
    let logs = files_below(&project.path("run_logs")).iter().filter(|path| !temporary(path)).count();
    let list = project.start(&["runs", "list", "--output", "json"]).wait().exits(0).json();
    let runs = list["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), logs, "{place}: {list}");
    let dead = runs.first().filter(|_| runs.len() > usize::from(route.later)).cloned()?;
    // The last line may have been on its way when the run was killed: then it had ended.
    let ended = dead["summary_path"].is_string();
    assert_eq!(dead["status"], if ended { "succeeded" } else { "crashed" }, "{place}: {list}");
    whole_or_untouched(route, project, &dead, place);
    Some(dead)
}

/// A reader sees the old table or the new one; and a run never counts what is not there.
fn whole_or_untouched(route: &Route, project: &Project, dead: &Value, place: &str) {
    // Looking at a database may repair it: that is left to the next run.
    let look = Project::new(serde_json::json!({}));
    copy_folder(project.dir(), look.dir());
    for table in TABLES {
        let (now, before, after) =
            (route.target.rows(&look, table), route.before(table), route.expected(table));
        // A table may have been made and not been filled yet.
        let none = |rows: &Option<Vec<String>>| rows.as_ref().is_none_or(Vec::is_empty);
        let old = now == before || (none(&now) && none(&before));
        assert!(old || now.as_ref() == Some(&after), "{place}: {table} holds {now:?}");
    }
    let (said, there) =
        (dead["rows"].as_u64(), route.target.rows_of(&look, dead["run_id"].as_str().unwrap_or_default()));
    assert!(said.is_some_and(|said| said <= there), "{place}: {said:?} rows said, {there} are there");
}

/// Rows in each table.
fn counts(route: &Route, project: &Project) -> Vec<u64> {
    let look = Project::new(serde_json::json!({}));
    copy_folder(project.dir(), look.dir());
    let rows = |table: &str| route.target.rows(&look, table).map_or(0, |rows| rows.len() as u64);
    TABLES.iter().map(|table| rows(table)).collect()
}

/// After the next run everything is there, once, and nothing else.
fn completed(route: &Route, project: &Project, dead: Option<&Value>, known: &[u64], place: &str) {
    for table in TABLES {
        let found = route.target.rows(project, table);
        assert_eq!(found.as_deref(), Some(&route.expected(table)[..]), "{place}: {table}");
    }
    let left = route.target.leftovers(project);
    assert!(left.is_empty(), "{place}: left behind: {left:?}");
    let files: Vec<_> = files_below(project.dir()).into_iter().filter(|path| temporary(path)).collect();
    assert!(files.is_empty(), "{place}: left behind: {files:?}");
    let summary = project.summary();
    assert_eq!((&summary["status"], &summary["exit_code"]), (&"succeeded".into(), &0.into()), "{place}");
    let loaded = |at: usize| {
        let counts = summary["progress_counts"].as_object().expect("streams");
        let (_, counts) = counts.iter().find(|(name, _)| name.ends_with(TABLES[at])).expect("a stream");
        counts["rows_loaded"].as_u64().expect("a number")
    };
    assert_eq!(loaded(0), route.expected(TABLES[0]).len() as u64, "{place}: {summary}");
    // A commit that was sent before the kill may have taken place after the look.
    let exact = matches!(route.target, Target::Sqlite);
    let added = route.expected(TABLES[1]).len() as u64 - known[1];
    assert!(loaded(1) == added || !exact && loaded(1) < added, "{place}: {summary}");
    // One killed before it could say that it started has no summary, and is listed all the same.
    if let Some(dead) = dead.filter(|dead| dead["presumed"] != true) {
        let path = project.summaries().into_iter().find(|path| read(path)["run_id"] == dead["run_id"]);
        let path = path.unwrap_or_else(|| panic!("{place}: no summary of {dead}"));
        assert_eq!(read(&path)["status"], dead["status"], "{place}");
    }
}

fn temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".tmp") || name.starts_with(".waybill") || name.contains(".waybill-")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a summary")).expect("a summary is JSON")
}
