//! Staged loads: the staging table, the swap, the key.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use waybill_protocol::{Destination, Disposition, Kind, Logical, TableRef};

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
async fn long_decimals_as_cursor_are_ordered_by_value() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let columns = [ID, ("v", Logical::Numeric), NAME];
    for (values, winner) in
        [(["9", "10", "2.5"], "10"), (["-9", "-10", "-2.5"], "-2.5"), (["0.1", "-100", "0.09"], "0.1")]
    {
        let mut plan = keyed(load("c", "t", &columns, Disposition::Direct), &["id"], true);
        plan.cursor = Some("v".into());
        run(&session, &plan, vec![ints(&[1, 1, 1]), texts(&values), texts(&values)]).await.unwrap();
        assert_eq!(bench.rows("SELECT name FROM t"), [winner]);
        let mut plan = keyed(load("c", "r", &columns, Disposition::Replace), &["id"], true);
        plan.cursor = Some("v".into());
        let receipt =
            run(&session, &plan, vec![ints(&[1, 1, 1]), texts(&values), texts(&values)]).await.unwrap();
        assert_eq!(receipt.rows["s"], 1);
        assert_eq!(bench.rows("SELECT name FROM r"), [winner]);
    }
}

#[tokio::test]
async fn publishing_swaps_and_carries_indexes_triggers_and_views_over() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let plan = keyed(load("c", "t", &[ID, NAME], Disposition::Replace), &["id"], false);
    run(&session, &plan, vec![ints(&[1, 2]), texts(&["a", "b"])]).await.unwrap();
    bench
        .look()
        .execute_batch(
            "CREATE INDEX mine ON t (name); CREATE VIEW v AS SELECT count(*) AS n FROM t;
             CREATE TABLE log (x); CREATE TRIGGER tr AFTER DELETE ON t BEGIN INSERT INTO log VALUES (old.id); END;",
        )
        .unwrap();
    let reader = bench.look();
    reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    let mut writer = session.writer("s").await.unwrap();
    writer.prepare(&plan).await.unwrap();
    writer.write("s", batch(&plan, vec![ints(&[7, 8, 9]), texts(&["x", "y", "z"])])).await.unwrap();
    writer.commit(&commit("staged")).await.unwrap();
    assert_eq!(bench.rows("SELECT id FROM t"), ["1", "2"], "the old table until publish");
    let receipt = session.publish(&plan, &commit("done")).await.unwrap();
    assert_eq!(receipt.rows["s"], 3);
    let seen: i64 = reader.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap();
    assert_eq!(seen, 2, "a reader keeps what it saw");
    drop(reader);
    assert_eq!(bench.rows("SELECT id FROM t"), ["7", "8", "9"]);
    assert_eq!(bench.rows("SELECT n FROM v"), ["3"]);
    assert_eq!(
        bench.rows("SELECT name FROM sqlite_schema WHERE tbl_name = 't' AND type <> 'table' ORDER BY 1"),
        ["_waybill_key_t", "mine", "tr"]
    );
    assert!(bench.look().execute("INSERT INTO t VALUES (7, 'again')", []).is_err(), "the key is unique");
    let info = session.inspect(&plan.table).await.unwrap().unwrap();
    assert_eq!(info.dependents, ["view v"]);
    assert!(!info.empty);
    assert!(bench.rows("SELECT name FROM sqlite_schema WHERE name LIKE '_waybill_stage%'").is_empty());
    // An empty load leaves an empty table.
    run(&session, &plan, vec![ints(&[]), texts(&[])]).await.unwrap();
    assert!(session.inspect(&plan.table).await.unwrap().unwrap().empty);
}

