//! Where a stream starts from: the six rules that settle config against destination (pure).
//!
//! The destination is the truth about what it holds; the config mirrors it and carries a person's
//! instructions. Which rule decided is said in every run, in words.

use serde_json::{Value, json};
use waybill_protocol::state::digest;
use waybill_protocol::{CursorValue, Error, Kind, Logical, OnEmpty, StateRow, StreamState, TableRef};

use crate::store::state::StateEntry;
use crate::summary::units::counted;

/// What the rules look at.
pub struct Known<'a> {
    /// The connection's name, for the commands in a refusal.
    pub connection: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The entry in the config.
    pub entry: Option<&'a StateEntry>,
    /// The row at the destination.
    pub row: Option<&'a StateRow>,
    /// What the state must belong to.
    pub fingerprint: &'a str,
    /// The table that it is to be loaded into.
    pub table: &'a TableRef,
    /// Whether that table is gone, or empty.
    pub table_empty: bool,
    /// What to do then.
    pub on_empty: OnEmpty,
    /// The cursor's type; `None` for streams read file by file.
    pub cursor: Option<Logical>,
    /// Whether rows are added, so that reading them again would double them.
    pub append: bool,
}

/// What a stream will do.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// Nothing was ever loaded.
    First,
    /// Go on from here.
    Continue(Box<StreamState>),
    /// Load everything again into staging and swap.
    Rebuild,
}

/// A decision: the rule, what it means in words, and what to remember as its base.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The rule that decided, `1` to `6`.
    pub rule: &'static str,
    /// What the stream will do.
    pub start: Start,
    /// In words: what will be read and why.
    pub words: String,
    /// Whether a person should read the words.
    pub warn: bool,
    /// What the state rows of this run are based on: a nonce, or the digest of the config's value.
    pub based_on: Option<String>,
    /// Whether the table holds nothing of what was loaded.
    pub emptied: bool,
}

impl Decision {
    /// Of that rule, for that reason, based on nothing, with the table as it was left.
    pub fn new(rule: &'static str, start: Start, words: impl Into<String>) -> Decision {
        Decision { rule, start, words: words.into(), warn: false, based_on: None, emptied: false }
    }

    fn warned(self) -> Decision {
        Decision { warn: true, ..self }
    }
}

/// Applies the rules, first that fits.
pub fn reconcile(known: &Known<'_>) -> Result<Decision, Error> {
    let decision = first_that_fits(known)?;
    Ok(Decision { based_on: base(known.entry), emptied: known.table_empty, ..decision })
}

fn first_that_fits(known: &Known<'_>) -> Result<Decision, Error> {
    if let Some(entry) = known.entry
        && let Some(nonce) = entry.nonce()
        && !known.row.is_some_and(|row| row.carried_out(nonce))
    {
        return instruction(known, entry);
    }
    let Some(row) = known.row else {
        return match known.entry {
            None => Ok(Decision::new("3", Start::First, "first load: reads everything")),
            Some(entry) => Err(absent(known, entry)),
        };
    };
    if row.fingerprint != known.fingerprint {
        return Err(refusal(
            known,
            "its stored state belongs to another source, cursor, key, filter or mode",
            &shown(row),
            row.rows,
        ));
    }
    if known.table_empty && row.rows > 0 && known.on_empty == OnEmpty::Refuse {
        let what = if *known.table == row.table {
            format!("table {} is gone or empty although {} rows were loaded", row.table, row.rows)
        } else {
            format!(
                "it is to be loaded into table {} now, which is not there or empty; the {} rows loaded so far are in table {}",
                known.table, row.rows, row.table
            )
        };
        let ways = format!("{}, or set on_empty: accept for a table that is emptied on purpose", ways(known));
        return Err(refused(known, &what, &shown(row), row.rows).hint(ways));
    }
    adopt_or_honour(known, row)
}

