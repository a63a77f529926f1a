//! The destination held to its contract, on real files.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use waybill_protocol::event::Body;
use waybill_protocol::{
    Commit, Destination, Disposition, Identity, Kind, Logical, WindowChange, WindowEntry,
};

use super::workbench::{Bench, batch, commit, keyed, load, run};

const ID: (&str, Logical) = ("id", Logical::Int64);
const NAME: (&str, Logical) = ("name", Logical::Text);

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[tokio::test]
async fn an_append_is_visible_at_each_commit_with_its_state_and_run() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let mut plan = load("c", "t", &[ID, NAME], Disposition::Direct);
    plan.metadata = true;
    let mut writer = session.writer("s").await.unwrap();
    writer.prepare(&plan).await.unwrap();
    writer.write("s", batch(&plan, vec![ints(&[1, 2]), texts(&["a", "b"])])).await.unwrap();
    assert!(bench.rows("SELECT * FROM t").is_empty(), "nothing is visible before the commit");
    let first = commit("one");
    let receipt = writer.commit(&first).await.unwrap();
    assert_eq!(receipt.rows["s"], 2);
    assert_eq!(bench.rows("SELECT id, name, length(_waybill_run_id) FROM t"), ["1|a|36", "2|b|36"]);
    assert!(session.committed("stream:s", &first.id).await.unwrap());
    assert!(!session.committed("stream:s", "another").await.unwrap());
    writer.write("s", batch(&plan, vec![ints(&[3]), texts(&["c"])])).await.unwrap();
    assert_eq!(writer.commit(&commit("two")).await.unwrap().rows["s"], 1);
    assert_eq!(bench.rows("SELECT count(*) FROM t"), ["3"]);
    let states = session.states().await.unwrap();
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].value["data"], "two");
    assert_eq!(session.tables().await.unwrap(), [plan.record.clone()]);
    drop(writer);
    session.close().await;
    assert!(!bench.path.with_extension("db-wal").exists(), "the log is folded into the file");
}

#[tokio::test]
async fn what_was_not_committed_is_gone_after_an_abort_and_without_one() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    for how in [Disposition::Direct, Disposition::Replace] {
        let plan = load("c", "t", &[ID], how);
        let mut writer = session.writer("s").await.unwrap();
        writer.prepare(&plan).await.unwrap();
        writer.write("s", batch(&plan, vec![ints(&[1])])).await.unwrap();
        writer.commit(&commit("kept")).await.unwrap();
        writer.write("s", batch(&plan, vec![ints(&[2, 3])])).await.unwrap();
        writer.abort().await.unwrap();
        writer.write("s", batch(&plan, vec![ints(&[4])])).await.unwrap();
        assert_eq!(writer.commit(&commit("more")).await.unwrap().rows["s"], 1);
        writer.write("s", batch(&plan, vec![ints(&[5])])).await.unwrap();
        drop(writer);
        if how == Disposition::Replace {
            assert_eq!(session.publish(&plan, &commit("p")).await.unwrap().rows["s"], 2);
        }
        assert_eq!(bench.rows("SELECT id FROM t ORDER BY 1"), ["1", "4"], "{how:?}");
    }
}

#[tokio::test]
async fn the_older_of_two_sessions_is_fenced_off_and_leaves_nothing() {
    let bench = Bench::new();
    let plan = load("c", "t", &[ID], Disposition::Direct);
    let old = bench.session("c").await;
    let mut writer = old.writer("s").await.unwrap();
    writer.prepare(&plan).await.unwrap();
    writer.write("s", batch(&plan, vec![ints(&[1])])).await.unwrap();
    let other = bench.session("other").await;
    let new = bench.session("c").await;
    let error = writer.commit(&commit("old")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Locked);
    assert!(error.message().contains("took over") && error.get_hint().is_some(), "{error}");
    assert!(bench.rows("SELECT * FROM t").is_empty() && new.states().await.unwrap().is_empty());
    assert_eq!(old.write_states(&commit("x")).await.unwrap_err().kind(), Kind::Locked);
    let staged = load("c", "t2", &[ID], Disposition::Replace);
    let mut writer = old.writer("s2").await.unwrap();
    assert_eq!(writer.prepare(&staged).await.unwrap_err().kind(), Kind::Locked);
    assert_eq!(old.publish(&staged, &commit("x")).await.unwrap_err().kind(), Kind::Locked);
    run(&new, &plan, vec![ints(&[2])]).await.unwrap();
    other.write_states(&commit("of another connection")).await.unwrap();
    assert_eq!(bench.rows("SELECT id FROM t"), ["2"]);
    assert_eq!(bench.rows("SELECT name, epoch FROM _waybill_connections ORDER BY 1"), ["c|2", "other|1"]);
}

