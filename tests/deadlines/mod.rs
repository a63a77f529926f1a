//! What takes too long is ended, said, and followed by a system that still works; what is at work may
//! take as long as it takes.

mod bounded;
mod sqlite;
mod stopped;
mod working;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, wait_until};

/// Sets policies of connection `c`.
fn set(project: &Project, policies: Value) {
    project.edit(|config| {
        for (key, value) in policies.as_object().expect("an object") {
            config["connections"][0][key] = value.clone();
        }
    });
}

/// How many statements of the program are at work in a database, or wait there.
fn at_work(database: &Database) -> String {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state <> 'idle' AND application_name LIKE '%waybill%'",
        database.name
    );
    database.server.psql("postgres", &sql)
}

/// Waits until nothing of the program is left at the server: a statement that was given up is
/// cancelled there at once, or when the server hears of it.
fn nothing_left(database: &Database) {
    wait_until("the end of the statements", || at_work(database) == "0");
}

/// The error of the newest run, which has to be a retryable one of time.
#[track_caller]
fn out_of_time(project: &Project) -> Value {
    let error = project.summary()["error"].clone();
    assert_eq!((&error["kind"], &error["retryable"]), (&json!("timeout"), &json!(true)), "{error}");
    error
}

/// Whether an event of the newest run says something.
fn said(project: &Project, what: &str) -> bool {
    project.log().lines.iter().any(|line| line["message"].as_str().is_some_and(|m| m.contains(what)))
}
