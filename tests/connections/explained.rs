//! What is wrong with a connection is said in plain words, with what to do about it.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::fixture::Project;
use crate::fixture::postgres::{settings, source_at};
use crate::server::{PASSWORD, PgServer, free_port};

/// How connecting failed with these settings: kind, message, hint and causes of the source's check.
#[track_caller]
fn refused(base: &Value, change: Value) -> (String, String, String, Vec<Value>) {
    refused_in(&project(base, change))
}

fn project(base: &Value, change: Value) -> Project {
    let mut schema = base.clone();
    let mut password = PASSWORD.to_owned();
    for (key, value) in change.as_object().unwrap() {
        match key.as_str() {
            "password" => password = value.as_str().unwrap().to_owned(),
            _ => schema[key] = value.clone(),
        }
    }
    let project = source_at(schema, json!([]));
    let line = if password.is_empty() { String::new() } else { format!("password = \"{password}\"\n") };
    project.secrets(&format!("[sources.c]\n{line}"));
    project
}

#[track_caller]
fn refused_in(project: &Project) -> (String, String, String, Vec<Value>) {
    let tested = project.waybill(&["connection", "test", "c", "--output", "json"]).exits(4);
    let answer = tested.json();
    let error = &answer["connections"][0]["source"]["checks"][0]["error"];
    let text =
        |member: &str| error[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}")).to_owned();
    let causes = error["cause"].as_array().unwrap().clone();
    (text("kind"), text("message"), text("hint"), causes)
}

#[track_caller]
fn says(found: &(String, String, String, Vec<Value>), kind: &str, message: &str, hint: &str) {
    assert_eq!(found.0, kind, "{found:?}");
    assert!(found.1.contains(message), "no {message:?} in {found:?}");
    assert!(found.2.contains(hint), "no {hint:?} in {found:?}");
    assert!(!found.3.is_empty(), "without a cause: {found:?}");
    // The server's own words are the cause and nothing else.
    assert!(!found.1.contains("FATAL") && !found.1.contains("os error"), "{found:?}");
}

#[test]
fn logins_and_databases_are_explained() {
    let server = PgServer::shared();
    server.database("explained_one");
    server.psql(
        "postgres",
        "DROP ROLE IF EXISTS explained_shut; CREATE ROLE explained_shut LOGIN PASSWORD 'pw-of-the-shut'",
    );
    server.psql("explained_one", "REVOKE CONNECT ON DATABASE explained_one FROM PUBLIC");
    let base = settings(server, "postgres");
    let found = refused(&base, json!({"password": "not-the-password"}));
    says(&found, "auth", "does not accept user \"postgres\" with this password", "correct user and password");
    let found = refused(&base, json!({"user": "nobody_knows"}));
    says(&found, "auth", "\"nobody_knows\"", "a user that does not exist gets the same answer");
    let found = refused(&base, json!({"password": ""}));
    says(&found, "auth", "and none is set", "set password in secrets.toml");
    // Of many databases those come first that begin as the wanted one does.
    let found = refused(&base, json!({"database": "explained_won"}));
    says(&found, "not_found", "there is no database \"explained_won\"", "explained_one");
    // A database that the user may not enter is not proposed.
    let shut = json!({"user": "explained_shut", "password": "pw-of-the-shut", "database": "postgrez"});
    let found = refused(&base, shut);
    says(&found, "not_found", "postgrez", "postgres");
    assert!(!found.2.contains("explained_one"), "{found:?}");
    let shut = json!({"user": "explained_shut", "password": "pw-of-the-shut", "database": "explained_one"});
    says(&refused(&base, shut), "permission", "may not connect to database", "GRANT CONNECT ON DATABASE");
}

#[test]
fn hosts_and_ports_are_explained() {
    let server = PgServer::shared();
    let base = settings(server, "postgres");
    says(&refused(&base, json!({"host": "no such host"})), "not_found", "there is no host", "correct host");
    let found = refused(&base, json!({"port": free_port()}));
    says(&found, "network", "nothing listens there", "start the server");
    let found = refused(&base, json!({"host": "localhost", "port": free_port()}));
    says(&found, "network", "(localhost is ", "start the server");
    let found = refused(&base, json!({"host": "/nowhere"}));
    says(&found, "network", "there is no socket /nowhere/.s.PGSQL.", "correct host and port");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let tested = project(&base, json!({"port": port, "connect_timeout_ms": 200})).waybill(&[
        "connection",
        "test",
        "c",
    ]);
    tested.exits(4).says(&["did not answer within 0.2s", "firewall"]);
}

#[test]
fn a_server_that_listens_at_the_other_loopback_address_is_named() {
    let base = settings(PgServer::shared(), "postgres");
    if TcpListener::bind("[::1]:0").is_err() {
        crate::fixture::tell("this machine has no ::1: the test of it is left out");
        return;
    }
    let found = refused(&base, json!({"host": "::1"}));
    says(&found, "network", "nothing listens at [::1]:", "set host to 127.0.0.1");
    assert!(found.1.contains("but something does at 127.0.0.1:"), "{found:?}");
    let six = TcpListener::bind("[::1]:0").unwrap();
    let port = six.local_addr().unwrap().port();
    let found = refused(&base, json!({"host": "127.0.0.1", "port": port}));
    says(&found, "network", "but something does at [::1]:", "set host to ::1");
}

#[test]
fn tls_and_pg_hba_are_explained() {
    let (server, certificate) = PgServer::with_tls();
    for user in ["only_tls", "rejected", "welcome"] {
        server.psql("postgres", &format!("CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'"));
    }
    let lines = [
        "local all all trust",
        "hostssl all only_tls 127.0.0.1/32 scram-sha-256",
        "host all rejected 127.0.0.1/32 reject",
        "host all unknown_one 127.0.0.1/32 trust",
        "host all welcome,postgres 127.0.0.1/32 scram-sha-256",
    ];
    let lines: Vec<String> = lines.iter().map(|line| format!("('{line}')")).collect();
    let hba = server.psql("postgres", "SHOW hba_file");
    server.psql("postgres", &format!("COPY (VALUES {}) TO '{hba}'", lines.join(", ")));
    server.psql("postgres", "SELECT pg_reload_conf()");
    crate::fixture::wait_until("the new pg_hba.conf", || {
        server.psql("postgres", "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'reject'") == "1"
    });
    let base = settings(&server, "postgres");
    let plain = |user: &str| refused(&base, json!({"user": user}));
    says(&plain("only_tls"), "auth", "only encrypted, or not at all", "set tls to require");
    project(&base, json!({"user": "only_tls", "tls": "require"}))
        .waybill(&["connection", "test", "c"])
        .exits(0);
    let found = refused(&base, json!({"user": "rejected", "tls": "require"}));
    says(&found, "auth", "its pg_hba.conf says so", "hostssl postgres rejected ADDRESS/32");
    says(&plain("unknown_one"), "auth", "there is no user \"unknown_one\"", "CREATE ROLE");
    let found = refused(&base, json!({"tls": "verify", "host": "localhost"}));
    says(&found, "auth", "signed by nobody who is trusted here", "set ca_file");
    let found = refused(&base, json!({"tls": "verify", "ca_file": certificate}));
    says(&found, "auth", "is not for the name \"127.0.0.1\"", "set host to a name");
    assert!(found.3.iter().any(|cause| cause.to_string().contains("localhost")), "{found:?}");
    let without = settings(PgServer::shared(), "postgres");
    let found = refused(&without, json!({"tls": "require"}));
    says(&found, "config", "offers no TLS", "tls to prefer");
}