fn adopt_or_honour(known: &Known<'_>, row: &StateRow) -> Result<Decision, Error> {
    let state = read_state(known, row)?;
    let from = state.shown();
    let adopt = |why: &str| {
        let words = format!("continues from {} ({why})", plain(&from));
        Decision::new("5", Start::Continue(Box::new(state.clone())), words)
    };
    match known.entry {
        None => Ok(adopt("the destination's state; the config has none")),
        Some(entry @ StateEntry::Position { cursor, .. }) => {
            let cursor = cursor.clone().unwrap_or(Value::Null);
            if cursor == from || same_cursor(known, &cursor, &state) {
                Ok(adopt("config and destination agree"))
            } else if entry.untouched() {
                Ok(adopt("the destination's state; the config was not edited and is only behind or ahead"))
            } else if row.based_on.as_deref() == Some(entry.whole_digest().as_str()) {
                Ok(adopt("the edit in the config was followed by an earlier run").warned())
            } else {
                honour(known, &cursor, &from)
            }
        }
        Some(_) => Ok(adopt("the instruction in the config was carried out by an earlier run")),
    }
}

/// Whether the config says the same cursor in other words, such as a number as text.
fn same_cursor(known: &Known<'_>, cursor: &Value, state: &StreamState) -> bool {
    let parsed = known.cursor.and_then(|logical| CursorValue::parse(cursor, logical).ok());
    parsed.is_some() && parsed == state.floor
}

/// Rule 6: a person edited the cursor by hand.
fn honour(known: &Known<'_>, cursor: &Value, from: &Value) -> Result<Decision, Error> {
    let state = state_at(known, cursor)?;
    let words = format!(
        "starts from {}, which was edited by hand in the config; the destination holds {}: rows between the two may be loaded again or skipped",
        plain(cursor),
        plain(from)
    );
    Ok(Decision::new("6", Start::Continue(Box::new(state)), words).warned())
}

/// Rule 1: an instruction that the destination has not carried out.
fn instruction(known: &Known<'_>, entry: &StateEntry) -> Result<Decision, Error> {
    let decided = |start, words: String, warn| Ok(Decision { warn, ..Decision::new("1", start, words) });
    match entry {
        StateEntry::Reset { .. } => {
            decided(Start::Rebuild, "reset: reads everything again into staging, then swaps".into(), false)
        }
        StateEntry::Set { cursor, .. } => {
            let state = state_at(known, cursor)?;
            decided(Start::Continue(Box::new(state)), format!("set: starts from {}", plain(cursor)), true)
        }
        StateEntry::Accept { cursor, .. } => match (known.row, cursor) {
            (Some(row), _) => {
                let state = read_state(known, row)?;
                acceptable(known, row, &state)?;
                let words = format!("accepted: continues from {}", plain(&state.shown()));
                decided(Start::Continue(Box::new(state)), words, true)
            }
            // A number of files is no place to go on from.
            (None, Some(cursor)) if known.cursor.is_some() => {
                let state = state_at(known, cursor)?;
                let words = format!("accepted: continues from {} of the config", plain(cursor));
                decided(Start::Continue(Box::new(state)), words, true)
            }
            (None, _) => decided(Start::First, "accepted: first load, reads everything".into(), false),
        },
        StateEntry::Position { .. } => Err(Error::internal("a position is no instruction")),
    }
}

/// Refuses to go on from a state that says nothing about what is to be read now: a position of
/// another type, or none at all where the rows that are there would be added again.
fn acceptable(known: &Known<'_>, row: &StateRow, state: &StreamState) -> Result<(), Error> {
    let held = [&state.floor, &state.ceiling].into_iter().flatten().next();
    let what = match (known.cursor, held) {
        (Some(logical), Some(value)) => match CursorValue::parse(&value.plain(), logical) {
            Ok(parsed) if std::mem::discriminant(&parsed) == std::mem::discriminant(value) => return Ok(()),
            _ => format!(
                "its stored position {} is of type {}, and the cursor is now of type {logical}",
                plain(&value.plain()),
                value.type_name()
            ),
        },
        (None, Some(_)) => "its stored position is that of a cursor, and it is now read file by file".into(),
        (_, None) if known.append && row.rows > 0 && state.files.is_none() && state.data.is_none() => {
            format!("its stored state has no position, and {} would be added again", counted(row.rows, "row"))
        }
        _ => return Ok(()),
    };
    let (c, s) = (known.connection, known.stream);
    Err(Error::new(Kind::Schema, format!("stream {s}: it cannot go on from where it was: {what}")).stream(s).hint(
        format!(
            "run `waybill state reset {c} --stream {s}` to load it again, or `waybill state set {c} --stream {s}` with a cursor to start from"
        ),
    ))
}

