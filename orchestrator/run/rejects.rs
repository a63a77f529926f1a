//! Rows that could not be loaded: they fail the stream, or are counted and kept in the rejects file.
//!
//! A rejected row follows the rows around it: it counts, is told and stands in the file once the
//! commit that covers it took place, and is forgotten with an attempt that is given up. Only where
//! rejected rows are what makes a stream fail are they kept without a commit.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use waybill_protocol::state::digest;
use waybill_protocol::{Body, Error, Kind, OnBadRow, Origin, Reject, Result};

use super::job::StreamJob;
use super::reject_file::{Lines, RejectFile, Ticket};

/// Rows that may be rejected where the selection does not say.
const DEFAULT_LIMIT: u64 = 100;
/// Rejected rows of a stream that get an event of their own.
const EVENTS: u64 = 10;

/// The rejected rows of a run.
pub struct Rejects {
    file: RejectFile,
    streams: Mutex<BTreeMap<String, Stream>>,
}

/// The rejected rows of a stream.
#[derive(Default)]
struct Stream {
    /// Rows that count.
    settled: u64,
    /// How often each of them was met: one that is read again is not rejected again.
    known: HashMap<u128, u32>,
    /// How often each row was met in this attempt.
    seen: HashMap<u128, u32>,
    /// Since the last commit.
    open: Segment,
    /// In the file, for a commit whose answer is not there yet.
    written: Option<(Segment, Ticket)>,
    /// Committed into staging.
    staged: Segment,
}

/// Rejected rows that share a fate.
#[derive(Default)]
struct Segment {
    keys: Vec<u128>,
    /// The first of them: place, column, message.
    first: Vec<(String, Option<String>, String)>,
    lines: Lines,
}

impl Segment {
    fn rows(&self) -> u64 {
        self.keys.len() as u64
    }

    fn append(&mut self, more: Segment, file: &RejectFile) -> Result<()> {
        self.keys.extend(more.keys);
        self.first.extend(more.first);
        self.first.truncate(EVENTS as usize);
        self.lines.append(more.lines, file.folder()).map_err(|e| file.unwritable(e))
    }
}

impl Stream {
    fn rows(&self) -> u64 {
        let written = self.written.as_ref().map_or(0, |(segment, _)| segment.rows());
        self.settled + self.open.rows() + written + self.staged.rows()
    }
}

impl Rejects {
    /// For a run whose rejects go to this path.
    pub fn new(path: PathBuf) -> Rejects {
        Rejects { file: RejectFile::new(path), streams: Mutex::default() }
    }

    /// Before an attempt: forgets what no commit covered.
    pub fn again(&self, stream: &str) -> Result<()> {
        let mut streams = self.streams();
        let Some(stream) = streams.get_mut(stream) else { return Ok(()) };
        stream.seen.clear();
        (stream.open, stream.staged) = Default::default();
        match stream.written.take() {
            Some((_, ticket)) => self.file.take_back(&ticket),
            None => Ok(()),
        }
    }

    /// Takes a row that the source could not read.
    pub fn take(&self, job: &StreamJob, reject: &Reject, attempt: u32) -> Result<()> {
        let what = json!([reject.place, reject.column, reject.reason, reject.row]);
        let key = u128::from_str_radix(&digest(&what), 16).unwrap_or_default();
        self.take_keyed(job, reject, key, attempt)
    }

