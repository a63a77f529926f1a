use serde_json::json;
use waybill_protocol::{Kind, SchemaPolicy};

use super::{Folder, columns, gzip, request, schema, with_policy};

async fn one(content: &[u8]) -> super::Got {
    Folder::new(&[("a.csv", content)]).read(json!({"path": "a.csv"})).await
}

#[tokio::test]
async fn every_type_arrives_as_it_was_written() {
    let got = one(b"\xEF\xBB\xBFid,code,price,big,flag,day,at,zoned,x,t\r\n\
        1,007,12.50,9223372036854775808,true,2024-02-29,2024-02-29 10:00:00.5,2024-02-29T10:00:00+02:00,1e5,\"\"\r\n\
        -2,12,3,1,False,,2024-02-29T10:00,2024-02-29T10:00:00Z,NaN,\"say \"\"hi\"\", \xC3\xA9\n2\"\r\n")
    .await
    .whole();
    assert_eq!(
        columns(&got.schemas[0]),
        [
            "id:int64",
            "code:text",
            "price:decimal(15,2)",
            "big:decimal(38,0)",
            "flag:bool",
            "day:date",
            "at:timestamp",
            "zoned:timestamptz",
            "x:float64",
            "t:text"
        ]
    );
    assert_eq!(
        got.rows(),
        [
            "1|007|12.50|9223372036854775808|true|2024-02-29|2024-02-29T10:00:00.500|2024-02-29T08:00:00Z|100000.0|",
            "-2|12|3.00|1|false|∅|2024-02-29T10:00:00|2024-02-29T10:00:00Z|NaN|say \"hi\", é\n2"
        ]
    );
    assert_eq!((got.rejects.len(), got.patches.len()), (0, 1));
    assert!(got.patches[0].is_empty());
}

#[tokio::test]
async fn ragged_rows_name_file_line_and_counts_and_the_rest_is_read() {
    let got = one(b"a,b,c\n1,2,3\n4,5\n\"x\ny\",5,6\n1,2,3,4\n7,8,9").await.whole();
    assert_eq!(got.bad(), ["a.csv:3: expected 3 fields, found 2", "a.csv:6: expected 3 fields, found 4"]);
    assert_eq!(got.rejects[0].row, json!("4,5"));
    assert_eq!(got.rows(), ["1|2|3", "x\ny|5|6", "7|8|9"]);
}

#[tokio::test]
async fn nul_bytes_bad_utf8_and_stray_quotes_are_row_errors() {
    let got = one(b"a,b\n1,x\x00y\n2,\xFF\n3,\"q\"z\n4,c\rd\n5,ok\n").await.whole();
    assert_eq!(
        got.bad(),
        [
            "a.csv:2: a NUL byte, which no destination can hold in text",
            "a.csv:3: not valid UTF-8",
            "a.csv:4: text follows a closing quote",
            "a.csv:5: a carriage return outside quotes that ends no line"
        ]
    );
    assert_eq!(got.rows(), ["5|ok"]);
}

#[tokio::test]
async fn a_quote_that_is_never_closed_names_its_line() {
    let got = one(b"a,b\n1,2\n\"x\ny\",\"never\n3,4\n").await;
    assert_eq!(got.error().message(), "a.csv:4: the quote that opens here is never closed");
    assert_eq!(got.error().kind(), Kind::Data);
}

#[tokio::test]
async fn a_field_of_50_megabytes_is_a_value() {
    let mut content = b"id,t\n1,\"".to_vec();
    content.extend(std::iter::repeat_n(b"line\n", 10 << 20).flatten());
    content.extend_from_slice(b"\"\n2,short\n");
    let got = one(&content).await.whole();
    assert_eq!(got.batches.iter().map(|b| b.num_rows()).sum::<usize>(), 2);
    assert!(got.rows()[0].len() > 50 << 20);
}

