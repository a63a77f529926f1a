//! What a person may write into config.json, and what it gets.

use super::*;
use crate::store::testing::{Home, registry};
use serde_json::json;

fn loaded(config: &str) -> LoadedConfig {
    load_with(&Home::new(config).project, &registry()).unwrap()
}

fn refused(config: &str) -> String {
    let error = load_with(&Home::new(config).project, &registry()).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    format!("{} | {}", error.message(), error.get_hint().unwrap_or_default())
}

/// The first error of a config with this one connection.
fn wrong(connection: Value) -> String {
    let config = loaded(&json!({"connections": [connection]}).to_string());
    let invalid = config.connections[0].as_ref().unwrap_err();
    let error = invalid.error();
    assert_eq!(error.exit_code(), 3);
    let message = error.message().split_once(".json:1: ").map_or(error.message(), |(_, message)| message);
    format!("{message} | {}", error.get_hint().unwrap_or_default())
}

fn depot(schema: Value) -> Value {
    json!({"name": "a", "type": "depot", "schema": schema})
}

#[test]
fn a_full_config_is_read_with_its_defaults_and_origins() {
    let config = loaded(
        &json!({
            "$schema": "x", "version": 1, "destination": "w",
            "destinations": {"w": {"type": "depot", "path": "p"}, "v": {"type": "sqlite", "path": "q"}},
            "defaults": {"retries": 5, "query_timeout_ms": 7},
            "connections": [
                {"id": "0b0e7a52-5b5c-4a5e-9d3e-7b1f3a1c0001", "name": "crm", "type": "depot", "retries": 9,
                 "schema": {"host": "h", "tls": {"verify": true},
                            "streams": [{"name": "public.orders", "mode": "incremental", "cursor": "id", "delimiter": ";"}]},
                 "state": {"public.orders": {"cursor": 5, "digest": "d"}}},
                {"name": "other", "type": "depot", "destination": "v", "enabled": false}
            ]
        })
        .to_string(),
    );
    assert_eq!(config.findings, []);
    let crm = config.connection("crm").unwrap();
    assert_eq!(crm.destination, "w");
    assert_eq!(crm.settings["tls"]["verify"], true);
    assert!(!crm.settings.contains_key("streams"));
    assert_eq!(crm.streams[0].options["delimiter"], ";");
    assert_eq!(
        (crm.policies.retries, crm.policies.query_timeout_ms, crm.policies.stall_timeout_ms),
        (9, 7, 300_000)
    );
    assert_eq!(crm.policies.keep_runs, None);
    let origin = |name: &str| crm.policies.origins[name].to_string();
    assert_eq!(
        [origin("retries"), origin("query_timeout_ms"), origin("parallelism")],
        ["config.json", "config.json defaults", "default"]
    );
    assert_eq!(crm.state["public.orders"].nonce(), None);
    let other = config.connection("other").unwrap();
    assert_eq!((other.destination.as_str(), other.enabled, other.id), ("v", false, None));
    assert_eq!(config.destination_of(other).unwrap().system, "sqlite");
    // The hash is that of the settings, not of how far the streams are.
    let mut moved = config.text.value.clone();
    moved["connections"][0]["state"] = json!({});
    assert_eq!(loaded(&moved.to_string()).connection("crm").unwrap().config_hash, crm.config_hash);
    moved["connections"][0]["retries"] = json!(8);
    assert_ne!(loaded(&moved.to_string()).connection("crm").unwrap().config_hash, crm.config_hash);
}

#[test]
fn without_destinations_data_goes_to_the_embedded_one() {
    let config = loaded(&json!({"connections": [depot(json!({"host": "h"}))]}).to_string());
    let connection = config.connection("a").unwrap();
    let destination = config.destination_of(connection).unwrap();
    assert_eq!((destination.name.as_str(), destination.system.as_str()), ("local", "sqlite"));
    assert_eq!(destination.settings["path"], "waybill.db");
    assert_eq!(destination.origin, Origin::Default);
}

#[test]
fn what_is_wrong_at_the_top_is_refused_with_its_place() {
    assert!(refused("").contains("empty"));
    assert!(refused("{\"connections\": [").contains("ends in the middle"));
    assert!(refused("[]").contains("no object"));
    assert!(refused("{\n \"version\": 2}").contains("config.json:2: version: version 2 is newer"));
    for version in ["0", "-1", "1.0", "\"1\"", "null"] {
        assert!(refused(&format!("{{\"version\": {version}}}")).contains("version: must be"), "{version}");
    }
    assert!(refused("{\"connections\": {}}").contains("connections: must be a list"));
    assert!(refused("{\"destinations\": []}").contains("destinations: must be an object"));
    assert!(refused("{\"destination\": 5}").contains("destination: expected a string, found a whole number"));
    assert!(refused("{\"defaults\": {\"retries\": -1}}").contains("defaults.retries: "));
    assert!(refused("{\"defaults\": 1}").contains("defaults: must be an object"));
    assert!(refused("{\"version\": 1,\n\"version\": 1}").contains("config.json:2: version: stands twice"));
    let meet = json!({"destinations": {"a-b": {"type": "sqlite", "path": "x"}, "A_B": {"type": "sqlite", "path": "y"}}});
    let meet = refused(&meet.to_string());
    assert!(meet.contains("WAYBILL_DESTINATION__A_B__<KEY>") && meet.contains("rename"), "{meet}");
}

