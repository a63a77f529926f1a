//! The window of an appended stream: every loaded identity from the floor up is known, so that
//! ties, late commits and lookback add each row once (STATE, part 2).
//!
//! The window is what the destination holds. An attempt works on [`Pending`], which becomes part of
//! the window with the commit, or is dropped with the attempt.

mod known;
mod pending;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::Schema;
use waybill_protocol::identity::IDENTITY_VERSION;
use waybill_protocol::state::WINDOW_LIMIT;
use waybill_protocol::{
    CursorValue, Error, Identity, Kind, Logical, Result, WindowChange, WindowDigest, WindowEntry, identities,
};

use self::known::{Entries, Known, Mark};
pub use self::pending::{Pending, too_many};
use super::cursor_column::CursorColumn;

/// The identities that the destination holds for a stream. A clone shares them until one of the
/// two is changed.
#[derive(Debug, Clone, Default)]
pub struct Window {
    columns: Vec<String>,
    /// Columns with the family of their types: another family gives other identities.
    labels: Vec<String>,
    keyed: bool,
    /// Whether the destination holds entries that do not belong to it any more.
    stale: bool,
    entries: Arc<HashMap<Identity, Known>>,
    /// Wrapping sum of the identities times their counts.
    sum: u128,
    /// Nothing in it lies below this.
    floor: Option<CursorValue>,
}

/// What is left of a batch after rows that are known were taken out.
pub struct Filtered {
    /// The rows to load, without reserved columns.
    pub batch: RecordBatch,
    /// Rows left out because they are known.
    pub known: u64,
}

impl Window {
    /// An empty window; identities cover key and cursor, or all columns where there is no key.
    pub fn new(key: &[String], cursor: &str, schema: &Schema) -> Result<Window> {
        let mut columns = key.to_vec();
        if key.is_empty() {
            columns = schema.fields().iter().map(|f| f.name().clone()).collect();
        } else if !columns.iter().any(|c| c == cursor) {
            columns.push(cursor.to_owned());
        }
        let labels = labels(&columns, schema)?;
        Ok(Window { columns, labels, keyed: !key.is_empty(), stale: true, ..Window::default() })
    }

    /// The window after the columns changed: refused where known rows would get other identities.
    pub fn relabelled(&self, key: &[String], cursor: &str, schema: &Schema) -> Result<Window> {
        let fresh = Window::new(key, cursor, schema)?;
        if fresh.labels != self.labels && !self.entries.is_empty() {
            return Err(other_columns(&self.labels, &fresh.labels));
        }
        let Window { columns, labels, keyed, .. } = fresh;
        Ok(Window { columns, labels, keyed, ..self.clone() })
    }

    /// The same window with nothing in it.
    pub fn emptied(&self) -> Window {
        Window { entries: Arc::default(), sum: 0, floor: None, ..self.clone() }
    }

    /// Takes what the destination holds; a count or digest that differs from the state's is refused.
    pub fn fill(&mut self, entries: Vec<WindowEntry>, stored: &WindowDigest, stream: &str) -> Result<()> {
        let known = Arc::make_mut(&mut self.entries);
        for entry in entries {
            let cursor: CursorValue = serde_json::from_str(&entry.cursor).map_err(|e| {
                let message = format!("the window of stream {stream} at the destination cannot be read");
                Error::new(Kind::Data, message).cause(e)
            })?;
            self.sum = self.sum.wrapping_add(weight(entry.identity, entry.count));
            known.insert(entry.identity, Known { count: entry.count, cursor: Mark::from(cursor) });
        }
        if stored.version != IDENTITY_VERSION || stored.columns != self.labels {
            return Err(other_columns(&stored.columns, &self.labels));
        }
        self.stale = false;
        let found = self.digest();
        if found != *stored {
            return Err(Error::new(
                Kind::Data,
                format!(
                    "stream {stream}: the window at the destination holds {} identities with digest {}, its state says {} with {}: somebody changed _waybill_window or _waybill_state",
                    found.count, found.digest, stored.count, stored.digest
                ),
            )
            .hint("run `waybill state reset` for the stream: what was loaded can no longer be known"));
        }
        Ok(())
    }

