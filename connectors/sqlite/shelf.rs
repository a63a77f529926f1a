//! What the tests of the source share: a file to read, and everything that a read sends.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;
use waybill_protocol::state::Scope;
use waybill_protocol::{
    Budget, CatalogStream, Change, Logical, Message, Outlet, Payload, Progress, Reading, Result, Slice,
    Source, StreamRead, StreamSelection, StreamState,
};

use super::source::SqliteSource;
use super::workbench::Bench;

/// A database file that is read.
pub(crate) struct Shelf {
    pub(crate) bench: Bench,
    pub(crate) path: PathBuf,
}

impl Shelf {
    pub(crate) fn new(sql: &str) -> Shelf {
        let bench = Bench::new();
        let path = bench.folder.path().join("source.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        Shelf { bench, path }
    }

    pub(crate) fn sql(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    pub(crate) async fn source(&self) -> SqliteSource {
        SqliteSource::open(self.bench.ctx("c", "source"), self.path.clone(), "source.db".into())
            .await
            .unwrap()
    }

    pub(crate) async fn stream(&self, selection: &StreamSelection) -> CatalogStream {
        let catalog = self.source().await.discover(std::slice::from_ref(selection)).await.unwrap();
        assert_eq!(catalog.identity, "sqlite:source.db");
        catalog.streams.into_iter().next().expect("the stream is found")
    }
}

pub(crate) fn request(stream: &CatalogStream, selection: StreamSelection) -> StreamRead {
    StreamRead { staged: false, ..StreamRead::whole(stream, selection) }
}

pub(crate) fn by_cursor(mut read: StreamRead, column: &str, ordered: bool) -> StreamRead {
    let field = read.schema.field_with_name(column).unwrap();
    read.reading = Reading::Cursor { column: column.into(), logical: Logical::of(field).unwrap() };
    read.ordered = ordered;
    read
}

/// Everything that a read sends.
pub(crate) async fn all(
    source: &SqliteSource,
    read: StreamRead,
    state: Option<StreamState>,
) -> (Vec<Message>, Result<()>) {
    let (outlet, mut inbox) = Outlet::new(Budget::new(32 << 20), CancellationToken::new());
    let mut progress = Progress::default();
    if let Some(state) = state {
        progress.streams.insert(read.stream.clone(), state);
    }
    let slices = source.plan(&[Arc::new(read)], &progress).await.unwrap();
    let slice: Slice = slices.into_iter().next().unwrap();
    let gather = async {
        let mut messages = Vec::new();
        while let Some(delivery) = inbox.recv().await {
            messages.push(delivery.split().0);
        }
        messages
    };
    let reading = async {
        let done = source.read(&slice, &progress, &outlet).await;
        drop(outlet);
        done
    };
    let (done, messages) = tokio::join!(reading, gather);
    (messages, done)
}

pub(crate) fn batches(messages: &[Message]) -> Vec<RecordBatch> {
    let batch = |m: &Message| match m {
        Message::Batch { payload: Payload::Arrow(batch), .. } => Some(batch.clone()),
        _ => None,
    };
    messages.iter().filter_map(batch).collect()
}

pub(crate) fn ints(messages: &[Message], column: usize) -> Vec<i64> {
    let of =
        |b: &RecordBatch| b.column(column).as_primitive::<arrow_array::types::Int64Type>().values().to_vec();
    batches(messages).iter().flat_map(of).collect()
}

pub(crate) fn states(messages: &[Message]) -> Vec<StreamState> {
    let mut out = Vec::new();
    for message in messages {
        if let Message::Checkpoint { patch } = message {
            for (scope, change) in patch {
                let (Scope::Stream(_), Change::Put(value)) = (scope, change) else { panic!("{scope:?}") };
                out.push(StreamState::from_value(value).unwrap());
            }
        }
    }
    out
}
