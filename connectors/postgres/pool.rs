//! The connections of one role of a run: at most so many, shared by everything that it does.
//!
//! Whoever works with a connection holds a place. A connection is made only with a place in hand
//! and no idle one left, so that the idle ones and the ones at work are never more than the places.
//! Nobody holds a place while waiting for a second one. Who loads holds a seat as well, from before
//! the first row is read: rows that wait for a connection would use up the bytes that the rows of
//! those need which have one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use waybill_protocol::event::Body;
use waybill_protocol::{Context, Error, Result};

use super::link::Live;

/// A wait that takes longer than this is worth an event.
const NOTICEABLE: Duration = Duration::from_millis(100);
/// One that takes as long as this is said while it lasts.
const LASTING: Duration = Duration::from_secs(1);

/// A place in the pool, free again when dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// The pool.
pub(super) struct Pool {
    /// Connections at the start.
    pub(super) min: usize,
    /// Connections at most.
    pub(super) max: usize,
    places: Arc<Semaphore>,
    seats: Arc<Semaphore>,
    idle: Mutex<Vec<Live>>,
}

impl Pool {
    /// An empty pool.
    pub(super) fn new((min, max): (usize, usize)) -> Pool {
        let places = || Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Pool { min, max, places: places(), seats: places(), idle: Mutex::default() }
    }

    /// A place to work with a connection; waits until one is free.
    pub(super) async fn place(&self, ctx: &Context) -> Result<Place> {
        self.wait(ctx, &self.places, "a free connection").await
    }

    /// A seat of one who loads; waits until one is free.
    pub(super) async fn seat(&self, ctx: &Context) -> Result<Place> {
        self.wait(ctx, &self.seats, "its turn to load").await
    }

    async fn wait(&self, ctx: &Context, of: &Arc<Semaphore>, what: &str) -> Result<Place> {
        let started = Instant::now();
        let waiting = Arc::clone(of).acquire_owned();
        tokio::pin!(waiting);
        let mut said = false;
        let place = loop {
            tokio::select! {
                biased;
                () = ctx.cancel.cancelled() => return Err(Error::cancelled()),
                place = &mut waiting => break place,
                () = tokio::time::sleep(LASTING), if !said => {
                    said = true;
                    let message = format!("waits for {what}: pool.max of the {} is {}", ctx.role, self.max);
                    ctx.events.info(self.detail(ctx, started), message);
                }
            }
        };
        let place = place.map_err(|e| Error::internal("the pool of connections is gone").cause(e))?;
        if started.elapsed() > NOTICEABLE {
            let ms = started.elapsed().as_millis();
            let message = format!("waited {ms} ms for {what}: pool.max of the {} is {}", ctx.role, self.max);
            ctx.events.info(self.detail(ctx, started), message);
        }
        Ok(place)
    }

    fn detail(&self, ctx: &Context, since: Instant) -> Body {
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Body::Runtime { detail: serde_json::json!({"role": ctx.role, "pool_max": self.max, "waited_ms": ms}) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Live>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection for whoever takes the next place.
    pub(super) fn keep(&self, live: Live) {
        self.idle().push(live);
    }

    /// An idle connection.
    pub(super) fn take(&self) -> Option<Live> {
        self.idle().pop()
    }

    /// Closes the idle connections without a word.
    pub(super) fn forget(&self) {
        self.idle().clear();
    }

    /// The idle connections, to be closed.
    pub(super) fn drain(&self) -> Vec<Live> {
        std::mem::take(&mut *self.idle())
    }
}
