use serde_json::{Value, json};
use waybill_protocol::{Change, Kind, Progress, Reading, Scope};

use super::{Folder, Got, gzip, request, schema};

fn part(progress: &Progress, file: &str) -> Value {
    progress.parts[&("s".to_owned(), file.to_owned())].clone()
}

fn reloads(got: &Got) -> Vec<String> {
    let changes = got.patches.iter().flat_map(|patch| patch.iter());
    changes
        .filter_map(|(scope, change)| match (scope, change) {
            (Scope::Part(_, file), Change::Put(value)) if value["reload"] == true => Some(file.clone()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn only_new_files_are_read() {
    let folder = Folder::new(&[("in/b.csv", b"a\n2\n"), ("in/a.csv", b"a\n1\n")]);
    folder.age("in/a.csv", 1_000);
    folder.age("in/b.csv", 1_000);
    let options = json!({"path": "in/*.csv", "file_columns": true});
    let mut progress = Progress::default();
    let got = folder.run(options.clone(), &mut progress).await.whole();
    assert_eq!(got.rows(), ["1|a.csv|2", "2|b.csv|2"]);
    let files = progress.streams["s"].files.clone().unwrap();
    assert_eq!((files.files, files.rows, files.last.as_deref()), (2, 2, Some("b.csv")));
    let entry = part(&progress, "a.csv");
    assert_eq!(
        (&entry["size"], &entry["rows"], &entry["lines"], &entry["bytes"]),
        (&json!(4), &json!(1), &json!(2), &json!(4))
    );
    assert_eq!(entry["digest"].as_str().map(str::len), Some(64));

    let again = folder.run(options.clone(), &mut progress).await.whole();
    assert!(again.rows().is_empty() && again.patches.is_empty());

    folder.write("in/aa.csv", b"a\n3\n");
    std::fs::remove_file(folder.path("in/b.csv")).unwrap();
    let third = folder.run(options.clone(), &mut progress).await.whole();
    assert_eq!(third.rows(), ["3|aa.csv|2"]);
    let files = progress.streams["s"].files.clone().unwrap();
    assert_eq!((files.files, files.rows, files.last.as_deref()), (3, 3, Some("b.csv")));
    assert!(folder.said().iter().any(|m| m.contains("1 loaded files are gone, first b.csv")));
}

#[tokio::test]
async fn a_touched_file_is_compared_and_not_loaded_again() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n")]);
    folder.age("a.csv", 1_000);
    let mut progress = Progress::default();
    folder.run(json!({"path": "a.csv"}), &mut progress).await.whole();
    folder.age("a.csv", 2_000);
    let got = folder.run(json!({"path": "a.csv"}), &mut progress).await.whole();
    assert!(got.rows().is_empty());
    assert_eq!(part(&progress, "a.csv")["mtime"], json!(2_000_000_000_000i64));
    // The same size and another content: the time alone gives it away, and the digest decides.
    folder.write("a.csv", b"a\n2\n");
    let got = folder.run(json!({"path": "a.csv"}), &mut progress).await;
    assert_eq!(got.error().message(), "a.csv changed since it was loaded: its content is different");
}

#[tokio::test]
async fn a_file_written_a_moment_ago_is_not_trusted_by_its_time() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n")]);
    let mut progress = Progress::default();
    folder.run(json!({"path": "a.csv"}), &mut progress).await.whole();
    assert_eq!(part(&progress, "a.csv")["mtime"], Value::Null);
    let stamp = std::fs::metadata(folder.path("a.csv")).unwrap().modified().unwrap();
    folder.write("a.csv", b"a\n2\n");
    let file = std::fs::OpenOptions::new().append(true).open(folder.path("a.csv")).unwrap();
    file.set_modified(stamp).unwrap();
    let got = folder.run(json!({"path": "a.csv"}), &mut progress).await;
    assert_eq!(got.error().kind(), Kind::Data);
}

#[tokio::test]
async fn a_changed_file_fails_by_default_and_names_both_ways_on() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n")]);
    let mut progress = Progress::default();
    folder.run(json!({"path": "a.csv"}), &mut progress).await.whole();
    folder.append("a.csv", b"2\n");
    let got = folder.run(json!({"path": "a.csv"}), &mut progress).await;
    let error = got.error();
    assert_eq!(error.message(), "a.csv changed since it was loaded: it had 4 bytes and has 6");
    let hint = error.get_hint().unwrap();
    assert!(hint.contains("reload") && hint.contains("tail") && hint.contains("reset"));
    assert!(got.batches.is_empty() && got.patches.is_empty());
}

#[tokio::test]
async fn reload_deletes_by_file_and_loads_again() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n"), ("b.csv", b"a\n9\n")]);
    let options = json!({"path": "*.csv", "on_change": "reload"});
    let mut progress = Progress::default();
    let got = folder.run(options.clone(), &mut progress).await.whole();
    assert_eq!(got.rows(), ["1|a.csv", "9|b.csv"]);
    assert!(reloads(&got).is_empty());
    folder.write("a.csv", b"a\n5\n6\n");
    let got = folder.run(options.clone(), &mut progress).await.whole();
    assert_eq!(got.rows(), ["5|a.csv", "6|a.csv"]);
    assert_eq!(reloads(&got), ["a.csv"]);
    assert_eq!(progress.streams["s"].files.as_ref().unwrap().rows, 3);
    // The mark belongs to that commit, not to the next read.
    let got = folder.run(options, &mut progress).await.whole();
    assert!(got.rows().is_empty() && reloads(&got).is_empty());
}

