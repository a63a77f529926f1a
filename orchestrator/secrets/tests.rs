//! Resolving, from the three places that settings come from.

use super::*;
use crate::store::config::load_with;
use crate::store::testing::{Home, registry};
use serde_json::{Value, json};
use waybill_protocol::Result;

const CONFIG: &str = r#"{
  "destinations": {"w-1": {"type": "depot", "path": "p"}},
  "connections": [{"name": "a", "type": "depot", "retries": 7,
    "schema": {"host": "h", "streams": [{"name": "x"}]}}]
}"#;

fn resolved(config: &str, secrets: &str, env: &[(&str, &str)]) -> Result<Resolved> {
    let home = Home::with_env(config, env);
    if !secrets.is_empty() {
        home.secrets(secrets);
    }
    std::fs::write(home.folder.path().join("pw"), "from file\n").unwrap();
    super::super::store::atomic::write_atomic(&home.folder.path().join("pw"), b"from file\n", Some(0o600))?;
    let loaded = load_with(&home.project, &registry())?;
    resolve_with(&home.project, &loaded, loaded.connection("a")?, &registry())
}

fn refused(secrets: &str, env: &[(&str, &str)]) -> String {
    let error = resolved(CONFIG, secrets, env).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let all = format!("{} | {} | {:?}", error.message(), error.get_hint().unwrap(), error.causes());
    assert!(!all.contains("hunter2"), "{all}");
    all
}

