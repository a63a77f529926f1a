//! Reading a log line by line, whatever a killed process, a full disk or an editor left in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use super::line::Line;

/// The longest line that is read; a longer one is bad and passed over.
const LONGEST: u64 = 16 << 20;

/// What a log holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A line.
    Line(Box<Line>),
    /// The end of a log whose last line was not written whole.
    Torn {
        /// Where it begins, bytes from the start of the file.
        offset: u64,
        /// How much of it there is, bytes.
        text_len: u64,
    },
    /// A whole line that is no event.
    Bad {
        /// Its number in the file, from 1.
        line_no: u64,
        /// Why, in a few words.
        why: String,
    },
}

/// The same before its lines are parsed, which most readers of a long log need of few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line without its line feed; it need not be an event.
    Line {
        /// Its number in the file, from 1.
        line_no: u64,
        /// What it says.
        bytes: &'a [u8],
    },
    /// As [`Entry::Torn`].
    Torn {
        /// Where it begins, bytes from the start of the file.
        offset: u64,
        /// How much of it there is, bytes.
        text_len: u64,
    },
    /// As [`Entry::Bad`].
    Bad {
        /// Its number in the file, from 1.
        line_no: u64,
        /// Why, in a few words.
        why: String,
    },
}

impl Piece<'_> {
    /// The piece, parsed.
    pub fn entry(self) -> Entry {
        match self {
            Piece::Line { line_no, bytes } => match Line::parse(bytes) {
                Ok(line) => Entry::Line(Box::new(line)),
                Err(why) => Entry::Bad { line_no, why },
            },
            Piece::Torn { offset, text_len } => Entry::Torn { offset, text_len },
            Piece::Bad { line_no, why } => Entry::Bad { line_no, why },
        }
    }
}

/// Keeps a line in a place that held another one, so that passing over millions allocates nothing.
pub fn keep(place: &mut Vec<u8>, line: &[u8]) {
    place.clear();
    place.extend_from_slice(line);
}

/// Bytes that are read from the disk at once.
const CHUNK: usize = 256 << 10;

/// The entries of a log, one after the other, in memory bounded by one line.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    offset: u64,
    line_no: u64,
    done: bool,
    failed: Option<io::Error>,
}

impl Reader<BufReader<File>> {
    /// Opens a log.
    pub fn open(path: &Path) -> io::Result<Reader<BufReader<File>>> {
        Ok(Reader::new(BufReader::with_capacity(CHUNK, File::open(path)?)))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads a log from anything.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, buffer: Vec::new(), offset: 0, line_no: 0, done: false, failed: None }
    }

    fn bad(&self, why: impl Into<String>) -> Piece<'static> {
        Piece::Bad { line_no: self.line_no, why: why.into() }
    }

    /// The next piece, blank lines passed over; `None` at the end. Lines are not parsed, but for a
    /// last one without its line feed: only so is it known whether it is whole.
    pub fn piece(&mut self) -> Option<Piece<'_>> {
        if self.done {
            return None;
        }
        let start = loop {
            self.buffer.clear();
            self.line_no += 1;
            let start = self.offset;
            let read = match self.input.by_ref().take(LONGEST).read_until(b'\n', &mut self.buffer) {
                Ok(read) => read as u64,
                Err(error) => {
                    self.done = true;
                    let why = format!("it cannot be read: {error}");
                    self.failed = Some(error);
                    return Some(self.bad(why));
                }
            };
            self.offset += read;
            if read == 0 {
                self.done = true;
                return None;
            }
            if self.buffer.last() != Some(&b'\n') && read == LONGEST {
                return Some(self.overlong());
            }
            if self.buffer.last() != Some(&b'\n') || !self.buffer.trim_ascii().is_empty() {
                break start;
            }
        };
        if let Some(line) = self.buffer.strip_suffix(b"\n") {
            return Some(Piece::Line { line_no: self.line_no, bytes: line });
        }
        self.done = true;
        Some(match Line::parse(&self.buffer) {
            Ok(_) => Piece::Line { line_no: self.line_no, bytes: &self.buffer },
            Err(_) => Piece::Torn { offset: start, text_len: self.offset - start },
        })
    }

    /// What kept the rest of the log from being read, for whoever passes over what is no line.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// The next entry of those that are wanted; a whole line that is not is passed over unparsed.
    pub fn next_wanted(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Entry> {
        loop {
            match self.piece()? {
                Piece::Line { bytes, .. } if !wanted(bytes) => {}
                piece => return Some(piece.entry()),
            }
        }
    }

    /// Passes over the rest of a line that is too long.
    fn overlong(&mut self) -> Piece<'static> {
        loop {
            let (used, ended) = match self.input.fill_buf() {
                Ok([]) => (0, true),
                Ok(bytes) => match bytes.iter().position(|byte| *byte == b'\n') {
                    Some(at) => (at + 1, true),
                    None => (bytes.len(), false),
                },
                Err(_) => (0, true),
            };
            self.input.consume(used);
            self.offset += used as u64;
            if ended {
                return self.bad(format!("it is longer than {} MiB", LONGEST >> 20));
            }
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.piece().map(Piece::entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64) -> String {
        format!(
            "{{\"v\":1,\"seq\":{seq},\"ts\":\"2026-01-02T03:04:05.000001Z\",\"t_ms\":{seq},\"level\":\"info\",\"event\":\"phase.started\",\"run_id\":\"r\",\"connection\":\"c\",\"message\":\"é {seq}\",\"data\":{{}}}}\n"
        )
    }

    #[test]
    fn a_log_cut_off_at_any_byte_is_read_up_to_there() {
        let log: String = (1..=3).map(line).collect();
        let ends: Vec<usize> = log.match_indices('\n').map(|(at, _)| at).collect();
        for cut in 0..=log.len() {
            let entries: Vec<Entry> = Reader::new(&log.as_bytes()[..cut]).collect();
            // A line is there as soon as its last brace is, its line feed or not.
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let lines: Vec<u64> = entries
                .iter()
                .filter_map(|entry| match entry {
                    Entry::Line(line) => Some(line.seq),
                    _ => None,
                })
                .collect();
            assert_eq!(lines, (1..=whole as u64).collect::<Vec<_>>(), "cut at {cut}");
            let begun = if whole == 0 { 0 } else { ends[whole - 1] + 1 };
            if cut > begun {
                let torn = Entry::Torn { offset: begun as u64, text_len: (cut - begun) as u64 };
                assert_eq!(entries.last(), Some(&torn), "cut at {cut}");
            } else {
                assert_eq!(entries.len(), whole, "cut at {cut}");
            }
        }
    }

    #[test]
    fn bad_lines_are_passed_over_and_counted() {
        let mut log = line(1).into_bytes();
        log.extend_from_slice(b"\n{\"half\": \n\xff\xfe\n");
        log.extend_from_slice(line(2).as_bytes());
        log.extend_from_slice(&vec![b'x'; (LONGEST + 5) as usize]);
        log.push(b'\n');
        log.extend_from_slice(line(3).as_bytes());
        log.extend_from_slice(&[0; 512]);
        let entries: Vec<Entry> = Reader::new(log.as_slice()).collect();
        let shape: Vec<String> = entries
            .iter()
            .map(|entry| match entry {
                Entry::Line(line) => format!("line {}", line.seq),
                Entry::Torn { text_len, .. } => format!("torn {text_len}"),
                Entry::Bad { line_no, .. } => format!("bad {line_no}"),
            })
            .collect();
        assert_eq!(shape, ["line 1", "bad 3", "bad 4", "line 2", "bad 6", "line 3", "torn 512"]);
    }
}
