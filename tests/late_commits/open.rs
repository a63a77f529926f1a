//! Transactions that are open while a run reads.

use super::{Both, SEQUENCE, STAMPED};
use crate::fixture::wait_until;
use crate::server::PgServer;

/// Both kinds of cursor that a server itself fills.
fn each(name: &str, mut test: impl FnMut(&Both)) {
    for (kind, table, cursor) in [("seq", SEQUENCE, "id"), ("now", STAMPED, "at")] {
        let both = Both::new(&format!("late_{name}_{kind}"), table, cursor);
        both.add("first");
        test(&both);
    }
}

#[test]
fn a_row_committed_after_a_higher_one_arrives_once() {
    each("plain", |both| {
        both.run();
        let mut a = both.source.server.interactive(&both.source.name);
        a.run("BEGIN; INSERT INTO t (note) VALUES ('a')");
        both.add("b");
        both.run();
        both.have(&["b", "first"]);
        a.run("COMMIT");
        both.run();
        both.equal();
        assert_eq!(both.run()[0], 0, "append has each row");
        both.equal();
    });
}

#[test]
fn savepoints_and_exception_blocks_hide_nothing() {
    each("savepoint", |both| {
        both.run();
        let mut a = both.source.server.interactive(&both.source.name);
        a.run("BEGIN; SAVEPOINT s; INSERT INTO t (note) VALUES ('a1'); RELEASE s");
        a.run("SAVEPOINT s; INSERT INTO t (note) VALUES ('gone'); ROLLBACK TO s");
        a.run(
            "DO $$ BEGIN INSERT INTO t (note) VALUES ('a2');
             BEGIN INSERT INTO t (note) VALUES ('gone'); RAISE division_by_zero; EXCEPTION WHEN OTHERS THEN NULL; END; END $$",
        );
        both.add("b");
        both.run();
        both.have(&["b", "first"]);
        a.run("SAVEPOINT s; INSERT INTO t (note) VALUES ('a3')");
        both.add("c");
        both.run();
        a.run("COMMIT");
        both.run();
        both.have(&["a1", "a2", "a3", "b", "c", "first"]);
    });
}

#[test]
fn a_transaction_that_had_not_written_yet_is_waited_for() {
    each("unwritten", |both| {
        both.run();
        let mut a = both.source.server.interactive(&both.source.name);
        a.run("BEGIN; SELECT now()");
        both.add("b");
        both.run();
        // Its now() is of its beginning: below what was read.
        a.run("INSERT INTO t (note) VALUES ('a'); COMMIT");
        both.run();
        both.equal();
    });
}

#[test]
fn a_prepared_transaction_holds_the_window_open() {
    each("prepared", |both| {
        both.run();
        let gid = format!("late {}", both.source.name);
        both.sql(&format!("BEGIN; INSERT INTO t (note) VALUES ('a'); PREPARE TRANSACTION '{gid}'"));
        both.add("b");
        both.run();
        both.add("c");
        both.run();
        both.have(&["b", "c", "first"]);
        both.sql(&format!("COMMIT PREPARED '{gid}'"));
        both.run();
        both.equal();
    });
}

#[test]
fn what_is_rolled_back_lets_the_window_close() {
    each("rollback", |both| {
        both.run();
        let before = both.states();
        let mut a = both.source.server.interactive(&both.source.name);
        a.run("BEGIN; INSERT INTO t (note) VALUES ('a')");
        both.add("b");
        both.run();
        for (held, before) in both.states().iter().zip(&before) {
            assert_eq!(held["open"].as_object().unwrap().len(), 1, "{held}");
            assert!(held["floor"] == before["ceiling"], "{held} {before}");
        }
        a.run("ROLLBACK");
        both.run();
        both.equal();
        assert!(both.states().iter().all(|state| state.get("open").is_none()));
    });
}

