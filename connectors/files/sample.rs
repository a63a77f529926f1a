//! Inference over the beginning of each file.

use std::borrow::Cow;
use std::collections::HashMap;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result};

use super::faults::Flaw;
use super::guess::Guess;
use super::input::Input;
use super::listing::Found;
use super::options::{Format, Layout};
use super::records::{Record, Records};
use super::table::{FILE_COLUMN, LINE_COLUMN, clash};
use super::{fields, header, jsonl};

/// How much of a file is looked at, unpacked.
pub(super) const SAMPLE_BYTES: u64 = 16 << 20;

/// The columns of a stream as its files have them so far.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Names, in the order in which they came, and what their values were.
    pub seen: Vec<(String, Guess)>,
    index: HashMap<String, usize>,
}

impl Columns {
    fn note(&mut self, name: &str, guess: &Guess) {
        let index = match self.index.get(name) {
            Some(index) => *index,
            None => {
                self.index.insert(name.to_owned(), self.seen.len());
                self.seen.push((name.to_owned(), Guess::default()));
                self.seen.len() - 1
            }
        };
        if let Some((_, known)) = self.seen.get_mut(index) {
            known.merge(guess);
        }
    }

    /// Whether a file had the column.
    pub(super) fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }
}

/// How much a sample is of its file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    /// Rows that were looked at.
    pub rows: u64,
    /// Bytes on disk that hold them.
    pub bytes: u64,
    /// Bytes on disk of the whole file.
    pub size: u64,
}

/// Looks at the beginning of a file. Rows that could not be loaded do not count.
pub(super) fn sample(
    file: &Found,
    layout: &Layout,
    columns: &mut Columns,
    cancel: &CancellationToken,
) -> Result<Extent> {
    let input = Input::open(file, layout.compression, false, cancel)?;
    let mut records = Records::new(input, layout, 0, layout.on_change == super::OnChange::Tail)?;
    let rows = match layout.format {
        Format::Csv => csv(&mut records, layout, columns)?,
        Format::Jsonl => jsonl(&mut records, &file.shown, columns)?,
    };
    for (made, name) in [(layout.file_column, FILE_COLUMN), (layout.line_column, LINE_COLUMN)] {
        if made && columns.has(name) {
            return Err(clash(name, &file.shown));
        }
    }
    // Of a packed file more may have been read than was looked at: an estimate needs no more.
    let bytes = if records.input.packed() { records.input.raw_bytes() } else { records.offset };
    Ok(Extent { rows, bytes, size: records.input.stamp.size })
}

fn csv(records: &mut Records, layout: &Layout, columns: &mut Columns) -> Result<u64> {
    let Some(header) = header::read(records, layout)? else { return Ok(0) };
    let names = header.names;
    names.iter().for_each(|name| columns.note(name, &Guess::default()));
    if names.iter().all(|name| layout.types.contains_key(name)) {
        return Ok(0);
    }
    let (mut rows, mut scratch) = (0, Vec::new());
    let mut guesses = vec![Guess::default(); names.len()];
    let mut next = header.first;
    while records.offset < SAMPLE_BYTES || next.is_some() {
        let Some(record) = (match next.take() {
            Some(first) => Some(first),
            None => records.next()?,
        }) else {
            break;
        };
        let found = records.fields().len();
        if records.flaw(&record).is_some() || found != names.len() {
            continue;
        }
        rows += 1;
        let guess = |index: usize, cell: &super::cell::Cell<'_>| -> Result<(), Flaw> {
            if let Some(guess) = guesses.get_mut(index) {
                guess.add(cell);
            }
            Ok(())
        };
        let _ = fields::each(records.bytes(&record), records.fields(), layout, &mut scratch, guess);
    }
    names.iter().zip(&guesses).for_each(|(name, guess)| columns.note(name, guess));
    Ok(rows)
}

fn jsonl(records: &mut Records, shown: &str, columns: &mut Columns) -> Result<u64> {
    let (mut rows, mut first_bad) = (0, None);
    while records.offset < SAMPLE_BYTES {
        let Some(record) = records.next()? else { break };
        if json_row(records, &record, columns) {
            rows += 1;
        } else if record.ended {
            first_bad.get_or_insert(record.line);
        }
    }
    match first_bad {
        // Nothing tells the columns: what is wrong is the line, not the selection.
        Some(line) if rows == 0 => Err(Error::data(format!("{shown}:{line}: no line holds a JSON object"))
            .hint("a JSONL file has one JSON object a line: mend the file, or set format")),
        _ => Ok(rows),
    }
}

fn json_row(records: &Records, record: &Record, columns: &mut Columns) -> bool {
    if records.flaw(record).is_some() {
        return false;
    }
    let Ok(line) = std::str::from_utf8(records.bytes(record)) else { return false };
    let mut scratch = String::new();
    let mut members: Vec<(Cow<'_, str>, Guess)> = Vec::new();
    let read = jsonl::members(line, &mut |name, raw| {
        let mut guess = Guess::default();
        guess.add(&jsonl::cell(raw, &mut scratch).map_err(Flaw::row)?);
        members.push((name, guess));
        Ok(())
    });
    if read.is_err() || members.iter().any(|(name, _)| name.is_empty()) {
        return false;
    }
    members.iter().for_each(|(name, guess)| columns.note(name, guess));
    true
}
