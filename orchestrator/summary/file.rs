//! The summary as a file, and rebuilt from a log.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use waybill_protocol::{Error, Kind, Origin, Result};

use super::superseded::Superseded;
use super::{Fold, SUMMARY_VERSION, Summary};
use crate::events::Reader;

/// The summary as it stands on disk: indented JSON with a final line feed.
pub fn to_bytes(summary: &Summary) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(summary)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a summary through `write`, which must be atomic and durable (temporary file, fsync,
/// rename, fsync of the folder).
pub fn write_summary(
    path: &Path,
    summary: &Summary,
    write: impl Fn(&Path, &[u8]) -> io::Result<()>,
) -> Result<()> {
    to_bytes(summary).and_then(|bytes| write(path, &bytes)).map_err(|error| {
        Error::config(format!("cannot write the summary {}: {error}", path.display()))
            .hint("free space or make the folder writable; the event log has everything, and the summary is rebuilt from it")
            .origin(Origin::Orchestrator)
            .cause(error)
    })
}

/// Reads a summary.
pub fn read_summary(path: &Path) -> Result<Summary> {
    let bytes = std::fs::read(path).map_err(|error| cannot_read("summary", path, error))?;
    let misread = |why: String| {
        Error::config(format!("the summary {} cannot be read: {why}", path.display()))
            .hint("move it away: the next look rebuilds it from the event log")
            .origin(Origin::Orchestrator)
    };
    let summary: Summary = serde_json::from_slice(&bytes).map_err(|error| misread(error.to_string()))?;
    if summary.version > SUMMARY_VERSION {
        let version = summary.version;
        return Err(misread(format!(
            "its version {version} is newer than {SUMMARY_VERSION}, the newest known"
        )));
    }
    Ok(summary)
}

/// The last long log that was folded: one command asks for the same more than once.
static KNOWN: Mutex<Option<(Stamp, Fold)>> = Mutex::new(None);

/// What tells a file in one state from any other: device, inode, length, time of change.
type Stamp = (u64, u64, u64, (i64, i64));

/// How long a log is that is worth to be remembered, bytes.
const LONG: u64 = 1 << 20;

fn stamp(log: &Path) -> Option<Stamp> {
    let known = std::fs::metadata(log).ok().filter(|known| known.len() >= LONG)?;
    Some((known.dev(), known.ino(), known.len(), (known.mtime(), known.mtime_nsec())))
}

/// Folds a log on disk.
pub fn rebuild(log: &Path) -> Result<Fold> {
    let Some(stamp) = stamp(log) else { return folded(log) };
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, fold)) = known.as_ref().filter(|(of, _)| *of == stamp) {
        return Ok(fold.clone());
    }
    let fold = folded(log)?;
    *known = Some((stamp, fold.clone()));
    Ok(fold)
}

fn folded(log: &Path) -> Result<Fold> {
    let mut reader = Reader::open(log).map_err(|error| cannot_read("event log", log, error))?;
    let (mut fold, mut superseded) = (Fold::of_log(), Superseded::default());
    while let Some(entry) = reader.next_wanted(|line| fold.ended() || !superseded.takes(line, &mut fold)) {
        fold.apply_entry(&entry);
    }
    superseded.settle(&mut fold);
    Ok(fold)
}

/// The error of an artifact that cannot be read.
pub(crate) fn cannot_read(what: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Permission,
        _ => Kind::Config,
    };
    Error::new(kind, format!("cannot read the {what} {}: {error}", path.display()))
        .origin(Origin::Orchestrator)
        .cause(error)
}
