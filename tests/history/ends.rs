//! What is written as a run ends.

use serde_json::json;

use super::{content, kept, picture, stands};
use crate::fixture::{Database, Project, postgres, script};
use crate::server::PASSWORD;

#[test]
fn each_run_is_kept_as_its_summary_says_and_nothing_is_warned_about() {
    let database = Database::new("history_each");
    let project = kept(&database);
    for words in [&["run", "c"][..], &["headless", "c"]] {
        let finished = project.waybill(words).exits(0);
        stands(&database, &project);
        assert_eq!(project.summary()["warnings_total"], 0, "{finished:?}");
        project.nowhere(PASSWORD, &["secrets.toml"], &finished);
    }
    let started = project.log().first();
    assert_eq!(
        started["data"]["settings"]["history"],
        json!({"value": "warehouse", "origin": "config.json"})
    );
    let row = "SELECT connection, status, exit_code, rows_loaded, source, destination, error_kind IS NULL, warnings, \
               options->>'full_refresh', finished_at >= started_at, seconds > 0, version IS NOT NULL \
               FROM waybill_runs ORDER BY started_at LIMIT 1";
    assert_eq!(database.sql(row), "c|succeeded|0|3|files|local (sqlite)|t|0|false|t|t|t");
    let stream = "SELECT stream, table_name, sync_mode, write_mode, outcome, rows_read, rows_loaded, rows_skipped, \
                  rows_rejected, attempts, commits > 0, error_kind IS NULL FROM waybill_run_streams LIMIT 1";
    assert_eq!(database.sql(stream), "a|a|full_refresh|overwrite|succeeded|3|3|0|0|1|t|t");
    assert!(!picture(&database).contains(PASSWORD));
    // What is there is the comment of the column, for whoever looks at it with psql.
    let said = "SELECT col_description('waybill_runs'::regclass, attnum) FROM pg_attribute \
                WHERE attrelid = 'waybill_runs'::regclass AND attname = 'exit_code'";
    assert_eq!(database.sql(said), "What the process exited with; NULL for a run that never said");
}

#[test]
fn a_run_that_fails_is_kept_with_its_first_cause_and_its_events() {
    let database = Database::new("history_failed");
    let fails = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10},
                       {"do": "fail", "kind": "auth", "message": "the token \u{0} has ended"}]);
    let project = script::source(script::by_cursor("append"), json!([fails]));
    super::keep_at(&project, database.settings());
    project.run().exits(1);
    stands_but_for_nul(&database, &project);
    let row = "SELECT status, exit_code, error_kind, error_phase, error_stream FROM waybill_runs";
    assert_eq!(database.sql(row), "failed|1|auth|read|s");
    let stream = "SELECT outcome, error_kind, error_message LIKE 'the token%' FROM waybill_run_streams";
    assert_eq!(database.sql(stream), "failed|auth|t");
    let events = project.log().lines.into_iter().filter(|line| {
        ["warn", "error"].contains(&line["level"].as_str().unwrap()) && line["event"] != "run.finished"
    });
    let expected: Vec<String> =
        events.map(|line| format!("{}|{}", line["seq"], line["event"].as_str().unwrap())).collect();
    assert!(expected.len() > 1, "{expected:?}");
    let sql = "SELECT seq, event FROM waybill_run_events ORDER BY seq";
    assert_eq!(database.sql(sql), expected.join("\n"));
    let sql = "SELECT count(*) > 0 FROM waybill_run_events WHERE error->>'kind' = 'auth' AND stream = 's'";
    assert_eq!(database.sql(sql), "t");
    // And written again from the disk it is the same.
    let before = content(&database);
    super::forget(&database);
    project.waybill(&["history", "sync"]).exits(0).says(&["1 written"]);
    assert_eq!(content(&database), before);
}

/// A jsonb holds no NUL: another character stands there.
fn stands_but_for_nul(database: &Database, project: &Project) {
    let stored = database.sql("SELECT summary FROM waybill_runs");
    let summary = project.summary().to_string().replace("\\u0000", "\u{fffd}");
    let (stored, summary): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&stored).unwrap(), serde_json::from_str(&summary).unwrap());
    assert_eq!(stored, summary);
}

#[test]
fn no_secret_reaches_the_tables_though_the_source_says_it_aloud() {
    let database = Database::new("history_secret");
    let secret = PASSWORD;
    let says = format!("login as me:{secret} failed");
    let fails = json!([{"do": "schema"}, {"do": "fail", "kind": "auth", "message": says}]);
    let project = script::source(json!({"name": "s"}), json!([fails]));
    super::keep_at(&project, database.settings());
    let finished = project.run().exits(1);
    project.nowhere(secret, &["secrets.toml", "source.json"], &finished);
    let held = picture(&database);
    assert!(!held.contains(secret) && held.contains("[redacted]"), "{held}");
    super::forget(&database);
    project.waybill(&["history", "sync"]).exits(0);
    assert!(!picture(&database).contains(secret));
}