fn secret<'r>(resolved: &'r Resolved, name: &str) -> (&'r str, &'r str) {
    let found = resolved.secrets.iter().find(|secret| secret.name == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {:?}", resolved.secrets));
    (found.value.expose(), &found.origin)
}

#[test]
fn without_a_secrets_file_the_config_is_enough() {
    let found = resolved(CONFIG, "", &[]).unwrap();
    assert_eq!(found.source, json!({"host": "h"}));
    assert_eq!(found.destination, json!({"path": "p"}));
    assert_eq!((found.destination_name.as_str(), found.destination_type.as_str()), ("w-1", "depot"));
    assert!(found.secrets.is_empty());
}

#[test]
fn settings_and_secrets_come_together_with_their_origins() {
    let found = resolved(
        CONFIG,
        "[sources.a]\nuser = 'u'\npassword = { env = 'PW' }\nport = { env = 'PORT' }\ntls = { verify = true, key = { file = 'pw' } }\n\
         [destination.w-1]\npooler = true\n[destination.w-1.credentials]\npassword = 'lit'\n",
        &[("PW", "from env"), ("PORT", "5433")],
    )
    .unwrap();
    assert_eq!(
        found.source,
        json!({"host": "h", "user": "u", "password": "from env", "port": 5433, "tls": {"verify": true, "key": "from file"}})
    );
    assert_eq!(found.destination, json!({"path": "p", "pooler": true, "password": "lit"}));
    assert_eq!(secret(&found, "sources.a.password"), ("from env", "env:PW"));
    assert_eq!(secret(&found, "sources.a.tls.key"), ("from file", "file:pw"));
    assert_eq!(secret(&found, "destination.w-1.credentials.password"), ("lit", "literal"));
    assert_eq!(found.secrets.len(), 3);
    assert_eq!(found.origins["source.host"], "config.json");
    assert_eq!(found.origins["source.password"], "secrets.toml env:PW");
    assert_eq!(found.origins["destination.pooler"], "secrets.toml");
    assert_eq!(found.redacted["source.password"], json!({"value": "***", "origin": "secrets.toml env:PW"}));
    assert_eq!(found.redacted["source.tls"]["value"], json!({"verify": true, "key": "***"}));
    assert_eq!(found.redacted["retries"], json!({"value": 7, "origin": "config.json"}));
    assert_eq!(found.redacted["query_timeout_ms"]["origin"], "default");
    let text = format!("{found:?}");
    assert!(!text.contains("from env") && !text.contains("from file") && !text.contains("lit\""), "{text}");
}

#[test]
fn passwords_inside_urls_are_secrets_of_their_own() {
    let found =
        resolved(CONFIG, "[sources.a]\nurl = 'postgres://u:p%40ss@h/db'\nendpoint = 'https://x:tok@h/'", &[])
            .unwrap();
    let values: Vec<&str> = found.secrets.iter().map(|secret| secret.value.expose()).collect();
    assert_eq!(values, ["postgres://u:p%40ss@h/db", "p%40ss", "p@ss", "tok"]);
    assert_eq!(secret(&found, "sources.a.url (password)"), ("p%40ss", "literal"));
    assert_eq!(found.redacted["source.url"]["value"], "***");
    assert_eq!(found.redacted["source.endpoint"]["value"], "https://x:***@h/");
}

#[test]
fn the_environment_wins_for_destinations() {
    let env = [
        ("WAYBILL_DESTINATION__W_1__PATH", "from env"),
        ("WAYBILL_DESTINATION__W_1__PORT", "7"),
        ("WAYBILL_DESTINATION__W_1__TAGS", "[\"a\"]"),
        ("WAYBILL_DESTINATION__W_1__PASSWORD", "12345"),
    ];
    // The reference that is overridden need not be followed.
    let file = "[destination.w-1.credentials]\npassword = { env = 'NOT_SET' }\n";
    let found = resolved(CONFIG, file, &env).unwrap();
    assert_eq!(found.destination, json!({"path": "from env", "password": "12345", "port": 7, "tags": ["a"]}));
    assert_eq!(found.origins["destination.path"], "environment WAYBILL_DESTINATION__W_1__PATH");
    assert_eq!(
        secret(&found, "destination.w-1.credentials.password"),
        ("12345", "env:WAYBILL_DESTINATION__W_1__PASSWORD")
    );
    let said = refused("", &[("WAYBILL_DESTINATION__W_1__PORT", "hunter2")]);
    assert!(said.contains("WAYBILL_DESTINATION__W_1__PORT: must be a whole number"), "{said}");
    let default = r#"{"connections": [{"name": "a", "type": "depot", "schema": {"host": "h"}}]}"#;
    let found = resolved(default, "", &[("WAYBILL_DESTINATION__LOCAL__PATH", "x.db")]).unwrap();
    assert_eq!(found.destination, json!({"path": "x.db"}));
    let found = resolved(default, "[destination.local]\npath = 'y.db'", &[]).unwrap();
    assert_eq!(
        (&found.destination["path"], found.origins["destination.path"].as_str()),
        (&json!("y.db"), "secrets.toml")
    );
    assert_eq!(resolved(default, "", &[]).unwrap().origins["destination.path"], "default");
}

#[test]
fn what_is_wrong_names_its_place_and_no_value() {
    let said = refused("[sources.a]\nhost = 'hunter2'", &[]);
    assert!(said.contains("sources.a.host: stands in config.json too"), "{said}");
    let said = refused(
        "[destination.w-1]\npassword = 'hunter2'\n[destination.w-1.credentials]\npassword = 'hunter2'",
        &[],
    );
    assert!(
        said.contains("destination.w-1.credentials.password: stands in destination.w-1.password too"),
        "{said}"
    );
    let said = refused("[sources.a]\npassword = { env = 'NOT_SET' }", &[]);
    assert!(said.contains("sources.a.password: the variable NOT_SET is not set"), "{said}");
    let said = refused("[sources.a]\npassword = { command = 'op' }", &[]);
    assert!(said.contains("command must be a list of texts"), "{said}");
    let said = refused("[sources.a]\npassword = 77777777", &[]);
    assert!(said.contains("password: expected a string") && !said.contains("7777"), "{said}");
    let said = refused("[sources.a]\nport = 'hunter2'", &[]);
    assert!(said.contains("port: expected u16, found a text"), "{said}");
    let said = refused("[sources.a]\ntls = { key = ['hunter2'] }", &[]);
    assert!(said.contains("source settings of connection \"a\": tls.key"), "{said}");
    let missing = r#"{"connections": [{"name": "a", "type": "depot"}]}"#;
    let error = resolved(missing, "", &[]).unwrap_err();
    assert!(
        error.message().contains("missing field `host`") && error.get_hint().unwrap().contains("add host")
    );
}

#[test]
fn unknown_keys_are_warnings_and_left_out() {
    let found = resolved(CONFIG, "[sources.a]\npasword = 'x'\n", &[]).unwrap();
    assert_eq!(found.source, json!({"host": "h"}));
    assert!(
        found.findings[0]
            .message
            .contains("sources.a.pasword: unknown, and ignored (did you mean \"password\"?)")
    );
    let home = Home::new(CONFIG);
    home.secrets("[sources.b]\n[destination.w-1]\n[destination.w-2]\n");
    let loaded = load_with(&home.project, &registry()).unwrap();
    let places: Vec<String> = check(&home.project, &loaded).unwrap().into_iter().map(|f| f.path).collect();
    assert_eq!(places, ["sources.b", "destination.w-2"]);
}

#[test]
fn an_empty_secret_is_never_looked_for() {
    let found = resolved(CONFIG, "[sources.a]\npassword = ''", &[]).unwrap();
    assert_eq!(found.source["password"], Value::from(""));
    assert!(found.secrets.is_empty());
}
