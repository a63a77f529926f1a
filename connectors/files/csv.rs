//! Where the fields of a CSV record begin and end, over a buffer that may end anywhere.
//!
//! Written out because a published reader that tells a quoted empty field (the empty text) from an
//! unquoted one (NULL), and says where a quote was opened, was not to be had. Stateless: a record
//! that does not end in the buffer is looked at again when there is more of it.

use memchr::{memchr, memchr_iter};

/// More fields than this in one record are not looked at: no table is that wide.
pub(super) const MAX_FIELDS: usize = 65_536;

/// A field: its bytes without the quotes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
    /// It stood in quotes.
    pub quoted: bool,
    /// It holds doubled quotes, each of which means one.
    pub escaped: bool,
}

/// What is wrong with how a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slip {
    /// Something follows a closing quote.
    AfterQuote,
    /// A carriage return outside quotes that does not belong to a line end.
    LoneReturn,
    /// More than [`MAX_FIELDS`].
    TooManyFields,
}

/// What was found at the beginning of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A record.
    Record {
        /// Its bytes without its line end.
        body: usize,
        /// Its bytes with it.
        len: usize,
        /// Line ends in it, its own included.
        lines: u64,
        /// Whether it has a line end of its own.
        ended: bool,
        /// What is wrong with it.
        slip: Option<Slip>,
    },
    /// Its end is not in the buffer. Where a quote is open: the line ends before that quote.
    More(Option<u64>),
    /// The file ends inside quotes opened after so many line ends.
    OpenQuote(u64),
}

/// Finds records of one way of writing CSV.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    delimiter: u8,
    quote: Option<u8>,
    /// Bytes at which an unquoted field may end.
    special: [bool; 256],
}

impl Splitter {
    /// A splitter for a delimiter and a quote character.
    pub(super) fn new(delimiter: u8, quote: Option<u8>) -> Splitter {
        let mut special = [false; 256];
        for byte in [delimiter, b'\n', b'\r'] {
            if let Some(slot) = special.get_mut(usize::from(byte)) {
                *slot = true;
            }
        }
        Splitter { delimiter, quote, special }
    }

    /// Looks for a record at the beginning of `b`; `eof` when nothing follows the buffer.
    pub(super) fn next(&self, b: &[u8], eof: bool, fields: &mut Vec<Span>) -> Step {
        fields.clear();
        let (mut at, mut lines, mut slip) = (0usize, 0u64, None);
        loop {
            let mut span = Span { start: at, end: at, quoted: false, escaped: false };
            if self.quote.is_some() && b.get(at).copied() == self.quote {
                match self.quoted(b, at) {
                    Ok(quoted) => span = quoted,
                    Err(()) if eof => return Step::OpenQuote(lines),
                    Err(()) => return Step::More(Some(lines)),
                }
                let inside = b.get(span.start..span.end).unwrap_or_default();
                lines += memchr_iter(b'\n', inside).count() as u64;
                at = span.end + 1;
            }
            let body = at;
            let ended = loop {
                at = self.plain(b, at);
                match (b.get(at).copied(), b.get(at + 1).copied()) {
                    (None, _) if !eof => return Step::More(None),
                    (Some(b'\r'), None) if !eof => return Step::More(None),
                    (Some(b'\r'), Some(b'\n')) => break Some(2),
                    (Some(b'\r'), _) => {
                        slip = slip.or(Some(Slip::LoneReturn));
                        at += 1;
                    }
                    (None, _) => break Some(0),
                    (Some(b'\n'), _) => break Some(1),
                    (Some(_), _) => break None,
                }
            };
            if !span.quoted {
                span.end = at;
            } else if at > body {
                slip = slip.or(Some(Slip::AfterQuote));
            }
            if fields.len() < MAX_FIELDS {
                fields.push(span);
            } else {
                slip = slip.or(Some(Slip::TooManyFields));
            }
            match ended {
                None => at += 1,
                Some(end) => {
                    let ended = end > 0;
                    let lines = lines + u64::from(ended);
                    return Step::Record { body: at, len: at + end, lines, ended, slip };
                }
            }
        }
    }

