//! PostgreSQL on either side, and what happens when it is taken away.

use serde_json::json;

use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Project, postgres, wait_until};
use crate::server::{PASSWORD, PgServer};

const ORDERS: &str = "
    CREATE TABLE orders (id bigint PRIMARY KEY, customer text, amount numeric(12,2), at timestamptz, note jsonb);
    INSERT INTO orders VALUES
        (1, 'Äpfel & Co', 12.30, '2024-01-02 03:04:05.678901+00', '{\"a\": 1}'),
        (2, NULL, NULL, NULL, NULL),
        (3, '', -0.01, '1969-12-31 23:59:59+00', '[]')";

fn orders(name: &str) -> (Database, Project) {
    let database = Database::new(name);
    database.sql(ORDERS);
    let project = postgres::source(&database, json!([{"name": "public.orders"}]));
    (database, project)
}

#[test]
fn a_table_arrives_in_sqlite_exactly() {
    let (_database, project) = orders("exact_in");
    project.run().exits(0);
    let rows = project.rows("SELECT id, customer, amount, at, note FROM public_orders ORDER BY id");
    assert_eq!(rows[0], "1|Äpfel & Co|12.3|2024-01-02 03:04:05.678901+00:00|{\"a\": 1}");
    assert_eq!(rows[1], "2|NULL|NULL|NULL|NULL");
    assert!(rows[2].starts_with("3||-0.01|1969-12-31"), "{rows:?}");
    let declared = project.value("SELECT type FROM pragma_table_info('public_orders') WHERE name = 'amount'");
    assert_eq!(declared, "DECIMAL(12,2)");
}

#[test]
fn a_table_arrives_in_another_postgres_bit_for_bit() {
    let (source, project) = orders("pair_in");
    source
        .sql("INSERT INTO orders SELECT n, 'x' || n, n / 7.0, now(), NULL FROM generate_series(10, 30000) n");
    let target = Database::new("pair_out");
    postgres::destination(&project, &target);
    for _ in 0..2 {
        project.run().exits(0);
        let sum = "SELECT count(*), md5(string_agg((id, customer, amount, at, note)::text, ',' ORDER BY id)) FROM orders";
        assert_eq!(target.sql(sum), source.sql(sum));
    }
    let kind = "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = 'orders'::regclass AND attnum > 0 AND attname NOT LIKE '\\_%' AND NOT attisdropped";
    assert_eq!(target.sql(kind), source.sql(kind));
}

#[test]
fn many_rows_arrive_once() {
    let source = Database::new("large_in");
    source.sql(
        "CREATE TABLE big AS SELECT n AS id, repeat('x', 100) AS filler FROM generate_series(1, 200000) n",
    );
    source.sql("VACUUM ANALYZE big");
    let project = postgres::source(&source, json!([{"name": "public.big"}]));
    project.run().exits(0);
    let found =
        project.value("SELECT count(*) || '|' || count(DISTINCT id) || '|' || sum(id) FROM public_big");
    assert_eq!(found, "200000|200000|20000100000");
}

#[test]
fn sqlite_arrives_in_postgres() {
    let target = Database::new("from_sqlite");
    let streams = json!([{"name": "people", "schema": "staff"}]);
    let project = Project::new(crate::fixture::one_connection(
        "sqlite",
        json!({"path": "people.db", "streams": streams}),
    ));
    sqlite_rows(
        &project.path("people.db"),
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, pay REAL)",
    );
    sqlite_rows(&project.path("people.db"), "INSERT INTO people VALUES (1, 'Ægir', 0.1), (2, NULL, NULL)");
    postgres::destination(&project, &target);
    project.run().exits(0);
    assert_eq!(target.sql("SELECT id, name, pay FROM staff.people ORDER BY id"), "1|Ægir|0.1\n2||");
}

#[test]
fn incremental_reading_takes_each_row_once_also_one_that_is_committed_late() {
    for write in ["append", "merge"] {
        let source = Database::new(&format!("window_{write}"));
        source.sql("CREATE TABLE ev (id bigserial PRIMARY KEY, note text)");
        source.sql("INSERT INTO ev (note) SELECT 'a' FROM generate_series(1, 100)");
        let stream = json!({"name": "public.ev", "mode": "incremental", "cursor": "id", "write": write});
        let project = postgres::source(&source, json!([stream]));
        let exactly = |rows: u64| {
            let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM public_ev");
            assert_eq!(found, format!("{rows}|{rows}"), "{write}");
        };
        project.run().exits(0);
        exactly(100);
        let mut late = source.server.interactive(&source.name);
        late.run("BEGIN");
        late.run("INSERT INTO ev (note) VALUES ('late')");
        source.sql("INSERT INTO ev (note) SELECT 'b' FROM generate_series(1, 50)");
        project.run().exits(0);
        exactly(150);
        late.run("COMMIT");
        source.sql("INSERT INTO ev (note) VALUES ('c')");
        project.run().exits(0);
        exactly(152);
        project.run().exits(0);
        exactly(152);
        assert_eq!(project.value("SELECT count(*) FROM public_ev WHERE note = 'late'"), "1");
    }
}

