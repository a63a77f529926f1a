//! A connection that fails for a moment is tried again; one that will fail again is not.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::forward::{Act, Forward};
use super::tables;
use crate::fixture::postgres::{settings, source, source_at};
use crate::fixture::{Database, Project, wait_until};
use crate::server::{PgServer, free_port};

/// Many short waits, so that a test decides when it is over.
fn patient(project: &Project) {
    project.edit(|config| {
        config["connections"][0]["retries"] = json!(40);
        config["connections"][0]["backoff_ms"] = json!(1);
    });
}

fn retries(project: &Project) -> Vec<Value> {
    project.log().named("retry.scheduled").into_iter().cloned().collect()
}

#[test]
fn a_reset_and_a_silent_server_are_tried_again() {
    let from = Database::new("again_reset");
    let streams = tables(&from, 1, 50);
    let forward = Forward::to(from.server.port, &[Act::Reset, Act::Silent, Act::Reset]);
    let mut schema = from.settings();
    schema["port"] = json!(forward.port);
    schema["connect_timeout_ms"] = json!(300);
    let project = source_at(schema, json!(streams));
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM public_t0"), "50");
    let log = project.log();
    let kinds: Vec<&str> =
        log.named("connection.failed").iter().map(|line| line["error"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["network", "timeout", "network"]);
    let waits: Vec<u64> =
        retries(&project).iter().map(|line| line["data"]["delay_ms"].as_u64().unwrap()).collect();
    assert_eq!(waits.len(), 3, "{waits:?}");
    assert!(
        waits.iter().zip([1, 2, 4]).all(|(wait, ideal)| *wait >= ideal - 1 && *wait <= ideal),
        "{waits:?}"
    );
}

#[test]
fn a_server_that_is_not_up_yet_is_waited_for() {
    let from = Database::new("again_refused");
    let streams = tables(&from, 1, 50);
    // Taken and given back at once: nothing listens there until the forwarding does.
    let port = free_port();
    let mut schema = from.settings();
    schema["port"] = json!(port);
    let project = source_at(schema, json!(streams));
    patient(&project);
    let running = project.start(&["run", "c"]);
    project.wait_for_event("retry.scheduled", "refuses connections");
    let _forward = Forward::at(TcpListener::bind(("127.0.0.1", port)).unwrap(), from.server.port, &[]);
    running.wait().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM public_t0"), "50");
    project.log().check();
}

#[test]
fn a_server_without_a_free_connection_is_waited_for() {
    let server =
        PgServer::start(&["max_connections=5", "superuser_reserved_connections=1", "max_wal_senders=0"]);
    server.psql("postgres", "CREATE TABLE t0 AS SELECT i AS id FROM generate_series(1, 50) i");
    let project = source_at(settings(&server, "postgres"), json!([{"name": "public.t0"}]));
    patient(&project);
    let mut held: Vec<_> = (0..5).map(|_| server.interactive("postgres")).collect();
    held.iter_mut().for_each(|psql| psql.run("SELECT 1"));
    let running = project.start(&["run", "c"]);
    project.wait_for_event("retry.scheduled", "has no connection left");
    held.truncate(1);
    running.wait().exits(0);
    let log = project.log();
    let failed = &log.named("connection.failed")[0]["error"];
    assert_eq!((&failed["kind"], &failed["code"]), (&json!("rate_limit"), &json!("53300")));
    assert_eq!(project.value("SELECT count(*) FROM public_t0"), "50");
}

#[test]
fn a_server_that_is_starting_up_is_waited_for() {
    let server = PgServer::start(&[]);
    server.psql("postgres", "CREATE TABLE t0 AS SELECT i AS id FROM generate_series(1, 50) i");
    // After its next start it recovers from an archive that answers once the file is there, and
    // lets nobody in before. That it asks for the archive is how the test knows it from the server
    // that is still going down, which refuses connections in the same words.
    let file = |name: &str| server.socket.join(name);
    let (go, asked, signal) = (file("go"), file("asked"), file("data/recovery.signal"));
    let wait =
        format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done; false", asked.display(), go.display());
    server.psql("postgres", &format!("ALTER SYSTEM SET restore_command = '{wait}'"));
    server.psql("postgres", "ALTER SYSTEM SET hot_standby = off");
    server.psql("postgres", &format!("COPY (SELECT 1 WHERE false) TO '{}'", signal.display()));
    let project = source_at(settings(&server, "postgres"), json!([{"name": "public.t0"}]));
    patient(&project);
    std::thread::scope(|scope| {
        scope.spawn(|| server.crash("QUIT"));
        wait_until("the recovery", || asked.exists());
        let tested = project.waybill(&["connection", "test", "c"]);
        assert!(tested.out.contains("takes no connections now"), "{tested:?}");
        let running = project.start(&["run", "c"]);
        project.wait_for_event("retry.scheduled", "takes no connections now");
        std::fs::write(&go, "").unwrap();
        running.wait().exits(0);
    });
    let log = project.log();
    let failed = &log.named("connection.failed")[0]["error"];
    assert_eq!((&failed["kind"], &failed["code"]), (&json!("network"), &json!("57P03")));
    assert_eq!(project.value("SELECT count(*) FROM public_t0"), "50");
}

#[test]
fn the_retries_of_connecting_are_the_connections_own() {
    for (count, backoff) in [(0, 5), (2, 5)] {
        let forward = Forward::to(1, &[Act::Reset; 9]);
        let from = Database::new("again_budget");
        let mut schema = from.settings();
        schema["port"] = json!(forward.port);
        let project = source_at(schema, json!([{"name": "public.t0"}]));
        project.edit(|config| {
            config["connections"][0]["retries"] = json!(count);
            config["connections"][0]["backoff_ms"] = json!(backoff);
        });
        project.run().exits(75);
        assert_eq!((forward.seen(), retries(&project).len()), (count + 1, count));
        for (at, line) in retries(&project).iter().enumerate() {
            let (wait, ideal) = (line["data"]["delay_ms"].as_f64().unwrap(), f64::from(backoff << at));
            assert!(wait >= ideal * 0.9 - 1.0 && wait <= ideal * 1.1, "{line}");
        }
    }
}

#[test]
fn what_will_fail_again_is_tried_once() {
    let from = Database::new("again_never");
    let cases = [
        ("user", json!("nobody_known"), "auth", 1),
        ("database", json!("not_there"), "not_found", 1),
        ("tls", json!("require"), "config", 3),
        ("host", json!("no such host"), "not_found", 1),
    ];
    for (member, value, kind, code) in cases {
        let project = source(&from, json!([{"name": "public.t0"}]));
        project.edit(|config| config["connections"][0]["schema"][member] = value);
        project.run().exits(code);
        let log = project.log();
        assert_eq!(log.named("retry.scheduled").len(), 0, "{member}");
        let failed = log.named("connection.failed");
        assert_eq!((failed.len(), &failed[0]["error"]["kind"]), (1, &json!(kind)), "{member}: {failed:?}");
    }
}
