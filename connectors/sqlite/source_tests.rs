//! The source held to its contract, on real files.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::i256;
use arrow_schema::Schema;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Budget, CursorValue, Disposition, Kind, Logical, Message, Outlet, Progress, SchemaPolicy, Slice, Source,
    StreamSelection,
};

use super::shelf::{Shelf, all, batches, ints, request};
use super::source::SqliteSource;
use super::workbench::{Bench, load, run};

/// One column of every type, with extremes and a NULL.
fn everything() -> Vec<(&'static str, Logical, ArrayRef)> {
    use Logical::*;
    let d128 = |v: Vec<Option<i128>>, p, s| -> ArrayRef {
        Arc::new(Decimal128Array::from(v).with_precision_and_scale(p, s).unwrap())
    };
    let texts = |v: [Option<&str>; 3]| -> ArrayRef { Arc::new(StringArray::from(v.to_vec())) };
    let big = i256::from_string(&"9".repeat(76)).unwrap();
    let month = |m, d, n| Some(arrow_array::types::IntervalMonthDayNano::new(m, d, n));
    let moments = vec![Some(i64::MAX), None, Some(1_714_521_600_120_000)];
    vec![
        ("bool", Bool, Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("i16", Int16, Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))),
        ("i32", Int32, Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
        ("i64", Int64, Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("f32", Float32, Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::MAX)]))),
        ("f64", Float64, Arc::new(Float64Array::from(vec![Some(0.1 + 0.2), None, Some(f64::NEG_INFINITY)]))),
        ("d5", Decimal { precision: 5, scale: 2 }, d128(vec![Some(-12_345), None, Some(150)], 5, 2)),
        (
            "d15",
            Decimal { precision: 15, scale: 7 },
            d128(vec![Some(999_999_999_999_999), None, Some(1)], 15, 7),
        ),
        (
            "d15i",
            Decimal { precision: 15, scale: 0 },
            d128(vec![Some(-999_999_999_999_999), None, Some(0)], 15, 0),
        ),
        (
            "d38",
            Decimal { precision: 38, scale: 10 },
            d128(vec![Some(10_i128.pow(38) - 1), None, Some(-5)], 38, 10),
        ),
        (
            "d76",
            Decimal { precision: 76, scale: 76 },
            Arc::new(
                Decimal256Array::from(vec![Some(big), None, Some(-i256::ONE)])
                    .with_precision_and_scale(76, 76)
                    .unwrap(),
            ),
        ),
        ("numeric", Numeric, texts([Some("-12345678901234567890.10"), None, Some("NaN")])),
        ("text", Text, texts([Some("a\u{0}b é"), None, Some("007")])),
        ("json", Json, texts([Some("{\"a\": 1.0}"), None, Some("12")])),
        (
            "uuid",
            Uuid,
            texts([
                Some("0190163d-8694-739b-aea5-966c26f8ad90"),
                None,
                Some("00000000-0000-0000-0000-000000000000"),
            ]),
        ),
        ("bytes", Bytes, Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None, Some(&b""[..])]))),
        ("date", Date, Arc::new(Date32Array::from(vec![Some(-2_440_588), None, Some(i32::MAX)]))),
        ("time", Time, Arc::new(Time64MicrosecondArray::from(vec![Some(86_400_000_000), None, Some(1)]))),
        ("ts", Timestamp, Arc::new(TimestampMicrosecondArray::from(moments.clone()))),
        ("tstz", TimestampTz, Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("UTC"))),
        (
            "interval",
            Interval,
            Arc::new(IntervalMonthDayNanoArray::from(vec![month(14, -3, 1), None, month(0, 0, 0)])),
        ),
    ]
}

