//! A reporter on a thread of its own: a reader that is slow or has stopped cannot hold up the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::events::{Line, Reporter};

/// Lines that may wait for a slow reader.
const WAITING: usize = 4096;

/// Lines that came, and lines that were shown.
#[derive(Default)]
struct Tally {
    came: AtomicU64,
    shown: AtomicU64,
}

/// What the log's writer hands lines to.
struct Detached {
    lines: SyncSender<Box<Line>>,
    tally: Arc<Tally>,
}

impl Reporter for Detached {
    fn line(&mut self, line: &Line) {
        self.tally.came.fetch_add(1, Ordering::Relaxed);
        // One that finds no room is missing from the tally's other side.
        let _ = self.lines.try_send(Box::new(line.clone()));
    }
}

/// The thread behind a detached reporter.
pub struct Behind {
    thread: Option<JoinHandle<()>>,
    tally: Arc<Tally>,
}

impl Behind {
    /// Waits until everything was shown, or until `limit` has passed; returns how many lines were
    /// not. The reporter must have been dropped by then, or this waits in vain.
    pub fn finish(self, limit: Duration) -> u64 {
        let end = Instant::now() + limit;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let shown = self.tally.shown.load(Ordering::Relaxed);
        self.tally.came.load(Ordering::Relaxed).saturating_sub(shown)
    }
}

/// Puts a reporter on a thread of its own. Lines beyond what may wait for it are left out.
pub fn detach(mut inner: Box<dyn Reporter>) -> (Box<dyn Reporter>, Behind) {
    let (lines, inbox): (_, Receiver<Box<Line>>) = sync_channel(WAITING);
    let tally = Arc::new(Tally::default());
    let shown = tally.clone();
    let work = move || {
        for line in inbox {
            inner.line(&line);
            shown.shown.fetch_add(1, Ordering::Relaxed);
        }
    };
    let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(work).ok();
    (Box::new(Detached { lines, tally: tally.clone() }), Behind { thread, tally })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Count(Arc<Mutex<u64>>);

    impl Reporter for Count {
        fn line(&mut self, _line: &Line) {
            *self.0.lock().unwrap() += 1;
        }
    }

    fn line() -> Line {
        Line::parse(br#"{"seq":1,"ts":"2026-01-02T03:04:05Z","event":"x"}"#).unwrap()
    }

    #[test]
    fn everything_is_shown_before_the_end_and_a_stuck_reader_holds_nobody_up() {
        let seen = Arc::new(Mutex::new(0));
        let (mut reporter, behind) = detach(Box::new(Count(seen.clone())));
        (0..100).for_each(|_| reporter.line(&line()));
        drop(reporter);
        assert_eq!(behind.finish(Duration::from_secs(20)), 0);
        assert_eq!(*seen.lock().unwrap(), 100);

        let stuck = seen.lock().unwrap();
        let (mut reporter, behind) = detach(Box::new(Count(seen.clone())));
        let many = WAITING as u64 + 50;
        (0..many).for_each(|_| reporter.line(&line()));
        drop(reporter);
        assert_eq!(behind.finish(Duration::from_millis(20)), many);
        drop(stuck);
    }
}
