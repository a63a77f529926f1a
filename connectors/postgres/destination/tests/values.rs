//! Every logical type, written and read back by SQL as text.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow_buffer::i256;
use waybill_protocol::{Disposition, Logical, Payload};

use super::{Db, commit_of, load_of, schema_of};

/// A column: name, type, native type, values, and what `column::text` must say.
struct Case(&'static str, Logical, &'static str, ArrayRef, Vec<&'static str>);

fn primitive<T: arrow_array::ArrowPrimitiveType>(values: Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values))
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn numbers() -> Vec<Case> {
    let d12 = Logical::Decimal { precision: 38, scale: 3 };
    let d60 = Logical::Decimal { precision: 60, scale: 20 };
    let wide = |text: &str| i256::from_string(text).unwrap();
    let small = Decimal128Array::from(vec![99_999_999_999_999_999_999_999_999_999_999_999_999, -1, 0]);
    let big = Decimal256Array::from(vec![wide(&"9".repeat(60)), wide("-1"), wide("0")]);
    vec![
        Case(
            "i16",
            Logical::Int16,
            "",
            primitive::<Int16Type>(vec![i16::MIN, 0, i16::MAX]),
            vec!["-32768", "0", "32767"],
        ),
        Case(
            "i32",
            Logical::Int32,
            "",
            primitive::<Int32Type>(vec![i32::MIN, 0, i32::MAX]),
            vec!["-2147483648", "0", "2147483647"],
        ),
        Case(
            "i64",
            Logical::Int64,
            "",
            primitive::<Int64Type>(vec![i64::MIN, 0, i64::MAX]),
            vec!["-9223372036854775808", "0", "9223372036854775807"],
        ),
        Case(
            "f32",
            Logical::Float32,
            "",
            primitive::<Float32Type>(vec![0.1, f32::NAN, f32::NEG_INFINITY]),
            vec!["0.1", "NaN", "-Infinity"],
        ),
        Case(
            "f64",
            Logical::Float64,
            "",
            primitive::<Float64Type>(vec![0.1, -0.0, 5e-324]),
            vec!["0.1", "-0", "5e-324"],
        ),
        Case(
            "d128",
            d12,
            "",
            Arc::new(small.with_precision_and_scale(38, 3).unwrap()),
            vec!["99999999999999999999999999999999999.999", "-0.001", "0.000"],
        ),
        Case(
            "d256",
            d60,
            "",
            Arc::new(big.with_precision_and_scale(60, 20).unwrap()),
            vec![
                "9999999999999999999999999999999999999999.99999999999999999999",
                "-0.00000000000000000001",
                "0.00000000000000000000",
            ],
        ),
        Case(
            "num",
            Logical::Numeric,
            "numeric",
            text(&["-12.50", "NaN", "Infinity"]),
            vec!["-12.50", "NaN", "Infinity"],
        ),
        Case(
            "num2",
            Logical::Numeric,
            "numeric",
            text(&["100000000000000000000000000000000000000000.000000001", "-Infinity", "0.00"]),
            vec!["100000000000000000000000000000000000000000.000000001", "-Infinity", "0.00"],
        ),
    ]
}

fn times() -> Vec<Case> {
    let days = vec![0, -719_529, i32::MAX];
    let moments = vec![-1, 253_402_300_800_000_000, i64::MIN];
    let intervals = vec![
        IntervalMonthDayNano::new(14, -3, 1_000),
        IntervalMonthDayNano::new(0, 0, -3_661_000_000_000),
        IntervalMonthDayNano::new(0, 0, 0),
    ];
    vec![
        Case(
            "day",
            Logical::Date,
            "",
            primitive::<Date32Type>(days),
            vec!["1970-01-01", "0002-12-31 BC", "infinity"],
        ),
        Case(
            "edge",
            Logical::Date,
            "",
            primitive::<Date32Type>(vec![-2_440_588, 2_145_042_905, i32::MIN]),
            vec!["4714-11-24 BC", "5874897-12-31", "-infinity"],
        ),
        Case(
            "ends",
            Logical::Timestamp,
            "",
            primitive::<TimestampMicrosecondType>(vec![-210_866_803_200_000_000, i64::MAX - 1, i64::MAX]),
            vec!["4714-11-24 00:00:00 BC", "294247-01-10 04:00:54.775806", "infinity"],
        ),
        Case(
            "tod",
            Logical::Time,
            "",
            primitive::<Time64MicrosecondType>(vec![0, 86_400_000_000, 1]),
            vec!["00:00:00", "24:00:00", "00:00:00.000001"],
        ),
        Case(
            "ts",
            Logical::Timestamp,
            "",
            primitive::<TimestampMicrosecondType>(moments.clone()),
            vec!["1969-12-31 23:59:59.999999", "10000-01-01 00:00:00", "-infinity"],
        ),
        Case(
            "tz",
            Logical::TimestampTz,
            "",
            Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(moments).with_timezone("UTC"),
            ),
            vec!["1969-12-31 23:59:59.999999+00", "10000-01-01 00:00:00+00", "-infinity"],
        ),
        Case(
            "iv",
            Logical::Interval,
            "",
            primitive::<IntervalMonthDayNanoType>(intervals),
            vec!["1 year 2 mons -3 days +00:00:00.000001", "-01:01:01", "00:00:00"],
        ),
    ]
}