    /// Count and order-free digest, as stored in the state.
    pub fn digest(&self) -> WindowDigest {
        self.digest_of(self.entries.len(), self.sum)
    }

    fn digest_of(&self, count: usize, sum: u128) -> WindowDigest {
        WindowDigest {
            count: count as u64,
            digest: format!("{sum:032x}"),
            version: IDENTITY_VERSION,
            columns: self.labels.clone(),
        }
    }

    /// Every identity, for a window that is written whole.
    pub fn all(&self) -> Vec<WindowEntry> {
        let mut entries = Entries::default();
        self.entries.iter().map(|(id, known)| entries.entry(*id, known.count, &known.cursor)).collect()
    }

    /// Takes out the rows that are known and remembers the others. `cursor` reads the batch's
    /// cursor column; `in_window` is the source's own answer where it sent one.
    pub fn filter(
        &self,
        pending: &mut Pending,
        batch: &RecordBatch,
        cursor: &CursorColumn<'_>,
        in_window: Option<&BooleanArray>,
    ) -> Result<Filtered> {
        let rows = identities(batch, &self.columns)?;
        let mut keep = Vec::with_capacity(rows.len());
        for (index, identity) in rows.iter().enumerate() {
            let flagged = in_window.map(|flags| flags.is_valid(index) && flags.value(index));
            let fresh = self.is_fresh(pending, *identity);
            keep.push(fresh);
            if fresh {
                pending.remember(*identity, cursor, index, flagged)?;
            } else if flagged == Some(false) {
                pending.below.insert(*identity);
            }
        }
        let known = keep.iter().filter(|fresh| !**fresh).count() as u64;
        let batch = if known == 0 {
            batch.clone()
        } else {
            arrow_select::filter::filter_record_batch(batch, &BooleanArray::from(keep))
                .map_err(|e| Error::internal("filtering a batch").cause(e))?
        };
        Ok(Filtered { batch, known })
    }

    fn is_fresh(&self, pending: &mut Pending, identity: Identity) -> bool {
        if self.keyed {
            return !self.entries.contains_key(&identity) && !pending.added.contains_key(&identity);
        }
        // One that is not in the window is fresh however often it comes.
        let Some(known) = self.entries.get(&identity) else { return true };
        let seen = pending.seen.entry(identity).or_default();
        *seen += 1;
        *seen > known.count
    }

    /// The change that a commit with this floor makes at the destination, and the digest after it.
    /// Looks at what changes only, unless the floor rises.
    pub fn advance(&self, pending: &Pending, floor: Option<&CursorValue>) -> Advance {
        let (mut count, mut sum) = (self.entries.len(), self.sum);
        let delete: Vec<Identity> = self.leaving(pending, floor).map(|(identity, _)| *identity).collect();
        for identity in &delete {
            let gone = self.entries.get(identity).map_or(0, |known| known.count);
            sum = sum.wrapping_sub(weight(*identity, gone));
        }
        count -= delete.len();
        let mut entries = Entries::default();
        let mut insert = Vec::new();
        for (identity, known) in pending.added.iter().filter(|(_, known)| stays(known, floor)) {
            let before = self.entries.get(identity).map_or(0, |known| known.count);
            count += usize::from(!self.entries.contains_key(identity));
            sum = sum.wrapping_add(weight(*identity, known.count));
            insert.push(entries.entry(*identity, before.saturating_add(known.count), &known.cursor));
        }
        let delete = if self.stale { Vec::new() } else { delete };
        Advance {
            change: WindowChange { clear: self.stale, delete, insert },
            digest: self.digest_of(count, sum),
            too_large: count > WINDOW_LIMIT,
        }
    }

