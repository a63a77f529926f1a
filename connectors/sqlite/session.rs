//! What the parts of a loading session share: the fence, turns at the one writer, staging tables.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use waybill_protocol::event::Body;
use waybill_protocol::{Context, Error, Kind, Origin, Result};

use super::database::{Database, LOCK_STEP, READ_WAIT, Stop, open_to_load};
use super::fault::{Doing, fault, is_busy};
use super::ledger;

/// What the run took when it began.
#[derive(Clone, Copy)]
pub(crate) struct Fence {
    /// The epoch that is ours.
    pub(crate) epoch: i64,
    /// Whether the file keeps a write-ahead log: unsynced commits are then safe from damage.
    pub(crate) wal: bool,
    /// Device and inode of the file, to notice one that was moved away or replaced.
    pub(crate) file: (u64, u64),
}

/// Rows of one slice in a staging table.
pub(crate) struct Range {
    /// The slice.
    pub(crate) slice: String,
    /// First and last rowid.
    pub(crate) rowids: (i64, i64),
    /// Whether a commit covers them.
    pub(crate) committed: bool,
}

/// A staging table of this session.
#[derive(Default)]
pub(crate) struct Stage {
    /// How it was created.
    pub(crate) ddl: String,
    /// Its rows, by slice.
    pub(crate) ranges: Vec<Range>,
    /// Whether rows were deleted from the middle, so that the ranges no longer say how many there are.
    pub(crate) thinned: bool,
}

/// A session with a database file that is loaded into.
pub(crate) struct Session {
    pub(crate) ctx: Context,
    pub(crate) path: PathBuf,
    wait: Duration,
    fence: Mutex<Option<Fence>>,
    stages: Mutex<HashMap<String, Stage>>,
    database: tokio::sync::Mutex<Option<Arc<Database>>>,
    counter: AtomicU64,
}

impl Session {
    /// A session; nothing is opened yet.
    pub(crate) fn new(ctx: Context, path: PathBuf, wait: Duration) -> Session {
        Session {
            ctx,
            path,
            wait,
            fence: Mutex::default(),
            stages: Mutex::default(),
            database: tokio::sync::Mutex::default(),
            counter: AtomicU64::new(1),
        }
    }

    /// The connection; opened now, and the file created, where that has not happened yet.
    pub(crate) async fn database(&self) -> Result<Arc<Database>> {
        self.open(true).await
    }

    /// The connection, if there is a file.
    pub(crate) async fn existing(&self) -> Result<Option<Arc<Database>>> {
        if self.database.lock().await.is_none() && !self.path.exists() {
            return Ok(None);
        }
        self.open(false).await.map(Some)
    }

    async fn open(&self, create: bool) -> Result<Arc<Database>> {
        let mut slot = self.database.lock().await;
        if let Some(open) = slot.as_ref() {
            return Ok(Arc::clone(open));
        }
        let path = self.path.clone();
        let opened = Database::open(Origin::Destination, move || open_to_load(&path, create)).await?;
        Ok(Arc::clone(slot.insert(Arc::new(opened))))
    }

    /// Closes the connection, if there is one.
    pub(crate) async fn close(&self) {
        let open = self.database.lock().await.take();
        if let Some(open) = open {
            open.close().await;
        }
    }

    /// A number of its own within the session.
    pub(crate) fn number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers the fence that was taken, in place of one whose answer was lost.
    pub(crate) fn begun(&self, fence: Fence) {
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = Some(fence);
    }

    /// The fence.
    pub(crate) fn fence(&self) -> Result<Fence> {
        let fence = *self.fence.lock().unwrap_or_else(PoisonError::into_inner);
        fence.ok_or_else(|| Error::internal("begin was not called"))
    }

    /// The staging tables of this session, by stream.
    pub(crate) fn stages(&self) -> MutexGuard<'_, HashMap<String, Stage>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Device and inode of the file now.
    pub(crate) fn file(&self) -> Result<(u64, u64)> {
        let found = std::fs::metadata(&self.path).map(|m| (m.dev(), m.ino()));
        found.map_err(|e| self.file_gone().cause(e))
    }

    fn file_gone(&self) -> Error {
        Error::new(Kind::Destination, format!("{} was moved away or replaced", self.path.display()))
            .origin(Origin::Destination)
            .hint("leave the file in its place while a run loads into it, then run again")
    }

    /// Tries something that another process's lock may hold up, until it works or the wait is over.
    pub(crate) fn patiently<T>(
        &self,
        conn: &Connection,
        stop: &Stop,
        mut attempt: impl FnMut() -> rusqlite::Result<T>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut announced = false;
        // SQLite waits in steps, so that a caller who goes away is noticed.
        conn.busy_timeout(LOCK_STEP).loading("set the wait for locks")?;
        let done = loop {
            stop.check()?;
            match attempt() {
                Err(e) if is_busy(&e) && started.elapsed() < self.wait => {
                    if !announced && started.elapsed() >= Duration::from_secs(1) {
                        announced = true;
                        self.waited(started, "waiting for another process's lock");
                    }
                    // SQLite has waited one step by now, unless it saw a deadlock.
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other,
            }
        };
        conn.busy_timeout(READ_WAIT).loading("set the wait for locks")?;
        if started.elapsed() > Duration::from_millis(100) {
            self.waited(started, "waited for another process's lock");
        }
        done.map_err(|e| self.busy(e))
    }

    /// Begins a write transaction; waits for another process's and says so.
    pub(crate) fn turn<'c>(&self, conn: &'c Connection, stop: &Stop) -> Result<Transaction<'c>> {
        self.patiently(conn, stop, || Transaction::new_unchecked(conn, TransactionBehavior::Immediate))
    }

    fn waited(&self, started: Instant, message: &str) {
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let lock = self.path.display().to_string();
        self.ctx.events.info(Body::LockWaited { lock, ms }, format!("{message}: {ms} ms"));
    }

    fn busy(&self, error: rusqlite::Error) -> Error {
        let doing = format!("write to {}", self.path.display());
        let busy = is_busy(&error);
        let error = fault(Origin::Destination, &doing, error);
        if busy { error.context(format!("waited {} s", self.wait.as_secs_f64())) } else { error }
    }

    /// Begins a write transaction under the fence.
    pub(crate) fn fenced<'c>(&self, conn: &'c Connection, stop: &Stop) -> Result<Transaction<'c>> {
        let fence = self.fence()?;
        if self.file()? != fence.file {
            return Err(self.file_gone());
        }
        let turn = self.turn(conn, stop)?;
        ledger::check_fence(&turn, &self.ctx.connection_id, fence.epoch)?;
        Ok(turn)
    }

    /// Commits. In a file without write-ahead log readers may hold the commit up.
    pub(crate) fn finish(&self, turn: Transaction<'_>, stop: &Stop) -> Result<()> {
        // Nobody waits any more: nothing takes place behind the caller's back.
        stop.check()?;
        match turn.execute_batch("COMMIT") {
            Err(e) if is_busy(&e) => self.patiently(&turn, stop, || turn.execute_batch("COMMIT")),
            other => other.map_err(|e| self.busy(e)),
        }
    }

    /// Does `work` without waiting for the disk: for staged rows, which the next commit makes durable.
    pub(crate) fn relaxed<T>(&self, conn: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.fence()?.wal {
            return work();
        }
        conn.execute_batch("PRAGMA synchronous=NORMAL").loading("relax synchronous")?;
        let done = work();
        conn.execute_batch("PRAGMA synchronous=FULL").loading("restore synchronous")?;
        done
    }
}