fn others() -> Vec<Case> {
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    vec![
        Case(
            "flag",
            Logical::Bool,
            "",
            Arc::new(BooleanArray::from(vec![true, false, true])),
            vec!["true", "false", "true"],
        ),
        Case("txt", Logical::Text, "", text(&["", "naïve 🚚\n", "a\\b"]), vec!["", "naïve 🚚\n", "a\\b"]),
        Case("vc", Logical::Text, "character varying(5)", text(&["abcde", "", "é"]), vec!["abcde", "", "é"]),
        Case("ch", Logical::Text, "character(5)", text(&["abcde", "     ", "é    "]), vec!["abcde", "", "é"]),
        Case("ip", Logical::Text, "inet", text(&["10.0.0.1", "::1", "x"]), vec!["10.0.0.1", "::1", "x"]),
        Case(
            "js",
            Logical::Json,
            "json",
            text(&["{\"b\": 1,  \"a\": 2, \"b\": 3}", "null", "[]"]),
            vec!["{\"b\": 1,  \"a\": 2, \"b\": 3}", "null", "[]"],
        ),
        Case(
            "jb",
            Logical::Json,
            "jsonb",
            text(&["{\"a\": 1}", "1.50", "\"x\""]),
            vec!["{\"a\": 1}", "1.50", "\"x\""],
        ),
        Case(
            "id",
            Logical::Uuid,
            "",
            text(&[uuid, "00000000-0000-0000-0000-000000000000", uuid]),
            vec![uuid, "00000000-0000-0000-0000-000000000000", uuid],
        ),
        Case(
            "bin",
            Logical::Bytes,
            "",
            Arc::new(BinaryArray::from(vec![b"\0\xff".as_slice(), b"", b"abc"])),
            vec!["\\x00ff", "\\x", "\\x616263"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_as_it_left() {
    let db = Db::new("values");
    db.sql("ALTER DATABASE dest_values SET timezone = 'UTC'; ALTER DATABASE dest_values SET default_transaction_isolation = 'serializable'");
    let cases: Vec<Case> = numbers().into_iter().chain(times()).chain(others()).collect();
    let columns: Vec<_> = cases.iter().map(|c| (c.0, c.1, c.2)).collect();
    let schema = schema_of(&columns);
    let destination = db.begin("c1", "r1").await;
    let mut load = load_of("kinds", schema.clone(), Disposition::Direct);
    load.key = Vec::new();
    let mut writer = destination.writer("s").await.unwrap();
    writer.prepare(&load).await.unwrap();
    let batch =
        RecordBatch::try_new(schema.clone(), cases.iter().map(|c| Arc::clone(&c.3)).collect()).unwrap();
    let nulls: Vec<ArrayRef> =
        cases.iter().map(|c| arrow_array::new_null_array(c.3.data_type(), 1)).collect();
    writer.write("kinds", Payload::Arrow(batch)).await.unwrap();
    writer
        .write("kinds", Payload::Arrow(RecordBatch::try_new(schema.clone(), nulls).unwrap()))
        .await
        .unwrap();
    let receipt = writer.commit(&commit_of("k1", "kinds")).await.unwrap();
    assert_eq!(receipt.rows["kinds"], 4);

    for Case(name, logical, _, _, expected) in &cases {
        let got = db.sql(&format!("SELECT json_agg({name}::text) FROM sales.kinds"));
        let mut expected: Vec<Option<String>> =
            expected.iter().map(|text| Some((*text).to_owned())).collect();
        expected.push(None);
        assert_eq!(serde_json::from_str::<Vec<Option<String>>>(&got).ok(), Some(expected), "{name}: {got}");
        let verdict = destination.verdict(schema.field_with_name(name).unwrap());
        let native = db.sql(&format!("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'sales.kinds'::regclass AND attname = '{name}'"));
        assert_eq!(native, verdict.native, "{logical}");
    }
    assert_eq!(db.sql("SELECT DISTINCT _waybill_run_id FROM sales.kinds"), "r1");
    assert_eq!(db.sql("SELECT octet_length(ch) FROM sales.kinds WHERE ch = 'é'"), "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_every_length_arrive_digit_by_digit() {
    let db = Db::new("digits");
    let schema = schema_of(&[("n", Logical::Numeric, ""), ("t", Logical::Text, "")]);
    let mut seed = 7u64;
    let mut digits = |most: u64| -> String {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let length = next() % (most + 1);
        // Zeros in rows, so that whole groups of four are empty.
        (0..length)
            .map(|_| if next() % 3 == 0 { char::from(b'0' + (next() % 10) as u8) } else { '0' })
            .collect()
    };
    let values: Vec<String> = (0..3_000)
        .map(|n| {
            let (whole, fraction) = (digits(30), digits(30));
            let whole = whole.trim_start_matches('0');
            let whole = if whole.is_empty() { "0" } else { whole };
            let number = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
            let zero = number.bytes().all(|b| b == b'0' || b == b'.');
            if n % 2 == 0 && !zero { format!("-{number}") } else { number }
        })
        .collect();
    let column: ArrayRef = Arc::new(StringArray::from(values));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::clone(&column), column]).unwrap();
    let destination = db.begin("c1", "r1").await;
    let mut load = load_of("digits", schema, Disposition::Direct);
    load.key = Vec::new();
    let mut writer = destination.writer("s").await.unwrap();
    writer.prepare(&load).await.unwrap();
    writer.write("digits", Payload::Arrow(batch)).await.unwrap();
    writer.commit(&commit_of("k1", "digits")).await.unwrap();
    assert_eq!(db.sql("SELECT count(*), count(*) FILTER (WHERE n::text = t) FROM sales.digits"), "3000|3000");
}
