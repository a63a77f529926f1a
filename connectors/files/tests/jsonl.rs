use serde_json::json;
use waybill_protocol::{Kind, SchemaPolicy};

use super::{Folder, columns, request, schema, with_policy};

async fn one(content: &[u8]) -> super::Got {
    Folder::new(&[("a.jsonl", content)]).read(json!({"path": "a.jsonl"})).await
}

#[tokio::test]
async fn every_type_arrives_as_it_was_written() {
    let got = one(
        "{\"i\": 1, \"d\": 1.50, \"big\": 123456789012345678901234567890, \"f\": 1.5e300, \"s\": \"5\", \
         \"at\": \"2024-05-01T10:00:00+02:00\", \"day\": \"2024-05-01\", \"o\": {\"k\" : [1, 2]}, \"b\": true}\r\n\
         \n{\"b\": null, \"i\": -2, \"s\": \"é\\n\\ud83d\\ude00\", \"o\": 7, \"d\": 2}\n"
            .as_bytes(),
    )
    .await
    .whole();
    assert_eq!(
        columns(&got.schemas[0]),
        [
            "i:int64",
            "d:decimal(15,2)",
            "big:decimal(38,0)",
            "f:float64",
            "s:text",
            "at:timestamptz",
            "day:date",
            "o:json",
            "b:bool"
        ]
    );
    assert_eq!(
        got.rows(),
        [
            "1|1.50|123456789012345678901234567890|1.5e300|5|2024-05-01T08:00:00Z|2024-05-01|{\"k\" : [1, 2]}|true",
            "-2|2.00|∅|∅|é\n😀|∅|∅|7|∅"
        ]
    );
}

#[tokio::test]
async fn numbers_beyond_64_bits_and_beyond_double_keep_every_digit() {
    let long = "9".repeat(100);
    let content =
        format!("{{\"a\": {long}, \"b\": 1e400, \"c\": 0.1}}\n{{\"a\": 1, \"b\": 2, \"c\": 1e-9999}}\n");
    let got = one(content.as_bytes()).await.whole();
    assert_eq!(columns(&got.schemas[0]), ["a:numeric", "b:numeric", "c:text"]);
    assert_eq!(got.rows(), [format!("{long}|1{}|0.1", "0".repeat(400)), "1|2|1e-9999".to_owned()]);
}

#[tokio::test]
async fn what_is_no_object_is_a_row_error_and_the_rest_is_read() {
    let deep = format!("{{\"a\": {}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let mut content =
        b"{\"a\": NaN}\n{\"a\": \"\\ud800\"}\n[1]\n{\"a\": 1, \"a\": 2}\n{\"a\": \"\xFF\"}\n{\"a\": 1\n\
        {\"x\": 1, \"x\": 1}\n{\"\": 1}\n{\"a\": \"\\u0000\"}\n"
            .to_vec();
    content.extend(deep.into_bytes());
    content.extend_from_slice(b"{\"a\": 5}\n");
    let got = one(&content).await.whole();
    assert_eq!(
        got.bad(),
        [
            "a.jsonl:1: not valid JSON at byte 7",
            "a.jsonl:2 a: a lone surrogate (\\ud800) in a string",
            "a.jsonl:3: not a JSON object",
            "a.jsonl:4 a: the member comes twice in the object",
            "a.jsonl:5: not valid UTF-8",
            "a.jsonl:6: not valid JSON at byte 7",
            "a.jsonl:7 x: the member comes twice in the object",
            "a.jsonl:8: a member without a name",
            "a.jsonl:9 a: a NUL character (\\u0000), which no destination can hold in text",
            "a.jsonl:10 a: nested more than 500 levels deep",
        ]
    );
    assert_eq!(got.rows().last().map(String::as_str), Some("5|∅"));
    assert_eq!(got.rows().len(), 1);
}

#[tokio::test]
async fn a_torn_last_line_is_named_and_a_whole_one_needs_no_line_end() {
    let got = one(b"{\"a\": 1}\n{\"a\": 2").await.whole();
    assert_eq!(got.bad(), ["a.jsonl:2: the last line is torn: no line end, and not valid JSON at byte 7"]);
    assert_eq!(one(b"{\"a\": 1}\n{\"a\": 2}").await.whole().rows(), ["1", "2"]);
    let empty = one(b"").await.whole();
    assert!(empty.rows().is_empty() && empty.schemas[0].fields().is_empty());
}

#[tokio::test]
async fn mixed_types_become_text_or_json() {
    let got = one(b"{\"a\": 1, \"b\": {\"k\":1}}\n{\"a\": \"x\", \"b\": \"{\\\"k\\\":1}\"}\n{\"a\": true}\n")
        .await
        .whole();
    assert_eq!(columns(&got.schemas[0]), ["a:text", "b:json"]);
    assert_eq!(got.rows(), ["1|{\"k\":1}", "x|\"{\\\"k\\\":1}\"", "true|∅"]);
}

#[tokio::test]
async fn a_column_that_first_appears_in_the_last_line_changes_the_schema() {
    let mut content = Vec::new();
    while content.len() < 17 << 20 {
        content.extend_from_slice(b"{\"a\": 1, \"filler\": \"0123456789012345678901234567890123456789\"}\n");
    }
    content.extend_from_slice(b"{\"late\": 2.5, \"a\": \"x\"}\n");
    let folder = Folder::new(&[("a.jsonl", &content)]);
    let found = folder.discover(json!({"path": "a.jsonl"})).await.unwrap();
    assert_eq!(columns(&found.schema), ["a:int64", "filler:text"]);
    let asked = request(json!({"path": "a.jsonl"}), found.schema);
    let got = folder.read_as(&asked).await;
    assert!(got.result.is_none() && !got.complete);
    assert_eq!(columns(&got.schemas[1]), ["a:text", "filler:text", "late:decimal(15,1)"]);
    let again = folder.read_as(&request(json!({"path": "a.jsonl"}), got.schemas[1].clone())).await.whole();
    assert_eq!(again.rows().last().map(String::as_str), Some("x|∅|2.5"));
    let frozen = folder.read_as(&with_policy(asked.clone(), SchemaPolicy::Freeze)).await;
    assert_eq!(frozen.error().kind(), Kind::Schema);
    assert!(frozen.error().message().contains("new column \"late\""), "{}", frozen.error());
    let ignored = folder.read_as(&with_policy(asked, SchemaPolicy::Ignore)).await.whole();
    assert_eq!(ignored.bad().len(), 1, "the text in a column of numbers");
}

#[tokio::test]
async fn strings_fit_typed_columns_only_where_the_type_was_declared() {
    let folder = Folder::new(&[("a.jsonl", b"{\"a\": \"12\", \"b\": \"2024-05-01\"}\n")]);
    let declared = json!({"path": "a.jsonl", "types": {"a": "int64", "b": "timestamptz", "c": "text"}});
    let got = folder.read(declared).await.whole();
    assert_eq!(got.rows(), ["12|2024-05-01T00:00:00Z|∅"]);
    let asked = request(json!({"path": "a.jsonl"}), schema(&["a:int64", "b:date"]));
    let got = folder.read_as(&asked).await;
    assert_eq!(columns(&got.schemas[1]), ["a:text", "b:date"]);
}
