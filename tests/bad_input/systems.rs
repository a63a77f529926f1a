//! Streams, columns and cursors that are not there, and servers that do not answer.

use serde_json::{Value, json};

use super::{one_file, recorded, told};
use crate::fixture::{Database, Project, postgres};

fn table(name: &str, stream: Value) -> Project {
    let database = Database::new(name);
    database.sql("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz, doc json); INSERT INTO t VALUES (1, now(), '{}')");
    postgres::source(&database, json!([stream]))
}

#[test]
fn what_is_selected_but_not_there_is_told() {
    let incremental = |cursor: &str| json!({"name": "public.t", "mode": "incremental", "cursor": cursor});
    let cases: [(&str, Value, &[&str]); 6] = [
        ("stream", json!({"name": "public.absent"}), &["public.absent"]),
        ("column", json!({"name": "public.t", "columns": ["id", "absent"]}), &["absent"]),
        ("cursor", incremental("absent"), &["absent"]),
        ("cursor_type", incremental("doc"), &["doc"]),
        ("key", json!({"name": "public.t", "primary_key": ["absent"]}), &["absent"]),
        ("query", json!({"name": "q", "query": "SELECT absent FROM t"}), &["absent"]),
    ];
    for (what, stream, parts) in cases {
        let project = table(&format!("bad_{what}"), stream);
        let finished = project.run();
        assert!([1, 3].contains(&finished.code), "{what}: {finished:?}");
        let code = finished.code;
        told(finished, code, parts);
        recorded(&project, code, parts);
    }
}

#[test]
fn a_file_that_is_not_there_is_told_and_does_not_stop_the_others() {
    let project = one_file(json!({"name": "gone", "path": "gone.csv"}));
    told(project.run(), 1, &["gone.csv"]);
    recorded(&project, 1, &["gone.csv"]);
    project.edit(|config| {
        config["connections"][0]["schema"]["streams"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "t", "path": "t.csv"}));
    });
    project.file("t.csv", "n\n1\n");
    told(project.run(), 5, &["gone.csv"]);
    assert_eq!(project.value("SELECT n FROM t"), "1");
}

#[test]
fn an_unknown_stream_on_the_command_line_is_told() {
    let project = one_file(json!({"name": "t", "path": "t.csv"}));
    project.file("t.csv", "n\n1\n");
    told(project.waybill(&["run", "c", "--stream", "absent"]), 3, &["absent", "t"]);
}

#[test]
fn a_table_without_columns_is_told_or_loaded() {
    let database = Database::new("no_columns");
    database.sql("CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; CREATE TABLE t (id bigint)");
    let project = postgres::source(&database, json!([{"name": "public.nothing"}, {"name": "public.t"}]));
    let finished = project.run();
    assert!([0, 5].contains(&finished.code), "{finished:?}");
    let code = finished.code;
    told(finished, code, &["nothing"]);
    recorded(&project, code, &[]);
}

#[test]
fn a_server_that_is_down_is_exit_75() {
    let streams = json!({"host": "127.0.0.1", "port": 1, "user": "me", "tls": "disable", "streams": [{"name": "public.t"}]});
    let project = Project::new(crate::fixture::one_connection("postgres", streams));
    told(project.run(), 75, &["127.0.0.1:1"]);
    recorded(&project, 75, &["127.0.0.1:1"]);
    let summary = project.summary();
    assert_eq!(
        (&summary["error"]["kind"], &summary["error"]["origin"]),
        (&json!("network"), &json!("source"))
    );
    told(project.waybill(&["connection", "test", "c"]), 4, &["127.0.0.1:1"]);
}

#[test]
fn a_host_and_a_database_that_do_not_exist_are_told() {
    let database = Database::new("exists");
    let project = postgres::source(&database, json!([{"name": "public.t"}]));
    project.edit(|config| config["connections"][0]["schema"]["database"] = json!("does_not_exist"));
    told(project.run(), 1, &["does_not_exist"]);
    recorded(&project, 1, &["does_not_exist"]);
    project.edit(|config| config["connections"][0]["schema"]["host"] = json!("no-such-host.invalid"));
    let finished = project.run();
    assert!([1, 75].contains(&finished.code), "{finished:?}");
    let code = finished.code;
    told(finished, code, &["no-such-host.invalid"]);
}

#[test]
fn a_query_that_takes_too_long_says_so() {
    let database = Database::new("too_long");
    database.sql("CREATE TABLE t (id bigint)");
    let stream = json!({"name": "q", "query": "SELECT id FROM t, (SELECT pg_sleep(0)) s"});
    let project = postgres::source(&database, json!([stream]));
    let mut locked = database.server.interactive(&database.name);
    locked.run("BEGIN");
    locked.run("LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    project.edit(|config| {
        config["connections"][0]["query_timeout_ms"] = json!(300);
        config["connections"][0]["retries"] = json!(0);
    });
    told(project.run(), 75, &["query exceeded 0.3s"]);
    assert_eq!(project.summary()["error"]["kind"], "timeout");
}
