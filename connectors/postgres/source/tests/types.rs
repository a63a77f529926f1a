//! Every type, value by value.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_buffer::{IntervalMonthDayNano, i256};
use waybill_protocol::calendar::parse_timestamp;
use waybill_protocol::{Kind, Logical, NATIVE_KEY, SchemaPolicy, StreamSelection, StreamState};

use super::fixture::{Fixture, Sent};

const TABLE: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN money_amount AS numeric(12,2) CHECK (value >= 0);
CREATE DOMAIN nested AS money_amount;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (
  b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric(12,2), nbig numeric(60,10), nfree numeric,
  t text, v varchar(10), c char(5), na name, ch "char", by bytea, d date, ti time, tz timetz, ts timestamp,
  tt timestamptz, iv interval, u uuid, j json, jb jsonb, o oid, do_ nested, e mood,
  arr int[], r int4range, ip inet, p pair, bi bit(3), mo money, x xml);
INSERT INTO t VALUES (
  true, -32768, 2147483647, -9223372036854775808, 0.1, 'NaN', -9999999999.99, 12345678901234567890123456789012345678901234567890.0123456789,
  123456789012345678901234567890.000000000100, 'é😀', 'ab', 'x', 'nm', 'q', '\x00ff', '2024-02-29', '24:00', '12:34:56.5+02',
  '2024-05-01 12:34:56.123456', '2024-05-01 12:34:56.123456+02', '1 year 2 mons 3 days 04:05:06.789', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
  '{"b": 1,  "a":2}', '{"b": 1,  "a":2}', 4294967295, 12.50, 'happy',
  '{1,NULL,3}', '[1,5)', '10.0.0.1/8', '(1,"a b")', '101', 12.34, '<a>1</a>');
INSERT INTO t (t) VALUES (NULL);
INSERT INTO t (b, f4, f8, d, ts, tt, n, nfree, ti) VALUES (false, '-Infinity', 1e300, 'infinity', '-infinity', 'infinity', 0, 'NaN', '00:00');
INSERT INTO t (d, ts, tt, n, nfree, f8) VALUES ('4713-01-01 BC', '0001-12-31 23:59:59.999999 BC', '12024-01-01', 0.01, -0.00000000000000000001, '-0');
"#;

fn batch(sent: &Sent, column: &str) -> arrow_array::ArrayRef {
    assert_eq!(sent.batches.len(), 1);
    std::sync::Arc::clone(sent.batches[0].column_by_name(column).unwrap())
}

