//! Scripts: what happens, step by step, to two streams of one connection; and how they are drawn.

use std::fmt;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::rules::{Key, Kind, Write};

/// A stream of the script.
pub type Stream = u8;

/// A place in which a transaction can be open.
pub type Slot = u8;

/// A script: how the streams begin, and what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Each stream: its kind, how it is written first, its lookback.
    pub streams: Vec<(Kind, Write, i64)>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// The cursor of a new row, or of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum At {
    /// Above all that were there.
    Next,
    /// The highest that was there: a tie.
    Tie,
    /// So far below the highest.
    Below(u8),
    /// In the future, where the cursor is a time.
    Future,
}

/// Which streams a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct How {
    /// Only this one.
    pub only: Option<Stream>,
    /// With `--full-refresh`.
    pub full: bool,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// A row comes, or an old one of that key gets this cursor.
    Put { on: Stream, key: Key, at: At },
    /// A row changes and keeps its cursor.
    Change { on: Stream, nth: u8 },
    /// A row goes: 0 the newest.
    Delete { on: Stream, nth: u8 },
    /// A row comes in a transaction that stays open.
    Begin { on: Stream, key: Key, slot: Slot, prepared: bool },
    /// The transaction ends.
    End { slot: Slot, commit: bool },
    /// A run.
    Run(How),
    /// A run that is killed at the n-th call that changes a file or reaches a server.
    Kill { how: How, nth: u16, torn: bool },
    /// Two runs at once.
    Twice(How),
    /// Two runs at once, from two folders.
    Clones(How),
    /// A person edits the cursor in config.json.
    Edit { on: Stream, at: At },
    /// A person takes the stream's state out of config.json.
    Forget { on: Stream },
    /// A person writes the instruction `set` into config.json.
    Set { on: Stream, at: At },
    /// `waybill state reset`.
    Reset { on: Stream },
    /// `waybill state accept`.
    Accept { on: Stream },
    /// A person changes how the stream is written.
    Mode { on: Stream, write: Write },
    /// A person changes the stream's lookback.
    Lookback { on: Stream, by: u8 },
    /// A person edits another connection.
    Other,
    /// config.json as it was so many runs ago.
    Checkout { back: u8 },
    /// The destination as it was so many runs ago.
    Restore { back: u8 },
    /// Somebody empties the stream's table, or drops it.
    Empty { on: Stream, drop: bool },
}

/// What a harness can do.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// Transactions can stay open.
    pub transactions: bool,
    /// The highest call at which a run is killed.
    pub calls: u16,
    /// How many of eight scripts are long.
    pub long: u32,
}

/// Any script: a few bouts, in each of which the source changes, perhaps somebody does something, and
/// the program runs.
pub fn scripts(draw: Draw) -> impl Strategy<Value = Script> {
    let write = prop_oneof![4 => Just(Write::Append), 3 => Just(Write::Merge), 1 => Just(Write::Overwrite)];
    let lookback = prop_oneof![3 => Just(0i64), 1 => 1i64..4];
    let kind = if draw.transactions { Just(false).boxed() } else { any::<bool>().boxed() };
    let stream = (kind.prop_map(|time| Kind { time }), write, lookback);
    let some = |step: BoxedStrategy<Step>, least, most| prop::collection::vec(step, least..=most);
    let writes = prop_oneof![1 => some(at_the_source(draw), 0, 0), 8 => some(at_the_source(draw), 1, 3)];
    let deeds = prop_oneof![5 => some(by_a_person(), 0, 0), 4 => some(by_a_person(), 1, 1), 1 => some(by_a_person(), 2, 2)];
    let bout = (writes, deeds, some(of_the_program(draw), 1, 1));
    let bout = bout.boxed();
    let bouts = prop_oneof![
        8 - draw.long => prop::collection::vec(bout.clone(), 2..=3),
        draw.long => prop::collection::vec(bout, 4..=6),
    ];
    (prop::collection::vec(stream, 2), bouts).prop_map(|(streams, bouts)| {
        let steps = bouts.into_iter().flat_map(|(writes, deeds, runs)| [writes, deeds, runs].concat());
        Script { streams, steps: steps.collect() }
    })
}

fn on() -> std::ops::Range<Stream> {
    0..2
}

fn at_the_source(draw: Draw) -> BoxedStrategy<Step> {
    let at = prop_oneof![
        6 => Just(At::Next),
        3 => Just(At::Tie),
        2 => (1..5u8).prop_map(At::Below),
        1 => Just(At::Future),
    ];
    let usual = prop_oneof![
        8 => (on(), 0..6u8, at).prop_map(|(on, key, at)| Step::Put { on, key, at }),
        1 => (on(), 0..4u8).prop_map(|(on, nth)| Step::Change { on, nth }),
        1 => (on(), 0..4u8).prop_map(|(on, nth)| Step::Delete { on, nth }),
    ];
    let begin = (on(), 0..6u8, 0..3u8, prop::bool::weighted(0.3));
    let late = prop_oneof![
        begin.prop_map(|(on, key, slot, prepared)| Step::Begin { on, key, slot, prepared }),
        (0..3u8, any::<bool>()).prop_map(|(slot, commit)| Step::End { slot, commit }),
    ];
    if draw.transactions { prop_oneof![usual, late].boxed() } else { usual.boxed() }
}

