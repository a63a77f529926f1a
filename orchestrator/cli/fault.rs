//! What went wrong, as people read it.

use waybill_protocol::Error;

use crate::events::render::visible;

/// A text in a colour (an SGR code), where colours are wanted.
pub fn painted(colour: bool, code: &str, text: &str) -> String {
    if colour && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// An error as people read it: `error:` and where, a `because:` per cause, and a `hint:`.
pub fn error_text(error: &Error, colour: bool) -> String {
    let stream = error.get_stream().filter(|stream| !error.message().contains(*stream));
    let stream = stream.map(|stream| format!("{}: ", visible(stream))).unwrap_or_default();
    let mut out = format!("{} {stream}{}", painted(colour, "1;31", "error:"), lines(error.message()));
    let mut said = error.message().to_owned();
    for cause in error.causes() {
        // Drivers wrap the same text several times; what was said already is not said again.
        if !said.contains(&cause) {
            out.push_str(&format!("\n  {} {}", painted(colour, "2", "because:"), lines(&cause)));
            said.push_str(&cause);
        }
    }
    if let Some(hint) = error.get_hint() {
        out.push_str(&format!("\n  {} {}", painted(colour, "36", "hint:"), lines(hint)));
    }
    out
}

/// A text that may have several lines, without what could drive a terminal; further lines are
/// indented.
fn lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n    ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use waybill_protocol::Kind;

    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_next_and_cannot_drive_the_terminal() {
        let error = Error::new(Kind::Network, "cannot reach db\u{1b}[2J:5432")
            .stream("orders")
            .hint("check that the server runs")
            .cause(io::Error::other("os error 111"));
        assert_eq!(
            error_text(&error, false),
            "error: orders: cannot reach db\u{fffd}[2J:5432\n  because: os error 111\n  hint: check that the server runs"
        );
        assert!(error_text(&error, true).starts_with("\u{1b}[1;31merror:\u{1b}[0m orders"));
        let twice = Error::data("f.csv:3: torn").cause(io::Error::other("torn"));
        assert_eq!(error_text(&twice, false), "error: f.csv:3: torn");
    }
}