#[tokio::test]
async fn tail_continues_behind_the_known_beginning_and_waits_for_a_torn_line() {
    let folder = Folder::new(&[("a.jsonl", b"{\"a\": 1}\n{\"a\": 2")]);
    let options = json!({"path": "a.jsonl", "on_change": "tail", "file_columns": true});
    let mut progress = Progress::default();
    let got = folder.run(options.clone(), &mut progress).await.whole();
    assert_eq!(got.rows(), ["1|a.jsonl|1"]);
    assert_eq!(
        (&part(&progress, "a.jsonl")["bytes"], &part(&progress, "a.jsonl")["lines"]),
        (&json!(9), &json!(1))
    );
    assert!(folder.said().iter().any(|m| m.contains("a.jsonl:2: the last line has no line end yet")));
    assert!(folder.run(options.clone(), &mut progress).await.whole().rows().is_empty());
    folder.append("a.jsonl", b"2}\n{\"a\": 3}\n");
    assert_eq!(
        folder.run(options.clone(), &mut progress).await.whole().rows(),
        ["22|a.jsonl|2", "3|a.jsonl|3"]
    );
    folder.append("a.jsonl", b"{\"a\": 4}\n");
    assert_eq!(folder.run(options.clone(), &mut progress).await.whole().rows(), ["4|a.jsonl|4"]);
    assert_eq!(part(&progress, "a.jsonl")["rows"], json!(4));
    assert!(folder.run(options.clone(), &mut progress).await.whole().rows().is_empty());

    folder.write("a.jsonl", b"{\"a\": 9}\n{\"a\": 22}\n{\"a\": 3}\n{\"a\": 4}\n{\"a\": 5}\n");
    let got = folder.run(options.clone(), &mut progress).await;
    assert!(got.error().message().contains("did not only grow: its first"), "{}", got.error());
    folder.write("a.jsonl", b"{\"a\": 1}\n");
    let got = folder.run(options, &mut progress).await;
    assert!(got.error().message().contains("did not only grow: it has 9 bytes"), "{}", got.error());
}

