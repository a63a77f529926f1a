//! One stream of a run: what was decided about it, and what has become durable so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use waybill_protocol::event::{Counts, Outcome, Span};
use waybill_protocol::{
    Body, Error, ErrorRecord, Events, Kind, Level, Logical, Progress, SchemaPolicy, StreamLoad, StreamRead,
    StreamSelection, StreamState, SyncMode, WriteMode,
};

use super::agreement;
use super::commit::Sent;
use super::window::{Pending, Window};
use crate::summary::units::counted;

/// A stream that is being loaded; what was decided about it reads as its own members.
pub struct StreamJob {
    settled: Settled,
    /// Where its events go.
    pub events: Events,
    /// Held by the slice that commits.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    live: Mutex<Live>,
    counts: Mutex<Counts>,
    span: Mutex<Option<Span>>,
}

/// What changes while the stream is loaded.
pub struct Live {
    /// How it is read; its schema widens with the load's.
    pub read: Arc<StreamRead>,
    /// How it is loaded.
    pub load: StreamLoad,
    /// What is durable, or staged for a load that is published at the end.
    pub held: Held,
    /// Whether anything of this run is durable and visible.
    pub committed: bool,
    /// The last commit of this run that moved the stream's state.
    pub last_commit: Option<String>,
    /// Whether the destination no longer says what it confirmed.
    pub doubted: bool,
    /// A commit of which nobody knows yet whether it took place.
    pub unsettled: Option<Sent>,
    /// What counts once staging is published.
    pub staged: StagedCounts,
    /// Whether every slice is whole.
    pub whole: bool,
    /// How the stream ended, once it has.
    pub ended: Option<Ended>,
}

impl Live {
    /// Nothing has been loaded yet.
    pub fn new(read: Arc<StreamRead>, load: StreamLoad, held: Held) -> Live {
        Live {
            read,
            load,
            held,
            committed: false,
            last_commit: None,
            doubted: false,
            unsettled: None,
            staged: StagedCounts::default(),
            whole: false,
            ended: None,
        }
    }

    /// What source and destination agreed on does not hold any more.
    pub fn decode(&mut self) {
        agreement::end(Arc::make_mut(&mut self.read), &mut self.load);
    }
}

/// The state that a commit made durable.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The stream's state; absent before the first load.
    pub state: Option<StreamState>,
    /// The file ledger.
    pub parts: BTreeMap<String, Value>,
    /// Known identities, for appends by cursor.
    pub window: Option<Window>,
    /// Rows since the last rebuild.
    pub rows: u64,
}

impl Held {
    /// The commit of these took place: its rows are in the window now.
    pub fn committed(&mut self, pending: &mut Pending) {
        let floor = self.state.as_ref().and_then(|state| state.floor.as_ref());
        if let Some(window) = &mut self.window {
            window.commit(pending, floor);
        }
    }

    /// A staged load starts again from nothing.
    pub fn clear(&mut self) {
        let window = self.window.as_ref().map(Window::emptied);
        *self = Held { window, ..Held::default() };
    }
}

/// What happened on the way into staging: it counts with the publication, or not at all.
#[derive(Debug, Clone, Default)]
pub struct StagedCounts {
    /// Bytes of the rows.
    pub bytes: u64,
    /// Rows left out because their identity was loaded already.
    pub known: u64,
    /// Rows left out because their cursor is NULL.
    pub null_cursors: u64,
    /// (column, what was done) → values changed to fit.
    pub coerced: BTreeMap<(String, String), u64>,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It was loaded.
    Succeeded,
    /// It failed.
    Failed(Box<ErrorRecord>),
    /// It was stopped in good order.
    Stopped,
}

impl StreamJob {
    /// A job about to begin.
    pub fn new(settled: Settled, live: Live, events: Events) -> StreamJob {
        StreamJob {
            settled,
            events,
            turn: Arc::default(),
            live: Mutex::new(live),
            counts: Mutex::default(),
            span: Mutex::default(),
        }
    }

    /// The changing part. Never held across an await.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The counters as they stand.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the counters.
    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// The commit that the destination's state row should be of.
    pub fn last_commit(&self) -> Option<String> {
        self.live().last_commit.clone().or_else(|| self.commit_before.clone())
    }

    /// Counts and says rows without a cursor. Each read meets all of them again.
    pub fn say_null_cursors(&self, rows: u64) {
        let mut news = false;
        self.count(|counts| {
            news = rows > counts.rows_null_cursor;
            counts.rows_null_cursor = counts.rows_null_cursor.max(rows);
        });
        if news {
            let policy = self.selection.null_cursor;
            let body = Body::Runtime { detail: serde_json::json!({"rows_null_cursor": rows}) };
            let what = "have no cursor (NULL) and were handled by null_cursor";
            self.events.warn(body, format!("{rows} rows {what}: {policy:?}"));
        }
    }

