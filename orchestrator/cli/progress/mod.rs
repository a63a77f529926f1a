//! Live progress on stderr: a view of the event log.

mod behind;
mod board;
mod live;
mod plain;
mod text;

use crate::events::Reporter;

use super::terminal::Terminal;

pub use behind::{Behind, detach};

/// The reporter that shows a run's progress as this terminal can take it: lines that move, lines
/// that follow each other, or none with `--quiet`. Call [`Behind::finish`] when the run has ended.
pub fn reporter(terminal: &Terminal, connection: &str, waiting: bool) -> Option<(Box<dyn Reporter>, Behind)> {
    if terminal.quiet() {
        return None;
    }
    let inner: Box<dyn Reporter> = if terminal.live() {
        Box::new(live::Live::new(terminal, connection, waiting))
    } else {
        Box::new(plain::Plain::new(terminal))
    };
    Some(detach(inner))
}
