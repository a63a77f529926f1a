use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::connector::Role;
use waybill_protocol::{
    Budget, Connector, CursorValue, Erased, Kind, Logical, Message, Outlet, Progress, Reading, SchemaPolicy,
    Slice,
};

use super::{Files, Folder, columns, request, schema, selection, with_policy};

#[tokio::test]
async fn types_are_the_union_over_all_files() {
    let folder = Folder::new(&[
        ("in/b.csv", b"id,extra\n2.5,x\n"),
        ("in/a.csv", b"id,day\n1,2024-01-01\n"),
        ("in/sub/c.csv", b"id\nno\n"),
        ("in/.hidden.csv", b"id\nno\n"),
    ]);
    let found = folder.discover(json!({"path": "in/*.csv"})).await.unwrap();
    assert_eq!(columns(&found.schema), ["id:decimal(15,1)", "day:date", "extra:text"]);
    assert!(found.schema.fields().iter().all(|f| f.is_nullable()));
    assert_eq!((found.rows, found.bytes, found.kind.as_str()), (Some(2), Some(35), "files"));
    assert_eq!(found.notes, ["2 files", "types inferred over the first 16 MiB of each file"]);
    let deep = folder.read(json!({"path": "in/**/*.csv", "file_columns": true})).await.whole();
    assert_eq!(deep.rows(), ["1|2024-01-01|∅|a.csv|2", "2.5|∅|x|b.csv|2", "no|∅|∅|sub/c.csv|2"]);
    let declared = folder.discover(json!({"path": "in/*.csv", "types": {"id": "text"}})).await.unwrap();
    assert_eq!(columns(&declared.schema), ["id:text", "day:date", "extra:text"]);
    assert_eq!(declared.notes[2], "types declared: id");
}

#[tokio::test]
async fn an_estimate_of_rows_reaches_beyond_the_sample() {
    let line = b"0123456789,0123456789\n";
    let folder = Folder::new(&[("a.csv", &[&b"a,b\n"[..], &line.repeat(1_000_000)].concat())]);
    let rows = folder.discover(json!({"path": "a.csv"})).await.unwrap().rows.unwrap();
    assert!((990_000..=1_010_000).contains(&rows), "{rows}");
}

#[tokio::test]
async fn without_a_selection_every_file_is_a_stream() {
    let folder = Folder::new(&[
        ("a.csv", b"x\n1\n"),
        ("sub/b.jsonl", b"{\"y\": 1}\n"),
        ("sub/c.ndjson.gz", &super::gzip(b"{\"z\": 1}\n")),
        ("broken.csv", b"a,a\n"),
        ("readme.txt", b"no"),
        ("runs/x.csv", b"own\n1\n"),
        ("run_logs/x.jsonl", b"{\"own\": 1}\n"),
    ]);
    let catalog = folder.catalog(&[]).await.unwrap();
    assert_eq!(catalog.identity, "files:.");
    let names: Vec<_> = catalog.streams.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a.csv", "broken.csv", "sub/b.jsonl", "sub/c.ndjson.gz"]);
    assert!(catalog.streams[1].notes[0].contains("cannot be read: broken.csv:1: column \"a\" comes twice"));
    assert_eq!(columns(&catalog.streams[3].schema), ["z:int64"]);
}

#[tokio::test]
async fn what_is_no_file_is_said() {
    let folder = Folder::new(&[("dir/a.csv", b"a\n1\n"), ("odd[1].csv", b"a\n1\n")]);
    for (path, kind, part) in [
        ("none/*.csv", Kind::NotFound, "no file matches \"none/*.csv\""),
        ("none.csv", Kind::NotFound, "none.csv does not exist"),
        ("a\u{0}.csv", Kind::Config, "names no file"),
        ("", Kind::Config, "names no file"),
        ("dir", Kind::Config, "format: cannot be told"),
        ("dir/***.csv", Kind::Config, "is no glob"),
    ] {
        let error = folder.discover(json!({"path": path})).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(part), "{error}");
        assert_eq!(error.get_stream(), Some("s"));
    }
    let error = folder.discover(json!({"path": "dir", "format": "csv"})).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Config, "dir is a folder, not a file"));
    assert_eq!(folder.read(json!({"path": "odd[1].csv"})).await.whole().rows(), ["1"]);
    let long = format!("{}.csv", "x".repeat(300));
    assert!(folder.discover(json!({"path": long})).await.is_err());
}

#[tokio::test]
async fn wrong_options_name_the_member() {
    let files = Erased::<Files>::new();
    for (options, part) in [
        (json!({}), "missing field `path`"),
        (json!({"path": 1}), "path: invalid type"),
        (json!({"path": "a.csv", "sheet": 1}), "unknown field `sheet`"),
        (json!({"path": "a.csv", "delimiter": "ab"}), "delimiter: \"ab\" is not one character"),
        (json!({"path": "a.csv", "delimiter": "é"}), "delimiter:"),
        (json!({"path": "a.csv", "quote": "\n"}), "quote:"),
        (json!({"path": "a.csv", "types": {"a": "int"}}), "types.a: \"int\" is no type"),
        (json!({"path": "a.csv", "types": {"a": "bytes"}}), "types.a: files hold no values of type bytes"),
        (json!({"path": "a.csv", "on_change": "x"}), "on_change: unknown variant"),
    ] {
        let error = files.validate_stream(&options).unwrap_err();
        assert!(error.message().contains(part), "{error}");
    }
    assert!(files.validate(Role::Source, &json!({"root": ""})).is_err());
    assert!(files.validate(Role::Source, &json!({"rot": "x"})).is_err());
    assert!(files.validate(Role::Destination, &json!({})).is_err());
    let folder = Folder::new(&[("a.jsonl", b"{}\n"), ("a.csv", b"a\n")]);
    for options in [
        json!({"path": "a.jsonl", "delimiter": ";"}),
        json!({"path": "a.jsonl", "null_values": []}),
        json!({"path": "a.csv", "quote": ","}),
    ] {
        assert_eq!(folder.discover(options).await.unwrap_err().kind(), Kind::Config);
    }
    let mut sql = selection(json!({"path": "a.csv"}));
    sql.query = Some("select 1".into());
    assert!(folder.catalog(&[sql]).await.unwrap_err().message().starts_with("query:"));
}

