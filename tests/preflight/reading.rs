//! A source whose role has nothing, or does not exist yet.

use serde_json::json;

use super::{PASSWORD, bare_role, dropped, found, named, preflight, read_as, rights};
use crate::fixture::postgres::source;
use crate::fixture::{Database, Pooler, Project, incremental};
use crate::server::PgServer;

fn shop(name: &str) -> Database {
    let database = Database::new(name);
    database.sql(
        "CREATE SCHEMA sales; CREATE SCHEMA hr; CREATE SCHEMA shut;
         CREATE TABLE sales.orders (id int PRIMARY KEY, total numeric, updated_at timestamptz NOT NULL);
         CREATE INDEX ON sales.orders (updated_at);
         INSERT INTO sales.orders SELECT i, i, now() - interval '1 day' FROM generate_series(1, 20) i;
         CREATE TABLE sales.items (id int PRIMARY KEY, name text, secret text);
         INSERT INTO sales.items SELECT i, 'n', 's' FROM generate_series(1, 30) i;
         CREATE TABLE sales.big (id int, kind text); INSERT INTO sales.big VALUES (1, 'a'), (2, 'b');
         CREATE TABLE sales.others (id int); CREATE VIEW sales.seen AS SELECT * FROM sales.others;
         CREATE TABLE hr.pay (id int); INSERT INTO hr.pay VALUES (1); CREATE TABLE hr.people (id int);
         CREATE TABLE shut.away (id int)",
    );
    database
}

fn streams() -> serde_json::Value {
    json!([
        incremental("sales.orders", json!({"cursor": "updated_at"})),
        {"name": "sales.items", "columns": ["id", "name"]},
        {"name": "sales.big", "where": "kind = 'a'", "columns": ["id"]},
        {"name": "paid", "query": "SELECT p.id FROM hr.pay p -- FROM hr.people"}
    ])
}

/// What the streams need, and nothing else.
const NEEDED: [&str; 8] = [
    "database CONNECT",
    "hr.pay SELECT",
    "sales.big SELECT",
    "sales.items.id SELECT",
    "sales.items.name SELECT",
    "sales.orders SELECT",
    "schema hr USAGE",
    "schema sales USAGE",
];

fn loads(project: &Project) {
    project.run().exits(0);
    assert_eq!(project.value("SELECT count(*) FROM sales_orders"), "20");
    assert_eq!(project.value("SELECT count(*) FROM sales_items"), "30");
    assert_eq!(project.value("SELECT count(*) FROM sales_big"), "1");
    assert_eq!(project.value("SELECT count(*) FROM paid"), "1");
}

#[test]
fn a_role_with_nothing_gets_exactly_what_it_needs_from_its_own_script() {
    let database = shop("preflight_bare");
    bare_role(&database, "preflight_bare");
    database.sql("REVOKE ALL ON DATABASE preflight_bare FROM PUBLIC; GRANT CONNECT ON DATABASE preflight_bare TO preflight_bare");
    let project = source(&database, streams());
    read_as(&project, "preflight_bare");
    let (before, code) = preflight(&project, &["--grants", "grants.sql"]);
    assert_eq!((code, &before["passed"]), (4, &json!(false)), "{before:#}");
    let failed = found(&before, "source", "fail");
    for name in ["usage", "select sales.items", "select sales.orders", "where sales.big", "query paid"] {
        assert!(failed.iter().any(|one| one == name), "no {name} in {failed:?}");
    }
    for name in
        ["reachable", "TLS", "login", "version", "provider", "writer or replica", "database", "pooler"]
    {
        assert!(found(&before, "source", "pass").iter().any(|one| one == name), "no {name} in {before:#}");
    }
    project.run().exits(1);
    let script = std::fs::read_to_string(project.path("grants.sql")).unwrap();
    assert_eq!(before["sides"][0]["script"], script.as_str());
    assert!(!script.contains("hr.people") && !script.contains("secret"), "{script}");
    database.server.psql_file("postgres", &project.path("grants.sql"), &[]);
    let (after, code) = preflight(&project, &["--grants", "again.sql"]);
    assert_eq!((code, found(&after, "source", "fail")), (0, vec![]), "{after:#}");
    assert!(after["sides"][0]["script"].is_null() && !project.path("again.sql").exists());
    assert_eq!(rights(&database, "preflight_bare"), NEEDED);
    loads(&project);
    // It may be run again, and grants nothing more.
    database.server.psql_file("postgres", &project.path("grants.sql"), &[]);
    assert_eq!(rights(&database, "preflight_bare"), NEEDED);
}