#[tokio::test]
async fn merging_twice_is_merging_once_and_the_highest_cursor_wins() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let mut plan =
        keyed(load("c", "t", &[ID, ("v", Logical::Int64), NAME], Disposition::Direct), &["id"], true);
    plan.cursor = Some("v".into());
    let rows = || vec![ints(&[1, 2, 1, 1]), ints(&[5, 1, 9, 9]), texts(&["low", "two", "high", "later"])];
    for _ in 0..2 {
        let receipt = run(&session, &plan, rows()).await.unwrap();
        assert_eq!(receipt.rows["s"], 4);
        assert_eq!(bench.rows("SELECT id, v, name FROM t ORDER BY id"), ["1|9|later", "2|1|two"]);
    }
    // A commit of its own brings its rows in, also with a lower cursor.
    run(&session, &plan, vec![ints(&[1]), ints(&[3]), texts(&["again"])]).await.unwrap();
    assert_eq!(bench.rows("SELECT v, name FROM t WHERE id = 1"), ["3|again"]);
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let error = run(&session, &plan, vec![nulls, ints(&[1]), texts(&["x"])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    // An append of the same key is another version: Waybill's own index gives way.
    plan.upsert = false;
    run(&session, &plan, vec![ints(&[1]), ints(&[4]), texts(&["version"])]).await.unwrap();
    assert_eq!(bench.rows("SELECT count(*) FROM t WHERE id = 1"), ["2"]);
    plan.upsert = true;
    let error = run(&session, &plan, vec![ints(&[1]), ints(&[4]), texts(&["x"])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.message().contains("1 comes 2 times"), "{error}");
}

#[tokio::test]
async fn tables_of_others_are_refused_until_adopted_or_shared() {
    let bench = Bench::new();
    let a = bench.session("a").await;
    bench
        .look()
        .execute_batch("CREATE TABLE theirs (id INTEGER, extra TEXT); CREATE VIEW v AS SELECT 1 AS id")
        .unwrap();
    let mut plan = load("a", "Theirs", &[ID], Disposition::Direct);
    let error = run(&a, &plan, vec![ints(&[1])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permission);
    assert!(error.get_hint().unwrap().contains("adopt"));
    plan.adopt = true;
    run(&a, &plan, vec![ints(&[1])]).await.unwrap();
    assert_eq!(bench.rows("SELECT id, extra FROM theirs"), ["1|NULL"]);
    let b = bench.session("b").await;
    let mut plan = load("b", "theirs", &[ID], Disposition::Direct);
    let error = run(&b, &plan, vec![ints(&[2])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permission);
    assert!(error.message().contains("connection a"), "{error}");
    plan.shared = true;
    run(&b, &plan, vec![ints(&[2])]).await.unwrap();
    assert_eq!(bench.rows("SELECT id FROM theirs ORDER BY 1"), ["1", "2"]);
    assert_eq!(b.tables().await.unwrap().len(), 2);
    plan.disposition = Disposition::Replace;
    assert_eq!(run(&b, &plan, vec![ints(&[3])]).await.unwrap_err().kind(), Kind::Permission);
    for name in ["v", "_waybill_x", "sqlite_x", ""] {
        let mut plan = load("a", name, &[ID], Disposition::Direct);
        plan.adopt = true;
        assert!(run(&a, &plan, vec![ints(&[1])]).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn windows_files_and_states_are_written_in_the_commit() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    assert!(session.window("s").await.unwrap().is_empty());
    let entry = |n, count| WindowEntry { identity: Identity(n), count, cursor: "{}".into() };
    let mut first = commit("one");
    first.windows.insert(
        "s".into(),
        WindowChange { insert: vec![entry(1, 1), entry(u128::MAX, 2)], ..WindowChange::default() },
    );
    first.parts = vec![
        ("s".into(), "a.csv".into(), Some(serde_json::json!({"size": 1}))),
        ("s".into(), "b.csv".into(), Some(serde_json::json!(2))),
    ];
    session.write_states(&first).await.unwrap();
    let mut second = Commit { id: "2".into(), ..Commit::default() };
    second.windows.insert(
        "s".into(),
        WindowChange {
            delete: vec![Identity(1)],
            insert: vec![entry(u128::MAX, 3)],
            ..WindowChange::default()
        },
    );
    second.parts = vec![("s".into(), "a.csv".into(), None)];
    session.write_states(&second).await.unwrap();
    assert_eq!(session.window("s").await.unwrap(), [entry(u128::MAX, 3)]);
    let parts = session.parts("s").await.unwrap();
    assert_eq!(parts.into_iter().collect::<Vec<_>>(), [("b.csv".to_owned(), serde_json::json!(2))]);
    let mut third = commit("gone");
    third.states[0].value = serde_json::Value::Null;
    third.clear_parts = vec!["s".into()];
    third.windows.insert("s".into(), WindowChange { clear: true, ..WindowChange::default() });
    session.write_states(&third).await.unwrap();
    assert!(session.states().await.unwrap().is_empty() && session.window("s").await.unwrap().is_empty());
    assert!(session.parts("s").await.unwrap().is_empty());
    assert!(session.committed("stream:s", &third.id).await.unwrap());
}

#[tokio::test]
async fn a_check_leaves_nothing_behind_and_names_what_is_wrong() {
    let bench = Bench::new();
    let session = bench.idle("c");
    let found = session.check().await.unwrap();
    assert!(found.iter().all(|c| c.ok()), "{found:?}");
    assert!(session.states().await.unwrap().is_empty() && session.tables().await.unwrap().is_empty());
    session.clean().await.unwrap();
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 0, "no file, no folder");

    std::fs::create_dir_all(bench.path.parent().unwrap()).unwrap();
    std::fs::write(&bench.path, "this is a text file and no database at all\n".repeat(40)).unwrap();
    let found = bench.idle("c").check().await.unwrap();
    let error = found.iter().find_map(|c| c.error.clone()).unwrap();
    assert!(error.message.contains("not a database"), "{error:?}");
    assert_eq!(bench.idle("c").begin().await.unwrap_err().kind(), Kind::Destination);

    std::fs::remove_file(&bench.path).unwrap();
    std::fs::create_dir(&bench.path).unwrap();
    let found = bench.idle("c").check().await.unwrap();
    assert!(found.iter().any(|c| c.detail.contains("is a folder")), "{found:?}");
}

#[tokio::test]
async fn another_process_s_lock_is_waited_for_and_said() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let other = bench.look();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = session.write_states(&commit("x")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.retryable() && error.message().contains("waited"), "{error}");
    let failed = bench.idle("d").check().await.unwrap();
    assert!(failed.iter().any(|c| c.check == "write" && !c.ok()), "{failed:?}");
    let freed = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.execute_batch("ROLLBACK").unwrap();
    });
    session.write_states(&commit("y")).await.unwrap();
    freed.await.unwrap();
    let heard = bench.heard.0.lock().unwrap();
    assert!(heard.iter().any(|e| matches!(&e.body, Body::LockWaited { ms, .. } if *ms >= 100)));
}

#[tokio::test]
async fn a_file_that_is_replaced_under_the_run_fails_the_commit() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let plan = load("c", "t", &[ID], Disposition::Direct);
    run(&session, &plan, vec![ints(&[1])]).await.unwrap();
    std::fs::rename(&bench.path, bench.path.with_extension("away")).unwrap();
    let error = session.write_states(&commit("x")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Destination);
    std::fs::copy(bench.path.with_extension("away"), &bench.path).unwrap();
    let error = session.write_states(&commit("x")).await.unwrap_err();
    assert!(error.message().contains("moved away"), "{error}");
}

#[tokio::test]
async fn a_full_database_is_said_and_rolls_back() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let plan = load("c", "t", &[ID, NAME], Disposition::Replace);
    let mut writer = session.writer("s").await.unwrap();
    writer.prepare(&plan).await.unwrap();
    session.limit_pages(60).await;
    let long = "x".repeat(1000);
    let many: Vec<&str> = vec![long.as_str(); 2000];
    let error = writer.write("s", batch(&plan, vec![ints(&vec![1; 2000]), texts(&many)])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Destination);
    assert!(error.message().contains("full") && error.get_hint().unwrap().contains("space"), "{error}");
    assert_eq!(writer.commit(&commit("x")).await.unwrap_err().kind(), Kind::Internal);
    session.limit_pages(1_000_000).await;
    writer.abort().await.unwrap();
    writer.write("s", batch(&plan, vec![ints(&[1]), texts(&["a"])])).await.unwrap();
    writer.commit(&commit("y")).await.unwrap();
    assert_eq!(session.publish(&plan, &commit("z")).await.unwrap().rows["s"], 1);
}

