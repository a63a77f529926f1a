//! The window of an appended stream: every loaded identity from the floor up is known, so that
//! ties, late commits and lookback add each row once (STATE, part 2).
//!
//! The window is what the destination holds. An attempt works on [`Pending`], which becomes part of
//! the window with the commit, or is dropped with the attempt.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::Schema;
use waybill_protocol::identity::IDENTITY_VERSION;
use waybill_protocol::{
    CursorValue, Error, Identity, Kind, Logical, Result, WindowChange, WindowDigest, WindowEntry, identities,
};

use super::cursor_column::CursorColumn;

/// The most identities that a window may hold.
pub const WINDOW_LIMIT: usize = 1_000_000;

/// The identities that the destination holds for a stream.
#[derive(Debug, Clone, Default)]
pub struct Window {
    columns: Vec<String>,
    /// Columns with the family of their types: another family gives other identities.
    labels: Vec<String>,
    keyed: bool,
    /// Whether the destination holds entries that do not belong to it any more.
    stale: bool,
    entries: HashMap<Identity, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    count: u32,
    cursor: CursorValue,
}

/// What an attempt has added since the last commit, and what it has seen.
#[derive(Debug, Default)]
pub struct Pending {
    /// Rows to remember, by identity.
    added: HashMap<Identity, Known>,
    /// Identities of this attempt's rows, for streams without key: how often each came by.
    seen: HashMap<Identity, u32>,
    /// Old identities that the source says lie below the next floor (text cursors).
    below: HashSet<Identity>,
    /// The floor that the last checkpoint will set at least.
    next_floor: Option<CursorValue>,
    /// How many identities may gather before those that cannot be needed are dropped again.
    prune_at: usize,
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
        Ok(Window { columns, labels, keyed: !key.is_empty(), stale: true, entries: HashMap::new() })
    }

    /// The window after the columns changed: refused where known rows would get other identities.
    pub fn relabelled(&self, key: &[String], cursor: &str, schema: &Schema) -> Result<Window> {
        let fresh = Window::new(key, cursor, schema)?;
        if fresh.labels != self.labels && !self.entries.is_empty() {
            return Err(other_columns(&self.labels, &fresh.labels));
        }
        Ok(Window { stale: self.stale, entries: self.entries.clone(), ..fresh })
    }

    /// The same window with nothing in it.
    pub fn emptied(&self) -> Window {
        Window { entries: HashMap::new(), ..self.clone() }
    }

    /// Takes what the destination holds; a count or digest that differs from the state's is refused.
    pub fn fill(&mut self, entries: Vec<WindowEntry>, stored: &WindowDigest, stream: &str) -> Result<()> {
        for entry in entries {
            let cursor: CursorValue = serde_json::from_str(&entry.cursor).map_err(|e| {
                Error::new(
                    Kind::Data,
                    format!("the window of stream {stream} at the destination cannot be read"),
                )
                .cause(e)
            })?;
            self.entries.insert(entry.identity, Known { count: entry.count, cursor });
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
        let sum = self.entries.iter().fold(0u128, |sum, (identity, known)| {
            sum.wrapping_add(identity.0.wrapping_mul(u128::from(known.count)))
        });
        WindowDigest {
            count: self.entries.len() as u64,
            digest: format!("{sum:032x}"),
            version: IDENTITY_VERSION,
            columns: self.labels.clone(),
        }
    }

    /// Whether it passed its bound.
    pub fn too_large(&self) -> bool {
        self.entries.len() > WINDOW_LIMIT
    }

    /// Every identity, for a window that is written whole.
    pub fn all(&self) -> Vec<WindowEntry> {
        self.entries.iter().map(|(identity, known)| entry_of(*identity, known)).collect()
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
        let seen = pending.seen.entry(identity).or_default();
        *seen += 1;
        self.entries.get(&identity).is_none_or(|known| *seen > known.count)
    }

    /// The window as it will be with a floor, and the change that makes it so at the destination.
    pub fn advance(&self, pending: &Pending, floor: Option<&CursorValue>) -> (Window, WindowChange) {
        let mut next = Window { stale: false, ..self.clone() };
        let mut change = WindowChange { clear: self.stale, ..WindowChange::default() };
        for (identity, known) in &pending.added {
            let entry = next
                .entries
                .entry(*identity)
                .or_insert_with(|| Known { count: 0, cursor: known.cursor.clone() });
            entry.count += known.count;
        }
        let below = |identity: &Identity, known: &Known| match floor {
            None => false,
            Some(floor) => match known.cursor.order(floor) {
                Some(order) => order == Ordering::Less,
                None => pending.below.contains(identity),
            },
        };
        let gone: Vec<Identity> = next.entries.iter().filter(|(i, k)| below(i, k)).map(|(i, _)| *i).collect();
        for identity in gone {
            next.entries.remove(&identity);
            if self.entries.contains_key(&identity) && !self.stale {
                change.delete.push(identity);
            }
        }
        for identity in pending.added.keys() {
            if let Some(known) = next.entries.get(identity) {
                change.insert.push(entry_of(*identity, known));
            }
        }
        (next, change)
    }
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

fn entry_of(identity: Identity, known: &Known) -> WindowEntry {
    let cursor = serde_json::to_string(&known.cursor).unwrap_or_default();
    WindowEntry { identity, count: known.count, cursor }
}

impl Pending {
    /// The floor that the last checkpoint will set at least: what lies below needs no memory.
    pub fn expect_floor(&mut self, floor: Option<CursorValue>) {
        self.next_floor = floor;
    }

    /// After a commit: what was added is in the window now.
    pub fn committed(&mut self) {
        self.added.clear();
        self.below.clear();
    }

    fn remember(
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
            None => !cursor.ordered() && self.lies_below(&value),
        };
        if forget {
            return Ok(());
        }
        if cursor.ordered() && self.added.len() >= self.prune_at.max(65_536) {
            self.prune(&value);
        }
        if self.added.len() >= WINDOW_LIMIT {
            return Err(too_many());
        }
        self.added
            .entry(identity)
            .and_modify(|known| known.count += 1)
            .or_insert(Known { count: 1, cursor: value });
        Ok(())
    }

    /// Rows arrive in the cursor's order: only ties with the latest one, and what lies above the
    /// floor to come, can be needed at the next checkpoint.
    fn prune(&mut self, latest: &CursorValue) {
        let floor = self.next_floor.clone();
        self.added.retain(|_, known| {
            known.cursor.order(latest) != Some(Ordering::Less)
                || floor.as_ref().is_none_or(|f| known.cursor.order(f) != Some(Ordering::Less))
        });
        self.prune_at = self.added.len() * 2;
    }

    fn lies_below(&self, value: &CursorValue) -> bool {
        self.next_floor.as_ref().is_some_and(|floor| value.order(floor) == Some(Ordering::Less))
    }
}

