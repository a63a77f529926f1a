//! Plays a script against the program, and compares after every step that promises something.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::line::Line;
use super::model::{self, Bag, Entry, Key, Outcome, Target, Transaction, Write};
use super::script::{How, Script, Slot, Step, Stream};
use crate::fixture::Project;
use crate::fixture::process::Running;
use crate::fixture::record::{Log, files_below};
use crate::fixture::shim::Shim;

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
struct Saved {
    config: String,
    settings: Vec<model::Settings>,
    targets: Vec<Target>,
    commits: Vec<Option<String>>,
}

/// A script that is being played.
pub struct Play<S: System> {
    system: S,
    lines: Vec<Line>,
    saved: Vec<Saved>,
    open: BTreeMap<Slot, (Transaction, bool)>,
    logs: usize,
    fresh: u32,
    played: Played,
}

/// Plays a script; an error says at which step what was wrong.
pub fn play<S: System>(system: S, script: &Script) -> Result<Played, String> {
    let line = |(at, (kind, write, back)): (usize, &(model::Kind, Write, i64))| {
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
            Step::Reset { on } => return self.instruct(*on, "reset"),
            Step::Accept { on } => return self.instruct(*on, "accept"),
            Step::Edit { on, at } => {
                let to = self.line(*on).cursor(*at);
                let line = self.line(*on);
                let digest_of = match line.settings.entry {
                    Entry::At { digest_of, .. } => digest_of,
                    _ => None,
                };
                line.settings.entry = Entry::At { cursor: Some(to), digest_of };
                let value = line.json(to);
                self.edit_state(*on, |entry| match entry.get("digest").cloned() {
                    Some(digest) => *entry = json!({"cursor": value, "digest": digest}),
                    None => *entry = json!({"cursor": value}),
                });
            }
            Step::Set { on, at } => {
                let nonce = self.fresh();
                let line = self.line(*on);
                let cursor = line.cursor(*at);
                line.settings.entry = Entry::Set { nonce, cursor };
                let value = line.json(cursor);
                self.edit_state(*on, |entry| {
                    *entry = json!({"set": {"cursor": value, "nonce": nonce.to_string()}})
                });
            }
            Step::Forget { on } => {
                self.line(*on).settings.entry = Entry::Absent;
                let stream = self.system.stream(*on);
                self.system.project().edit(|config| {
                    let state = config["connections"][0].get_mut("state").and_then(Value::as_object_mut);
                    state.map(|state| state.shift_remove(&stream));
                });
            }
            Step::Mode { on, write } => {
                self.line(*on).settings.write = *write;
                self.settings(*on);
            }
            Step::Lookback { on, by } => {
                self.line(*on).settings.lookback = i64::from(*by);
                self.settings(*on);
            }
            Step::Other => {
                let other = json!({"name": format!("other_{}", self.fresh()), "type": "sqlite", "schema": 5});
                self.system.project().edit(|config| {
                    let all = config["connections"].as_array_mut().expect("connections");
                    all.truncate(1);
                    all.push(other);
                });
            }
            Step::Checkout { back } => {
                let saved = self.back(*back);
                let saved = &self.saved[saved];
                self.system.project().file("config.json", &saved.config);
                for (line, settings) in self.lines.iter_mut().zip(&saved.settings) {
                    line.settings = settings.clone();
                }
            }
            Step::Restore { back } => {
                let copy = self.back(*back);
                self.system.restore(copy);
                let saved = &self.saved[copy];
                for ((line, target), commit) in self.lines.iter_mut().zip(&saved.targets).zip(&saved.commits)
                {
                    line.target = target.clone();
                    line.commit.clone_from(commit);
                }
            }
            Step::Empty { on, drop } => {
                let line = self.line(*on);
                if line.target.table.is_some() {
                    line.target.table = (!drop).then(Bag::new);
                    self.system.spoil(*on, *drop);
                }
            }
        }
        Ok(())
    }

    /// A number that was not used before.
    fn fresh(&mut self) -> u32 {
        self.fresh += 1;
        self.fresh
    }

    fn line(&mut self, on: Stream) -> &mut Line {
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
    fn end(&mut self, slot: Slot, commit: bool) {
        let Some((transaction, prepared)) = self.open.remove(&slot) else { return };
        self.lines.iter_mut().for_each(|line| line.end(slot, commit));
        self.system.end(slot, prepared.then_some(transaction), commit);
        self.now_open();
    }

    fn now_open(&mut self) {
        let open: BTreeMap<Transaction, bool> = self.open.values().copied().collect();
        self.lines.iter_mut().for_each(|line| line.source.open.clone_from(&open));
    }

    fn back(&self, back: u8) -> usize {
        self.saved.len().saturating_sub(1 + usize::from(back))
    }

    /// Writes a stream's selection as its settings are now.
    fn settings(&mut self, on: Stream) {
        let selection = self.line(on).selection();
        self.system
            .project()
            .edit(|config| config["connections"][0]["schema"]["streams"][usize::from(on)] = selection);
    }

    fn edit_state(&self, on: Stream, change: impl FnOnce(&mut Value)) {
        self.system
            .project()
            .edit(|config| change(&mut config["connections"][0]["state"][self.system.stream(on)]));
    }

    fn instruct(&mut self, on: Stream, word: &str) -> Result<(), String> {
        let mut command =
            self.system.project().command(&["state", word, "c", "--stream", &self.system.stream(on)]);
        Shim { no_sync: true, ..Shim::default() }.before(&mut command, None);
        let finished = Running::start(&mut command).wait();
        if finished.code != 0 {
            return Err(format!("exit code {}\n{}", finished.code, finished.err));
        }
        let nonce = self.fresh();
        let settings = &mut self.line(on).settings;
        if settings.write == Write::Overwrite {
            return Ok(());
        }
        settings.entry = match (word, settings.entry) {
            ("reset", _) => Entry::Reset { nonce },
            (_, Entry::At { cursor, .. } | Entry::Accept { cursor, .. }) => Entry::Accept { nonce, cursor },
            (_, Entry::Set { cursor, .. }) => Entry::Accept { nonce, cursor: Some(cursor) },
            _ => Entry::Accept { nonce, cursor: None },
        };
        Ok(())
    }

    /// A command for a run, its log in a folder of its own.
    fn command(&mut self, how: How, shim: Shim) -> Command {
        self.logs += 1;
        self.played.runs += 1;
        let logs = self.log_folder();
        let only = how.only.map(|on| self.system.stream(on));
        let mut words = vec!["run", "c", "--run-logs-dir", &logs];
        words.extend(only.iter().flat_map(|only| ["--stream", only.as_str()]));
        words.extend(how.full.then_some("--full-refresh"));
        let mut command = self.system.project().command(&words);
        shim.before(&mut command, None);
        command
    }

    fn log_folder(&self) -> String {
        format!("logs/{}", self.logs)
    }

    /// What a run that begins now must do.
    fn expected(&mut self, how: How) -> Vec<Option<Outcome>> {
        let outcomes = |play: &Self| -> Vec<Option<Outcome>> {
            let included = |at: usize| how.only.is_none_or(|only| usize::from(only) == at);
            let outcome = |(at, line): (usize, &Line)| included(at).then(|| line.outcome(how.full));
            play.lines.iter().enumerate().map(outcome).collect()
        };
        // A first look waits long for open transactions: not here.
        let first = |line: &Line| line.is_first(how.full) && !line.source.open.is_empty();
        while self.lines.iter().any(first) {
            let slot = self.open.keys().next().copied();
            slot.into_iter().for_each(|slot| self.end(slot, true));
        }
        let found = outcomes(self);
        let refused = found.iter().flatten().filter(|outcome| matches!(outcome, Outcome::Refused(_)));
        self.played.refusals += refused.count() as u64;
        found
    }

    fn run(&mut self, how: How) -> Result<(), String> {
        let expected = self.expected(how);
        let mut command = self.command(how, Shim { no_sync: true, ..Shim::default() });
        let finished = Running::start(&mut command).wait();
        self.ended(&expected, finished.code)
            .map_err(|what| format!("{what}\n{}{}", finished.out, finished.err))
    }

    /// What must be so after a run that was not killed.
    fn ended(&mut self, expected: &[Option<Outcome>], code: i32) -> Result<(), String> {
        if code != code_of(expected) {
            return Err(format!("exit code {code}, expected {} of {}", code_of(expected), words(expected)));
        }
        self.rules(expected)?;
        self.system.copy();
        for (at, outcome) in expected.iter().enumerate() {
            let commit = self.system.commit(at as Stream);
            let line = &mut self.lines[at];
            if let Some(Outcome::Loads(done)) = outcome {
                line.target = done.target.clone();
                line.settings.entry = done.entry;
            } else if commit != line.commit {
                return Err(format!("stream {at} has a new state although it was not loaded"));
            }
            line.commit = commit;
        }
        self.compare(expected, false)?;
        self.save();
        Ok(())
    }

    /// The rule of each stream, as the log says it.
    fn rules(&self, expected: &[Option<Outcome>]) -> Result<(), String> {
        let log = self.log();
        log.check();
        for (at, outcome) in expected.iter().enumerate() {
            let about = |event: &str| {
                let found = log.named(event).into_iter().find(|line| line["stream"] == self.lines[at].name);
                found.cloned().unwrap_or_default()
            };
            let rule = about("state.reconciled")["data"]["rule"].as_str().map(str::to_owned);
            let refusal = about("stream.finished").to_string() + &about("stream.attempt_failed").to_string();
            let fits = match outcome {
                None => rule.is_none(),
                Some(Outcome::Loads(done)) => rule.as_deref() == Some(done.rule),
                Some(Outcome::Refused(by)) => rule.is_none() && refusal.contains(refusal_of(by)),
                Some(Outcome::Fails) => refusal.contains("is not unique"),
            };
            if !fits {
                return Err(format!("stream {at}: rule {rule:?}, expected {}\n{refusal}", words(expected)));
            }
        }
        Ok(())
    }

    fn log(&self) -> Log {
        let files = files_below(&self.system.project().path(&self.log_folder()));
        let log = files.iter().find(|path| path.to_string_lossy().ends_with("_events.jsonl"));
        log.map_or_else(|| Log { path: Path::new("none").into(), lines: Vec::new() }, |path| Log::read(path))
    }

    /// Compares tables and config with the model; what was open in the model is settled.
    fn compare(&mut self, expected: &[Option<Outcome>], killed: bool) -> Result<(), String> {
        let config = self.system.project().config();
        for (at, line) in self.lines.iter_mut().enumerate() {
            let found = self.system.table(at as Stream).map(|rows| line.versions(&rows));
            let loads = matches!(expected.get(at), Some(Some(Outcome::Loads(_))));
            line.settle(found, killed && loads)
                .map_err(|what| format!("{what}\nexpected was {}", words(expected)))?;
            line.check_entry(&config["connections"][0]["state"][&line.name])?;
            if loads && !killed {
                line.check_promise()?;
            }
        }
        Ok(())
    }

    /// Remembers how it is now; the copy has been made.
    fn save(&mut self) {
        let config = std::fs::read_to_string(self.system.project().path("config.json")).expect("config.json");
        self.saved.push(Saved {
            config,
            settings: self.lines.iter().map(|line| line.settings.clone()).collect(),
            targets: self.lines.iter().map(|line| line.target.clone()).collect(),
            commits: self.lines.iter().map(|line| line.commit.clone()).collect(),
        });
    }

    fn kill(&mut self, how: How, nth: u16, torn: bool) -> Result<(), String> {
        let expected = self.expected(how);
        let before = self.system.project().config();
        let mut command = self.command(how, Shim { kill_at: Some(u64::from(nth)), torn, no_sync: true });
        let finished = Running::start(&mut command).wait();
        if finished.code != 137 {
            return self.ended(&expected, finished.code).map_err(|what| format!("{what}\n{}", finished.err));
        }
        self.played.kills += 1;
        self.log().check();
        self.system.copy();
        let now = self.config()?;
        let merged = now != before;
        for (at, outcome) in expected.iter().enumerate() {
            let commit = self.system.commit(at as Stream);
            let line = &mut self.lines[at];
            let committed = commit != line.commit;
            match outcome {
                Some(Outcome::Loads(done)) if committed => {
                    line.target = done.target.clone();
                    if merged {
                        line.settings.entry = done.entry;
                    }
                }
                _ if committed => {
                    return Err(format!("killed: stream {at} has a new state although it cannot be loaded"));
                }
                Some(Outcome::Loads(done)) if merged && done.entry != line.settings.entry => {
                    return Err(format!("killed: config.json is ahead of the data of stream {at}"));
                }
                _ => {}
            }
            line.commit = commit;
        }
        self.compare(&expected, true).map_err(|what| format!("killed: {what}"))?;
        self.save();
        Ok(())
    }

    fn config(&self) -> Result<Value, String> {
        let bytes = std::fs::read(self.system.project().path("config.json")).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| format!("config.json is torn: {e}"))
    }

    fn twice(&mut self, how: How) -> Result<(), String> {
        let first = self.expected(how);
        let mut one = self.command(how, Shim { no_sync: true, ..Shim::default() });
        let mut two = self.command(how, Shim { no_sync: true, ..Shim::default() });
        let (one, two) = (Running::start(&mut one), Running::start(&mut two));
        let (one, two) = (one.wait(), two.wait());
        let mut codes = vec![one.code, two.code];
        codes.sort_unstable();
        for (line, outcome) in self.lines.iter_mut().zip(&first) {
            if let Some(Outcome::Loads(done)) = outcome {
                line.target = done.target.clone();
                line.settings.entry = done.entry;
            }
        }
        let mut allowed = vec![code_of(&first), 6];
        let both = !codes.contains(&6);
        let second = if both { self.expected(how) } else { Vec::new() };
        if both {
            allowed = vec![code_of(&first), code_of(&second)];
            for (line, outcome) in self.lines.iter_mut().zip(&second) {
                if let Some(Outcome::Loads(done)) = outcome {
                    line.target = done.target.clone();
                    line.settings.entry = done.entry;
                }
            }
        }
        allowed.sort_unstable();
        if codes != allowed {
            return Err(format!("exit codes {codes:?}, expected {allowed:?}\n{}\n{}", one.err, two.err));
        }
        self.system.copy();
        for (at, line) in self.lines.iter_mut().enumerate() {
            line.commit = self.system.commit(at as Stream);
        }
        self.compare(if both { &second } else { &first }, false)?;
        self.save();
        Ok(())
    }
}

/// How a run with these outcomes exits.
fn code_of(expected: &[Option<Outcome>]) -> i32 {
    let loads = |outcome: &&Outcome| matches!(outcome, Outcome::Loads(_));
    let all: Vec<&Outcome> = expected.iter().flatten().collect();
    match all.iter().filter(|outcome| loads(outcome)).count() {
        0 => 1,
        some if some == all.len() => 0,
        _ => 5,
    }
}

/// What a refusal by this rule says.
fn refusal_of(rule: &str) -> &'static str {
    match rule {
        "2" => "belongs to another source, cursor, key, filter or mode",
        "3" => "the config has state but the destination has none",
        "4" => "is gone or empty although",
        _ => "no such refusal",
    }
}

fn words(expected: &[Option<Outcome>]) -> String {
    let word = |outcome: &Option<Outcome>| match outcome {
        None => "not asked for".to_owned(),
        Some(Outcome::Loads(done)) => format!("loaded by rule {}", done.rule),
        Some(Outcome::Refused(rule)) => format!("refused by rule {rule}"),
        Some(Outcome::Fails) => "failed: a key comes twice".to_owned(),
    };
    expected.iter().map(word).collect::<Vec<_>>().join(", ")
}