#[test]
fn a_wrong_value_names_its_path() {
    let mut good = depot(json!({"host": "h", "streams": [{"name": "x"}, {"name": "y", "cursor": 5}]}));
    assert_eq!(
        wrong(good.clone()),
        "connections[0].schema.streams[1].cursor: expected a string, found a whole number | "
    );
    good["schema"]["streams"][1] = json!({"name": "y", "mode": "incremantal"});
    assert!(wrong(good.clone()).starts_with("connections[0].schema.streams[1].mode: unknown variant"));
    good["schema"]["streams"][1] = json!({"name": "y", "header": "hunter2"});
    assert_eq!(
        wrong(good.clone()),
        "connections[0].schema.streams[1]: header: expected a boolean, found a text | "
    );
    good["schema"]["streams"][1] = json!({"cursor": "c"});
    assert!(wrong(good.clone()).starts_with("connections[0].schema.streams[1]: missing field `name`"));
    good["schema"]["streams"][1] = json!({"name": "x"});
    assert!(
        wrong(good.clone()).starts_with("connections[0].schema.streams[1].name: \"x\" is selected twice")
    );
    good["schema"]["streams"][1] = json!(["x"]);
    assert!(wrong(good.clone()).starts_with("connections[0].schema.streams[1]: must be an object"));
    good["schema"]["streams"] = json!("x");
    assert!(wrong(good.clone()).starts_with("connections[0].schema.streams: must be a list"));
    good["schema"] = json!([]);
    assert!(wrong(good.clone()).starts_with("connections[0].schema: must be an object"));
    for (member, value) in [
        ("query_timeout_ms", json!(0)),
        ("query_timeout_ms", json!(-1)),
        ("query_timeout_ms", json!(1.5)),
        ("query_timeout_ms", json!("30000")),
        ("query_timeout_ms", json!(3_000_000_000_u64)),
        ("parallelism", json!(0)),
        ("retries", json!(1.0)),
        ("id", json!("not-a-uuid")),
        ("enabled", json!("yes")),
        ("name", json!(5)),
        ("state", json!([])),
    ] {
        let mut connection = depot(json!({"host": "h"}));
        connection[member] = value.clone();
        let said = wrong(connection);
        assert!(said.starts_with(&format!("connections[0].{member}: ")), "{member} {value}: {said}");
    }
    let mut connection = depot(json!({"host": "h"}));
    connection["state"] = json!({"public.orders": {"reset": true}});
    assert!(wrong(connection).starts_with("connections[0].state[\"public.orders\"]: reset needs"));
    assert!(wrong(json!(5)).starts_with("connections[0]: must be an object"));
    assert!(wrong(json!({"type": "depot"})).starts_with("connections[0]: missing field `name`"));
    let unknown = wrong(json!({"name": "a", "type": "depto"}));
    assert!(
        unknown.starts_with("connections[0].type: no connector \"depto\"") && unknown.contains("\"depot\"")
    );
    assert!(wrong(json!({"name": "a", "type": "sqlite"})).contains("cannot be used as a source"));
}

#[test]
fn names_are_held_to_the_rule() {
    let long = "a".repeat(300);
    for name in ["../x", "", &long, "\u{430}bc", "a b", "-a", "a.b"] {
        let said = wrong(json!({"name": name, "type": "depot"}));
        assert!(said.starts_with("connections[0].name: ") && said.contains("ASCII only"), "{said}");
        let destination = json!({"destinations": {name: {"type": "sqlite"}}, "connections": []}).to_string();
        assert_eq!(loaded(&destination).invalid_destinations.len(), 1, "{name}");
    }
}

#[test]
fn one_wrong_entry_does_not_stop_the_others() {
    let config = loaded(
        r#"{"destinations": {"bad": {"type": "nope"}, "good": {"type": "sqlite", "path": "x"}},
        "connections": [
            {"name": "a", "type": "depot", "destination": "good", "retries": "x", "query_timeout_ms": 0},
            {"name": "b", "type": "depot", "destination": "good"},
            {"name": "C", "type": "depot", "destination": "good"},
            {"name": "c", "type": "depot", "destination": "good"},
            {"name": "d", "type": "depot", "destination": "bad"},
            {"name": "e", "type": "depot", "destination": "god"},
            {"name": "f", "type": "depot"},
            {"name": "g", "name": "h", "type": "depot"},
            {"name": "i", "id": "0b0e7a52-5b5c-4a5e-9d3e-7b1f3a1c0001", "type": "depot", "destination": "good"},
            {"name": "j", "id": "0B0E7A525B5C4A5E9D3E7B1F3A1C0001", "type": "depot", "destination": "good"}
        ]}"#,
    );
    assert_eq!(config.valid().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["b", "d"]);
    assert!(config.destination_of(config.connection("d").unwrap()).unwrap_err().message().contains("nope"));
    let said = |name: &str| {
        let error = config.connection(name).unwrap_err();
        format!("{} | {}", error.message(), error.get_hint().unwrap_or_default())
    };
    assert!(said("C").contains("is also that of connections[3]") && said("c").contains("connections[2]"));
    assert!(said("e").contains("did you mean \"good\""), "{}", said("e"));
    assert!(said("f").contains("several destinations") && said("f").contains("bad"), "{}", said("f"));
    assert!(said("h").contains("connections[7].name: stands twice"), "{}", said("h"));
    assert!(said("i").contains("connections[9]") && said("j").contains("remove the line with the id"));
    assert!(said("zz").contains("no connection \"zz\""));
    assert!(said("B").contains("did you mean \"b\""));
    assert!(said("../x").contains("no connection \"../x\""));
}