#[tokio::test]
async fn headers_that_cannot_be_are_refused_and_odd_ones_are_kept() {
    let got = one(b"a,b,a\n1,2,3\n").await;
    assert_eq!(got.error().message(), "a.csv:1: column \"a\" comes twice, at positions 1 and 3");
    assert_eq!(got.error().kind(), Kind::Schema);
    assert_eq!(got.error().get_stream(), Some("s"));
    assert!(one(b"").await.error().message().contains("no header"));
    assert!(one(b"\xEF\xBB\xBF").await.error().message().contains("no header"));
    assert!(one(b"a,\x00\n1,2\n").await.error().message().contains("a.csv:1: the header has a NUL"));
    assert!(one(&[0xFF, 0xFE, b'a', 0]).await.error().message().contains("UTF-16"));
    let got = one(b"\na,A,\n1,2,3\n").await.whole();
    assert_eq!(columns(&got.schemas[0]), ["a:int64", "A:int64", "column_3:int64"]);
    let got = one(b"a,b\n").await.whole();
    assert!(got.rows().is_empty() && got.patches.len() == 1);
}

#[tokio::test]
async fn the_options_of_csv_are_obeyed() {
    let folder = Folder::new(&[("a.csv", b"1;'x;y';NA;\"\n2;;'NA';z\n"), ("one.csv", b"v\n1\n\n3\n")]);
    let options = json!({"path": "a.csv", "delimiter": ";", "quote": "'", "header": false,
        "null_values": ["NA"], "file_columns": true});
    let got = folder.read(options).await.whole();
    assert_eq!(got.rows(), ["1|x;y|∅|\"|a.csv|1", "2||NA|z|a.csv|2"]);
    assert_eq!(got.schemas[0].field(0).name(), "column_1");
    let got = folder.read(json!({"path": "a.csv", "delimiter": ";", "quote": "", "header": false})).await;
    assert_eq!(got.whole().bad(), ["a.csv:2: expected 5 fields, found 4"]);
    // In a file of one column a blank line is a value that is missing.
    assert_eq!(folder.read(json!({"path": "one.csv"})).await.whole().rows(), ["1", "∅", "3"]);
    assert_eq!(one(b"a,b\n1,2\n\n").await.whole().rows(), ["1|2"]);
}

#[tokio::test]
async fn declared_types_take_what_people_write_and_never_widen() {
    let folder = Folder::new(&[(
        "a.csv",
        b"n,f,d,b,j,u\n007,0.10000000000000001,1.5,yes,\"{\"\"k\"\": 1}\",\
        6F9619FF-8B86-D011-B42D-00CF4FC964FF\n1,2,1.555,no,[],\n1,2,3,no,{,\n",
    )]);
    let types =
        json!({"n": "int32", "f": "float64", "d": "decimal(4,2)", "b": "bool", "j": "json", "u": "uuid"});
    let got = folder.read(json!({"path": "a.csv", "types": types})).await.whole();
    assert_eq!(got.rows(), ["7|0.1|1.50|true|{\"k\": 1}|6f9619ff-8b86-d011-b42d-00cf4fc964ff"]);
    assert_eq!(
        got.bad(),
        [
            "a.csv:3 d: not exactly a value of type decimal(4,2)",
            "a.csv:4 j: not exactly a value of type json"
        ]
    );
    let found = folder.discover(json!({"path": "a.csv", "types": {"zz": "text"}})).await.unwrap_err();
    assert_eq!((found.kind(), found.message()), (Kind::Config, "types: no file has a column \"zz\""));
}

