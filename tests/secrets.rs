//! A secret never leaves the secrets file: not in a log, a summary, an error or on a screen.

use serde_json::json;

use crate::fixture::{Database, Project, postgres};
use crate::server::{PASSWORD, USER};

const WRONG: &str = "s3cret:with/chars@and\\\"quotes";

#[test]
fn the_password_of_a_run_is_nowhere_but_in_the_secrets_file() {
    let database = Database::new("secrets_good");
    database.sql("CREATE TABLE t (id bigint PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'x')");
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    for words in [&["run", "c"][..], &["headless", "c"], &["-v", "run", "c"]] {
        let finished = project.waybill(words).exits(0);
        project.nowhere(PASSWORD, &["secrets.toml"], &finished);
    }
    let resolved = project.log().named("secret.resolved").len();
    assert!(resolved > 0, "the log names the secret without its value");
}

#[test]
fn a_wrong_password_is_told_without_the_password() {
    let database = Database::new("secrets_wrong");
    database.sql("CREATE TABLE t (id bigint)");
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    project.secrets(&format!("[sources.c]\npassword = '{WRONG}'\n"));
    for words in [
        &["run", "c"][..],
        &["headless", "c"],
        &["connection", "test", "c"],
        &["connection", "discover", "c"],
    ] {
        let finished = project.waybill(words);
        assert!([1, 4].contains(&finished.code), "{finished:?}");
        assert!(finished.err.contains("password") || finished.out.contains("password"), "{finished:?}");
        project.nowhere(WRONG, &["secrets.toml"], &finished);
        project.nowhere("s3cret", &["secrets.toml"], &finished);
    }
    assert_eq!(project.summary()["error"]["kind"], "auth");
}

#[test]
fn a_url_with_a_password_is_told_without_it() {
    let database = Database::new("secrets_url");
    let port = database.server.port;
    let project =
        Project::new(crate::fixture::one_connection("postgres", json!({"streams": [{"name": "public.t"}]})));
    for (url, secret) in [
        (
            format!("postgres://{USER}:hunter2hunter2@127.0.0.1:{port}/secrets_url?sslmode=disable"),
            "hunter2hunter2",
        ),
        (
            format!("postgres://{USER}:hunter2%40hunter2@127.0.0.1:1/secrets_url?sslmode=disable"),
            "hunter2%40hunter2",
        ),
        (
            format!("postgres://{USER}:hunter2hunter2@127.0.0.1:{port}/secrets_url?sslmode=nonsense"),
            "hunter2hunter2",
        ),
        ("postgres://hunter2hunter2@@@:99999".to_owned(), "hunter2hunter2"),
    ] {
        project.secrets(&format!("[sources.c]\nurl = \"{url}\"\n"));
        let finished = project.waybill(&["run", "c"]);
        assert!([1, 3, 75].contains(&finished.code), "{finished:?}");
        project.nowhere(secret, &["secrets.toml"], &finished);
    }
}

#[test]
fn a_password_in_the_config_is_refused_and_not_repeated() {
    for schema in [
        json!({"host": "127.0.0.1", "user": "me", "password": "hunter2hunter2", "streams": []}),
        json!({"url": "postgres://me:hunter2hunter2@db/x", "streams": []}),
    ] {
        let project = Project::new(crate::fixture::one_connection("postgres", schema));
        let finished = project.waybill(&["run", "c"]).exits(3).says(&["secrets.toml"]);
        project.nowhere("hunter2hunter2", &["config.json"], &finished);
    }
}

#[test]
fn secrets_by_reference_are_not_shown_either() {
    let database = Database::new("secrets_reference");
    database.sql("CREATE TABLE t (id bigint)");
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    project.secrets("[sources.c]\npassword = { env = \"PG_PASSWORD\" }\n");
    let finished = project.waybill(&["run", "c"]).exits(3).says(&["PG_PASSWORD"]);
    assert!(!finished.err.contains("panic"));
    let mut command = project.command(&["run", "c"]);
    let finished = crate::fixture::Running::start(command.env("PG_PASSWORD", PASSWORD)).wait().exits(0);
    project.nowhere(PASSWORD, &[], &finished);
    project.file("password.txt", format!("{PASSWORD}\n"));
    std::fs::set_permissions(
        project.path("password.txt"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    project.secrets("[sources.c]\npassword = { file = \"password.txt\" }\n");
    let finished = project.run().exits(0);
    project.nowhere(PASSWORD, &["password.txt"], &finished);
}

#[test]
fn a_broken_secrets_file_is_told_without_its_lines() {
    let project = Project::new(crate::fixture::one_connection("files", json!({"streams": []})));
    for text in [
        "[sources.c]\npassword = hunter2hunter2\n",
        "[sources.c]\npassword = \"hunter2hunter2\n",
        "hunter2hunter2",
    ] {
        project.secrets(text);
        let finished = project.waybill(&["run", "c"]).exits(3).says(&["secrets.toml:"]);
        project.nowhere("hunter2hunter2", &["secrets.toml"], &finished);
    }
}
