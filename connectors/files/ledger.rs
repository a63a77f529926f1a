//! The ledger of files: what was loaded of each, and what that means for the file of today.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Change, Error, FilesDigest, Patch, Progress, Result, Scope, StreamState};

use super::input::{Stamp, hash_prefix, hex};
use super::listing::Found;
use super::options::OnChange;

/// What was loaded of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Bytes on disk.
    pub size: u64,
    /// Nanoseconds since 1970 of its last change; absent where it changed just before it was read.
    pub mtime: Option<i64>,
    /// SHA-256 of the loaded bytes as they are on disk.
    pub digest: String,
    /// Rows loaded.
    pub rows: u64,
    /// Lines behind which to continue.
    pub lines: u64,
    /// Bytes behind which to continue: all, except for a torn last line.
    pub bytes: u64,
    /// Whether its rows carry `_file`, by which they can be deleted.
    #[serde(default)]
    pub file_column: bool,
}

/// What to do with a file.
pub(super) enum Step {
    /// Load it.
    Load,
    /// Delete its rows and load it again.
    Reload,
    /// Continue behind what is known, whose hash this is.
    Tail(Entry, Sha256),
    /// Nothing.
    Skip,
    /// Only note its new time: its content is the same.
    Touch(Entry),
}

/// The ledger of a stream during a read, and the changes to it since the last checkpoint.
pub(super) struct Ledger {
    stream: String,
    state: StreamState,
    files: BTreeMap<String, Entry>,
    rows: u64,
    changes: Patch,
}

impl Ledger {
    /// The ledger as it was last committed.
    pub(super) fn new(stream: &str, progress: &Progress) -> Result<Ledger> {
        let mut files = BTreeMap::new();
        for ((of, file), value) in &progress.parts {
            if of == stream {
                let entry: Entry = serde_json::from_value(value.clone()).map_err(|e| {
                    Error::data(format!("the ledger entry of {file} cannot be read"))
                        .hint("reset the stream: it is loaded again from nothing")
                        .cause(e)
                })?;
                files.insert(file.clone(), entry);
            }
        }
        let rows = files.values().fold(0u64, |sum, e| sum.saturating_add(e.rows));
        let state = progress.streams.get(stream).cloned().unwrap_or_default();
        Ok(Ledger { stream: stream.to_owned(), state, files, rows, changes: Patch::new() })
    }

    /// Files that were loaded once and are not among `found`.
    pub(super) fn vanished(&self, found: &[Found]) -> Vec<String> {
        let here: std::collections::HashSet<&str> = found.iter().map(|f| f.rel.as_str()).collect();
        self.files.keys().filter(|file| !here.contains(file.as_str())).cloned().collect()
    }

    /// What to do with a file.
    pub(super) fn step(&self, file: &Found, policy: OnChange, cancel: &CancellationToken) -> Result<Step> {
        let Some(entry) = self.files.get(&file.rel) else { return Ok(Step::Load) };
        let stamp = Stamp::now(file)?;
        // A torn end that nobody waits for any more is not loaded, whatever the times say.
        let whole = entry.bytes == entry.size || policy == OnChange::Tail;
        if whole && entry.size == stamp.size {
            if entry.mtime == Some(stamp.mtime) {
                return Ok(Step::Skip);
            }
            if same(hash_prefix(file, entry.bytes, cancel)?, entry).is_some() {
                return Ok(Step::Touch(Entry { mtime: stamp.settled(), ..entry.clone() }));
            }
        }
        match policy {
            OnChange::Reload if !entry.file_column => Err(nameless(file)),
            OnChange::Reload => Ok(Step::Reload),
            OnChange::Fail => Err(changed(file, entry, &stamp)),
            OnChange::Tail => match same(hash_prefix(file, entry.bytes, cancel)?, entry) {
                Some(prefix) => Ok(Step::Tail(entry.clone(), prefix)),
                None => Err(rewritten(file, entry, &stamp)),
            },
        }
    }

    /// Notes what is loaded of a file now; `reload` where its earlier rows have to go.
    pub(super) fn put(&mut self, file: &str, entry: Entry, reload: bool) {
        let mut value = serde_json::to_value(&entry).unwrap_or(Value::Null);
        if let Some(object) = value.as_object_mut().filter(|_| reload) {
            object.insert("reload".to_owned(), Value::Bool(true));
        }
        self.rows = self.rows.saturating_add(entry.rows);
        if let Some(before) = self.files.insert(file.to_owned(), entry) {
            self.rows = self.rows.saturating_sub(before.rows);
        }
        self.changes.insert(Scope::Part(self.stream.clone(), file.to_owned()), Change::Put(value));
    }

    /// Whether anything changed since the last checkpoint.
    pub(super) fn changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The changes since the last checkpoint, with the stream's state that sums them up.
    pub(super) fn patch(&mut self) -> Patch {
        let last = self.files.keys().next_back().cloned();
        self.state.files = Some(FilesDigest { files: self.files.len() as u64, rows: self.rows, last });
        let mut patch = std::mem::take(&mut self.changes);
        patch.insert(Scope::Stream(self.stream.clone()), Change::Put(self.state.to_value()));
        patch
    }
}

fn same(prefix: Option<Sha256>, entry: &Entry) -> Option<Sha256> {
    prefix.filter(|hash| hex(hash.clone()) == entry.digest)
}

fn changed(file: &Found, entry: &Entry, stamp: &Stamp) -> Error {
    let what = if entry.bytes != entry.size && entry.size == stamp.size {
        "its last line had no line end and was not loaded".to_owned()
    } else if entry.size == stamp.size {
        "its content is different".to_owned()
    } else {
        format!("it had {} bytes and has {}", entry.size, stamp.size)
    };
    Error::data(format!("{} changed since it was loaded: {what}", file.shown)).hint(
        "set on_change to reload (its rows are deleted and loaded again) or tail (only what follows is \
         loaded), or reset the stream's state (everything is loaded again)",
    )
}

fn rewritten(file: &Found, entry: &Entry, stamp: &Stamp) -> Error {
    let what = if stamp.size < entry.bytes {
        format!("it has {} bytes, of which {} were loaded", stamp.size, entry.bytes)
    } else {
        format!("its first {} bytes are not what was loaded", entry.bytes)
    };
    Error::data(format!("{} did not only grow: {what}", file.shown)).hint(
        "set on_change to reload (its rows are deleted and loaded again), or reset the stream's state \
         (everything is loaded again)",
    )
}

/// Loading such a file again would double its rows.
fn nameless(file: &Found) -> Error {
    Error::data(format!(
        "{} changed, and its rows were loaded without the column _file, so they cannot be told from others",
        file.shown
    ))
    .hint("reset the stream's state: everything is loaded again, then with _file")
}
