//! Changes between two runs, under each policy, in each mode, into each system.

use serde_json::Value;

use super::{CHANGES, Held, MODES, changes, in_postgres, in_sqlite, tables};
use crate::fixture::{Database, Project, postgres};

/// How the second run of a stream is to end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Loaded; the changes that the event names, `column before after`, sorted.
    Loaded(&'static [&'static str]),
    /// Failed, saying this.
    Failed(&'static str),
}

/// What each policy makes of each change.
fn expected(change: &str, mode: &str, policy: &str) -> End {
    use End::{Failed, Loaded};
    if change == "rekeyed" {
        // The key is part of what a state means.
        return if mode == "full" {
            Loaded(&[])
        } else {
            Failed("its stored state belongs to another source, cursor, key")
        };
    }
    let full = mode == "full";
    match (change, policy) {
        ("swapped" | "reordered" | "recreated" | "longer", _) => Loaded(&[]),
        ("added", "evolve" | "ignore") => Loaded(&["x - text"]),
        ("dropped", "evolve" | "ignore") => Loaded(&["b text -"]),
        ("renamed", "evolve" | "ignore") => Loaded(&["b text -", "bb - text"]),
        ("widened", "evolve") => Loaded(&["n int32 int64"]),
        ("scaled", "evolve") => Loaded(&["d decimal(8,2) decimal(14,6)"]),
        ("to_text" | "to_date", "evolve") if change == "to_date" && full => Loaded(&["n int32 date"]),
        ("to_text" | "to_date", "evolve") => Loaded(&["n int32 text"]),
        // What is made anew follows the source; what has rows keeps what holds them all.
        ("narrowed", "evolve") if full => Loaded(&["d decimal(8,2) decimal(5,1)", "n int32 int16"]),
        ("from_text", "evolve") if full => Loaded(&["v text int32"]),
        ("narrowed" | "from_text", _) => Loaded(&[]),
        (_, "freeze") => Failed("columns changed although they are frozen"),
        ("scaled", "ignore") => Failed("holds a value that is no decimal(8,2)"),
        (_, "ignore") => Failed("cannot be read as int32"),
        _ => unreachable!("{change} {mode} {policy}"),
    }
}

fn named(events: &[&Value], stream: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for event in events.iter().filter(|event| event["stream"] == stream) {
        for change in event["data"]["changes"].as_array().unwrap() {
            let word = |key: &str| change[key].as_str().unwrap_or("-").to_owned();
            found.push(format!("{} {} {}", word("column"), word("before"), word("after")));
        }
    }
    found.sort();
    found
}

/// Looks at one table after the second run.
fn check(theirs: &Held, ours: &Held, table: &str, mode: &str, policy: &str, loaded: bool) {
    let at = |what: &str| format!("{table} under {policy}: {what}");
    let (theirs, ours) = (&theirs[table], &ours[table]);
    let columns: Vec<&str> = ours[&5].keys().map(String::as_str).collect();
    let as_before = ["a", "b", "d", "id", "n", "v"];
    if !loaded || policy == "ignore" {
        assert_eq!(columns, as_before, "{}", at("columns"));
    }
    let rows = if loaded { 11 } else { 10 };
    assert!(ours.keys().copied().eq(1..=rows), "{}", at("each row once"));
    if !loaded {
        return;
    }
    if policy != "ignore" {
        assert!(theirs[&5].keys().all(|column| columns.contains(&column.as_str())), "{}", at("new columns"));
    }
    for column in columns {
        let Some(new) = theirs[&11].get(column) else {
            assert_eq!(ours[&11][column], "null", "{}", at(column));
            let old = if mode == "full" { "null".to_owned() } else { format!("{column}5") };
            assert_eq!(ours[&5][column], old, "{}", at(column));
            continue;
        };
        assert_eq!(ours[&11][column], *new, "{}", at(column));
        // Row 10 lies on the border, and a merge updates it; the others were loaded before.
        let old = match column {
            _ if mode == "full" => theirs[&5][column].clone(),
            "x" | "bb" => "null".to_owned(),
            "id" => "5".to_owned(),
            "n" => "50".to_owned(),
            "d" => "5.5".to_owned(),
            text => format!("{text}5"),
        };
        assert_eq!(ours[&5][column], old, "{}", at(column));
    }
}

