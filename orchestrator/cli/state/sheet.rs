//! Labelled lines about one stream, at most 80 columns wide.

use crate::events::render::visible;

/// Columns of the screen.
const WIDTH: usize = 80;
/// Where texts begin.
const INDENT: usize = 15;

/// A label and its text; words that do not fit go below.
pub(super) fn field(label: &str, text: &str) -> String {
    wrapped(&format!("  {label:<13}"), INDENT, text)
}

/// A text under a stream's name.
pub(super) fn below(text: &str) -> String {
    wrapped("  ", 2, text)
}

fn wrapped(start: &str, indent: usize, text: &str) -> String {
    let mut out = start.to_owned();
    let mut width = indent;
    for (at, word) in visible(text).split(' ').enumerate() {
        let long = word.chars().count();
        if at > 0 {
            if width + 1 + long > WIDTH {
                out.push_str(&format!("\n{:indent$}", ""));
                width = indent;
            } else {
                out.push(' ');
                width += 1;
            }
        }
        out.push_str(word);
        width += long;
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_below_themselves() {
        assert_eq!(field("config", "7"), "  config       7");
        let text = "word ".repeat(30);
        let out = field("next run", &text);
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
        assert_eq!(out.lines().count(), 3);
        assert!(out.lines().nth(1).unwrap().starts_with("               word"));
    }
}
