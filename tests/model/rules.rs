//! What the destination must hold and what each run must do, by the rules of reconciliation and of
//! the window. Pure, and written from the rules, not from the program.

use std::collections::{BTreeMap, BTreeSet};

/// A row's primary key.
pub type Key = u8;
/// A transaction at the source; no two are the same.
pub type Transaction = u32;

/// Where the source's clock stands among cursors that are times: above the past, below the future.
pub const CLOCK: i64 = 1 << 40;
/// The first cursor that lies in the future.
pub const FUTURE: i64 = 1 << 41;

/// One version of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Its primary key.
    pub key: Key,
    /// Its cursor.
    pub cursor: i64,
    /// What else it says: no two writes say the same.
    pub value: u32,
}

/// How often each version may be in a table: at least, at most.
pub type Bag = BTreeMap<Version, (u32, u32)>;

/// How a stream is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Write {
    /// Incremental, each (key, cursor) once.
    Append,
    /// Incremental, the latest version of each key.
    Merge,
    /// Full refresh.
    Overwrite,
}

/// What config.json says about a stream's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// A cursor, and the digest beside it.
    At { cursor: Option<i64>, digest: Option<Digest> },
    /// Load everything again.
    Reset { nonce: u32 },
    /// Go on as it is.
    Accept { nonce: u32, cursor: Option<i64> },
    /// Go on from here.
    Set { nonce: u32, cursor: i64 },
}

/// The digest of what the program wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// The cursor that it was written for.
    pub of: Option<i64>,
    /// What makes it like no other, after a run that followed an edit or an instruction; 0: nothing.
    pub salt: u32,
}

/// What the state at the destination is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// No entry.
    Nothing,
    /// An instruction.
    Nonce(u32),
    /// A position in the config, with its digest.
    Position(Option<i64>, Option<Digest>),
}

/// Whether a row is known to have been loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It will not come again.
    Surely,
    /// It may come again: the run that could know kept no window.
    Perhaps,
}

/// The window that a state keeps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// Where reading starts; nothing: at the beginning.
    pub floor: Option<i64>,
    /// Up to where was looked.
    pub ceiling: Option<i64>,
    /// Transactions that were open, each with the ceiling before it was first seen.
    pub open: BTreeMap<Transaction, Option<i64>>,
    /// Rows of the window that are loaded.
    pub known: BTreeMap<(Key, i64), Known>,
}

/// A stream's state at the destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Where it stands.
    pub window: Window,
    /// What it is based on.
    pub based_on: Base,
    /// Instructions that were carried out.
    pub carried: BTreeSet<u32>,
    /// What makes it meaningful.
    pub print: Write,
    /// Whether rows were loaded since the last rebuild.
    pub rows: bool,
    /// Whether nothing was skipped by a person's will.
    pub whole: bool,
}

/// What the destination holds of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// Its table.
    pub table: Option<Bag>,
    /// Its state.
    pub held: Option<Held>,
}

/// What config.json says of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How it is read and written.
    pub write: Write,
    /// How far below the known end it is read again.
    pub lookback: i64,
    /// Its state.
    pub entry: Entry,
}

/// What is the same for every run of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kind {
    /// The cursor is a time, so the source's clock bounds what a run answers for.
    pub time: bool,
}

/// The source of a stream, as a run that begins now sees it.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Committed rows.
    pub rows: BTreeMap<Key, (i64, u32)>,
    /// Open transactions; `true`: prepared.
    pub open: BTreeMap<Transaction, bool>,
}

/// What a run does with a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The rule that decided; `none` where state was not looked at.
    pub rule: &'static str,
    /// What the destination holds then.
    pub target: Target,
    /// What config.json says then.
    pub entry: Entry,
}

/// How a run ends for a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is loaded.
    Loads(Box<Done>),
    /// It is refused by this rule, and nothing changes.
    Refused(&'static str),
    /// It fails, and nothing changes: a key that comes twice cannot be merged into.
    Fails,
}