    /// The commit took place: what was added is in the window now, what lies below is not.
    pub fn commit(&mut self, pending: &mut Pending, floor: Option<&CursorValue>) {
        let gone: Vec<Identity> = self.leaving(pending, floor).map(|(identity, _)| *identity).collect();
        let entries = Arc::make_mut(&mut self.entries);
        for identity in gone {
            let count = entries.remove(&identity).map_or(0, |known| known.count);
            self.sum = self.sum.wrapping_sub(weight(identity, count));
            pending.seen.remove(&identity);
        }
        for (identity, known) in pending.added.drain().filter(|(_, known)| stays(known, floor)) {
            self.sum = self.sum.wrapping_add(weight(identity, known.count));
            match entries.entry(identity) {
                Entry::Occupied(mut old) => {
                    let count = old.get().count.saturating_add(known.count);
                    old.get_mut().count = count;
                }
                Entry::Vacant(place) => {
                    // Equal rows of this very attempt that are still to come are other rows.
                    if !self.keyed {
                        pending.seen.insert(identity, known.count);
                    }
                    place.insert(known);
                }
            }
        }
        pending.below.clear();
        (self.stale, self.floor) = (false, floor.cloned());
    }

    /// Identities that lie below a floor; of texts, those of which the source said so.
    fn leaving<'a>(
        &'a self,
        pending: &'a Pending,
        floor: Option<&'a CursorValue>,
    ) -> impl Iterator<Item = (&'a Identity, &'a Known)> {
        let told = pending.below.iter().filter_map(|identity| self.entries.get_key_value(identity));
        let told = told.filter(move |(_, known)| floor.is_some_and(|f| known.cursor.order(f).is_none()));
        let risen = floor.filter(|floor| self.floor.as_ref() != Some(floor));
        let lower = risen
            .into_iter()
            .flat_map(move |floor| self.entries.iter().filter(move |(_, known)| known.cursor.below(floor)));
        told.chain(lower)
    }
}

/// What a commit makes of a window.
pub struct Advance {
    /// The change at the destination.
    pub change: WindowChange,
    /// Count and digest after it.
    pub digest: WindowDigest,
    /// Whether the window would pass its bound.
    pub too_large: bool,
}

fn stays(known: &Known, floor: Option<&CursorValue>) -> bool {
    floor.is_none_or(|floor| !known.cursor.below(floor))
}

fn weight(identity: Identity, count: u32) -> u128 {
    identity.0.wrapping_mul(u128::from(count))
}

fn labels(columns: &[String], schema: &Schema) -> Result<Vec<String>> {
    let label = |column: &String| {
        let field = schema.field_with_name(column);
        let field = field.map_err(|e| Error::internal(format!("no identity column {column:?}")).cause(e))?;
        let family = match Logical::of(field)? {
            Logical::Int16 | Logical::Int32 | Logical::Int64 => "int".to_owned(),
            Logical::Float32 | Logical::Float64 => "float".to_owned(),
            Logical::Decimal { scale, .. } => format!("decimal with {scale} decimals"),
            Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => "text".to_owned(),
            other => other.to_string(),
        };
        Ok(format!("{column}: {family}"))
    };
    columns.iter().map(label).collect()
}

fn other_columns(before: &[String], now: &[String]) -> Error {
    Error::new(
        Kind::Schema,
        format!(
            "the rows loaded so far are told apart by ({}), now it would be by ({})",
            before.join(", "),
            now.join(", ")
        ),
    )
    .hint("run `waybill state reset` for the stream to load it again, or use write: merge with a primary key")
}

/// The flags of the reserved column, if the batch has it.
pub fn window_flags(batch: &RecordBatch) -> Option<BooleanArray> {
    let index = batch.schema_ref().index_of(waybill_protocol::IN_WINDOW_COLUMN).ok()?;
    batch.column(index).as_boolean_opt().cloned()
}
