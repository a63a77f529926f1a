//! Rule 6: a cursor that a person edited by hand is honoured, with a warning.

use serde_json::json;

use super::{crosswise, everywhere};

const SAID: &str = "edited by hand in the config";

#[test]
fn a_cursor_set_back_by_hand_is_honoured_each_time_it_is_made() {
    everywhere("back", |ground| {
        ground.runs_by("3");
        let doubled = if ground.write == "append" { 3 } else { 0 };
        for time in 1..=3 {
            ground.source("UPDATE t SET v = v || '!' WHERE id = 9");
            ground.edit_cursor(json!(8));
            ground.runs_by("6");
            ground.warned(&[SAID, "8", "10"]);
            ground.holds(10 + time * doubled, 10, 10);
            assert_eq!(
                ground.target("SELECT count(*) FROM t WHERE v LIKE '%!'"),
                if doubled > 0 { time } else { 1 }.to_string()
            );
            assert_eq!(ground.entry()["cursor"], 10);
        }
        ground.add(11, 12);
        ground.runs_by("5");
        ground.holds(12 + 3 * doubled, 12, 12);
    });
}

#[test]
fn an_edit_whose_run_could_not_write_the_config_is_not_followed_twice() {
    crosswise("edit_once", |ground| {
        ground.runs_by("3");
        ground.edit_cursor(json!(8));
        let edited = ground.entry();
        ground.runs_by("6");
        let rows = ground.target("SELECT count(*) FROM t");
        for _ in 0..2 {
            // What is left when it is killed between its commit and the config.
            ground.set_entry(edited.clone());
            ground.runs_by("5");
            assert_eq!(ground.target("SELECT count(*) FROM t"), rows, "{}", ground.name);
            ground.warned(&["followed by an earlier run"]);
        }
    });
}

#[test]
fn a_cursor_set_forward_by_hand_skips() {
    crosswise("forward", |ground| {
        ground.runs_by("3");
        ground.add(11, 20);
        ground.edit_cursor(json!(16));
        ground.runs_by("6");
        ground.warned(&[SAID]);
        ground.holds(15, 15, 20);
        ground.add(21, 22);
        ground.runs_by("5");
        ground.holds(17, 17, 22);
    });
}

#[test]
fn a_cursor_written_by_hand_in_another_spelling_is_the_same_cursor() {
    crosswise("spelling", |ground| {
        ground.runs_by("3");
        ground.edit_cursor(json!("10"));
        ground.project.run().exits(0);
        ground.exactly(10);
    });
}

#[test]
fn an_edit_that_is_no_cursor_is_refused_with_its_place_and_changes_nothing() {
    crosswise("nonsense", |ground| {
        ground.runs_by("3");
        ground.add(11, 20);
        for nonsense in [json!("yesterday"), json!(1.5), json!(true), json!({"a": 1}), json!([]), json!(null)]
        {
            ground.edit_cursor(nonsense);
            ground.refuses(3, &["the state of stream t in the config", "waybill state reset c --stream t"]);
        }
        for misshapen in
            [json!(5), json!({"reset": "a", "accept": "b"}), json!({"set": 5}), json!({"reset": true})]
        {
            ground.set_entry(misshapen);
            ground.refuses(3, &["connections", ".state.t: "]);
        }
        ground.forget();
        ground.runs_by("5");
        ground.exactly(20);
    });
}
