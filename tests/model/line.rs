//! One stream of a script: its source, its settings, and what the model says of its destination.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use waybill_protocol::{CursorValue, Logical};

use super::rules::{
    self, Bag, CLOCK, Entry, FUTURE, Key, Kind, Outcome, Settings, Source, Target, Version, Write,
};
use super::script::{At, Slot};

/// 2020-01-01 and 2100-01-01: where past and future cursors that are times begin.
const PAST_US: i64 = 1_577_836_800_000_000;
const FUTURE_US: i64 = 4_102_444_800_000_000;

/// A stream.
pub struct Line {
    /// Its name.
    pub name: String,
    /// What every run of it has in common.
    pub kind: Kind,
    /// Its source.
    pub source: Source,
    /// What config.json says of it.
    pub settings: Settings,
    /// What the destination holds.
    pub target: Target,
    /// The commit that wrote its state.
    pub commit: Option<String>,
    /// Rows that are still in open transactions.
    waiting: BTreeMap<Slot, Vec<Version>>,
    /// The highest cursor that was ever given out.
    highest: i64,
    /// How many rows were stamped in the future.
    future: i64,
    /// Keys whose cursor lay below what was given out before: nobody promises to see them.
    late: BTreeSet<Key>,
}

impl Line {
    /// A stream with nothing in it.
    pub fn new(name: String, kind: Kind, write: Write, lookback: i64) -> Line {
        Line {
            name,
            kind,
            source: Source::default(),
            settings: Settings { write, lookback, entry: Entry::Absent },
            target: Target::default(),
            commit: None,
            waiting: BTreeMap::new(),
            highest: 10,
            future: 0,
            late: BTreeSet::new(),
        }
    }

    /// Makes its table at the source; the first stream's is read in order.
    pub fn create(&self) -> String {
        let (name, cursor) = (&self.name, if self.kind.time { "TIMESTAMPTZ" } else { "BIGINT" });
        let indexed = name.ends_with('0');
        let index = if indexed { format!("; CREATE INDEX by_cursor ON {name} (n)") } else { String::new() };
        format!(
            "CREATE TABLE {name} (id INTEGER PRIMARY KEY, n {cursor} NOT NULL, v INTEGER NOT NULL){index}"
        )
    }

    /// How config.json selects it.
    pub fn selection(&self) -> Value {
        let name = &self.name;
        let mut selection = match self.settings.write {
            Write::Append => json!({"name": name, "mode": "incremental", "cursor": "n", "write": "append"}),
            Write::Merge => json!({"name": name, "mode": "incremental", "cursor": "n", "write": "merge"}),
            Write::Overwrite => json!({"name": name, "cursor": "n"}),
        };
        match (self.settings.lookback, self.kind.time) {
            (0, _) => {}
            (by, true) => selection["lookback"] = json!(format!("{by}s")),
            (by, false) => selection["lookback"] = json!(by),
        }
        selection
    }

    /// What a run that begins now must do with it.
    pub fn outcome(&self, full_refresh: bool, salt: u32) -> Outcome {
        rules::run(self.kind, &self.source, &self.settings, &self.target, full_refresh, salt)
    }

    /// What a run has done.
    pub fn takes(&mut self, outcome: Option<&Outcome>) {
        if let Some(Outcome::Loads(done)) = outcome {
            self.target = done.target.clone();
            self.settings.entry = done.entry;
        }
    }

    /// Whether such a run knows no end of an earlier one.
    pub fn is_first(&self, full_refresh: bool) -> bool {
        let known = self.target.held.as_ref().and_then(|held| held.window.ceiling).is_some();
        let rebuilds = full_refresh || matches!(self.settings.entry, Entry::Reset { .. });
        self.settings.write != Write::Overwrite && (!known || rebuilds)
    }

    /// A cursor, as somebody gives it out.
    pub fn cursor(&mut self, at: At) -> i64 {
        match at {
            At::Future if self.kind.time => {
                self.future += 1;
                FUTURE + self.future
            }
            At::Next | At::Future => self.highest + 1,
            At::Tie => self.highest,
            At::Below(by) => self.highest - i64::from(by),
        }
    }

