//! TLS as asked: the authority, the host name, and a certificate of this side.

use serde_json::{Value, json};

use super::{named, preflight};
use crate::fixture::postgres::{settings, source_at};
use crate::fixture::{Project, wait_until};
use crate::server::{Certificates, PgServer};

fn project(server: &PgServer, change: &Value) -> Project {
    let mut schema = settings(server, "postgres");
    for (key, value) in change.as_object().unwrap() {
        schema[key] = value.clone();
    }
    source_at(schema, json!([{"name": "public.t"}]))
}

/// The detail of the check, and the exit code.
#[track_caller]
fn tls(server: &PgServer, change: Value) -> (String, i32) {
    let (report, code) = preflight(&project(server, &change), &[]);
    let finding = if code == 0 { named(&report, "source", "TLS") } else { failed(&report) };
    (format!("{} {}", finding["name"].as_str().unwrap(), finding["detail"].as_str().unwrap()), code)
}

#[track_caller]
fn failed(report: &Value) -> &Value {
    let findings = report["sides"][0]["findings"].as_array().unwrap();
    findings.iter().find(|f| f["status"] == "fail").unwrap_or_else(|| panic!("nothing failed in {report:#}"))
}

#[test]
fn the_authority_and_the_host_name_are_checked_as_asked() {
    let (server, authority) = PgServer::with_authority();
    server.psql("postgres", "CREATE TABLE t (id int)");
    let (_elsewhere, stranger) = PgServer::with_tls();
    let ca = authority.file("ca.crt");
    for (word, checked) in
        [("verify", "were checked"), ("verify-full", "were checked"), ("verify-ca", "not the host name")]
    {
        let (detail, code) = tls(&server, json!({"tls": word, "host": "localhost", "ca_file": ca}));
        assert!(code == 0 && detail.contains("TLSv1.3") && detail.contains(checked), "{word}: {detail}");
        let (detail, code) = tls(&server, json!({"tls": word, "host": "localhost", "ca_file": stranger}));
        assert!(
            code == 4 && detail.contains("TLS") && detail.contains("nobody who is trusted"),
            "{word}: {detail}"
        );
        let (detail, code) = tls(&server, json!({"tls": word, "host": "localhost"}));
        assert!(code == 4 && detail.contains("nobody who is trusted"), "{word}: {detail}");
    }
    // The certificate is for localhost, and not for the address.
    let (detail, code) = tls(&server, json!({"tls": "verify-full", "host": "127.0.0.1", "ca_file": ca}));
    assert!(code == 4 && detail.contains("is not for the name \"127.0.0.1\""), "{detail}");
    assert_eq!(tls(&server, json!({"tls": "verify-ca", "host": "127.0.0.1", "ca_file": ca})).1, 0);
    let (detail, code) = tls(&server, json!({"tls": "require"}));
    assert!(code == 0 && detail.contains("the certificate was not checked"), "{detail}");
}

#[test]
fn a_certificate_of_this_side_lets_in_and_a_strange_one_does_not() {
    let (server, authority) = PgServer::with_authority();
    server.psql("postgres", "CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE ROLE shown LOGIN; GRANT SELECT ON t TO shown");
    authority.sign("shown", "shown", "");
    authority.sign("other", "somebody_else", "");
    let (_elsewhere, strangers) = PgServer::with_authority();
    strangers.sign("shown", "shown", "");
    let hba = server.psql("postgres", "SHOW hba_file");
    let lines = "('local all all trust'), ('hostssl all shown 127.0.0.1/32 cert')";
    server.psql("postgres", &format!("COPY (VALUES {lines}) TO '{hba}'"));
    server.psql("postgres", "SELECT pg_reload_conf()");
    wait_until("the new pg_hba.conf", || {
        server.psql("postgres", "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'cert'") == "1"
    });
    let with = |from: &Certificates, name: &str| {
        json!({"tls": "verify-full", "host": "localhost", "ca_file": authority.file("ca.crt"), "user": "shown",
               "client_cert_file": from.file(&format!("{name}.crt")), "client_key_file": from.file(&format!("{name}.key"))})
    };
    let good = project(&server, &with(&authority, "shown"));
    let (report, code) = preflight(&good, &[]);
    assert_eq!(code, 0, "{report:#}");
    good.run().exits(0);
    assert_eq!(good.value("SELECT count(*) FROM public_t"), "1");
    let (detail, code) = tls(&server, with(&authority, "other"));
    assert!(code == 4 && detail.starts_with("login"), "{detail}");
    let (detail, code) = tls(&server, with(&strangers, "shown"));
    assert!(code == 4 && detail.contains("does not accept the certificate of this side"), "{detail}");
    let mut without = with(&authority, "shown");
    without["client_cert_file"] = Value::Null;
    without["client_key_file"] = Value::Null;
    let (detail, code) = tls(&server, without);
    assert!(code == 4 && detail.starts_with("login"), "{detail}");
}

#[test]
fn files_that_are_not_there_or_are_something_else_are_named() {
    let server = PgServer::shared();
    for (change, part) in [
        (json!({"tls": "verify", "ca_file": "no-such.pem"}), "ca_file: "),
        (json!({"tls": "verify-ca", "ca_file": "config.json"}), "has no line with BEGIN CERTIFICATE"),
        (
            json!({"tls": "require", "client_cert_file": "a.pem", "client_key_file": "b.pem"}),
            "client_cert_file: ",
        ),
    ] {
        let project = project(server, &change);
        let (report, code) = preflight(&project, &[]);
        assert_eq!((code, &failed(&report)["name"]), (4, &json!("settings")), "{report:#}");
        assert!(failed(&report)["detail"].as_str().unwrap().contains(part), "{report:#}");
        project.run().exits(3);
    }
}
