use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

use super::*;

fn plans() -> Vec<ColumnPlan> {
    vec![
        ColumnPlan { wire: Wire::Int4, field: Logical::Int32.field("a", true, "") },
        ColumnPlan { wire: Wire::Text, field: Logical::Text.field("b", true, "") },
    ]
}

fn started() -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0; 8]);
    bytes
}

fn row(bytes: &mut Vec<u8>, a: Option<i32>, b: &[u8]) {
    bytes.extend(2i16.to_be_bytes());
    match a {
        Some(a) => {
            bytes.extend(4i32.to_be_bytes());
            bytes.extend(a.to_be_bytes());
        }
        None => bytes.extend((-1i32).to_be_bytes()),
    }
    bytes.extend((b.len() as i32).to_be_bytes());
    bytes.extend(b);
}

#[test]
fn rows_become_columns_and_the_end_is_seen() {
    let mut decoder = Decoder::new(&plans()).unwrap();
    let mut first = started();
    row(&mut first, Some(7), "é".as_bytes());
    decoder.feed(&first).unwrap();
    let mut second = Vec::new();
    row(&mut second, None, b"");
    decoder.feed(&second).unwrap();
    decoder.feed(&(-1i16).to_be_bytes()).unwrap();
    assert!(decoder.ended());
    assert_eq!(decoder.rows(), 2);
    let batch = decoder.take().unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(0), 7);
    assert!(batch.column(0).is_null(1));
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "é");
    assert_eq!((decoder.rows(), decoder.bytes()), (0, 0));
}

#[test]
fn no_bytes_make_it_panic() {
    let mut whole = started();
    row(&mut whole, Some(7), b"text");
    for cut in 1..whole.len() {
        let mut decoder = Decoder::new(&plans()).unwrap();
        let fed = decoder.feed(&whole[..cut]);
        assert!(fed.is_err() || decoder.rows() == 0, "cut at {cut}");
    }
    for seed in 0..2000u32 {
        let mut decoder = Decoder::new(&plans()).unwrap();
        let mut bytes = whole.clone();
        let at = (seed as usize * 7919) % bytes.len();
        bytes[at] ^= (seed % 255) as u8 + 1;
        if decoder.feed(&bytes).is_ok() {
            let _ = decoder.take();
        }
    }
}

#[test]
fn text_that_is_not_utf8_names_its_column() {
    let mut decoder = Decoder::new(&plans()).unwrap();
    let mut bytes = started();
    row(&mut bytes, Some(1), b"\xff\xfe");
    decoder.feed(&bytes).unwrap();
    let error = decoder.take().unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.message().contains("\"b\""), "{error}");
}
