//! The scripts do what they say, so that a test that relies on one tests something.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Budget, Connector, Context, Deadlines, Erased, Events, Kind, Message, Outlet, Progress, Reading, Slice,
    StreamRead, StreamSelection, StreamState,
};

use super::Scripted;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(script: &Value) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("script.json"), script.to_string()).unwrap();
        Bench { folder }
    }

    fn ctx(&self) -> Context {
        Context {
            run_id: "r".into(),
            connection_id: "c".into(),
            connection: "c".into(),
            role: "source",
            events: Events::none(),
            cancel: CancellationToken::new(),
            deadlines: Deadlines::default(),
            base_dir: self.folder.path().into(),
            parallelism: 1,
            tunnel: None,
        }
    }

    /// Reads stream `s` in a session of its own; a word per message and how it ended.
    async fn read(
        &self,
        cursor: bool,
        floor: Option<i64>,
    ) -> (Vec<String>, Result<(), waybill_protocol::Error>) {
        let connector = Erased::<Scripted>::new();
        let source = connector.source(self.ctx(), &json!({"script": "script.json"})).await.unwrap();
        let catalog = source.discover(&[]).await.unwrap();
        let logical = waybill_protocol::Logical::Int64;
        let read = StreamRead {
            reading: if cursor { Reading::Cursor { column: "id".into(), logical } } else { Reading::Full },
            ordered: cursor,
            staged: !cursor,
            ..StreamRead::whole(&catalog.streams[0], StreamSelection::named("s"))
        };
        let mut progress = Progress::default();
        let floor = floor.map(waybill_protocol::CursorValue::Int);
        progress.streams.insert("s".into(), StreamState { floor, ..StreamState::default() });
        let (outlet, mut receiver) = Outlet::new(Budget::new(1 << 20), CancellationToken::new());
        let slice = Slice::whole(std::sync::Arc::new(read));
        let reading = tokio::spawn(async move { source.read(&slice, &progress, &outlet).await });
        let mut words = Vec::new();
        while let Some(delivery) = receiver.recv().await {
            words.push(match delivery.message {
                Message::Schema { .. } => "schema".into(),
                Message::Batch { payload, .. } => format!("{} rows", payload.rows()),
                Message::Checkpoint { patch } => format!("checkpoint of {}", patch.len()),
                Message::Complete { stream } => format!("complete {stream}"),
                _ => "other".into(),
            });
        }
        (words, reading.await.unwrap())
    }
}

#[tokio::test]
async fn reads_follow_each_other_over_sessions_and_the_last_goes_on() {
    let bench = Bench::new(
        &json!({"streams": [{"name": "s", "columns": {"id": "int64", "note": "text"}, "reads": [
            [{"do": "schema"}, {"do": "rows", "from": 1, "count": 3}, {"do": "fail", "kind": "network"}],
            [{"do": "schema"}, {"do": "values", "rows": [[7, null]]}, {"do": "checkpoint"}, {"do": "complete"}]
        ]}]}),
    );
    let (words, ended) = bench.read(false, None).await;
    assert_eq!(words, ["schema", "3 rows"]);
    assert_eq!(ended.unwrap_err().kind(), Kind::Network);
    for _ in 0..2 {
        let (words, ended) = bench.read(false, None).await;
        assert_eq!(words, ["schema", "1 rows", "checkpoint of 0", "complete s"]);
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_table_is_read_from_the_floor_with_a_checkpoint_after_each_batch() {
    let bench =
        Bench::new(&json!({"streams": [{"name": "s", "columns": {"id": "int64"}, "cursor": "id", "reads": [
            [{"do": "schema"}, {"do": "table", "from": 1, "to": 10, "batch": 4}, {"do": "complete"}]
        ]}]}));
    let (words, _) = bench.read(true, Some(6)).await;
    assert_eq!(words, ["schema", "4 rows", "checkpoint of 1", "1 rows", "checkpoint of 1", "complete s"]);
    let (words, _) = bench.read(false, Some(6)).await;
    assert_eq!(words, ["schema", "4 rows", "4 rows", "2 rows", "complete s"]);
}

#[test]
fn a_misspelt_step_is_refused() {
    let wrong = json!({"streams": [{"name": "s", "columns": {}, "reads": [[{"do": "rows", "form": 1}]]}]});
    assert!(serde_json::from_value::<super::SourceScript>(wrong).is_err());
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_fault_strikes_at_its_turn_only() {
    let bench = Bench::new(&json!({"faults": [
        {"at": "begin", "nth": 2, "after": true, "touch": "begun", "fail": {"kind": "network"}}
    ]}));
    let open = || async {
        let settings = json!({"path": "a.db", "script": "script.json"});
        Erased::<Scripted>::new().destination(bench.ctx(), &settings).await.unwrap()
    };
    open().await.begin().await.unwrap();
    assert!(!bench.folder.path().join("begun").exists());
    assert_eq!(open().await.begin().await.unwrap_err().kind(), Kind::Network);
    assert!(bench.folder.path().join("begun").exists());
    open().await.begin().await.unwrap();
}
