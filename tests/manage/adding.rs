//! `connection add`.

use serde_json::json;

use super::{config, empty, entry, refused};
use crate::fixture::{Database, Project};
use crate::server::{PASSWORD, USER};

fn address(database: &Database) -> String {
    format!("postgresql://{USER}@127.0.0.1:{}/{}?sslmode=disable", database.server.port, database.name)
}

#[test]
fn an_address_on_standard_input_becomes_a_connection_that_runs() {
    let database = Database::new("manage_add");
    database.sql(
        "CREATE TABLE orders (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now());
         CREATE INDEX ON orders (updated_at); CREATE TABLE lists (k text);
         INSERT INTO orders SELECT i, now() - interval '1 hour' FROM generate_series(1, 9) i",
    );
    let project = empty();
    let url = address(&database).replace('@', &format!(":{PASSWORD}@"));
    let words = ["connection", "add", "shop", "--from-url", "-", "--stream", "public.*"];
    let finished =
        project.waybill_fed(&words, &url).exits(0).says(&["shop was saved", "password in secrets.toml"]);
    project.nowhere(PASSWORD, &["secrets.toml"], &finished);
    let shop = entry(&project, "shop");
    assert_eq!(shop["schema"]["port"], database.server.port);
    let order = shop["schema"]["streams"].as_array().unwrap().iter().find(|s| s["name"] == "public.orders");
    assert_eq!(
        order.unwrap(),
        &json!({"name": "public.orders", "mode": "incremental", "write": "merge", "cursor": "updated_at"})
    );
    project.waybill(&["run", "shop"]).exits(0);
    assert_eq!(project.value("SELECT count(*) FROM public_orders"), "9");
}

#[test]
fn a_failed_test_saves_nothing_or_switched_off_as_the_flags_say() {
    let database = Database::new("manage_fail");
    let project = empty();
    let url = address(&database);
    let add = |more: &[&str]| {
        let words =
            [&["connection", "add", "shop", "--from-url", &url, "--secret", "password"], more].concat();
        project.waybill_fed(&words, "wrong-password-1\n")
    };
    let before = config(&project);
    let finished = add(&[]).exits(4).says(&["was not saved", "--save-anyway"]);
    assert!(!project.path("secrets.toml").exists() && config(&project) == before);
    project.nowhere("wrong-password-1", &[], &finished);
    let answer = add(&["--output", "json"]).exits(4).json();
    assert_eq!((&answer["saved"], &answer["test"]["passed"]), (&json!(false), &json!(false)));
    let answer = add(&["--save-anyway", "--output", "json"]).exits(4).json();
    assert_eq!(
        (&answer["saved"], &answer["enabled"], &answer["secrets"]),
        (&json!(true), &json!(false), &json!(["password"]))
    );
    assert_eq!(entry(&project, "shop")["enabled"], false);
    // Corrected and switched on, it works.
    let words = ["connection", "edit", "shop", "--secret", "password"];
    project.waybill_fed(&words, &format!("{PASSWORD}\n")).exits(0).says(&["secret password: written"]);
    project.waybill(&["connection", "test", "shop"]).exits(0);
    project.waybill(&["connection", "enable", "shop"]).exits(0);
    assert_eq!(entry(&project, "shop")["enabled"], true);
}

#[test]
fn a_backend_hands_over_a_whole_entry_and_its_secrets_are_taken_out() {
    let project = empty();
    let document = json!({"name": "shop", "type": "postgres", "retries": 7, "enabled": false,
        "schema": {"host": "db", "user": "me", "password": "hunter2hunter2", "streams": [{"name": "public.t"}]}});
    let words = ["connection", "add", "--json", "-", "--no-test", "--no-input", "--output", "json"];
    let finished = project.waybill_fed(&words, &document.to_string()).exits(0);
    let answer = finished.json();
    project.nowhere("hunter2hunter2", &["secrets.toml"], &finished);
    assert_eq!((&answer["connection"], &answer["secrets"]), (&json!("shop"), &json!(["password"])));
    let shop = entry(&project, "shop");
    assert_eq!(shop["id"], answer["id"]);
    assert_eq!((&shop["retries"], &shop["schema"]["user"]), (&json!(7), &json!("me")));
    let secrets = std::fs::read_to_string(project.path("secrets.toml")).unwrap();
    assert_eq!(secrets, "[sources.shop]\npassword = \"hunter2hunter2\"\n");
    // The same name, however it is written, is not given twice.
    for name in ["shop", "SHOP"] {
        let again = json!({"name": name, "type": "sqlite", "schema": {"path": "x.db"}}).to_string();
        project
            .waybill_fed(&words, &again)
            .exits(3)
            .says(&["there is a connection \"shop\" already", "hint:"]);
    }
}

