//! A destination whose role has nothing.

use serde_json::json;

use super::{PASSWORD, bare_role, dropped, found, preflight, rights};
use crate::fixture::postgres::{destination_at, source};
use crate::fixture::{Database, Project, incremental};

/// From one database into another as a role.
fn project(from: &Database, to: &Database, role: &str) -> Project {
    let streams = json!([
        incremental("sales.orders", json!({"cursor": "id"})),
        {"name": "sales.items", "table": "things"},
        {"name": "public.plain"}
    ]);
    let project = source(from, streams);
    let mut target = to.settings();
    target["user"] = json!(role);
    destination_at(&project, "warehouse", target);
    let known = std::fs::read_to_string(project.path("secrets.toml")).unwrap();
    let (source, _) = known.split_once("[destination").unwrap();
    project.secrets(&format!("{source}\n[destination.warehouse.credentials]\npassword = \"{PASSWORD}\"\n"));
    project
}

fn shop(name: &str) -> Database {
    let database = Database::new(name);
    database.sql(
        "CREATE SCHEMA sales; CREATE TABLE sales.orders (id int PRIMARY KEY, total int);
         INSERT INTO sales.orders SELECT i, i FROM generate_series(1, 20) i;
         CREATE TABLE sales.items (id int); INSERT INTO sales.items VALUES (1), (2);
         CREATE TABLE plain (id int)",
    );
    database
}

#[test]
fn a_role_with_nothing_may_load_after_its_own_script_and_nothing_else() {
    let (from, to) = (shop("preflight_from"), Database::new("preflight_to"));
    bare_role(&to, "preflight_loader");
    to.sql("REVOKE ALL ON DATABASE preflight_to FROM PUBLIC; GRANT CONNECT ON DATABASE preflight_to TO preflight_loader;
            CREATE SCHEMA private; CREATE TABLE private.x (id int)");
    let project = project(&from, &to, "preflight_loader");
    let (before, code) = preflight(&project, &["--grants", "grants.sql"]);
    assert_eq!(code, 4, "{before:#}");
    let failed = found(&before, "destination", "fail");
    assert_eq!(failed, ["create", "create", "temporary tables"], "{before:#}");
    assert_eq!(found(&before, "source", "fail"), Vec::<String>::new());
    to.server.psql_file("postgres", &project.path("grants.sql"), &[]);
    let (after, code) = preflight(&project, &[]);
    assert_eq!((code, found(&after, "destination", "fail")), (0, vec![]), "{after:#}");
    let granted = [
        "database CONNECT",
        "database TEMPORARY",
        "schema public CREATE",
        "schema public USAGE",
        "schema sales CREATE",
        "schema sales USAGE",
    ];
    assert_eq!(rights(&to, "preflight_loader"), granted);
    project.run().exits(0);
    project.run().exits(0);
    assert_eq!(to.sql("SELECT count(*) FROM sales.orders"), "20");
    assert_eq!(to.sql("SELECT count(*) FROM sales.things"), "2");
    assert_eq!(preflight(&project, &[]).1, 0);
}

#[test]
fn a_role_that_does_not_exist_may_load_after_the_script_that_makes_it() {
    let (from, to) = (shop("preflight_from2"), Database::new("preflight_to2"));
    to.server.psql("postgres", &dropped("preflight_new"));
    to.sql("REVOKE ALL ON DATABASE preflight_to2 FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC");
    let project = project(&from, &to, "preflight_new");
    let (before, code) = preflight(&project, &["--grants", "grants.sql"]);
    assert_eq!((code, found(&before, "destination", "fail")), (4, vec!["login".to_owned()]), "{before:#}");
    to.server.psql_file("postgres", &project.path("grants.sql"), &[("ROLE_PASSWORD", PASSWORD)]);
    let (after, code) = preflight(&project, &[]);
    assert_eq!((code, found(&after, "destination", "fail")), (0, vec![]), "{after:#}");
    project.run().exits(0);
}

#[test]
fn tables_that_stand_in_the_way_are_found_beforehand() {
    let (from, to) = (shop("preflight_from3"), Database::new("preflight_to3"));
    bare_role(&to, "preflight_third");
    to.sql(
        "CREATE SCHEMA sales; GRANT ALL ON SCHEMA sales, public TO preflight_third;
            CREATE TABLE sales.things (id int); CREATE VIEW sales.orders AS SELECT 1 AS id",
    );
    let project = project(&from, &to, "preflight_third");
    let (report, code) = preflight(&project, &[]);
    let failed = found(&report, "destination", "fail");
    assert_eq!(
        (code, failed),
        (4, vec!["table sales.orders".to_owned(), "table sales.items".to_owned()]),
        "{report:#}"
    );
    project.edit(|config| {
        let streams = &mut config["connections"][0]["schema"]["streams"];
        streams[1]["on_existing"] = json!("adopt");
        streams[0]["table"] = json!("orders_too");
    });
    // It may be taken over, but belongs to somebody else.
    let (report, _) = preflight(&project, &[]);
    assert_eq!(found(&report, "destination", "fail"), ["table sales.items"], "{report:#}");
    to.sql("ALTER TABLE sales.things OWNER TO preflight_third");
    assert_eq!(preflight(&project, &[]).1, 0);
    project.run().exits(0);
}
