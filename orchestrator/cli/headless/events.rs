//! Where a backend gets the events of its run: a descriptor that it opened, stderr, or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use waybill_protocol::{Error, Result};

use crate::events::{Line, Reporter};

/// Opens a descriptor that the caller handed down.
pub(super) fn descriptor(number: u32) -> Result<Stream> {
    if number < 2 {
        return Err(Error::config(format!("descriptor {number} cannot take the events"))
            .hint("standard output carries the answer: hand down another descriptor, such as 3"));
    }
    // Opened anew by its name, which needs no unsafe code; appending, since a file starts at its
    // beginning again when it is opened.
    let place = format!("/dev/fd/{number}");
    open(Path::new(&place), false).map_err(|e| {
        Error::config(format!("descriptor {number} cannot take the events: {e}"))
            .hint(
                "hand down an open pipe or file, such as 3>events.jsonl; a socket cannot be opened this way",
            )
            .cause(e)
    })
}

/// Opens a file, or stderr by that name.
pub(super) fn named(place: &str) -> Result<Stream> {
    if place == "stderr" {
        return Ok(Stream { output: Box::new(io::stderr()), failed: false });
    }
    open(Path::new(place), true).map_err(|e| {
        Error::config(format!("the file {place} cannot take the events: {e}"))
            .hint("name a file in a folder that exists and can be written")
            .cause(e)
    })
}

fn open(path: &Path, create: bool) -> io::Result<Stream> {
    let file: File = OpenOptions::new().append(true).create(create).open(path)?;
    Ok(Stream { output: Box::new(file), failed: false })
}

/// Writes each event as a line of JSON. A reader that has gone away gets no more.
pub(super) struct Stream {
    output: Box<dyn Write + Send>,
    failed: bool,
}

impl Reporter for Stream {
    fn line(&mut self, line: &Line) {
        if self.failed {
            return;
        }
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        self.failed = self.output.write_all(&text).and_then(|()| self.output.flush()).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_lines_of_the_log() {
        let text = r#"{"v":1,"seq":1,"ts":"2026-01-02T03:04:05.000000Z","t_ms":0,"level":"info","event":"phase.started","run_id":"r","connection":"c","phase":"read","message":"m","data":{}}"#;
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("events.jsonl");
        let mut stream = named(&place.display().to_string()).unwrap();
        stream.line(&Line::parse(text.as_bytes()).unwrap());
        stream.line(&Line::parse(text.as_bytes()).unwrap());
        assert_eq!(std::fs::read_to_string(&place).unwrap(), format!("{text}\n{text}\n"));
        assert!(named("/nowhere/at/all").is_err());
        assert!(descriptor(1).is_err());
        assert!(descriptor(987_654).is_err());
    }
}
