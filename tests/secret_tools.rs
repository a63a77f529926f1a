//! `secrets`: listed without a value, written, removed, and looked for where they stand. A value that a
//! program prints is asked once in a run.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, postgres};
use crate::server::PASSWORD;

const SESAME: &str = "sesame-sesame";

fn project(name: &str) -> (Database, Project) {
    let database = Database::new(name);
    database.sql("CREATE TABLE t (id bigint PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'x')");
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    (database, project)
}

fn script(project: &Project, text: &str) {
    project.file("get", format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(project.path("get"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn text(project: &Project) -> String {
    fs::read_to_string(project.path("secrets.toml")).unwrap()
}

#[test]
fn a_list_has_names_origins_and_users_and_no_value() {
    let (_database, project) = project("secret_list");
    project.secrets(&format!(
        "[sources.c]\npassword = '{SESAME}'\nport = 7\nnonsense = '{SESAME}'\n[sources.gone]\npassword = {{ env = 'PW' }}\n\
         [destination.local]\npath = {{ file = 'p' }}\n[destination.x.credentials]\npassword = {{ command = ['op', '{SESAME}'] }}\n"
    ));
    let list = project.waybill(&["secrets", "list"]).exits(0);
    project.nowhere(SESAME, &["secrets.toml"], &list);
    let told = project.waybill(&["secrets", "list", "--output", "json"]).exits(0);
    assert!(!told.out.contains(SESAME));
    let told = told.json();
    let of = |name: &str| {
        let all = told["secrets"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} in {told:#}")).clone()
    };
    let password = of("sources.c.password");
    assert_eq!(
        (&password["origin"], &password["used_by"], &password["secret"]),
        (&json!("literal"), &json!(["connection c"]), &json!(true))
    );
    assert_eq!(of("sources.c.nonsense")["used_by"], json!([]));
    assert_eq!(of("sources.gone.password")["target"], "PW");
    assert_eq!(of("destination.local.path")["origin"], "file");
    let command = of("destination.x.credentials.password");
    assert_eq!((&command["origin"], &command["target"]), (&json!("command"), &json!("op")));
}

#[test]
fn a_secret_is_written_from_standard_input_or_as_a_reference() {
    let (_database, project) = project("secret_set");
    project.secrets("# mine\n[sources.c]\npassword = 'old'  # rotate\n");
    let set =
        |words: &[&str], input: &str| project.waybill_fed(&[&["secrets", "set"], words].concat(), input);
    let finished = set(&["sources.c.password"], &format!("{SESAME}\n")).exits(0);
    assert_eq!(text(&project), format!("# mine\n[sources.c]\npassword = \"{SESAME}\"  # rotate\n"));
    project.nowhere(SESAME, &["secrets.toml"], &finished);
    set(&["sources.c.password", "--env", "PW"], "").exits(0);
    set(&["destination.local.password", "--file", "p"], "").exits(0).says(&["has no setting \"password\""]);
    set(&["sources.c.password", "--command", "op", "read", "--no-newline", "op://a/b"], "").exits(0);
    assert!(
        text(&project).contains(
            "password = { command = [\"op\", \"read\", \"--no-newline\", \"op://a/b\"] }  # rotate"
        )
    );
    assert!(text(&project).contains("[destination.local.credentials]\npassword = { file = \"p\" }"));
    set(&["sources.nobody.password", "--env", "PW"], "").exits(0).says(&["no connection \"nobody\""]);
    project.waybill(&["secrets", "unset", "sources.nobody.password"]).exits(0);
    project.waybill(&["secrets", "unset", "sources.nobody.password"]).exits(3).says(&["there is no"]);
    for name in
        ["password", "sources.c", "other.c.password", "sources..password", "sources.c.", "sources.../x.k"]
    {
        let refused = set(&[name, "--env", "X"], "");
        assert_eq!(refused.code, 3, "{name}: {refused:?}");
    }
    for input in ["", "\n", &"x".repeat((1 << 20) + 1)] {
        set(&["sources.c.password"], input).exits(2);
    }
    set(&["sources.c.password", "--env", "A", "--file", "b"], "").exits(2);
    project.waybill(&["secrets", "set", "sources.c.password", SESAME]).exits(2);
    fs::set_permissions(project.path("secrets.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    set(&["sources.c.password", "--env", "PW"], "").exits(3).says(&["chmod 600"]);
}

#[test]
fn a_check_says_of_each_whether_it_can_be_had_and_what_to_do() {
    let (_database, project) = project("secret_check");
    script(&project, &format!("echo {PASSWORD}"));
    project.secrets("[sources.c]\npassword = { command = ['./get'] }\n");
    project
        .waybill(&["secrets", "check"])
        .exits(0)
        .says(&["✓ sources.c.password  command:./get", "1 secret checked · 0 failed"]);
    project.secrets(
        "[sources.c]\npassword = { command = ['./no-such'] }\nuser2 = 'x'\n[sources.gone]\npassword = 'long-enough'\n\
         [destination.local]\npath = { env = 'NOT_SET' }\n",
    );
    project.file("config.json", project.config().to_string().replace("\"version\":1", "\"version\":1,\"destinations\":{\"local\":{\"type\":\"sqlite\"},\"w\":{\"type\":\"postgres\",\"host\":\"h\",\"database\":\"d\"}}, \"destination\":\"local\""));
    let finished = project.waybill(&["secrets", "check"]).exits(3);
    for part in [
        "there is no program ./no-such",
        "hint: install ./no-such",
        "NOT_SET is not set",
        "nothing reads it",
        "✗ destination.w.credentials",
        "user: missing",
        "! sources.gone",
    ] {
        assert!(finished.out.contains(part), "no {part:?} in\n{}", finished.out);
    }
    let told = project.waybill(&["secrets", "check", "--output", "json"]).exits(3).json();
    assert_eq!(told["failed"], 3, "{told:#}");
    fs::set_permissions(project.path("secrets.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    project.waybill(&["secrets", "check"]).exits(3).says(&["chmod 600"]);
}

#[test]
fn a_run_asks_a_program_once_and_tells_nobody_what_it_said() {
    let (database, project) = project("secret_command");
    script(&project, &format!("echo asked >> asked; echo 'PIN ok' >&2; echo {PASSWORD}"));
    // The same program for both sides.
    postgres::destination(&project, &database);
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["table"] = json!("loaded"));
    project.secrets(
        "[sources.c]\npassword = { command = ['./get'] }\n[destination.warehouse.credentials]\npassword = { command = ['./get'] }\n",
    );
    let finished = project.run().exits(0);
    assert_eq!(fs::read_to_string(project.path("asked")).unwrap(), "asked\n");
    project.nowhere(PASSWORD, &["get"], &finished);
    let origins: Vec<Value> =
        project.log().named("secret.resolved").iter().map(|e| e["data"]["origin"].clone()).collect();
    assert!(origins.contains(&json!("command:./get")), "{origins:?}");
}

#[test]
fn a_program_that_fails_is_slow_or_says_too_much_stops_the_run_in_words() {
    let (_database, project) = project("secret_fails");
    let run = |body: &str, reference: &str, code: i32, parts: &[&str]| {
        script(&project, body);
        project.secrets(&format!("[sources.c]\npassword = {reference}\n"));
        let finished = project.waybill(&["connection", "test", "c"]);
        assert_eq!(finished.code, code, "{finished:?}");
        let finished = finished.says(parts);
        project.nowhere(SESAME, &["get", "secrets.toml"], &finished);
        finished
    };
    let get = "{ command = ['./get'] }";
    run(
        &format!("echo {SESAME}; echo 'cannot sign in with {SESAME}' >&2; exit 9"),
        get,
        3,
        &["exit code 9", "cannot sign in with ***"],
    );
    run("yes", get, 3, &["more than 1 MiB"]);
    run("true", get, 3, &["printed nothing"]);
    run("sleep 600", "{ command = ['./get'], timeout_ms = 200 }", 4, &["took more than 0.2 s", "timeout_ms"]);
    run("true", "{ command = 'op read' }", 3, &["command must be a list of texts"]);
    run("true", "{ command = ['./get'], shell = true }", 3, &["shell is no member"]);
}
