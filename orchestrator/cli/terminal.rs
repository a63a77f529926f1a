//! The terminal: the one place that prints. Data goes to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;
use waybill_protocol::{Error, Kind, Origin, Result};

use super::args::{ColorChoice, LookFlags, OutputChoice};
use super::fault::{error_text, painted};
use super::screen::Screen;
use crate::events::render::visible;

/// Width assumed where there is no terminal to ask.
const WIDTH: usize = 100;
/// Pictures of live lines a second, at most.
const PICTURES: u8 = 15;

/// Where a command writes, and what the person at it wants to see. Clones share the same screen.
#[derive(Clone)]
pub struct Terminal {
    json: bool,
    quiet: bool,
    verbose: bool,
    no_input: bool,
    colour: bool,
    colour_stderr: bool,
    stdout_closed: Arc<AtomicBool>,
    drawing: Arc<AtomicBool>,
    bars: MultiProgress,
}

impl Terminal {
    /// The terminal of this process as the flags want it.
    pub fn new(flags: &LookFlags) -> Terminal {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colour = |terminal: bool| match flags.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color && !dumb,
        };
        Terminal {
            json: flags.output == OutputChoice::Json,
            quiet: flags.quiet,
            verbose: flags.verbose,
            no_input: flags.no_input,
            colour: colour(io::stdout().is_terminal()),
            colour_stderr: colour(io::stderr().is_terminal()),
            stdout_closed: Arc::default(),
            drawing: Arc::default(),
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
                Box::new(Screen::stderr()),
                PICTURES,
            )),
        }
    }

    /// Writes a line or a block of data to stdout; a line feed is added where the last is missing.
    /// Once nobody reads it any more, the program ends with exit code 141.
    pub fn out(&self, text: &str) -> Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.raw(&[text.as_bytes(), end.as_bytes()])
    }

    /// Writes a document to stdout as indented JSON.
    pub fn json(&self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(document)
            .map_err(|e| Error::internal("the answer cannot be written as JSON").cause(e))?;
        self.out(&text)
    }

    fn raw(&self, parts: &[&[u8]]) -> Result<()> {
        if self.drawing.load(Ordering::Relaxed) {
            // Drawn again at the next tick. Only a terminal that is gone fails here.
            let _ = self.bars.clear();
        }
        let mut stdout = io::stdout().lock();
        let written = parts.iter().try_for_each(|part| stdout.write_all(part)).and_then(|()| stdout.flush());
        written.map_err(|error| self.not_written(error))
    }

    fn not_written(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.stdout_closed.store(true, Ordering::Relaxed);
        }
        Error::new(Kind::Destination, format!("cannot write to standard output: {error}"))
            .origin(Origin::Orchestrator)
            .cause(error)
    }

    /// Whether a reader of stdout has gone away: then the program exits with 141, whatever else.
    pub fn stdout_closed(&self) -> bool {
        self.stdout_closed.load(Ordering::Relaxed)
    }

    /// Says something on stderr; silent with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Warns on stderr; silent with `--quiet`.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{} {text}", self.paint_stderr("33", "warning:")));
        }
    }

    /// Says something on stderr that belongs to an error: also with `--quiet`.
    pub fn always(&self, text: &str) {
        self.say(text);
    }

    /// Says on stderr what failed, why, and what to do next.
    pub fn error(&self, error: &Error) {
        self.say(&error_text(error, self.colour_stderr));
    }

    /// Says on stderr that a command was called wrongly, and returns the exit code for that.
    pub fn usage(&self, command: &str, message: &str) -> u8 {
        let error = self.paint_stderr("1;31", "error:");
        self.say(&format!("{error} {message}\n\nFor more information, try 'waybill {command} --help'."));
        super::USAGE
    }

    /// Shows help on stderr.
    pub fn help(&self, help: &clap::builder::StyledStr) {
        if self.colour_stderr {
            self.say(&help.ansi().to_string());
        } else {
            self.say(&help.to_string());
        }
    }

    // A terminal that is gone is no error of ours, and nobody is left to be told.
    fn say(&self, text: &str) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        if self.drawing.load(Ordering::Relaxed) {
            let _ = self.bars.println(text);
        } else {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Draws a picture of a prompt on stderr; cursor movements are the caller's own.
    pub(super) fn draw(&self, picture: &str) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(picture.as_bytes()).and_then(|()| stderr.flush());
    }

    /// Whether text on stdout may carry colours.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Whether text on stderr may carry colours.
    pub fn colour_stderr(&self) -> bool {
        self.colour_stderr
    }

    /// A text for stdout in a colour (an SGR code such as `1`, `31`), where colours are wanted.
    pub fn paint(&self, code: &str, text: &str) -> String {
        painted(self.colour, code, text)
    }

    /// A text for stderr in a colour, where colours are wanted.
    pub fn paint_stderr(&self, code: &str, text: &str) -> String {
        painted(self.colour_stderr, code, text)
    }

    /// Whether data is wanted as JSON (`--output json`).
    pub fn json_wanted(&self) -> bool {
        self.json
    }

    /// Whether only data and errors are wanted (`--quiet`).
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether details are wanted (`--verbose`).
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether prompting is forbidden (`--no-input`).
    pub fn no_input(&self) -> bool {
        self.no_input
    }

    /// Whether a person can be asked: a terminal on stdin and stderr, and no `--no-input`.
    pub fn interactive(&self) -> bool {
        !self.no_input && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether stdout is a terminal.
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Whether stderr is a terminal that can show live progress.
    pub fn live(&self) -> bool {
        io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Columns of the terminal; 100 where there is none.
    pub fn width(&self) -> usize {
        let size = console::Term::stdout().size_checked().or_else(|| console::Term::stderr().size_checked());
        size.map_or(WIDTH, |(_, columns)| usize::from(columns).max(20))
    }

    /// Columns of the screen that progress is drawn on.
    pub fn screen_width(&self) -> usize {
        console::Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns))
    }

    /// Lines of the terminal; 24 where there is none.
    pub fn height(&self) -> usize {
        console::Term::stderr().size_checked().map_or(24, |(rows, _)| usize::from(rows))
    }

    /// Says whether [`Terminal::bars`] are on the screen: then other text goes above them.
    pub fn set_drawing(&self, drawing: bool) {
        self.drawing.store(drawing, Ordering::Relaxed);
    }

    /// The lines at the foot of stderr that are drawn anew while a command works; everything else
    /// that this type prints goes above them.
    pub fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Rows as aligned text without borders, to be passed to [`Terminal::out`]. Characters that
    /// could drive a terminal are taken out of every cell.
    pub fn table(&self, headers: &[&str], rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if !headers.is_empty() {
            table.set_header(headers.iter().map(|header| header.to_uppercase()));
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| visible(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        match (lines.split_first(), headers.is_empty()) {
            (Some((head, rest)), false) => {
                let head = self.paint("2", head);
                std::iter::once(head.as_str())
                    .chain(rest.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join("\n")
            }
            _ => lines.join("\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Terminal {
        Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() })
    }

    #[test]
    fn tables_are_aligned_without_borders() {
        let rows = vec![
            vec!["crm".to_owned(), "postgres".to_owned(), "x\u{7}".to_owned()],
            vec!["längste".to_owned(), "f".to_owned(), String::new()],
        ];
        assert_eq!(
            plain().table(&["name", "type", ""], rows),
            "NAME     TYPE\ncrm      postgres  x\u{fffd}\nlängste  f"
        );
        assert_eq!(plain().table(&[], vec![vec!["a".to_owned(), "b".to_owned()]]), "a  b");
    }
}
