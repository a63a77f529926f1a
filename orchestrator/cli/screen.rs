//! The screen under the live lines: stderr, written a whole picture at a time.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;
use indicatif::TermLike;

/// A terminal whose lines end where their text does.
///
/// The library fills each line with blanks to the right edge and lets it wrap. What a person types
/// there, such as ^C, would then land on a line of its own, and the next picture one line too low.
/// So the blanks become "erase to the end", and lines end in a line feed.
#[derive(Debug)]
pub(super) struct Screen {
    term: Term,
    picture: Mutex<Picture>,
}

/// What was drawn since the last flush.
#[derive(Debug, Default)]
struct Picture {
    text: String,
    /// Texts and fillings written since the last carriage return: they take turns.
    written: usize,
}

impl Picture {
    fn write(&mut self, text: &str) {
        if text == "\r" {
            self.text.push('\r');
            self.written = 0;
            return;
        }
        let filling = self.written % 2 == 1;
        match (filling, self.written) {
            // At the very edge, erasing would take the last letter.
            (true, _) if text.is_empty() => {}
            (true, _) => self.text.push_str("\u{1b}[K"),
            (false, 0) => self.text.push_str(text),
            (false, _) => {
                self.text.push_str("\r\n");
                self.text.push_str(text);
            }
        }
        self.written += 1;
    }
}

impl Screen {
    /// The screen of stderr.
    pub(super) fn stderr() -> Screen {
        Screen { term: Term::stderr(), picture: Mutex::default() }
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self, count: usize, letter: char) -> io::Result<()> {
        if count > 0 {
            // Writing into a text cannot fail.
            let _ = write!(self.picture().text, "\u{1b}[{count}{letter}");
        }
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.term.size().1
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        // Each picture, and each erasing of one, begins like this.
        self.picture().written = 0;
        self.control(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.control(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.control(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.control(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        let mut picture = self.picture();
        picture.text.push_str(text);
        picture.text.push_str("\r\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.picture().write(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.picture().text.push_str("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut self.picture().text);
        let mut stderr = io::stderr().lock();
        stderr.write_all(text.as_bytes())?;
        stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_their_text_does() {
        let mut picture = Picture::default();
        for text in ["\r", "first", "     ", "second", "    ", "ten letter", "", "", "          "] {
            picture.write(text);
        }
        assert_eq!(picture.text, "\rfirst\u{1b}[K\r\nsecond\u{1b}[K\r\nten letter\r\n\u{1b}[K");
    }
}
