//! Following a log while it grows.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::head::Head;
use super::line::Line;
use super::read::{Entry, Piece, Reader};

/// Hands over every entry of a log as it is written, from the start, and looks for more every
/// `poll`. Ends after `run.finished`, when `each` breaks, or when `alive` says that nobody writes
/// any more (everything written before is handed over first, a torn end too).
pub fn follow(
    path: &Path,
    poll: Duration,
    alive: impl FnMut() -> bool,
    mut each: impl FnMut(Entry) -> ControlFlow<()>,
) -> io::Result<()> {
    follow_pieces(path, poll, alive, |piece| each(piece.entry()))
}

/// The same before lines are parsed.
pub fn follow_pieces(
    path: &Path,
    poll: Duration,
    mut alive: impl FnMut() -> bool,
    mut each: impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut offset = 0u64;
    let mut lines = 0u64;
    loop {
        // Asked before reading: what was written before the last answer is read after it.
        let ends = !alive();
        let length = file.metadata()?.len();
        let whole = if ends { length } else { last_line_end(&mut file, offset, length)? };
        file.seek(SeekFrom::Start(offset))?;
        let mut reader = Reader::new(BufReader::new((&file).take(whole.saturating_sub(offset))));
        while let Some(piece) = reader.piece() {
            let last = matches!(&piece, Piece::Line { bytes, .. } if is_last(bytes));
            if each(shift(piece, offset, lines)).is_break() || last {
                return Ok(());
            }
        }
        if ends {
            return Ok(());
        }
        lines += count_lines(&mut file, offset, whole)?;
        offset = whole.max(offset);
        std::thread::sleep(poll);
    }
}

fn is_last(bytes: &[u8]) -> bool {
    match Head::of(bytes) {
        Some(head) => head.event == "run.finished",
        None => Line::parse(bytes).is_ok_and(|line| line.event == "run.finished"),
    }
}

/// Makes positions within a part of the file positions in the file.
fn shift(piece: Piece<'_>, offset: u64, lines: u64) -> Piece<'_> {
    match piece {
        Piece::Torn { offset: at, text_len } => Piece::Torn { offset: at + offset, text_len },
        Piece::Bad { line_no, why } => Piece::Bad { line_no: line_no + lines, why },
        Piece::Line { line_no, bytes } => Piece::Line { line_no: line_no + lines, bytes },
    }
}

/// The end of the last whole line in `from..to`, or `from`.
fn last_line_end(file: &mut File, from: u64, to: u64) -> io::Result<u64> {
    let mut end = from;
    chunks(file, from, to, |at, chunk| {
        if let Some(last) = chunk.iter().rposition(|byte| *byte == b'\n') {
            end = at + last as u64 + 1;
        }
    })?;
    Ok(end)
}

fn count_lines(file: &mut File, from: u64, to: u64) -> io::Result<u64> {
    let mut lines = 0;
    chunks(file, from, to, |_, chunk| lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64)?;
    Ok(lines)
}

fn chunks(file: &mut File, from: u64, to: u64, mut each: impl FnMut(u64, &[u8])) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let mut buffer = vec![0; 64 << 10];
    let mut at = from;
    while at < to {
        let room = usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read(buffer.get_mut(..room).unwrap_or_default())?;
        if read == 0 {
            break;
        }
        each(at, buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn line(seq: u64, event: &str) -> String {
        format!("{{\"seq\":{seq},\"ts\":\"2026-01-02T03:04:05Z\",\"event\":\"{event}\"}}\n")
    }

    #[test]
    fn lines_come_as_they_are_written_and_the_last_one_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, line(1, "run.started")).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                for text in
                    [line(2, "phase.started"), "no event\n".to_owned(), line(3, "run.finished"), line(4, "x")]
                {
                    let (head, tail) = text.split_at(9);
                    for part in [head, tail] {
                        file.write_all(part.as_bytes()).unwrap();
                        std::thread::sleep(Duration::from_millis(15));
                    }
                }
            }
        });
        let mut seen = Vec::new();
        follow(
            &path,
            Duration::from_millis(2),
            || true,
            |entry| {
                seen.push(match entry {
                    Entry::Line(line) => line.seq,
                    Entry::Bad { line_no, .. } => 100 + line_no,
                    Entry::Torn { .. } => 0,
                });
                ControlFlow::Continue(())
            },
        )
        .unwrap();
        writer.join().unwrap();
        assert_eq!(seen, [1, 2, 103, 3]);
    }

    #[test]
    fn a_log_that_nobody_writes_any_more_ends_with_its_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, line(1, "run.started") + "{\"seq\":2").unwrap();
        let (mut entries, mut asked) = (Vec::new(), 0);
        let alive = || {
            asked += 1;
            asked < 3
        };
        follow(&path, Duration::from_millis(1), alive, |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(matches!(entries[..], [Entry::Line(_), Entry::Torn { text_len: 8, .. }]), "{entries:?}");
    }
}
