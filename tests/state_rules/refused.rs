//! Rules 2, 3 and 4: what a person must decide is refused, with both ways on.

use serde_json::json;

use super::{Ground, crosswise, on_both};

#[test]
fn a_state_that_belongs_to_something_else_is_refused_until_accepted_or_reset() {
    crosswise("print", |ground| {
        ground.runs_by("3");
        ground.add(11, 20);
        ground.select("where", json!("id % 2 = 0"));
        let both =
            ["accept: continues from 10", "reset: loads about 10 rows again", "waybill state accept c"];
        ground.refuses(1, &both);
        // Twice the same: it does not go away by itself.
        ground.refuses(1, &both);
        ground.set_entry(json!({"accept": "a1", "cursor": 10}));
        ground.runs_by("1");
        ground.holds(15, 15, 20);
        ground.runs_by("5");
        ground.holds(15, 15, 20);
        // The other way on.
        ground.select("where", json!("id % 5 = 0"));
        ground.refuses(1, &["reset: loads about"]);
        ground.set_entry(json!({"reset": "r1"}));
        ground.runs_by("1");
        ground.holds(4, 4, 20);
        assert_eq!(ground.entry()["cursor"], 20);
        ground.runs_by("5");
        ground.holds(4, 4, 20);
    });
}

#[test]
fn a_cursor_of_another_type_cannot_be_accepted() {
    crosswise("other_type", |ground| {
        ground.runs_by("3");
        ground.add(11, 20);
        ground.select("cursor", json!("v"));
        ground.refuses(1, &["belongs to another source, cursor"]);
        ground.set_entry(json!({"accept": "a1", "cursor": 10}));
        ground.refuses(1, &["10 is of type int", "waybill state reset c --stream t"]);
        ground.set_entry(json!({"reset": "r1"}));
        ground.runs_by("1");
        ground.exactly(20);
        assert_eq!(ground.entry()["cursor"], "v9");
    });
}

#[test]
fn a_stream_that_was_loaded_whole_is_not_appended_to_from_the_beginning() {
    on_both("whole_first", "append", |ground| {
        ground.select("mode", json!("full_refresh"));
        ground.select("write", json!("overwrite"));
        ground.project.run().exits(0);
        ground.exactly(10);
        ground.select("mode", json!("incremental"));
        ground.select("write", json!("append"));
        ground.refuses(1, &["reset"]);
        // Nothing says where to go on: accepting would load all ten rows a second time.
        ground.set_entry(json!({"accept": "a1"}));
        ground.refuses(1, &["no position", "10 rows would be added again"]);
        ground.set_entry(json!({"reset": "r1"}));
        ground.runs_by("1");
        ground.exactly(10);
    });
}

fn empty(ground: &Ground) {
    ground.target("DELETE FROM t");
}

#[test]
fn a_table_that_was_emptied_is_refused_and_a_staging_table_says_that_it_is_one() {
    crosswise("staging", |ground| {
        ground.runs_by("3");
        empty(ground);
        ground.add(11, 20);
        ground.refuses(1, &["table", "empty although 10 rows were loaded", "on_empty: accept"]);
        ground.select("on_empty", json!("accept"));
        for night in 1..=3 {
            ground.runs_by("5");
            // A merge takes the row at its floor once more.
            let first = night * 10 + 1 - i64::from(ground.write == "merge");
            let found = ground.target("SELECT min(id) || '|' || max(id) || '|' || count(*) FROM t");
            let last = night * 10 + 10;
            assert_eq!(found, format!("{first}|{last}|{}", last - first + 1), "{}", ground.name);
            empty(ground);
            ground.add(last + 1, last + 10);
        }
    });
}

#[test]
fn a_table_that_is_gone_is_refused_and_can_be_loaded_again() {
    crosswise("gone", |ground| {
        ground.runs_by("3");
        ground.add(11, 12);
        ground.target("DROP TABLE t");
        ground.project.run().exits(1).says(&["is gone", "waybill state reset c --stream t"]);
        ground.set_entry(json!({"reset": "r1"}));
        ground.runs_by("1");
        ground.exactly(12);
    });
}

#[test]
fn a_destination_without_state_under_a_config_that_has_one_is_refused() {
    crosswise("lost", |ground| {
        ground.set_entry(json!({"cursor": 4, "digest": "x"}));
        ground.project.run().exits(1).says(&[
            "the config has state but the destination has none",
            "accept: continues from 4",
            "reset: loads everything again",
        ]);
        ground.set_entry(json!({"accept": "a1", "cursor": 4}));
        ground.runs_by("1");
        ground.holds(7, 7, 10);
        ground.runs_by("5");
        ground.holds(7, 7, 10);
    });
}
