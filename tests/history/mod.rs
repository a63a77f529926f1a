//! The run history: each run is written as it ends, nothing that goes wrong there touches the run, and
//! what is missing can be written later. The lists and reports of the runs on disk.

mod away;
mod catch_up;
mod ends;
mod layout;
mod listed;
mod many;
mod shown;

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, one_connection, postgres};

/// A project whose connection `c` reads a file into the embedded destination, and whose runs are
/// kept in a database.
fn kept(database: &Database) -> Project {
    kept_at(database.settings())
}

/// The same for a database that is reached so.
fn kept_at(settings: Value) -> Project {
    let streams = json!([{"name": "a", "path": "a.csv"}]);
    let project = Project::new(one_connection("files", json!({"streams": streams})));
    project.file("a.csv", "id,note\n1,x\n2,y\n3,z\n");
    keep_at(&project, settings);
    project
}

/// Has the runs of a project kept in a database.
fn keep_at(project: &Project, settings: Value) {
    project.edit(|config| {
        config["destinations"] = json!({"local": {"type": "sqlite", "path": "waybill.db"}});
    });
    postgres::destination_at(project, "warehouse", settings);
    project.edit(|config| {
        config["destination"] = json!("local");
        config["history"] = json!("warehouse");
    });
}

/// The warnings of a run.
fn warnings(summary: &Value) -> String {
    summary["warnings"].to_string()
}

/// What the tables hold of every run: enough to tell that a second writing changed nothing.
fn picture(database: &Database) -> String {
    let sql = "SELECT (SELECT string_agg(r::text, E'\\n' ORDER BY run_id) FROM waybill_runs r), \
               (SELECT string_agg(s::text, E'\\n' ORDER BY run_id, stream) FROM waybill_run_streams s), \
               (SELECT string_agg(e::text, E'\\n' ORDER BY run_id, seq) FROM waybill_run_events e)";
    database.sql(sql)
}

/// What the tables hold of every run, but when it was written.
fn content(database: &Database) -> String {
    let sql = "SELECT (SELECT string_agg((to_jsonb(r) - 'written_at')::text, E'\\n' ORDER BY run_id) FROM waybill_runs r), \
               (SELECT string_agg(s::text, E'\\n' ORDER BY run_id, stream) FROM waybill_run_streams s), \
               (SELECT string_agg(e::text, E'\\n' ORDER BY run_id, seq) FROM waybill_run_events e)";
    database.sql(sql)
}

/// Asserts that the newest run of a project stands in the history as its summary says.
#[track_caller]
fn stands(database: &Database, project: &Project) {
    let summary = project.summary();
    let run_id = summary["run_id"].as_str().unwrap();
    let stored = database.sql(&format!("SELECT summary FROM waybill_runs WHERE run_id = '{run_id}'"));
    let stored: Value = serde_json::from_str(&stored).unwrap_or_else(|e| panic!("{e}: {stored}"));
    assert_eq!(stored, summary);
}

/// Removes every run of a project from the history.
fn forget(database: &Database) {
    database.sql("DELETE FROM waybill_runs");
}

/// The newest summary of a project as text.
fn summary_text(project: &Project) -> String {
    fs::read_to_string(project.summaries().pop().expect("there is a summary")).expect("it is text")
}
