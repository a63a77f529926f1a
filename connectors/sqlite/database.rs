//! A SQLite connection on a thread of its own, with calls that can be given up.
//!
//! Work is sent as closures and done one after another. A caller that goes away (dropped future,
//! cancelled run) interrupts its own work and nobody else's; SQLite then rolls back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Context, Error, Kind, Origin, Result};

use super::fault::{Doing, fault};
use crate::deadline::exceeded;

/// How long SQLite itself waits for a lock before the caller looks whether to go on.
pub(crate) const LOCK_STEP: Duration = Duration::from_millis(100);

/// How long SQLite waits for a lock that a read meets.
pub(crate) const READ_WAIT: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

enum Job {
    Work(Work),
    End,
}

/// Whether the work under way has been given up; loops outside SQLite look at it.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Fails once the caller is gone.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::cancelled()) } else { Ok(()) }
    }
}

struct Shared {
    /// Number of the call whose work is under way; 0 for none.
    running: Mutex<u64>,
    stop: Stop,
    interrupt: InterruptHandle,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, u64> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection and its thread; the thread ends when this is dropped.
pub(crate) struct Database {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    next: std::sync::atomic::AtomicU64,
    origin: Origin,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Database {
    /// Starts the thread and opens the connection on it.
    pub(crate) async fn open(
        origin: Origin,
        open: impl FnOnce() -> Result<Connection> + Send + 'static,
    ) -> Result<Database> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let (over, ended) = oneshot::channel();
        let stop = Stop::default();
        let watched = stop.clone();
        std::thread::Builder::new()
            .name("sqlite".into())
            .spawn(move || {
                match open() {
                    Ok(mut conn) => {
                        // An interrupt is lost between two statements; this one is not.
                        let ready = conn.progress_handler(4_000, Some(move || watched.check().is_err()));
                        let handle = ready.map(|()| conn.get_interrupt_handle());
                        let handle = handle.map_err(|e| fault(origin, "open the database", e));
                        if opened.send(handle).is_ok() {
                            while let Ok(Job::Work(work)) = queue.recv() {
                                work(&mut conn);
                            }
                        }
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
                let _ = over.send(());
            })
            .map_err(|e| Error::new(Kind::Internal, "no thread for SQLite could be started").cause(e))?;
        let interrupt = answer.await.map_err(|_| thread_ended())??;
        let shared = Arc::new(Shared { running: Mutex::new(0), stop, interrupt });
        let next = std::sync::atomic::AtomicU64::new(1);
        Ok(Database { jobs, shared, next, origin, ended: Mutex::new(Some(ended)) })
    }

    /// Runs `work` on the connection. Given up (dropped, or `cancel` set), it is interrupted.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(&mut Connection, &Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.until(cancel, std::future::pending(), work).await.map_err(|ended| ended.error)
    }

    /// The same for a bounded query: at the deadline SQLite itself is told to end it.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        ctx: &Context,
        work: impl FnOnce(&mut Connection, &Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let deadline = tokio::time::sleep(ctx.deadlines.query);
        self.until(&ctx.cancel, deadline, work).await.map_err(|ended| match ended.overdue {
            false => ended.error,
            true => {
                let words = ended.error.causes().pop().unwrap_or_else(|| "interrupted".to_owned());
                exceeded(ctx).origin(self.origin).cause(words)
            }
        })
    }

    /// Runs `work`, and interrupts it once `deadline` ends.
    async fn until<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        deadline: impl Future<Output = ()>,
        work: impl FnOnce(&mut Connection, &Stop) -> Result<T> + Send + 'static,
    ) -> Result<T, Broken> {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let given_up = Arc::new(AtomicBool::new(false));
        let (shared, unwanted) = (Arc::clone(&self.shared), Arc::clone(&given_up));
        self.send(Box::new(move |conn| {
            {
                let mut running = shared.running();
                if unwanted.load(Ordering::Relaxed) {
                    return;
                }
                *running = ticket;
            }
            let result = work(conn, &shared.stop);
            {
                let mut running = shared.running();
                *running = 0;
                shared.stop.0.store(false, Ordering::Relaxed);
            }
            drop(reply.send(result));
        }))?;
        let mut guard = GiveUp { shared: &self.shared, ticket, given_up: &given_up, armed: true };
        let mut overdue = false;
        tokio::pin!(answer, deadline);
        let result = loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Error::cancelled().origin(self.origin).into()),
                result = &mut answer => break result,
                () = &mut deadline, if !overdue => {
                    overdue = true;
                    guard.interrupt();
                }
            }
        };
        guard.armed = false;
        match result {
            Ok(Ok(done)) => Ok(done),
            // It came to its end with an error of its own.
            Ok(Err(error)) if error.kind() != Kind::Cancelled => Err(error.origin(self.origin).into()),
            Ok(Err(error)) => Err(Broken { error: error.origin(self.origin), overdue }),
            // It was never begun, since work before it does not end.
            Err(_) if overdue => Err(Broken { error: Error::cancelled().origin(self.origin), overdue }),
            Err(_) => Err(thread_ended().into()),
        }
    }

    /// Sends work whose end nobody waits for.
    pub(crate) fn post(&self, work: impl FnOnce(&mut Connection) + Send + 'static) {
        drop(self.send(Box::new(work)));
    }

    fn send(&self, work: Work) -> Result<()> {
        self.jobs.send(Job::Work(work)).map_err(|_| thread_ended())
    }

    /// Closes the connection and waits until that is done.
    pub(crate) async fn close(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(self.jobs.send(Job::End));
        if let Some(ended) = ended {
            drop(ended.await);
        }
    }
}