    fn plain(&self, b: &[u8], from: usize) -> usize {
        let rest = b.get(from..).unwrap_or_default();
        let step = rest.iter().position(|byte| self.special.get(usize::from(*byte)) == Some(&true));
        step.map_or(b.len(), |step| from + step)
    }

    /// The field whose opening quote is at `at`; an error when no closing one is in sight. One at the
    /// very end may turn out to be doubled: the caller, who finds nothing behind it, asks again.
    fn quoted(&self, b: &[u8], at: usize) -> Result<Span, ()> {
        let quote = self.quote.unwrap_or(self.delimiter);
        let mut span = Span { start: at + 1, end: at + 1, quoted: true, escaped: false };
        loop {
            let rest = b.get(span.end..).unwrap_or_default();
            span.end += memchr(quote, rest).ok_or(())?;
            match b.get(span.end + 1) {
                Some(byte) if *byte == quote => {
                    span.escaped = true;
                    span.end += 2;
                }
                _ => return Ok(span),
            }
        }
    }
}

/// Turns doubled quotes into single ones.
pub(super) fn unescape(field: &[u8], quote: u8, out: &mut Vec<u8>) {
    out.clear();
    let mut rest = field;
    while let Some(at) = memchr(quote, rest) {
        out.extend_from_slice(rest.get(..=at).unwrap_or_default());
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (Vec<(String, bool)>, Step) {
        let mut fields = Vec::new();
        let step = Splitter::new(b',', Some(b'"')).next(text.as_bytes(), true, &mut fields);
        let fields = fields.iter().map(|s| (text[s.start..s.end].to_owned(), s.quoted)).collect();
        (fields, step)
    }

    #[test]
    fn quoted_and_unquoted_empty_fields_differ_and_line_ends_count() {
        let (fields, step) = split("a,\"\",,\"x\ny\"\r\nnext");
        let want = [("a", false), ("", true), ("", false), ("x\ny", true)];
        assert_eq!(fields, want.map(|(t, q)| (t.to_owned(), q)));
        assert_eq!(step, Step::Record { body: 11, len: 13, lines: 2, ended: true, slip: None });
        assert_eq!(split("a,").0.len(), 2);
        assert_eq!(split("\"a\"b,c\n").0.len(), 2);
        assert!(matches!(split("\"a\"b,c\n").1, Step::Record { slip: Some(Slip::AfterQuote), .. }));
        assert!(matches!(split("a\rb\n").1, Step::Record { len: 4, slip: Some(Slip::LoneReturn), .. }));
        assert_eq!(split("a,\"x\ny").1, Step::OpenQuote(0));
        assert_eq!(split("\"a\nb\",\"c").1, Step::OpenQuote(1));
        assert_eq!(split("say \"hi\",b\n").0[0].0, "say \"hi\"");
    }

    #[test]
    fn wherever_the_buffer_ends_the_record_is_the_same() {
        let text = "a,\"b\"\"c\n\",,\"\",é\r\n";
        let splitter = Splitter::new(b',', Some(b'"'));
        let (mut whole, mut part) = (Vec::new(), Vec::new());
        let step = splitter.next(text.as_bytes(), false, &mut whole);
        assert!(matches!(step, Step::Record { len, lines: 2, .. } if len == text.len()));
        for cut in 0..text.len() {
            let step = splitter.next(&text.as_bytes()[..cut], false, &mut part);
            assert!(matches!(step, Step::More(_)), "cut at {cut}: {step:?}");
        }
        let mut out = Vec::new();
        unescape(&text.as_bytes()[whole[1].start..whole[1].end], b'"', &mut out);
        assert_eq!(out, b"b\"c\n");
    }
}
