//! The values of a CSV record.

use super::cell::Cell;
use super::csv::{Span, unescape};
use super::faults::Flaw;
use super::options::Layout;

/// Calls `each` for every field of a record, in order.
pub(super) fn each(
    bytes: &[u8],
    spans: &[Span],
    layout: &Layout,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(usize, &Cell<'_>) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    for (index, span) in spans.iter().enumerate() {
        let text = bytes.get(span.start..span.end).unwrap_or_default();
        let cell = if span.escaped {
            unescape(text, layout.quote.unwrap_or(b'"'), scratch);
            Cell::Field(scratch)
        } else if !span.quoted && layout.nulls.iter().any(|null| null == text) {
            Cell::Null
        } else {
            Cell::Field(text)
        };
        each(index, &cell)?;
    }
    Ok(())
}

/// Whether a record has as many fields as there are columns.
pub(super) fn count(found: usize, expected: usize) -> Result<(), Flaw> {
    if found == expected {
        return Ok(());
    }
    Err(Flaw::row(format!("expected {expected} fields, found {found}")))
}