#[tokio::test]
async fn a_commit_that_is_given_up_leaves_nothing_and_the_session_usable() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let plan = load("c", "t", &[ID], Disposition::Direct);
    let mut writer = session.writer("s").await.unwrap();
    writer.prepare(&plan).await.unwrap();
    writer.write("s", batch(&plan, vec![ints(&[1])])).await.unwrap();
    let other = bench.look();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let lost = commit("lost");
    let given_up = tokio::time::timeout(Duration::from_millis(50), writer.commit(&lost)).await;
    assert!(given_up.is_err());
    other.execute_batch("ROLLBACK").unwrap();
    assert!(!session.committed("stream:s", &lost.id).await.unwrap());
    assert!(bench.rows("SELECT * FROM t").is_empty());
    writer.commit(&commit("again")).await.unwrap();
    assert_eq!(bench.rows("SELECT id FROM t"), ["1"]);
}

#[tokio::test]
async fn beginning_waits_for_another_process_too() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path.parent().unwrap()).unwrap();
    let other = bench.look();
    other.execute_batch("CREATE TABLE x (a); BEGIN EXCLUSIVE").unwrap();
    let freed = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(250));
        other.execute_batch("COMMIT").unwrap();
    });
    let session = bench.session("c").await;
    freed.await.unwrap();
    run(&session, &load("c", "t", &[ID], Disposition::Direct), vec![ints(&[1])]).await.unwrap();
    assert_eq!(bench.rows("PRAGMA journal_mode"), ["wal"]);
}
