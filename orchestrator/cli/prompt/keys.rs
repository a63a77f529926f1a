//! Keys out of the bytes that a terminal sends.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long the rest of a key's bytes may take, as over a slow line; then Escape was Escape.
const REST: Duration = Duration::from_millis(60);

/// A key, or what came instead of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Tab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    /// Ctrl-A: mark all, or the line's beginning.
    All,
    /// Ctrl-U: empty the line.
    Empty,
    /// Ctrl-W: take a word back.
    Word,
    /// Ctrl-C.
    Interrupt,
    /// A key that means nothing here.
    Other,
    /// The terminal has another size.
    Resized,
    /// A signal came.
    Signal(&'static str),
    /// The terminal is gone.
    Gone,
}

/// Bytes that have arrived and are not yet keys.
#[derive(Debug, Default)]
pub(super) struct Bytes(VecDeque<u8>);

/// Bytes that were typed ahead of the next question.
static AHEAD: Mutex<VecDeque<u8>> = Mutex::new(VecDeque::new());

impl Bytes {
    /// What was typed ahead while the question before was being answered.
    pub(super) fn ahead() -> Bytes {
        Bytes(std::mem::take(&mut AHEAD.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Keeps what is left for the next question.
    pub(super) fn keep(&mut self) {
        AHEAD.lock().unwrap_or_else(PoisonError::into_inner).extend(self.0.drain(..));
    }

    /// Takes in bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// The next key; `None` where none has arrived whole. `all` says that nothing more will come.
    pub(super) fn key(&mut self, all: bool) -> Option<Key> {
        let bytes = self.0.make_contiguous();
        let (key, length) = match bytes {
            [] => return None,
            [0x1b, rest @ ..] => sequence(rest, all)?,
            [first, ..] if *first < 0x80 => (control(*first), 1),
            _ => letter(bytes, all)?,
        };
        self.0.drain(..length.min(self.0.len()));
        Some(key)
    }

    /// Whether part of a key has arrived.
    pub(super) fn waiting(&self) -> bool {
        !self.0.is_empty()
    }
}

fn control(byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x7f | 0x08 => Key::Backspace,
        0x01 => Key::All,
        0x03 => Key::Interrupt,
        0x05 => Key::End,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::Empty,
        0x17 => Key::Word,
        byte if byte < 0x20 => Key::Other,
        byte => Key::Char(char::from(byte)),
    }
}

/// What follows an Escape: `[A`, `OA`, `[5~`, `[1;5C`. Its length counts the Escape.
fn sequence(rest: &[u8], all: bool) -> Option<(Key, usize)> {
    match rest {
        [] if all => Some((Key::Escape, 1)),
        [b'[' | b'O'] if all => Some((Key::Escape, 1)),
        [] | [b'[' | b'O'] => None,
        [b'O', letter, ..] => Some((arrow(*letter), 3)),
        [b'[', body @ ..] => {
            let Some(end) = body.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
                return all.then_some((Key::Other, rest.len() + 1));
            };
            let (parameters, last) = body.split_at(end);
            let key = match (last.first(), parameters) {
                (Some(b'~'), [b'1' | b'7', ..]) => Key::Home,
                (Some(b'~'), [b'3', ..]) => Key::Delete,
                (Some(b'~'), [b'4' | b'8', ..]) => Key::End,
                (Some(b'~'), [b'5', ..]) => Key::PageUp,
                (Some(b'~'), [b'6', ..]) => Key::PageDown,
                (Some(letter), _) => arrow(*letter),
                (None, _) => Key::Other,
            };
            Some((key, end + 3))
        }
        // Escape, and another key quickly after it.
        _ => Some((Key::Escape, 1)),
    }
}

fn arrow(letter: u8) -> Key {
    match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter,
        _ => Key::Other,
    }
}

/// A character of several bytes; one that is none is skipped byte by byte.
fn letter(bytes: &[u8], all: bool) -> Option<(Key, usize)> {
    let wanted = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return Some((Key::Other, 1)),
    };
    match bytes.get(..wanted) {
        None if all => Some((Key::Other, 1)),
        None => None,
        Some(whole) => match std::str::from_utf8(whole).ok().and_then(|text| text.chars().next()) {
            Some(letter) if !letter.is_control() => Some((Key::Char(letter), wanted)),
            Some(_) => Some((Key::Other, wanted)),
            None => Some((Key::Other, 1)),
        },
    }
}

/// What waiting for bytes came to.
pub(super) enum Arrived {
    /// Some bytes.
    Bytes,
    /// None within the time.
    Nothing,
    /// There will be none any more.
    Gone,
}

/// Waits for bytes from the terminal. A signal ends the wait early.
pub(super) fn wait(bytes: &mut Bytes, at_most: Duration) -> Arrived {
    let stdin = io::stdin();
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(at_most.subsec_nanos()) };
    let limit = if bytes.waiting() { rest() } else { limit };
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut ready, Some(&limit)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Arrived::Nothing,
        Ok(_) => {}
        Err(_) => return Arrived::Gone,
    }
    let mut buffer = [0_u8; 1024];
    match rustix::io::read(&stdin, &mut buffer) {
        Ok(0) => Arrived::Gone,
        Ok(count) => {
            bytes.push(buffer.get(..count).unwrap_or_default());
            Arrived::Bytes
        }
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Arrived::Nothing,
        Err(_) => Arrived::Gone,
    }
}

fn rest() -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: i64::from(REST.subsec_nanos()) }
}
