//! The names of a CSV file's columns.

use std::collections::HashMap;

use waybill_protocol::{Error, Kind, Result};

use super::csv::unescape;
use super::options::{Layout, OnChange};
use super::records::{Record, Records};

/// The columns of a CSV file, and its first record where that is a row already.
pub(super) struct Header {
    /// Names, in the file's order.
    pub names: Vec<String>,
    /// The first row, where the file has no header.
    pub first: Option<Record>,
}

/// Reads the names of the columns; `None` where the file has nothing yet and its writer is waited for.
pub(super) fn read(records: &mut Records, layout: &Layout) -> Result<Option<Header>> {
    let record = loop {
        match records.next()? {
            // Blank lines before the names are no names.
            Some(record) if layout.header && record.body.is_empty() => {}
            other => break other,
        }
    };
    let shown = records.input.shown.clone();
    let Some(record) = record else {
        if !layout.header || layout.on_change == OnChange::Tail {
            return Ok(None);
        }
        return Err(Error::new(Kind::Schema, format!("{shown}: no header: the file is empty"))
            .hint("write the line with the column names, or set header to false"));
    };
    if !layout.header {
        let names = (1..=records.fields().len()).map(|n| format!("column_{n}")).collect();
        return Ok(Some(Header { names, first: Some(record) }));
    }
    let line = record.line;
    if let Some(flaw) = records.flaw(&record) {
        return Err(Error::new(Kind::Schema, format!("{shown}:{line}: the header has {}", flaw.reason))
            .hint("repair the line with the column names"));
    }
    let mut names: Vec<String> = Vec::new();
    let mut scratch = Vec::new();
    let bytes = records.bytes(&record);
    for span in records.fields() {
        let mut name = bytes.get(span.start..span.end).unwrap_or_default();
        if span.escaped {
            unescape(name, layout.quote.unwrap_or(b'"'), &mut scratch);
            name = &scratch;
        }
        let position = names.len() + 1;
        names.push(match name {
            [] => format!("column_{position}"),
            name => String::from_utf8_lossy(name).into_owned(),
        });
    }
    refuse_duplicates(&names, &format!("{shown}:{line}"))?;
    Ok(Some(Header { names, first: None }))
}

fn refuse_duplicates(names: &[String], place: &str) -> Result<()> {
    let mut seen = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name, index) {
            return Err(Error::new(
                Kind::Schema,
                format!("{place}: column {name:?} comes twice, at positions {} and {}", first + 1, index + 1),
            )
            .hint("give each column a name of its own in the header"));
        }
    }
    Ok(())
}
