//! The report page of a run: one HTML document that needs nothing else, made from its record.
//!
//! Like the summary it is a fold of the event log. What comes from data enters as text, at one
//! place (`html`); each section has a budget of bytes, so that the page stays below a megabyte
//! whatever the run was, and says what it left out.

mod compare;
mod curves;
mod gather;
mod head;
mod html;
mod keep;
mod lanes;
mod log;
mod series;
mod tables;
#[cfg(test)]
mod tests;
mod timeline;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::explain::Comparison;
use crate::summary::Summary;
use gather::Gathered;
use html::Html;

/// The bytes that a page never reaches.
pub const LARGEST: usize = 1_000_000;

/// Its only style, and its only script: the page allows no other, by their digests.
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What a page is made of.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The summary of the run, as written or rebuilt.
    pub summary: &'a Summary,
    /// Its event log, where it is still there.
    pub log: Option<&'a Path>,
    /// What differs from the last good run before it, where there is one.
    pub comparison: Option<&'a Comparison>,
    /// What the run left on disk: kind, path, whether it is there.
    pub artifacts: Vec<(String, PathBuf, bool)>,
    /// When the page is made, for people.
    pub made: String,
}

/// The page of a run. Reads its log once, in memory that does not grow with it.
pub fn page(subject: &Subject<'_>) -> std::io::Result<String> {
    let gathered = subject.log.map(Gathered::of).transpose()?.unwrap_or_default();
    Ok(draw(subject, gathered))
}

fn draw(subject: &Subject<'_>, gathered: Gathered) -> String {
    let summary = subject.summary;
    let mut html = Html::new();
    html.markup("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.around("<meta http-equiv=\"Content-Security-Policy\" content=\"", &policy(), "\">\n");
    html.markup("<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    let title = format!("{} {}: run {}", summary.connection, summary.status.word(), summary.run_id);
    html.around("<title>", &title, "</title>\n");
    html.markup("<style>").markup(STYLE).markup("</style>\n</head>\n<body>\n");
    html.markup("<a class=\"skip\" href=\"#log\">To the events</a>\n");
    head::header(&mut html, subject, &gathered);
    html.markup("<main>\n");
    head::faults(&mut html, summary);
    timeline::section(&mut html, &gathered);
    curves::section(&mut html, summary, &gathered);
    compare::section(&mut html, subject);
    tables::streams(&mut html, summary);
    tables::state(&mut html, summary);
    tables::warnings(&mut html, summary);
    tables::settings(&mut html, summary, &gathered.settings);
    tables::artifacts(&mut html, subject);
    log::section(&mut html, subject, gathered);
    html.markup("</main>\n");
    html.around("<footer><p>Made by waybill ", env!("CARGO_PKG_VERSION"), " on ");
    html.text(&subject.made)
        .markup(" from the record of the run alone. This page needs no network.</p></footer>\n");
    html.markup("<script>").markup(SCRIPT).markup("</script>\n</body>\n</html>\n");
    html.finish()
}

/// Nothing may be loaded, sent or run but this page's own style and script.
fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}
