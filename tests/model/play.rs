//! Plays a script against the program, and compares after every step that promises something.

use std::collections::BTreeMap;

use super::line::Line;
use super::rules::{Key, Kind, Settings, Target, Transaction, Write};
use super::script::{Script, Slot, Step, Stream};
use crate::fixture::Project;

/// A source and a destination, as somebody beside the program sees them.
pub trait System {
    /// The project with connection `c`.
    fn project(&self) -> &Project;
    /// The name of a stream, and of its table at the source.
    fn stream(&self, on: Stream) -> String {
        format!("s{on}")
    }
    /// Writes at the source.
    fn write(&mut self, sql: &str);
    /// Writes at the source in a transaction that stays open; it is begun where it is not open yet.
    fn begin(&mut self, slot: Slot, sql: &str);
    /// Prepares a transaction.
    fn prepare(&mut self, slot: Slot, transaction: Transaction);
    /// Ends a transaction.
    fn end(&mut self, slot: Slot, prepared: Option<Transaction>, commit: bool);
    /// Keeps a copy of the destination; copies are numbered from 0.
    fn copy(&mut self);
    /// Puts a copy back.
    fn restore(&mut self, copy: usize);
    /// The rows of a stream's table in the newest copy: key, cursor, value.
    fn table(&mut self, on: Stream) -> Option<Vec<[String; 3]>>;
    /// The state of a stream in the newest copy: the commit that wrote it.
    fn commit(&mut self, on: Stream) -> Option<String>;
    /// Empties a stream's table, or drops it.
    fn spoil(&mut self, on: Stream, drop: bool);
}

/// How much was played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    /// Steps.
    pub steps: u64,
    /// Runs of the program.
    pub runs: u64,
    /// Runs that were killed.
    pub kills: u64,
    /// Runs of a stream that were refused.
    pub refusals: u64,
}

/// What was so after a run.
pub struct Saved {
    /// config.json.
    pub config: String,
    /// The same, as the model has it.
    pub settings: Vec<Settings>,
    /// What the destination held.
    pub targets: Vec<Target>,
    /// The commits that wrote its states.
    pub commits: Vec<Option<String>>,
}

/// A script that is being played.
pub struct Play<S: System> {
    /// Source and destination.
    pub system: S,
    /// The streams.
    pub lines: Vec<Line>,
    /// How it was after each run.
    pub saved: Vec<Saved>,
    /// Transactions that are open; `true`: prepared.
    pub open: BTreeMap<Slot, (Transaction, bool)>,
    /// How many runs have a log.
    pub logs: usize,
    /// How much was played.
    pub played: Played,
    fresh: u32,
}

/// Plays a script; an error says at which step what was wrong.
pub fn play<S: System>(system: S, script: &Script) -> Result<Played, String> {
    let line = |(at, (kind, write, back)): (usize, &(Kind, Write, i64))| {
        Line::new(system.stream(at as Stream), *kind, *write, *back)
    };
    let lines: Vec<Line> = script.streams.iter().enumerate().map(line).collect();
    let mut play = Play {
        system,
        lines,
        saved: Vec::new(),
        open: BTreeMap::new(),
        logs: 0,
        fresh: 0,
        played: Played::default(),
    };
    for line in &play.lines {
        play.system.write(&line.create());
    }
    let lines = &play.lines;
    play.system.project().edit(|config| {
        config["connections"][0]["schema"]["streams"] = lines.iter().map(Line::selection).collect();
    });
    play.system.copy();
    play.save();
    for (at, step) in script.steps.iter().enumerate() {
        play.played.steps += 1;
        play.step(step).map_err(|what| format!("step {}, {step}: {what}", at + 1))?;
    }
    Ok(play.played)
}

impl<S: System> Play<S> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Put { on, key, at } => {
                let value = self.fresh();
                let sql = self.line(*on).put(*key, *at, value);
                sql.into_iter().for_each(|sql| self.system.write(&sql));
            }
            Step::Change { on, nth } => {
                let value = self.fresh();
                let sql = self.line(*on).change(*nth, value);
                sql.into_iter().for_each(|sql| self.system.write(&sql));
            }
            Step::Delete { on, nth } => {
                let sql = self.line(*on).delete(*nth);
                sql.into_iter().for_each(|sql| self.system.write(&sql));
            }
            Step::Begin { on, key, slot, prepared } => {
                let value = self.fresh();
                self.begin(*on, *key, *slot, *prepared, value);
            }
            Step::End { slot, commit } => self.end(*slot, *commit),
            Step::Run(how) => return self.run(*how),
            Step::Kill { how, nth, torn } => return self.kill(*how, *nth, *torn),
            Step::Twice(how) => return self.twice(*how),
            Step::Clones(how) => return self.clones(*how),
            Step::Reset { on } => return self.instruct(*on, "reset"),
            Step::Accept { on } => return self.instruct(*on, "accept"),
            other => self.person(other),
        }
        Ok(())
    }

    /// A number that was not used before.
    pub fn fresh(&mut self) -> u32 {
        self.fresh += 1;
        self.fresh
    }

    /// A stream.
    pub fn line(&mut self, on: Stream) -> &mut Line {
        &mut self.lines[usize::from(on)]
    }

    /// A row comes in a transaction, which is begun, or prepared after it.
    fn begin(&mut self, on: Stream, key: Key, slot: Slot, prepared: bool, value: u32) {
        let known = self.open.get(&slot).copied();
        if matches!(known, Some((_, true))) {
            return;
        }
        let Some(sql) = self.line(on).begin(key, slot, value) else { return };
        self.system.begin(slot, &sql);
        // To whoever looks, a prepared transaction is another one than it was before.
        let transaction = match known {
            Some((transaction, _)) if !prepared => transaction,
            _ => self.fresh(),
        };
        if prepared {
            self.system.prepare(slot, transaction);
        }
        self.open.insert(slot, (transaction, prepared));
        self.now_open();
    }

    /// Ends a transaction, if it is open.
    pub fn end(&mut self, slot: Slot, commit: bool) {
        let Some((transaction, prepared)) = self.open.remove(&slot) else { return };
        self.lines.iter_mut().for_each(|line| line.end(slot, commit));
        self.system.end(slot, prepared.then_some(transaction), commit);
        self.now_open();
    }

    fn now_open(&mut self) {
        let open: BTreeMap<Transaction, bool> = self.open.values().copied().collect();
        self.lines.iter_mut().for_each(|line| line.source.open.clone_from(&open));
    }
}
