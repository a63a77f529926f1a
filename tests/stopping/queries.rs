//! A query of a run that was stopped is gone from the server within a second of the run's end.

use serde_json::json;

use crate::fixture::{Database, Project, incremental, one_connection, postgres, wait_until};

/// Fails unless everything of that database that is not idle is gone within a second, as the
/// server's own clock has it.
fn gone_within_a_second(database: &Database) {
    let server = database.server;
    server.psql(
        "postgres",
        &format!(
            "DO $$ DECLARE since timestamptz := clock_timestamp(); BEGIN
               WHILE EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{0}' AND state <> 'idle'
                             AND application_name LIKE '%waybill%' AND pid <> pg_backend_pid()) LOOP
                 IF clock_timestamp() - since > interval '1 second' THEN
                   RAISE 'still there: %', (SELECT string_agg(state || ' ' || query, '; ') FROM pg_stat_activity
                                            WHERE datname = '{0}' AND state <> 'idle');
                 END IF;
                 PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
               END LOOP; END $$",
            database.name
        ),
    );
}

fn waits(database: &Database, what: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE '%waybill%' AND {what}",
        database.name
    );
    database.server.psql("postgres", &sql) != "0"
}

const SLEEPS: &str = "wait_event = 'PgSleep'";
const LOCKED: &str = "wait_event_type = 'Lock'";

#[test]
fn a_read_of_the_source() {
    for (times, signal, code) in [(1, "INT", 130), (1, "HUP", 129), (2, "TERM", 143)] {
        let database = Database::new("stopped_read");
        database.sql("CREATE VIEW slow AS SELECT n, pg_sleep(600)::text AS w FROM generate_series(1, 5) n");
        let project = postgres::source(&database, json!([{"name": "public.slow"}]));
        let running = project.start(&["run", "c"]);
        wait_until("the query", || waits(&database, SLEEPS));
        for time in 1..=times {
            running.signal(signal);
            if time < times {
                project.wait_for_event("signal.received", signal);
            }
        }
        running.wait().exits(code);
        gone_within_a_second(&database);
    }
}

#[test]
fn a_look_at_the_source_before_the_read() {
    let database = Database::new("stopped_look");
    database.sql("CREATE TABLE ev (id bigint PRIMARY KEY)");
    let project = postgres::source(&database, json!([incremental("public.ev", json!({"cursor": "id"}))]));
    let mut other = database.server.interactive(&database.name);
    other.run("BEGIN");
    other.run("LOCK TABLE ev IN ACCESS EXCLUSIVE MODE");
    let running = project.start(&["run", "c"]);
    wait_until("the lock", || waits(&database, LOCKED));
    running.signal("INT");
    running.wait().exits(130);
    gone_within_a_second(&database);
}

/// Ten rows from SQLite into a table that is there, with ten more to come.
fn loading(name: &str, write: &str) -> (Database, Project) {
    let target = Database::new(name);
    let streams = json!([incremental("t", json!({"cursor": "id", "write": write}))]);
    let project = Project::new(one_connection("sqlite", json!({"path": "source.db", "streams": streams})));
    postgres::destination(&project, &target);
    let source = rusqlite::Connection::open(project.path("source.db")).unwrap();
    source
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)")
        .unwrap();
    project.run().exits(0);
    source.execute_batch("INSERT INTO t VALUES (4), (5), (6)").unwrap();
    (target, project)
}

#[test]
fn a_write_into_the_destination() {
    for write in ["append", "merge"] {
        let (target, project) = loading(&format!("stopped_write_{write}"), write);
        target.sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION slow()",
        );
        let running = project.start(&["run", "c"]);
        wait_until("the write", || waits(&target, SLEEPS));
        running.signal("TERM");
        project.wait_for_event("signal.received", "SIGTERM");
        running.signal("TERM");
        running.wait().exits(143);
        gone_within_a_second(&target);
        target.sql("DROP TRIGGER slow ON t");
        project.run().exits(0);
        assert_eq!(target.sql("SELECT count(*), count(DISTINCT id) FROM t"), "6|6");
    }
}

#[test]
fn a_wait_for_a_lock_at_the_destination() {
    for table in ["t", "_waybill_connections"] {
        let (target, project) = loading("stopped_lock", "append");
        let mut other = target.server.interactive(&target.name);
        other.run("BEGIN");
        other.run(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        let running = project.start(&["run", "c"]);
        wait_until("the lock", || waits(&target, LOCKED));
        running.signal("INT");
        project.wait_for_event("signal.received", "SIGINT");
        running.signal("INT");
        running.wait().exits(130);
        gone_within_a_second(&target);
        drop(other);
        project.run().exits(0);
        assert_eq!(target.sql("SELECT count(*), count(DISTINCT id) FROM t"), "6|6");
    }
}
