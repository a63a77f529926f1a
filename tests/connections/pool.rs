//! A role of a run has as many connections as its pool allows, and leaves none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{open_at, paired, tables, wait_until_closed};
use crate::fixture::postgres::{destination, source_at};
use crate::fixture::script;
use crate::fixture::{Database, Gate, Project, incremental, wait_until};

/// A project from one database into another, with these pools and application names `NAME-source`
/// and `NAME-destination`.
fn project(name: &str, from: &Database, to: &Database, streams: Value, pool: Value) -> Project {
    let mut schema = from.settings();
    schema["application_name"] = json!(format!("{name}-source"));
    schema["pool"] = pool.clone();
    let project = source_at(schema, streams);
    destination(&project, to);
    project.edit(|config| {
        config["connections"][0]["parallelism"] = json!(6);
        config["destinations"]["warehouse"]["application_name"] = json!(format!("{name}-destination"));
        config["destinations"]["warehouse"]["pool"] = pool;
    });
    project
}

#[test]
fn the_server_never_sees_more_connections_than_the_pool_has() {
    let (from, to) = (Database::new("pool_bound_from"), Database::new("pool_bound_to"));
    let streams = tables(&from, 8, 300);
    let project = project("bound", &from, &to, json!(streams), json!({"max": 2}));
    let gate = Gate::before(to.server.port);
    project.edit(|config| config["destinations"]["warehouse"]["port"] = json!(gate.port));
    let most = [("bound-source", AtomicUsize::new(0)), ("bound-destination", AtomicUsize::new(0))];
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                for (application, most) in &most {
                    most.fetch_max(open_at(&from, application), Ordering::SeqCst);
                }
            }
        });
        // Held where the first streams are to be loaded: the others wait for a connection.
        gate.shut("COPY ", 0);
        let running = project.start(&["run", "c"]);
        gate.wait();
        project.wait_for_event("runtime.event", "waits for");
        wait_until("two loads", || open_at(&to, "bound-destination") == 2);
        gate.open();
        running.wait().exits(0);
        over.store(true, Ordering::SeqCst);
    });
    let most: Vec<usize> = most.iter().map(|(_, most)| most.load(Ordering::SeqCst)).collect();
    assert!(most[0] <= 2 && most[1] == 2, "{most:?}");
    for at in 0..8 {
        assert_eq!(to.sql(&format!("SELECT count(*) FROM public.t{at}")), "300");
    }
    let log = project.log();
    log.check();
    paired(&log, "connection.opened", "connection.closed");
    assert!(log.named("runtime.event").iter().any(|line| line["data"]["detail"]["pool_max"] == 2));
    wait_until_closed(&to, "bound-destination");
    wait_until_closed(&from, "bound-source");
}

#[test]
fn one_connection_for_each_side_is_enough_for_everything() {
    let (from, to) = (Database::new("pool_one_from"), Database::new("pool_one_to"));
    let mut streams = tables(&from, 4, 200);
    streams[1] = incremental("public.t1", json!({"cursor": "id", "write": "append"}));
    streams[2] = incremental("public.t2", json!({"cursor": "id"}));
    let project = project("one", &from, &to, json!(streams), json!({"max": 1}));
    let same = |count: usize| {
        for at in 0..4 {
            assert_eq!(
                to.sql(&format!("SELECT count(*) || '|' || count(DISTINCT id) FROM t{at}")),
                format!("{count}|{count}")
            );
        }
    };
    project.waybill(&["connection", "test", "c"]).exits(0);
    project.waybill(&["connection", "discover", "c"]).exits(0);
    project.run().exits(0);
    same(200);
    // A table that something stands on is exchanged row by row; columns come and get wider.
    to.sql("CREATE VIEW v AS SELECT id FROM t0");
    for at in 0..4 {
        from.sql(&format!(
            "ALTER TABLE t{at} ADD COLUMN more int; ALTER TABLE t{at} ALTER COLUMN id TYPE bigint; \
             INSERT INTO t{at} SELECT i, 'new' FROM generate_series(201, 300) i"
        ));
    }
    to.sql("DROP VIEW v; CREATE VIEW v AS SELECT count(*) AS n FROM t0");
    project.run().exits(0);
    same(300);
    project.waybill(&["state", "verify", "c"]).exits(0);
    wait_until_closed(&to, "one-destination");
}

#[test]
fn more_rows_than_fit_into_memory_wait_for_one_connection_without_getting_stuck() {
    let (from, to) = (Database::new("pool_bytes_from"), Database::new("pool_bytes_to"));
    // Together far more than the 32 MiB that all slices share.
    let streams: Vec<Value> = (0..4)
        .map(|at| {
            from.sql(&format!(
                "CREATE TABLE t{at} AS SELECT i AS id, repeat('x', 4000) AS x FROM generate_series(1, 5000) i"
            ));
            json!({"name": format!("public.t{at}")})
        })
        .collect();
    let project = project("bytes", &from, &to, json!(streams), json!({"max": 1}));
    project.edit(|config| config["connections"][0]["schema"]["pool"] = json!({"max": 6}));
    project.run().exits(0);
    for at in 0..4 {
        assert_eq!(to.sql(&format!("SELECT count(*) FROM t{at}")), "5000");
    }
}

