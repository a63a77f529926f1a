//! What is kept of a loaded row: how often it came, and its cursor in little room.

use std::cmp::Ordering;
use std::sync::Arc;

use waybill_protocol::{CursorValue, Identity, WindowEntry};

/// A loaded row.
#[derive(Debug, Clone)]
pub struct Known {
    /// How many rows have this identity.
    pub count: u32,
    /// Their cursor.
    pub cursor: Mark,
}

/// A cursor value. A window may hold a million: numbers and times need no memory of their own here.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A whole number.
    Int(i64),
    /// A date.
    Date(i32),
    /// A time without zone.
    Timestamp(i64),
    /// An instant.
    TimestampTz(i64),
    /// Any other.
    Other(Arc<CursorValue>),
}

impl From<CursorValue> for Mark {
    fn from(value: CursorValue) -> Mark {
        match value {
            CursorValue::Int(value) => Mark::Int(value),
            CursorValue::Date(value) => Mark::Date(value),
            CursorValue::Timestamp(value) => Mark::Timestamp(value),
            CursorValue::TimestampTz(value) => Mark::TimestampTz(value),
            other => Mark::Other(Arc::new(other)),
        }
    }
}

impl Mark {
    /// As [`CursorValue::order`] of the two values.
    pub fn order(&self, other: &CursorValue) -> Option<Ordering> {
        match self {
            Mark::Other(value) => value.order(other),
            plain => plain.value().order(other),
        }
    }

    /// Whether it lies below; never for text that differs, whose order only the source knows.
    pub fn below(&self, other: &CursorValue) -> bool {
        self.order(other) == Some(Ordering::Less)
    }

    fn value(&self) -> CursorValue {
        match self {
            Mark::Int(value) => CursorValue::Int(*value),
            Mark::Date(value) => CursorValue::Date(*value),
            Mark::Timestamp(value) => CursorValue::Timestamp(*value),
            Mark::TimestampTz(value) => CursorValue::TimestampTz(*value),
            Mark::Other(value) => value.as_ref().clone(),
        }
    }
}

/// Makes entries for the destination; rows in a row with one cursor share its text.
#[derive(Debug, Default)]
pub struct Entries {
    last: Option<(Mark, Arc<str>)>,
}

impl Entries {
    /// The entry of an identity.
    pub fn entry(&mut self, identity: Identity, count: u32, cursor: &Mark) -> WindowEntry {
        let text = match &self.last {
            Some((mark, text)) if mark == cursor => Arc::clone(text),
            _ => {
                let text = serde_json::to_string(&cursor.value()).unwrap_or_default();
                let text: Arc<str> = text.into();
                self.last = Some((cursor.clone(), Arc::clone(&text)));
                text
            }
        };
        WindowEntry { identity, count, cursor: text }
    }
}