    /// A row comes, or moves.
    pub fn put(&mut self, key: Key, at: At, value: u32) -> Option<String> {
        if self.locked(key) {
            return None;
        }
        let cursor = self.cursor(at);
        let late = cursor < self.highest || (cursor < CLOCK && self.future > 0);
        if late {
            self.late.insert(key)
        } else {
            self.late.remove(&key)
        };
        if cursor < CLOCK {
            self.highest = self.highest.max(cursor);
        }
        self.source.rows.insert(key, (cursor, value));
        Some(self.upsert(key, cursor, value))
    }

    fn upsert(&self, key: Key, cursor: i64, value: u32) -> String {
        let (name, cursor) = (&self.name, self.literal(cursor));
        format!(
            "INSERT INTO {name} VALUES ({key}, {cursor}, {value}) \
             ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = excluded.v"
        )
    }

    /// A row changes and keeps its cursor.
    pub fn change(&mut self, nth: u8, value: u32) -> Option<String> {
        let key = self.newest(nth).filter(|key| !self.locked(*key))?;
        self.source.rows.get_mut(&key)?.1 = value;
        Some(format!("UPDATE {} SET v = {value} WHERE id = {key}", self.name))
    }

    /// A row goes.
    pub fn delete(&mut self, nth: u8) -> Option<String> {
        let key = self.newest(nth).filter(|key| !self.locked(*key))?;
        self.source.rows.remove(&key);
        Some(format!("DELETE FROM {} WHERE id = {key}", self.name))
    }

    /// A row comes in a transaction.
    pub fn begin(&mut self, key: Key, slot: Slot, value: u32) -> Option<String> {
        if self.locked(key) {
            return None;
        }
        self.highest += 1;
        let version = Version { key, cursor: self.highest, value };
        self.waiting.entry(slot).or_default().push(version);
        Some(self.upsert(key, version.cursor, value))
    }

    /// A transaction ends.
    pub fn end(&mut self, slot: Slot, commit: bool) {
        for row in self.waiting.remove(&slot).unwrap_or_default() {
            if commit {
                self.late.remove(&row.key);
                self.source.rows.insert(row.key, (row.cursor, row.value));
            }
        }
    }

    /// Whether an open transaction holds a row.
    fn locked(&self, key: Key) -> bool {
        self.waiting.values().flatten().any(|row| row.key == key)
    }

    fn newest(&self, nth: u8) -> Option<Key> {
        let mut rows: Vec<(i64, Key)> =
            self.source.rows.iter().map(|(key, (cursor, _))| (*cursor, *key)).collect();
        rows.sort_unstable();
        rows.iter().rev().nth(usize::from(nth)).map(|(_, key)| *key)
    }

    /// A cursor as config.json has it.
    pub fn json(&self, cursor: i64) -> Value {
        if !self.kind.time {
            return json!(cursor);
        }
        let past = PAST_US + cursor * 1_000_000;
        let us = if cursor >= FUTURE { FUTURE_US + (cursor - FUTURE) * 1_000_000 } else { past };
        CursorValue::TimestampTz(us).plain()
    }

    fn literal(&self, cursor: i64) -> String {
        match self.json(cursor) {
            Value::String(text) => format!("'{}'", text.replace('Z', "+00:00")),
            other => other.to_string(),
        }
    }

    /// A cursor as the model has it.
    fn parse(&self, cursor: &Value) -> i64 {
        let logical = if self.kind.time { Logical::TimestampTz } else { Logical::Int64 };
        match CursorValue::parse(cursor, logical) {
            Ok(CursorValue::Int(number)) => number,
            Ok(CursorValue::TimestampTz(us)) if us >= FUTURE_US => FUTURE + (us - FUTURE_US) / 1_000_000,
            // Nothing but the clock itself says a time of these years.
            Ok(CursorValue::TimestampTz(us)) if us >= PAST_US + 100_000 * 1_000_000 => CLOCK,
            Ok(CursorValue::TimestampTz(us)) => (us - PAST_US) / 1_000_000,
            other => panic!("{cursor} is no cursor: {other:?}"),
        }
    }

    /// Rows of the destination, each as a version.
    pub fn versions(&self, rows: &[[String; 3]]) -> Vec<Version> {
        let version = |[key, cursor, value]: &[String; 3]| Version {
            key: key.parse().expect("a key"),
            cursor: self.parse(&Value::from(cursor.as_str())),
            value: value.parse().expect("a value"),
        };
        rows.iter().map(version).collect()
    }