impl Entry {
    /// Whether it is not as the program wrote it.
    pub fn edited(self) -> bool {
        match self {
            Entry::Absent => false,
            Entry::At { cursor, digest } => digest.is_none_or(|digest| digest.of != cursor),
            _ => true,
        }
    }
}

enum Start {
    Rebuild,
    From(Window),
}

/// What a run does with a stream; `salt` was not used before.
pub fn run(
    kind: Kind,
    source: &Source,
    settings: &Settings,
    target: &Target,
    full_refresh: bool,
    salt: u32,
) -> Outcome {
    let based_on = base(settings.entry);
    let (rule, start) = match settings.write == Write::Overwrite || full_refresh {
        true => ("none", Start::Rebuild),
        false => match reconcile(settings, target) {
            Ok(decided) => decided,
            Err(rule) => return Outcome::Refused(rule),
        },
    };
    let fresh = Window::default();
    let (from, staged) = match &start {
        Start::Rebuild => (&fresh, true),
        Start::From(window) => (window, false),
    };
    let table = match (staged, &target.table) {
        (true, _) | (false, None) => Bag::new(),
        (false, Some(table)) => table.clone(),
    };
    if settings.write == Write::Merge && !staged && repeats(&table) {
        return Outcome::Fails;
    }
    let read: Vec<Version> = source
        .rows
        .iter()
        .filter(|(_, (cursor, _))| from.floor.is_none_or(|floor| *cursor >= floor))
        .map(|(key, (cursor, value))| Version { key: *key, cursor: *cursor, value: *value })
        .collect();
    let (table, loaded) = load(settings.write, table, from, &read);
    let emptied = target.table.as_ref().is_none_or(BTreeMap::is_empty);
    let before = target.held.as_ref().is_some_and(|held| held.rows) && !staged && !emptied;
    let based_on = if settings.write == Write::Overwrite { Base::Nothing } else { based_on };
    let mut carried = target.held.as_ref().map(|held| held.carried.clone()).unwrap_or_default();
    if let Base::Nonce(nonce) = based_on {
        carried.insert(nonce);
    }
    let window = match settings.write {
        Write::Overwrite => Window::default(),
        _ => advance(kind, source, settings, from, &read),
    };
    let entry = match settings.write {
        // A full refresh has no cursor to show.
        Write::Overwrite => settings.entry,
        _ => {
            let salt = if settings.entry.edited() { salt } else { 0 };
            Entry::At { cursor: window.floor, digest: Some(Digest { of: window.floor, salt }) }
        }
    };
    let held = Held {
        window,
        based_on,
        carried,
        print: settings.write,
        rows: before || loaded,
        whole: staged || stays_whole(settings, target),
    };
    Outcome::Loads(Box::new(Done { rule, target: Target { table: Some(table), held: Some(held) }, entry }))
}

