//! What a secret looks like in a text: its forms, where they count, and what is put in their place.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::redact::{MASK, SHORT};
use super::views::{View, views};

/// Where in a base64 text a secret may begin, by bytes before it modulo three.
pub(super) const ALIGNMENTS: [usize; 3] = [0, 1, 2];

/// A secret, its place, and the user name that it is sent with.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) user: Option<String>,
}

pub(super) fn known(name: &str, value: &str) -> Known {
    Known { name: name.to_owned(), value: value.to_owned(), user: None }
}

/// Secrets inside a secret: its trimmed form, the lines of a key, the userinfo of a URL.
pub(super) fn parts(name: &str, secret: &str) -> Vec<Known> {
    let known = |value: &str| known(name, value);
    let mut found = Vec::new();
    if secret.trim() != secret {
        found.push(known(secret.trim()));
    }
    if secret.contains('\n') {
        found.push(known(&secret.replace('\n', "\r\n")));
        let lines =
            secret.lines().map(str::trim).filter(|line| line.len() >= 16 && !line.starts_with("-----"));
        found.extend(lines.map(&known));
    }
    if let Some((_, rest)) = secret.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        if let Some((user, password)) = authority.rsplit_once('@').and_then(|(info, _)| info.split_once(':'))
        {
            for view in views(password) {
                if let Ok(password) = std::str::from_utf8(&view.bytes) {
                    found.push(Known { user: Some(user.to_owned()), ..known(password) });
                }
            }
        }
    }
    found.retain(|part| !part.value.is_empty());
    found
}

/// One text that is looked for.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// Which secret.
    secret: usize,
    /// Only as a whole value, or in a URL or DSN.
    short: bool,
    /// The base64 letter before it holds bits of the secret too.
    before: bool,
    /// The base64 letter after it holds bits of the secret too.
    after: bool,
}

const PLAIN: Form = Form { secret: 0, short: false, before: false, after: false };

/// Secrets made ready to be found.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) secrets: Vec<Known>,
    forms: Vec<Form>,
    finder: Option<AhoCorasick>,
}

impl Rules {
    pub(super) fn new(secrets: Vec<Known>, alignments: &[usize]) -> Rules {
        let mut patterns: Vec<(Vec<u8>, Form)> = Vec::new();
        for (secret, Known { value, user, .. }) in secrets.iter().enumerate() {
            let bytes = value.as_bytes();
            let before = patterns.len();
            if bytes.len() < SHORT {
                let short = Form { short: true, ..PLAIN };
                patterns.push((bytes.to_vec(), short));
                let encoded = [STANDARD.encode(bytes), STANDARD_NO_PAD.encode(bytes)];
                let safe = [URL_SAFE.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)];
                patterns.extend(encoded.into_iter().chain(safe).map(|text| (text.into_bytes(), short)));
            } else {
                patterns.push((bytes.to_vec(), PLAIN));
                patterns.extend(alignments.iter().flat_map(|offset| base64_forms(bytes, *offset)));
            }
            if let Some(pair) =
                user.as_ref().map(|user| format!("{user}:{value}")).filter(|p| p.len() >= SHORT)
            {
                patterns.extend(base64_forms(pair.as_bytes(), 0));
            }
            patterns.iter_mut().skip(before).for_each(|(_, form)| form.secret = secret);
        }
        let forms = patterns.iter().map(|(_, form)| *form).collect();
        let finder = AhoCorasick::new(patterns.iter().map(|(bytes, _)| bytes)).ok();
        Rules { secrets, forms, finder }
    }

    /// The text with every secret masked.
    pub(super) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.secrets.is_empty() {
            return Cow::Borrowed(text);
        }
        // Without a finder (more secrets than an automaton holds) nothing can be trusted to pass.
        let Some(finder) = &self.finder else { return Cow::Borrowed(MASK) };
        let mut hits: Vec<Range<usize>> = Vec::new();
        for view in views(text) {
            self.search(finder, &view, &mut |_, hit| {
                hits.push(hit);
                true
            });
        }
        if hits.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(mask(text, hits)) }
    }

    /// The place of a secret that stands in the text, and where there.
    pub(super) fn find(&self, text: &str) -> Option<(&str, Range<usize>)> {
        let finder = self.finder.as_ref().filter(|_| !self.secrets.is_empty())?;
        let mut found = None;
        for view in views(text) {
            self.search(finder, &view, &mut |secret, hit| {
                found = Some((secret, hit));
                false
            });
            if let Some((secret, hit)) = found {
                return self.secrets.get(secret).map(|known| (known.name.as_str(), hit));
            }
        }
        None
    }

    /// Every occurrence, overlapping ones too: of secrets that overlap, none keeps a remainder.
    /// `found` gets the secret and its place in the original, and says whether to go on.
    fn search(
        &self,
        finder: &AhoCorasick,
        view: &View<'_>,
        found: &mut dyn FnMut(usize, Range<usize>) -> bool,
    ) {
        let bytes = view.bytes.as_ref();
        for hit in finder.find_overlapping_iter(bytes) {
            let Some(form) = self.forms.get(hit.pattern().as_usize()) else { continue };
            let (mut start, mut end) = (hit.start(), hit.end());
            if form.short && !stands_alone(bytes, start, end) {
                continue;
            }
            if form.before && start > 0 && bytes.get(start - 1).is_some_and(is_base64) {
                start -= 1;
            }
            if form.after && bytes.get(end).is_some_and(is_base64) {
                end += 1;
                while bytes.get(end) == Some(&b'=') {
                    end += 1;
                }
            }
            if !found(form.secret, view.original(start..end)) {
                return;
            }
        }
    }
}

