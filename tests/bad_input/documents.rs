//! config.json and secrets.toml that are missing, broken, or say what cannot be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{one_file, told};
use crate::fixture::{Project, one_connection};

fn good() -> Value {
    one_connection("files", json!({"streams": [{"name": "t", "path": "t.csv"}]}))
}

fn with(config: impl AsRef<[u8]>) -> Project {
    let project = Project::new(good());
    project.file("t.csv", "n\n1\n");
    project.file("config.json", config);
    project
}

/// The config with one member of its connection changed.
fn changed(member: &str, value: Value) -> String {
    let mut config = good();
    config["connections"][0][member] = value;
    config.to_string()
}

#[test]
fn a_config_that_cannot_be_read_refuses_the_run_without_artifacts() {
    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        ("empty", vec![], &["config.json"]),
        ("white space", b" \n".to_vec(), &["config.json"]),
        ("truncated", b"{\"version\": 1,\n \"connections\": [{\"name\": \"c\"".to_vec(), &["config.json:2"]),
        ("no object", b"[1, 2]".to_vec(), &["config.json"]),
        ("not UTF-8", b"{\"version\": 1, \"x\": \"\xff\"}".to_vec(), &["config.json", "UTF-8"]),
        ("wrongly typed", b"{\"version\": 1, \"connections\": {}}".to_vec(), &["connections", "list"]),
        ("from the future", b"{\"version\": 9, \"connections\": []}".to_vec(), &["version 9"]),
        (
            "without the connection",
            b"{\"version\": 1, \"connections\": []}".to_vec(),
            &["no connection", "\"c\""],
        ),
        ("nested without end", format!("{{\"a\":{}", "[".repeat(100_000)).into_bytes(), &["config.json"]),
    ];
    for (what, text, parts) in cases {
        let project = with(text);
        told(project.run(), 3, parts);
        assert!(project.logs().is_empty() && project.summaries().is_empty(), "{what}");
    }
}

#[test]
fn an_entry_that_is_wrong_names_its_path() {
    let schema = |streams: Value| json!({"streams": streams});
    let cases: Vec<(String, &[&str])> = vec![
        (changed("type", json!("nosql")), &["connections[0].type", "nosql", "files"]),
        (changed("type", json!(7)), &["connections[0].type"]),
        (changed("enabled", json!("yes")), &["connections[0].enabled"]),
        (changed("retries", json!(-1)), &["connections[0].retries"]),
        (changed("query_timeout_ms", json!(0)), &["connections[0].query_timeout_ms"]),
        (changed("query_timeout_ms", json!(1.5)), &["connections[0].query_timeout_ms"]),
        (changed("destination", json!("warehouse")), &["connections[0].destination", "warehouse"]),
        (changed("id", json!("no-uuid")), &["connections[0].id"]),
        (changed("schema", json!([])), &["connections[0].schema"]),
        (changed("schema", schema(json!({}))), &["connections[0].schema.streams"]),
        (
            changed("schema", schema(json!([{"path": "t.csv"}]))),
            &["connections[0].schema.streams[0]", "name"],
        ),
        (changed("schema", schema(json!([{"name": " ", "path": "t.csv"}]))), &["streams[0].name"]),
        (changed("schema", schema(json!([{"name": "t"}]))), &["streams[0]", "path"]),
        (
            changed("schema", schema(json!([{"name": "t", "path": "t.csv", "mode": "sometimes"}]))),
            &["streams[0].mode", "incremental"],
        ),
        (
            changed("schema", schema(json!([{"name": "t", "path": "t.csv", "delimiter": "ab"}]))),
            &["streams[0]", "delimiter"],
        ),
        (
            changed("schema", schema(json!([{"name": "t", "path": "a"}, {"name": "t", "path": "b"}]))),
            &["streams[1].name", "twice"],
        ),
        (changed("state", json!({"t": 7})), &["connections[0].state.t"]),
    ];
    for (config, parts) in cases {
        with(config).run().exits(3).says(parts);
    }
}

