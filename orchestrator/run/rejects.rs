//! Rows that could not be loaded: they fail the stream, or are counted and kept in the rejects file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;
use waybill_protocol::{Body, Error, Kind, OnBadRow, Origin, Reject, Result};

use super::job::StreamJob;

/// Rows that may be rejected where the selection does not say.
const DEFAULT_LIMIT: u64 = 100;
/// Rejected rows of a stream that get an event of their own.
const EVENTS: u64 = 10;

/// The rejects file of a run, created with the first row.
pub struct Rejects {
    path: PathBuf,
    file: Mutex<Option<File>>,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl Rejects {
    /// For a run whose rejects go to this path.
    pub fn new(path: PathBuf) -> Rejects {
        Rejects { path, file: Mutex::default(), seen: Mutex::default() }
    }

    /// Forgets the count of a stream: its attempt starts again.
    pub fn restart(&self, stream: &str) {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(stream);
    }

    /// Takes a row that could not be read or loaded: an error where the policy is to fail or the
    /// threshold is passed.
    pub fn take(&self, job: &StreamJob, reject: &Reject, attempt: u32) -> Result<()> {
        let column = reject.column.as_ref().map(|c| format!(", column {c:?}")).unwrap_or_default();
        let what = format!("{}{column}: {}", reject.place, reject.reason);
        if job.selection.on_bad_row == OnBadRow::Fail {
            return Err(Error::new(Kind::Data, what)
                .stream(&job.name)
                .origin(Origin::Source)
                .hint("mend the row, or set on_bad_row: reject to keep such rows in a file and go on"));
        }
        self.keep(job, reject, attempt)?;
        let count = {
            let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let count = seen.entry(job.name.clone()).or_default();
            *count += 1;
            *count
        };
        job.count(|c| c.rows_rejected += 1);
        if count <= EVENTS {
            let body =
                Body::RowRejected { place: reject.place.clone(), column: reject.column.clone(), rows: 1 };
            job.events.warn(body, format!("rejected {what}"));
        }
        let limit = job.selection.max_bad_rows.unwrap_or(DEFAULT_LIMIT);
        if count > limit {
            return Err(Error::new(
                Kind::Data,
                format!("more than {limit} rows could not be loaded; the last one: {what}"),
            )
            .stream(&job.name)
            .origin(Origin::Source)
            .hint(format!("look at {}, mend the source, or raise max_bad_rows", self.path.display())));
        }
        Ok(())
    }

    /// Says how many rows had no event of their own.
    pub fn summarise(&self, job: &StreamJob) {
        let count = {
            let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            seen.get(&job.name).copied().unwrap_or(0)
        };
        if count > EVENTS {
            let rows = count - EVENTS;
            let place = self.path.display().to_string();
            job.events.warn(
                Body::RowRejected { place: place.clone(), column: None, rows },
                format!("rejected {rows} more rows, all in {place}"),
            );
        }
    }

    fn keep(&self, job: &StreamJob, reject: &Reject, attempt: u32) -> Result<()> {
        let line = json!({
            "stream": job.name,
            "attempt": attempt,
            "place": reject.place,
            "column": reject.column,
            "reason": reject.reason,
            "row": reject.row,
        });
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let written = (|| {
            let file = match &mut *file {
                Some(file) => file,
                none => {
                    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
                    none.insert(opened)
                }
            };
            file.write_all(format!("{line}\n").as_bytes())
        })();
        written.map_err(|e: std::io::Error| {
            Error::config(format!("cannot write the rejects file {}: {e}", self.path.display()))
                .origin(Origin::Orchestrator)
                .hint("free space or make the folder writable")
                .cause(e)
        })
    }
}