#[tokio::test]
async fn every_type_arrives_exactly() {
    let f = Fixture::new("types", TABLE).await;
    let read = f.stream(StreamSelection::named("public.t")).await;
    let kind = |name: &str| Logical::of(read.schema.field_with_name(name).unwrap()).unwrap();
    assert_eq!(kind("n"), Logical::Decimal { precision: 12, scale: 2 });
    assert_eq!(kind("nbig"), Logical::Decimal { precision: 60, scale: 10 });
    assert_eq!(
        (kind("nfree"), kind("do_")),
        (Logical::Numeric, Logical::Decimal { precision: 12, scale: 2 })
    );
    assert_eq!(
        (kind("o"), kind("jb"), kind("e"), kind("tz")),
        (Logical::Int64, Logical::Json, Logical::Text, Logical::Text)
    );
    let native = |name: &str| read.schema.field_with_name(name).unwrap().metadata()[NATIVE_KEY].clone();
    assert_eq!(
        (native("arr").as_str(), native("do_").as_str(), native("c").as_str()),
        ("integer[]", "nested", "character(5)")
    );

    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert!(sent.complete && sent.rows() == 4 && sent.checkpoints == 1 && sent.states.is_empty());
    for column in sent.batches[0].columns() {
        assert!(column.is_null(1), "NULL stays NULL");
    }
    numbers(&sent);
    times(&sent);
    for (column, expected) in [
        ("nfree", "123456789012345678901234567890.000000000100"),
        ("t", "é😀"),
        ("v", "ab"),
        ("c", "x    "),
        ("na", "nm"),
        ("ch", "q"),
        ("tz", "12:34:56.5+02"),
        ("u", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("j", "{\"b\": 1,  \"a\":2}"),
        ("jb", "{\"a\": 2, \"b\": 1}"),
        ("e", "happy"),
        ("arr", "{1,NULL,3}"),
        ("r", "[1,5)"),
        ("ip", "10.0.0.1/8"),
        ("p", "(1,\"a b\")"),
        ("bi", "101"),
        ("mo", "12.34"),
        ("x", "<a>1</a>"),
    ] {
        assert_eq!(batch(&sent, column).as_string::<i32>().value(0), expected, "{column}");
    }
    assert_eq!(batch(&sent, "nfree").as_string::<i32>().value(2), "NaN");
    assert_eq!(batch(&sent, "nfree").as_string::<i32>().value(3), "-0.00000000000000000001");
    assert_eq!(batch(&sent, "by").as_binary::<i32>().value(0), [0, 255]);
}

fn numbers(sent: &Sent) {
    assert!(batch(sent, "b").as_boolean().value(0) && !batch(sent, "b").as_boolean().value(2));
    assert_eq!(batch(sent, "i2").as_primitive::<Int16Type>().value(0), i16::MIN);
    assert_eq!(batch(sent, "i4").as_primitive::<Int32Type>().value(0), i32::MAX);
    assert_eq!(batch(sent, "i8").as_primitive::<Int64Type>().value(0), i64::MIN);
    assert_eq!(batch(sent, "o").as_primitive::<Int64Type>().value(0), 4_294_967_295);
    assert_eq!(batch(sent, "f4").as_primitive::<Float32Type>().value(0), 0.1);
    assert_eq!(batch(sent, "f4").as_primitive::<Float32Type>().value(2), f32::NEG_INFINITY);
    assert!(batch(sent, "f8").as_primitive::<Float64Type>().value(0).is_nan());
    assert_eq!(batch(sent, "f8").as_primitive::<Float64Type>().value(2), 1e300);
    assert!(batch(sent, "f8").as_primitive::<Float64Type>().value(3).is_sign_negative());
    let n = batch(sent, "n");
    let n = n.as_primitive::<Decimal128Type>();
    assert_eq!((n.value(0), n.value(2), n.value(3)), (-999_999_999_999, 0, 1));
    assert_eq!(batch(sent, "do_").as_primitive::<Decimal128Type>().value(0), 1250);
    let big = i256::from_string("123456789012345678901234567890123456789012345678900123456789").unwrap();
    assert_eq!(batch(sent, "nbig").as_primitive::<Decimal256Type>().value(0), big);
}

fn times(sent: &Sent) {
    let us = |text: &str| parse_timestamp(text).unwrap().0;
    let d = batch(sent, "d");
    let d = d.as_primitive::<Date32Type>();
    assert_eq!((d.value(0), d.value(2), d.value(3)), (19_782, i32::MAX, -2_440_550));
    let ti = batch(sent, "ti");
    assert_eq!(ti.as_primitive::<Time64MicrosecondType>().value(0), 86_400_000_000);
    let ts = batch(sent, "ts");
    let ts = ts.as_primitive::<TimestampMicrosecondType>();
    assert_eq!(ts.value(0), us("2024-05-01T12:34:56.123456"));
    assert_eq!(
        (ts.value(2), ts.value(3)),
        (i64::MIN, us("0001-01-01T00:00:00") - 366 * 86_400_000_000 + 366 * 86_400_000_000 - 1)
    );
    let tt = batch(sent, "tt");
    let tt = tt.as_primitive::<TimestampMicrosecondType>();
    assert_eq!((tt.value(0), tt.value(2)), (us("2024-05-01T10:34:56.123456"), i64::MAX));
    assert_eq!(tt.value(3), us("+12024-01-01T00:00:00"));
    let iv = batch(sent, "iv");
    let expected = IntervalMonthDayNano::new(14, 3, 14_706_789_000_000);
    assert_eq!(iv.as_primitive::<IntervalMonthDayNanoType>().value(0), expected);
}

#[tokio::test]
async fn times_beyond_64_bits_come_as_text_or_fail_and_name_their_column() {
    let sql = "CREATE TABLE far (a int, late timestamptz); INSERT INTO far VALUES (1, '294276-12-31');
        CREATE TABLE long (iv interval); INSERT INTO long VALUES ('10000000 hours');";
    let f = Fixture::new("misfits", sql).await;
    for (table, column) in [("far", "late"), ("long", "iv")] {
        let mut selection = StreamSelection::named(format!("public.{table}"));
        let sent = f.read(&f.stream(selection.clone()).await, &StreamState::default()).await.unwrap();
        let wider = sent.schemas[1].field_with_name(column).unwrap();
        assert_eq!((sent.complete, Logical::of(wider).unwrap()), (false, Logical::Text));
        selection.schema_policy = waybill_protocol::SchemaPolicy::Freeze;
        let read = f.stream(selection).await;
        let error = f.read(&read, &StreamState::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "{error}");
        assert!(error.message().starts_with(&format!("public.{table}: column \"{column}\"")), "{error}");
        assert!(!error.message().contains("294276-"), "no value: {error}");
    }
}

#[tokio::test]
async fn nan_in_a_decimal_widens_it_or_fails() {
    let f =
        Fixture::new("nan", "CREATE TABLE t (i int, n numeric(5,2)); INSERT INTO t VALUES (1, 'NaN')").await;
    let mut read = f.stream(StreamSelection::named("public.t")).await;
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert!(!sent.complete && sent.batches.is_empty() && sent.schemas.len() == 2);
    read.schema = sent.schemas[1].clone();
    assert_eq!(Logical::of(read.schema.field(1)).unwrap(), Logical::Numeric);
    let again = f.read(&read, &StreamState::default()).await.unwrap();
    assert!(again.complete);
    assert_eq!(batch(&again, "n").as_string::<i32>().value(0), "NaN");

    let mut read = f.stream(StreamSelection::named("public.t")).await;
    read.selection.schema_policy = SchemaPolicy::Freeze;
    let error = f.read(&read, &StreamState::default()).await.unwrap_err();
    assert!(error.kind() == Kind::Data && error.message().contains("\"n\""), "{error}");
}

#[tokio::test]
async fn bytes_that_are_not_utf8_fail_with_stream_and_column() {
    let server = crate::postgres::server::PgServer::shared();
    server.psql("postgres", "DROP DATABASE IF EXISTS ascii");
    server.psql("postgres", "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
    server.psql("ascii", "CREATE TABLE t (ok text, bad text); INSERT INTO t VALUES ('a', E'\\xff')");
    let f = Fixture::on(server, "ascii".into(), Default::default(), serde_json::json!({})).await;
    let read = f.stream(StreamSelection::named("public.t")).await;
    let error = f.read(&read, &StreamState::default()).await.unwrap_err();
    assert_eq!(error.message(), "public.t: column \"bad\" has text that is not UTF-8");

    server.psql("postgres", "DROP DATABASE IF EXISTS latin");
    server.psql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    server.psql("latin", "CREATE TABLE t (a text); INSERT INTO t VALUES (chr(233))");
    let f = Fixture::on(server, "latin".into(), Default::default(), serde_json::json!({})).await;
    let read = f.stream(StreamSelection::named("public.t")).await;
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!(batch(&sent, "a").as_string::<i32>().value(0), "é");
}

#[tokio::test]
async fn wider_types_are_honoured() {
    let f = Fixture::new(
        "wider",
        "CREATE TABLE t (i int, f real, n numeric(4,1)); INSERT INTO t VALUES (7, 0.5, 12.5)",
    )
    .await;
    let mut read = f.stream(StreamSelection::named("public.t")).await;
    let wanted = [
        Logical::Int64.field("i", true, ""),
        Logical::Numeric.field("f", true, ""),
        Logical::Decimal { precision: 40, scale: 3 }.field("n", true, ""),
    ];
    read.schema = std::sync::Arc::new(arrow_schema::Schema::new(wanted.to_vec()));
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!(batch(&sent, "i").as_primitive::<Int64Type>().value(0), 7);
    assert_eq!(batch(&sent, "f").as_string::<i32>().value(0), "0.5");
    assert_eq!(batch(&sent, "n").as_primitive::<Decimal256Type>().value(0), i256::from_i128(12_500));
    read.schema = std::sync::Arc::new(arrow_schema::Schema::new(vec![Logical::Int16.field("i", true, "")]));
    let error = f.read(&read, &StreamState::default()).await.unwrap_err();
    assert!(error.kind() == Kind::Schema && error.retryable(), "{error}");
}