#[tokio::test]
async fn a_later_misfit_widens_once_under_evolve_and_is_a_row_error_otherwise() {
    let folder = Folder::new(&[("a.csv", b"a,b,c\n1,2,x\n2,2.5,y\nz,true,\n,3,\n")]);
    let options = json!({"path": "a.csv"});
    let asked = request(options, schema(&["a:int64", "b:int64", "c:text"]));
    let got = folder.read_as(&asked).await;
    assert!(got.result.is_none() && !got.complete && got.batches.is_empty());
    assert_eq!(columns(&got.schemas[1]), ["a:text", "b:text", "c:text"]);
    let again = request(json!({"path": "a.csv"}), got.schemas[1].clone());
    assert_eq!(folder.read_as(&again).await.whole().rows(), ["1|2|x", "2|2.5|y", "z|true|∅", "∅|3|∅"]);
    for policy in [SchemaPolicy::Freeze, SchemaPolicy::Ignore] {
        let got = folder.read_as(&with_policy(asked.clone(), policy)).await.whole();
        assert_eq!(got.rows(), ["1|2|x", "∅|3|∅"]);
        assert_eq!(
            got.bad(),
            ["a.csv:3 b: not exactly a value of type int64", "a.csv:4 a: not exactly a value of type int64"]
        );
    }
}

#[tokio::test]
async fn a_new_column_follows_the_schema_policy() {
    let folder = Folder::new(&[("1.csv", b"a\n1\n"), ("2.csv", b"b,a\n2.5,2\n")]);
    let asked = request(json!({"path": "*.csv"}), schema(&["a:int64"]));
    let got = folder.read_as(&asked).await;
    assert!(got.result.is_none() && !got.complete);
    assert_eq!(columns(&got.schemas[1]), ["a:int64", "b:decimal(15,1)"]);
    let ignored = folder.read_as(&with_policy(asked.clone(), SchemaPolicy::Ignore)).await.whole();
    assert_eq!(ignored.rows(), ["1", "2"]);
    let frozen = folder.read_as(&with_policy(asked.clone(), SchemaPolicy::Freeze)).await;
    assert_eq!(frozen.error().kind(), Kind::Schema);
    assert!(frozen.error().message().contains("2.csv: new column \"b\""));
    let mut chosen = asked;
    chosen.selection.columns = Some(vec!["a".into()]);
    assert_eq!(folder.read_as(&chosen).await.whole().rows(), ["1", "2"]);
}

#[tokio::test]
async fn a_row_that_is_rejected_widens_nothing() {
    let folder = Folder::new(&[("a.csv", b"a,b\nx,\n1,2\n")]);
    let mut fields: Vec<_> = schema(&["a:int64"]).fields().to_vec();
    fields.push(std::sync::Arc::new(waybill_protocol::Logical::Int64.field("b", false, "")));
    let asked = request(json!({"path": "a.csv"}), std::sync::Arc::new(arrow_schema::Schema::new(fields)));
    let got = folder.read_as(&asked).await.whole();
    assert_eq!(got.bad(), ["a.csv:2 b: no value, in a column that must not be NULL"]);
    assert_eq!(got.rows(), ["1|2"]);
}

#[tokio::test]
async fn text_that_is_asked_for_comes_as_it_was_written() {
    let folder = Folder::new(&[("a.csv", b"a,b\n1.50,TRUE\n007,2024-01-01\n")]);
    let got = folder.read_as(&request(json!({"path": "a.csv"}), schema(&["b:text", "a:text"]))).await.whole();
    assert_eq!(got.rows(), ["TRUE|1.50", "2024-01-01|007"]);
}

