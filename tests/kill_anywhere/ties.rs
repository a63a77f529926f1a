//! Rows that share few values of the cursor, in batches of 1 to 5, a kill between any two of them.

use std::fs;

use serde_json::json;

use super::every_of;
use crate::fixture::shim::{Shim, calls};
use crate::fixture::{Database, Project, Running, postgres, script};

const ROWS: i64 = 200;
/// So many rows share a value of the cursor, far more than are in a batch.
const SHARED: i64 = 41;

/// A stream whose rows are committed batch by batch. Without a key, two rows each are the same.
fn stream(write: &str, keyed: bool, batch: i64) -> Project {
    let ties = json!({"cursor": SHARED, "row": if keyed { 1 } else { 2 }});
    let reads = json!([[{"do": "schema"}, {"do": "table", "from": 1, "to": ROWS, "batch": batch, "ties": ties},
                        {"do": "complete"}]]);
    let key = if keyed { json!(["id"]) } else { json!([]) };
    let stream = json!({"name": "s", "columns": {"id": "int64", "tick": "int64", "note": "text"}, "primary_key": key,
                        "cursor": "tick", "reads": reads});
    let selection = json!({"name": "s", "mode": "incremental", "cursor": "tick", "write": write});
    script::streams(json!([selection]), json!([stream]))
}

/// Every column of every row.
fn expected(keyed: bool) -> Vec<String> {
    let number = |n: i64| if keyed { n } else { (n + 1) / 2 };
    let mut rows: Vec<_> =
        (1..=ROWS).map(|n| format!("{0} {1} row {0}", number(n), (n - 1) / SHARED)).collect();
    rows.sort();
    rows
}

fn found(project: &Project, database: Option<&Database>) -> Vec<String> {
    let sql = "SELECT id || ' ' || tick || ' ' || note FROM s";
    let mut rows = match database {
        Some(database) => database.sql(sql).lines().map(str::to_owned).collect(),
        None => project.rows(sql),
    };
    rows.sort();
    rows
}

/// What a test does before each point to have an empty destination.
struct Case {
    project: Project,
    keyed: bool,
    database: Option<Database>,
}

impl Case {
    fn run(&self, kill_at: Option<(u64, bool)>) -> (Project, Running) {
        let project = self.project.copy();
        if let Some(database) = &self.database {
            database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        }
        let mut command = project.command(&["run", "c"]);
        let (kill_at, torn) = kill_at.map_or((None, false), |(at, torn)| (Some(at), torn));
        Shim { kill_at, torn, no_sync: true }.before(&mut command, Some(&project.path("calls")));
        let running = Running::start(&mut command);
        (project, running)
    }

    fn kill(&self, at: u64, torn: bool) -> bool {
        let (project, running) = self.run(Some((at, torn)));
        if running.wait().code == 0 {
            return false;
        }
        let report = fs::read_to_string(project.path("calls")).unwrap_or_default();
        let place = format!("killed at {}", report.lines().last().unwrap_or_default());
        project.run().exits(0);
        assert_eq!(found(&project, self.database.as_ref()), expected(self.keyed), "{place}");
        let windowed = "SELECT count(*) FROM _waybill_window";
        let known = match &self.database {
            Some(database) => database.sql(windowed),
            None => project.value(windowed),
        };
        assert!(known.parse::<i64>().unwrap() <= SHARED, "{place}: {known} identities are kept");
        true
    }
}

fn killed(name: &str, case: &Case, step: usize, offset: usize) {
    let (project, running) = case.run(None);
    running.wait().exits(0);
    assert_eq!(found(&project, case.database.as_ref()), expected(case.keyed));
    // Not in the log alone: what stands in it is tried elsewhere.
    let counted = calls(&project.path("calls"));
    let points: Vec<_> = (1u64..).zip(&counted).filter(|(_, call)| !call.what.contains("_events")).collect();
    every_of(name, &points, step, offset, |(at, call)| case.kill(*at, call.bytes > 1 && at % 2 == 0));
}

fn of(write: &str, keyed: bool, batch: i64) -> Case {
    Case { project: stream(write, keyed, batch), keyed, database: None }
}

#[test]
fn ties_are_appended_once() {
    for batch in [1, 2, 3, 5] {
        let name = format!("ties appended in batches of {batch}");
        killed(&name, &of("append", true, batch), 90 / batch as usize, batch as usize);
    }
}

#[test]
fn ties_of_rows_that_are_the_same_are_appended_as_often_as_they_are_there() {
    for batch in [1, 3, 4] {
        let name = format!("the same rows in batches of {batch}");
        killed(&name, &of("append", false, batch), 90 / batch as usize, 7);
    }
}

#[test]
fn ties_are_merged_once() {
    for batch in [1, 4] {
        let name = format!("ties merged in batches of {batch}");
        killed(&name, &of("merge", true, batch), 90 / batch as usize, 11);
    }
}

#[test]
fn ties_are_appended_and_merged_once_in_postgres() {
    for (write, batch) in [("append", 5), ("merge", 4)] {
        let database = Database::new(&format!("kill_ties_{write}"));
        let case = Case { database: Some(database), ..of(write, true, batch) };
        let Some(database) = &case.database else { continue };
        postgres::destination(&case.project, database);
        killed(&format!("ties, {write} into postgres"), &case, 70, 3);
    }
}