#[test]
fn unknown_members_are_warnings_that_say_what_was_meant() {
    let config = loaded(
        r#"{"connectons": [], "destinations": {"w": {"type": "depot", "path": "p", "polar": 1}},
        "defaults": {"retry": 1},
        "connections": [{"name": "a", "type": "depot", "enable": true, "parallelsm": 2,
            "schema": {"hst": "x", "host": "h", "tls": {"verfy": true},
                "streams": [{"name": "x", "cursr": "c", "delimeter": ","}]},
            "state": {"x": {"cursor": 1, "note": "mine"}}}]}"#,
    );
    let found: Vec<(&str, bool)> =
        config.findings.iter().map(|f| (f.path.as_str(), f.message.contains("did you mean"))).collect();
    let expected = [
        ("connectons", true),
        ("defaults.retry", true),
        ("connections[0].enable", true),
        ("connections[0].parallelsm", true),
        ("connections[0].state.x.note", false),
        ("destinations.w.polar", true),
        ("connections[0].schema.hst", true),
        ("connections[0].schema.tls.verfy", true),
        ("connections[0].schema.streams[0].cursr", true),
        ("connections[0].schema.streams[0].delimeter", true),
    ];
    for one in expected {
        assert!(found.contains(&one), "{one:?} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(
        config.findings[0].message.contains("config.json:1: connectons: unknown"),
        "{:?}",
        config.findings[0]
    );
    // They are left out, so that a connector that refuses unknown settings still runs.
    let connection = config.connection("a").unwrap();
    assert_eq!(Value::Object(connection.settings.clone()), json!({"host": "h", "tls": {}}));
    assert!(connection.streams[0].options.is_empty());
}

#[test]
fn secrets_do_not_stand_in_the_config() {
    for (schema, path) in [
        (json!({"host": "h", "password": "hunter2"}), "password"),
        (json!({"host": "h", "password": {"env": "hunter2"}}), "password"),
        (json!({"host": "h", "tls": {"key": "hunter2"}}), "tls.key"),
        (json!({"host": "h", "endpoint": "https://u:hunter2@h/"}), "endpoint"),
    ] {
        let said = wrong(depot(schema));
        assert!(said.starts_with(&format!("connections[0].schema.{path}: holds a secret")), "{said}");
        assert!(said.contains("secrets.toml under [sources.a]") && !said.contains("hunter2"), "{said}");
    }
    let config = loaded(r#"{"destinations": {"w": {"type": "depot", "path": "p", "password": "hunter2"}}}"#);
    let said = format!("{:?}", config.invalid_destinations);
    assert!(said.contains("[destination.w.credentials]") && !said.contains("hunter2"), "{said}");
    let query = depot(
        json!({"host": "h", "streams": [{"name": "q", "query": "select 1 where a='x' and password='y'"}]}),
    );
    assert!(loaded(&json!({"connections": [query]}).to_string()).connection("a").is_ok());
}

#[test]
fn a_stray_override_is_a_warning() {
    let text = r#"{"destinations": {"w-1": {"type": "depot", "path": "p"}}}"#;
    let env = [("WAYBILL_DESTINATION__W_1__PATHS", "x"), ("WAYBILL_DESTINATION__W_1__PORT", "1")];
    let config = load_with(&Home::with_env(text, &env).project, &registry()).unwrap();
    assert_eq!(config.findings.len(), 1);
    assert!(config.findings[0].message.contains("did you mean \"WAYBILL_DESTINATION__W_1__PATH\""));
}

#[test]
fn the_folder_of_a_symbolic_link_may_be_read_only_and_elsewhere() {
    let home = Home::new("{}");
    let real = home.folder.path().join("real.json");
    std::fs::rename(&home.project.config_path, &real).unwrap();
    std::os::unix::fs::symlink(&real, &home.project.config_path).unwrap();
    assert!(load_with(&home.project, &registry()).is_ok());
    // Reading leaves nothing behind: no lock, no folder.
    assert_eq!(std::fs::read_dir(home.folder.path()).unwrap().count(), 2);
}
