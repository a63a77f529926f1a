//! A list to choose from: typing searches it, long ones page.

use super::canvas::Size;
use super::keys::Key;
use super::line::wrapped;
use super::{Choice, Item, Step};
use crate::cli::fault::painted;
use crate::events::render::visible;

/// The rank of a text that has the letters, but not together.
const SCATTERED: usize = 3;

/// Where a person stands in a list.
pub(super) struct ListState {
    search: String,
    /// Those that the search leaves, as indices of the items.
    left: Vec<usize>,
    /// The place in `left`.
    current: usize,
    /// The first one of `left` on the screen.
    top: usize,
    /// How many fit the screen, as last drawn.
    page: usize,
    /// Which are marked, where several may be chosen.
    marks: Option<Vec<bool>>,
}

impl ListState {
    pub(super) fn new(choice: &Choice<'_>, marks: Option<Vec<bool>>) -> ListState {
        let mut state =
            ListState { search: String::new(), left: Vec::new(), current: 0, top: 0, page: 10, marks };
        state.find(choice);
        state.current = state.left.iter().position(|index| *index == choice.start).unwrap_or(0);
        state.off_headings(choice, true);
        state
    }

    /// Those that fit the search, the best first; headings only while nothing is searched.
    fn find(&mut self, choice: &Choice<'_>) {
        let wanted = self.search.trim().to_lowercase();
        let fits = |(index, item): (usize, &Item)| {
            let rank = if wanted.is_empty() {
                Some(0)
            } else if item.heading {
                None
            } else {
                rank(&wanted, &item.text.to_lowercase())
            };
            rank.map(|rank| (rank, index))
        };
        let mut found: Vec<(usize, usize)> = choice.items.iter().enumerate().filter_map(fits).collect();
        found.sort_unstable();
        // Letters here and there are a guess, worth showing only where nothing better is found.
        if found.first().is_some_and(|(rank, _)| *rank < SCATTERED) {
            found.retain(|(rank, _)| *rank < SCATTERED);
        }
        self.left = found.into_iter().map(|(_, index)| index).collect();
        (self.current, self.top) = (0, 0);
        self.off_headings(choice, true);
    }

    fn is_heading(&self, choice: &Choice<'_>, place: usize) -> bool {
        let item = self.left.get(place).and_then(|index| choice.items.get(*index));
        item.is_some_and(|item| item.heading)
    }

    fn off_headings(&mut self, choice: &Choice<'_>, down: bool) {
        for _ in 0..self.left.len() {
            if !self.is_heading(choice, self.current) {
                return;
            }
            self.step(down);
        }
    }

    fn step(&mut self, down: bool) {
        let count = self.left.len().max(1);
        self.current = if down { (self.current + 1) % count } else { (self.current + count - 1) % count };
    }

    /// Takes a key.
    pub(super) fn key(&mut self, choice: &Choice<'_>, key: Key) -> Step<Vec<usize>> {
        let last = self.left.len().saturating_sub(1);
        match key {
            Key::Escape => return Step::Back,
            Key::Enter => return self.chosen(choice),
            Key::Up | Key::Down | Key::Tab => {
                self.step(key != Key::Up);
                self.off_headings(choice, key != Key::Up);
            }
            Key::PageUp => self.go(choice, self.current.saturating_sub(self.page), false),
            Key::PageDown => self.go(choice, (self.current + self.page).min(last), true),
            Key::Home => self.go(choice, 0, true),
            Key::End => self.go(choice, last, false),
            Key::Char(' ') if self.marks.is_some() => self.mark(),
            Key::All if self.marks.is_some() => self.mark_all(),
            Key::Char(letter) => {
                self.search.push(letter);
                self.find(choice);
            }
            Key::Backspace if !self.search.is_empty() => {
                self.search.pop();
                self.find(choice);
            }
            Key::Empty | Key::Word if !self.search.is_empty() => {
                self.search.clear();
                self.find(choice);
            }
            _ => {}
        }
        Step::On
    }

    fn go(&mut self, choice: &Choice<'_>, place: usize, down: bool) {
        self.current = place;
        self.off_headings(choice, down);
    }

    fn chosen(&self, choice: &Choice<'_>) -> Step<Vec<usize>> {
        if let Some(marks) = &self.marks {
            let marked = marks.iter().enumerate().filter(|(_, mark)| **mark);
            return Step::Done(marked.map(|(index, _)| index).collect());
        }
        match self.left.get(self.current) {
            Some(index) if !self.is_heading(choice, self.current) => Step::Done(vec![*index]),
            _ => Step::On,
        }
    }

    fn mark(&mut self) {
        if let (Some(marks), Some(index)) = (&mut self.marks, self.left.get(self.current))
            && let Some(mark) = marks.get_mut(*index)
        {
            *mark = !*mark;
        }
        if self.current + 1 < self.left.len() {
            self.current += 1;
        }
    }

