//! `connection select`.

use serde_json::{Value, json};

use super::{by_hand, entry, refused};
use crate::fixture::{Database, Project, postgres};

fn streams(project: &Project) -> Value {
    entry(project, "c")["schema"]["streams"].clone()
}

#[test]
fn the_catalog_says_what_patterns_mean_and_what_is_proposed() {
    let database = Database::new("manage_select");
    database.sql(
        "CREATE TABLE orders (id bigserial PRIMARY KEY, updated_at timestamptz NOT NULL, note text);
         CREATE INDEX ON orders (updated_at); CREATE TABLE items (id bigserial PRIMARY KEY); CREATE TABLE plain (k text)",
    );
    let project = postgres::source(&database, json!([{"name": "public.plain", "table": "kept"}]));
    let select = |words: &[&str]| project.waybill(&[&["connection", "select", "c"], words].concat());
    select(&["--stream", "public.*", "--propose", "--dry-run"]).exits(0).says(&[
        "+ public.orders",
        "updated_at is indexed and a timestamp",
        "no column tells of changed rows",
        "nothing was written",
    ]);
    assert_eq!(streams(&project), json!([{"name": "public.plain", "table": "kept"}]));
    select(&["--stream", "public.*", "--propose"]).exits(0);
    let all = streams(&project);
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(all[0], json!({"name": "public.plain", "table": "kept"}), "what was selected stays as it was");
    assert!(all.as_array().unwrap().contains(&json!({"name": "public.items"})));
    project.run().exits(0);
    let answer = select(&[
        "--drop",
        "public.i*",
        "--stream",
        "public.orders",
        "--columns",
        "id,updated_at",
        "--where",
        "id > 0",
        "--output",
        "json",
    ])
    .exits(0)
    .json();
    assert_eq!(
        answer["changes"][0],
        json!({"stream": "public.items", "before": {"name": "public.items"}, "after": null})
    );
    let orders = &streams(&project)[1];
    assert_eq!(
        (&orders["columns"], &orders["where"], &orders["cursor"]),
        (&json!(["id", "updated_at"]), &json!("id > 0"), &json!("updated_at"))
    );
    for (words, code, part) in [
        (&["--stream", "public.ordres"][..], 1, "did you mean \"public.orders\""),
        (&["--stream", "public.orders", "--cursor", "updated"], 3, "did you mean \"updated_at\""),
        (&["--stream", "public.items", "--mode", "incremental"], 3, "needs a cursor"),
        (&["--stream", "public.orders", "--columns", "id,nothing"], 3, "no column \"nothing\""),
        (&["--stream", "public.orders", "--primary-key", "nothing"], 3, "no column \"nothing\""),
        (&["--stream", "public.orders", "--mode", "sometimes"], 3, "mode"),
        (&["--stream", "public.orders", "--write", "twice"], 3, "write"),
        (&["--stream", "public.orders", "--lookback", "soon"], 3, "lookback"),
        (&["--stream", "public.orders", "--set", "max_shrink=7"], 3, "max_shrink"),
        (&["--stream", "public.orders", "--set", "curser=id"], 3, "did you mean \"cursor\""),
        (&["--stream", "public.orders", "--set", "cursor"], 2, "KEY=VALUE"),
        (&["--drop", "public.nothing"], 3, "no selected stream"),
        (&[], 2, "--stream GLOB or --drop GLOB"),
    ] {
        refused(&project, &[&["connection", "select", "c"], words].concat(), code, &[part]);
    }
    // A pattern as it stands means what comes later, too.
    select(&["--drop", "*", "--stream", "public.*", "--pattern"]).exits(0);
    assert_eq!(streams(&project), json!([{"name": "public.*"}]));
}

#[test]
fn offline_exact_names_are_enough() {
    let project = by_hand();
    let select =
        |words: &[&str]| project.waybill(&[&["connection", "select", "c", "--offline"], words].concat());
    select(&["--stream", "b", "--set", "path=data/b.csv", "--primary-key", "id"]).exits(0);
    select(&["--stream", "a", "--mode", "incremental", "--write", "append"])
        .exits(0)
        .says(&["mode: nothing → \"incremental\""]);
    assert_eq!(
        streams(&project),
        json!([{"name": "a", "path": "data/a.csv", "mode": "incremental", "write": "append"},
               {"name": "b", "primary_key": ["id"], "path": "data/b.csv"}])
    );
    select(&["--stream", "a", "--unset", "mode", "--unset", "write"]).exits(0);
    select(&["--stream", "a"]).exits(0).says(&["nothing changed"]);
    select(&["--drop", "b"]).exits(0).says(&["- b"]);
    assert_eq!(streams(&project), json!([{"name": "a", "path": "data/a.csv"}]));
    refused(
        &project,
        &["connection", "select", "c", "--offline", "--stream", "x*"],
        3,
        &["leave --offline out"],
    );
    refused(&project, &["connection", "select", "c", "--offline", "--stream", "new"], 3, &["path"]);
    // A file that the source shows is read by its path.
    project.file("data/more.csv", "id\n1\n");
    project.waybill(&["connection", "select", "c", "--stream", "data/m*.csv"]).exits(0);
    assert_eq!(streams(&project)[1], json!({"name": "data/more.csv", "path": "data/more.csv"}));
    project.waybill(&["connection", "select", "nobody", "--stream", "x"]).exits(3);
}
