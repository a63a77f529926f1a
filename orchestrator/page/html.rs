//! Text as markup: the one place where what comes from data enters the page.

use std::fmt::Write as _;

use crate::events::render::seen;

/// A piece of a page. Markup is what this program's own source says, and nothing else; whatever
/// comes from data goes through [`Html::text`], which is safe in elements and in quoted attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Html(String);

impl Html {
    /// Nothing yet.
    pub(super) fn new() -> Html {
        Html::default()
    }

    /// Markup.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// A text from data.
    pub(super) fn text(&mut self, text: &str) -> &mut Html {
        for c in text.chars() {
            match seen(c) {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// A text from data between a start and an end.
    pub(super) fn around(&mut self, start: &'static str, text: &str, end: &'static str) -> &mut Html {
        self.markup(start).text(text).markup(end)
    }

    /// A number of a drawing, to a hundredth.
    pub(super) fn number(&mut self, number: f64) -> &mut Html {
        let number = if number.is_finite() { (number * 100.0).round() / 100.0 } else { 0.0 };
        // Writing into a text cannot fail.
        let _ = write!(self.0, "{number}");
        self
    }

    /// Another piece.
    pub(super) fn piece(&mut self, piece: &Html) -> &mut Html {
        self.0.push_str(&piece.0);
        self
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The page as text.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Adds pieces while they stay within `budget` bytes; returns how many were left out.
    pub(super) fn within<T>(
        &mut self,
        budget: usize,
        items: impl IntoIterator<Item = T>,
        draw: impl Fn(&mut Html, T),
    ) -> usize {
        let end = self.len() + budget;
        let mut left_out = 0;
        for item in items {
            let mut piece = Html::new();
            draw(&mut piece, item);
            if left_out > 0 || self.len() + piece.len() > end {
                left_out += 1;
            } else {
                self.piece(&piece);
            }
        }
        left_out
    }
}

/// A text cut to so many characters, with a sign that it was.
pub(super) fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_never_markup() {
        let mut html = Html::new();
        html.markup("<p title=\"")
            .text("\"><script>'&")
            .markup("\">")
            .text("a\u{0}\u{1b}[2J\u{202e}b\nc")
            .markup("</p>");
        assert_eq!(
            html.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">a\u{fffd}\u{fffd}[2J\u{fffd}b\nc</p>"
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut html = Html::new();
        let left_out = html.within(10, ["1234", "1234", "1234", "1"], |html, text| {
            html.text(text);
        });
        assert_eq!((html.finish().as_str(), left_out), ("12341234", 2));
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äö", 2), "äö");
    }
}