/// Interrupts the work of one call when it is dropped.
struct GiveUp<'a> {
    shared: &'a Shared,
    ticket: u64,
    given_up: &'a AtomicBool,
    armed: bool,
}

impl GiveUp<'_> {
    fn interrupt(&self) {
        let running = self.shared.running();
        self.given_up.store(true, Ordering::Relaxed);
        if *running == self.ticket {
            self.shared.stop.0.store(true, Ordering::Relaxed);
            self.shared.interrupt.interrupt();
        }
    }
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.interrupt();
        }
    }
}

/// How a call ended without an answer.
struct Broken {
    error: Error,
    /// Whether the deadline had passed, and ended it.
    overdue: bool,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken { error, overdue: false }
    }
}

fn thread_ended() -> Error {
    Error::internal("the thread of a SQLite connection ended early")
}

/// Opens a file for reading only; it has to exist. `limit` is that of a query: a lock is not waited
/// for any longer, since nothing interrupts that.
pub(crate) fn open_to_read(path: &Path, limit: Duration) -> Result<Connection> {
    if let Err(e) = std::fs::metadata(path) {
        let kind =
            if e.kind() == std::io::ErrorKind::PermissionDenied { Kind::Permission } else { Kind::NotFound };
        return Err(Error::new(kind, format!("{}: {e}", path.display()))
            .origin(Origin::Source)
            .hint("correct `path`; a relative one starts at the project folder")
            .cause(e));
    }
    refuse_folder(path, Origin::Source)?;
    let doing = format!("open {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).reading(&doing)?;
    conn.busy_timeout(READ_WAIT.min(limit)).reading(&doing)?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).reading(&doing)?;
    Ok(conn)
}

/// Opens a file for loading; creates it, and its folder, where `create` says so.
pub(crate) fn open_to_load(path: &Path, create: bool) -> Result<Connection> {
    refuse_folder(path, Origin::Destination)?;
    let doing = format!("open {}", path.display());
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::new(Kind::Permission, format!("create the folder {}: {e}", folder.display()))
                    .origin(Origin::Destination)
                    .hint("create it yourself, or give another `path`")
                    .cause(e)
            })?;
        }
    }
    let conn = Connection::open_with_flags(path, flags).loading(&doing)?;
    conn.busy_timeout(READ_WAIT).loading(&doing)?;
    // Foreign keys between loaded tables are the source's business: rows come in no order.
    conn.execute_batch("PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=ON; PRAGMA cache_size=-8000;")
        .loading(&doing)?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).loading(&doing)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn refuse_folder(path: &Path, origin: Origin) -> Result<()> {
    if path.is_dir() {
        return Err(Error::config(format!("{} is a folder, not a database file", path.display()))
            .origin(origin)
            .hint("give the path of a file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDLESS: &str =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

    async fn memory() -> Database {
        Database::open(Origin::Source, || Connection::open_in_memory().reading("open")).await.unwrap()
    }

    #[tokio::test]
    async fn a_dropped_call_interrupts_its_own_work_only() {
        let db = memory().await;
        let cancel = CancellationToken::new();
        let endless =
            db.call(&cancel, |conn, _| conn.query_row(ENDLESS, [], |r| r.get::<_, i64>(0)).reading("count"));
        assert!(tokio::time::timeout(Duration::from_millis(100), endless).await.is_err());
        let next = db
            .call(&cancel, |conn, _| conn.query_row("SELECT 7", [], |r| r.get::<_, i64>(0)).reading("seven"));
        let next =
            tokio::time::timeout(Duration::from_secs(5), next).await.expect("the thread is free again");
        assert_eq!(next.unwrap(), 7);
    }

    #[tokio::test]
    async fn cancelling_the_run_ends_a_call() {
        let db = memory().await;
        let cancel = CancellationToken::new();
        let (token, waiting) = (
            cancel.clone(),
            db.call(&cancel, |conn, _| conn.query_row(ENDLESS, [], |r| r.get::<_, i64>(0)).reading("count")),
        );
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            token.cancel();
        });
        let error = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
        tokio::time::timeout(Duration::from_secs(5), db.close()).await.expect("closed at once");
    }
}