    /// Counts and says values of a column that were changed to fit.
    pub fn say_coerced(&self, column: &str, what: &str, values: u64) {
        self.count(|counts| counts.values_coerced += values);
        let body = Body::ValueCoerced { column: column.to_owned(), values, change: what.to_owned() };
        self.events.warn(body, format!("{values} values of column {column:?} were changed: {what}"));
    }

    /// Before another attempt: what no commit will cover any more does not count.
    pub fn again(&self) {
        let forget = {
            let mut live = self.live();
            live.staged = StagedCounts::default();
            !self.moves_state && !super::staged(&live.load)
        };
        if forget {
            // Without state the next attempt loads all of it again, over what is there.
            self.count(|counts| (counts.rows_loaded, counts.bytes_loaded) = (0, 0));
        }
    }

    /// Whether new columns and wider types are welcome.
    pub fn evolves(&self) -> bool {
        self.selection.schema_policy == SchemaPolicy::Evolve
    }

    /// What a read continues from.
    pub fn progress(&self, into: &mut Progress) {
        let live = self.live();
        if let Some(state) = &live.held.state {
            into.streams.insert(self.name.clone(), state.clone());
        }
        for (part, value) in &live.held.parts {
            into.parts.insert((self.name.clone(), part.clone()), value.clone());
        }
    }

    /// Says that the load begins.
    pub fn start(&self) {
        let (rows, bytes) = self.expected;
        let (table, staged, wire) = {
            let live = self.live();
            let wire = live.load.wire.as_ref().map(|form| form.format.to_owned());
            (live.load.table.to_string(), super::staged(&live.load), wire)
        };
        let message = format!("{} {} into {table}", self.mode, self.write);
        let body = Body::StreamStarted {
            mode: self.mode,
            write: self.write,
            table,
            staged,
            wire,
            rows_expected: rows,
            bytes_expected: bytes,
        };
        let span = self.events.span(Level::Info, body, message);
        *self.span.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(span);
    }

    /// Says how the load ended. Only the first end counts.
    pub fn finish(&self, ended: Ended) {
        let after = {
            let mut live = self.live();
            if live.ended.is_some() {
                return;
            }
            live.ended = Some(ended.clone());
            let visible = live.committed || !super::staged(&live.load);
            live.held.state.as_ref().filter(|_| visible).map(StreamState::to_value)
        };
        let span = self.span.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(span) = span else { return };
        let counts = self.counts();
        let (level, outcome, message, error) = match ended {
            Ended::Succeeded => (
                Level::Info,
                Outcome::Succeeded,
                format!("{} loaded", counted(counts.rows_loaded, "row")),
                None,
            ),
            Ended::Failed(error) => (Level::Error, Outcome::Failed, error.message.clone(), Some(*error)),
            Ended::Stopped => (Level::Info, Outcome::Cancelled, "stopped".to_owned(), None),
        };
        let ms = span.ms();
        span.finish(level, Body::StreamFinished { outcome, counts, ms, after }, message, error);
    }

    /// Ends it with an error.
    pub fn fail(&self, error: &Error) {
        if error.kind() == Kind::Cancelled {
            self.finish(Ended::Stopped);
        } else {
            let mut record = error.record();
            record.stream.get_or_insert_with(|| self.name.clone());
            self.finish(Ended::Failed(Box::new(record)));
        }
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<Ended> {
        self.live().ended.clone()
    }
}

impl std::ops::Deref for StreamJob {
    type Target = Settled;

    fn deref(&self) -> &Settled {
        &self.settled
    }
}

/// What was decided about a stream before it is loaded.
pub struct Settled {
    /// Its name.
    pub name: String,
    /// What the person selected.
    pub selection: StreamSelection,
    /// How it is read.
    pub mode: SyncMode,
    /// How it is written.
    pub write: WriteMode,
    /// Cursor column and type.
    pub cursor: Option<(String, Logical)>,
    /// Primary key, names of the source.
    pub key: Vec<String>,
    /// What the state belongs to.
    pub fingerprint: String,
    /// What the state rows are based on.
    pub based_on: Option<String>,
    /// Instructions of the config that the state rows say were carried out, newest last.
    pub carried: Vec<String>,
    /// Whether this run moves state.
    pub moves_state: bool,
    /// Rows in the table before this run.
    pub rows_before: u64,
    /// The last commit before this run.
    pub commit_before: Option<String>,
    /// Rows and bytes expected, where known.
    pub expected: (Option<u64>, Option<u64>),
}
