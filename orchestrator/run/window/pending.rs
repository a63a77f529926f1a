//! What one attempt has added to a window and has not committed yet.

use std::collections::{HashMap, HashSet};

use waybill_protocol::state::WINDOW_LIMIT;
use waybill_protocol::{CursorValue, Error, Identity, Kind, Result};

use super::known::{Known, Mark};
use crate::run::cursor_column::CursorColumn;

/// As many as this gather before those that cannot be needed are looked for.
const PRUNE_FROM: usize = 65_536;

/// What an attempt has added since the last commit, and what it has seen. Its memory is bounded by
/// the window's limit, however many rows come.
#[derive(Debug, Default)]
pub struct Pending {
    /// Rows to remember, by identity.
    pub(super) added: HashMap<Identity, Known>,
    /// For streams without key: how often this attempt met an identity that is in the window.
    pub(super) seen: HashMap<Identity, u32>,
    /// Old identities that the source says lie below the next floor (text cursors).
    pub(super) below: HashSet<Identity>,
    /// The floor that the last checkpoint will set at least.
    next_floor: Option<CursorValue>,
    /// How many identities may gather before those that cannot be needed are dropped again.
    prune_at: usize,
}

impl Pending {
    /// The floor that the last checkpoint will set at least: what lies below needs no memory.
    pub fn expect_floor(&mut self, floor: Option<CursorValue>) {
        self.next_floor = floor;
    }

    /// Notes a fresh row, unless it cannot be needed at the next checkpoint.
    pub(super) fn remember(
        &mut self,
        identity: Identity,
        cursor: &CursorColumn<'_>,
        row: usize,
        flagged: Option<bool>,
    ) -> Result<()> {
        let Some(value) = cursor.value(row)? else {
            return Ok(());
        };
        let forget = match flagged {
            Some(inside) => !inside && !cursor.ordered(),
            None => !cursor.ordered() && self.next_floor.as_ref().is_some_and(|f| lies_below(&value, f)),
        };
        if forget {
            return Ok(());
        }
        let full = self.added.len() >= WINDOW_LIMIT;
        if cursor.ordered() && (full || self.added.len() >= self.prune_at.max(PRUNE_FROM)) {
            self.prune(&value);
        }
        if self.added.len() >= WINDOW_LIMIT {
            return Err(too_many());
        }
        let known = self.added.entry(identity);
        known.and_modify(|known| known.count += 1).or_insert(Known { count: 1, cursor: Mark::from(value) });
        Ok(())
    }

    /// Rows arrive in the cursor's order: only ties with the latest one, and what lies above the
    /// floor to come, can be needed at the next checkpoint.
    fn prune(&mut self, latest: &CursorValue) {
        let floor = self.next_floor.clone();
        self.added.retain(|_, known| {
            !known.cursor.below(latest) || floor.as_ref().is_none_or(|f| !known.cursor.below(f))
        });
        self.prune_at = self.added.len() * 2;
    }
}

fn lies_below(value: &CursorValue, floor: &CursorValue) -> bool {
    value.order(floor) == Some(std::cmp::Ordering::Less)
}

/// The error of a window that grows beyond its bound.
pub fn too_many() -> Error {
    Error::new(
        Kind::Data,
        format!("more than {WINDOW_LIMIT} rows would have to be remembered to load each of them once"),
    )
    .hint("use write: merge with a primary key, or mode: full_refresh, or a smaller lookback, or end the long transaction that holds the window open")
}
