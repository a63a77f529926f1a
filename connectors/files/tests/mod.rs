//! The source driven through its contract, over real files.

mod csv;
mod discovery;
mod jsonl;
mod ledger;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use waybill_protocol::event::Emit;
use waybill_protocol::{
    Budget, Catalog, CatalogStream, Change, Connector, Context, Deadlines, Erased, Error, Event, Events,
    Logical, Message, Outlet, Patch, Payload, Progress, Reading, Reject, Result, SchemaPolicy, Scope, Source,
    StreamRead, StreamSelection, StreamState, SyncMode,
};

use super::Files;

/// A folder of files, and what was said about them.
pub(super) struct Folder {
    dir: TempDir,
    said: Arc<Said>,
}

#[derive(Default)]
struct Said(Mutex<Vec<Event>>);

impl Emit for Said {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// What one read sent.
#[derive(Default)]
pub(super) struct Got {
    pub result: Option<Error>,
    pub schemas: Vec<SchemaRef>,
    pub batches: Vec<RecordBatch>,
    pub rejects: Vec<Reject>,
    pub patches: Vec<Patch>,
    pub complete: bool,
}

impl Got {
    /// All rows, values as text; NULL as `∅`.
    pub(super) fn rows(&self) -> Vec<String> {
        let options = FormatOptions::new().with_null("∅");
        let mut rows = Vec::new();
        for batch in &self.batches {
            let arrays: Vec<ArrayRef> = batch.columns().iter().map(zoned).collect();
            let columns: Vec<_> =
                arrays.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
            for row in 0..batch.num_rows() {
                rows.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"));
            }
        }
        rows
    }

    /// Rejects as `place column: reason`.
    pub(super) fn bad(&self) -> Vec<String> {
        let column = |r: &Reject| r.column.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
        self.rejects.iter().map(|r| format!("{}{}: {}", r.place, column(r), r.reason)).collect()
    }

    /// The error, which there must be.
    pub(super) fn error(&self) -> &Error {
        assert!(!self.complete, "complete in spite of an error");
        self.result.as_ref().expect("an error")
    }

    /// Checks that all went well.
    pub(super) fn whole(self) -> Got {
        if let Some(error) = &self.result {
            panic!("{error} {:?}", error.causes());
        }
        assert!(self.complete);
        self
    }
}

/// Instants are shown with an offset, since zone names need a table of zones.
fn zoned(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("+00:00"))
        }
        _ => Arc::clone(array),
    }
}

/// `name:type` of the columns.
pub(super) fn columns(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|f| format!("{}:{}", f.name(), Logical::of(f).unwrap())).collect()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A selection named `s` with stream options.
pub(super) fn selection(options: Value) -> StreamSelection {
    let mut selection = StreamSelection::named("s");
    selection.options = options.as_object().unwrap().clone();
    selection
}

