//! Rows that go, move and come between runs, and reads that fail on the way.

use serde_json::json;

use super::{Both, SEQUENCE, by, state};
use crate::fixture::{Database, postgres};

#[test]
fn deleting_the_newest_rows_does_not_bring_the_end_down() {
    let both = Both::new("late_deleted", SEQUENCE, "id");
    both.sql("INSERT INTO t (note) SELECT 'n' || n FROM generate_series(10, 19) n");
    both.run();
    let mut a = both.source.server.interactive(&both.source.name);
    a.run("BEGIN; INSERT INTO t (note) VALUES ('late')");
    both.add("seen");
    both.run();
    both.sql("DELETE FROM t WHERE note > 'n15' AND note < 'o' OR note = 'seen'");
    both.run();
    both.add("after");
    both.run();
    a.run("COMMIT");
    both.run();
    both.have(&[
        "after", "late", "n10", "n11", "n12", "n13", "n14", "n15", "n16", "n17", "n18", "n19", "seen",
    ]);
    assert_eq!(both.run()[0], 0);
}

#[test]
fn rows_that_leave_the_condition_and_come_back_are_not_doubled() {
    let both = Both::of("late_where", SEQUENCE, |write| {
        let mut stream = by("public.t", "id", write);
        stream["where"] = json!("note NOT LIKE '%hidden'");
        stream
    });
    both.sql("INSERT INTO t (note) VALUES ('a'), ('b'), ('c')");
    both.run();
    both.sql("UPDATE t SET note = note || ' hidden' WHERE note IN ('b', 'c')");
    both.run();
    both.add("d");
    both.add("e hidden");
    both.add("f");
    both.run();
    both.sql("UPDATE t SET note = replace(note, ' hidden', '')");
    both.run();
    both.add("g");
    both.run();
    // A row whose cursor lies below what was read does not arrive: 'e' was never seen.
    both.have(&["a", "b", "c", "d", "f", "g"]);
}

#[test]
fn rows_of_the_future_do_not_hide_those_of_today() {
    for (name, at) in [
        ("stamp", "timestamptz DEFAULT now()"),
        ("zoneless", "timestamp DEFAULT (now() AT TIME ZONE 'UTC')"),
        ("day", "date DEFAULT (now() AT TIME ZONE 'UTC')::date"),
    ] {
        let table =
            format!("CREATE TABLE t (id serial PRIMARY KEY, at {at}, note text); CREATE INDEX ON t (at)");
        let both = Both::new(&format!("late_future_{name}"), &table, "at");
        both.add("first");
        both.sql("INSERT INTO t (at, note) VALUES (now() + interval '3 days', 'future')");
        both.run();
        both.add("today");
        both.run();
        both.sql("INSERT INTO t (at, note) VALUES (now() + interval '1 day', 'nearer')");
        both.run();
        both.add("too");
        both.run();
        both.equal();
        assert_eq!(both.run()[0], 0, "{name}");
    }
}

/// A table that is read in order, whose row 150 fails until the gate is open.
fn failing(name: &str, indexed: bool) -> (Database, [crate::fixture::Project; 2]) {
    let source = Database::new(name);
    source.sql("CREATE TABLE gate (open boolean); INSERT INTO gate VALUES (false)");
    source.sql("CREATE TABLE t (id bigserial, note text, pad text)");
    if indexed {
        source.sql("CREATE INDEX ON t (id)");
        // So few rows would be sorted instead.
        source.sql(&format!("ALTER DATABASE {name} SET enable_sort = off"));
    }
    source.sql("ALTER TABLE t ALTER pad SET STORAGE EXTERNAL");
    source
        .sql("INSERT INTO t (note, pad) SELECT 'n' || n, repeat('x', 200000) FROM generate_series(1, 200) n");
    let projects = ["append", "merge"].map(|write| {
        let mut stream = by("public.t", "id", write);
        stream["where"] =
            json!("CASE WHEN id = 150 AND NOT (SELECT open FROM gate) THEN 1 / (id - 150) = 0 ELSE true END");
        stream["primary_key"] = json!(["id"]);
        stream["columns"] = json!(["id", "note", "pad"]);
        postgres::source(&source, json!([stream]))
    });
    (source, projects)
}

#[test]
fn a_read_in_order_that_fails_keeps_what_it_committed_also_beside_an_open_transaction() {
    let (source, projects) = failing("late_failed", true);
    for project in &projects {
        source.sql("UPDATE gate SET open = false");
        project.run().exits(1).says(&["division by zero"]);
        let kept: i64 = project.value("SELECT count(*) FROM public_t").parse().unwrap();
        assert!((40..150).contains(&kept), "{kept} rows were committed on the way");
        let held = state(project, "public.t");
        assert_eq!(
            (&held["floor"]["value"], &held["ceiling"]["value"]),
            (&json!(kept), &json!(kept)),
            "{held}"
        );
        let mut b = source.server.interactive(&source.name);
        b.run("BEGIN; INSERT INTO t (note, pad) VALUES ('b', '')");
        project.run().exits(1);
        source.sql("UPDATE gate SET open = true");
        project.run().exits(0);
        b.run("COMMIT");
        project.run().exits(0);
        let all = source.sql("SELECT count(*), count(DISTINCT id), sum(id) FROM t");
        let found =
            project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || sum(id) FROM public_t");
        assert_eq!(found, all);
    }
}

#[test]
fn a_read_in_no_order_commits_only_at_its_end() {
    let (source, projects) = failing("late_unordered", false);
    for project in &projects {
        source.sql("UPDATE gate SET open = false");
        project.run().exits(1).says(&["division by zero"]);
        let committed = project.log().named("checkpoint.committed").len();
        assert_eq!(committed, 0, "nothing is durable on the way");
        source.sql("UPDATE gate SET open = true");
        project.run().exits(0);
        assert_eq!(project.log().named("checkpoint.committed").len(), 1);
        assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM public_t"), "200|200");
    }
}
