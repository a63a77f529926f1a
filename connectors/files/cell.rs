//! One value as a file writes it, before it has a type.

/// A value as written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    /// A CSV field: its text, which may be of any type.
    Field(&'a [u8]),
    /// A JSON number.
    Number(&'a [u8]),
    /// A JSON string.
    Text {
        /// With its quotes and escapes.
        raw: &'a [u8],
        /// What it says.
        text: &'a [u8],
    },
    /// `true` or `false` in JSON.
    Bool(&'a [u8]),
    /// A JSON object or array.
    Nested(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// What a column of text holds of it.
    pub(super) fn text(&self) -> &'a [u8] {
        match self {
            Cell::Null => &[],
            Cell::Field(b) | Cell::Number(b) | Cell::Bool(b) | Cell::Nested(b) => b,
            Cell::Text { text, .. } => text,
        }
    }

    /// Its digits, where it may be a number; a string only where the type was declared.
    pub(super) fn number(&self, declared: bool) -> Option<&'a [u8]> {
        match self {
            Cell::Field(b) | Cell::Number(b) => Some(b),
            Cell::Text { text, .. } if declared => Some(text),
            _ => None,
        }
    }

    /// Its text, where it may be a date, a time or a UUID.
    pub(super) fn words(&self) -> Option<&'a [u8]> {
        match self {
            Cell::Field(text) | Cell::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}
