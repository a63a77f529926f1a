//! Changes that are committed between discovery and the read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CHANGES, Held, MODES, changes, source_columns, source_values, tables};
use crate::fixture::{Database, postgres, script, wait_until};

/// The streams of a project wait behind a transaction that changes all their tables; it commits
/// when every read stands before its table, whose columns discovery has seen as they were.
#[test]
fn what_changes_between_discovery_and_the_read_is_looked_at_again() {
    for into_postgres in [false, true] {
        let to = if into_postgres { "pg" } else { "lite" };
        let source = Database::new(&format!("during_{to}_in"));
        let streams = tables(&source, "evolve");
        let count = streams.len();
        let project = postgres::source(&source, Value::from(streams));
        project.edit(|config| config["connections"][0]["parallelism"] = json!(64));
        let target = into_postgres.then(|| Database::new(&format!("during_{to}_out")));
        if let Some(target) = &target {
            postgres::destination(&project, target);
        }
        project.run().exits(0);
        let mut open = source.server.interactive(&source.name);
        open.run(&format!("BEGIN; {}", changes().trim_end_matches(';')));
        let running = project.start(&["run", "c"]);
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_until("every read", || source.sql(waiting) == count.to_string());
        open.run("COMMIT");
        running.wait().exits(5);
        let log = project.log();
        let held = Held { project: &project, target: target.as_ref() };
        for change in &CHANGES {
            for mode in MODES {
                let table = format!("{}_{mode}", change.name);
                let stream = format!("public.{table}");
                let finished = log
                    .named("stream.finished")
                    .into_iter()
                    .find(|event| event["stream"] == stream.as_str())
                    .unwrap();
                if change.name == "rekeyed" {
                    let said = finished["error"].to_string();
                    assert!(
                        said.contains("the primary key changed while") && said.contains("run again"),
                        "{said}"
                    );
                    assert_eq!(held.values(&table, "id").len(), 10, "{table}");
                    continue;
                }
                assert!(finished["error"].is_null(), "{table}: {finished}");
                let now = source_columns(&source, &table);
                let columns = held.columns(&table);
                assert!(now.iter().all(|column| columns.contains(column)), "{table}: {columns:?}");
                for column in now {
                    let (ours, theirs) =
                        (held.values(&table, &column), source_values(&source, &table, &column));
                    let row = |values: &[(i64, String)]| {
                        values.iter().find(|(id, _)| *id == 11).map(|(_, v)| v.clone())
                    };
                    assert_eq!(row(&ours), row(&theirs), "{table}.{column}");
                    assert_eq!(ours.len(), 11, "{table}.{column}");
                    if mode == "full" {
                        let (ours, theirs): (BTreeMap<_, _>, BTreeMap<_, _>) =
                            (ours.into_iter().collect(), theirs.into_iter().collect());
                        assert_eq!(ours, theirs, "{table}.{column}");
                    }
                }
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