#[test]
fn of_a_run_that_leaked_a_secret_the_events_stay_here_and_the_warning_brings_it_back_nowhere() {
    let database = Database::new("history_leaked");
    let secret = "c0rrect-horse-battery";
    let (a, b) = secret.split_at(9);
    let read = json!([{"do": "schema"}, {"do": "output", "chunks": [format!("x {a}"), format!("{b} y")]},
                      {"do": "rows", "from": 1, "count": 3}, {"do": "checkpoint"}, {"do": "complete"}]);
    let project = script::source(json!({"name": "s"}), json!([read, read]));
    super::keep_at(&project, database.settings());
    let held = std::fs::read_to_string(project.path("secrets.toml")).unwrap();
    project.secrets(&format!("[sources.c]\ntoken = '{secret}'\n{held}"));
    project.run().exits(70);
    let row = "SELECT status, exit_code, error_kind, events_left_out > 0, (SELECT count(*) FROM waybill_run_events) FROM waybill_runs";
    assert_eq!(database.sql(row), "failed|70|internal|t|0");
    stands(&database, &project);
    assert!(!picture(&database).contains(a), "{}", picture(&database));
    // The end is told twice where the history is away: both times without it.
    project.edit(|config| config["destinations"]["warehouse"]["port"] = json!(crate::server::free_port()));
    project.run().exits(70);
    let text = super::summary_text(&project);
    assert!(
        text.contains("this run is not in the run history") && !text.contains(secret) && !text.contains(a),
        "{text}"
    );
}

#[test]
fn a_destination_may_keep_the_history_of_what_is_loaded_into_it() {
    let database = Database::new("history_same");
    database.sql("CREATE SCHEMA src; CREATE TABLE src.t (id bigint PRIMARY KEY); INSERT INTO src.t SELECT generate_series(1, 50)");
    let stream = json!({"name": "src.t", "mode": "incremental", "cursor": "id", "schema": "copy"});
    let project = postgres::source(&database, json!([stream]));
    postgres::destination(&project, &database);
    project.edit(|config| config["history"] = json!("warehouse"));
    project.run().exits(0);
    stands(&database, &project);
    database.sql("INSERT INTO src.t SELECT generate_series(51, 60)");
    project.run().exits(0);
    stands(&database, &project);
    let state = "SELECT state_before->'ceiling'->>'value', state_after->'ceiling'->>'value' FROM waybill_run_streams s \
                 JOIN waybill_runs r USING (run_id) ORDER BY r.started_at";
    assert_eq!(database.sql(state), "|50\n50|60");
    // The password was resolved once.
    let named = project
        .log()
        .named("secret.resolved")
        .iter()
        .filter(|line| line["data"]["name"] == "destination.warehouse.credentials.password")
        .count();
    assert_eq!(named, 1);
}

#[test]
fn a_config_that_names_no_place_for_it_is_refused_with_the_path() {
    let database = Database::new("history_config");
    let project = kept(&database);
    for (named, parts) in [
        (
            json!("local"),
            &["history: destination \"local\" is of type sqlite", "set it to one of: warehouse"][..],
        ),
        (json!("warehose"), &["history: no destination \"warehose\"", "did you mean \"warehouse\""]),
        (json!(7), &["history: "]),
    ] {
        project.edit(|config| config["history"] = named.clone());
        project.run().exits(3).says(parts);
        project.waybill(&["config", "validate"]).exits(3).says(parts);
        project.waybill(&["doctor", "--offline"]).exits(3).says(parts);
    }
    assert!(project.logs().is_empty());
    project.edit(|config| drop(config.as_object_mut().unwrap().remove("history")));
    project.waybill(&["history", "sync"]).exits(3).says(&["\"history\": \"NAME\""]);
    project.edit(|config| config["history"] = json!("warehouse"));
    project
        .waybill(&["destination", "remove", "warehouse"])
        .exits(3)
        .says(&["keeps the run history", "--force"]);
    project.waybill(&["destination", "remove", "warehouse", "--force"]).exits(0);
    assert!(project.config().get("history").is_none());
    project.run().exits(0);
}

/// A second connection of the same project, for commands that run several.
fn twice(project: &Project) {
    project.edit(|config| {
        let mut second = config["connections"][0].clone();
        second["name"] = json!("d");
        second["schema"]["streams"][0]["table"] = json!("b");
        second.as_object_mut().unwrap().remove("id");
        config["connections"].as_array_mut().unwrap().push(second);
    });
}

#[test]
fn doctor_and_gate_look_at_it_and_let_the_runs_go_on_without_it() {
    let database = Database::new("history_doctor");
    let project = kept(&database);
    let doctor = || {
        let report = project.waybill(&["doctor", "--output", "json"]).exits(0).json();
        let found = report["findings"].as_array().unwrap().iter();
        let ours = found.filter(|finding| finding["what"] == "history warehouse (postgres)");
        ours.map(|finding| {
            format!("{}: {}", finding["level"].as_str().unwrap(), finding["detail"].as_str().unwrap())
        })
        .collect::<Vec<_>>()
        .join("\n")
    };
    assert_eq!(doctor(), "ok: the first run makes the tables");
    assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'waybill%'"), "0");
    project.run().exits(0);
    assert!(doctor().starts_with("ok: 2; 1 runs, the newest of 20"), "{}", doctor());
    twice(&project);
    let finished = project.waybill(&["run", "--all"]).exits(0);
    assert!(
        finished.err.contains("tested before the first run: 2 sources and 1 destination in"),
        "{finished:?}"
    );
    assert!(!finished.err.contains("run history"), "{finished:?}");
    database.sql("UPDATE waybill_history SET version = 99");
    assert!(doctor().starts_with("warning: the run history in 127.0.0.1:"), "{}", doctor());
    let finished = project.waybill(&["run", "--all"]).exits(0);
    assert!(
        finished.err.contains("the run history cannot be written: ") && finished.err.contains("history sync"),
        "{finished:?}"
    );
}