#[tokio::test]
async fn gzip_of_several_members_is_read_whole_and_a_torn_one_is_an_error() {
    let mut two = gzip(b"a\n1\n");
    two.extend(gzip(b"2\n"));
    let cut = gzip(
        &b"a\n"
            .iter()
            .copied()
            .chain((0..100_000u32).flat_map(|n| format!("{}\n", n.wrapping_mul(2654435761)).into_bytes()))
            .collect::<Vec<_>>(),
    );
    let mut garbage = two.clone();
    garbage.extend_from_slice(b"garbage after the last member");
    let folder = Folder::new(&[
        ("two.csv.gz", &two),
        ("magic.csv", &two),
        ("cut.csv.gz", &cut[..cut.len() / 2]),
        ("garbage.csv.gz", &garbage),
        ("plain.csv.gz", b"a_name\n1234567890\n"),
        ("empty.csv.gz", b""),
    ]);
    for path in ["two.csv.gz", "magic.csv"] {
        assert_eq!(folder.read(json!({"path": path})).await.whole().rows(), ["1", "2"], "{path}");
    }
    for (path, part) in [
        ("cut.csv.gz", "the gzip data is cut off"),
        ("garbage.csv.gz", "or something follows it"),
        ("plain.csv.gz", "not valid gzip"),
        ("empty.csv.gz", "the gzip data is cut off"),
    ] {
        let got = folder.read(json!({"path": path})).await;
        let error = got.error();
        assert!(error.message().contains(part) && error.message().contains(path), "{path}: {error}");
        assert!(!error.retryable());
    }
    assert_eq!(
        folder.read(json!({"path": "plain.csv.gz", "compression": "none"})).await.whole().rows(),
        ["1234567890"]
    );
}

#[tokio::test]
async fn batches_are_bounded_and_no_row_is_lost_between_them() {
    let mut content = b"id,text\n".to_vec();
    for n in 0..200_000 {
        content.extend(format!("{n},some words that make the line longer {n}\n").into_bytes());
    }
    let got = one(&content).await.whole();
    assert!(got.batches.len() > 2);
    for batch in &got.batches {
        assert!(batch.get_array_memory_size() < 12 << 20, "{}", batch.get_array_memory_size());
    }
    let rows = got.rows();
    assert_eq!(rows.len(), 200_000);
    assert_eq!(rows[123_456], "123456|some words that make the line longer 123456");
}

#[tokio::test]
async fn a_limit_ends_the_read_as_complete() {
    let folder = Folder::new(&[("1.csv", b"a\n1\n2\n3\n"), ("2.csv", b"a\n4\n")]);
    let mut asked = request(json!({"path": "*.csv"}), schema(&["a:int64"]));
    for (limit, want) in [(0, 0), (2, 2), (3, 3), (9, 4)] {
        asked.limit = Some(limit);
        assert_eq!(folder.read_as(&asked).await.whole().rows().len(), want);
    }
}

#[tokio::test]
async fn a_full_read_of_a_growing_file_leaves_its_torn_end() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n2")]);
    let got = folder.read(json!({"path": "a.csv", "on_change": "tail"})).await.whole();
    assert_eq!(got.rows(), ["1"]);
    assert!(folder.said().iter().any(|m| m.contains("a.csv:3: the last line has no line end yet")));
    assert_eq!(folder.read(json!({"path": "a.csv"})).await.whole().rows(), ["1", "2"]);
}

#[tokio::test]
async fn padded_numbers_do_not_become_numbers_later_either() {
    let folder = Folder::new(&[("a.csv", b"d,n,f\n1.50,1,1e5\n007.5,+1,01\n")]);
    let asked = request(json!({"path": "a.csv"}), schema(&["d:decimal(15,2)", "n:numeric", "f:float64"]));
    let got = folder.read_as(&asked).await;
    assert_eq!(columns(&got.schemas[1]), ["d:text", "n:text", "f:text"]);
}

#[tokio::test]
async fn a_rejected_row_leaves_nothing_in_its_neighbours() {
    let folder = Folder::new(&[("a.csv", b"t,n,u\nkept,1,x\nleftover,bad,y\nlast,2,z\n")]);
    let asked =
        request(json!({"path": "a.csv", "types": {"n": "int64"}}), schema(&["t:text", "n:int64", "u:text"]));
    let got = folder.read_as(&asked).await.whole();
    assert_eq!(got.rows(), ["kept|1|x", "last|2|z"]);
    assert_eq!(got.bad(), ["a.csv:3 n: not exactly a value of type int64"]);
}