/// The error of a window that grows beyond its bound.
pub fn too_many() -> Error {
    Error::new(
        Kind::Data,
        format!("more than {WINDOW_LIMIT} rows would have to be remembered to load each of them once"),
    )
    .hint("use write: merge with a primary key, or mode: full_refresh, or a smaller lookback, or end the long transaction that holds the window open")
}

/// The flags of the reserved column, if the batch has it.
pub fn window_flags(batch: &RecordBatch) -> Option<BooleanArray> {
    let index = batch.schema_ref().index_of(waybill_protocol::IN_WINDOW_COLUMN).ok()?;
    batch.column(index).as_boolean_opt().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use arrow_schema::Schema;
    use std::sync::Arc;
    use waybill_protocol::Logical;

    fn batch(rows: &[(i64, &str)]) -> RecordBatch {
        let cursor: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0)));
        let key: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1)));
        let fields = vec![Logical::Int64.field("c", true, ""), Logical::Text.field("k", false, "")];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![cursor, key]).unwrap()
    }

    fn names() -> Schema {
        batch(&[]).schema().as_ref().clone()
    }

    /// One run: reads the rows, commits with the floor; returns how many were fresh.
    fn run(window: &mut Window, rows: &[(i64, &str)], floor: i64) -> u64 {
        let mut pending = Pending::default();
        pending.expect_floor(Some(CursorValue::Int(floor)));
        let batch = batch(rows);
        let cursor = CursorColumn::of(&batch, "c", false).unwrap();
        let filtered = window.filter(&mut pending, &batch, &cursor, None).unwrap();
        let (next, _) = window.advance(&pending, Some(&CursorValue::Int(floor)));
        *window = next;
        filtered.batch.num_rows() as u64
    }

    #[test]
    fn ties_at_the_border_are_loaded_once() {
        let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
        assert_eq!(run(&mut window, &[(1, "a"), (2, "b"), (2, "c")], 2), 3);
        assert_eq!(window.digest().count, 2);
        assert_eq!(run(&mut window, &[(2, "b"), (2, "c"), (2, "d"), (3, "e")], 3), 2);
        assert_eq!(window.digest().count, 1);
    }

    #[test]
    fn without_a_key_equal_rows_are_counted() {
        let mut window = Window::new(&[], "c", &names()).unwrap();
        assert_eq!(run(&mut window, &[(2, "x"), (2, "x")], 2), 2);
        assert_eq!(run(&mut window, &[(2, "x"), (2, "x"), (2, "x")], 2), 1);
        assert_eq!(run(&mut window, &[(2, "x"), (2, "x"), (2, "x")], 2), 0);
    }

    #[test]
    fn the_change_at_the_destination_makes_the_same_window() {
        let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
        run(&mut window, &[(1, "a"), (2, "b")], 1);
        let mut pending = Pending::default();
        let rows = batch(&[(3, "c")]);
        let cursor = CursorColumn::of(&rows, "c", false).unwrap();
        window.filter(&mut pending, &rows, &cursor, None).unwrap();
        let (next, change) = window.advance(&pending, Some(&CursorValue::Int(2)));
        assert_eq!((change.delete.len(), change.insert.len()), (1, 1));
        let mut copy = Window::new(&["k".into()], "c", &names()).unwrap();
        let kept = next.entries.iter().map(|(i, k)| entry_of(*i, k)).collect();
        copy.fill(kept, &next.digest(), "s").unwrap();
    }

    #[test]
    fn what_the_destination_held_of_another_start_is_cleared_once() {
        let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
        let (next, change) = window.advance(&Pending::default(), None);
        assert!(change.clear && !next.advance(&Pending::default(), None).1.clear);
        window.fill(Vec::new(), &window.clone().digest(), "s").unwrap();
        assert!(!window.advance(&Pending::default(), None).1.clear);
    }

    #[test]
    fn a_changed_type_of_an_identity_column_is_refused_while_rows_are_known() {
        let mut window = Window::new(&[], "c", &names()).unwrap();
        let wide = Schema::new(vec![Logical::Text.field("c", true, ""), Logical::Text.field("k", false, "")]);
        assert!(window.relabelled(&[], "c", &wide).is_ok());
        run(&mut window, &[(2, "x")], 2);
        assert_eq!(window.relabelled(&[], "c", &wide).unwrap_err().kind(), Kind::Schema);
        assert!(window.relabelled(&[], "c", &names()).is_ok());
    }

    #[test]
    fn a_tampered_window_is_refused() {
        let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
        run(&mut window, &[(2, "a"), (2, "b")], 2);
        let mut entries: Vec<_> = window.entries.iter().map(|(i, k)| entry_of(*i, k)).collect();
        let stored = window.digest();
        entries.pop();
        let mut copy = Window::new(&["k".into()], "c", &names()).unwrap();
        assert_eq!(copy.fill(entries, &stored, "s").unwrap_err().kind(), Kind::Data);
        let mut other = Window::new(&[], "c", &names()).unwrap();
        assert_eq!(other.fill(Vec::new(), &stored, "s").unwrap_err().kind(), Kind::Schema);
    }
}
