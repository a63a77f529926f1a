//! Reading by cursor: the window `[floor, ceiling]` of a read.
//!
//! SQLite has one writer, and one snapshot holds everything that was committed; so no transaction
//! can be open below the snapshot with values of its own, and the fence of open transactions falls
//! away. What remains is that a time may be taken a moment before its transaction is committed.

use std::cmp::Ordering;

use rusqlite::Connection;
use waybill_protocol::clock::clock_bound;
use waybill_protocol::state::WINDOW_LIMIT;
use waybill_protocol::{
    CursorValue, Error, Logical, Lookback, Origin, Result, StreamRead, StreamState, WriteMode,
};

use super::cursor::{Cursor, Rows};
use super::fault::Doing;

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
        let clock = match &top {
            Some(top) => clock_bound(cursor.logical, now_us, top)?,
            None => None,
        };
        let end = match (top, clock) {
            (Some(top), Some(clock)) => highest(Some(lowest(&top, Some(&clock))), before.ceiling.clone()),
            (top, _) => top,
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

    /// Refuses, before the first row, an append after which more rows would have to be remembered
    /// than a window holds: those from the next floor up. Without an index the count would be a
    /// scan of its own; there whoever remembers the rows counts them.
    pub(crate) fn check_bound(
        &self,
        conn: &Connection,
        rows: &Rows,
        cursor: &Cursor,
        stream: &StreamRead,
    ) -> Result<()> {
        let append = match stream.selection.write {
            Some(write) => write == WriteMode::Append,
            None => stream.primary_key.is_empty(),
        };
        let counted = stream.ordered || stream.selection.lookback.is_some();
        let (Some(floor), true, true) = (self.after().floor, append, counted) else { return Ok(()) };
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} AND {} >= ?1 LIMIT {})",
            rows.from,
            rows.filter,
            cursor.expression,
            WINDOW_LIMIT + 1
        );
        let bound = [cursor.bind(&floor)?];
        let count: i64 =
            conn.query_row(&sql, bound, |row| row.get(0)).reading("count the rows to remember")?;
        if usize::try_from(count).unwrap_or(0) <= WINDOW_LIMIT {
            return Ok(());
        }
        let smaller = if stream.selection.lookback.is_some() { "make lookback smaller, or " } else { "" };
        Err(Error::data(format!(
            "stream {}: more than {WINDOW_LIMIT} rows lie from {floor} up, and to append each of them once every one would have to be remembered",
            stream.stream
        ))
        .origin(Origin::Source)
        .stream(&stream.stream)
        .hint(format!("{smaller}set write to merge with a primary_key, or set mode to full_refresh")))
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
