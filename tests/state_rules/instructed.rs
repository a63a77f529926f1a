//! Rule 1: an instruction in the config is carried out once.

use serde_json::json;

use super::{crosswise, everywhere};

#[test]
fn a_reset_loads_everything_again_and_only_once() {
    everywhere("reset", |ground| {
        ground.runs_by("3");
        // A row that is no longer at the source goes, one that was changed by hand is right again.
        ground.target("UPDATE t SET v = 'tampered' WHERE id = 3");
        ground.source("DELETE FROM t WHERE id = 10");
        ground.add(11, 20);
        let instruction = json!({"reset": "r1"});
        ground.set_entry(instruction.clone());
        ground.runs_by("1");
        ground.holds(19, 19, 20);
        assert_eq!(ground.target("SELECT v FROM t WHERE id = 3"), "v3");
        // The run could not write into the config: its instruction stands there still, and is done.
        ground.set_entry(instruction);
        ground.add(21, 22);
        ground.runs_by("5");
        ground.holds(21, 21, 22);
        assert_eq!(ground.entry()["cursor"], 22);
    });
}

#[test]
fn a_set_starts_there_and_only_once() {
    everywhere("set", |ground| {
        ground.runs_by("3");
        let instruction = json!({"set": {"cursor": 8, "nonce": "s1"}});
        ground.set_entry(instruction.clone());
        ground.runs_by("1");
        // Whoever sets an append back asks for those rows a second time.
        let again = if ground.write == "append" { 3 } else { 0 };
        ground.holds(10 + again, 10, 10);
        // What was known before is forgotten at the destination too: the next run finds it in order.
        ground.runs_by("5");
        // An old checkout brings it back, and it is not done again; a new one to the same place is.
        ground.set_entry(instruction);
        ground.runs_by("5");
        ground.holds(10 + again, 10, 10);
        ground.set_entry(json!({"set": {"cursor": 8, "nonce": "s2"}}));
        ground.runs_by("1");
        ground.holds(10 + 2 * again, 10, 10);
        ground.add(11, 15);
        ground.runs_by("5");
        ground.holds(15 + 2 * again, 15, 15);
    });
}

#[test]
fn a_set_whose_run_could_not_write_the_config_is_not_done_twice() {
    crosswise("set_once", |ground| {
        ground.runs_by("3");
        let instruction = json!({"set": {"cursor": 8, "nonce": "s1"}});
        ground.set_entry(instruction.clone());
        ground.runs_by("1");
        let rows = ground.target("SELECT count(*) FROM t");
        ground.set_entry(instruction);
        ground.runs_by("5");
        assert_eq!(ground.target("SELECT count(*) FROM t"), rows, "{}", ground.name);
    });
}

#[test]
fn of_many_instructions_from_old_checkouts_none_is_carried_out_again() {
    crosswise("old_instructions", |ground| {
        ground.runs_by("3");
        let instructions = [
            json!({"reset": "r1"}),
            json!({"set": {"cursor": 9, "nonce": "s1"}}),
            json!({"accept": "a1"}),
            json!({"reset": "r2"}),
        ];
        for instruction in &instructions {
            ground.set_entry(instruction.clone());
            ground.runs_by("1");
        }
        ground.exactly(10);
        for instruction in instructions {
            ground.set_entry(instruction);
            ground.runs_by("5");
            ground.exactly(10);
        }
    });
}

#[test]
fn an_accepted_empty_table_is_refused_only_once() {
    everywhere("accept_empty", |ground| {
        ground.runs_by("3");
        ground.target("DELETE FROM t");
        ground.refuses(1, &["is gone or empty although 10 rows were loaded"]);
        ground.set_entry(json!({"accept": "a1"}));
        ground.runs_by("1");
        ground.runs_by("5");
        // A merge reads the rows at its floor in every run.
        assert_eq!(ground.target("SELECT count(*) FROM t WHERE id < 10"), "0");
        ground.add(11, 12);
        ground.runs_by("5");
        assert_eq!(ground.target("SELECT count(*) FROM t WHERE id > 10"), "2");
        ground.target("DELETE FROM t");
        ground.refuses(1, &["is gone or empty although"]);
    });
}

#[test]
fn a_set_ahead_skips_and_works_on_a_destination_that_has_nothing() {
    crosswise("set_ahead", |ground| {
        ground.set_entry(json!({"set": {"cursor": 5, "nonce": "s1"}}));
        ground.runs_by("1");
        ground.holds(6, 6, 10);
        ground.add(11, 20);
        ground.set_entry(json!({"set": {"cursor": 18, "nonce": "s2"}}));
        ground.runs_by("1");
        ground.holds(9, 9, 20);
        ground.runs_by("5");
        ground.holds(9, 9, 20);
    });
}

#[test]
fn a_set_follows_a_changed_fingerprint_in_the_cursor_s_new_type() {
    crosswise("set_type", |ground| {
        ground.runs_by("3");
        ground.select("cursor", json!("v"));
        ground.set_entry(json!({"set": {"cursor": 5, "nonce": "s1"}}));
        ground.add(91, 92);
        // 5 is a text here: v1, v10, … all lie behind it.
        let known = if ground.write == "append" { 10 } else { 0 };
        ground.runs_by("1");
        ground.holds(12 + known, 12, 92);
        ground.set_entry(json!({"set": {"cursor": {"a": 1}, "nonce": "s2"}}));
        ground.refuses(3, &["the state of stream t in the config"]);
    });
}

#[test]
fn an_accept_goes_on_from_what_the_destination_holds() {
    crosswise("accept", |ground| {
        ground.runs_by("3");
        ground.add(11, 12);
        ground.set_entry(json!({"accept": "a1", "cursor": 2}));
        ground.runs_by("1");
        ground.exactly(12);
        ground.set_entry(json!({"accept": "a1", "cursor": 2}));
        ground.runs_by("5");
        ground.exactly(12);
        // Where neither holds anything it is a first load.
        ground.target("DELETE FROM _waybill_state");
        ground.target("DELETE FROM _waybill_window");
        ground.target("DROP TABLE t");
        ground.set_entry(json!({"accept": "a2"}));
        ground.runs_by("1");
        ground.exactly(12);
    });
}

#[test]
fn a_bounded_run_moves_no_state_and_follows_no_instruction() {
    for instruction in [
        json!({"reset": "r1"}),
        json!({"set": {"cursor": 2, "nonce": "s1"}}),
        json!({"accept": "a1", "cursor": 2}),
        json!({"cursor": 2, "digest": "edited"}),
    ] {
        let ground = super::Ground::new("bounded", "merge", true);
        ground.runs_by("3");
        ground.add(11, 20);
        let state = "SELECT value, based_on, commit_id, rows FROM _waybill_state";
        let (entry, row) = (ground.entry(), ground.target(state));
        for bound in [["--limit", "2"], ["--from", "12"], ["--to", "14"]] {
            ground.project.waybill(&["run", "c", bound[0], bound[1]]).exits(0);
            assert_eq!((&ground.entry(), &ground.target(state)), (&entry, &row), "{bound:?}");
        }
        ground.set_entry(instruction.clone());
        for bound in [["--limit", "2"], ["--from", "12"], ["--to", "14"]] {
            let words = ["run", "c", bound[0], bound[1]];
            ground.project.waybill(&words).exits(3).says(&["still to be followed", "run once without"]);
            assert_eq!((&ground.entry(), &ground.target(state)), (&instruction, &row), "{bound:?}");
        }
        ground.project.run().exits(0);
        ground.exactly(20);
    }
}
