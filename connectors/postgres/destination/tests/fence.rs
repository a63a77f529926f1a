//! The fence, ownership, and what is on record.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use waybill_protocol::{Commit, Disposition, Identity, Kind, WindowChange, WindowEntry};

use super::{Db, commit_of, load, load_of, two_columns, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_overtaken_commits_nothing() {
    let db = Db::new("fence");
    let first = db.begin("c1", "r1").await;
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    load(&*first, &direct, &[(1, "a")], "k1").await.unwrap();
    let mut writer = first.writer("orders").await.unwrap();
    writer.prepare(&direct).await.unwrap();
    write(&mut writer, "orders", &[(2, "b")]).await;

    let second = db.begin("c1", "r2").await;
    let error = writer.commit(&commit_of("k2", "orders")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Locked, "{error}");
    let error = first.write_states(&commit_of("k3", "orders")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Locked);
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    let error = first.writer("x").await.unwrap().prepare(&staged).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Locked);
    assert_eq!(db.sql("SELECT string_agg(note, '') FROM sales.orders"), "a");
    load(&*second, &direct, &[(3, "c")], "k4").await.unwrap();
    assert_eq!(second.states().await.unwrap()[0].value, json!({"floor": "k4"}));
    // Another connection has a fence of its own.
    db.begin("c2", "r3").await;
    load(&*second, &direct, &[(4, "d")], "k5").await.unwrap();
    assert_eq!(db.sql("SELECT string_agg(note, '' ORDER BY id) FROM sales.orders"), "acd");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_staging_table_another_run_took_says_that_it_was_overtaken() {
    let db = Db::new("fence_stage");
    let first = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    let mut writer = first.writer("orders").await.unwrap();
    writer.prepare(&staged).await.unwrap();
    let other = load_of("others", two_columns(), Disposition::Replace);
    load(&*first, &other, &[(1, "a")], "k0").await.unwrap();

    let second = db.begin("c1", "r2").await;
    load(&*second, &staged, &[(1, "a")], "k1").await.unwrap();
    second.publish(&staged, &commit_of("k2", "orders")).await.unwrap();
    // Rows are on their way when they are taken: the fault may be said by what comes next.
    let error = match writer.write("orders", super::rows(&[(2, "b")])).await {
        Err(error) => error,
        Ok(()) => writer.commit(&commit_of("k3", "orders")).await.unwrap_err(),
    };
    assert_eq!(error.kind(), Kind::Locked, "{error}");
    load(&*second, &other, &[(1, "b")], "k3").await.unwrap();
    second.publish(&other, &commit_of("k4", "others")).await.unwrap();
    let error = first.publish(&other, &commit_of("k5", "others")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Locked, "{error}");
    assert_eq!(db.sql("SELECT string_agg(note, '') FROM sales.orders"), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_may_begin_at_once() {
    let db = Db::new("begin");
    let mut opened = Vec::new();
    for n in 0..8 {
        opened.push(db.open(&format!("c{n}"), "r").await);
    }
    let begun = opened.iter().map(|destination| destination.begin());
    for answer in futures_util::future::join_all(begun).await {
        answer.unwrap();
    }
    assert_eq!(db.sql("SELECT count(*) FROM _waybill_connections WHERE epoch = 1"), "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_on_record_and_nothing_before() {
    let db = Db::new("record");
    let destination = db.open("c1", "r1").await;
    assert!(destination.states().await.unwrap().is_empty());
    assert!(destination.tables().await.unwrap().is_empty());
    assert!(destination.window("orders").await.unwrap().is_empty());
    assert!(destination.parts("orders").await.unwrap().is_empty());
    destination.begin().await.unwrap();
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    let mut commit = commit_of("k1", "orders");
    let entry = |n: u128, count| WindowEntry { identity: Identity(n), count, cursor: "{}".into() };
    let change = WindowChange { clear: true, delete: vec![], insert: vec![entry(1, 1), entry(u128::MAX, 2)] };
    commit.windows = BTreeMap::from([("orders".to_owned(), change)]);
    let part = |file: &str, value| ("orders".to_owned(), file.to_owned(), value);
    commit.parts = vec![part("a.csv", Some(json!({"size": 1}))), part("b'.csv", Some(json!("\u{0}é")))];
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&direct).await.unwrap();
    write(&mut writer, "orders", &[(1, "a")]).await;
    assert!(destination.states().await.unwrap().is_empty());
    writer.commit(&commit).await.unwrap();

    let mut state = commit.states[0].clone();
    assert_eq!(destination.states().await.unwrap(), [state.clone()]);
    assert_eq!(destination.tables().await.unwrap(), std::slice::from_ref(&direct.record));
    assert_eq!(destination.window("orders").await.unwrap(), [entry(1, 1), entry(u128::MAX, 2)]);
    let parts = destination.parts("orders").await.unwrap();
    assert_eq!((parts.len(), &parts["b'.csv"]), (2, &json!("\u{0}é")));
    assert!(destination.committed("stream:orders", "k1").await.unwrap());
    assert!(!destination.committed("stream:orders", "k0").await.unwrap());
    assert!(!destination.committed("stream:other", "k1").await.unwrap());

    let change = WindowChange { clear: false, delete: vec![Identity(1)], insert: vec![entry(u128::MAX, 5)] };
    let mut next = Commit { id: "k2".into(), ..Commit::default() };
    next.windows = BTreeMap::from([("orders".to_owned(), change)]);
    next.parts = vec![part("a.csv", None)];
    state.value = serde_json::Value::Null;
    next.states = vec![state];
    destination.write_states(&next).await.unwrap();
    assert_eq!(destination.window("orders").await.unwrap(), [entry(u128::MAX, 5)]);
    assert_eq!(destination.parts("orders").await.unwrap().len(), 1);
    assert!(destination.states().await.unwrap().is_empty());
    let forget = Commit { id: "k3".into(), clear_parts: vec!["orders".into()], ..Commit::default() };
    destination.write_states(&forget).await.unwrap();
    assert!(destination.parts("orders").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_a_commit_waits_until_it_is_over() {
    let db = Db::new("asked");
    let destination = db.begin("c1", "r1").await;
    // Somebody's commit that is under way: it has read the fence and written a state.
    let mut open = db.server.interactive(&db.name);
    open.run("BEGIN; SELECT 1 FROM _waybill_connections FOR SHARE; INSERT INTO _waybill_state VALUES ('c1', 'stream:s', '{}', NULL, 'f', 'r', 'k9', 1, NULL, 's')");
    let asked = destination.committed("stream:s", "k9");
    let answer = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        open.run("COMMIT");
    };
    let (found, ()) = tokio::join!(asked, answer);
    assert!(found.unwrap());
    assert!(db.waits().iter().any(|ms| *ms >= 200), "{:?}", db.waits());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_somebody_else_is_refused() {
    let db = Db::new("owner");
    db.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint, note text); INSERT INTO sales.orders VALUES (0, 'theirs')");
    let destination = db.begin("c1", "r1").await;
    for disposition in [Disposition::Direct, Disposition::Replace] {
        let foreign = load_of("orders", two_columns(), disposition);
        let error = destination.writer("x").await.unwrap().prepare(&foreign).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Permission);
        assert!(error.get_hint().unwrap().contains("on_existing: adopt"), "{error}");
    }
    let mut adopted = load_of("orders", two_columns(), Disposition::Direct);
    adopted.adopt = true;
    load(&*destination, &adopted, &[(1, "ours")], "k1").await.unwrap();
    assert_eq!(
        db.sql(
            "SELECT string_agg(note || coalesce(_waybill_run_id, '-'), ',' ORDER BY id) FROM sales.orders"
        ),
        "theirs-,oursr1"
    );

    let other = db.begin("c2", "r2").await;
    let mut theirs = load_of("orders", two_columns(), Disposition::Direct);
    theirs.record.connection_id = "c2".into();
    theirs.adopt = true;
    let error = other.writer("x").await.unwrap().prepare(&theirs).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permission);
    assert!(error.get_hint().unwrap().contains("shared"), "{error}");
    theirs.shared = true;
    load(&*other, &theirs, &[(2, "too")], "k2").await.unwrap();
    assert_eq!(db.sql("SELECT count(*) FROM sales.orders"), "3");
    // To put a table in its place would take the other's rows with it.
    theirs.disposition = Disposition::Replace;
    let error = other.writer("x").await.unwrap().prepare(&theirs).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permission, "{error}");
}