#[tokio::test]
async fn every_type_goes_into_sqlite_and_out_again_unchanged() {
    let shelf = Shelf::new("");
    let columns: Vec<(&str, Logical)> = everything().iter().map(|(n, l, _)| (*n, *l)).collect();
    let arrays: Vec<ArrayRef> = everything().into_iter().map(|(_, _, a)| a).collect();
    let into = super::destination::SqliteDestination::new(
        shelf.bench.ctx("c", "destination"),
        shelf.path.clone(),
        Duration::from_secs(1),
    );
    waybill_protocol::Destination::begin(&into).await.unwrap();
    let mut plan = load("c", "t", &columns, Disposition::Replace);
    plan.metadata = true;
    run(&into, &plan, arrays.clone()).await.unwrap();
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    for (field, (name, logical)) in stream.schema.fields().iter().zip(&columns) {
        assert_eq!((field.name().as_str(), Logical::of(field).unwrap()), (*name, *logical));
    }
    assert_eq!(stream.schema.fields().len(), columns.len(), "the run id is not the stream's");
    let source = shelf.source().await;
    let (messages, done) = all(&source, request(&stream, StreamSelection::named("t")), None).await;
    done.unwrap();
    let read = batches(&messages);
    for ((name, _, array), back) in everything().iter().zip(read[0].columns()) {
        assert_eq!(&array.to_data(), &back.to_data(), "{name}");
    }
    // And into another file: the same values again.
    let again = shelf.bench.session("again").await;
    run(&again, &load("again", "t", &columns, Disposition::Direct), read[0].columns().to_vec())
        .await
        .unwrap();
    let sql = format!(
        "SELECT {} FROM t",
        columns.iter().map(|c| format!("quote({})", c.0)).collect::<Vec<_>>().join(",")
    );
    assert_eq!(super::workbench::rows(&shelf.path, &sql), shelf.bench.rows(&sql));
}

#[tokio::test]
async fn discovery_names_tables_views_keys_types_and_cursors() {
    let shelf = Shelf::new(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount DECIMAL(9,2), at DATETIME, updated_at TIMESTAMP NOT NULL,
            ok BOOLEAN, note VARCHAR(20));
         INSERT INTO orders VALUES (1, 1.50, '2024-05-01 10:00:00', '2024-05-01T10:00:00Z', 1, 'x');
         CREATE INDEX by_time ON orders (updated_at);
         CREATE TABLE pairs (b TEXT, a INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
         CREATE VIEW v AS SELECT id, amount * 2 AS twice FROM orders;
         CREATE TABLE _waybill_own (x); CREATE TABLE \"odd.name\" (\"a\"\"b\");",
    );
    let source = shelf.source().await;
    let catalog = source.discover(&[]).await.unwrap();
    let names: Vec<&str> = catalog.streams.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["orders", "pairs", "v", "\"odd.name\""]);
    let orders = catalog.streams[0].describe();
    let types: Vec<String> =
        orders.columns.iter().map(|c| format!("{} {} {}", c.name, c.logical, c.nullable)).collect();
    assert_eq!(
        types,
        [
            "id int64 false",
            "amount decimal(9,2) true",
            "at timestamp true",
            "updated_at timestamptz false",
            "ok bool true",
            "note text true"
        ]
    );
    assert_eq!(orders.columns[5].native.as_deref(), Some("VARCHAR(20)"));
    assert_eq!((orders.primary_key, orders.rows), (vec!["id".to_owned()], Some(1)));
    let cursors: Vec<(String, bool)> = orders.cursors.into_iter().map(|c| (c.column, c.indexed)).collect();
    assert_eq!(cursors, [("updated_at".to_owned(), true), ("id".to_owned(), true)]);
    assert_eq!(catalog.streams[1].primary_key, ["a", "b"]);
    assert_eq!(catalog.streams[2].kind, "view");
    let some =
        source.discover(&[StreamSelection::named("pai*"), StreamSelection::named("gone")]).await.unwrap();
    assert_eq!(some.streams.len(), 1);
    for (query, good) in [
        ("SELECT count(*) AS n, 'a' AS t FROM orders; ", true),
        ("SELECT 1 AS a -- a comment", true),
        ("SELECT 1 AS a; DROP TABLE orders", false),
        ("DELETE FROM orders", false),
        ("SELECT nothing FROM orders", false),
    ] {
        let mut selection = StreamSelection::named("q");
        selection.query = Some(query.into());
        match source.discover(&[selection]).await {
            Ok(catalog) => {
                assert!(good, "{query}");
                assert_eq!(catalog.streams[0].kind, "query");
            }
            Err(error) => assert!(!good && error.kind() == Kind::Schema, "{query}: {error}"),
        }
    }
    assert!(source.check().await.unwrap().iter().all(waybill_protocol::Check::ok));
}