    /// Takes a row that cannot be loaded: an error where the policy is to fail or the threshold is
    /// passed. `key` tells rows apart over all attempts.
    pub fn take_keyed(&self, job: &StreamJob, reject: &Reject, key: u128, attempt: u32) -> Result<()> {
        let column = reject.column.as_ref().map(|c| format!(", column {c:?}")).unwrap_or_default();
        let what = format!("{}{column}: {}", reject.place, reject.reason);
        if job.selection.on_bad_row == OnBadRow::Fail {
            return Err(Error::new(Kind::Data, what)
                .stream(&job.name)
                .origin(Origin::Source)
                .hint("mend the row, or set on_bad_row: reject to keep such rows in a file and go on"));
        }
        let mut streams = self.streams();
        let stream = streams.entry(job.name.clone()).or_default();
        let seen = stream.seen.entry(key).or_default();
        *seen += 1;
        if stream.known.get(&key).is_some_and(|known| *seen <= *known) {
            return Ok(());
        }
        let line = line(job, reject, attempt);
        stream.open.lines.push(&line, self.file.folder()).map_err(|e| self.file.unwritable(e))?;
        stream.open.keys.push(key);
        if stream.open.first.len() < EVENTS as usize {
            stream.open.first.push((reject.place.clone(), reject.column.clone(), format!("rejected {what}")));
        }
        let limit = job.selection.max_bad_rows.unwrap_or(DEFAULT_LIMIT);
        if stream.rows() <= limit {
            return Ok(());
        }
        self.all(job, stream)?;
        Err(Error::new(
            Kind::Data,
            format!("more than {limit} rows could not be loaded; the last one: {what}"),
        )
        .stream(&job.name)
        .origin(Origin::Source)
        .hint(format!("look at {}, mend the source, or raise max_bad_rows", self.file.path().display())))
    }

    /// Before a commit: the lines go into the file, so that no kill can come between.
    pub fn before_commit(&self, job: &StreamJob) -> Result<()> {
        self.with(job, |stream| self.write(stream, |stream| std::mem::take(&mut stream.open)))
    }

    /// The commit took place.
    pub fn committed(&self, job: &StreamJob) {
        let _ = self.with(job, |stream| {
            self.settle(job, stream);
            Ok(())
        });
    }

    /// The rows around them are in staging.
    pub fn staged(&self, job: &StreamJob) -> Result<()> {
        self.with(job, |stream| {
            let open = std::mem::take(&mut stream.open);
            stream.staged.append(open, &self.file)
        })
    }

    /// Before staging is published.
    pub fn before_publish(&self, job: &StreamJob) -> Result<()> {
        self.with(job, |stream| self.write(stream, |stream| std::mem::take(&mut stream.staged)))
    }

    /// Says how many rows had no event of their own.
    pub fn summarise(&self, job: &StreamJob) {
        let count = self.streams().get(&job.name).map_or(0, |stream| stream.settled);
        if count > EVENTS {
            let rows = count - EVENTS;
            let place = self.file.path().display().to_string();
            job.events.warn(
                Body::RowRejected { place: place.clone(), column: None, rows },
                format!("rejected {rows} more rows, all in {place}"),
            );
        }
    }

    /// Everything counts: rejected rows are what the stream fails by.
    fn all(&self, job: &StreamJob, stream: &mut Stream) -> Result<()> {
        self.settle(job, stream);
        self.write(stream, |stream| std::mem::take(&mut stream.staged))?;
        self.settle(job, stream);
        self.write(stream, |stream| std::mem::take(&mut stream.open))?;
        self.settle(job, stream);
        Ok(())
    }

    fn write(&self, stream: &mut Stream, of: impl FnOnce(&mut Stream) -> Segment) -> Result<()> {
        let mut segment = of(stream);
        if segment.rows() == 0 {
            return Ok(());
        }
        let ticket = self.file.write(std::mem::take(&mut segment.lines))?;
        stream.written = Some((segment, ticket));
        Ok(())
    }

    fn settle(&self, job: &StreamJob, stream: &mut Stream) {
        let Some((segment, ticket)) = stream.written.take() else { return };
        self.file.keep(&ticket);
        let rows = segment.rows();
        job.count(|counts| counts.rows_rejected += rows);
        let told = usize::try_from(EVENTS.saturating_sub(stream.settled)).unwrap_or(0);
        for (place, column, message) in segment.first.into_iter().take(told) {
            job.events.warn(Body::RowRejected { place, column, rows: 1 }, message);
        }
        stream.settled += rows;
        for key in segment.keys {
            *stream.known.entry(key).or_default() += 1;
        }
    }

    fn with(&self, job: &StreamJob, work: impl FnOnce(&mut Stream) -> Result<()>) -> Result<()> {
        self.streams().get_mut(&job.name).map_or(Ok(()), work)
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<String, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(job: &StreamJob, reject: &Reject, attempt: u32) -> String {
    json!({
        "stream": job.name,
        "attempt": attempt,
        "place": reject.place,
        "column": reject.column,
        "reason": reject.reason,
        "row": reject.row,
    })
    .to_string()
}