    /// Compares the table with the model's, and takes over what the model left open. A run that was
    /// killed may have made the table, with nothing in it.
    pub fn settle(&mut self, found: Option<Vec<Version>>, killed: bool) -> Result<(), String> {
        let count = |versions: Vec<Version>| {
            versions.into_iter().fold(BTreeMap::<Version, u32>::new(), |mut bag, version| {
                *bag.entry(version).or_default() += 1;
                bag
            })
        };
        let found = found.map(count);
        if killed && self.target.table.is_none() && found.is_some() {
            self.target.table = Some(Bag::new());
        }
        let (Some(bag), Some(there)) = (&self.target.table, &found) else {
            return match (&self.target.table, &found) {
                (None, None) => Ok(()),
                (expected, _) => Err(format!("{}: the table is {found:?}, expected {expected:?}", self.name)),
            };
        };
        let versions: BTreeSet<&Version> = bag.keys().chain(there.keys()).collect();
        for version in versions {
            let (least, most) = bag.get(version).copied().unwrap_or_default();
            let times = there.get(version).copied().unwrap_or_default();
            if times < least || times > most {
                let Version { key, cursor, value } = version;
                return Err(format!(
                    "{}: row {key} with cursor {cursor} and value {value} is there {times} times, expected {least} to {most}\nthere: {there:?}\nexpected: {bag:?}\nsource: {:?}\nheld: {:?}",
                    self.name, self.source, self.target.held
                ));
            }
        }
        self.target.table =
            found.map(|bag| bag.into_iter().map(|(v, times)| (v, (times, times))).collect::<Bag>());
        Ok(())
    }

    /// Compares a stream's entry in config.json with the model's.
    pub fn check_entry(&self, entry: &Value) -> Result<(), String> {
        let cursor = entry.get("cursor").map(|cursor| clock(self.parse(cursor)));
        let has = |word: &str| entry.get(word).is_some();
        let fits = match self.settings.entry {
            Entry::Absent => entry.is_null(),
            Entry::At { cursor: at, .. } => {
                !has("accept") && !has("reset") && !has("set") && cursor == at.map(clock)
            }
            Entry::Reset { .. } => has("reset"),
            Entry::Accept { cursor: at, .. } => has("accept") && cursor == at.map(clock),
            Entry::Set { .. } => has("set"),
        };
        let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
        let content = cursor.map_or_else(|| json!({}), |_| json!({"cursor": entry["cursor"]}));
        let (salt, own) = match digest.split_once('.') {
            Some((salt, own)) => {
                (Some(salt), own == waybill_protocol::state::digest(&json!([salt, content])))
            }
            None => (None, digest == waybill_protocol::state::digest(&content)),
        };
        let should = match self.settings.entry {
            entry @ Entry::At { digest: Some(digest), .. } => {
                !entry.edited() && salt.is_some() == (digest.salt != 0)
            }
            _ => false,
        };
        if fits && own == should {
            return Ok(());
        }
        Err(format!("{}: config.json says {entry}, expected {:?}", self.name, self.settings.entry))
    }

    /// What holds without any window: after a run, each row whose cursor was given out in good order
    /// is at the destination, unless a person had some skipped.
    pub fn check_promise(&self) -> Result<(), String> {
        let Some(held) = self.target.held.as_ref().filter(|held| held.whole) else { return Ok(()) };
        let table = self.target.table.as_ref();
        for (key, (cursor, _)) in self.source.rows.iter().filter(|(key, _)| !self.late.contains(key)) {
            let there =
                table.is_some_and(|t| t.iter().any(|(v, n)| v.key == *key && v.cursor == *cursor && n.0 > 0));
            if !there {
                return Err(format!(
                    "{}: row {key} with cursor {cursor} was never loaded\n{held:?}",
                    self.name
                ));
            }
        }
        Ok(())
    }
}

/// A little before the clock is the clock.
fn clock(cursor: i64) -> i64 {
    if (CLOCK - 1_000..CLOCK).contains(&cursor) { CLOCK } else { cursor }
}
