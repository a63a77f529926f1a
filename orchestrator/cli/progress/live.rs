//! Progress on a terminal: a line for the run and one per stream, drawn anew as they move.

use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::board::{Board, Standing};
use super::plain::matters;
use super::text::{run_line, shown, stream_line};
use crate::cli::terminal::Terminal;
use crate::events::render::render_line;
use crate::events::{Line, Reporter};

/// Streams with a line of their own at a time, at most.
const LINES: usize = 16;

/// Draws lines.
pub(super) struct Live {
    terminal: Terminal,
    connection: String,
    board: Board,
    run: ProgressBar,
    /// Place of a stream on the board, and its line.
    lines: Vec<(usize, ProgressBar)>,
    room: usize,
    width: usize,
    /// The moment of the last line, of a run that is shown again.
    clock: Option<u64>,
}

impl Live {
    pub(super) fn new(terminal: &Terminal, connection: &str, waiting: bool) -> Live {
        Live::begin(terminal, connection, waiting, None)
    }

    /// Of a run that is shown again: its time is that of its lines.
    pub(super) fn again(terminal: &Terminal, connection: &str) -> Live {
        Live::begin(terminal, connection, false, Some(0))
    }

    fn begin(terminal: &Terminal, connection: &str, waiting: bool, clock: Option<u64>) -> Live {
        let run = terminal.bars().add(ProgressBar::new_spinner());
        run.set_style(style(if clock.is_some() {
            "{spinner} {msg}"
        } else {
            "{spinner} {elapsed:>3} {msg}"
        }));
        let board = Board::default();
        let wait = if waiting { " (waits if another run holds the lock)" } else { "" };
        let columns = terminal.screen_width();
        run.set_message(fit(&(run_line(connection, &board) + wait), columns));
        run.enable_steady_tick(Duration::from_millis(100));
        terminal.set_drawing(true);
        Live {
            terminal: terminal.clone(),
            connection: connection.to_owned(),
            board,
            run,
            lines: Vec::new(),
            room: terminal.height().saturating_sub(3).clamp(1, LINES),
            width: 0,
            clock,
        }
    }

    fn draw(&mut self, changed: Option<usize>) {
        let columns = self.terminal.screen_width();
        let clock = self.clock.map(|ms| format!("{:>3} ", elapsed(ms))).unwrap_or_default();
        self.run.set_message(fit(&(clock + &run_line(&self.connection, &self.board)), columns));
        let Some(place) = changed else { return };
        if !self.lines.iter().any(|(at, _)| *at == place) && !self.make_room() {
            return;
        }
        if !self.lines.iter().any(|(at, _)| *at == place) {
            let bar = self.terminal.bars().add(ProgressBar::new_spinner());
            bar.set_style(style("  {msg}"));
            self.lines.push((place, bar));
        }
        let widths =
            self.board.streams.iter().map(|stream| console::measure_text_width(&shown(&stream.name)));
        let width = widths.max().unwrap_or(0);
        let all = std::mem::replace(&mut self.width, width) != width;
        let paint = |colour: &str, text: &str| self.terminal.paint_stderr(colour, text);
        for (at, bar) in self.lines.iter().filter(|(at, _)| all || *at == place) {
            if let Some(stream) = self.board.streams.get(*at) {
                bar.set_message(fit(&stream_line(stream, width, &paint), columns));
            }
        }
    }

    /// Takes away the line of a stream that ended when there is no room for another.
    fn make_room(&mut self) -> bool {
        if self.lines.len() < self.room {
            return true;
        }
        let ended = |at: usize| {
            self.board.streams.get(at).is_some_and(|stream| matches!(stream.standing, Standing::Ended(_)))
        };
        let Some(place) = self.lines.iter().position(|(at, _)| ended(*at)) else { return false };
        let (_, bar) = self.lines.remove(place);
        self.terminal.bars().remove(&bar);
        true
    }
}

impl Reporter for Live {
    fn line(&mut self, line: &Line) {
        let changed = self.board.apply(line);
        self.clock = self.clock.map(|clock| clock.max(line.t_ms));
        if self.terminal.verbose() && matters(line, true) {
            self.terminal.note(&render_line(line, self.terminal.colour_stderr()));
        }
        self.draw(changed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for (_, bar) in &self.lines {
            bar.finish_and_clear();
        }
        self.run.finish_and_clear();
        self.terminal.set_drawing(false);
        let _ = self.terminal.bars().clear();
    }
}

/// A time, as the library writes that of a run that is live.
fn elapsed(ms: u64) -> String {
    format!("{:#}", HumanDuration(Duration::from_millis(ms)))
}

/// A line cut to the screen, short of its end: what a person types there, such as ^C, must not break
/// the line, or it would not be found again.
fn fit(line: &str, columns: usize) -> String {
    console::truncate_str(line, columns.saturating_sub(12), "…").into_owned()
}

/// A style; an unreadable template would show the default one.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}