#[tokio::test]
async fn a_table_with_a_definition_or_a_trigger_of_its_own_keeps_both() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let look = bench.look();
    look.execute_batch(
        "CREATE TABLE t (\"id\" INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x' CHECK (name <> 'bad'), more INT DEFAULT 5);
         INSERT INTO t VALUES (1, 'old', 1); CREATE TABLE child (id REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1)",
    )
    .unwrap();
    let defined = "SELECT sql FROM sqlite_schema WHERE name = 't'";
    let mut plan = keyed(load("c", "t", &[ID, NAME], Disposition::Replace), &["id"], false);
    plan.adopt = true;
    let before = bench.rows(defined);
    for (ids, names) in [(vec![1, 2], vec!["a", "b"]), (vec![3], vec!["c"])] {
        let receipt = run(&session, &plan, vec![ints(&ids), texts(&names)]).await.unwrap();
        assert_eq!(receipt.rows["s"], ids.len() as u64);
    }
    assert_eq!((bench.rows("SELECT * FROM t"), bench.rows(defined)), (vec!["3|c|5".to_owned()], before));
    assert_eq!(bench.rows("SELECT id FROM child"), ["1"]);
    let error = run(&session, &plan, vec![ints(&[4]), texts(&["bad"])]).await.unwrap_err();
    assert!(error.get_hint().unwrap().contains("constraint"), "{error:?}");
    let error = run(&session, &plan, vec![ints(&[4, 4]), texts(&["x", "y"])]).await.unwrap_err();
    assert!(error.message().contains("4 comes 2 times"), "{error}");
    assert_eq!(bench.rows("SELECT * FROM t"), ["3|c|5"]);
    // A trigger fires as on every INSERT; one that drops rows is an error.
    look.execute_batch("DROP TABLE t; CREATE TABLE t (id INTEGER, name TEXT); CREATE TABLE log (x); CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END")
        .unwrap();
    run(&session, &plan, vec![ints(&[7, 8]), texts(&["a", "b"])]).await.unwrap();
    assert_eq!(bench.rows("SELECT x FROM log"), ["7", "8"]);
    look.execute_batch(
        "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.id = 9 BEGIN SELECT RAISE(IGNORE); END",
    )
    .unwrap();
    let error = run(&session, &plan, vec![ints(&[9, 10]), texts(&["a", "b"])]).await.unwrap_err();
    assert!(error.message().contains("would hold 1 rows where 2 were loaded"), "{error}");
    assert_eq!(bench.rows("SELECT id FROM t"), ["7", "8"]);
    assert!(bench.rows("SELECT name FROM sqlite_schema WHERE name LIKE '_waybill_stage%'").len() <= 1);
}

#[tokio::test]
async fn a_column_that_only_the_table_has_stays_and_so_does_its_index() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let wide = keyed(load("c", "t", &[ID, NAME], Disposition::Replace), &["id"], false);
    run(&session, &wide, vec![ints(&[1]), texts(&["a"])]).await.unwrap();
    bench
        .look()
        .execute_batch("CREATE INDEX mine ON t (name); CREATE VIEW v AS SELECT id, name FROM t")
        .unwrap();
    let narrow = keyed(load("c", "t", &[ID], Disposition::Replace), &["id"], false);
    for _ in 0..2 {
        run(&session, &narrow, vec![ints(&[2, 3])]).await.unwrap();
        assert_eq!(bench.rows("SELECT * FROM v"), ["2|NULL", "3|NULL"]);
        assert_eq!(bench.rows("SELECT tbl_name FROM sqlite_schema WHERE name = 'mine'"), ["t"]);
    }
}

#[tokio::test]
async fn a_duplicate_key_at_publish_is_named_and_leaves_the_old_table() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let plan = keyed(load("c", "t", &[ID, NAME], Disposition::Replace), &["id", "name"], false);
    run(&session, &plan, vec![ints(&[1]), texts(&["a"])]).await.unwrap();
    let error = run(&session, &plan, vec![ints(&[5, 6, 5]), texts(&["k", "k", "k"])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.message().contains("5, 'k' comes 2 times"), "{error}");
    assert_eq!(bench.rows("SELECT id FROM t"), ["1"]);
    assert_eq!(session.states().await.unwrap()[0].value["data"], "run", "the staged commit's state");
}

#[tokio::test]
async fn slices_of_one_stream_share_the_staging_table_and_a_retry_replaces_its_own() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let plan = load("c", "t", &[ID], Disposition::Replace);
    let mut first = session.writer("slice 1").await.unwrap();
    first.prepare(&plan).await.unwrap();
    first.write("s", batch(&plan, vec![ints(&[1, 2])])).await.unwrap();
    first.commit(&commit("1")).await.unwrap();
    let mut failed = session.writer("slice 2").await.unwrap();
    failed.prepare(&plan).await.unwrap();
    failed.write("s", batch(&plan, vec![ints(&[30])])).await.unwrap();
    failed.commit(&commit("2")).await.unwrap();
    failed.write("s", batch(&plan, vec![ints(&[31])])).await.unwrap();
    drop(failed);
    let mut again = session.writer("slice 2").await.unwrap();
    again.prepare(&plan).await.unwrap();
    again.write("s", batch(&plan, vec![ints(&[30, 31, 32])])).await.unwrap();
    again.commit(&commit("2")).await.unwrap();
    assert_eq!(session.publish(&plan, &commit("p")).await.unwrap().rows["s"], 5);
    assert_eq!(bench.rows("SELECT id FROM t ORDER BY 1"), ["1", "2", "30", "31", "32"]);
    // A single slice that starts again starts fresh.
    let mut one = session.writer("slice 1").await.unwrap();
    one.prepare(&plan).await.unwrap();
    one.write("s", batch(&plan, vec![ints(&[1])])).await.unwrap();
    one.commit(&commit("1")).await.unwrap();
    one.prepare(&plan).await.unwrap();
    assert_eq!(session.publish(&plan, &commit("p")).await.unwrap().rows["s"], 0);
}

