//! CSV and JSONL into SQLite: every mode, exact rows, and what the record says about them.

use serde_json::json;

use crate::fixture::{Project, incremental, one_connection};

fn project(streams: serde_json::Value) -> Project {
    Project::new(one_connection("files", json!({"streams": streams})))
}

#[test]
fn a_full_refresh_loads_everything_and_a_second_run_replaces_it() {
    let project = project(json!([{"name": "cities", "path": "cities.csv", "primary_key": ["id"]}]));
    project.file(
        "cities.csv",
        "id,name,height,since\n1,Zürich,408.5,1218-01-01\n2,\"São, Paulo\",760.0,\n3,,,\n",
    );
    project.run().exits(0);
    let all = "SELECT id, name, height, since FROM cities ORDER BY id";
    assert_eq!(project.rows(all), ["1|Zürich|408.5|1218-01-01", "2|São, Paulo|760|NULL", "3|NULL|NULL|NULL"]);
    let summary = project.summary();
    assert_eq!(summary["status"], "succeeded");
    assert_eq!(summary["exit_code"], 0);
    assert_eq!(summary["progress_counts"]["cities"]["rows_loaded"], 3);
    assert_eq!(project.value("SELECT count(DISTINCT _waybill_run_id) FROM cities"), "1");
    assert_eq!(json!(project.value("SELECT DISTINCT _waybill_run_id FROM cities")), summary["run_id"]);

    project.file("cities.csv", "id,name,height,since\n7,Kraków,219.0,1257-06-05\n");
    project.run().exits(0);
    assert_eq!(project.rows(all), ["7|Kraków|219|1257-06-05"]);
    assert_eq!(project.summaries().len(), 2);
}

#[test]
fn jsonl_grows_by_its_tail_and_only_new_rows_move() {
    let stream = incremental(
        "events",
        json!({"path": "events.jsonl", "on_change": "tail", "write": "merge", "primary_key": ["id"]}),
    );
    let project = project(json!([stream]));
    project
        .file("events.jsonl", "{\"id\": 1, \"what\": \"a\"}\n{\"id\": 2, \"what\": \"b\"}\n{\"id\": 3, \"wh");
    project.run().exits(0);
    assert_eq!(project.rows("SELECT id, what FROM events ORDER BY id"), ["1|a", "2|b"]);
    project.append("events.jsonl", "at\": \"c\"}\n{\"id\": 1, \"what\": \"again\"}\n");
    project.run().exits(0);
    assert_eq!(project.rows("SELECT id, what FROM events ORDER BY id"), ["1|again", "2|b", "3|c"]);
    assert_eq!(project.summary()["progress_counts"]["events"]["rows_loaded"], 2);
    project.run().exits(0);
    assert_eq!(project.summary()["progress_counts"]["events"]["rows_loaded"], 0);
    assert_eq!(project.state("events")["cursor"], json!({"files": 1, "rows": 4}));
}

#[test]
fn append_adds_each_file_once() {
    let stream = incremental("log", json!({"path": "in/*.csv", "write": "append"}));
    let project = project(json!([stream]));
    project.file("in/1.csv", "n\n1\n2\n");
    project.run().exits(0);
    project.file("in/2.csv", "n\n2\n3\n");
    project.run().exits(0);
    project.run().exits(0);
    assert_eq!(project.rows("SELECT n FROM log ORDER BY n"), ["1", "2", "2", "3"]);
}

#[test]
fn a_changed_file_fails_or_is_loaded_again_as_its_policy_says() {
    for (policy, code, rows) in [("fail", 1, ["1", "2"]), ("reload", 0, ["5", "6"])] {
        let stream = incremental("log", json!({"path": "in/*.csv", "write": "append", "on_change": policy}));
        let project = project(json!([stream]));
        project.file("in/1.csv", "n\n1\n2\n");
        project.run().exits(0);
        project.file("in/1.csv", "n\n5\n6\n");
        let finished = project.run().exits(code);
        assert_eq!(finished.err.contains("in/1.csv") || finished.err.contains("1.csv"), code == 1);
        assert_eq!(project.rows("SELECT n FROM log ORDER BY n"), rows, "{policy}");
    }
}

#[test]
fn one_bad_stream_does_not_stop_the_others() {
    let project = project(json!([
        {"name": "good", "path": "good.csv"},
        {"name": "bad", "path": "bad.csv"},
        {"name": "fine", "path": "fine.jsonl"}
    ]));
    project.file("good.csv", "n\n1\n");
    project.file("bad.csv", "a,b\n1,2\n1,2,3\n");
    project.file("fine.jsonl", "{\"n\": 1}\n");
    project.run().exits(5).says(&["bad.csv:3"]);
    assert_eq!(
        (project.value("SELECT n FROM good"), project.value("SELECT n FROM fine")),
        ("1".into(), "1".into())
    );
    assert_eq!(project.value("SELECT count(*) FROM sqlite_schema WHERE name = 'bad'"), "0");
    let summary = project.summary();
    assert_eq!(summary["status"], "partial");
    assert_eq!(summary["error"]["stream"], "bad");
    assert_eq!(summary["errors"]["bad"]["kind"], "data");
}

#[test]
fn many_streams_are_loaded_side_by_side_exactly() {
    let names: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
    let project = project(
        names
            .iter()
            .map(|name| json!({"name": name, "path": format!("{name}.csv")}))
            .collect::<Vec<_>>()
            .into(),
    );
    for (at, name) in names.iter().enumerate() {
        let rows: String = (0..(at * 700)).map(|n| format!("{n},x{n}\n")).collect();
        project.file(&format!("{name}.csv"), format!("n,t\n{rows}"));
    }
    project.run().exits(0);
    for (at, name) in names.iter().enumerate() {
        assert_eq!(project.value(&format!("SELECT count(DISTINCT n) FROM {name}")), (at * 700).to_string());
    }
}