/// The letters of base64 that hold bits of nothing but the secret, when `offset` bytes (modulo
/// three) stand before it; in both alphabets.
fn base64_forms(secret: &[u8], offset: usize) -> Vec<(Vec<u8>, Form)> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(secret);
    let mixed = !padded.len().is_multiple_of(3);
    let skip = [0, 2, 3].get(offset).copied().unwrap_or(0);
    let form = Form { before: offset != 0, after: mixed, ..PLAIN };
    let mut forms: Vec<(Vec<u8>, Form)> = Vec::with_capacity(2);
    for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
        let end = text.len() - usize::from(mixed);
        let core = text.get(skip..end).unwrap_or_default().as_bytes().to_vec();
        if !core.is_empty() && forms.iter().all(|(known, _)| *known != core) {
            forms.push((core, form));
        }
    }
    forms
}

fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Whether what stands at `start..end` is a whole value, the userinfo of a URL, or the value of a
/// DSN's password.
fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, after) = (bytes.get(..start).unwrap_or_default(), bytes.get(end..).unwrap_or_default());
    if before.trim_ascii().is_empty() && after.trim_ascii().is_empty() {
        return true;
    }
    in_userinfo(before, after) || is_password_value(before, after)
}

fn in_userinfo(before: &[u8], after: &[u8]) -> bool {
    if after.first() != Some(&b'@') {
        return false;
    }
    let token = before.rsplit(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    let Some(at) = token.windows(3).rposition(|window| window == b"://") else { return false };
    let info = token.get(at + 3..).unwrap_or_default();
    !info.contains(&b'/') && (info.is_empty() || info.last() == Some(&b':'))
}

fn is_password_value(before: &[u8], after: &[u8]) -> bool {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b";&,'\")}]\\".contains(byte);
    if after.first().is_some_and(|byte| !ends(byte)) {
        return false;
    }
    let quote = |byte: &u8| byte.is_ascii_whitespace() || b"'\"\\{".contains(byte);
    let trim = |mut text: &[u8]| {
        while let Some(rest) = text.split_last().filter(|(last, _)| quote(last)).map(|(_, rest)| rest) {
            text = rest;
        }
        text.to_ascii_lowercase()
    };
    let before = trim(before);
    let Some(key) = before.strip_suffix(b"=").or_else(|| before.strip_suffix(b":")) else { return false };
    let key = trim(key);
    ["password", "passwd", "pwd", "pass", "secret", "token", "key"]
        .iter()
        .any(|word| key.ends_with(word.as_bytes()))
}

fn mask(text: &str, mut hits: Vec<Range<usize>>) -> String {
    hits.sort_by_key(|hit| (hit.start, hit.end));
    let mut out = String::with_capacity(text.len());
    let (mut at, mut masked_to) = (0, 0);
    for hit in hits {
        let mut start = hit.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = hit.end.min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        if start > masked_to || masked_to == 0 {
            out.push_str(text.get(at..start).unwrap_or_default());
            out.push_str(MASK);
        }
        masked_to = masked_to.max(end);
        at = masked_to;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
