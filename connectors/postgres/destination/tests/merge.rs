//! Merging, appending, and rows that take the place of others.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use waybill_protocol::{Disposition, Kind, Logical, Payload};

use super::{Db, commit_of, load, load_of, rows, schema_of, two_columns, write};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_key_the_highest_cursor_wins_then_the_later_row() {
    let db = Db::new("merge");
    let destination = db.begin("c1", "r1").await;
    let schema =
        schema_of(&[("id", Logical::Int64, ""), ("at", Logical::Int64, ""), ("note", Logical::Text, "")]);
    let mut merged = load_of("orders", schema.clone(), Disposition::Direct);
    merged.upsert = true;
    merged.cursor = Some("at".into());
    let batch = |values: &[(i64, Option<i64>, &str)]| {
        let ids: ArrayRef = Arc::new(values.iter().map(|v| Some(v.0)).collect::<Int64Array>());
        let ats: ArrayRef = Arc::new(values.iter().map(|v| v.1).collect::<Int64Array>());
        let notes: ArrayRef = Arc::new(values.iter().map(|v| Some(v.2)).collect::<StringArray>());
        Payload::Arrow(RecordBatch::try_new(schema.clone(), vec![ids, ats, notes]).unwrap())
    };
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&merged).await.unwrap();
    writer
        .write("orders", batch(&[(1, Some(5), "high"), (2, Some(1), "first"), (3, None, "null")]))
        .await
        .unwrap();
    writer
        .write("orders", batch(&[(1, Some(4), "low"), (2, Some(1), "later"), (3, Some(0), "not null")]))
        .await
        .unwrap();
    let receipt = writer.commit(&commit_of("k1", "orders")).await.unwrap();
    assert_eq!(receipt.rows["orders"], 6);
    let seen = || db.sql("SELECT string_agg(id || note, ',' ORDER BY id) FROM sales.orders");
    assert_eq!(seen(), "1high,2later,3not null");

    // The next commit updates what is there; the run id says who did.
    writer.write("orders", batch(&[(2, Some(9), "again"), (4, Some(9), "new")])).await.unwrap();
    writer.commit(&commit_of("k2", "orders")).await.unwrap();
    assert_eq!(seen(), "1high,2again,3not null,4new");
    let second = db.begin("c1", "r2").await;
    let mut writer = second.writer("orders").await.unwrap();
    writer.prepare(&merged).await.unwrap();
    writer.write("orders", batch(&[(1, Some(1), "older")])).await.unwrap();
    writer.commit(&commit_of("k3", "orders")).await.unwrap();
    assert_eq!(
        db.sql("SELECT note || _waybill_run_id FROM sales.orders WHERE id IN (1, 4) ORDER BY id"),
        "olderr2\nnewr1"
    );
    assert_eq!(db.sql("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_waybill\\_merge%'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_into_an_adopted_table_needs_a_key_that_is_one() {
    let db = Db::new("adopt");
    db.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (note text, id bigint); INSERT INTO sales.orders VALUES ('a', 1), ('b', 1)");
    let destination = db.begin("c1", "r1").await;
    let mut merged = load_of("orders", two_columns(), Disposition::Direct);
    (merged.upsert, merged.adopt) = (true, true);
    let error = load(&*destination, &merged, &[(1, "x")], "k1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data, "{error}");
    assert!(error.message().contains("(id)"), "{error}");
    db.sql("DELETE FROM sales.orders WHERE note = 'b'");
    load(&*destination, &merged, &[(1, "x"), (2, "y")], "k2").await.unwrap();
    assert_eq!(db.sql("SELECT string_agg(id || note, ',' ORDER BY id) FROM sales.orders"), "1x,2y");
    let indexes = || db.sql("SELECT count(*) FROM pg_index WHERE indrelid = 'sales.orders'::regclass");
    assert_eq!(indexes(), "1");
    load(&*destination, &merged, &[(2, "z")], "k3").await.unwrap();
    assert_eq!(indexes(), "1");
    let null_key = RecordBatch::try_new(
        two_columns(),
        vec![Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec!["n"]))],
    );
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&merged).await.unwrap();
    let error = writer.write("orders", Payload::Arrow(null_key.unwrap())).await.unwrap_err();
    assert_eq!((error.kind(), error.get_stream()), (Kind::Data, Some("orders")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reloaded_file_takes_the_place_of_its_old_rows_only() {
    let db = Db::new("reload");
    let destination = db.begin("c1", "r1").await;
    for metadata in [true, false] {
        let mut direct = load_of("lines", two_columns(), Disposition::Direct);
        direct.key = Vec::new();
        direct.stream = format!("lines{metadata}");
        direct.table.name.clone_from(&direct.stream);
        direct.record.table = direct.table.clone();
        direct.record.stream.clone_from(&direct.stream);
        direct.metadata = metadata;
        let stream = direct.stream.as_str();
        load(&*destination, &direct, &[(1, "a.csv"), (2, "a.csv"), (3, "b.csv")], "k1").await.unwrap();
        let mut writer = destination.writer("x").await.unwrap();
        writer.prepare(&direct).await.unwrap();
        write(&mut writer, stream, &[(7, "a.csv"), (8, "a.csv")]).await;
        let mut commit = commit_of("k2", stream);
        commit.deletes = vec![(stream.into(), "note".into(), "a.csv".into())];
        writer.commit(&commit).await.unwrap();
        assert_eq!(
            db.sql(&format!("SELECT string_agg(id || note, ',' ORDER BY id) FROM sales.\"{stream}\"")),
            "3b.csv,7a.csv,8a.csv"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_aborted_or_dropped_leaves_nothing() {
    let db = Db::new("abort");
    let destination = db.begin("c1", "r1").await;
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&direct).await.unwrap();
    write(&mut writer, "orders", &[(1, "gone")]).await;
    writer.abort().await.unwrap();
    write(&mut writer, "orders", &[(2, "kept")]).await;
    let receipt = writer.commit(&commit_of("k1", "orders")).await.unwrap();
    assert_eq!(receipt.rows["orders"], 1);
    write(&mut writer, "orders", &[(3, "dropped")]).await;
    drop(writer);
    assert_eq!(db.sql("SELECT string_agg(note, ',') FROM sales.orders"), "kept");

    // After a failed write nothing may be committed, not even a state.
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&direct).await.unwrap();
    write(&mut writer, "orders", &[(4, "good")]).await;
    let error = writer.write("orders", rows(&[(5, "bad\0")])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert_eq!(writer.commit(&commit_of("k2", "orders")).await.unwrap_err().kind(), Kind::Internal);
    writer.abort().await.unwrap();
    write(&mut writer, "orders", &[(6, "next")]).await;
    writer.commit(&commit_of("k3", "orders")).await.unwrap();
    assert_eq!(db.sql("SELECT string_agg(note, ',' ORDER BY id) FROM sales.orders"), "kept,next");
    assert_eq!(destination.states().await.unwrap()[0].commit_id, "k3");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_behind_a_pooler() {
    let mut db = Db::new("pooler");
    db.pooler = true;
    let destination = db.begin("c1", "r1").await;
    let mut merged = load_of("orders", two_columns(), Disposition::Direct);
    merged.upsert = true;
    load(&*destination, &merged, &[(1, "a"), (1, "b")], "k1").await.unwrap();
    let staged = load_of("lines", two_columns(), Disposition::Replace);
    load(&*destination, &staged, &[(1, "c")], "k2").await.unwrap();
    destination.publish(&staged, &commit_of("k3", "lines")).await.unwrap();
    assert!(destination.committed("stream:lines", "k3").await.unwrap());
    assert_eq!(destination.states().await.unwrap().len(), 2);
    assert_eq!(
        db.sql(
            "SELECT note || _waybill_run_id FROM sales.orders UNION SELECT note FROM sales.lines ORDER BY 1"
        ),
        "br1\nc"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_first_load_is_built_at_its_end_or_before_the_next() {
    let db = Db::new("late_key");
    let destination = db.begin("c1", "r1").await;
    let key =
        "SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conrelid = 'sales.orders'::regclass";
    let (mut first, mut writer) =
        (load_of("orders", two_columns(), Disposition::Direct), destination.writer("orders").await.unwrap());
    (first.upsert, first.distinct) = (true, true);
    writer.prepare(&first).await.unwrap();
    write(&mut writer, "orders", &[(1, "a"), (2, "b")]).await;
    writer.commit(&commit_of("k1", "orders")).await.unwrap();
    assert_eq!(db.sql(key), "0");
    // It is cut off here. The next attempt builds the key and merges into it.
    drop(writer);
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&first).await.unwrap();
    assert_eq!(db.sql(key), "1");
    write(&mut writer, "orders", &[(2, "again"), (3, "c")]).await;
    writer.commit(&commit_of("k2", "orders")).await.unwrap();
    writer.complete("orders").await.unwrap();
    assert_eq!(db.sql("SELECT string_agg(id || note, ',' ORDER BY id) FROM sales.orders"), "1a,2again,3c");

    let mut other = load_of("others", two_columns(), Disposition::Direct);
    (other.upsert, other.distinct) = (true, true);
    let mut writer = destination.writer("others").await.unwrap();
    writer.prepare(&other).await.unwrap();
    write(&mut writer, "others", &[(1, "a")]).await;
    writer.commit(&commit_of("k3", "others")).await.unwrap();
    writer.complete("others").await.unwrap();
    assert_eq!(db.sql(&key.replace("orders", "others")), "1");
}