#[test]
fn connections_at_the_start_are_as_many_as_the_pool_wants() {
    let (from, to) = (Database::new("pool_min_from"), Database::new("pool_min_to"));
    let streams = tables(&from, 1, 10);
    let project = project("least", &from, &to, json!(streams), json!({"min": 3}));
    let gate = Gate::before(to.server.port);
    project.edit(|config| config["destinations"]["warehouse"]["port"] = json!(gate.port));
    gate.shut("COPY ", 0);
    let running = project.start(&["run", "c"]);
    gate.wait();
    assert_eq!((open_at(&from, "least-source"), open_at(&to, "least-destination")), (3, 3));
    gate.open();
    running.wait().exits(0);
}

#[test]
fn nothing_is_left_at_the_server_after_any_way_out() {
    let (from, to) = (Database::new("pool_out_from"), Database::new("pool_out_to"));
    let streams = tables(&from, 3, 100);
    let gate = Arc::new(Gate::before(to.server.port));
    for (name, signals) in [
        ("success", &[][..]),
        ("failure", &[]),
        ("asked", &["TERM"]),
        ("twice", &["INT", "INT"]),
        ("killed", &["KILL"]),
    ] {
        let project = project(name, &from, &to, json!(streams), json!({"max": 3}));
        project.edit(|config| config["destinations"]["warehouse"]["port"] = json!(gate.port));
        to.sql("DROP TABLE IF EXISTS t0, t1, t2, _waybill_connections, _waybill_state, _waybill_tables");
        if name == "failure" {
            // Not this connection's tables: they are refused.
            to.sql("CREATE TABLE t0 (a int); CREATE TABLE t1 (a int); CREATE TABLE t2 (a int)");
        }
        if !signals.is_empty() {
            gate.shut("COPY ", 0);
        }
        let running = project.start(&["run", "c"]);
        for (at, signal) in signals.iter().enumerate() {
            match at {
                0 => gate.wait(),
                _ => project.wait_for_event("signal.received", "SIGINT"),
            }
            running.signal(signal);
        }
        if signals == ["TERM"] {
            project.wait_for_event("signal.received", "SIGTERM");
            gate.open();
        }
        let code = running.wait().code;
        let expected = match name {
            "success" => 0,
            "failure" => 1,
            "asked" => 143,
            "twice" => 130,
            _ => 137,
        };
        assert_eq!(code, expected, "{name}");
        gate.open();
        wait_until_closed(&to, &format!("{name}-destination"));
        wait_until_closed(&from, &format!("{name}-source"));
        if name != "killed" {
            let log = project.log();
            log.check();
            assert_eq!(log.named("connection.opened").len(), 2, "{name}");
            paired(&log, "connection.opened", "connection.closed");
        }
    }
}

#[test]
fn a_panic_on_one_side_leaves_nothing_at_the_other() {
    let (from, to) = (Database::new("pool_panic_from"), Database::new("pool_panic_to"));
    let read = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "panic"}]);
    let broken = script::source(script::by_cursor("append"), json!([read]));
    destination(&broken, &to);
    broken.edit(|config| config["destinations"]["warehouse"]["application_name"] = json!("panic-to"));
    let streams = tables(&from, 1, 10);
    let mut schema = from.settings();
    schema["application_name"] = json!("panic-from");
    let broken_at_the_end = source_at(schema, json!(streams));
    script::faults(&broken_at_the_end, json!([{"at": "write", "panic": true}]));
    for (project, database, application) in
        [(broken, &to, "panic-to"), (broken_at_the_end, &from, "panic-from")]
    {
        project.run().exits(70);
        wait_until_closed(database, application);
        let log = project.log();
        log.check();
        paired(&log, "connection.opened", "connection.closed");
    }
}

#[test]
fn a_pool_that_makes_no_sense_is_refused_by_its_name() {
    let from = Database::new("pool_wrong");
    for (pool, part) in [
        (json!({"max": 0}), "pool.max: must be at least 1"),
        (json!({"min": 4, "max": 2}), "pool.min: 4 is more than pool.max"),
        (json!({"max": "many"}), "pool.max: "),
        (json!(3), "pool: "),
    ] {
        let mut schema = from.settings();
        schema["pool"] = pool.clone();
        let project = source_at(schema, json!([]));
        project.waybill(&["run", "c"]).exits(3).says(&[part]);
    }
}
