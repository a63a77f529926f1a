//! A text as its readers may decode it: JSON-unescaped, percent-decoded, with `+` as a space.
//!
//! Encoders differ in what they leave alone, so a secret is looked for in the decoded text rather
//! than in every spelling; each decoded byte knows where in the original it came from.

use std::borrow::Cow;
use std::ops::Range;

/// How deeply JSON inside JSON, and a URL inside a URL, is looked into.
const DEPTH: usize = 3;

/// One way to read a text.
pub(super) struct View<'a> {
    /// The bytes after decoding.
    pub(super) bytes: Cow<'a, [u8]>,
    /// Where each of them, and the end, begins in the original; absent for the text itself.
    starts: Option<Vec<usize>>,
}

impl View<'_> {
    /// The part of the original that a range of the decoded bytes came from.
    pub(super) fn original(&self, range: Range<usize>) -> Range<usize> {
        match &self.starts {
            None => range,
            Some(starts) => {
                let at = |index: usize| starts.get(index).copied().unwrap_or(0);
                at(range.start)..at(range.end)
            }
        }
    }

    fn start(&self, index: usize) -> usize {
        self.starts.as_ref().map_or(index, |starts| starts.get(index).copied().unwrap_or(0))
    }
}

/// Every way to read a text that differs from the ones before it; the text itself is the first.
pub(super) fn views(text: &str) -> Vec<View<'_>> {
    let mut all = vec![View { bytes: Cow::Borrowed(text.as_bytes()), starts: None }];
    let escapes = text.contains('\\');
    let encoded = text.contains('%') || text.contains('+');
    if !escapes && !encoded {
        return all;
    }
    for depth in 0..DEPTH {
        match all.get(depth).and_then(|view| decode(view, &unescape)) {
            Some(view) => all.push(view),
            None => break,
        }
    }
    for index in 0..all.len() {
        for plus in [false, true] {
            let step = move |bytes: &[u8]| percent(bytes, plus);
            let mut next = all.get(index).and_then(|view| decode(view, &step));
            for _ in 0..DEPTH {
                let Some(view) = next else { break };
                next = decode(&view, &|bytes| percent(bytes, false));
                all.push(view);
            }
        }
    }
    all
}

/// What stands at the head of `bytes` and how long it is there; `None`: one byte that is itself.
type Step = dyn Fn(&[u8]) -> Option<(Decoded, usize)>;

enum Decoded {
    Byte(u8),
    Char(char),
}

fn decode<'a>(view: &View<'_>, step: &Step) -> Option<View<'a>> {
    let mut bytes = Vec::with_capacity(view.bytes.len());
    let mut starts = Vec::with_capacity(view.bytes.len() + 1);
    let (mut at, mut changed) = (0, false);
    while let Some(rest) = view.bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let before = bytes.len();
        let used = match step(rest) {
            Some((Decoded::Byte(byte), used)) => {
                bytes.push(byte);
                changed = true;
                used
            }
            Some((Decoded::Char(letter), used)) => {
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                changed = true;
                used
            }
            None => {
                bytes.extend(rest.first());
                1
            }
        };
        starts.resize(starts.len() + bytes.len() - before, view.start(at));
        at += used;
    }
    starts.push(view.start(view.bytes.len()));
    changed.then_some(View { bytes: Cow::Owned(bytes), starts: Some(starts) })
}

fn percent(bytes: &[u8], plus: bool) -> Option<(Decoded, usize)> {
    match bytes {
        [b'+', ..] if plus => Some((Decoded::Byte(b' '), 1)),
        [b'%', high, low, ..] => {
            let value = (hex(*high)? << 4) | hex(*low)?;
            Some((Decoded::Byte(value as u8), 3))
        }
        _ => None,
    }
}

fn unescape(bytes: &[u8]) -> Option<(Decoded, usize)> {
    let [b'\\', kind, rest @ ..] = bytes else { return None };
    let byte = match kind {
        b'"' | b'\\' | b'/' | b'\'' => *kind,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'0' => 0,
        b'u' => return unicode(rest).map(|(letter, used)| (Decoded::Char(letter), used + 2)),
        _ => return None,
    };
    Some((Decoded::Byte(byte), 2))
}

/// `XXXX`, a pair of surrogates, or `{X…}` as Rust's own debug form has it.
fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    if let [b'{', rest @ ..] = bytes {
        let end = rest.iter().take(7).position(|byte| *byte == b'}').filter(|end| *end > 0)?;
        return Some((char::from_u32(digits(rest.get(..end)?)?)?, end + 2));
    }
    let high = digits(bytes.get(..4)?)?;
    if let Some(letter) = char::from_u32(high) {
        return Some((letter, 4));
    }
    let low = digits(bytes.get(4..).and_then(|rest| rest.strip_prefix(b"\\u"))?.get(..4)?)?;
    let pair = char::decode_utf16([high as u16, low as u16]).next()?.ok()?;
    Some((pair, 10))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |sum, byte| Some((sum << 4) | hex(*byte)?))
}

fn hex(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &str, wanted: &str) -> Option<String> {
        views(text).iter().find_map(|view| {
            let bytes = view.bytes.as_ref();
            let at = bytes.windows(wanted.len()).position(|window| window == wanted.as_bytes())?;
            Some(text[view.original(at..at + wanted.len())].to_owned())
        })
    }

    #[test]
    fn a_decoded_byte_knows_where_it_came_from() {
        for (text, wanted, original) in [
            ("x=p%40ss w%c3%A9rd;", "p@ss wérd", "p%40ss w%c3%A9rd"),
            ("a+b%2Bc", "a b+c", "a+b%2Bc"),
            (r#"say \"hi\\\/\u00e9\n."#, "\"hi\\/é\n", r#"\"hi\\\/\u00e9\n"#),
            (r"\ud83d\ude00!", "😀!", r"\ud83d\ude00!"),
            (r"\u{e9}t\u{1f600}", "ét😀", r"\u{e9}t\u{1f600}"),
            (r#"{\"a\":\"b\\\\\"c\"}"#, r#""b\"c""#, r#"\"b\\\\\"c\""#),
            (r"p\u002540x", "p@x", r"p\u002540x"),
            ("a%252Fb", "a/b", "a%252Fb"),
            ("é%e9%", "é", "é"),
        ] {
            assert_eq!(finds(text, wanted).as_deref(), Some(original), "{text}");
        }
        assert_eq!(views("plain text").len(), 1);
        assert_eq!(views("%zz %4 \\x \\u12 \\ud800 \\u{}").len(), 1);
    }
}
