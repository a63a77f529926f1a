//! A line that is typed: a text, or a secret that nobody sees.

use super::canvas::Size;
use super::keys::Key;
use super::{Ask, Step};
use crate::cli::fault::painted;
use crate::events::render::visible;

/// The longest line that is taken.
const LONGEST: usize = 16 * 1024;

/// What was typed so far.
pub(super) struct LineState {
    text: Vec<char>,
    at: usize,
    hidden: bool,
    /// Whether Enter was pressed on something wrong.
    refused: bool,
}

impl LineState {
    pub(super) fn new(ask: &Ask<'_>, hidden: bool) -> LineState {
        let text: Vec<char> = ask.initial.chars().collect();
        LineState { at: text.len(), text, hidden, refused: false }
    }

    /// What the line says; the default where it is empty.
    fn text(&self, ask: &Ask<'_>) -> String {
        let typed: String = self.text.iter().collect();
        // A secret may begin or end with a blank.
        let typed = if self.hidden { typed } else { typed.trim().to_owned() };
        match ask.default {
            Some(default) if typed.is_empty() => default.to_owned(),
            _ => typed,
        }
    }

    fn wrong(&self, ask: &Ask<'_>) -> Option<String> {
        let text = self.text(ask);
        if text.is_empty() {
            return (!ask.optional).then(|| "an answer is needed; Esc goes back".to_owned());
        }
        ask.judge.and_then(|judge| judge(&text).err())
    }

    /// Takes a key.
    pub(super) fn key(&mut self, ask: &Ask<'_>, key: Key) -> Step<String> {
        let end = self.text.len();
        match key {
            Key::Escape => return Step::Back,
            Key::Enter if self.wrong(ask).is_none() => return Step::Done(self.text(ask)),
            Key::Enter => {
                self.refused = true;
                return Step::On;
            }
            Key::Char(letter) if end < LONGEST => {
                self.text.insert(self.at, letter);
                self.at += 1;
            }
            Key::Backspace if self.at > 0 => {
                self.at -= 1;
                self.text.remove(self.at);
            }
            Key::Delete if self.at < end => {
                self.text.remove(self.at);
            }
            Key::Left => self.at = self.at.saturating_sub(1),
            Key::Right => self.at = (self.at + 1).min(end),
            Key::Home | Key::All => self.at = 0,
            Key::End => self.at = end,
            Key::Empty => {
                self.text.clear();
                self.at = 0;
            }
            Key::Word => {
                let before = self.text.get(..self.at).unwrap_or_default();
                let blank = before.iter().rposition(|c| !c.is_whitespace()).unwrap_or(0);
                let word = before.get(..blank).unwrap_or_default();
                let from = word.iter().rposition(|c| c.is_whitespace()).map_or(0, |at| at + 1);
                self.text.drain(from..self.at);
                self.at = from;
            }
            _ => return Step::On,
        }
        self.refused = false;
        Step::On
    }

    /// The picture: the question, what is typed, and what is wrong with it or what it means.
    pub(super) fn lines(&self, ask: &Ask<'_>, size: Size, colour: bool) -> Vec<String> {
        let label = format!("{} {}: ", painted(colour, "36", "?"), painted(colour, "1", &visible(ask.label)));
        let room = size.width.saturating_sub(console::measure_text_width(&label) + 2).max(8);
        let mut lines = vec![format!("{label}{}", self.field(ask, room, colour))];
        let wrong = self.wrong(ask).filter(|_| self.refused || !self.text.is_empty());
        if let Some(wrong) = wrong {
            lines.extend(wrapped(&format!("✗ {}", visible(&wrong)), size.width, |s| {
                painted(colour, "31", s)
            }));
        }
        if !ask.help.is_empty() {
            lines.extend(wrapped(&visible(ask.help), size.width, |s| painted(colour, "2", s)));
        }
        lines.truncate(size.height.saturating_sub(1).max(1));
        lines.push(painted(colour, "2", "  Enter goes on · Esc goes back"));
        lines
    }

    fn field(&self, ask: &Ask<'_>, room: usize, colour: bool) -> String {
        let caret = |under: &str| {
            if colour { painted(true, "7", under) } else { format!("_{}", under.trim_end()) }
        };
        if self.text.is_empty() {
            let default = ask.default.map(|default| painted(colour, "2", &format!("({})", visible(default))));
            return format!("{}{}", caret(" "), default.unwrap_or_default());
        }
        if self.hidden {
            return format!("{}{}", "•".repeat(8), caret(" "));
        }
        // The part around the cursor, where the whole does not fit.
        let from = (self.at + 1).saturating_sub(room);
        let text = if ask.address { covered(&self.text) } else { self.text.clone() };
        let shown = |from: usize, to: usize| -> String {
            visible(&text.get(from..to.min(text.len())).unwrap_or_default().iter().collect::<String>())
        };
        let under = text.get(self.at).map_or(" ".to_owned(), |letter| visible(&letter.to_string()));
        let to = from + room;
        format!("{}{}{}", shown(from, self.at), caret(&under), shown((self.at + 1).min(to), to))
    }

    /// The line that stays: the question and its answer.
    pub(super) fn answered(&self, ask: &Ask<'_>, text: &str, colour: bool) -> String {
        let answer = match (self.hidden, text.is_empty()) {
            (_, true) => "(none)".to_owned(),
            (true, false) => "(hidden)".to_owned(),
            (false, false) if ask.address => {
                visible(&covered(&text.chars().collect::<Vec<_>>()).iter().collect::<String>())
            }
            (false, false) => visible(text),
        };
        format!("{} {} · {answer}", painted(colour, "32", "✓"), visible(ask.label))
    }
}

/// An address without its password, letter for letter: what stands between the user's colon and the
/// last @, or, while that is not yet typed, the end. Passwords may stand among its parameters, too.
fn covered(text: &[char]) -> Vec<char> {
    let mut out = text.to_vec();
    let Some(scheme) = text.windows(3).position(|three| three == [':', '/', '/']) else { return out };
    let begin = scheme + 3;
    let after = |from: usize, wanted: &dyn Fn(char) -> bool| {
        text.get(from..).unwrap_or_default().iter().position(|c| wanted(*c)).map(|at| from + at)
    };
    let question = after(begin, &|c| c == '?').unwrap_or(text.len());
    let at =
        text.get(begin..question).unwrap_or_default().iter().rposition(|c| *c == '@').map(|at| begin + at);
    let colon = after(begin, &|c| c == ':').filter(|colon| *colon < at.unwrap_or(question));
    if let Some(colon) = colon {
        let end = at.unwrap_or_else(|| after(colon, &|c| c == '/').unwrap_or(question).min(question));
        out.iter_mut().take(end).skip(colon + 1).for_each(|letter| *letter = '•');
    }
    let tail: String = text.get(question..).unwrap_or_default().iter().collect();
    for (from, _) in tail.match_indices("password=") {
        let from = question + tail.get(..from).unwrap_or_default().chars().count() + "password=".len();
        let end = after(from, &|c| c == '&').unwrap_or(text.len());
        out.iter_mut().take(end).skip(from).for_each(|letter| *letter = '•');
    }
    out
}

/// A text in lines of the screen's width, indented by two.
pub(super) fn wrapped(text: &str, width: usize, paint: impl Fn(&str) -> String) -> Vec<String> {
    let width = width.saturating_sub(4).max(10);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty()
            && console::measure_text_width(&line) + 1 + console::measure_text_width(word) > width
        {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines.iter().map(|line| paint(&format!("  {line}"))).collect()
}