#[tokio::test]
async fn a_full_read_honours_where_columns_limit_and_query() {
    let shelf = Shelf::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')",
    );
    let source = shelf.source().await;
    let mut selection = StreamSelection::named("t");
    selection.filter = Some("id > 1 -- only new ones".into());
    let stream = shelf.stream(&selection).await;
    let mut read = request(&stream, selection.clone());
    read.schema = Arc::new(Schema::new(vec![stream.schema.field(1).clone(), stream.schema.field(0).clone()]));
    let (messages, done) = all(&source, read.clone(), None).await;
    done.unwrap();
    assert_eq!(ints(&messages, 1), [2, 3]);
    assert!(matches!(messages.first(), Some(Message::Schema { .. })));
    assert!(matches!(messages.get(2), Some(Message::Checkpoint { patch }) if patch.is_empty()));
    assert!(matches!(messages.last(), Some(Message::Complete { .. })));
    read.limit = Some(1);
    assert_eq!(ints(&all(&source, read.clone(), None).await.0, 1), [2]);
    read.limit = None;
    read.from = Some(CursorValue::Int(3));
    let error = all(&source, read.clone(), None).await.1.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    read.selection.cursor = Some("id".into());
    assert_eq!(ints(&all(&source, read.clone(), None).await.0, 1), [3]);
    read.from = None;
    read.to = Some(CursorValue::Int(3));
    assert_eq!(ints(&all(&source, read, None).await.0, 1), [2]);
    let mut selection = StreamSelection::named("q");
    selection.query = Some("SELECT id * 10 AS tens FROM t ORDER BY id DESC;".into());
    let stream = shelf.stream(&selection).await;
    assert_eq!(ints(&all(&source, request(&stream, selection), None).await.0, 0), [30, 20, 10]);
    // A column that has gone is an error, never its name as text.
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    shelf.sql("ALTER TABLE t DROP COLUMN v");
    let error = all(&source, request(&stream, StreamSelection::named("t")), None).await.1.unwrap_err();
    assert_eq!(error.kind(), Kind::Schema);
    shelf.sql("DELETE FROM t");
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let (messages, done) = all(&source, request(&stream, StreamSelection::named("t")), None).await;
    done.unwrap();
    assert_eq!(messages.len(), 3, "schema, checkpoint, complete");
}

#[tokio::test]
async fn a_misfit_widens_under_evolve_and_is_rejected_otherwise() {
    let shelf = Shelf::new("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, d DATE NOT NULL)");
    shelf.sql(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 10001)
         INSERT INTO t SELECT x, x, '2024-05-01' FROM c;
         INSERT INTO t VALUES (20001, 'seven', '2024-05-01'), (20002, 7, 'soon')",
    );
    let source = shelf.source().await;
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let mut read = request(&stream, StreamSelection::named("t"));
    let (messages, done) = all(&source, read.clone(), None).await;
    done.unwrap();
    let Some(Message::Schema { schema, .. }) = messages.last() else { panic!("{messages:?}") };
    let types: Vec<String> = schema.fields().iter().map(|f| Logical::of(f).unwrap().to_string()).collect();
    assert_eq!(types, ["int64", "text", "text"], "both at once");
    read.schema = Arc::clone(schema);
    let (messages, done) = all(&source, read.clone(), None).await;
    done.unwrap();
    assert_eq!(ints(&messages, 0).len(), 10_003);
    read.schema = Arc::clone(&stream.schema);
    read.selection.schema_policy = SchemaPolicy::Freeze;
    let (messages, done) = all(&source, read, None).await;
    done.unwrap();
    assert_eq!(ints(&messages, 0).len(), 10_001);
    let rejects: Vec<_> =
        messages.iter().filter_map(|m| if let Message::Reject(r) = m { Some(r) } else { None }).collect();
    assert_eq!(rejects.len(), 2);
    assert_eq!((rejects[0].place.as_str(), rejects[0].column.as_deref()), ("id=20001", Some("n")));
    assert_eq!(rejects[0].reason, "text where int64 is expected");
    assert_eq!(rejects[0].row["n"], "seven");
    shelf.sql("CREATE TABLE u (v TEXT); INSERT INTO u VALUES ('good'), (CAST(x'ff' AS TEXT))");
    let stream = shelf.stream(&StreamSelection::named("u")).await;
    let (messages, _) = all(&source, request(&stream, StreamSelection::named("u")), None).await;
    let reject =
        messages.iter().find_map(|m| if let Message::Reject(r) = m { Some(r) } else { None }).unwrap();
    assert_eq!(
        (reject.place.as_str(), reject.reason.as_str()),
        ("rowid 2", "text that is not UTF-8 where text is expected")
    );
    assert_eq!(batches(&messages)[0].num_rows(), 1);
}

