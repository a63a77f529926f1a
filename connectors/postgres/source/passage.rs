//! Rows of a binary COPY that pass through undecoded: only their borders are looked at.

use arrow_array::ArrayRef;
use waybill_protocol::{Result, WireRows};

use crate::postgres::decode::{self, ColumnPlan, Stop, expected, take_i16, take_value, torn};

/// The bytes of a batch: nothing is done per batch that would be worth more of them in memory.
pub(super) const BATCH: usize = 1 << 20;
/// Room that a gathered batch begins with, bytes: a batch and its last row, so that it need not be
/// doubled for that.
const ROOM: usize = BATCH + (64 << 10);

/// Gathers whole rows.
pub(super) struct Passage {
    columns: usize,
    rows: WireRows,
    /// The cursor: its place in a row, what it is, and its value in the last row.
    cursor: Option<(usize, ColumnPlan)>,
    last: Option<Option<Vec<u8>>>,
    started: bool,
    ended: bool,
}

impl Passage {
    /// For rows of so many columns; the last cursor of each batch is decoded.
    pub(super) fn new(plans: &[ColumnPlan], cursor: Option<usize>) -> Passage {
        let cursor = cursor.and_then(|at| Some((at, plans.get(at)?.clone())));
        Passage {
            columns: plans.len(),
            rows: WireRows::default(),
            cursor,
            last: None,
            started: false,
            ended: false,
        }
    }

    /// Rows since the last batch.
    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.rows.rows).unwrap_or(usize::MAX)
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes.len()
    }

    /// Whether the end mark was seen.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Takes what the server sent: the header, whole rows, the end mark.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        let mut rest = chunk;
        if !self.started {
            rest = decode::header(rest).ok_or_else(|| torn("header"))?;
            self.started = true;
        }
        while !rest.is_empty() {
            let row = rest;
            let count = take_i16(&mut rest).ok_or_else(|| torn("row"))?;
            if count == -1 {
                self.ended = true;
                return Ok(());
            }
            expected(count, self.columns)?;
            let cursor = self.cursor.as_ref().map(|(at, _)| *at);
            for index in 0..self.columns {
                let value = take_value(&mut rest).ok_or_else(|| torn("row"))?;
                if cursor == Some(index) {
                    remember(&mut self.last, value);
                }
            }
            if self.rows.bytes.capacity() == 0 {
                self.rows.bytes.reserve(ROOM);
            }
            self.rows.push(row.get(..row.len() - rest.len()).unwrap_or_default());
        }
        Ok(())
    }

    /// The rows since the last batch, and the cursor of the last of them as an array of one.
    pub(super) fn take(&mut self) -> Result<(WireRows, Option<ArrayRef>), Stop> {
        let last = match (&self.cursor, &self.last) {
            (Some((_, plan)), Some(value)) => Some(decode::one(plan, value.as_deref())?),
            _ => None,
        };
        Ok((std::mem::take(&mut self.rows), last))
    }
}

/// Keeps a value without asking for memory each time.
fn remember(last: &mut Option<Option<Vec<u8>>>, value: Option<&[u8]>) {
    match (last, value) {
        (Some(Some(kept)), Some(value)) => {
            kept.clear();
            kept.extend_from_slice(value);
        }
        (last, value) => *last = Some(value.map(<[u8]>::to_vec)),
    }
}