/// What a run is based on: the nonce of an instruction, or the digest of what the config says.
pub fn base(entry: Option<&StateEntry>) -> Option<String> {
    match entry {
        Some(entry @ StateEntry::Position { .. }) => Some(entry.whole_digest()),
        Some(entry) => entry.nonce().map(str::to_owned),
        None => None,
    }
}

fn state_at(known: &Known<'_>, cursor: &Value) -> Result<StreamState, Error> {
    let Some(logical) = known.cursor else {
        return Err(Error::config(format!(
            "stream {}: its state in the config cannot be edited by hand: it is read file by file",
            known.stream
        ))
        .hint(ways(known)));
    };
    let value = CursorValue::parse(cursor, logical).map_err(|e| {
        e.context(format!("the state of stream {} in the config", known.stream)).hint(ways(known))
    })?;
    Ok(StreamState { floor: Some(value.clone()), ceiling: Some(value), ..StreamState::default() })
}

fn read_state(known: &Known<'_>, row: &StateRow) -> Result<StreamState, Error> {
    StreamState::from_value(&row.value).map_err(|e| {
        Error::new(
            Kind::Data,
            format!("the state of stream {} at the destination cannot be read", known.stream),
        )
        .cause(e)
        .hint(ways(known))
    })
}

fn absent(known: &Known<'_>, entry: &StateEntry) -> Error {
    let cursor = match entry {
        StateEntry::Position { cursor: Some(cursor), .. } => plain(cursor),
        _ => "nothing".into(),
    };
    refusal(known, "the config has state but the destination has none", &cursor, 0)
}

fn shown(row: &StateRow) -> String {
    StreamState::from_value(&row.value).map_or_else(|_| "its stored state".into(), |s| plain(&s.shown()))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "the beginning".into(),
        Value::Object(map) if map.contains_key("files") => {
            let files = map.get("files").and_then(Value::as_u64).unwrap_or(0);
            format!("the {} loaded so far", counted(files, "file"))
        }
        other => other.to_string(),
    }
}

fn ways(known: &Known<'_>) -> String {
    let (c, s) = (known.connection, known.stream);
    format!("run `waybill state accept {c} --stream {s}` or `waybill state reset {c} --stream {s}`")
}

/// Both ways on, each with its consequence.
fn refusal(known: &Known<'_>, what: &str, cursor: &str, rows: u64) -> Error {
    refused(known, what, cursor, rows).hint(ways(known))
}

/// The same without the hint, which the first one that is given decides.
fn refused(known: &Known<'_>, what: &str, cursor: &str, rows: u64) -> Error {
    let again = if rows > 0 {
        format!("loads about {} again", counted(rows, "row"))
    } else {
        "loads everything again".into()
    };
    Error::new(
        Kind::Schema,
        format!("stream {}: {what}; accept: continues from {cursor}; reset: {again}", known.stream),
    )
    .stream(known.stream)
}

/// What makes a state meaningful, as one digest.
pub fn fingerprint(parts: &FingerprintOf<'_>) -> String {
    digest(&json!({
        "source": parts.source,
        "stream": parts.stream,
        "query": parts.query,
        "where": parts.filter,
        "cursor": parts.cursor.map(|(name, logical)| json!([name, family(logical)])),
        "mode": parts.mode,
        "write": parts.write,
        "key": parts.key,
    }))
}

/// The parts of a fingerprint.
pub struct FingerprintOf<'a> {
    /// The source's identity.
    pub source: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// Its query, if it is one.
    pub query: Option<&'a str>,
    /// Its filter.
    pub filter: Option<&'a str>,
    /// Cursor column and type.
    pub cursor: Option<(&'a str, Logical)>,
    /// Sync mode.
    pub mode: String,
    /// Write mode.
    pub write: String,
    /// Primary key.
    pub key: &'a [String],
}

/// Integers of every width are one type of cursor, so that a widened column goes on.
fn family(logical: Logical) -> String {
    match logical {
        Logical::Int16 | Logical::Int32 | Logical::Int64 => "int".into(),
        Logical::Decimal { .. } | Logical::Numeric => "decimal".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