fn by_a_person() -> BoxedStrategy<Step> {
    let at = || prop_oneof![3 => (1..5u8).prop_map(At::Below), 1 => Just(At::Tie), 1 => Just(At::Next)];
    let write = prop_oneof![Just(Write::Append), Just(Write::Merge), Just(Write::Overwrite)];
    prop_oneof![
        5 => (on(), at()).prop_map(|(on, at)| Step::Edit { on, at }),
        2 => on().prop_map(|on| Step::Forget { on }),
        1 => (on(), at()).prop_map(|(on, at)| Step::Set { on, at }),
        3 => on().prop_map(|on| Step::Reset { on }),
        4 => on().prop_map(|on| Step::Accept { on }),
        2 => (on(), write).prop_map(|(on, write)| Step::Mode { on, write }),
        1 => (on(), 0..4u8).prop_map(|(on, by)| Step::Lookback { on, by }),
        1 => Just(Step::Other),
        5 => (0..5u8).prop_map(|back| Step::Checkout { back }),
        6 => (0..5u8).prop_map(|back| Step::Restore { back }),
        2 => (on(), any::<bool>()).prop_map(|(on, drop)| Step::Empty { on, drop }),
    ]
    .boxed()
}

fn of_the_program(draw: Draw) -> BoxedStrategy<Step> {
    let how = || {
        let only = prop_oneof![4 => Just(None), 1 => on().prop_map(Some)];
        (only, prop::bool::weighted(0.12)).prop_map(|(only, full)| How { only, full })
    };
    let kill = (how(), 1..=draw.calls, any::<bool>());
    prop_oneof![
        5 => how().prop_map(Step::Run),
        4 => kill.prop_map(|(how, nth, torn)| Step::Kill { how, nth, torn }),
        1 => how().prop_map(Step::Twice),
        1 => how().prop_map(Step::Clones),
    ]
    .boxed()
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (kind, write, lookback)) in self.streams.iter().enumerate() {
            let cursor = if kind.time { "a time" } else { "a number" };
            writeln!(f, "stream {number}: {write:?}, its cursor {cursor}, lookback {lookback}")?;
        }
        self.steps.iter().enumerate().try_for_each(|(at, step)| writeln!(f, "{:>3}. {step}", at + 1))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Put { on, key, at } => write!(f, "stream {on}: row {key} with {at}"),
            Step::Change { on, nth } => {
                write!(f, "stream {on}: row no. {nth} from the newest changes, not its cursor")
            }
            Step::Delete { on, nth } => write!(f, "stream {on}: row no. {nth} from the newest goes"),
            Step::Begin { on, key, slot, prepared } => {
                let what = if *prepared { "prepared" } else { "open" };
                write!(
                    f,
                    "stream {on}: row {key} with the next cursor, in transaction {slot}, which is {what}"
                )
            }
            Step::End { slot, commit } => {
                write!(f, "transaction {slot} is {}", if *commit { "committed" } else { "rolled back" })
            }
            Step::Run(how) => write!(f, "run{how}"),
            Step::Kill { how, nth, torn } => {
                write!(f, "run{how}, killed at call {nth}{}", if *torn { ", torn" } else { "" })
            }
            Step::Twice(how) => write!(f, "run{how}, twice at once"),
            Step::Clones(how) => write!(f, "run{how}, from two folders at once"),
            Step::Edit { on, at } => write!(f, "stream {on}: the cursor in config.json is edited to {at}"),
            Step::Forget { on } => write!(f, "stream {on}: its state is taken out of config.json"),
            Step::Set { on, at } => write!(f, "stream {on}: config.json says set, {at}"),
            Step::Reset { on } => write!(f, "stream {on}: state reset"),
            Step::Accept { on } => write!(f, "stream {on}: state accept"),
            Step::Mode { on, write } => write!(f, "stream {on}: is written by {write:?} now"),
            Step::Lookback { on, by } => write!(f, "stream {on}: lookback {by} now"),
            Step::Other => write!(f, "another connection is edited"),
            Step::Checkout { back } => write!(f, "config.json as it was {back} runs ago"),
            Step::Restore { back } => write!(f, "the destination as it was {back} runs ago"),
            Step::Empty { on, drop } => {
                write!(f, "stream {on}: its table is {}", if *drop { "dropped" } else { "emptied" })
            }
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Next => write!(f, "the next cursor"),
            At::Tie => write!(f, "the highest cursor so far"),
            At::Below(by) => write!(f, "a cursor {by} below the highest"),
            At::Future => write!(f, "a cursor in the future"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(only) = self.only {
            write!(f, " --stream {only}")?;
        }
        if self.full {
            write!(f, " --full-refresh")?;
        }
        Ok(())
    }
}
