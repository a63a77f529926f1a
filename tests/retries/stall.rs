//! A peer that goes silent ends the attempt, which is tried again; one that is slow does not.

use serde_json::json;

use super::proxy::{Fault, Proxy};
use crate::fixture::{Database, Project, postgres, script};

const ROWS: u64 = 3000;

fn filled(name: &str) -> Database {
    let database = Database::new(name);
    database.sql(&format!(
        "CREATE TABLE s AS SELECT n AS id, repeat('x', 200) AS note FROM generate_series(1, {ROWS}) n"
    ));
    database
}

fn from(database: &Database, proxy: &Proxy, stall_ms: u64, retries: u64) -> Project {
    let project = postgres::source(database, json!([{"name": "public.s"}]));
    project.edit(|config| {
        let connection = &mut config["connections"][0];
        connection["schema"]["port"] = json!(proxy.port);
        connection["stall_timeout_ms"] = json!(stall_ms);
        connection["retries"] = json!(retries);
    });
    project
}

fn into(database: &Database, proxy: &Proxy, write: &str, retries: u64) -> Project {
    let project = script::source(script::by_cursor(write), json!([script::whole(50)]));
    postgres::destination(&project, database);
    project.edit(|config| {
        config["destinations"]["warehouse"]["port"] = json!(proxy.port);
        config["connections"][0]["stall_timeout_ms"] = json!(200);
        config["connections"][0]["retries"] = json!(retries);
    });
    project
}

#[track_caller]
fn timed_out(project: &Project, origin: &str) {
    let summary = project.summary();
    assert_eq!((&summary["error"]["kind"], &summary["error"]["origin"]), (&json!("timeout"), &json!(origin)));
    assert_eq!(summary["error"]["retryable"], true);
    let hint = summary["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("stall_timeout_ms"), "{hint}");
}

#[test]
fn a_source_that_goes_silent_is_given_up_and_read_again() {
    for (retries, code) in [(0, 75), (1, 0)] {
        let database = filled(&format!("silent_source_{retries}"));
        let proxy = Proxy::before(database.server.port, Fault::ClientHearsNothing(100_000), "COPY (", 1);
        let project = from(&database, &proxy, 400, retries);
        project.run().exits(code);
        assert_eq!(proxy.struck(), 1);
        match code {
            0 => assert_eq!(project.value("SELECT count(*) FROM public_s"), ROWS.to_string()),
            _ => timed_out(&project, "source"),
        }
    }
}

#[test]
fn a_destination_that_goes_silent_is_given_up_and_loaded_again() {
    for (write, after) in [("append", "COPY "), ("merge", "WITH merged"), ("append", "FOR SHARE")] {
        for (retries, code) in [(0, 75), (1, 0)] {
            let name = format!("silent_destination_{retries}_{}", after.replace(' ', "_").to_lowercase());
            let database = Database::new(&name);
            let proxy = Proxy::before(database.server.port, Fault::ServerHearsNothing, after, 1);
            let project = into(&database, &proxy, write, retries);
            project.run().exits(code);
            assert_eq!(proxy.struck(), 1, "{after}");
            match code {
                0 => {
                    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM s"), "50|50", "{after}")
                }
                _ => timed_out(&project, "destination"),
            }
        }
    }
}

#[test]
fn a_source_that_is_slow_and_alive_is_not_given_up() {
    let database = filled("slow_source");
    let proxy = Proxy::before(database.server.port, Fault::Trickles(8_000), "COPY (", 0);
    let project = from(&database, &proxy, 500, 0);
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM public_s"), ROWS.to_string());
    let log = project.log();
    assert!(log.lines.last().unwrap()["t_ms"].as_u64().unwrap() > 500, "it took longer than the limit");
}

#[test]
fn a_statement_that_takes_long_is_not_silence() {
    let database = Database::new("slow_destination");
    // Every row of a merge takes its time.
    database.sql(
        "CREATE TABLE s (id bigint PRIMARY KEY, note text, _waybill_run_id text);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END';
         CREATE TRIGGER slow BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let proxy = Proxy::before(database.server.port, Fault::CommitLost, "never", 0);
    let mut selection = script::by_cursor("merge");
    selection["on_existing"] = json!("adopt");
    let project = into(&database, &proxy, "merge", 0);
    project.edit(|config| {
        config["connections"][0]["schema"]["streams"][0] = selection;
        config["connections"][0]["stall_timeout_ms"] = json!(120);
    });
    project.run().exits(0);
    assert_eq!(database.sql("SELECT count(*) FROM s"), "50");
}

#[test]
fn back_pressure_is_not_silence() {
    let database = Database::new("back_pressure");
    // More than the byte budget of a run, so that the source has to wait for the destination.
    database
        .sql("CREATE TABLE s AS SELECT n AS id, repeat('x', 60000) AS note FROM generate_series(1, 700) n");
    let proxy = Proxy::before(database.server.port, Fault::CommitLost, "never", 0);
    let project = from(&database, &proxy, 300, 0);
    script::faults(&project, json!([{"at": "write", "nth": 1, "wait_ms": 1200}]));
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM public_s"), "700");
}
