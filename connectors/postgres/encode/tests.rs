use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::Schema;
use waybill_protocol::{Kind, Logical};

use super::numeric::{Decimal, put, put_text, put_wide};
use super::*;

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

fn decimal(unscaled: i128, scale: u8) -> Vec<u16> {
    let mut out = Vec::new();
    put(&Decimal::small(unscaled, scale), &mut out).unwrap();
    words(&out)
}

fn from_text(text: &str) -> Result<Vec<u16>, Misfit> {
    let mut out = Vec::new();
    put_text(text, &mut out).map(|()| words(&out))
}

#[test]
fn decimals_are_base_ten_thousand_digits() {
    // What `SELECT numeric_send(…)` answers: digits, weight, sign, scale, then the digits.
    assert_eq!(decimal(0, 2), [0, 0, 0, 2]);
    assert_eq!(decimal(1, 0), [1, 0, 0, 0, 1]);
    assert_eq!(decimal(-1250, 2), [2, 0, 0x4000, 2, 12, 5000]);
    assert_eq!(decimal(100_000_000, 0), [1, 2, 0, 0, 1]);
    assert_eq!(decimal(1, 5), [1, 0xfffe, 0, 5, 1000]);
    assert_eq!(decimal(12_345_678, 3), [3, 1, 0, 3, 1, 2345, 6780]);
}

#[test]
fn the_ways_to_write_a_decimal_agree() {
    for unscaled in
        [0, 7, -10_000, 99_999_999_999_999_999_999_999_999_999_999_999_999i128, -123_456_789_012_345_678_901]
    {
        for scale in [0u8, 1, 2, 3, 4, 5, 9, 37] {
            let mut wide = Vec::new();
            put_wide(&unscaled.to_string(), scale, &mut wide).unwrap();
            assert_eq!(decimal(unscaled, scale), words(&wide), "{unscaled} scale {scale}");
        }
    }
    assert_eq!(from_text("-12.50").unwrap(), decimal(-1250, 2));
    assert_eq!(from_text("00012").unwrap(), decimal(12, 0));
    assert_eq!(from_text("-0.00").unwrap(), decimal(0, 2));
}

#[test]
fn what_is_no_number_or_too_long_is_refused() {
    assert_eq!(from_text("NaN").unwrap(), [0, 0, 0xc000, 0]);
    assert_eq!(from_text("Infinity").unwrap(), [0, 0, 0xd000, 0]);
    assert_eq!(from_text("-Infinity").unwrap(), [0, 0, 0xf000, 0]);
    for bad in ["", ".", "-", "1e5", "1,5", "0x1", "é", "--1", "1.2.3"] {
        assert_eq!(from_text(bad), Err(Misfit::NotNumeric), "{bad:?}");
    }
    assert_eq!(from_text(&"9".repeat(131_073)), Err(Misfit::NumericRange));
    assert_eq!(from_text(&format!("0.{}", "1".repeat(16_384))), Err(Misfit::NumericRange));
    assert!(from_text(&"9".repeat(131_072)).is_ok());
}

fn plan(columns: &[(&str, Logical, Form, bool)]) -> Vec<ColumnPlan> {
    let plan = |(name, logical, form, key): &(&str, Logical, Form, bool)| ColumnPlan {
        word: form.word().to_owned(),
        name: (*name).to_owned(),
        logical: *logical,
        form: *form,
        key: *key,
    };
    columns.iter().map(plan).collect()
}

fn batch(ids: Vec<Option<i64>>, texts: Vec<Option<&str>>) -> RecordBatch {
    let fields = vec![Logical::Int64.field("id", true, ""), Logical::Text.field("note", true, "")];
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![Arc::new(Int64Array::from(ids)), Arc::new(StringArray::from(texts))],
    )
    .unwrap()
}

#[test]
fn rows_come_in_chunks_that_join_without_a_seam() {
    let plan = plan(&[("id", Logical::Int64, Form::Int8, true), ("note", Logical::Text, Form::Text, false)]);
    let batch = batch(vec![Some(1), Some(2), None], vec![Some("a"), None, Some("é")]);
    let mut whole = Vec::new();
    assert!(!Rows::new("s", &plan, &batch, false, Some(10)).unwrap().fill(&mut whole, usize::MAX).unwrap());
    assert_eq!(
        whole.get(..29).unwrap(),
        [
            [0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1].as_slice(),
            &[0, 0, 0, 1, b'a', 0, 0, 0, 8, 0, 0, 0, 0, 0, 0],
        ]
        .concat()
    );
    let mut rows = Rows::new("s", &plan, &batch, false, Some(10)).unwrap();
    let mut joined = Vec::new();
    loop {
        let mut chunk = Vec::new();
        let more = rows.fill(&mut chunk, 1).unwrap();
        joined.extend(chunk);
        if !more {
            break;
        }
    }
    assert_eq!(joined, whole);
}

#[test]
fn what_postgres_cannot_hold_names_column_and_key_but_no_value() {
    let plan = plan(&[("id", Logical::Int64, Form::Int8, true), ("note", Logical::Text, Form::Text, false)]);
    let nul = batch(vec![Some(41)], vec![Some("secret\0")]);
    let error = Rows::new("s", &plan, &nul, true, None).unwrap().fill(&mut Vec::new(), 1).unwrap_err();
    assert_eq!((error.kind(), error.get_stream()), (Kind::Data, Some("s")));
    assert!(error.message().contains("\"note\"") && error.message().contains("id=41"), "{error}");
    assert!(!error.message().contains("secret"), "{error}");
    let null_key = batch(vec![None], vec![Some("x")]);
    let merged = Rows::new("s", &plan, &null_key, true, None).unwrap().fill(&mut Vec::new(), 1).unwrap_err();
    assert!(merged.message().contains("\"id\""), "{merged}");
    assert!(Rows::new("s", &plan, &null_key, false, None).unwrap().fill(&mut Vec::new(), 1).is_ok());
}

#[test]
fn a_batch_that_is_not_the_load_is_a_bug_and_not_garbage() {
    let narrow = plan(&[("id", Logical::Int64, Form::Int8, true)]);
    let batch = batch(vec![Some(1)], vec![Some("x")]);
    assert_eq!(Rows::new("s", &narrow, &batch, false, None).err().unwrap().kind(), Kind::Internal);
    let other = plan(&[("id", Logical::Int32, Form::Int4, true), ("note", Logical::Text, Form::Text, false)]);
    assert_eq!(Rows::new("s", &other, &batch, false, None).err().unwrap().kind(), Kind::Internal);
}
