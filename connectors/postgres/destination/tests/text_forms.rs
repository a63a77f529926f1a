//! A value that is widened to text at the server, and the same value that arrives later and is
//! written as text, read the same.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int32Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray, RecordBatch,
    StringArray,
};
use waybill_protocol::{Disposition, Logical, Payload};

use super::{Db, commit_of, load_of, schema_of};

fn primitive<T: ArrowPrimitiveType>(values: &[T::Native]) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values.iter().copied()))
}

fn columns() -> Vec<(&'static str, Logical, ArrayRef)> {
    let days = [0, -719_528, -719_529, -2_440_588, 2_932_897, 2_145_042_905, i32::MAX, i32::MIN];
    let moments = [
        0,
        -62_167_219_200_000_001,
        -62_135_596_800_000_000,
        -210_866_803_200_000_000,
        253_402_300_800_000_010,
        1_714_521_600_100_000,
        i64::MAX,
        i64::MIN,
    ];
    let doubles = [0.1, 1e15, 123_456_789_012_345.0, 1e-5, 0.0001, -1.5e22, f64::NAN, f64::NEG_INFINITY];
    let floats = [0.1, 1e6, 123_456.0, 1e-5, 0.0001, 3.4e38, f32::NAN, f32::INFINITY];
    let decimals = Decimal128Array::from(vec![0, 1, -1, 100, -12_345, 7, 8, 99]);
    let stamps = PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(moments);
    let texts = StringArray::from(vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"; 8]);
    let documents = StringArray::from(vec!["{\"b\":  1}"; 8]);
    let numerics =
        StringArray::from(vec!["1.50", "-0.001", "NaN", "Infinity", "-Infinity", "0", "1000000", "0.00"]);
    vec![
        (
            "a",
            Logical::Bool,
            Arc::new(BooleanArray::from(vec![true, false, true, false, true, true, true, true])),
        ),
        ("b", Logical::Int32, primitive::<Int32Type>(&[0, -1, i32::MAX, i32::MIN, 1, 2, 3, 4])),
        ("c", Logical::Float64, primitive::<Float64Type>(&doubles)),
        ("d", Logical::Float32, primitive::<Float32Type>(&floats)),
        (
            "e",
            Logical::Decimal { precision: 9, scale: 3 },
            Arc::new(decimals.with_precision_and_scale(9, 3).unwrap()),
        ),
        ("f", Logical::Numeric, Arc::new(numerics)),
        ("g", Logical::Uuid, Arc::new(texts)),
        ("h", Logical::Json, Arc::new(documents)),
        (
            "i",
            Logical::Bytes,
            Arc::new(BinaryArray::from(vec![b"\0\xff".as_slice(), b"", b"a", b"b", b"c", b"d", b"e", b"f"])),
        ),
        ("j", Logical::Date, primitive::<Date32Type>(&days)),
        (
            "k",
            Logical::Time,
            primitive::<Time64MicrosecondType>(&[0, 1, 86_400_000_000, 500_000, 60_000_000, 2, 3, 10]),
        ),
        ("l", Logical::Timestamp, Arc::new(stamps.clone())),
        ("m", Logical::TimestampTz, Arc::new(stamps.with_timezone("UTC"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_and_the_encoder_write_the_same_text() {
    let db = Db::new("texts");
    db.sql("ALTER DATABASE dest_texts SET timezone = 'Asia/Tokyo'; ALTER DATABASE dest_texts SET datestyle = 'SQL, DMY'");
    let columns = columns();
    let typed: Vec<_> = columns.iter().map(|c| (c.0, c.1, "")).collect();
    let texts: Vec<_> = columns.iter().map(|c| (c.0, Logical::Text, "")).collect();
    let schema = schema_of(&typed);
    let batch =
        RecordBatch::try_new(schema.clone(), columns.iter().map(|c| Arc::clone(&c.2)).collect()).unwrap();
    let destination = db.begin("c1", "r1").await;
    let mut load = load_of("forms", schema, Disposition::Direct);
    load.key = Vec::new();
    let mut writer = destination.writer("s").await.unwrap();
    writer.prepare(&load).await.unwrap();
    writer.write("forms", Payload::Arrow(batch.clone())).await.unwrap();
    writer.commit(&commit_of("k1", "forms")).await.unwrap();
    let mut wide = load.clone();
    wide.schema = schema_of(&texts);
    writer.prepare(&wide).await.unwrap();
    writer.prepare(&load).await.unwrap();
    writer.write("forms", Payload::Arrow(batch)).await.unwrap();
    writer.commit(&commit_of("k2", "forms")).await.unwrap();
    for (name, logical, _) in columns {
        let kind = db.sql(&format!("SELECT DISTINCT pg_typeof({name}) FROM sales.forms"));
        assert_eq!(kind, "text", "{logical}");
        let sql = format!(
            "SELECT string_agg({name}, '; ') FROM (SELECT {name} FROM sales.forms GROUP BY 1 HAVING count(*) % 2 = 1) x"
        );
        assert_eq!(db.sql(&sql), "", "{logical}: written in one form only");
    }
}
