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
    Some(detach(if terminal.live() {
        Box::new(live::Live::new(terminal, connection, waiting))
    } else {
        Box::new(plain::Plain::new(terminal))
    }))
}

/// The same for a run that is shown again: its clock is that of the lines, and each is shown before
/// the next one comes.
pub fn view(terminal: &Terminal, connection: &str) -> Option<Box<dyn Reporter>> {
    if terminal.quiet() {
        return None;
    }
    Some(if terminal.live() {
        Box::new(live::Live::again(terminal, connection))
    } else {
        Box::new(plain::Plain::new(terminal))
    })
}
