//! What every destination does.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::Schema;
use serde_json::json;
use waybill_protocol::{
    ColumnRecord, Commit, Connector, Destination, Disposition, Identity, Kind, Logical, Payload, Role,
    StateRow, StreamLoad, TableRecord, TableRef, WindowChange, WindowEntry,
};

use super::samples::{Output, output};
use super::{context, with_role};

/// A destination and a place to load into, both for one test.
struct Bench {
    system: &'static str,
    connector: Box<dyn Connector>,
    output: Output,
}

impl Bench {
    fn all(test: &str) -> Vec<Bench> {
        let make = |connector: Box<dyn Connector>| {
            let system = connector.spec().name;
            Bench { system, output: output(system, test), connector }
        };
        with_role(Role::Destination).into_iter().map(make).collect()
    }

    async fn open(&self, connection: &str) -> Box<dyn Destination> {
        let ctx = context(self.output.folder.path(), connection, "destination");
        self.connector.destination(ctx, &self.output.settings).await.unwrap()
    }

    async fn begun(&self, connection: &str) -> Box<dyn Destination> {
        let session = self.open(connection).await;
        session.begin().await.unwrap();
        session
    }

    fn load(&self, connection: &str, disposition: Disposition) -> StreamLoad {
        let table = TableRef { namespace: self.output.namespace.clone(), name: "loaded".into() };
        let columns = [("id", Logical::Int64), ("note", Logical::Text)];
        let fields: Vec<_> = columns.iter().map(|(name, logical)| logical.field(name, true, "")).collect();
        let recorded =
            columns.iter().map(|(name, logical)| ColumnRecord::new(name, name, &logical.to_string()));
        StreamLoad {
            stream: "s".into(),
            table: table.clone(),
            schema: Arc::new(Schema::new(fields)),
            record: TableRecord {
                connection_id: format!("id-of-{connection}"),
                stream: "s".into(),
                table,
                columns: recorded.collect(),
            },
            key: vec!["id".into()],
            cursor: None,
            upsert: false,
            disposition,
            adopt: false,
            shared: false,
            metadata: true,
            distinct: false,
            wire: None,
        }
    }

    fn count(&self) -> Option<u64> {
        (self.output.count)("loaded")
    }
}

fn rows(load: &StreamLoad, ids: std::ops::Range<i64>) -> Payload {
    let notes: ArrayRef = Arc::new(ids.clone().map(|id| Some(format!("row {id}"))).collect::<StringArray>());
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    Payload::Arrow(RecordBatch::try_new(Arc::clone(&load.schema), vec![ids, notes]).unwrap())
}

fn commit(load: &StreamLoad, note: &str) -> Commit {
    let id = uuid::Uuid::now_v7().to_string();
    let state = StateRow {
        scope: "stream:s".into(),
        value: json!({"data": note}),
        based_on: None,
        fingerprint: "f".into(),
        run_id: "r".into(),
        commit_id: id.clone(),
        rows: 1,
        table: load.table.clone(),
    };
    Commit { id, states: vec![state], ..Commit::default() }
}

async fn loaded(
    session: &dyn Destination,
    load: &StreamLoad,
    ids: std::ops::Range<i64>,
    note: &str,
) -> Commit {
    let mut writer = session.writer("s").await.unwrap();
    writer.prepare(load).await.unwrap();
    let many = (ids.end - ids.start).unsigned_abs();
    writer.write("s", rows(load, ids)).await.unwrap();
    let commit = commit(load, note);
    let receipt = writer.commit(&commit).await.unwrap();
    assert_eq!(receipt.rows, BTreeMap::from([("s".to_owned(), many)]));
    commit
}