#[test]
fn a_new_column_and_a_wider_type_are_taken_in() {
    let stream = incremental("rows", json!({"path": "in/*.jsonl", "write": "merge", "primary_key": ["id"]}));
    let project = project(json!([stream]));
    project.file("in/1.jsonl", "{\"id\": 1, \"n\": 5}\n");
    project.run().exits(0);
    project.file("in/2.jsonl", "{\"id\": 2, \"n\": \"five\", \"more\": true}\n");
    project.run().exits(0);
    assert_eq!(project.rows("SELECT id, n, more FROM rows ORDER BY id"), ["1|5|NULL", "2|five|1"]);
    assert_eq!(project.value("SELECT typeof(n) FROM rows WHERE id = 1"), "text");
    let changed = project.log().named("schema.changed").len();
    assert!(changed > 0, "the log says that the columns changed");
}

#[test]
fn a_frozen_schema_fails_instead() {
    let more = json!({"path": "in/*.jsonl", "write": "append", "schema_policy": "freeze"});
    let project = project(json!([incremental("rows", more)]));
    project.file("in/1.jsonl", "{\"id\": 1}\n");
    project.run().exits(0);
    project.file("in/2.jsonl", "{\"id\": 2, \"more\": 1}\n");
    project.run().exits(1).says(&["more"]);
    assert_eq!(project.summary()["error"]["kind"], "schema");
    assert_eq!(project.rows("SELECT * FROM rows").len(), 1);
}

#[test]
fn names_that_differ_by_case_only_get_tables_and_columns_of_their_own() {
    let project = project(json!([{"name": "Orders", "path": "a.csv"}, {"name": "orders", "path": "b.csv"}]));
    project.file("a.csv", "Id,id,ID\n1,2,3\n");
    project.file("b.csv", "n\n9\n");
    project.run().exits(0);
    let tables = project.rows(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND lower(name) LIKE 'orders%' ORDER BY name",
    );
    assert_eq!(tables.len(), 2, "{tables:?}");
    let wide = tables
        .iter()
        .find(|table| project.rows(&format!("SELECT * FROM \"{table}\""))[0].starts_with("1|2|3"));
    assert!(wide.is_some(), "{tables:?}");
    // The mapping is kept, not made anew.
    project.run().exits(0);
    let again = project.rows(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND lower(name) LIKE 'orders%' ORDER BY name",
    );
    assert_eq!(again, tables);
}

#[test]
fn a_limit_or_another_selection_moves_no_state() {
    let stream = incremental("log", json!({"path": "in/*.csv", "write": "merge", "primary_key": ["n"]}));
    let project = project(json!([stream, {"name": "other", "path": "other.csv"}]));
    project.file("in/1.csv", "n\n1\n2\n3\n");
    project.file("other.csv", "n\n1\n");
    project.waybill(&["run", "c", "--stream", "other"]).exits(0);
    assert_eq!(project.value("SELECT count(*) FROM sqlite_schema WHERE name = 'log'"), "0");
    project.waybill(&["run", "c", "--stream", "log", "--limit", "2"]).exits(0);
    assert_eq!(project.rows("SELECT n FROM log ORDER BY n"), ["1", "2"]);
    assert!(project.state("log").is_null());
    project.run().exits(0);
    assert_eq!(project.rows("SELECT n FROM log ORDER BY n"), ["1", "2", "3"]);
}

#[test]
fn a_table_that_somebody_made_is_not_overwritten() {
    let project = project(json!([{"name": "mine", "path": "mine.csv"}]));
    project.file("mine.csv", "n\n1\n");
    project.rows("CREATE TABLE mine (precious TEXT)");
    project.rows("INSERT INTO mine VALUES ('kept')");
    project.run().exits(1).says(&["mine", "adopt"]);
    assert_eq!(project.rows("SELECT * FROM mine"), ["kept"]);
}

#[test]
fn an_emptied_table_is_refused_until_a_person_decides() {
    let stream = incremental("log", json!({"path": "in/*.csv", "write": "append"}));
    let project = project(json!([stream]));
    project.file("in/1.csv", "n\n1\n2\n");
    project.run().exits(0);
    project.rows("DELETE FROM log");
    project.run().exits(1).says(&["reset", "accept"]);
    project.waybill(&["state", "reset", "c", "--stream", "log"]).exits(0);
    project.run().exits(0);
    assert_eq!(project.rows("SELECT n FROM log ORDER BY n"), ["1", "2"]);
    project.rows("DELETE FROM log");
    project.waybill(&["state", "accept", "c", "--stream", "log"]).exits(0);
    project.file("in/2.csv", "n\n3\n");
    project.run().exits(0);
    assert_eq!(project.rows("SELECT n FROM log ORDER BY n"), ["3"]);
}

#[test]
fn a_config_from_git_that_lost_its_state_adopts_the_destination() {
    let stream = incremental("log", json!({"path": "in/*.csv", "write": "append"}));
    let project = project(json!([stream]));
    project.file("in/1.csv", "n\n1\n");
    project.run().exits(0);
    project.edit(|config| {
        config["connections"][0].as_object_mut().unwrap().remove("state");
    });
    project.file("in/2.csv", "n\n2\n");
    project.run().exits(0);
    assert_eq!(project.rows("SELECT n FROM log ORDER BY n"), ["1", "2"]);
}
