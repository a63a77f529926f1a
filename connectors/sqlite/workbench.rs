//! What the tests of this connector share: temporary files, sessions, loads, batches.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;
use waybill_protocol::event::Emit;
use waybill_protocol::{
    ColumnRecord, Commit, Context, Deadlines, Destination, Disposition, Event, Events, Logical, Payload,
    Receipt, Result, StateRow, StreamLoad, TableRecord, TableRef, Writer,
};

use super::destination::SqliteDestination;

/// Events that were emitted.
#[derive(Clone, Default)]
pub(crate) struct Heard(pub(crate) Arc<Mutex<Vec<Event>>>);

impl Emit for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A folder with a database file that is not there yet.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) heard: Heard,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/warehouse.db");
        Bench { folder, path, heard: Heard::default() }
    }

    pub(crate) fn ctx(&self, connection: &str, role: &'static str) -> Context {
        Context {
            run_id: uuid::Uuid::now_v7().to_string(),
            connection_id: format!("id-of-{connection}"),
            connection: connection.into(),
            role,
            events: Events::new(Arc::new(self.heard.clone())),
            cancel: CancellationToken::new(),
            deadlines: Deadlines::default(),
            base_dir: self.folder.path().into(),
            parallelism: 2,
            tunnel: None,
        }
    }

    /// A session that has not begun.
    pub(crate) fn idle(&self, connection: &str) -> SqliteDestination {
        let wait = Duration::from_millis(400);
        SqliteDestination::new(self.ctx(connection, "destination"), self.path.clone(), wait)
    }

    /// A session that has begun.
    pub(crate) async fn session(&self, connection: &str) -> SqliteDestination {
        let session = self.idle(connection);
        session.begin().await.unwrap();
        session
    }

    /// Another program's view of the file.
    pub(crate) fn look(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// The answer of a query as text, a row a line.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.path, sql)
    }
}

pub(crate) fn rows(path: &Path, sql: &str) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values: Vec<String> = (0..columns)
            .map(|at| match row.get_ref(at).unwrap() {
                rusqlite::types::ValueRef::Null => "NULL".to_owned(),
                rusqlite::types::ValueRef::Integer(i) => i.to_string(),
                rusqlite::types::ValueRef::Real(r) => format!("{r:?}"),
                rusqlite::types::ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned(),
                rusqlite::types::ValueRef::Blob(b) => format!("x{}", b.len()),
            })
            .collect();
        Ok(values.join("|"))
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

pub(crate) fn schema(columns: &[(&str, Logical)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(n, l)| l.field(n, true, "")).collect::<Vec<_>>()))
}

/// A load of stream `s` of a connection into a table.
pub(crate) fn load(
    connection: &str,
    table: &str,
    columns: &[(&str, Logical)],
    how: Disposition,
) -> StreamLoad {
    let table = TableRef { namespace: None, name: table.into() };
    let record = TableRecord {
        connection_id: format!("id-of-{connection}"),
        stream: "s".into(),
        table: table.clone(),
        columns: columns.iter().map(|(n, l)| ColumnRecord::new(n, n, &l.to_string())).collect(),
    };
    StreamLoad {
        stream: "s".into(),
        table,
        schema: schema(columns),
        record,
        key: Vec::new(),
        cursor: None,
        upsert: false,
        disposition: how,
        adopt: false,
        shared: false,
        metadata: false,
        distinct: false,
        wire: None,
    }
}

pub(crate) fn keyed(mut load: StreamLoad, key: &[&str], upsert: bool) -> StreamLoad {
    load.key = key.iter().map(|k| (*k).to_owned()).collect();
    load.upsert = upsert;
    load
}

pub(crate) fn batch(load: &StreamLoad, columns: Vec<ArrayRef>) -> Payload {
    Payload::Arrow(RecordBatch::try_new(Arc::clone(&load.schema), columns).unwrap())
}

/// A commit with one state row.
pub(crate) fn commit(note: &str) -> Commit {
    let id = uuid::Uuid::new_v4().to_string();
    let state = StateRow {
        scope: "stream:s".into(),
        value: serde_json::json!({"data": note}),
        based_on: None,
        fingerprint: "f".into(),
        run_id: "r".into(),
        commit_id: id.clone(),
        rows: 1,
        table: TableRef { namespace: None, name: "t".into() },
    };
    Commit { id, states: vec![state], ..Commit::default() }
}

/// Prepares, writes one batch, commits.
pub(crate) async fn run(
    session: &SqliteDestination,
    load: &StreamLoad,
    columns: Vec<ArrayRef>,
) -> Result<Receipt> {
    let mut writer: Box<dyn Writer> = session.writer("s").await?;
    writer.prepare(load).await?;
    writer.write("s", batch(load, columns)).await?;
    let receipt = writer.commit(&commit("run")).await?;
    match load.disposition {
        Disposition::Replace => session.publish(load, &commit("published")).await,
        _ => Ok(receipt),
    }
}
