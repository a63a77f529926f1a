//! Against a real server.

mod bonds;
mod evolve;
mod faults;
mod fence;
mod merge;
mod publish;
mod refill;
mod text_forms;
mod values;
mod watch;

use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{FieldRef, Schema, SchemaRef};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::column::{POSTGRES_KEY, saying};
use waybill_protocol::event::Emit;
use waybill_protocol::{
    ColumnRecord, Commit, Context, Deadlines, Destination, Disposition, Event, Events, Logical, Payload,
    Receipt, Result, StateRow, StreamLoad, TableRecord, TableRef, Writer,
};

use super::super::server::{PgServer, USER};
use super::super::settings::PostgresSettings;

/// A database of its own for a test.
struct Db {
    server: &'static PgServer,
    name: String,
    events: Arc<Seen>,
    cancel: CancellationToken,
    deadlines: Deadlines,
    pooler: bool,
}

#[derive(Default)]
struct Seen(Mutex<Vec<Event>>);

impl Emit for Seen {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Db {
    fn new(name: &str) -> Db {
        let server = PgServer::shared();
        let name = server.database(&format!("dest_{name}"));
        Db {
            server,
            name,
            events: Arc::default(),
            cancel: Default::default(),
            deadlines: Deadlines::default(),
            pooler: false,
        }
    }

    fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }

    /// A session that has not begun.
    async fn open(&self, connection_id: &str, run_id: &str) -> Box<dyn Destination> {
        self.open_as(USER, connection_id, run_id).await
    }

    /// The same as another user.
    async fn open_as(&self, user: &str, connection_id: &str, run_id: &str) -> Box<dyn Destination> {
        let ctx = Context {
            run_id: run_id.into(),
            connection_id: connection_id.into(),
            connection: "crm".into(),
            role: "destination",
            events: Events::new(Arc::clone(&self.events) as Arc<dyn Emit>),
            cancel: self.cancel.clone(),
            deadlines: self.deadlines,
            base_dir: std::env::temp_dir(),
            parallelism: 4,
            tunnel: None,
        };
        let settings = PostgresSettings {
            host: Some(self.server.socket.display().to_string()),
            port: Some(self.server.port),
            database: Some(self.name.clone()),
            user: Some(user.into()),
            pooler: self.pooler,
            ..PostgresSettings::default()
        };
        super::open(ctx, settings).await.unwrap()
    }

    /// A session that holds the fence.
    async fn begin(&self, connection_id: &str, run_id: &str) -> Box<dyn Destination> {
        let destination = self.open(connection_id, run_id).await;
        destination.begin().await.unwrap();
        destination
    }

    /// Why tables kept their place, as the events say it.
    fn kept_for(&self) -> Vec<String> {
        let events = self.events.0.lock().unwrap();
        let kept = events.iter().filter_map(|event| match &event.body {
            waybill_protocol::Body::Runtime { detail } => detail.get("kept_for").map(ToString::to_string),
            _ => None,
        });
        kept.collect()
    }

    /// Milliseconds of the `lock.waited` events.
    fn waits(&self) -> Vec<u64> {
        let events = self.events.0.lock().unwrap();
        let waits = events.iter().filter_map(|event| match &event.body {
            waybill_protocol::Body::LockWaited { ms, .. } => Some(*ms),
            _ => None,
        });
        waits.collect()
    }
}

/// As a Postgres source says them; `inet` stands for a type of that name in another system.
fn schema_of(columns: &[(&str, Logical, &str)]) -> SchemaRef {
    let field = |(name, logical, native): &(&str, Logical, &str)| {
        saying(logical.field(name, true, native), POSTGRES_KEY, if *native == "inet" { "" } else { native })
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// `id bigint, note text`.
fn two_columns() -> SchemaRef {
    schema_of(&[("id", Logical::Int64, ""), ("note", Logical::Text, "")])
}

fn load_of(stream: &str, schema: SchemaRef, disposition: Disposition) -> StreamLoad {
    let table = TableRef { namespace: Some("sales".into()), name: stream.into() };
    let recorded = |f: &FieldRef| ColumnRecord::new(f.name(), f.name(), &Logical::of(f).unwrap().to_string());
    let columns = schema.fields().iter().map(recorded);
    let record = TableRecord {
        connection_id: "c1".into(),
        stream: stream.into(),
        table: table.clone(),
        columns: columns.collect(),
    };
    StreamLoad {
        stream: stream.into(),
        table,
        schema,
        record,
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

fn rows(values: &[(i64, &str)]) -> Payload {
    let ids: ArrayRef = Arc::new(values.iter().map(|(id, _)| Some(*id)).collect::<Int64Array>());
    let notes: ArrayRef = Arc::new(values.iter().map(|(_, note)| Some(*note)).collect::<StringArray>());
    Payload::Arrow(RecordBatch::try_new(two_columns(), vec![ids, notes]).unwrap())
}

fn commit_of(id: &str, stream: &str) -> Commit {
    let state = StateRow {
        scope: format!("stream:{stream}"),
        value: json!({"floor": id}),
        based_on: None,
        fingerprint: "f".into(),
        run_id: "r".into(),
        commit_id: id.into(),
        rows: 1,
        table: TableRef { namespace: Some("sales".into()), name: stream.into() },
    };
    Commit { id: id.into(), states: vec![state], ..Commit::default() }
}

async fn write(writer: &mut Box<dyn Writer>, stream: &str, values: &[(i64, &str)]) {
    writer.write(stream, rows(values)).await.unwrap();
}

/// One whole load of one slice into a table of two columns.
async fn load(
    destination: &dyn Destination,
    load: &StreamLoad,
    values: &[(i64, &str)],
    commit: &str,
) -> Result<Receipt> {
    let mut writer = destination.writer(&load.stream).await?;
    writer.prepare(load).await?;
    writer.write(&load.stream, rows(values)).await?;
    writer.commit(&commit_of(commit, &load.stream)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_may_be_done_and_leaves_nothing() {
    let db = Db::new("check");
    let destination = db.open("c1", "r1").await;
    let found = destination.check().await.unwrap();
    assert!(found.iter().all(waybill_protocol::Check::ok), "{found:?}");
    assert_eq!(db.sql("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_waybill%'"), "0");
    db.sql("DROP ROLE IF EXISTS reader_of_check; CREATE ROLE reader_of_check LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC; \
            REVOKE ALL ON DATABASE dest_check FROM PUBLIC; GRANT CONNECT ON DATABASE dest_check TO reader_of_check");
    let settings = PostgresSettings {
        host: Some(db.server.socket.display().to_string()),
        port: Some(db.server.port),
        database: Some(db.name.clone()),
        user: Some("reader_of_check".into()),
        ..PostgresSettings::default()
    };
    let ctx = Context {
        run_id: "r".into(),
        connection_id: "c".into(),
        connection: "crm".into(),
        role: "destination",
        events: Events::none(),
        cancel: Default::default(),
        deadlines: Deadlines::default(),
        base_dir: std::env::temp_dir(),
        parallelism: 1,
        tunnel: None,
    };
    let found = super::open(ctx, settings).await.unwrap().check().await.unwrap();
    let failed: Vec<_> = found.iter().filter(|check| !check.ok()).collect();
    assert_eq!(failed.len(), 1, "{found:?}");
    assert!(failed[0].error.as_ref().unwrap().hint.as_ref().unwrap().contains("GRANT CREATE"));
    assert!(found.iter().any(|c| c.warning.as_ref().is_some_and(|w| w.contains("GRANT TEMPORARY"))));
}