#[test]
fn references_are_written_and_followed_where_they_lead() {
    let project = empty();
    let words = [
        "connection",
        "add",
        "shop",
        "--type",
        "postgres",
        "--no-test",
        "--set",
        "host=db",
        "--set",
        "user=me",
    ];
    project
        .waybill(&[&words[..], &["--secret-env", "password=SHOP_PASSWORD"]].concat())
        .exits(0)
        .says(&["the variable SHOP_PASSWORD is not set"]);
    let secrets = std::fs::read_to_string(project.path("secrets.toml")).unwrap();
    assert!(secrets.contains("password = { env = \"SHOP_PASSWORD\" }"), "{secrets}");
    assert_eq!(entry(&project, "shop")["schema"], json!({"host": "db", "user": "me"}));
}

#[test]
fn the_first_connection_makes_the_config() {
    let project = empty();
    std::fs::remove_file(project.path("config.json")).unwrap();
    project.file("data/a.csv", "id\n1\n2\n");
    // Nothing is made by what is refused.
    project.waybill(&["connection", "add", "--from-url", "report.pdf"]).exits(3);
    assert!(!project.path("config.json").exists());
    project.waybill(&["connection", "add", "--from-url", "data/*.csv"]).exits(0).says(&["data was saved"]);
    project.waybill(&["run", "data"]).exits(0);
    assert_eq!(project.value("SELECT count(*) FROM data"), "2");
}

#[test]
fn a_missing_flag_is_named_and_is_wrong_usage() {
    let project = empty();
    for (words, part) in [
        (&["connection", "add"][..], "--type"),
        (&["connection", "add", "x"], "--type"),
        (&["connection", "add", "--type", "postgres"], "name"),
        (&["connection", "add", "x", "--type", "sqlite"], "--set path=VALUE"),
        (&["connection", "add", "x", "--type", "postgres"], "--set user=VALUE"),
        (&["connection", "add", "x", "--type", "postgres", "--set", "user"], "KEY=VALUE"),
        (
            &["connection", "add", "x", "--type", "postgres", "--set", "user=u", "--secret", "password"],
            "standard input",
        ),
        (
            &["connection", "add", "x", "--type", "postgres", "--set", "user=u", "--secret-env", "password"],
            "--secret-env",
        ),
        (&["connection", "add", "--from-url", "postgres://u:geheim77@h/d"], "--from-url -"),
        (&["connection", "add", "--from-url", "postgres://u@h/d", "--type", "sqlite"], "postgres"),
        (&["connection", "add", "--json", "{}"], "--json takes -"),
        (&["connection", "add", "--json", "-"], "standard input is empty"),
        (
            &["connection", "add", "x", "--type", "sqlite", "--set", "path=a", "--no-test", "--save-anyway"],
            "--no-test",
        ),
        (&["connection", "remove", "x", "--wait-lock", "soon"], "--wait-lock"),
        (&["connection", "restore"], "<REMOVED>"),
        (&["connection", "rename", "x"], "<NEW>"),
        (&["connection", "enable"], "<NAME>"),
        (&["connection", "select", "x", "--mode", "merge"], "--stream"),
        (&["connection", "test", "--retry", "many"], "--retry"),
    ] {
        let mut words = words.to_vec();
        words.push("--no-input");
        let finished = refused(&project, &words, 2, &[]);
        let said = &finished.err;
        assert!(said.contains(part) || said.contains(&part.replace(['<', '>'], "")), "{words:?}: {said}");
        assert!(!said.contains("geheim77"), "{said}");
    }
}