#[tokio::test]
async fn a_file_loaded_again_takes_the_place_of_its_rows() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    for how in [Disposition::Direct, Disposition::Replace] {
        let plan = load("c", "t", &[ID, ("_file", Logical::Text)], how);
        let mut writer = session.writer("s").await.unwrap();
        writer.prepare(&plan).await.unwrap();
        writer.write("s", batch(&plan, vec![ints(&[1, 2]), texts(&["a", "b"])])).await.unwrap();
        writer.commit(&commit("1")).await.unwrap();
        writer.write("s", batch(&plan, vec![ints(&[3]), texts(&["a"])])).await.unwrap();
        let mut again = commit("2");
        again.deletes = vec![("s".into(), "_file".into(), "a".into())];
        writer.commit(&again).await.unwrap();
        if how == Disposition::Replace {
            assert_eq!(session.publish(&plan, &commit("p")).await.unwrap().rows["s"], 2);
        }
        assert_eq!(bench.rows("SELECT id, _file FROM t ORDER BY id"), ["2|b", "3|a"], "{how:?}");
    }
}

#[tokio::test]
async fn leftovers_of_this_connection_only_are_cleaned() {
    let bench = Bench::new();
    let (a, b) = (bench.session("a").await, bench.session("b").await);
    for (session, name) in [(&a, "a"), (&b, "b")] {
        let mut writer = session.writer("s").await.unwrap();
        writer.prepare(&load(name, "t", &[ID], Disposition::Replace)).await.unwrap();
    }
    let count = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '_waybill_stage%'";
    assert_eq!(bench.rows(count), ["2"]);
    a.clean().await.unwrap();
    assert_eq!(bench.rows(count), ["1"]);
    let plan = load("a", "t", &[ID], Disposition::Replace);
    assert_eq!(a.publish(&plan, &commit("x")).await.unwrap_err().kind(), Kind::Destination);
    let missing = TableRef { namespace: None, name: "t".into() };
    assert!(a.inspect(&missing).await.unwrap().is_none());
}

#[tokio::test]
async fn columns_may_be_called_like_the_rowid() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let columns = [("rowid", Logical::Int64), ("_ROWID_", Logical::Int64)];
    let mut plan = keyed(load("c", "t", &columns, Disposition::Replace), &["rowid"], true);
    plan.cursor = Some("_ROWID_".into());
    let mut writer = session.writer("s").await.unwrap();
    writer.prepare(&plan).await.unwrap();
    writer.write("s", batch(&plan, vec![ints(&[7, 7, 8]), ints(&[3, 2, 1])])).await.unwrap();
    writer.commit(&commit("1")).await.unwrap();
    writer.write("s", batch(&plan, vec![ints(&[1, 2, 3]), ints(&[1, 1, 1])])).await.unwrap();
    writer.abort().await.unwrap();
    assert_eq!(session.publish(&plan, &commit("p")).await.unwrap().rows["s"], 2);
    assert_eq!(bench.rows("SELECT * FROM t ORDER BY 1"), ["7|3", "8|1"]);
    plan.disposition = Disposition::Direct;
    run(&session, &plan, vec![ints(&[8, 8]), ints(&[9, 5])]).await.unwrap();
    assert_eq!(bench.rows("SELECT * FROM t ORDER BY 1"), ["7|3", "8|9"]);
    let columns = [("rowid", Logical::Int64), ("_rowid_", Logical::Int64), ("oid", Logical::Int64)];
    let plan = load("c", "u", &columns, Disposition::Replace);
    let error = run(&session, &plan, vec![ints(&[1]), ints(&[1]), ints(&[1])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Schema);
}