#[tokio::test]
async fn what_needs_a_cursor_is_refused() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n")]);
    let asked = request(json!({"path": "a.csv"}), schema(&["a:int64"]));
    let mut by_cursor = asked.clone();
    by_cursor.reading = Reading::Cursor { column: "a".into(), logical: Logical::Int64 };
    let mut ranged = asked.clone();
    ranged.from = Some(CursorValue::Int(1));
    let mut filtered = asked.clone();
    filtered.selection.filter = Some("a > 1".into());
    for read in [by_cursor, ranged, filtered] {
        let got = folder.read_as(&read).await;
        assert_eq!(got.error().kind(), Kind::Config);
    }
    let mut chosen = request(json!({"path": "a.csv", "on_change": "reload"}), schema(&["a:int64"]));
    chosen.reading = Reading::Files;
    let got = folder.read_as(&chosen).await;
    assert!(got.error().message().contains("reload needs the column _file"));
}

#[tokio::test]
async fn a_column_of_the_file_named_like_a_made_one_is_refused() {
    let folder = Folder::new(&[("a.csv", b"_file\nx\n"), ("b.jsonl", b"{\"_line\": 1}\n")]);
    assert_eq!(folder.read(json!({"path": "a.csv"})).await.whole().rows(), ["x"]);
    for path in ["a.csv", "b.jsonl"] {
        let error = folder.discover(json!({"path": path, "file_columns": true})).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Schema);
        let asked =
            request(json!({"path": path, "file_columns": true}), schema(&["_file:text", "_line:int64"]));
        let got = folder.read_as(&with_policy(asked, SchemaPolicy::Ignore)).await;
        assert_eq!(got.error().kind(), Kind::Schema, "{path}");
    }
}

#[tokio::test]
async fn check_names_the_folder() {
    let folder = Folder::new(&[("a.csv", b"a\n")]);
    assert!(folder.source().await.check().await.unwrap()[0].ok());
    let gone = Erased::<Files>::new().source(folder.context(), &json!({"root": "gone"})).await.unwrap();
    let checks = gone.check().await.unwrap();
    assert_eq!(checks[0].error.as_ref().unwrap().kind, Kind::NotFound);
    assert!(checks[0].detail.contains("gone does not exist"));
    let file = Erased::<Files>::new().source(folder.context(), &json!({"root": "a.csv"})).await.unwrap();
    assert!(!file.check().await.unwrap()[0].ok());
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_an_error_that_may_pass() {
    for (on_change, whole) in [("fail", false), ("tail", true)] {
        let folder = Folder::new(&[("a.csv", format!("a\n{}", "12345678\n".repeat(2_000_000)).as_bytes())]);
        let options = json!({"path": "a.csv", "on_change": on_change});
        let slice = Slice::whole(Arc::new(request(options, schema(&["a:int64"]))));
        let source = folder.source().await;
        let (outlet, mut receiver) = Outlet::new(Budget::new(1 << 20), CancellationToken::new());
        let reading = tokio::spawn(async move { source.read(&slice, &Progress::default(), &outlet).await });
        let mut rows = 0;
        while let Some(delivery) = receiver.recv().await {
            if let Message::Batch { payload, .. } = &delivery.message {
                if rows == 0 {
                    folder.append("a.csv", b"9\n");
                }
                rows += payload.rows();
            }
        }
        match reading.await.unwrap() {
            Ok(()) => assert_eq!((whole, rows), (true, 2_000_000)),
            Err(error) => {
                assert!(!whole && error.retryable() && error.kind() == Kind::Data, "{error}");
                assert!(error.message().contains("a.csv changed while it was read"));
            }
        }
    }
}

#[tokio::test]
async fn a_cancelled_read_ends_and_does_not_complete() {
    let folder = Folder::new(&[("a.csv", format!("a\n{}", "1\n".repeat(3_000_000)).as_bytes())]);
    let read = Arc::new(request(json!({"path": "a.csv"}), schema(&["a:int64"])));
    let context = folder.context();
    let source = Erased::<Files>::new().source(context.clone(), &json!({})).await.unwrap();
    let slices = source.plan(&[read], &Progress::default()).await.unwrap();
    let (outlet, mut receiver) = Outlet::new(Budget::new(1 << 20), CancellationToken::new());
    let reading = tokio::spawn(async move { source.read(&slices[0], &Progress::default(), &outlet).await });
    receiver.recv().await.unwrap();
    context.cancel.cancel();
    let error = reading.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}