#[test]
fn a_role_that_does_not_exist_is_made_by_the_script_with_a_password_that_is_not_in_it() {
    let database = shop("preflight_unmade");
    database.server.psql("postgres", &dropped("preflight_unmade"));
    database
        .sql("REVOKE ALL ON DATABASE preflight_unmade FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC");
    let project = source(&database, streams());
    read_as(&project, "preflight_unmade");
    let refused = project.waybill(&["connection", "preflight", "c", "--grants", "grants.sql"]).exits(4);
    project.nowhere(PASSWORD, &["secrets.toml"], &refused.says(&["✗ login", "✓ reachable"]));
    let variables = [("ROLE_PASSWORD", PASSWORD)];
    let said = database.server.psql_file("postgres", &project.path("grants.sql"), &variables);
    assert!(!said.contains("is not set"), "{said}");
    let (after, code) = preflight(&project, &[]);
    assert_eq!((code, found(&after, "source", "fail")), (0, vec![]), "{after:#}");
    // What a condition needs is not known unseen: the table's columns are granted as a whole.
    assert_eq!(rights(&database, "preflight_unmade"), NEEDED);
    loads(&project);
    // Once more without the password: it is left as it is.
    let said = database.server.psql_file("postgres", &project.path("grants.sql"), &[]);
    assert!(said.contains("ROLE_PASSWORD is not set"), "{said}");
    assert_eq!(preflight(&project, &[]).1, 0);
}

#[test]
fn a_role_that_may_not_connect_is_let_in_by_the_script() {
    let database = shop("preflight_shut");
    bare_role(&database, "preflight_shut");
    database.sql("REVOKE ALL ON DATABASE preflight_shut FROM PUBLIC");
    let project = source(&database, json!([{"name": "sales.*"}]));
    read_as(&project, "preflight_shut");
    let (before, code) = preflight(&project, &["--grants", "grants.sql"]);
    assert_eq!((code, found(&before, "source", "fail")), (4, vec!["connect".to_owned()]), "{before:#}");
    let script = before["sides"][0]["script"].as_str().unwrap();
    assert!(!script.contains("CREATE ROLE"), "{script}");
    database.server.psql_file("postgres", &project.path("grants.sql"), &[]);
    let (after, code) = preflight(&project, &[]);
    assert_eq!(code, 0, "{after:#}");
    let rights = rights(&database, "preflight_shut");
    let sales = ["sales.big", "sales.items", "sales.orders", "sales.others", "sales.seen"];
    let mut wanted = vec!["database CONNECT".to_owned()];
    wanted.extend(sales.map(|name| format!("{name} SELECT")));
    wanted.push("schema sales USAGE".to_owned());
    assert_eq!(rights, wanted);
    project.run().exits(0);
}

