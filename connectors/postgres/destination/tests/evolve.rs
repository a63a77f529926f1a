//! New columns and wider types of a table that has rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use waybill_protocol::{Disposition, Kind, Logical, Payload};

use super::{Db, commit_of, load, load_of, schema_of, two_columns};

#[tokio::test(flavor = "multi_thread")]
async fn every_value_survives_the_widening_of_its_column() {
    let db = Db::new("widen");
    let destination = db.begin("c1", "r1").await;
    // Column, its type before, SQL values, its type now, and what the values must read as.
    let cases: [(&str, Logical, &str, Logical, &str, &str); 12] = [
        ("a", Logical::Int32, "-7", Logical::Int64, "bigint", "-7"),
        ("b", Logical::Int64, "9007199254740993", Logical::Numeric, "numeric", "9007199254740993"),
        ("c", Logical::Float64, "0.1234567890123456", Logical::Numeric, "numeric", "0.1234567890123456"),
        (
            "d",
            Logical::Decimal { precision: 5, scale: 2 },
            "123.45",
            Logical::Decimal { precision: 9, scale: 4 },
            "numeric(9,4)",
            "123.4500",
        ),
        ("e", Logical::Date, "'0044-03-15 BC'", Logical::Text, "text", "-0043-03-15"),
        ("f", Logical::Timestamp, "'2024-05-01 12:30:00.5'", Logical::Text, "text", "2024-05-01T12:30:00.5"),
        ("g", Logical::TimestampTz, "'2024-05-01 12:00+02'", Logical::Text, "text", "2024-05-01T10:00:00Z"),
        ("h", Logical::TimestampTz, "'infinity'", Logical::Text, "text", "infinity"),
        ("i", Logical::Bool, "true", Logical::Text, "text", "true"),
        ("j", Logical::Float64, "1e300", Logical::Text, "text", "1e+300"),
        ("k", Logical::Bytes, "'\\x00ff'", Logical::Text, "text", "00ff"),
        ("l", Logical::Timestamp, "'20240-01-02 00:00:00'", Logical::Text, "text", "+20240-01-02T00:00:00"),
    ];
    let before: Vec<_> = cases.iter().map(|c| (c.0, c.1, "")).collect();
    let after: Vec<_> = cases.iter().map(|c| (c.0, c.3, "")).collect();
    let mut direct = load_of("wide", schema_of(&before), Disposition::Direct);
    direct.key = Vec::new();
    destination.writer("s").await.unwrap().prepare(&direct).await.unwrap();
    let values: Vec<&str> = cases.iter().map(|c| c.2).collect();
    db.sql(&format!(
        "ALTER DATABASE {} SET datestyle = 'German'; ALTER DATABASE {} SET timezone = 'Asia/Tokyo'",
        db.name, db.name
    ));
    db.sql(&format!("INSERT INTO sales.wide VALUES ({})", values.join(", ")));
    let destination = db.begin("c1", "r2").await;
    direct.schema = schema_of(&after);
    destination.writer("s").await.unwrap().prepare(&direct).await.unwrap();
    for (name, _, _, _, kind, expected) in cases {
        assert_eq!(db.sql(&format!("SELECT {name}::text FROM sales.wide")), expected, "{name}");
        let info = destination.inspect(&direct.table).await.unwrap().unwrap();
        assert!(info.columns.contains(&(name.into(), kind.into())), "{name}: {:?}", info.columns);
    }
    // A narrower load leaves the wide columns as they are, and its values go in as they read there.
    direct.schema = schema_of(&before);
    destination.writer("s").await.unwrap().prepare(&direct).await.unwrap();
    assert_eq!(
        db.sql(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'wide' AND data_type = 'text'"
        ),
        "9"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_columns_are_added_and_missing_ones_stay() {
    let db = Db::new("columns");
    let destination = db.begin("c1", "r1").await;
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    load(&*destination, &direct, &[(1, "a")], "k1").await.unwrap();
    let more = schema_of(&[("id", Logical::Int64, ""), ("Größe \"x\"", Logical::Text, "")]);
    let mut wider = load_of("orders", more.clone(), Disposition::Direct);
    wider.record.columns.extend(direct.record.columns.clone());
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&wider).await.unwrap();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(arrow_array::Int64Array::from(vec![2])), Arc::new(StringArray::from(vec!["b"]))];
    writer.write("orders", Payload::Arrow(RecordBatch::try_new(more, columns).unwrap())).await.unwrap();
    writer.commit(&commit_of("k2", "orders")).await.unwrap();
    let seen = "SELECT string_agg(id || coalesce(note, '-') || coalesce(\"Größe \"\"x\"\"\", '-'), ',' ORDER BY id) FROM sales.orders";
    assert_eq!(db.sql(seen), "1a-,2-b");
    assert_eq!(destination.tables().await.unwrap(), [wider.record]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_columns_has_its_rows() {
    let db = Db::new("bare");
    let destination = db.begin("c1", "r1").await;
    let mut bare = load_of("bare", schema_of(&[]), Disposition::Direct);
    bare.key = Vec::new();
    let mut writer = destination.writer("s").await.unwrap();
    writer.prepare(&bare).await.unwrap();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(3));
    let batch = RecordBatch::try_new_with_options(schema_of(&[]), vec![], &options).unwrap();
    writer.write("bare", Payload::Arrow(batch)).await.unwrap();
    assert_eq!(writer.commit(&commit_of("k1", "bare")).await.unwrap().rows["bare"], 3);
    assert_eq!(db.sql("SELECT count(*), min(_waybill_run_id) FROM sales.bare"), "3|r1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_says_why() {
    let db = Db::new("refuse");
    let destination = db.begin("c1", "r1").await;
    db.sql("CREATE SCHEMA sales; CREATE TABLE sales.odd (id bigint, note inet); CREATE VIEW sales.v AS SELECT 1 AS id, ''::text AS note;
            CREATE TABLE sales.gen (id bigint, note text GENERATED ALWAYS AS (id::text) STORED)");
    for (table, kind, word) in
        [("odd", Kind::Schema, "inet"), ("v", Kind::Destination, "view"), ("gen", Kind::Schema, "computed")]
    {
        let mut direct = load_of(table, two_columns(), Disposition::Direct);
        direct.adopt = true;
        let error = destination.writer("x").await.unwrap().prepare(&direct).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(word) && error.get_hint().is_some(), "{error}");
    }
    // An enumeration reads text; a value that it lacks is an error of the data.
    db.sql("CREATE TYPE sales.mood AS ENUM ('good'); CREATE TABLE sales.moods (id bigint, note sales.mood)");
    let mut direct = load_of("moods", two_columns(), Disposition::Direct);
    direct.adopt = true;
    load(&*destination, &direct, &[(1, "good")], "k1").await.unwrap();
    let error = load(&*destination, &direct, &[(2, "secret")], "k2").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data, "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    // A view on the column that is to be widened.
    let narrow = load_of("slim", schema_of(&[("id", Logical::Int32, "")]), Disposition::Direct);
    destination.writer("x").await.unwrap().prepare(&narrow).await.unwrap();
    db.sql("CREATE VIEW sales.on_slim AS SELECT id FROM sales.slim");
    let wide = load_of("slim", schema_of(&[("id", Logical::Int64, "")]), Disposition::Direct);
    let error = destination.writer("x").await.unwrap().prepare(&wide).await.unwrap_err();
    assert!(error.get_hint().unwrap().contains("view"), "{error}");
}