#[test]
fn nonsense_is_refused_with_the_rule_and_nothing_is_written() {
    let project = empty();
    let long = "a".repeat(65);
    for name in ["../x", "-x", ".x", "a b", "a/b", "ü", "", &long] {
        let words = ["connection", "add", "--type=sqlite", "--set=path=a.db", "--no-test", "--", name];
        let finished = project.waybill(&words);
        assert!([2, 3].contains(&finished.code), "{finished:?}");
        assert!(
            finished.err.contains("letters, digits, _ and -") || finished.code == 2,
            "{name}: {}",
            finished.err
        );
    }
    for (words, part) in [
        (&["--type", "postgras"][..], "did you mean \"postgres\""),
        (&["--type", "postgres", "--set", "hots=x"], "did you mean \"host\""),
        (&["--type", "postgres", "--set", "port=70000", "--set", "user=u"], "port"),
        (&["--type", "postgres", "--set", "port=x"], "whole number"),
        (&["--type", "postgres", "--set", "port=-1", "--set", "user=u"], "port"),
        (&["--type", "postgres", "--set", "tls=maybe", "--set", "user=u"], "tls"),
        (&["--type", "postgres", "--set", "password=geheim77"], "--secret password"),
        (&["--type", "postgres", "--set", "user=u", "--secret-env", "user=X"], "user is no secret"),
        (&["--type", "sqlite", "--set", "path="], "path"),
        (
            &["--type", "sqlite", "--set", "path=a.db", "--destination", "nowhere"],
            "no destination \"nowhere\"",
        ),
        (&["--type", "sqlite", "--set", "path=a.db", "--set", "retries=many"], "retries"),
        (&["--type", "sqlite", "--set", "path=a.db", "--set", "query_timeout_ms=0"], "query_timeout_ms"),
        (&["--from-url", "postgresql://u@h:99999/d"], "port is no number"),
        (&["--from-url", "mysql://u@h/d"], "mysql://"),
        (&["--from-url", "postgresql://u@h/d?colour=red"], "colour"),
    ] {
        let words = [&["connection", "add", "x", "--no-test"], words].concat();
        let finished = refused(&project, &words, 3, &[part]);
        assert!(!finished.err.contains("geheim77"), "{}", finished.err);
    }
    for document in [
        "[]",
        "5",
        "{\"name\": \"x\"",
        "{\"name\": 5, \"type\": \"sqlite\"}",
        "{\"name\":\"x\",\"type\":\"sqlite\",\"schema\":[]}",
        "{\"name\":\"x\",\"type\":\"postgres\",\"schema\":{\"user\":\"u\",\"password\":{\"a\":1}}}",
        "{\"name\":\"x\",\"type\":\"sqlite\",\"schema\":{\"path\":\"a\"},\"id\":\"7\"}",
    ] {
        project
            .waybill_fed(&["connection", "add", "--json", "-", "--no-test"], document)
            .exits(3)
            .says(&["hint:"]);
    }
    assert_eq!(project.config(), json!({"version": 1, "connections": []}));
    assert!(!project.path("secrets.toml").exists() && !project.path("runs").exists());
}

#[test]
fn an_emptied_config_is_said_and_left_alone() {
    let project: Project = empty();
    for text in ["", "   \n", "[]", "{\"connections\": {}}", "{\"version\": 99}"] {
        project.file("config.json", text);
        for words in [
            &["connection", "add", "x", "--type", "sqlite", "--set", "path=a.db", "--no-test"][..],
            &["connection", "rename", "a", "b"],
            &["connection", "edit", "a", "--set", "retries=1"],
            &["connection", "remove", "a", "--yes"],
            &["connection", "enable", "a"],
            &["connection", "select", "a", "--stream", "b", "--offline"],
        ] {
            let finished = project.waybill(words).exits(3);
            assert!(finished.err.contains("hint:"), "{text:?} {words:?}: {}", finished.err);
            assert_eq!(config(&project), text);
        }
    }
}
