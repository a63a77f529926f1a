//! One read of a stream: file by file, with the ledger where it is incremental.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Events, Patch, Progress, Reading, Result, StreamRead};

use super::discover::refuse_packed;
use super::input::{Input, hash_prefix, hex};
use super::ledger::{Entry, Ledger, Step};
use super::listing::{Found, find};
use super::options::{Format, Layout, OnChange};
use super::reader::{End, Reader};
use super::records::Records;
use super::sink::Sink;
use super::table::Table;
use super::{faults, header};

/// A checkpoint is sent when so many bytes were loaded since the last one, or so much time passed.
const CHECKPOINT_BYTES: u64 = 8 << 20;
const CHECKPOINT_TIME: Duration = Duration::from_secs(1);

/// Everything a read needs on its own thread.
pub(super) struct Job {
    pub root: PathBuf,
    pub read: Arc<StreamRead>,
    pub progress: Progress,
    pub sink: Sink,
    pub events: Events,
    pub cancel: CancellationToken,
}

/// Reads a stream.
pub(super) fn run(job: Job) -> Result<()> {
    let layout = Layout::of(&job.read.selection)?;
    let files = find(&job.root, &layout.path)?;
    let table = Table::new(&job.read, &layout)?;
    job.sink.schema(Arc::clone(&job.read.schema))?;
    let mut reader = Reader {
        layout,
        table,
        sink: job.sink,
        left: job.read.limit,
        scratch: Vec::new(),
        cancel: job.cancel,
        events: job.events,
    };
    let whole = match job.read.reading {
        Reading::Full => reader.all(&files)?,
        Reading::Files => {
            let ledger = Ledger::new(&job.read.stream, &job.progress)?;
            reader.changed(&files, ledger)?
        }
        Reading::Cursor { .. } => return Err(no_cursor()),
    };
    if whole { reader.sink.complete() } else { reader.sink.schema(reader.table.widened()) }
}

/// Why there is no reading of files by a column's values.
pub(super) fn no_cursor() -> Error {
    Error::config("cursor: files are read file by file, not by a column").hint(
        "remove cursor; mode incremental loads new files, and on_change says what happens to changed ones",
    )
}

impl Reader {
    /// Every file; false when the columns have to be others.
    fn all(&mut self, files: &[Found]) -> Result<bool> {
        for file in files {
            if self.left == Some(0) {
                break;
            }
            let input = Input::open(file, self.layout.compression, false, &self.cancel)?;
            let mut records = self.records(input, 0)?;
            match self.file(file, &mut records, None)? {
                End::Change => return Ok(false),
                End::Limit => break,
                End::File(_) => {
                    self.torn(file, &records);
                    records.input.stamp.verify(file, self.tailing())?;
                }
            }
        }
        self.flush()?;
        self.sink.checkpoint(Patch::new())?;
        Ok(true)
    }

    /// New and changed files; false when the columns have to be others.
    fn changed(&mut self, files: &[Found], mut ledger: Ledger) -> Result<bool> {
        if self.layout.on_change == OnChange::Reload && !self.table.has_file() {
            return Err(Error::config("columns: on_change reload needs the column _file")
                .hint("add _file to columns, or choose another on_change"));
        }
        self.say_vanished(&ledger.vanished(files));
        let limited = self.left.is_some();
        let (mut bytes, mut since) = (0u64, Instant::now());
        for file in files {
            if self.left == Some(0) {
                break;
            }
            let step = ledger.step(file, self.layout.on_change, &self.cancel)?;
            let reload = matches!(step, Step::Reload);
            let entry = match step {
                Step::Skip => continue,
                Step::Touch(entry) => entry,
                Step::Load | Step::Reload => match self.load(file)? {
                    Ok(entry) => entry,
                    Err(End::Change) => return Ok(false),
                    Err(_) => break,
                },
                Step::Tail(known, prefix) => match self.tail(file, known, prefix)? {
                    Ok(entry) => entry,
                    Err(End::Change) => return Ok(false),
                    Err(_) => break,
                },
            };
            bytes += entry.bytes;
            ledger.put(&file.rel, entry, reload);
            if !limited && (bytes >= CHECKPOINT_BYTES || since.elapsed() >= CHECKPOINT_TIME) {
                self.flush()?;
                self.sink.checkpoint(ledger.patch())?;
                (bytes, since) = (0, Instant::now());
            }
        }
        self.flush()?;
        // A read that was limited knows no file to its end.
        if limited {
            self.sink.checkpoint(Patch::new())?;
        } else if ledger.changed() {
            self.sink.checkpoint(ledger.patch())?;
        }
        Ok(true)
    }

    /// A file from its beginning.
    fn load(&mut self, file: &Found) -> Result<Result<Entry, End>> {
        if self.tailing() {
            refuse_packed(file, &self.layout, &self.cancel)?;
        }
        let input = Input::open(file, self.layout.compression, true, &self.cancel)?;
        let mut records = self.records(input, 0)?;
        let rows = match self.file(file, &mut records, None)? {
            End::File(rows) => rows,
            end => return Ok(Err(end)),
        };
        self.entry(file, &records, None, rows).map(Ok)
    }

    /// What follows the known beginning of a file.
    fn tail(&mut self, file: &Found, known: Entry, prefix: sha2::Sha256) -> Result<Result<Entry, End>> {
        if known.bytes == 0 {
            return self.load(file);
        }
        let names = match self.layout.format {
            Format::Jsonl => None,
            Format::Csv => {
                // The names stand in the prefix, which is known to be unchanged.
                let input = Input::open(file, self.layout.compression, false, &self.cancel)?;
                let mut records = self.records(input, 0)?;
                header::read(&mut records, &self.layout)?.map(|header| header.names)
            }
        };
        let input = Input::open_at(file, known.bytes, prefix, &self.cancel)?;
        let mut records = self.records(input, known.lines)?;
        let rows = match self.file(file, &mut records, names)? {
            End::File(rows) => rows,
            end => return Ok(Err(end)),
        };
        self.entry(file, &records, Some(&known), rows).map(Ok)
    }

    /// What the ledger says of a file that was read behind what was `known` of it.
    fn entry(&self, file: &Found, records: &Records, known: Option<&Entry>, rows: u64) -> Result<Entry> {
        let stamp = records.input.stamp;
        let bytes = stamp.size - records.torn.min(stamp.size);
        let digest = if records.torn == 0 {
            records.input.digest()
        } else {
            // The hash ran over the torn line too.
            hash_prefix(file, bytes, &self.cancel)?.map(hex)
        };
        self.torn(file, records);
        stamp.verify(file, self.tailing())?;
        let digest = digest.ok_or_else(|| faults::moved(&file.shown))?;
        let rows = known.map_or(0, |entry| entry.rows).saturating_add(rows);
        let file_column = self.table.has_file() && known.is_none_or(|entry| entry.file_column);
        let lines = records.line - 1;
        Ok(Entry { size: stamp.size, mtime: stamp.settled(), digest, rows, lines, bytes, file_column })
    }

    fn say_vanished(&self, gone: &[String]) {
        if let Some(one) = gone.first() {
            let some: Vec<&String> = gone.iter().take(20).collect();
            self.events.info(
                Body::Runtime { detail: json!({"vanished": gone.len(), "files": some}) },
                format!("{} loaded files are gone, first {one}; their rows stay", gone.len()),
            );
        }
    }
}
