//! What goes wrong there is a warning of the run, and nothing else.

use std::net::TcpListener;

use serde_json::json;

use super::{kept, kept_at, picture, stands, summary_text, warnings};
use crate::fixture::{Database, Project, wait_until};
use crate::server::{PgServer, free_port};

/// Asserts that the run succeeded with the warning in its log, its summary and what was printed.
#[track_caller]
fn warned(project: &Project, words: &[&str], parts: &[&str]) {
    let finished = project.waybill(words).exits(0);
    let (summary, log) = (project.summary(), project.log());
    assert_eq!((&summary["status"], &summary["exit_code"]), (&json!("succeeded"), &json!(0)));
    let told = log
        .lines
        .iter()
        .filter(|line| line["level"] == "warn" && line["data"]["detail"]["history"] == "warehouse");
    let told: Vec<String> = told.map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(log.ended());
    for part in
        parts.iter().chain(&["this run is not in the run history (warehouse): ", "waybill history sync"])
    {
        assert!(told[0].contains(part), "no {part:?} in {}", told[0]);
        assert!(warnings(&summary).contains(part), "no {part:?} in {}", summary["warnings"]);
    }
    let said = format!("{}{}", finished.out, finished.err);
    assert!(said.contains("this run is not in the run history"), "{said}");
    assert_eq!(project.value("SELECT count(*) FROM a"), "3");
}

#[test]
fn a_server_that_is_away_leaves_a_warning_and_the_sync_catches_up() {
    let database = Database::new("history_away");
    let project = kept(&database);
    let port = project.config()["destinations"]["warehouse"]["port"].clone();
    project.edit(|config| config["destinations"]["warehouse"]["port"] = json!(free_port()));
    warned(&project, &["run", "c"], &["refuses connections"]);
    warned(&project, &["headless", "c"], &["refuses connections"]);
    project.waybill(&["history", "sync"]).exits(75).says(&["refuses connections"]);
    project.edit(|config| config["destinations"]["warehouse"]["port"] = port);
    project.waybill(&["history", "sync"]).exits(0).says(&["2 runs on disk, 2 written, 0 there already"]);
    stands(&database, &project);
    // The warning that it was not there is there, as an event of the run.
    let sql =
        "SELECT count(*) FROM waybill_run_events WHERE message LIKE 'this run is not in the run history%'";
    assert_eq!(database.sql(sql), "2");
    let before = picture(&database);
    project.waybill(&["history", "sync"]).exits(0).says(&["0 written, 2 there already"]);
    assert_eq!(picture(&database), before);
}

#[test]
fn a_server_that_never_answers_holds_a_run_for_some_seconds_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let project =
        kept_at(json!({"host": "127.0.0.1", "port": port, "database": "x", "user": "me", "tls": "disable"}));
    warned(&project, &["run", "c"], &["it did not answer within 5 s"]);
    drop(listener);
}

#[test]
fn a_lock_on_the_tables_holds_a_run_for_some_seconds_only() {
    let database = Database::new("history_locked");
    let project = kept(&database);
    project.run().exits(0);
    let mut open = database.server.interactive(&database.name);
    open.run("BEGIN; LOCK TABLE waybill_runs");
    warned(&project, &["run", "c"], &["lock timeout", "pg_locks"]);
    open.run("ROLLBACK");
    project.waybill(&["history", "sync"]).exits(0).says(&["1 written, 1 there already"]);
}

#[test]
fn a_role_without_rights_is_told_the_grant_that_it_needs() {
    let database = Database::new("history_rights");
    let server = database.server;
    let role = "history_clerk";
    server.psql(
        &database.name,
        &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'clerk-of-the-history'"),
    );
    let mut settings = database.settings();
    settings["user"] = json!(role);
    let project = kept_at(settings);
    project.secrets("[destination.warehouse.credentials]\npassword = 'clerk-of-the-history'\n");
    // It may not even make the tables.
    database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let create = format!("GRANT USAGE, CREATE ON SCHEMA public TO \\\"{role}\\\"");
    warned(&project, &["run", "c"], &["permission denied for schema public", &create]);
    let grant = format!("GRANT USAGE, CREATE ON SCHEMA public TO \"{role}\"");
    project.waybill(&["doctor"]).exits(4).says(&["may not create tables in schema public", &grant]);
    database.sql(&format!("GRANT USAGE, CREATE ON SCHEMA public TO {role}"));
    project.waybill(&["history", "sync"]).exits(0).says(&["1 written"]);
    // Somebody else made them, and gave no rights.
    database.sql("ALTER TABLE waybill_runs OWNER TO postgres; ALTER TABLE waybill_run_streams OWNER TO postgres; \
                  ALTER TABLE waybill_run_events OWNER TO postgres; ALTER TABLE waybill_history OWNER TO postgres");
    let grant = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON waybill_runs, waybill_run_streams, waybill_run_events, waybill_history TO \\\"{role}\\\""
    );
    warned(&project, &["run", "c"], &["permission denied for table waybill_history", &grant]);
    project.waybill(&["doctor"]).exits(0).says(&["may not write the tables of the run history"]);
    database.sql(&grant.replace('\\', ""));
    project.run().exits(0);
    stands(&database, &project);
    project.waybill(&["history", "sync"]).exits(0).says(&["3 runs on disk, 1 written, 2 there already"]);
}

#[test]
fn a_reference_that_cannot_be_followed_is_told_at_once_and_stops_nothing() {
    let database = Database::new("history_reference");
    let project = kept(&database);
    project.secrets("[destination.warehouse.credentials]\npassword = { env = 'NOT_SET' }\n");
    warned(&project, &["run", "c"], &["NOT_SET is not set"]);
    let log = project.log();
    let told = log.lines.iter().find(|line| line["data"]["detail"]["history"] == "warehouse").unwrap();
    assert_eq!(told["phase"], "resolve");
}

#[test]
fn a_run_that_is_stopped_at_once_does_not_wait_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let project =
        kept_at(json!({"host": "127.0.0.1", "port": port, "database": "x", "user": "me", "tls": "disable"}));
    let running = project.start(&["run", "c"]);
    // The summary is there before the history is asked.
    wait_until("the summary", || !project.summaries().is_empty());
    running.signal("INT");
    running.signal("INT");
    running.wait().exits(0);
    assert_eq!(project.summary()["status"], "succeeded");
    assert!(project.log().ended());
    project.log().check_against(&project.summaries()[0]);
    assert!(summary_text(&project).contains("this run is not in the run history"));
}

#[test]
fn a_run_that_is_killed_while_it_is_written_is_whole_on_disk_and_written_later() {
    let server = PgServer::shared();
    let database = Database::new("history_killed");
    let project = kept(&database);
    project.run().exits(0);
    let mut open = server.interactive(&database.name);
    open.run("BEGIN; LOCK TABLE waybill_runs");
    let running = project.start(&["run", "c"]);
    wait_until("the summary", || project.summaries().len() == 2);
    running.signal("KILL");
    running.wait().exits(137);
    open.run("ROLLBACK");
    assert!(!project.log().ended());
    let list = project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
    assert_eq!(list["runs"][0]["status"], "succeeded", "an existing summary wins over a missing last line");
    project.waybill(&["history", "sync"]).exits(0);
    stands(&database, &project);
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT status) FROM waybill_runs"), "2|1");
}