#[test]
fn schemas_narrow_what_is_looked_at() {
    let database = shop("preflight_narrow");
    bare_role(&database, "preflight_narrow");
    database.sql("GRANT USAGE ON SCHEMA hr TO preflight_narrow; GRANT SELECT ON ALL TABLES IN SCHEMA hr TO preflight_narrow");
    let project = source(&database, json!([{"name": "sales.*"}, {"name": "hr.pay"}]));
    read_as(&project, "preflight_narrow");
    let (report, code) = preflight(&project, &["--schemas", "hr"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(preflight(&project, &["--schemas", "hr,sales"]).1, 4);
}

#[test]
fn what_would_slow_down_or_miss_rows_is_warned_of() {
    let database = Database::new("preflight_warned");
    let server = database.server;
    server.psql("postgres", "DROP ROLE IF EXISTS preflight_warned; CREATE ROLE preflight_warned LOGIN PASSWORD 'pw-of-the-preflight-role' CONNECTION LIMIT 3");
    database.sql(
        "CREATE SEQUENCE s CACHE 50; CREATE TABLE t (id bigint PRIMARY KEY DEFAULT nextval('s'), at timestamp, open bool);
         ALTER SEQUENCE s OWNED BY t.id; CREATE TABLE keyless (id int, at timestamptz);
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (open);
         GRANT SELECT ON t, keyless TO preflight_warned;
         ALTER ROLE preflight_warned SET idle_session_timeout = '5min'; ALTER ROLE preflight_warned SET statement_timeout = '7s'",
    );
    let streams = json!([
        incremental("public.t", json!({"cursor": "id"})),
        incremental("public.keyless", json!({"cursor": "at", "write": "append"}))
    ]);
    let project = source(&database, streams);
    read_as(&project, "preflight_warned");
    let (report, code) = preflight(&project, &[]);
    assert_eq!(code, 0, "{report:#}");
    let warned = found(&report, "source", "warn");
    for name in [
        "free connections",
        "timeouts",
        "row security",
        "cached sequence public.t",
        "cursor index public.keyless",
        "deleted rows",
        "replica identity",
        "wal_level",
        "REPLICATION",
    ] {
        assert!(warned.iter().any(|one| one == name), "no {name} in {warned:?}");
    }
    let timeouts = named(&report, "source", "timeouts").to_string();
    assert!(timeouts.contains("idle_session_timeout 300000 ms") && !timeouts.contains("7000"), "{timeouts}");
    // Merging without a key cannot be planned.
    project.edit(|config| config["connections"][0]["schema"]["streams"][1]["write"] = json!("merge"));
    let (report, code) = preflight(&project, &[]);
    assert_eq!((code, found(&report, "source", "fail")), (4, vec!["stream public.keyless".to_owned()]));
}

#[test]
fn a_transaction_that_stays_open_is_named_with_the_way_to_end_it() {
    let database = Database::new("preflight_open");
    database.sql("CREATE TABLE t (id int PRIMARY KEY); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left behind'");
    let project = source(&database, json!([incremental("public.t", json!({"cursor": "id"}))]));
    let (report, _) = preflight(&project, &[]);
    let open = named(&report, "source", "open transactions").to_string();
    assert!(open.contains("1, none older than a minute"), "{open}");
    database.sql("ROLLBACK PREPARED 'left behind'");
    let (report, _) = preflight(&project, &[]);
    assert_eq!(named(&report, "source", "open transactions")["detail"], "none");
}

#[test]
fn a_pooler_that_the_settings_do_not_tell_of_is_found() {
    let database = Database::new("preflight_pooled");
    database.sql("CREATE TABLE t (id int)");
    let pooler = Pooler::start(database.server, 3);
    let mut schema = pooler.settings(&database.name);
    let (report, code) = {
        let project = crate::fixture::postgres::source_at(schema.clone(), json!([{"name": "public.t"}]));
        preflight(&project, &[])
    };
    assert_eq!((code, &named(&report, "source", "pooler")["status"]), (0, &json!("pass")), "{report:#}");
    // Found by the process that two connections share.
    let detail = &named(&report, "source", "pooler")["detail"];
    assert_eq!(detail, "a transaction pooler, and nothing relies on its sessions");
    schema["pooler"] = json!(false);
    let project = crate::fixture::postgres::source_at(schema, json!([{"name": "public.t"}]));
    let (report, code) = preflight(&project, &[]);
    assert_eq!((code, found(&report, "source", "fail")), (4, vec!["pooler".to_owned()]), "{report:#}");
}

#[test]
fn a_replica_is_told_from_a_writer() {
    let server = PgServer::start(&[]);
    server.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)");
    let standby = server.standby();
    let streams = json!([incremental("public.t", json!({"cursor": "id"}))]);
    let project = crate::fixture::postgres::source_at(
        crate::fixture::postgres::settings(&standby, "postgres"),
        streams,
    );
    server.caught_up(&standby);
    let (report, code) = preflight(&project, &[]);
    assert_eq!(
        (code, found(&report, "source", "fail")),
        (4, vec!["lookback public.t".to_owned()]),
        "{report:#}"
    );
    assert_eq!(named(&report, "source", "writer or replica")["status"], "warn");
}
