//! Reading by cursor: the window `[floor, ceiling]` of a read.
//!
//! SQLite has one writer, and one snapshot holds everything that was committed; so no transaction
//! can be open below the snapshot with values of its own, and the fence of open transactions falls
//! away. What remains is that a time may be taken a moment before its transaction is committed.

use std::cmp::Ordering;

use rusqlite::Connection;
use waybill_protocol::{CursorValue, Logical, Lookback, Result, StreamState};

use super::cursor::{Cursor, Rows};

/// How far a clock's time may lie behind its commit, microseconds.
const CLOCK_MARGIN_US: i64 = 5_000_000;

/// The window of one read, fixed by its snapshot.
pub(crate) struct Window {
    /// State before the read.
    before: StreamState,
    /// C: the end that the read answers for.
    end: Option<CursorValue>,
    /// C less the lookback.
    back: Option<CursorValue>,
}

impl Window {
    /// Finds the end in the snapshot that `conn` has open.
    pub(crate) fn new(
        conn: &Connection,
        rows: &Rows,
        cursor: &Cursor,
        before: StreamState,
        lookback: Option<&Lookback>,
        now_us: i64,
    ) -> Result<Window> {
        let found = cursor.highest(conn, rows)?;
        let top = match (found, &before.ceiling) {
            (Some(found), Some(ceiling)) if cursor.logical == Logical::Text => {
                if cursor.any_above(conn, rows, ceiling)? { Some(found) } else { Some(ceiling.clone()) }
            }
            (found, ceiling) => highest(found, ceiling.clone()),
        };
        let limit = now_us.saturating_sub(CLOCK_MARGIN_US);
        let end = match top {
            Some(CursorValue::Timestamp(us)) => {
                highest(Some(CursorValue::Timestamp(us.min(limit))), before.ceiling.clone())
            }
            Some(CursorValue::TimestampTz(us)) => {
                highest(Some(CursorValue::TimestampTz(us.min(limit))), before.ceiling.clone())
            }
            other => other,
        };
        let back = match (&end, lookback) {
            (Some(end), Some(lookback)) => Some(end.minus(lookback)?),
            (end, _) => end.clone(),
        };
        Ok(Window { before, end, back })
    }

    /// Where the read starts; nothing for −∞.
    pub(crate) fn floor(&self) -> Option<&CursorValue> {
        self.before.floor.as_ref()
    }

    /// The state once everything was read.
    pub(crate) fn after(&self) -> StreamState {
        StreamState {
            // Text has no order here; its end never lies below its floor.
            floor: match &self.back {
                Some(text @ CursorValue::Text(_)) => Some(text.clone()),
                back => highest(self.before.floor.clone(), back.clone()),
            },
            ceiling: self.end.clone(),
            ..self.before.clone()
        }
    }

    /// The state once everything up to `m` was read in order.
    pub(crate) fn up_to(&self, m: &CursorValue) -> StreamState {
        let floor = lowest(m, self.back.as_ref());
        let ceiling = lowest(m, self.end.as_ref());
        StreamState {
            floor: highest(self.before.floor.clone(), Some(floor)),
            ceiling: highest(self.before.ceiling.clone(), Some(ceiling)),
            ..self.before.clone()
        }
    }
}

fn highest(a: Option<CursorValue>, b: Option<CursorValue>) -> Option<CursorValue> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.order(&b) == Some(Ordering::Less) { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn lowest(a: &CursorValue, b: Option<&CursorValue>) -> CursorValue {
    match b {
        Some(b) if b.order(a) == Some(Ordering::Less) => b.clone(),
        _ => a.clone(),
    }
}