#[tokio::test]
async fn a_missing_file_a_folder_and_a_file_that_is_no_database() {
    let bench = Bench::new();
    let open = |name: &str| {
        let path = bench.folder.path().join(name);
        SqliteSource::open(bench.ctx("c", "source"), path, name.to_owned())
    };
    assert_eq!(open("gone.db").await.err().unwrap().kind(), Kind::NotFound);
    assert_eq!(open("").await.err().unwrap().kind(), Kind::Config);
    std::fs::write(bench.folder.path().join("x.db"), "no database, only text ".repeat(100)).unwrap();
    let error = open("x.db").await.err().unwrap();
    assert!(error.kind() == Kind::Data && error.message().contains("not a database"), "{error}");
    assert!(error.get_hint().is_some());
}

#[tokio::test]
async fn a_read_that_is_dropped_or_refused_ends() {
    let shelf = Shelf::new("CREATE TABLE t (id INTEGER PRIMARY KEY, pad TEXT)");
    shelf.sql(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300)
         INSERT INTO t SELECT x, printf('%.*c', 100000, 'x') FROM c",
    );
    let source = shelf.source().await;
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let stop = CancellationToken::new();
    let (outlet, mut inbox) = Outlet::new(Budget::new(6 << 20), stop.clone());
    let slice = Slice::whole(Arc::new(request(&stream, StreamSelection::named("t"))));
    let progress = Progress::default();
    let reading = source.read(&slice, &progress, &outlet);
    let refuse = async {
        drop(inbox.recv().await);
        stop.cancel();
    };
    let (done, ()) =
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(reading, refuse) }).await.unwrap();
    assert_eq!(done.unwrap_err().kind(), Kind::Cancelled);
    let (outlet, inbox) = Outlet::new(Budget::new(6 << 20), CancellationToken::new());
    let reading = source.read(&slice, &progress, &outlet);
    assert!(tokio::time::timeout(Duration::from_millis(200), reading).await.is_err());
    drop(inbox);
    tokio::time::timeout(Duration::from_secs(5), source.close()).await.unwrap();
}

#[tokio::test]
async fn a_broken_view_keeps_nobody_from_the_others() {
    let shelf =
        Shelf::new("CREATE TABLE t (a); CREATE TABLE u (b); CREATE VIEW v AS SELECT a FROM t; DROP TABLE t");
    let source = shelf.source().await;
    let names: Vec<String> =
        source.discover(&[]).await.unwrap().streams.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["u"]);
    let warned = |e: &waybill_protocol::Event| {
        e.level == waybill_protocol::Level::Warn && e.message.contains("v is left out")
    };
    assert!(shelf.bench.heard.0.lock().unwrap().iter().any(warned));
    let error = source.discover(&[StreamSelection::named("v")]).await.unwrap_err();
    assert_eq!((error.kind(), error.get_stream()), (Kind::Schema, Some("v")));
}