async fn notes(session: &dyn Destination) -> Vec<String> {
    let states = session.states().await.unwrap();
    states.iter().map(|state| state.value["data"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_check_leaves_nothing_and_an_untouched_place_has_no_state() {
    for bench in Bench::all("check") {
        let session = bench.open("a").await;
        let findings = session.check().await.unwrap();
        assert!(!findings.is_empty() && findings.iter().all(|f| f.ok()), "{}: {findings:?}", bench.system);
        assert!(session.states().await.unwrap().is_empty(), "{}", bench.system);
        assert!(session.tables().await.unwrap().is_empty(), "{}", bench.system);
        let table = bench.load("a", Disposition::Direct).table;
        assert_eq!(session.inspect(&table).await.unwrap(), None, "{}", bench.system);
        assert_eq!(bench.count(), None, "{}", bench.system);
    }
}

#[tokio::test]
async fn nothing_is_visible_before_the_commit_and_all_of_it_after() {
    for bench in Bench::all("visible") {
        let session = bench.begun("a").await;
        let load = bench.load("a", Disposition::Direct);
        let mut writer = session.writer("s").await.unwrap();
        writer.prepare(&load).await.unwrap();
        writer.write("s", rows(&load, 0..1000)).await.unwrap();
        assert!(matches!(bench.count(), None | Some(0)), "{}: {:?}", bench.system, bench.count());
        assert!(notes(session.as_ref()).await.is_empty(), "{}", bench.system);
        let receipt = writer.commit(&commit(&load, "first")).await.unwrap();
        assert_eq!(receipt.rows["s"], 1000, "{}", bench.system);
        assert_eq!(bench.count(), Some(1000), "{}", bench.system);
        assert_eq!(notes(session.as_ref()).await, ["first"], "{}", bench.system);
        writer.write("s", rows(&load, 1000..1010)).await.unwrap();
        writer.commit(&commit(&load, "second")).await.unwrap();
        assert_eq!(bench.count(), Some(1010), "{}", bench.system);
        assert_eq!(notes(session.as_ref()).await, ["second"], "{}", bench.system);
        let record = session.tables().await.unwrap().remove(0);
        assert_eq!(record, load.record, "{}: ownership and names are on record", bench.system);
        session.close().await;
    }
}

#[tokio::test]
async fn an_abort_and_a_dropped_writer_leave_nothing() {
    for bench in Bench::all("abort") {
        let session = bench.begun("a").await;
        let load = bench.load("a", Disposition::Direct);
        loaded(session.as_ref(), &load, 0..5, "kept").await;
        for aborted in [true, false] {
            let mut writer = session.writer("s").await.unwrap();
            writer.prepare(&load).await.unwrap();
            writer.write("s", rows(&load, 100..200)).await.unwrap();
            if aborted {
                writer.abort().await.unwrap();
            }
            drop(writer);
        }
        loaded(session.as_ref(), &load, 5..7, "kept too").await;
        assert_eq!(bench.count(), Some(7), "{}", bench.system);
    }
}

#[tokio::test]
async fn the_fence_refuses_a_writer_that_another_run_has_overtaken() {
    for bench in Bench::all("fence") {
        let load = bench.load("a", Disposition::Direct);
        let staged = bench.load("a", Disposition::Replace);
        let old = bench.begun("a").await;
        let mut writer = old.writer("s").await.unwrap();
        writer.prepare(&load).await.unwrap();
        writer.write("s", rows(&load, 0..10)).await.unwrap();
        writer.commit(&commit(&load, "old")).await.unwrap();
        writer.write("s", rows(&load, 10..20)).await.unwrap();
        let new = bench.begun("a").await;
        let lost = writer.commit(&commit(&load, "zombie")).await.unwrap_err();
        assert_eq!(lost.kind(), Kind::Locked, "{}: {lost}", bench.system);
        drop(writer);
        let publish = old.publish(&staged, &commit(&staged, "zombie")).await.unwrap_err();
        assert_eq!(publish.kind(), Kind::Locked, "{}: {publish}", bench.system);
        let states = old.write_states(&commit(&load, "zombie")).await.unwrap_err();
        assert_eq!(states.kind(), Kind::Locked, "{}: {states}", bench.system);
        assert_eq!(bench.count(), Some(10), "{}", bench.system);
        loaded(new.as_ref(), &load, 10..12, "new").await;
        assert_eq!((bench.count(), notes(new.as_ref()).await), (Some(12), vec!["new".to_owned()]));
        // Another connection has a fence of its own.
        bench.begun("b").await;
        loaded(new.as_ref(), &load, 12..13, "newer").await;
    }
}

#[tokio::test]
async fn a_staged_load_replaces_the_table_at_once_and_only_when_published() {
    for bench in Bench::all("publish") {
        let session = bench.begun("a").await;
        let load = bench.load("a", Disposition::Replace);
        for (many, note) in [(100, "one"), (40, "two")] {
            let before = bench.count();
            loaded(session.as_ref(), &load, 0..many, note).await;
            assert_eq!(bench.count(), before, "{}: invisible until published", bench.system);
            let receipt = session.publish(&load, &commit(&load, &format!("{note} published"))).await.unwrap();
            assert_eq!(receipt.rows["s"], many.unsigned_abs(), "{}", bench.system);
            assert_eq!(bench.count(), Some(many.unsigned_abs()), "{}", bench.system);
            assert_eq!(notes(session.as_ref()).await, [format!("{note} published")], "{}", bench.system);
        }
    }
}

#[tokio::test]
async fn a_duplicate_key_is_a_data_error_and_the_table_stays() {
    for bench in Bench::all("duplicate") {
        let session = bench.begun("a").await;
        let load = bench.load("a", Disposition::Replace);
        loaded(session.as_ref(), &load, 0..3, "one").await;
        session.publish(&load, &commit(&load, "published")).await.unwrap();
        let mut writer = session.writer("s").await.unwrap();
        writer.prepare(&load).await.unwrap();
        let doubled = async {
            writer.write("s", rows(&load, 0..9)).await?;
            writer.write("s", rows(&load, 8..10)).await?;
            writer.commit(&commit(&load, "doubled")).await?;
            session.publish(&load, &commit(&load, "doubled")).await
        };
        let error = doubled.await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "{}: {error}", bench.system);
        assert_eq!(bench.count(), Some(3), "{}", bench.system);
    }
}

#[tokio::test]
async fn a_commit_can_be_looked_up_afterwards() {
    for bench in Bench::all("committed") {
        let session = bench.begun("a").await;
        let load = bench.load("a", Disposition::Direct);
        let done = loaded(session.as_ref(), &load, 0..5, "done").await;
        assert!(session.committed("stream:s", &done.id).await.unwrap(), "{}", bench.system);
        assert!(!session.committed("stream:s", "another").await.unwrap(), "{}", bench.system);
    }
}

#[tokio::test]
async fn a_merge_updates_by_key() {
    for bench in Bench::all("merge") {
        let session = bench.begun("a").await;
        let load = StreamLoad { upsert: true, ..bench.load("a", Disposition::Direct) };
        loaded(session.as_ref(), &load, 0..10, "one").await;
        loaded(session.as_ref(), &load, 5..15, "two").await;
        assert_eq!(bench.count(), Some(15), "{}", bench.system);
    }
}

#[tokio::test]
async fn window_ledger_and_states_are_written_with_the_data_and_removed_again() {
    for bench in Bench::all("books") {
        let session = bench.begun("a").await;
        let load = bench.load("a", Disposition::Direct);
        let entry = |n: u128| WindowEntry { identity: Identity(n), count: 1, cursor: n.to_string().into() };
        let mut first = commit(&load, "one");
        first.parts = vec![("s".into(), "a.csv".into(), Some(json!({"size": 3})))];
        let inserted = WindowChange { insert: vec![entry(1), entry(2)], ..WindowChange::default() };
        first.windows = BTreeMap::from([("s".to_owned(), inserted)]);
        let mut writer = session.writer("s").await.unwrap();
        writer.prepare(&load).await.unwrap();
        writer.write("s", rows(&load, 0..1)).await.unwrap();
        writer.commit(&first).await.unwrap();
        let mut second = commit(&load, "two");
        second.parts = vec![("s".into(), "a.csv".into(), None), ("s".into(), "b.csv".into(), Some(json!(1)))];
        let changed = WindowChange { delete: vec![Identity(1)], insert: vec![entry(3)], clear: false };
        second.windows = BTreeMap::from([("s".to_owned(), changed)]);
        writer.commit(&second).await.unwrap();
        drop(writer);
        let other = bench.open("a").await;
        let mut kept: Vec<_> = other.window("s").await.unwrap();
        kept.sort_by_key(|entry| entry.identity);
        assert_eq!(kept, [entry(2), entry(3)], "{}", bench.system);
        let parts = other.parts("s").await.unwrap();
        assert_eq!(parts, BTreeMap::from([("b.csv".to_owned(), json!(1))]), "{}", bench.system);
        assert!(other.window("t").await.unwrap().is_empty() && other.parts("t").await.unwrap().is_empty());
        let mut removed = commit(&load, "gone");
        removed.states[0].value = serde_json::Value::Null;
        session.write_states(&removed).await.unwrap();
        assert!(notes(session.as_ref()).await.is_empty(), "{}", bench.system);
        let stranger = bench.open("b").await;
        assert!(stranger.window("s").await.unwrap().is_empty(), "{}", bench.system);
    }
}

#[tokio::test]
async fn a_table_of_somebody_else_is_refused() {
    for bench in Bench::all("owner") {
        let first = bench.begun("a").await;
        loaded(first.as_ref(), &bench.load("a", Disposition::Direct), 0..3, "mine").await;
        let second = bench.begun("b").await;
        for disposition in [Disposition::Direct, Disposition::Replace] {
            let load = bench.load("b", disposition);
            let mut writer = second.writer("s").await.unwrap();
            let refused = async {
                writer.prepare(&load).await?;
                writer.write("s", rows(&load, 0..1)).await?;
                writer.commit(&commit(&load, "theirs")).await?;
                second.publish(&load, &commit(&load, "theirs")).await
            };
            let error = refused.await.unwrap_err();
            assert_eq!(error.kind(), Kind::Permission, "{}: {error}", bench.system);
        }
        assert_eq!(bench.count(), Some(3), "{}", bench.system);
    }
}
