//! Where a question is drawn: a block at the cursor, drawn anew at each key and gone at the end.

use std::time::Duration;

use waybill_protocol::{Error, Result};

use super::keys::{Arrived, Bytes, Key, wait};
use super::raw::{Interrupts, Quiet, ended_by, forget_interrupt, watch};
use crate::cli::terminal::Terminal;

/// How long a changed size of the terminal or a signal may go unnoticed.
const LOOK: Duration = Duration::from_millis(150);
/// Lines that a question itself needs: what stands above it gives way.
const OWN: usize = 8;

/// Lines and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A block on stderr.
pub(super) struct Canvas<'t> {
    terminal: &'t Terminal,
    above: Vec<String>,
    /// Lines of `above` that scrolled away before the block: too many to be drawn with it.
    gone: usize,
    bytes: Bytes,
    /// Lines that stand on the screen, the last one without a line feed.
    drawn: usize,
    size: Size,
    finished: bool,
    _quiet: Quiet,
}

impl<'t> Canvas<'t> {
    /// Takes the terminal for a question.
    pub(super) fn new(terminal: &'t Terminal, above: &str) -> Result<Canvas<'t>> {
        watch();
        forget_interrupt();
        let quiet = Quiet::enter(Interrupts::AsKey).map_err(|e| {
            Error::config(format!("nobody can be asked here: {e}"))
                .hint("say it by flags; --no-input names those that are missing")
                .cause(e)
        })?;
        terminal.draw("\u{1b}[?25l");
        let above: Vec<String> = above.lines().map(str::to_owned).collect();
        let size = size(terminal);
        Ok(Canvas {
            terminal,
            above,
            gone: 0,
            bytes: Bytes::ahead(),
            drawn: 0,
            size,
            finished: false,
            _quiet: quiet,
        })
    }

    /// Draws the block in place of the one before.
    pub(super) fn draw(&mut self, lines: impl FnOnce(Size) -> Vec<String>) {
        let room = self.size.height.saturating_sub(OWN);
        let head = self.above.len().saturating_sub(room);
        let mut picture = self.erased();
        if self.drawn == 0 && self.gone < head {
            // Said once, and left to scroll.
            for line in self.above.get(self.gone..head).unwrap_or_default() {
                picture.push_str(&format!("{line}\r\n"));
            }
            self.gone = head;
        }
        let mut block: Vec<String> = self.above.get(head.max(self.gone)..).unwrap_or_default().to_vec();
        let left = Size { height: self.size.height.saturating_sub(block.len()).max(4), ..self.size };
        block.extend(lines(left));
        let width = self.size.width.saturating_sub(1).max(1);
        let block: Vec<String> =
            block.iter().map(|line| console::truncate_str(line, width, "…").into_owned()).collect();
        picture.push_str(&block.join("\r\n"));
        self.drawn = block.len();
        self.terminal.draw(&picture);
    }

    /// Whether every key that has arrived was acted on: pictures in between are for nobody.
    pub(super) fn idle(&self) -> bool {
        !self.bytes.waiting()
    }

    /// What takes the drawn block off the screen and leaves the cursor at its beginning.
    fn erased(&self) -> String {
        match self.drawn {
            0 => String::new(),
            1 => "\r\u{1b}[J".to_owned(),
            lines => format!("\r\u{1b}[{}A\u{1b}[J", lines - 1),
        }
    }

    /// Waits for a key.
    pub(super) fn key(&mut self) -> Key {
        let mut all = false;
        loop {
            if let Some(key) = self.bytes.key(all) {
                return key;
            }
            if let Some(signal) = ended_by() {
                return Key::Signal(signal);
            }
            let now = size(self.terminal);
            if now != self.size {
                self.size = now;
                // Terminals differ in what they make of lines that are on the screen: begin anew.
                self.drawn = 0;
                self.gone = self.above.len().saturating_sub(now.height.saturating_sub(OWN));
                self.terminal.draw("\u{1b}[2J\u{1b}[H");
                return Key::Resized;
            }
            match wait(&mut self.bytes, LOOK) {
                Arrived::Bytes => all = false,
                Arrived::Nothing => all = self.bytes.waiting(),
                Arrived::Gone => return Key::Gone,
            }
        }
    }

    /// Takes the question off the screen; what stood above it stays, and a line says the answer.
    pub(super) fn leave(&mut self, answer: &str) {
        let mut picture = self.erased();
        let above = self.above.get(self.gone..).unwrap_or_default();
        for line in above.iter().map(String::as_str).chain((!answer.is_empty()).then_some(answer)) {
            picture.push_str(&format!("{line}\r\n"));
        }
        picture.push_str("\u{1b}[?25h");
        self.terminal.draw(&picture);
        self.finished = true;
    }
}

impl Drop for Canvas<'_> {
    fn drop(&mut self) {
        self.bytes.keep();
        if !self.finished {
            self.terminal.draw("\r\n\u{1b}[?25h");
        }
    }
}

fn size(terminal: &Terminal) -> Size {
    Size { height: terminal.height().max(4), width: terminal.screen_width().max(10) }
}
