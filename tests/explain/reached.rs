//! Servers that cannot be reached, or do not let the program in.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::failed;
use crate::fixture::postgres::{settings, source, source_at};
use crate::fixture::{Database, Project};
use crate::server::{PgServer, free_port};

/// A source that is reached so, without waiting long.
fn with(change: Value) -> Project {
    let mut schema = settings(PgServer::shared(), "postgres");
    for (key, value) in change.as_object().unwrap() {
        schema[key] = value.clone();
    }
    let project = source_at(schema, json!([{"name": "public.t"}]));
    project.edit(|config| config["connections"][0]["retries"] = json!(1));
    project
}

#[test]
fn a_wrong_password() {
    let project = with(json!({}));
    project.secrets("[sources.c]\npassword = \"not-the-password-of-it\"\n");
    project.run().exits(1);
    let said =
        failed(&project, "wrong-password", "auth", &["does not accept user", "with this password", "28P01"]);
    assert!(said.contains("waybill connection test c"), "{said}");
}

#[test]
fn a_host_that_nobody_knows() {
    let project = with(json!({"host": "no such host"}));
    project.run().exits(1);
    failed(&project, "unknown-host", "not_found", &["there is no host", "no such host", "source"]);
}

#[test]
fn a_port_where_nobody_listens() {
    let port = free_port();
    let project = with(json!({"port": port}));
    project.run().exits(75);
    let said = failed(
        &project,
        "closed-port",
        "network",
        &["refuses connections", &port.to_string(), "phase check", "attempt 2"],
    );
    assert!(said.contains("survived"), "the first attempt is told too:\n{said}");
}

#[test]
fn a_server_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let project = with(json!({"port": silent.local_addr().unwrap().port(), "connect_timeout_ms": 200}));
    project.run().exits(75);
    failed(&project, "silent-server", "timeout", &["did not answer within 0.2s"]);
}

#[test]
fn a_server_without_tls_where_tls_is_required() {
    let project = with(json!({"tls": "require"}));
    project.run().exits(3);
    failed(&project, "no-tls", "config", &["offers no TLS"]);
}

#[test]
fn a_certificate_that_nobody_signed() {
    let (server, _certificate) = PgServer::with_tls();
    let mut schema = settings(&server, "postgres");
    (schema["tls"], schema["host"]) = (json!("verify"), json!("localhost"));
    let project = source_at(schema, json!([{"name": "public.t"}]));
    project.run().exits(1);
    failed(&project, "untrusted-certificate", "auth", &["certificate", "signed by nobody"]);
}

#[test]
fn a_database_that_is_not_there() {
    let project = with(json!({"database": "explain_nowhere"}));
    project.run().exits(1);
    failed(&project, "no-database", "not_found", &["there is no database \"explain_nowhere\"", "3D000"]);
}

#[test]
fn a_user_who_may_not_log_in() {
    let server = PgServer::shared();
    server.psql(
        "postgres",
        "DROP ROLE IF EXISTS explain_shut; CREATE ROLE explain_shut NOLOGIN PASSWORD 'pw-of-the-shut-one'",
    );
    let project = with(json!({"user": "explain_shut"}));
    project.secrets("[sources.c]\npassword = \"pw-of-the-shut-one\"\n");
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "no-login", &kind, &["explain_shut", "log in"]);
}

#[test]
fn a_tunnel_whose_program_ends_at_once() {
    let from = Database::new("explain_tunnel_gone");
    let mut schema = from.settings();
    schema["tunnel"] = json!({"type": "command",
        "command": ["sh", "-c", "echo bastion says: key expired yesterday >&2; exit 7", "{local_port}"]});
    let project = source_at(schema, json!([{"name": "public.t"}]));
    project.edit(|config| config["connections"][0]["retries"] = json!(1));
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    let said = failed(&project, "tunnel-program", &kind, &["tunnel", "key expired yesterday"]);
    assert!(said.contains("tunnel.exited"), "{said}");
}

#[test]
fn a_program_of_a_tunnel_that_is_not_installed() {
    let from = Database::new("explain_tunnel_absent");
    let mut schema = from.settings();
    schema["tunnel"] = json!({"type": "command", "command": ["no-such-program-of-waybill", "{local_port}"]});
    let project = source_at(schema, json!([{"name": "public.t"}]));
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "tunnel-absent", &kind, &["no-such-program-of-waybill"]);
}

#[test]
fn a_destination_with_a_wrong_password() {
    let from = Database::new("explain_dest_auth");
    from.sql("CREATE TABLE t (id bigint PRIMARY KEY)");
    let project = source(&from, json!([{"name": "public.t"}]));
    crate::fixture::postgres::destination(&project, &from);
    project.secrets(&format!(
        "[sources.c]\npassword = \"{}\"\n[destination.warehouse.credentials]\npassword = \"not-that-of-the-warehouse\"\n",
        crate::server::PASSWORD
    ));
    project.run().exits(1);
    failed(
        &project,
        "destination-password",
        "auth",
        &["does not accept user", "with this password", "destination"],
    );
}
