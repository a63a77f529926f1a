//! A source on the shared test server, and what it sent.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::event::{Emit, Event, Events};
use waybill_protocol::{
    Budget, Change, Connector, Context, CursorValue, Deadlines, Erased, Logical, Message, Outlet, Payload,
    Progress, Reading, Result, Slice, Source, StreamRead, StreamSelection, StreamState,
};

use crate::postgres::Postgres;
use crate::postgres::server::{PASSWORD, PgServer, USER};

/// Keeps every event.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<Event>>);

impl Emit for Kept {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Kept {
    pub(super) fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

/// A database with a source on it.
pub(super) struct Fixture {
    pub(super) server: &'static PgServer,
    pub(super) database: String,
    pub(super) ctx: Context,
    pub(super) events: Arc<Kept>,
    pub(super) source: Box<dyn Source>,
}

pub(super) fn context(events: &Arc<Kept>, deadlines: Deadlines) -> Context {
    Context {
        run_id: "r".into(),
        connection_id: "c".into(),
        connection: "test".into(),
        role: "source",
        events: Events::new(Arc::clone(events) as Arc<dyn Emit>),
        cancel: CancellationToken::new(),
        deadlines,
        base_dir: PathBuf::from("/"),
        parallelism: 4,
        tunnel: None,
    }
}

pub(super) fn settings(server: &PgServer, database: &str) -> serde_json::Value {
    json!({"host": "127.0.0.1", "port": server.port, "database": database, "user": USER, "password": PASSWORD})
}

impl Fixture {
    pub(super) async fn new(name: &str, sql: &str) -> Fixture {
        Fixture::with(name, sql, Deadlines::default()).await
    }

    pub(super) async fn with(name: &str, sql: &str, deadlines: Deadlines) -> Fixture {
        let server = PgServer::shared();
        let database = server.database(name);
        server.psql(&database, sql);
        Fixture::on(server, database, deadlines, json!({})).await
    }

    pub(super) async fn on(
        server: &'static PgServer,
        database: String,
        deadlines: Deadlines,
        more: serde_json::Value,
    ) -> Fixture {
        let events = Arc::new(Kept::default());
        let ctx = context(&events, deadlines);
        let mut settings = settings(server, &database);
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        let source = Erased::<Postgres>::new().source(ctx.clone(), &settings).await.unwrap();
        Fixture { server, database, ctx, events, source }
    }

    pub(super) fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.database, sql)
    }

    /// The read of a discovered stream, whole.
    pub(super) async fn stream(&self, selection: StreamSelection) -> StreamRead {
        let catalog = self.source.discover(std::slice::from_ref(&selection)).await.unwrap();
        let found = catalog.streams.iter().find(|s| s.name == selection.name).expect("the stream is found");
        StreamRead { staged: false, ..StreamRead::whole(found, selection) }
    }

    /// The same by cursor.
    pub(super) async fn by(&self, selection: StreamSelection, column: &str) -> StreamRead {
        let mut read = self.stream(selection).await;
        let field = read.schema.field_with_name(column).unwrap();
        read.reading = Reading::Cursor { column: column.into(), logical: Logical::of(field).unwrap() };
        read
    }

    /// Reads and takes everything that was sent.
    pub(super) async fn read(&self, read: &StreamRead, state: &StreamState) -> Result<Sent> {
        let slices = self.plan(read).await;
        let progress =
            Progress { streams: [(read.stream.clone(), state.clone())].into(), ..Progress::default() };
        self.slice(&slices[0], progress).await
    }

    /// The slices of a stream.
    pub(super) async fn plan(&self, read: &StreamRead) -> Vec<Slice> {
        self.source.plan(&[Arc::new(read.clone())], &Progress::default()).await.unwrap()
    }

    /// Reads a slice and takes everything that was sent.
    pub(super) async fn slice(&self, slice: &Slice, progress: Progress) -> Result<Sent> {
        let (outlet, mut receiver) = Outlet::new(Budget::new(32 << 20), CancellationToken::new());
        let collect = async {
            let mut sent = Sent::default();
            while let Some(delivery) = receiver.recv().await {
                sent.take(delivery.split().0);
            }
            sent
        };
        let work = async move { self.source.read(slice, &progress, &outlet).await };
        let (outcome, sent) = futures_util::future::join(work, collect).await;
        outcome.map(|()| sent)
    }
}

/// What a source sent.
#[derive(Default, Debug)]
pub(super) struct Sent {
    pub(super) schemas: Vec<SchemaRef>,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) states: Vec<StreamState>,
    pub(super) checkpoints: usize,
    pub(super) floor: Option<CursorValue>,
    pub(super) nulls: u64,
    pub(super) complete: bool,
}

impl Sent {
    fn take(&mut self, message: Message) {
        match message {
            Message::Schema { schema, .. } => self.schemas.push(schema),
            Message::Batch { payload: Payload::Arrow(batch), .. } => self.batches.push(batch),
            Message::Checkpoint { patch } => {
                self.checkpoints += 1;
                for change in patch.values() {
                    let Change::Put(value) = change else { panic!("a state is put") };
                    self.states.push(StreamState::from_value(value).unwrap());
                }
            }
            Message::NextFloor { floor, .. } => {
                assert!(self.batches.is_empty(), "it comes before the first batch");
                self.floor = floor;
            }
            Message::Complete { .. } => self.complete = true,
            Message::NullCursors { rows, .. } => self.nulls += rows,
            other => panic!("unexpected {other:?}"),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    pub(super) fn state(&self) -> &StreamState {
        self.states.last().expect("a state was sent")
    }

    /// Values of an int8 column.
    pub(super) fn ints(&self, column: &str) -> Vec<i64> {
        use arrow_array::cast::AsArray;
        let of = |batch: &RecordBatch| {
            let array = batch.column_by_name(column).unwrap().as_primitive::<arrow_array::types::Int64Type>();
            array.values().to_vec()
        };
        self.batches.iter().flat_map(of).collect()
    }
}

/// Waits until something holds.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what} did not come about");
}