/// The rules of reconciliation, first that fits.
fn reconcile(settings: &Settings, target: &Target) -> Result<(&'static str, Start), &'static str> {
    let held = target.held.as_ref();
    let at = |cursor| Start::From(Window { floor: Some(cursor), ceiling: Some(cursor), ..Window::default() });
    let done = |nonce| held.is_some_and(|held| held.carried.contains(&nonce));
    match settings.entry {
        Entry::Reset { nonce } if !done(nonce) => return Ok(("1", Start::Rebuild)),
        Entry::Set { nonce, cursor } if !done(nonce) => return Ok(("1", at(cursor))),
        Entry::Accept { nonce, cursor } if !done(nonce) => {
            let start = match (held, cursor) {
                // It says no place, and every row that is there would be added again.
                (Some(held), _) if held.rows && nowhere(&held.window) && settings.write == Write::Append => {
                    return Err("1");
                }
                (Some(held), _) => Start::From(window_for(settings.write, held)),
                (None, Some(cursor)) => at(cursor),
                (None, None) => Start::From(Window::default()),
            };
            return Ok(("1", start));
        }
        _ => {}
    }
    let Some(held) = held else {
        return match settings.entry {
            Entry::Absent => Ok(("3", Start::From(Window::default()))),
            _ => Err("3"),
        };
    };
    if held.print != settings.write {
        return Err("2");
    }
    if held.rows && target.table.as_ref().is_none_or(BTreeMap::is_empty) {
        return Err("4");
    }
    let adopt = Ok(("5", Start::From(window_for(settings.write, held))));
    match settings.entry {
        entry @ Entry::At { cursor, .. } => {
            if cursor == held.window.floor || !entry.edited() || held.based_on == base(entry) {
                return adopt;
            }
            // A person took the cursor out: there is no place to start from.
            cursor.map_or(Err("6"), |cursor| Ok(("6", at(cursor))))
        }
        _ => adopt,
    }
}

/// Whether a load that goes on has everything below where it starts.
fn stays_whole(settings: &Settings, target: &Target) -> bool {
    let before = target.held.as_ref();
    let emptied = target.table.as_ref().is_none_or(BTreeMap::is_empty);
    match (before, reconcile(settings, target)) {
        // Whatever stands in the table by then, everything is read.
        (None, Ok((_, Start::From(window)))) => window.floor.is_none(),
        (Some(held), Ok(("5", _))) => held.whole,
        (Some(held), Ok(("1", Start::From(window)))) => {
            window.floor.is_none() || (held.whole && window == held.window && !(emptied && held.rows))
        }
        _ => false,
    }
}

fn nowhere(window: &Window) -> bool {
    window.floor.is_none() && window.ceiling.is_none()
}

/// A state as a run in this mode can use it: after a change of mode nobody knows the window's rows.
fn window_for(write: Write, held: &Held) -> Window {
    let mut window = held.window.clone();
    if write != held.print {
        window.known.values_mut().for_each(|known| *known = Known::Perhaps);
    }
    window
}

fn base(entry: Entry) -> Base {
    match entry {
        Entry::Absent => Base::Nothing,
        Entry::At { cursor, digest } => Base::Position(cursor, digest),
        Entry::Reset { nonce } | Entry::Accept { nonce, .. } | Entry::Set { nonce, .. } => Base::Nonce(nonce),
    }
}

/// What loading makes of a table, and whether any row came.
fn load(write: Write, mut table: Bag, from: &Window, read: &[Version]) -> (Bag, bool) {
    let mut loaded = false;
    for version in read {
        let known = from.known.get(&(version.key, version.cursor)).filter(|_| write == Write::Append);
        let (least, most) = match known {
            Some(Known::Surely) => continue,
            Some(Known::Perhaps) => (0, 1),
            None => (1, 1),
        };
        loaded = true;
        if write == Write::Merge {
            table.retain(|there, _| there.key != version.key);
        }
        let count = table.entry(*version).or_insert((0, 0));
        *count = (count.0 + least, count.1 + most);
    }
    (table, loaded)
}

/// The window after everything was read (steps 1, 4 and 5 of the rule).
fn advance(kind: Kind, source: &Source, settings: &Settings, from: &Window, read: &[Version]) -> Window {
    let highest = source.rows.values().map(|(cursor, _)| *cursor).max();
    let top = highest.max(from.ceiling);
    let end = if kind.time { from.ceiling.max(top.min(Some(CLOCK))) } else { top };
    let since = |slot: &Transaction, prepared: &bool| match from.open.get(slot) {
        Some(seen) => *seen,
        None if *prepared => from.floor,
        None => from.ceiling,
    };
    let open: BTreeMap<Transaction, Option<i64>> =
        source.open.iter().map(|(s, p)| (*s, since(s, p))).collect();
    let fence = open.values().copied().min().unwrap_or(end);
    let floor = from.floor.max(fence.map(|fence| fence - settings.lookback));
    let mut known = from.known.clone();
    known.extend(read.iter().map(|v| ((v.key, v.cursor), Known::Surely)));
    known.retain(|(_, cursor), _| floor.is_none_or(|floor| *cursor >= floor));
    Window { floor, ceiling: end, open, known }
}

/// Whether a key comes twice.
pub fn repeats(table: &Bag) -> bool {
    let mut keys = BTreeSet::new();
    table.iter().any(|(version, (least, _))| *least > 1 || (*least > 0 && !keys.insert(version.key)))
}