#[tokio::test]
async fn tail_of_csv_knows_its_header_and_its_lines() {
    let folder = Folder::new(&[("a.csv", b"id,te")]);
    let options = json!({"path": "a.csv", "on_change": "tail", "file_columns": true});
    let mut progress = Progress::default();
    assert!(folder.run(options.clone(), &mut progress).await.whole().rows().is_empty());
    folder.append("a.csv", b"xt\n1,\"x\ny\"\n2,");
    assert_eq!(folder.run(options.clone(), &mut progress).await.whole().rows(), ["1|x\ny|a.csv|2"]);
    folder.append("a.csv", b"b\n3,\"open");
    assert_eq!(folder.run(options.clone(), &mut progress).await.whole().rows(), ["2|b|a.csv|4"]);
    folder.append("a.csv", b" no more\"\n");
    assert_eq!(folder.run(options.clone(), &mut progress).await.whole().rows(), ["3|open no more|a.csv|5"]);
    // Nobody waits for a torn end under another policy: that is said, not skipped.
    folder.append("a.csv", b"4,z");
    folder.run(options, &mut progress).await.whole();
    let got = folder.run(json!({"path": "a.csv", "file_columns": true}), &mut progress).await;
    assert!(got.error().message().contains("its last line had no line end and was not loaded"));
}

#[tokio::test]
async fn tail_refuses_gzip() {
    let folder = Folder::new(&[("a.csv.gz", &gzip(b"a\n1\n"))]);
    let got = folder.run(json!({"path": "a.csv.gz", "on_change": "tail"}), &mut Progress::default()).await;
    assert_eq!(got.error().kind(), Kind::Config);
    assert!(got.error().message().contains("tail cannot continue in a packed file"));
    // A file that came after discovery is refused when it is read.
    let mut late =
        request(json!({"path": "*.gz", "format": "csv", "on_change": "tail"}), schema(&["a:int64"]));
    late.reading = Reading::Files;
    assert_eq!(folder.read_as(&late).await.error().kind(), Kind::Config);
}

#[tokio::test]
async fn a_packed_file_is_known_by_its_bytes_on_disk() {
    let folder = Folder::new(&[("a.csv.gz", &gzip(b"a\n1\n"))]);
    let mut progress = Progress::default();
    let options = json!({"path": "a.csv.gz"});
    assert_eq!(folder.run(options.clone(), &mut progress).await.whole().rows(), ["1"]);
    assert!(folder.run(options.clone(), &mut progress).await.whole().rows().is_empty());
    folder.write("a.csv.gz", &gzip(b"a\n2\n"));
    assert_eq!(folder.run(options, &mut progress).await.error().kind(), Kind::Data);
}

#[tokio::test]
async fn a_broken_ledger_is_said_and_not_overwritten() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n")]);
    let mut progress = Progress::default();
    progress.parts.insert(("s".into(), "a.csv".into()), json!({"size": "x"}));
    let got = folder.run(json!({"path": "a.csv"}), &mut progress).await;
    assert!(got.error().message().contains("ledger entry of a.csv") && got.patches.is_empty());
}

#[tokio::test]
async fn many_bytes_make_several_checkpoints_at_the_ends_of_files() {
    let folder = Folder::new(&[]);
    let content = format!("a\n{}", "0123456789\n".repeat(500_000));
    for n in 0..4 {
        folder.write(&format!("{n}.csv"), content.as_bytes());
    }
    let mut progress = Progress::default();
    let got = folder.run(json!({"path": "*.csv"}), &mut progress).await.whole();
    assert!((2..=4).contains(&got.patches.len()), "{}", got.patches.len());
    assert_eq!(got.batches.iter().map(|b| b.num_rows()).sum::<usize>(), 2_000_000);
    assert_eq!(progress.streams["s"].files.as_ref().unwrap().rows, 2_000_000);
}

#[tokio::test]
async fn rows_that_cannot_be_deleted_are_not_loaded_twice() {
    let folder = Folder::new(&[("a.csv", b"a\n1\n")]);
    let mut progress = Progress::default();
    folder.run(json!({"path": "a.csv"}), &mut progress).await.whole();
    folder.append("a.csv", b"2\n");
    let got = folder.run(json!({"path": "a.csv", "on_change": "reload"}), &mut progress).await;
    assert!(got.error().message().contains("loaded without the column _file"), "{}", got.error());
    assert!(got.error().get_hint().unwrap().contains("reset"));
}
