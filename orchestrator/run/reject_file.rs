//! The rejects file of a run: lines go into it just before the commit that covers their rows, and
//! out of it again when that commit did not take place.
//!
//! Before and not after: a process that is killed between the two leaves a line too many rather
//! than a row of which nobody ever hears.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use waybill_protocol::{Error, Origin, Result};

/// Bytes of lines that wait in memory; more wait in a file without a name.
const IN_MEMORY: usize = 256 << 10;

/// Lines that are not in the file yet.
#[derive(Debug, Default)]
pub struct Lines {
    memory: Vec<u8>,
    spilled: Option<File>,
}

impl Lines {
    /// Adds a line; `folder` takes what is too much for memory.
    pub fn push(&mut self, line: &str, folder: &Path) -> io::Result<()> {
        self.memory.extend_from_slice(line.as_bytes());
        self.memory.push(b'\n');
        if self.memory.len() < IN_MEMORY {
            return Ok(());
        }
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(folder)?),
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }

    /// Adds the lines of another segment behind its own.
    pub fn append(&mut self, mut more: Lines, folder: &Path) -> io::Result<()> {
        if let Some(spilled) = &mut more.spilled {
            let file = match &mut self.spilled {
                Some(file) => file,
                none => none.insert(tempfile::tempfile_in(folder)?),
            };
            file.write_all(&self.memory)?;
            self.memory.clear();
            spilled.rewind()?;
            io::copy(spilled, file)?;
        }
        self.memory.append(&mut more.memory);
        Ok(())
    }

    fn write_to(mut self, out: &mut File) -> io::Result<()> {
        if let Some(spilled) = &mut self.spilled {
            spilled.rewind()?;
            io::copy(spilled, out)?;
        }
        out.write_all(&self.memory)
    }
}

/// Lines in the file that may have to be taken back.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// The file, created with the first line.
#[derive(Debug)]
pub struct RejectFile {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    len: u64,
    /// Number, begin and end of what may have to be taken back.
    open: Vec<(u64, u64, u64)>,
    tickets: u64,
}

impl RejectFile {
    /// The file at a path, which need not be there.
    pub fn new(path: PathBuf) -> RejectFile {
        RejectFile { path, inner: Mutex::default() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Puts lines at its end, all or none of them.
    pub fn write(&self, lines: Lines) -> Result<Ticket> {
        let mut inner = self.inner();
        let begin = inner.len;
        let written = (|| {
            if inner.file.is_none() {
                inner.file = Some(open(&self.path)?);
            }
            let Some(file) = &mut inner.file else { return Ok(begin) };
            let written = lines.write_to(file).and_then(|()| file.metadata()).map(|now| now.len());
            if written.is_err() {
                // Half a segment is worse than none: its last line would be torn.
                let _ = file.set_len(begin);
            }
            written
        })();
        let end = written.map_err(|e| self.unwritable(e))?;
        inner.tickets += 1;
        let number = inner.tickets;
        inner.len = end;
        inner.open.push((number, begin, end));
        Ok(Ticket(number))
    }

    /// What was written stays.
    pub fn keep(&self, ticket: &Ticket) {
        self.inner().open.retain(|(number, _, _)| *number != ticket.0);
    }

    /// Takes lines out again.
    pub fn take_back(&self, ticket: &Ticket) -> Result<()> {
        let mut inner = self.inner();
        let Some(at) = inner.open.iter().position(|(number, _, _)| *number == ticket.0) else {
            return Ok(());
        };
        let (_, begin, end) = inner.open.remove(at);
        self.cut(&mut inner, begin, end).map_err(|e| self.unwritable(e))?;
        for (_, from, to) in inner.open.iter_mut().filter(|(_, from, _)| *from >= end) {
            (*from, *to) = (*from - (end - begin), *to - (end - begin));
        }
        Ok(())
    }

    fn cut(&self, inner: &mut Inner, begin: u64, end: u64) -> io::Result<()> {
        if begin == 0 && end == inner.len {
            (inner.file, inner.len) = (None, 0);
            return fs::remove_file(&self.path);
        }
        if end == inner.len {
            if let Some(file) = &inner.file {
                file.set_len(begin)?;
            }
        } else {
            // Others wrote behind it: a new file, so that a kill leaves the old one or the new one.
            let mut old = File::open(&self.path)?;
            let mut fresh = tempfile::NamedTempFile::new_in(self.folder())?;
            io::copy(&mut (&old).take(begin), &mut fresh)?;
            old.seek(io::SeekFrom::Start(end))?;
            io::copy(&mut old, &mut fresh)?;
            fresh.persist(&self.path).map_err(|e| e.error)?;
            inner.file = Some(open(&self.path)?);
        }
        inner.len -= end - begin;
        Ok(())
    }

    /// The error of a file that cannot be written.
    pub fn unwritable(&self, e: io::Error) -> Error {
        Error::config(format!("cannot write the rejects file {}: {e}", self.path.display()))
            .origin(Origin::Orchestrator)
            .hint("free space or make the folder writable")
            .cause(e)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Lines {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text, Path::new("/nowhere")).unwrap());
        lines
    }

    #[test]
    fn what_is_taken_back_leaves_the_lines_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let file = RejectFile::new(path.clone());
        let tickets = ["a", "b", "c", "d"].map(|text| file.write(lines(&[text, text])).unwrap());
        file.keep(&tickets[0]);
        file.take_back(&tickets[1]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\na\nc\nc\nd\nd\n");
        file.take_back(&tickets[3]).unwrap();
        file.take_back(&tickets[2]).unwrap();
        // What is kept cannot be taken back any more.
        file.take_back(&tickets[0]).unwrap();
        let last = file.write(lines(&["e"])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\na\ne\n");
        file.keep(&last);
    }

    #[test]
    fn a_file_with_nothing_in_it_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let file = RejectFile::new(path.clone());
        let ticket = file.write(lines(&["a"])).unwrap();
        file.take_back(&ticket).unwrap();
        assert!(!path.exists());
        file.write(lines(&["b"])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
    }

    #[test]
    fn many_lines_wait_outside_memory_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = RejectFile::new(folder.path().join("r.jsonl"));
        let (mut first, mut second) = (Lines::default(), Lines::default());
        let long = "x".repeat(1000);
        for n in 0..700 {
            let half = if n < 350 { &mut first } else { &mut second };
            half.push(&format!("{n} {long}"), folder.path()).unwrap();
        }
        assert!(first.memory.len() < IN_MEMORY && first.spilled.is_some());
        first.append(second, folder.path()).unwrap();
        file.write(first).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let numbers: Vec<usize> =
            text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..700).collect::<Vec<_>>());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else lies there");
    }
}