impl Folder {
    pub(super) fn new(files: &[(&str, &[u8])]) -> Folder {
        let folder = Folder { dir: tempfile::tempdir().unwrap(), said: Arc::default() };
        files.iter().for_each(|(name, bytes)| folder.write(name, bytes));
        folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(super) fn append(&self, name: &str, bytes: &[u8]) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// Sets a file's time of change to long ago.
    pub(super) fn age(&self, name: &str, seconds: u64) {
        let file = std::fs::OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
    }

    pub(super) fn said(&self) -> Vec<String> {
        self.said.0.lock().unwrap().iter().map(|event| event.message.clone()).collect()
    }

    pub(super) fn context(&self) -> Context {
        Context {
            run_id: "r".into(),
            connection_id: "c".into(),
            connection: "c".into(),
            role: "source",
            events: Events::new(Arc::clone(&self.said) as Arc<dyn Emit>),
            cancel: CancellationToken::new(),
            deadlines: Deadlines::default(),
            base_dir: self.dir.path().to_owned(),
            parallelism: 1,
            tunnel: None,
        }
    }

    pub(super) async fn source(&self) -> Box<dyn Source> {
        Erased::<Files>::new().source(self.context(), &json!({})).await.unwrap()
    }

    pub(super) async fn catalog(&self, selections: &[StreamSelection]) -> Result<Catalog> {
        self.source().await.discover(selections).await
    }

    pub(super) async fn discover(&self, options: Value) -> Result<CatalogStream> {
        Ok(self.catalog(&[selection(options)]).await?.streams.remove(0))
    }

    /// Reads everything with the types that discovery finds.
    pub(super) async fn read(&self, options: Value) -> Got {
        match self.discover(options.clone()).await {
            Ok(found) => self.read_as(&request(options, found.schema)).await,
            Err(error) => Got { result: Some(error), ..Got::default() },
        }
    }

    pub(super) async fn read_as(&self, read: &StreamRead) -> Got {
        self.read_from(read, &Progress::default()).await
    }

    pub(super) async fn read_from(&self, read: &StreamRead, progress: &Progress) -> Got {
        let (outlet, mut receiver) = Outlet::new(Budget::new(32 << 20), CancellationToken::new());
        let source = self.source().await;
        let slices = match source.plan(&[Arc::new(read.clone())], progress).await {
            Ok(slices) => slices,
            Err(error) => return Got { result: Some(error), ..Got::default() },
        };
        let mut got = Got::default();
        let reading = async move { source.read(&slices[0], progress, &outlet).await };
        let taking = async {
            while let Some(delivery) = receiver.recv().await {
                match delivery.message {
                    Message::Schema { schema, .. } => got.schemas.push(schema),
                    Message::Batch { payload: Payload::Arrow(batch), .. } => got.batches.push(batch),
                    Message::Checkpoint { patch } => got.patches.push(patch),
                    Message::Complete { .. } => got.complete = true,
                    Message::Reject(reject) => got.rejects.push(reject),
                    other => panic!("unexpected {other:?}"),
                }
            }
        };
        let (result, ()) = tokio::join!(reading, taking);
        got.result = result.err();
        got
    }

    /// An incremental read, whose patches go into `progress`.
    pub(super) async fn run(&self, options: Value, progress: &mut Progress) -> Got {
        let found = match self.discover(options.clone()).await {
            Ok(found) => found,
            Err(error) => return Got { result: Some(error), ..Got::default() },
        };
        let mut read = request(options, found.schema);
        read.reading = Reading::Files;
        read.selection.mode = SyncMode::Incremental;
        let got = self.read_from(&read, progress).await;
        for patch in &got.patches {
            apply(patch, progress);
        }
        got
    }
}

pub(super) fn apply(patch: &Patch, progress: &mut Progress) {
    for (scope, change) in patch {
        let Change::Put(value) = change else { panic!("nothing is forgotten") };
        match scope {
            Scope::Stream(stream) => {
                progress.streams.insert(stream.clone(), StreamState::from_value(value).unwrap());
            }
            Scope::Part(stream, part) => {
                progress.parts.insert((stream.clone(), part.clone()), value.clone());
            }
            other => panic!("unexpected {other}"),
        }
    }
}

/// A full read of stream `s` with these columns.
pub(super) fn request(options: Value, schema: SchemaRef) -> StreamRead {
    StreamRead {
        selection: selection(options),
        stream: "s".into(),
        source: (None, "s".into()),
        schema,
        primary_key: Vec::new(),
        reading: Reading::Full,
        ordered: false,
        from: None,
        to: None,
        limit: None,
        staged: true,
        parts: 1,
        wire: None,
    }
}

/// A schema of `name:type`.
pub(super) fn schema(columns: &[&str]) -> SchemaRef {
    let field = |text: &&str| -> Field {
        let (name, logical) = text.split_once(':').unwrap();
        logical.parse::<Logical>().unwrap().field(name, !name.starts_with('_'), "")
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

pub(super) fn with_policy(mut read: StreamRead, policy: SchemaPolicy) -> StreamRead {
    read.selection.schema_policy = policy;
    read
}
