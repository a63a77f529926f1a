//! Destinations that refuse, are full, are in use, or belong to somebody else.

use serde_json::{Value, json};

use super::failed;
use crate::fixture::mounts::privately;
use crate::fixture::{Database, Project, Running, postgres, script};

/// A scripted source of so many rows into a database of its own.
fn into(name: &str, selection: Value, reads: Value) -> (Database, Project) {
    let target = Database::new(name);
    let project = script::source(selection, reads);
    postgres::destination(&project, &target);
    project.edit(|config| config["connections"][0]["retries"] = json!(0));
    (target, project)
}

#[test]
fn a_destination_where_nothing_may_be_created() {
    let (target, project) = into("explain_no_create", json!({"name": "s"}), json!([script::whole(5)]));
    target.sql(
        "DROP ROLE IF EXISTS explain_writer; CREATE ROLE explain_writer LOGIN PASSWORD 'pw-of-the-writer';
         REVOKE ALL ON SCHEMA public FROM PUBLIC",
    );
    project.edit(|config| config["destinations"]["warehouse"]["user"] = json!("explain_writer"));
    project.secrets("[destination.warehouse.credentials]\npassword = \"pw-of-the-writer\"\n");
    project.run().exits(1);
    let said = failed(&project, "destination-permission", "permission", &["public", "destination"]);
    assert!(said.contains("GRANT"), "{said}");
    target.sql("DROP OWNED BY explain_writer; DROP ROLE explain_writer");
}

#[test]
fn a_table_of_somebody_else() {
    let (target, project) = into("explain_foreign", json!({"name": "s"}), json!([script::whole(5)]));
    target.sql("CREATE TABLE s (id bigint, mine text); INSERT INTO s VALUES (99, 'x')");
    project.run().exits(1);
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    let said = failed(&project, "foreign-table", &kind, &["table s exists", "Waybill did not create it"]);
    assert!(said.contains("on_existing: adopt"), "{said}");
}

#[test]
fn a_table_of_another_connection() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(5)]));
    project.run().exits(0);
    project.edit(|config| {
        let mut other = config["connections"][0].clone();
        other["name"] = json!("d");
        other.as_object_mut().unwrap().retain(|key, _| key != "id" && key != "state");
        config["connections"].as_array_mut().unwrap().push(other);
    });
    project.waybill(&["run", "d"]).exits(1);
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "table-of-another-connection", &kind, &["table s", "belongs to connection c"]);
}

#[test]
fn a_table_that_somebody_has_locked() {
    let reads = json!([script::whole(10), script::whole(20)]);
    let (target, project) = into("explain_dest_lock", script::by_cursor("append"), reads);
    project.run().exits(0);
    project.edit(|config| config["connections"][0]["stall_timeout_ms"] = json!(500));
    let mut other = target.server.interactive(&target.name);
    other.run("BEGIN");
    other.run("LOCK TABLE s IN EXCLUSIVE MODE");
    project.run().exits(75);
    let said = failed(&project, "destination-locked", "timeout", &["waited for a lock", "(psql) holds it"]);
    assert!(said.contains("pg_terminate_backend("), "{said}");
    assert!(said.contains("stall_timeout_ms: 300000 → 500"), "{said}");
}

#[test]
fn a_disk_that_is_full_under_the_destination() {
    privately(|mounts| {
        let project =
            script::source(script::by_cursor("append"), json!([script::whole(10), script::whole(40_000)]));
        let tiny = mounts.tiny(&project.path("data"), 1024);
        project.edit(|config| {
            config["destination"] = json!("local");
            config["destinations"] = json!({"local": {"type": "sqlite", "path": "data/target.db"}});
            config["connections"][0]["retries"] = json!(0);
        });
        let run = |words: &[&str]| {
            let mut command = project.command(words);
            tiny.before(&mut command);
            Running::start(&mut command).wait()
        };
        run(&["run", "c"]).exits(0);
        tiny.leave(8);
        let finished = run(&["run", "c"]);
        assert!([1, 75].contains(&finished.code), "{finished:?}");
        let said = failed(&project, "disk-full", "destination", &["full", "destination"]);
        assert!(said.contains("free some space on the disk"), "{said}");
    });
}

#[test]
fn rows_that_would_shrink_the_table_too_far() {
    let selection = json!({"name": "s", "max_shrink": 0.2});
    let project = script::source(selection, json!([script::whole(100), script::whole(20)]));
    project.run().exits(0);
    project.run().exits(1);
    let said = failed(&project, "max-shrink", "data", &["from 100 to 20 rows", "80 % fewer"]);
    assert!(said.contains("raise max_shrink"), "{said}");
}

#[test]
fn a_key_that_comes_twice() {
    let read = json!([{"do": "schema"}, {"do": "values", "rows": [[1, "a"], [2, "b"], [1, "c"]]},
                      {"do": "checkpoint"}, {"do": "complete"}]);
    let (_target, project) = into("explain_twice", json!({"name": "s"}), json!([read]));
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "duplicate-key", &kind, &["id", "s"]);
}

#[test]
fn a_row_without_its_key() {
    let read = json!([{"do": "schema"}, {"do": "values", "rows": [[1, "a"], [null, "b"]]},
                      {"do": "checkpoint"}, {"do": "complete"}]);
    let selection = json!({"name": "s", "mode": "incremental", "cursor": "id", "write": "merge"});
    let project = script::source(selection, json!([read]));
    project.run().exits(1);
    failed(&project, "null-key", "data", &["NULL", "id"]);
}

#[test]
fn a_value_that_a_constraint_of_the_table_refuses() {
    let (target, project) = into("explain_value", script::by_cursor("append"), json!([script::whole(5)]));
    target.sql("CREATE TABLE s (id bigint, note text CONSTRAINT no_row_3 CHECK (note <> 'row 3'), _waybill_run_id text)");
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["on_existing"] = json!("adopt"));
    project.run().exits(1);
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "value-refused", &kind, &["no_row_3", "destination"]);
}

#[test]
fn a_run_that_another_one_has_fenced_off() {
    let shared = tempfile::tempdir().unwrap();
    let held = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "touch", "path": "here"},
        {"do": "wait_for_file", "path": "go"}, {"do": "table", "from": 31, "to": 60, "batch": 10},
        {"do": "complete"}]);
    let clone = || {
        let project = script::source(script::by_cursor("append"), json!([held.clone()]));
        project.edit(|config| {
            config["connections"][0]["id"] = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0093");
            config["connections"][0]["retries"] = json!(0);
            config["destination"] = json!("local");
            config["destinations"] =
                json!({"local": {"type": "sqlite", "path": shared.path().join("shared.db")}});
        });
        project
    };
    let (first, second) = (clone(), clone());
    let running = first.start(&["run", "c"]);
    first.wait_for_file("here");
    second.file("go", "");
    second.run().exits(0);
    first.file("go", "");
    running.wait().exits(6);
    failed(&first, "fenced", "locked", &["took over the destination", "nothing more is written"]);
}

#[test]
fn a_state_that_the_destination_lost() {
    let project = script::source(script::by_cursor("append"), json!([script::whole(10), script::whole(20)]));
    project.run().exits(0);
    project.rows("DELETE FROM s");
    project.run().exits(1);
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    let said = failed(&project, "table-emptied", &kind, &["empty"]);
    assert!(said.contains("waybill state reset c --stream s"), "{said}");
}