#[test]
fn a_name_that_is_none_is_refused_with_the_rule() {
    let long = "x".repeat(300);
    for name in ["../x", "", long.as_str(), "сrm", "a b", "a/b", "-a", "a\u{0}b", "ａ"] {
        let config = changed("name", json!(name));
        let finished = with(config).waybill(&["connection", "list"]);
        assert!([0, 3, 4].contains(&finished.code), "{finished:?}");
        let said = format!("{}{}", finished.out, finished.err);
        assert!(said.contains("letters, digits"), "{name:?}: {said}");
        if !name.contains('\u{0}') {
            let project = with(good().to_string());
            let words = if name.starts_with('-') { vec!["run", "--", name] } else { vec!["run", name] };
            let finished = project.waybill(&words);
            assert!([2, 3].contains(&finished.code), "{name:?}: {finished:?}");
            assert!(project.logs().is_empty());
        }
    }
}

#[test]
fn two_entries_of_one_name_or_id_are_refused() {
    let mut config = good();
    let mut second = config["connections"][0].clone();
    second["name"] = json!("C");
    config["connections"].as_array_mut().unwrap().push(second);
    told(with(config.to_string()).run(), 3, &["connections[1]", "connections[0]"]);
    let id = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000");
    config["connections"][0]["id"] = id.clone();
    config["connections"][1]["id"] = id;
    config["connections"][1]["name"] = json!("d");
    told(with(config.to_string()).run(), 3, &["connections[1]", "id"]);
}

#[test]
fn one_wrong_entry_does_not_stop_the_others_and_unknown_fields_are_only_told() {
    let mut config = good();
    config["connections"][0]["retires"] = json!(3);
    config["connections"].as_array_mut().unwrap().push(json!({"name": "broken", "type": 7}));
    let project = with(config.to_string());
    project.run().exits(0);
    assert_eq!(project.value("SELECT n FROM t"), "1");
    let finished = project.waybill(&["config", "validate"]);
    assert_eq!(finished.code, 3, "{finished:?}");
    let said = format!("{}{}", finished.out, finished.err);
    assert!(
        said.contains("retires") && said.contains("retries") && said.contains("connections[1].type"),
        "{said}"
    );
}

#[test]
fn secrets_that_cannot_be_used_are_refused() {
    let project = Project::new(one_connection(
        "postgres",
        json!({"host": "127.0.0.1", "port": 1, "user": "me",
        "streams": [{"name": "public.t"}]}),
    ));
    let cases: [(&str, &[&str]); 6] = [
        ("[sources.c\npassword = \"x\"", &["secrets.toml:1"]),
        ("[sources.c]\npassword = 7\n", &["secrets.toml", "password"]),
        ("sources = 7\n", &["secrets.toml", "sources"]),
        ("[sources]\nc = 7\n", &["secrets.toml", "sources.c"]),
        ("[sources.c]\npassword = { env = \"NOT_SET_ANYWHERE\" }\n", &["NOT_SET_ANYWHERE"]),
        ("[sources.c]\npassword = { file = \"absent.txt\" }\n", &["absent.txt"]),
    ];
    for (text, parts) in cases {
        project.secrets(text);
        told(project.run(), 3, parts);
    }
    project.secrets("[sources.c]\npassword = \"hunter2hunter2\"\n");
    fs::set_permissions(project.path("secrets.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let finished = told(project.run(), 3, &["chmod 600", "WAYBILL_ALLOW_LOOSE_SECRETS"]);
    project.nowhere("hunter2hunter2", &["secrets.toml"], &finished);
}

#[test]
fn a_folder_where_a_file_should_be_is_told() {
    for name in ["config.json", "secrets.toml"] {
        let project = with(good().to_string());
        let _ = fs::remove_file(project.path(name));
        fs::create_dir(project.path(name)).unwrap();
        told(project.run(), 3, &[name]);
    }
    let project = one_file(json!({"name": "t", "path": "t.csv"}));
    fs::create_dir(project.path("t.csv")).unwrap();
    told(project.run(), 3, &["t.csv"]);
    let project = with(good().to_string());
    fs::create_dir(project.path("waybill.db")).unwrap();
    let finished = project.run();
    assert!([1, 3].contains(&finished.code) && finished.out.contains("waybill.db"), "{finished:?}");
}

#[test]
fn a_config_that_is_not_there_is_told_with_what_to_do() {
    let project = with("{}");
    fs::remove_file(project.path("config.json")).unwrap();
    told(project.run(), 3, &["config.json", "waybill init"]);
}
