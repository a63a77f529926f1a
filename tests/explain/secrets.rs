//! Secrets that are missing, open to others, or cannot be fetched.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::failed;
use crate::fixture::Project;
use crate::fixture::postgres::{settings, source_at};
use crate::server::PgServer;

fn project(secrets: &str) -> Project {
    let project = source_at(settings(PgServer::shared(), "postgres"), json!([{"name": "public.t"}]));
    project.secrets(secrets);
    project
}

#[test]
fn a_password_that_is_set_nowhere() {
    let project = project("[sources.other]\npassword = \"x\"\n");
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "secret-missing", &kind, &["password", "none is set"]);
}

#[test]
fn a_secrets_file_that_others_can_read() {
    let project = project("[sources.c]\npassword = \"x\"\n");
    let file = project.path("secrets.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    project.run().exits(3);
    let said = failed(&project, "secrets-loose", "config", &["secrets.toml", "644"]);
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn a_variable_that_is_not_set() {
    let project = project("[sources.c]\npassword = { env = \"WAYBILL_EXPLAIN_NOT_SET\" }\n");
    project.run().exits(3);
    failed(&project, "secret-variable", "config", &["WAYBILL_EXPLAIN_NOT_SET", "phase resolve"]);
}

#[test]
fn a_program_for_a_secret_that_fails() {
    let project = project(
        "[sources.c]\npassword = { command = [\"sh\", \"-c\", \"echo vault is sealed >&2; exit 4\"] }\n",
    );
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "secret-command", &kind, &["sources.c.password", "vault is sealed"]);
}