#[test]
fn a_long_transaction_over_three_runs_loses_nothing() {
    each("long", |both| {
        both.run();
        let mut a = both.source.server.interactive(&both.source.name);
        a.run("BEGIN; INSERT INTO t (note) VALUES ('a1')");
        for note in ["b", "c", "d"] {
            let mut passing = both.source.server.interactive(&both.source.name);
            passing.run(&format!("BEGIN; INSERT INTO t (note) VALUES ('{note}1')"));
            both.add(&format!("{note}2"));
            both.run();
            passing.run("COMMIT");
            a.run(&format!("INSERT INTO t (note) VALUES ('a{note}')"));
        }
        a.run("COMMIT");
        both.run();
        both.equal();
        assert_eq!(both.run()[0], 0);
        let warned = both.loads[0].1.logs().iter().flat_map(|log| log.named("window.widened")).any(|line| {
            line["level"] == "warn"
                && line["message"].as_str().unwrap().contains("still open since an earlier run")
                && line["data"]["holder"]["pid"].is_string()
        });
        assert!(warned, "who holds it open is said loudly");
    });
}

#[test]
fn a_loaded_row_whose_update_is_in_flight_arrives_as_it_became() {
    let both = Both::new("late_update", STAMPED, "at");
    both.add("first");
    both.run();
    let mut a = both.source.server.interactive(&both.source.name);
    a.run("BEGIN; UPDATE t SET note = 'changed', at = now() - interval '1 hour'");
    both.add("b");
    both.run();
    a.run("COMMIT");
    both.run();
    both.run();
    let rows = |at: usize| both.loads[at].1.rows("SELECT note FROM public_t ORDER BY note");
    assert_eq!(rows(0), ["b", "changed", "first"], "append has each version once");
    assert_eq!(rows(1), ["b", "changed"], "merge has the row");
}

#[test]
fn views_and_queries_are_read_as_tables_are() {
    let both = Both::of("late_view", SEQUENCE, |write| {
        let mut stream = super::by("public.t", "id", write);
        stream["name"] = "mine".into();
        stream["table"] = "public_t".into();
        stream["query"] = "SELECT v.id, v.note FROM v".into();
        stream["primary_key"] = serde_json::json!(["id"]);
        stream
    });
    both.sql("CREATE VIEW v AS SELECT id, note FROM t WHERE note <> 'hidden'");
    both.add("first");
    let view = crate::fixture::postgres::source(
        &both.source,
        serde_json::json!([{"name": "public.v", "mode": "incremental", "cursor": "id", "primary_key": ["id"],
                            "write": "append"}]),
    );
    let has = |notes: &[&str]| {
        for (table, project) in [("t", &both.loads[0].1), ("t", &both.loads[1].1), ("v", &view)] {
            let rows = project.rows(&format!("SELECT note FROM public_{table} ORDER BY note"));
            assert_eq!(rows, notes, "{table}");
        }
    };
    let run = || {
        both.loads.iter().for_each(|(_, project)| drop(project.run().exits(0)));
        view.run().exits(0);
    };
    run();
    let mut a = both.source.server.interactive(&both.source.name);
    a.run("BEGIN; INSERT INTO t (note) VALUES ('a'), ('hidden')");
    both.add("b");
    run();
    has(&["b", "first"]);
    a.run("COMMIT");
    run();
    has(&["a", "b", "first"]);
}

#[test]
fn autovacuum_at_work_holds_nothing_open() {
    let server = PgServer::start(&[
        "autovacuum_naptime=1s",
        "autovacuum_vacuum_cost_delay=100ms",
        "autovacuum_vacuum_cost_limit=1",
        "autovacuum_vacuum_threshold=1",
        "autovacuum_vacuum_scale_factor=0",
    ]);
    let name = server.database("vacuumed");
    server.psql(
        &name,
        "CREATE TABLE t AS SELECT n AS id, repeat('x', 500) AS pad FROM generate_series(1, 20000) n; ALTER TABLE t ADD PRIMARY KEY (id)",
    );
    server.psql(&name, "UPDATE t SET pad = pad || 'y'");
    let vacuuming = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE datname = 'vacuumed'";
    wait_until("autovacuum", || server.psql("postgres", vacuuming) != "0");
    let schema = crate::fixture::postgres::settings(&server, &name);
    let project = crate::fixture::postgres::source_at(
        schema,
        serde_json::json!([super::by("public.t", "id", "append")]),
    );
    project.run().exits(0);
    assert_ne!(server.psql("postgres", vacuuming), "0", "it was at work all the time");
    let state = super::state(&project, "public.t");
    assert!(state["floor"]["value"] == 20_000 && state.get("open").is_none(), "{state}");
    assert!(project.log().named("window.widened").is_empty());
}