#[test]
fn two_clones_of_a_project_do_not_double_rows() {
    let source = Database::new("clones_in");
    source.sql("CREATE TABLE ev (id bigint PRIMARY KEY); INSERT INTO ev SELECT generate_series(1, 1000)");
    let target = Database::new("clones_out");
    let stream = json!({"name": "public.ev", "mode": "incremental", "cursor": "id", "write": "append"});
    let first = postgres::source(&source, json!([stream]));
    postgres::destination(&first, &target);
    first.run().exits(0);
    // A clone has the same connection id and its own folders: no file lock stands between the two.
    let clone = Project::new(first.config());
    clone.secrets(&std::fs::read_to_string(first.path("secrets.toml")).unwrap());
    source.sql("INSERT INTO ev SELECT generate_series(1001, 3000)");
    let both = [first.start(&["run", "c"]), clone.start(&["run", "c"])].map(|running| running.wait().code);
    assert!(both.contains(&0) && both.iter().all(|code| [0, 6].contains(code)), "{both:?}");
    first.run().exits(0);
    assert_eq!(target.sql("SELECT count(*), count(DISTINCT id) FROM ev"), "3000|3000");
}

/// A view whose first rows arrive, and whose next one does not.
fn slow(database: &Database) -> Project {
    database.sql(
        "CREATE VIEW slow AS SELECT n, repeat('x', 10000) AS f, CASE WHEN n > 3 THEN pg_sleep(600)::text END AS w
         FROM generate_series(1, 5) n",
    );
    postgres::source(database, json!([{"name": "public.slow"}]))
}

fn queries(database: &Database) -> String {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'",
        database.name
    );
    database.server.psql("postgres", &sql)
}

#[test]
fn a_query_of_a_run_that_was_stopped_is_gone_from_the_server() {
    let database = Database::new("cancelled");
    let project = slow(&database);
    let running = project.start(&["run", "c"]);
    wait_until("the query", || queries(&database) != "0");
    running.signal("INT");
    running.wait().exits(130);
    wait_until("the end of the query", || queries(&database) == "0");
    assert!(project.log().ended());
}

#[test]
fn a_server_that_dies_in_the_middle_is_exit_75_with_its_record_whole() {
    let server = PgServer::start(&[]);
    let name = server.database("dying");
    server.psql(&name, "CREATE VIEW slow AS SELECT n, pg_sleep(0.2)::text FROM generate_series(1, 10000) n");
    let mut schema = postgres::settings(&server, &name);
    schema["streams"] = json!([{"name": "public.slow"}]);
    let project = Project::new(crate::fixture::one_connection("postgres", schema));
    project.secrets(&format!("[sources.c]\npassword = \"{PASSWORD}\"\n"));
    project.edit(|config| config["connections"][0]["retries"] = json!(1));
    let running = project.start(&["run", "c"]);
    let reading = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'dying' AND wait_event = 'PgSleep'";
    wait_until("the read", || server.psql("postgres", reading) != "0");
    drop(server);
    running.wait().exits(75);
    project.log().check();
    let summary = project.summary();
    assert_eq!((&summary["status"], &summary["exit_code"]), (&json!("failed"), &json!(75)));
    assert_eq!(
        (&summary["error"]["origin"], &summary["error"]["retryable"]),
        (&json!("source"), &json!(true))
    );
    assert_eq!(project.log().named("retry.scheduled").len(), 1);
}

#[test]
fn a_connection_that_is_cut_is_tried_again_and_every_row_arrives_once() {
    let source = Database::new("cut");
    source.sql("CREATE TABLE ev (id bigint PRIMARY KEY); INSERT INTO ev SELECT generate_series(1, 20)");
    // The first read waits until it is cut off; later ones find the gate open.
    source.sql("CREATE TABLE gate (open boolean); INSERT INTO gate VALUES (false)");
    source.sql(
        "CREATE FUNCTION wait_at_gate() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        IF NOT (SELECT open FROM gate) THEN PERFORM pg_sleep(600); END IF; RETURN ''; END $$",
    );
    source.sql("CREATE VIEW gated AS SELECT id, wait_at_gate() AS w FROM ev");
    let project = postgres::source(&source, json!([{"name": "public.gated"}]));
    let running = project.start(&["run", "c"]);
    let reading = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cut' AND wait_event = 'PgSleep'";
    wait_until("the read", || source.sql(reading) != "0");
    source.sql("UPDATE gate SET open = true");
    source.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut' AND wait_event = 'PgSleep'");
    running.wait().exits(0);
    assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM public_gated"), "20|20");
    assert_eq!(project.summary()["progress_counts"]["public.gated"]["retries"], 1);
}

#[test]
fn a_query_of_a_run_that_was_stopped_twice_is_gone_from_the_server() {
    let database = Database::new("cancelled_twice");
    let project = slow(&database);
    let running = project.start(&["run", "c"]);
    wait_until("the query", || queries(&database) != "0");
    running.signal("INT");
    project.wait_for_event("signal.received", "SIGINT");
    running.signal("INT");
    running.wait().exits(130);
    wait_until("the end of the query", || queries(&database) == "0");
}

#[test]
fn a_query_that_has_sent_nothing_yet_is_stopped_by_one_signal() {
    let database = Database::new("silent");
    database.sql("CREATE VIEW slow AS SELECT n, pg_sleep(600)::text AS w FROM generate_series(1, 5) n");
    let project = postgres::source(&database, json!([{"name": "public.slow"}]));
    let running = project.start(&["run", "c"]);
    wait_until("the query", || queries(&database) != "0");
    running.signal("INT");
    running.wait().exits(130);
    wait_until("the end of the query", || queries(&database) == "0");
}
