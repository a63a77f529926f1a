//! Changes that are committed between discovery and the read.

use serde_json::{Value, json};

use super::{changes, in_postgres, names, tables};
use crate::fixture::{Database, postgres, script, wait_until};

/// The streams of a project wait behind a transaction that changes all their tables; it commits
/// when every read stands before its table, whose columns discovery has seen as they were.
#[test]
fn what_changes_between_discovery_and_the_read_is_looked_at_again() {
    let modes = ["full", "append"];
    let (source, target) = (Database::new("during_in"), Database::new("during_out"));
    let streams = tables(&source, "evolve", &modes);
    let count = streams.len().to_string();
    let project = postgres::source(&source, Value::from(streams));
    postgres::destination(&project, &target);
    project.edit(|config| {
        let connection = &mut config["connections"][0];
        (connection["parallelism"], connection["retries"]) = (json!(64), json!(10));
    });
    project.run().exits(0);
    let mut open = source.server.interactive(&source.name);
    open.run(&format!("BEGIN; {}", changes(&modes).trim_end_matches(';')));
    let running = project.start(&["run", "c"]);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("every read", || source.sql(waiting) == count);
    open.run("COMMIT");
    running.wait().exits(5);
    let log = project.log();
    let (theirs, ours) = (in_postgres(&source, &modes), in_postgres(&target, &modes));
    for table in names(&modes) {
        let (theirs, ours, stream) = (&theirs[&table], &ours[&table], format!("public.{table}"));
        let finished =
            log.named("stream.finished").into_iter().find(|event| event["stream"] == stream.as_str());
        let error = finished.map(|event| event["error"].clone()).unwrap_or_default();
        if table.starts_with("rekeyed") {
            let said = error.to_string();
            assert!(said.contains("the primary key changed while") && said.contains("run again"), "{said}");
            assert_eq!(ours.len(), 10, "{table}");
            continue;
        }
        assert!(error.is_null(), "{table}: {error}");
        assert!(ours.keys().copied().eq(1..=11), "{table}: each row once");
        for (column, value) in &theirs[&11] {
            assert_eq!(ours[&11][column], *value, "{table}.{column}");
            if table.ends_with("full") {
                assert_eq!(ours[&5][column], theirs[&5][column], "{table}.{column}");
            }
        }
    }
}

#[test]
fn columns_that_a_source_sends_in_another_order_or_beside_others_are_taken_by_name() {
    let sent = json!({"extra": "text", "note": "text", "id": "int64"});
    let rows = json!([["extra1", "note1", 1], ["extra2", "note2", 2]]);
    for (policy, code) in [("evolve", 0), ("ignore", 0), ("freeze", 1)] {
        let read = json!([{"do": "schema", "columns": sent}, {"do": "values", "rows": rows}, {"do": "checkpoint"}, {"do": "complete"}]);
        let project = script::source(json!({"name": "s", "schema_policy": policy}), json!([read]));
        let finished = project.run().exits(code);
        match policy {
            "freeze" => drop(
                finished.says(&["columns came although they are frozen: extra", "schema_policy: evolve"]),
            ),
            "ignore" => {
                assert_eq!(project.rows("SELECT id, note FROM s ORDER BY id"), ["1|note1", "2|note2"])
            }
            _ => assert_eq!(
                project.rows("SELECT id, note, extra FROM s ORDER BY id"),
                ["1|note1|extra1", "2|note2|extra2"]
            ),
        }
    }
}
