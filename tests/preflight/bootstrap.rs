//! `destination bootstrap`: from nothing to a destination that can be loaded.

use serde_json::{Value, json};

use super::{PASSWORD, rights};
use crate::fixture::postgres::{settings, source};
use crate::fixture::{Database, Finished, Project, Running};
use crate::server::{self, PgServer};

fn project(name: &str) -> (Database, Project) {
    let from = Database::new(name);
    from.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (id int PRIMARY KEY); INSERT INTO sales.orders VALUES (1), (2);
              CREATE TABLE plain AS SELECT 1 AS id");
    let project = source(&from, json!([{"name": "sales.orders"}, {"name": "public.plain"}]));
    let mut target = settings(from.server, "bootstrap_new");
    target["user"] = json!("bootstrap_new");
    target["type"] = json!("postgres");
    project.edit(|config| {
        config["destination"] = json!("warehouse");
        config["destinations"]["warehouse"] = target;
    });
    let known = std::fs::read_to_string(project.path("secrets.toml")).unwrap();
    project.secrets(&format!("{known}\n[destination.warehouse.credentials]\npassword = \"{PASSWORD}\"\n"));
    (from, project)
}

fn admin(server: &PgServer) -> String {
    format!(
        "postgresql://{}:{}@127.0.0.1:{}/postgres?sslmode=disable",
        server::USER,
        server::PASSWORD,
        server.port
    )
}

fn made(answer: &Value) -> Vec<String> {
    let all = answer["made"].as_array().unwrap().iter().filter(|one| one["now"] == json!(true));
    all.map(|one| one["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nothing_becomes_a_destination_that_can_be_loaded_and_the_administrator_is_not_kept() {
    let (from, project) = project("bootstrap_made");
    let server = from.server;
    server.psql("postgres", "DROP DATABASE IF EXISTS bootstrap_new");
    server.psql("postgres", "DROP ROLE IF EXISTS bootstrap_new");
    project.waybill(&["connection", "preflight", "c"]).exits(4).says(&["✗ login"]);
    let words = ["destination", "bootstrap", "warehouse", "--output", "json"];
    let first: Finished = project.waybill_fed(&words, &admin(server)).exits(0);
    project.nowhere(server::PASSWORD, &["secrets.toml"], &first);
    let all = [
        "role \"bootstrap_new\"",
        "database \"bootstrap_new\"",
        "CREATE on database \"bootstrap_new\"",
        "USAGE and CREATE on schema \"public\"",
        "schema \"sales\"",
        "USAGE and CREATE on schema \"sales\"",
    ];
    assert_eq!(made(&first.json()), all);
    // The password was never part of a statement.
    assert!(
        server
            .psql("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'bootstrap_new'")
            .starts_with("SCRAM-SHA-256$")
    );
    project.waybill(&["connection", "preflight", "c"]).exits(0);
    project.run().exits(0);
    let to = Database { server, name: "bootstrap_new".to_owned() };
    assert_eq!(to.sql("SELECT count(*) FROM sales.orders"), "2");
    let own: Vec<String> =
        rights(&to, "bootstrap_new").into_iter().filter(|right| right.starts_with("attribute")).collect();
    assert!(own.is_empty(), "{own:?}");
    // Once more, by a variable: everything was there.
    let mut again = project.command(&[&words[..], &["--admin-url-env", "ADMIN"]].concat());
    let again = Running::start(again.env("ADMIN", admin(server))).wait().exits(0);
    assert_eq!(made(&again.json()), Vec::<String>::new());
    project
        .waybill_fed(&["destination", "bootstrap", "warehouse"], &admin(server))
        .exits(0)
        .says(&["was there"]);
}

#[test]
fn an_administrator_who_may_not_or_is_not_let_in_is_said_without_the_password() {
    let (from, project) = project("bootstrap_refused");
    let words = ["destination", "bootstrap", "warehouse"];
    let wrong = admin(from.server).replace(server::PASSWORD, "not-the-admins-password");
    let refused = project.waybill_fed(&words, &wrong).exits(1).says(&["as administrator postgres"]);
    assert!(!refused.err.contains("not-the-admins-password"), "{refused:?}");
    from.server.psql(
        "postgres",
        "DROP ROLE IF EXISTS bootstrap_weak; CREATE ROLE bootstrap_weak LOGIN PASSWORD 'pw-of-the-weak-one'",
    );
    let weak = format!(
        "postgresql://bootstrap_weak:pw-of-the-weak-one@127.0.0.1:{}/postgres?sslmode=disable",
        from.server.port
    );
    project.edit(|config| config["destinations"]["warehouse"]["user"] = json!("bootstrap_never"));
    project.waybill_fed(&words, &weak).exits(1).says(&["CREATEROLE and CREATEDB"]);
    project.waybill_fed(&words, "").exits(2).says(&["standard input is empty"]);
    project.waybill_fed(&words, "nonsense").exits(3).says(&["the administrator's address"]);
    project.waybill(&["destination", "bootstrap", "nobody"]).exits(3);
    let lite = Project::new(json!({"version": 1, "connections": []}));
    lite.waybill_fed(&["destination", "bootstrap", "local"], "x")
        .exits(3)
        .says(&["makes what it needs by itself"]);
}