fn matrix(policy: &str, into_postgres: bool) {
    let to = if into_postgres { "pg" } else { "lite" };
    let source = Database::new(&format!("change_{policy}_{to}_in"));
    let streams = tables(&source, policy, &MODES);
    let project: Project = postgres::source(&source, Value::from(streams));
    let target = into_postgres.then(|| Database::new(&format!("change_{policy}_{to}_out")));
    if let Some(target) = &target {
        postgres::destination(&project, target);
    }
    project.run().exits(0);
    source.sql(&changes(&MODES));
    project.run();
    let (log, summary) = (project.log(), project.summary());
    let events = log.named("schema.changed");
    let theirs = in_postgres(&source, &MODES);
    let ours =
        target.as_ref().map_or_else(|| in_sqlite(&project, &MODES), |target| in_postgres(target, &MODES));
    let mut failed = 0;
    for change in &CHANGES {
        for mode in MODES {
            let table = format!("{}_{mode}", change.name);
            let stream = format!("public.{table}");
            let finished =
                log.named("stream.finished").into_iter().find(|event| event["stream"] == stream.as_str());
            let error = finished.map(|event| event["error"].clone()).unwrap_or_default();
            let end = expected(change.name, mode, policy);
            match &end {
                End::Loaded(changes) => {
                    assert!(error.is_null(), "{table} under {policy}: {error}");
                    assert_eq!(named(&events, &stream), *changes, "{table} under {policy}");
                }
                End::Failed(words) => {
                    failed += 1;
                    assert!(
                        error["message"].as_str().unwrap_or_default().contains(words),
                        "{table} under {policy}: {error}"
                    );
                    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{table}: {error}");
                    assert_eq!(
                        error["kind"],
                        if words.contains("holds a value") { "data" } else { "schema" },
                        "{table}"
                    );
                }
            }
            check(&theirs, &ours, &table, mode, policy, matches!(end, End::Loaded(_)));
        }
    }
    assert_eq!(log.named("retry.scheduled").len(), 0, "nothing of this is tried again");
    assert_eq!(summary["exit_code"], if failed > 0 { 5 } else { 0 });
    for event in events {
        assert_eq!(event["data"]["policy"], policy, "{event}");
    }
    if policy == "evolve" {
        project.run();
        assert_eq!(
            project.log().named("schema.changed"),
            Vec::<&Value>::new(),
            "what was said is not repeated"
        );
    }
}

#[test]
fn evolve_follows_every_change_and_no_value_moves_into_a_neighbours_column() {
    matrix("evolve", false);
    matrix("evolve", true);
}

#[test]
fn freeze_refuses_what_would_change_the_table_and_nothing_else() {
    matrix("freeze", true);
}

#[test]
fn ignore_loads_the_stored_columns_as_they_are() {
    matrix("ignore", true);
}

#[test]
fn a_changed_key_is_refused_with_both_ways_on_and_each_works() {
    let source = Database::new("change_key_in");
    source.sql("CREATE TABLE t (id bigint PRIMARY KEY, a text); INSERT INTO t SELECT n, 'a' || n FROM generate_series(1, 10) n");
    let stream = crate::fixture::incremental("public.t", serde_json::json!({"cursor": "id"}));
    let project = postgres::source(&source, serde_json::json!([stream]));
    project.run().exits(0);
    for (way, n) in [("accept", 11), ("reset", 12)] {
        let key = if way == "accept" { "(id, a)" } else { "(id)" };
        source.sql(&format!(
            "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY {key}; INSERT INTO t VALUES ({n}, 'a{n}')"
        ));
        let words = [
            "accept: continues from",
            "reset: loads",
            "waybill state accept c --stream public.t",
            "waybill state reset c --stream public.t",
        ];
        project.run().exits(1).says(&words);
        project.waybill(&["state", way, "c", "--stream", "public.t"]).exits(0);
        project.run().exits(0);
        project.run().exits(0);
        assert_eq!(
            project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM public_t"),
            format!("{n}|{n}")
        );
    }
}

#[test]
fn a_stream_that_is_gone_fails_alone_and_goes_on_once_it_is_back() {
    let source = Database::new("change_gone_in");
    source.sql("CREATE TABLE t (id bigint PRIMARY KEY, a text); CREATE TABLE u (id bigint PRIMARY KEY); INSERT INTO t VALUES (1, 'a1')");
    let stream = crate::fixture::incremental("public.t", serde_json::json!({"cursor": "id"}));
    let project = postgres::source(&source, serde_json::json!([stream, {"name": "public.u"}]));
    project.run().exits(0);
    source.sql("DROP TABLE t; INSERT INTO u VALUES (1)");
    project.run().exits(5).says(&["public.t"]);
    assert_eq!(project.value("SELECT count(*) FROM public_u"), "1");
    assert_eq!(project.value("SELECT a FROM public_t"), "a1");
    source.sql("CREATE TABLE t (a text, id bigint PRIMARY KEY); INSERT INTO t VALUES ('a1', 1), ('a2', 2)");
    project.run().exits(0);
    assert_eq!(project.rows("SELECT id, a FROM public_t ORDER BY id"), ["1|a1", "2|a2"]);
}
