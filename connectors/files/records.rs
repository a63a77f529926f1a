//! A file cut into records, each with the line it begins at, in memory bounded by one record.

use std::ops::Range;

use memchr::memchr;
use waybill_protocol::{Error, Result};

use super::csv::{Slip, Span, Splitter, Step};
use super::faults::Flaw;
use super::input::Input;
use super::options::{Format, Layout};

/// How much is read at a time.
const CHUNK: usize = 512 << 10;
/// A longer record is an error: most likely a quote that is never closed.
const MAX_RECORD: usize = 256 << 20;

/// One record, as a place in the buffer: valid until the next one is asked for.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Its bytes in the buffer, without its line end.
    pub body: Range<usize>,
    /// The line it begins at, from 1.
    pub line: u64,
    /// Whether it has a line end.
    pub ended: bool,
    /// What is wrong with how it is written.
    pub slip: Option<Slip>,
}

/// Reads the records of one file.
pub(super) struct Records {
    /// The file.
    pub input: Input,
    split: Option<Splitter>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    eof: bool,
    fields: Vec<Span>,
    /// The line after the last record.
    pub line: u64,
    /// Bytes of content up to the end of the last record.
    pub offset: u64,
    /// Leave a last record without line end where it is.
    wait: bool,
    /// Bytes of such a record.
    pub torn: u64,
    /// The longest record.
    limit: usize,
}

impl Records {
    /// Records of `input`, which stands behind `line` lines; with `wait` a last record without
    /// line end is not read.
    pub(super) fn new(input: Input, layout: &Layout, line: u64, wait: bool) -> Result<Records> {
        let split = (layout.format == Format::Csv).then(|| Splitter::new(layout.delimiter, layout.quote));
        let (buffer, fields) = (Vec::new(), Vec::new());
        let line = line + 1;
        let mut records = Records {
            input,
            split,
            buffer,
            start: 0,
            end: 0,
            eof: false,
            fields,
            line,
            offset: 0,
            wait,
            torn: 0,
            limit: MAX_RECORD,
        };
        if line == 1 {
            records.skip_mark()?;
        }
        Ok(records)
    }

    /// Steps over a byte-order mark.
    fn skip_mark(&mut self) -> Result<()> {
        self.fill()?;
        match self.window() {
            [0xEF, 0xBB, 0xBF, ..] => self.consume(3),
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
                return Err(Error::data(format!("{}: written in UTF-16, not in UTF-8", self.input.shown))
                    .hint("convert it: iconv -f UTF-16 -t UTF-8"));
            }
            _ => {}
        }
        Ok(())
    }

    fn window(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Adds as much again as is there, at least a chunk: a long record is looked at a few times only.
    fn fill(&mut self) -> Result<()> {
        let held = self.end - self.start;
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, held);
        let want = held + held.max(CHUNK);
        if want < self.buffer.len() / 16 {
            self.buffer.truncate(want);
            self.buffer.shrink_to_fit();
        }
        self.buffer.resize(want.max(self.buffer.len()), 0);
        let space = self.buffer.get_mut(held..want).unwrap_or_default();
        let wanted = space.len();
        let read = self.input.fill(space)?;
        self.end += read;
        self.eof = read < wanted;
        Ok(())
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        loop {
            let window = self.buffer.get(self.start..self.end).unwrap_or_default();
            if window.is_empty() && self.eof {
                return Ok(None);
            }
            let step = match &self.split {
                Some(splitter) => splitter.next(window, self.eof, &mut self.fields),
                None => line_of(window, self.eof),
            };
            match step {
                Step::Record { ended: false, .. } | Step::OpenQuote(_) if self.wait => {
                    self.torn = (self.end - self.start) as u64;
                    return Ok(None);
                }
                Step::Record { body, len, lines, ended, slip } => {
                    let record = Record { body: self.start..self.start + body, line: self.line, ended, slip };
                    self.consume(len);
                    self.line += lines;
                    return Ok(Some(record));
                }
                Step::OpenQuote(lines) => return Err(self.open_quote(lines)),
                Step::More(quote) if window.len() >= self.limit => {
                    return Err(match quote {
                        Some(lines) => self.open_quote(lines),
                        None => Error::data(format!(
                            "{}:{}: a line longer than {} MiB",
                            self.input.shown,
                            self.line,
                            self.limit >> 20
                        ))
                        .hint("look whether the file is of the format that the stream says"),
                    });
                }
                Step::More(_) => self.fill()?,
            }
        }
    }

    fn open_quote(&self, lines: u64) -> Error {
        let line = self.line + lines;
        Error::data(format!("{}:{line}: the quote that opens here is never closed", self.input.shown)).hint(
            "close the quote in the file, or set quote to the character that the file uses (empty for none)",
        )
    }

    /// The bytes of a record.
    pub(super) fn bytes(&self, record: &Record) -> &[u8] {
        self.buffer.get(record.body.clone()).unwrap_or_default()
    }

    /// The fields of the last record (CSV), as places in its bytes.
    pub(super) fn fields(&self) -> &[Span] {
        &self.fields
    }

    /// What makes a record unreadable whatever its columns: how it is written, NUL, not UTF-8.
    pub(super) fn flaw(&self, record: &Record) -> Option<Flaw> {
        let reason = match record.slip {
            Some(Slip::AfterQuote) => "text follows a closing quote",
            Some(Slip::LoneReturn) => "a carriage return outside quotes that ends no line",
            Some(Slip::TooManyFields) => "more than 65536 fields",
            None => {
                let bytes = self.bytes(record);
                if memchr(0, bytes).is_some() {
                    "a NUL byte, which no destination can hold in text"
                } else if std::str::from_utf8(bytes).is_err() {
                    "not valid UTF-8"
                } else {
                    return None;
                }
            }
        };
        Some(Flaw::row(reason))
    }
}

fn line_of(window: &[u8], eof: bool) -> Step {
    let (mut body, len, ended) = match memchr(b'\n', window) {
        Some(at) => (at, at + 1, true),
        None if eof => (window.len(), window.len(), false),
        None => return Step::More(None),
    };
    if ended && window.get(..body).is_some_and(|line| line.last() == Some(&b'\r')) {
        body -= 1;
    }
    Step::Record { body, len, lines: u64::from(ended), ended, slip: None }
}

#[cfg(test)]
mod tests {
    use super::super::listing::Found;
    use super::*;

    #[test]
    fn a_record_without_end_is_refused_before_it_fills_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = Found { rel: "a".into(), shown: "a".into(), path: path.clone() };
        for (format, content, want) in [
            ("a.csv", "h\n1\n\"", "a:3: the quote that opens here is never closed"),
            ("a.csv", "h\n1\n", "a:3: a line longer than 2 MiB"),
            ("a.jsonl", "{}\n", "a:2: a line longer than 2 MiB"),
        ] {
            std::fs::write(&path, format!("{content}{}", "x".repeat(6 << 20))).unwrap();
            let layout = Layout::of_file(format).unwrap();
            let input = Input::open(&file, layout.compression, false, &Default::default()).unwrap();
            let mut records = Records::new(input, &layout, 0, false).unwrap();
            records.limit = 2 << 20;
            let error = loop {
                match records.next() {
                    Ok(record) => assert!(record.is_some(), "read to the end"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.message(), want);
            assert!(records.buffer.len() < 5 << 20, "{}", records.buffer.len());
        }
    }
}
