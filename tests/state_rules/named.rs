//! A connection is its id: names may change, ids may not meet, and streams leave each other alone.

use serde_json::json;

use super::{crosswise, on_both};
use crate::fixture::incremental;

#[test]
fn a_connection_that_is_renamed_by_hand_keeps_its_state_and_tables() {
    crosswise("renamed", |ground| {
        ground.runs_by("3");
        ground.add(11, 20);
        ground.project.edit(|config| config["connections"][0]["name"] = json!("customers"));
        ground.project.waybill(&["run", "customers"]).exits(0);
        assert_eq!(ground.reconciled()["data"]["rule"], "5");
        ground.exactly(20);
        ground.project.waybill(&["run", "c"]).exits(3).says(&["customers"]);
        let list = ground.project.waybill(&["runs", "list", "--output", "json"]).exits(0).json();
        let ids: Vec<_> = list["runs"].as_array().unwrap().iter().map(|run| &run["connection_id"]).collect();
        assert_eq!(ids[0], ids[1]);
    });
}

#[test]
fn two_entries_with_one_id_are_an_error_that_names_both() {
    on_both("copied", "append", |ground| {
        ground.runs_by("3");
        ground.project.edit(|config| {
            let mut copy = config["connections"][0].clone();
            copy["name"] = json!("copy_of_c");
            config["connections"].as_array_mut().unwrap().push(copy);
        });
        for name in ["c", "copy_of_c"] {
            ground.project.waybill(&["run", name]).exits(3).says(&["\"c\"", "\"copy_of_c\"", "id"]);
        }
        ground.exactly(10);
        // Without the line it gets an id of its own, and a table of its own.
        ground.project.edit(|config| {
            let copy = config["connections"][1].as_object_mut().unwrap();
            copy.shift_remove("id");
            copy.shift_remove("state");
            copy["schema"]["streams"][0]["table"] = json!("t_too");
        });
        ground.project.waybill(&["run", "copy_of_c"]).exits(0);
        assert_eq!(ground.target("SELECT count(*) FROM t_too"), "10");
        ground.runs_by("5");
        ground.exactly(10);
    });
}

fn two(ground: &super::Ground) {
    ground.source("CREATE TABLE u AS SELECT * FROM t");
    ground.project.edit(|config| {
        let streams = config["connections"][0]["schema"]["streams"].as_array_mut().unwrap();
        let write = streams[0]["write"].clone();
        streams.push(incremental("u", json!({"cursor": "id", "primary_key": ["id"], "write": write})));
    });
}

#[test]
fn two_streams_of_one_connection_never_share_a_table() {
    on_both("shared_table", "append", |ground| {
        two(ground);
        let second = |table| {
            ground
                .project
                .edit(|config| config["connections"][0]["schema"]["streams"][1]["table"] = json!(table));
        };
        // Where the names meet before anything was loaded, each gets one of its own.
        ground.select("table", json!("x"));
        second("x");
        ground.project.run().exits(0);
        let tables = match &ground.target {
            Some(_) => "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'x\\_%'",
            None => {
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE 'x\\_%' ESCAPE '\\'"
            }
        };
        assert_eq!(ground.target(tables), "2");
    });
    crosswise("taken_table", |ground| {
        two(ground);
        ground.project.run().exits(0);
        ground.project.edit(|config| config["connections"][0]["schema"]["streams"][1]["table"] = json!("t"));
        for words in [vec!["run", "c"], vec!["run", "c", "--stream", "u"]] {
            ground.project.waybill(&words).says(&["is loaded by stream", "a table of its own"]);
            ground.exactly(10);
        }
    });
}

#[test]
fn a_table_that_is_called_otherwise_from_now_on_is_a_decision() {
    crosswise("other_table", |ground| {
        ground.runs_by("3");
        ground.add(11, 20);
        ground.select("table", json!("t_new"));
        ground.refuses(1, &["into table", "t_new", "the 10 rows loaded so far are in table", "reset"]);
        ground.set_entry(json!({"reset": "r1"}));
        ground.runs_by("1");
        assert_eq!(ground.target("SELECT count(*) FROM t_new"), "20");
        ground.runs_by("5");
        assert_eq!(ground.target("SELECT count(*) FROM t_new"), "20");
    });
}

#[test]
fn one_stream_alone_leaves_the_others_as_they_were() {
    crosswise("alone", |ground| {
        two(ground);
        ground.project.run().exits(0);
        let other = || {
            let row = ground.target("SELECT value, based_on, run_id, commit_id, rows FROM _waybill_state WHERE scope = 'stream:u'");
            (ground.project.state("u"), row, ground.target("SELECT count(*) FROM u"))
        };
        let before = other();
        ground.add(11, 20);
        ground.source("INSERT INTO u SELECT * FROM t WHERE id > 10; DELETE FROM t WHERE id = 5");
        ground.project.waybill(&["run", "c", "--stream", "t"]).exits(0);
        assert_eq!(other(), before, "{}", ground.name);
        ground.exactly(20);
        ground.project.waybill(&["run", "c", "--stream", "t", "--full-refresh"]).exits(0);
        assert_eq!(other(), before, "{}", ground.name);
        ground.holds(19, 19, 20);
        assert_eq!(ground.entry()["cursor"], 20);
        ground.runs_by("5");
        ground.holds(19, 19, 20);
        assert_eq!(ground.target("SELECT count(*) || '|' || count(DISTINCT id) FROM u"), "20|20");
    });
}
