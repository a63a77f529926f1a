//! Questions to a person at a terminal: a line of text, a secret, a choice, several, yes or no.
//!
//! Escape answers `None`: one step back. Ctrl-C, a signal and a terminal that is gone are the error
//! `cancelled` with the signal as its code, which exits by it. The terminal is as before on every
//! way out. Whether a person can be asked at all is [`Terminal::interactive`]; what is missing
//! otherwise is the caller's error to name.

mod canvas;
mod keys;
mod line;
mod list;
mod raw;
#[cfg(test)]
mod tests;

use waybill_protocol::{Error, Result, Secret};

use super::terminal::Terminal;
use canvas::Canvas;
use keys::Key;
use line::LineState;
use list::ListState;

pub(crate) use raw::{Quiet, ended_by, watch};

/// Judges a text as it is typed: what is wrong with it, in a few words.
pub(crate) type Judge<'a> = &'a dyn Fn(&str) -> std::result::Result<(), String>;

/// A question for a line of text or a secret.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ask<'a> {
    /// What is asked: a few words.
    pub(crate) label: &'a str,
    /// What a person should know to answer.
    pub(crate) help: &'a str,
    /// The answer where nothing is typed.
    pub(crate) default: Option<&'a str>,
    /// The text to begin with, to be changed.
    pub(crate) initial: &'a str,
    /// Whether it may hold a password, as an address does: that part is not shown.
    pub(crate) address: bool,
    /// Whether nothing may be the answer.
    pub(crate) optional: bool,
    /// What is wrong with a text.
    pub(crate) judge: Option<Judge<'a>>,
    /// Lines that stand above the question.
    pub(crate) above: &'a str,
}

impl<'a> Ask<'a> {
    /// A question that wants an answer.
    pub(crate) fn new(label: &'a str) -> Ask<'a> {
        Ask { label, ..Ask::default() }
    }
}

/// A line of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Item {
    /// What can be chosen, and is searched.
    pub(crate) text: String,
    /// What a person should know about it: shown dim, or below while it is the current one.
    pub(crate) detail: String,
    /// A heading over those that follow: it cannot be chosen.
    pub(crate) heading: bool,
}

impl Item {
    /// An item with a detail.
    pub(crate) fn new(text: impl Into<String>, detail: impl Into<String>) -> Item {
        Item { text: text.into(), detail: detail.into(), heading: false }
    }

    /// A heading.
    pub(crate) fn heading(text: impl Into<String>) -> Item {
        Item { text: text.into(), detail: String::new(), heading: true }
    }
}

/// A question with a list of answers. Typing searches it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Choice<'a> {
    /// What is asked: a few words.
    pub(crate) label: &'a str,
    /// What a person should know to answer.
    pub(crate) help: &'a str,
    /// The answers.
    pub(crate) items: &'a [Item],
    /// The one that is current at first.
    pub(crate) start: usize,
    /// Those that are marked at first, where several may be chosen.
    pub(crate) marked: &'a [usize],
    /// Whether the answer stays on the screen as a line.
    pub(crate) passing: bool,
    /// Lines that stand above the question.
    pub(crate) above: &'a str,
}

impl<'a> Choice<'a> {
    /// A question with its answers.
    pub(crate) fn new(label: &'a str, items: &'a [Item]) -> Choice<'a> {
        Choice { label, items, ..Choice::default() }
    }
}

/// What a widget makes of a key.
enum Step<T> {
    /// Draw again.
    On,
    /// One step back.
    Back,
    /// The answer.
    Done(T),
}

/// Asks for a line of text.
pub(crate) fn ask(terminal: &Terminal, ask: &Ask<'_>) -> Result<Option<String>> {
    line(terminal, ask, false)
}

/// Asks for a secret: what is typed is not shown, and neither is its length.
pub(crate) fn secret(terminal: &Terminal, ask: &Ask<'_>) -> Result<Option<Secret>> {
    Ok(line(terminal, ask, true)?.map(Secret::new))
}

/// Asks for one of a list: its index.
pub(crate) fn choose(terminal: &Terminal, choice: &Choice<'_>) -> Result<Option<usize>> {
    Ok(list(terminal, choice, None)?.and_then(|chosen| chosen.first().copied()))
}

/// Asks for any number of a list: their indices, in the list's order.
pub(crate) fn choose_many(terminal: &Terminal, choice: &Choice<'_>) -> Result<Option<Vec<usize>>> {
    let mut marks = vec![false; choice.items.len()];
    for index in choice.marked {
        if let Some(mark) = marks.get_mut(*index) {
            *mark = true;
        }
    }
    list(terminal, choice, Some(marks))
}

/// Asks for yes or no; the one that Enter answers stands first.
pub(crate) fn confirm(terminal: &Terminal, question: &str, default: bool) -> Result<Option<bool>> {
    let words = if default { ["yes", "no"] } else { ["no", "yes"] };
    let items = words.map(|word| Item::new(word, ""));
    let answer = choose(terminal, &Choice::new(question, &items))?;
    Ok(answer.map(|index| (index == 0) == default))
}

fn line(terminal: &Terminal, ask: &Ask<'_>, hidden: bool) -> Result<Option<String>> {
    let mut state = LineState::new(ask, hidden);
    let mut canvas = Canvas::new(terminal, ask.above)?;
    loop {
        if canvas.idle() {
            canvas.draw(|size| state.lines(ask, size, terminal.colour_stderr()));
        }
        match state.key(ask, next(&mut canvas)?) {
            Step::On => {}
            Step::Back => {
                canvas.leave("");
                return Ok(None);
            }
            Step::Done(text) => {
                canvas.leave(&state.answered(ask, &text, terminal.colour_stderr()));
                return Ok(Some(text));
            }
        }
    }
}

fn list(terminal: &Terminal, choice: &Choice<'_>, marks: Option<Vec<bool>>) -> Result<Option<Vec<usize>>> {
    let mut state = ListState::new(choice, marks);
    let mut canvas = Canvas::new(terminal, choice.above)?;
    loop {
        if canvas.idle() {
            canvas.draw(|size| state.lines(choice, size, terminal.colour_stderr()));
        }
        match state.key(choice, next(&mut canvas)?) {
            Step::On => {}
            Step::Back => {
                canvas.leave("");
                return Ok(None);
            }
            Step::Done(chosen) => {
                let line = state.answered(choice, &chosen, terminal.colour_stderr());
                canvas.leave(if choice.passing { "" } else { &line });
                return Ok(Some(chosen));
            }
        }
    }
}

/// The next key that a widget may act on; what ends the question is an error.
fn next(canvas: &mut Canvas<'_>) -> Result<Key> {
    let signal = match canvas.key() {
        Key::Interrupt => "SIGINT",
        Key::Signal(name) => name,
        Key::Gone => "SIGHUP",
        key => return Ok(key),
    };
    canvas.leave("");
    Err(Error::cancelled().code(signal))
}
