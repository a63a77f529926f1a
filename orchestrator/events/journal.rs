//! The file of an event log: whole lines only, and the truth about whether it has them all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines kept for later while the disk takes none.
const BACKLOG_BYTES: usize = 4 << 20;
/// Time between two tries to write them.
const RETRY: Duration = Duration::from_millis(250);

/// Why the log on disk is not whole, while it is not.
#[derive(Debug, Clone, Default)]
pub(super) struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    pub(super) fn failure(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, failure: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// An open event log.
///
/// A line that cannot be written is cut away again and kept; once there is room the log catches
/// up without a gap. When too much has piled up the log ends where it is and stays failed.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    health: Health,
    /// Bytes of whole lines on disk.
    good: u64,
    /// Whether part of a line may stand behind them.
    torn: bool,
    backlog: Vec<u8>,
    /// When to try again to write it.
    retry_at: Instant,
    lost: bool,
}

impl Journal {
    /// Creates the file, and its folder where it is missing. A log that has lines already is an
    /// error: a run never writes into the record of another.
    pub(super) fn create(path: &Path, health: Health) -> io::Result<Journal> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let known = file.metadata()?;
        if known.is_file() && known.len() > 0 {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it has lines of an earlier run"));
        }
        let journal = Journal {
            file,
            path: path.to_owned(),
            health,
            good: 0,
            torn: false,
            backlog: Vec::new(),
            retry_at: Instant::now(),
            lost: false,
        };
        if known.is_file() {
            sync_folder(path)?;
        }
        Ok(journal)
    }

    /// Writes one whole line, after those that still wait.
    pub(super) fn write(&mut self, line: &[u8]) {
        if self.lost {
            return;
        }
        if self.backlog.is_empty() {
            if let Err(error) = self.append(line) {
                self.keep(line, &error);
            }
            return;
        }
        self.backlog.extend_from_slice(line);
        if self.backlog.len() > BACKLOG_BYTES || Instant::now() >= self.retry_at {
            self.catch_up();
        }
    }

    /// Writes what still waits, if there is room now.
    pub(super) fn catch_up(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        let backlog = std::mem::take(&mut self.backlog);
        match self.append(&backlog) {
            Ok(()) => self.health.set(None),
            Err(error) => self.keep(&backlog, &error),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.good += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Where the part cannot be cut away, readers find it as one bad line.
                self.torn = self.file.set_len(self.good).is_err();
                Err(error)
            }
        }
    }

    fn keep(&mut self, bytes: &[u8], error: &io::Error) {
        self.lost = bytes.len() > BACKLOG_BYTES;
        self.backlog = if self.lost { Vec::new() } else { bytes.to_vec() };
        self.retry_at = Instant::now() + RETRY;
        self.fail("write", error);
    }

    fn fail(&self, what: &str, error: &io::Error) {
        self.health.set(Some(format!("cannot {what} the event log {}: {error}", self.path.display())));
    }

    /// Puts everything written so far on the disk itself.
    pub(super) fn sync(&mut self) {
        self.catch_up();
        if self.health.failure().is_none()
            && let Err(error) = self.file.sync_data()
        {
            // The kernel forgets what it could not write: no later sync would tell.
            self.lost = true;
            self.fail("sync", &error);
        }
    }
}

/// Makes the entry of a new file durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_remembered_and_the_log_catches_up_without_a_gap() {
        let health = Health::default();
        let mut journal = Journal::create(Path::new("/dev/full"), health.clone()).unwrap();
        journal.write(b"{\"a\":1}\n");
        journal.write(b"{\"a\":2}\n");
        let failure = health.failure().unwrap();
        assert!(failure.starts_with("cannot write the event log /dev/full: No space left"), "{failure}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        journal.file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        journal.torn = false;
        journal.write(b"{\"a\":3}\n");
        journal.catch_up();
        assert_eq!(health.failure(), None);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    }

    #[test]
    fn a_log_that_lost_lines_stays_failed() {
        let health = Health::default();
        let mut journal = Journal::create(Path::new("/dev/full"), health.clone()).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..6 {
            journal.write(&line);
        }
        assert!(journal.lost && journal.backlog.is_empty());
        journal.sync();
        assert!(health.failure().is_some());
    }

    #[test]
    fn the_record_of_another_run_is_never_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/log");
        Journal::create(&path, Health::default()).unwrap().write(b"x\n");
        let error = Journal::create(&path, Health::default()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