    /// Marks all that the search leaves; none where all of them were.
    fn mark_all(&mut self) {
        let Some(marks) = &mut self.marks else { return };
        let all = self.left.iter().all(|index| marks.get(*index).copied().unwrap_or(false));
        for index in &self.left {
            if let Some(mark) = marks.get_mut(*index) {
                *mark = !all;
            }
        }
    }

    /// The picture: the question, as much of the list as fits, and the keys.
    pub(super) fn lines(&mut self, choice: &Choice<'_>, size: Size, colour: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let search = if self.search.is_empty() {
            String::new()
        } else {
            format!("  {} {}_", painted(colour, "2", "search:"), visible(&self.search))
        };
        let label = painted(colour, "1", &visible(choice.label));
        lines.push(format!("{} {label}{search}", painted(colour, "36", "?")));
        if !choice.help.is_empty() && size.height > 8 {
            lines.extend(wrapped(&visible(choice.help), size.width, |text| painted(colour, "2", text)));
        }
        // Below the list: how many there are elsewhere, and the keys.
        let room = size.height.saturating_sub(lines.len() + 2).max(1);
        self.page = room.min(self.left.len()).max(1);
        self.scroll();
        let wide = self.wide(choice, size.width);
        for place in self.top..(self.top + self.page).min(self.left.len()) {
            lines.extend(self.row(choice, place, wide, colour));
        }
        if self.left.is_empty() {
            lines.push(painted(colour, "2", "  nothing fits; Backspace takes the search back"));
        }
        let elsewhere = self.left.len().saturating_sub(self.page);
        let more = match elsewhere {
            0 => String::new(),
            _ => format!(" · {} of {}", self.current + 1, self.left.len()),
        };
        let keys = match &self.marks {
            Some(marks) => {
                let marked = marks.iter().filter(|mark| **mark).count();
                format!("  {marked} marked{more} · Space marks · Ctrl-A all · Enter goes on · Esc back")
            }
            None => format!("  ↑↓ move{more} · type to search · Enter chooses · Esc back"),
        };
        lines.push(painted(colour, "2", &keys));
        lines
    }

    fn scroll(&mut self) {
        let most = self.left.len().saturating_sub(self.page);
        if self.current < self.top {
            self.top = self.current;
        } else if self.current >= self.top + self.page {
            self.top = self.current + 1 - self.page;
        }
        self.top = self.top.min(most);
        // The heading over the first one is worth its line.
        if self.current == 1 {
            self.top = 0;
        }
    }

    /// The width of the texts, so that the details stand in one column where there is room.
    fn wide(&self, choice: &Choice<'_>, width: usize) -> usize {
        let texts = choice.items.iter().filter(|item| !item.heading && !item.detail.is_empty());
        let widest = texts.map(|item| console::measure_text_width(&visible(&item.text))).max().unwrap_or(0);
        widest.min(width / 2)
    }

    fn row(&self, choice: &Choice<'_>, place: usize, wide: usize, colour: bool) -> Option<String> {
        let index = *self.left.get(place)?;
        let item = choice.items.get(index)?;
        if item.heading {
            return Some(painted(colour, "2", &format!("  {}", visible(&item.text))));
        }
        let current = place == self.current;
        let point = if current { painted(colour, "36", "›") } else { " ".to_owned() };
        let mark = match self.marks.as_ref().and_then(|marks| marks.get(index)) {
            Some(true) => "[x] ",
            Some(false) => "[ ] ",
            None => "",
        };
        let text = visible(&item.text);
        let pad = " ".repeat(wide.saturating_sub(console::measure_text_width(&text)));
        let text = if current { painted(colour, "1;36", &text) } else { text };
        let detail = match item.detail.as_str() {
            "" => String::new(),
            detail => format!("{pad}  {}", painted(colour, "2", &visible(detail))),
        };
        Some(format!("{point} {mark}{text}{detail}"))
    }

    /// The line that stays: the question and its answer.
    pub(super) fn answered(&self, choice: &Choice<'_>, chosen: &[usize], colour: bool) -> String {
        let names = chosen.iter().filter_map(|index| choice.items.get(*index));
        let names: Vec<String> = names.map(|item| visible(item.text.trim())).collect();
        let answer = match (names.len(), self.marks.is_some()) {
            (0, _) => "(none)".to_owned(),
            (count, true) if count > 4 => format!("{count} chosen"),
            _ => names.join(", "),
        };
        format!("{} {} · {answer}", painted(colour, "32", "✓"), visible(choice.label))
    }
}

/// How well a text fits what is searched: it begins so, a word of it does, it holds it, or its
/// letters come in this order. `None` where none is true.
fn rank(wanted: &str, text: &str) -> Option<usize> {
    if text.starts_with(wanted) {
        return Some(0);
    }
    if text.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with(wanted)) {
        return Some(1);
    }
    if text.contains(wanted) {
        return Some(2);
    }
    let mut letters = text.chars();
    let all = wanted.chars().filter(|c| !c.is_whitespace()).all(|c| letters.any(|letter| letter == c));
    all.then_some(SCATTERED)
}
