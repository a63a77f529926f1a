//! Runs of the program, whole, killed, or two at once, and what must be so afterwards.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::line::Line;
use super::play::{Play, Saved, System};
use super::rules::Outcome;
use super::script::{How, Stream};
use crate::fixture::process::Running;
use crate::fixture::record::{Log, files_below};
use crate::fixture::shim::Shim;

impl<S: System> Play<S> {
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
        // A first look waits long for open transactions: not here.
        let first = |line: &Line| line.is_first(how.full) && !line.source.open.is_empty();
        while self.lines.iter().any(first) {
            let slot = self.open.keys().next().copied();
            slot.into_iter().for_each(|slot| self.end(slot, true));
        }
        let salt = self.fresh();
        let included = |at: usize| how.only.is_none_or(|only| usize::from(only) == at);
        let outcome = |(at, line): (usize, &Line)| included(at).then(|| line.outcome(how.full, salt));
        let found: Vec<Option<Outcome>> = self.lines.iter().enumerate().map(outcome).collect();
        let refused = found.iter().flatten().filter(|outcome| matches!(outcome, Outcome::Refused(_)));
        self.played.refusals += refused.count() as u64;
        found
    }

    /// A run.
    pub fn run(&mut self, how: How) -> Result<(), String> {
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
            let loads = matches!(outcome, Some(Outcome::Loads(_)));
            line.takes(outcome.as_ref());
            if !loads && commit != line.commit {
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
    pub fn save(&mut self) {
        let config = std::fs::read_to_string(self.system.project().path("config.json")).expect("config.json");
        self.saved.push(Saved {
            config,
            settings: self.lines.iter().map(|line| line.settings.clone()).collect(),
            targets: self.lines.iter().map(|line| line.target.clone()).collect(),
            commits: self.lines.iter().map(|line| line.commit.clone()).collect(),
        });
    }

    /// A run that is killed, unless it ends before.
    pub fn kill(&mut self, how: How, nth: u16, torn: bool) -> Result<(), String> {
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

    /// Two runs from one folder at the same moment: one of them, or one after the other.
    pub fn twice(&mut self, how: How) -> Result<(), String> {
        let first = self.expected(how);
        let mut one = self.command(how, Shim { no_sync: true, ..Shim::default() });
        let mut two = self.command(how, Shim { no_sync: true, ..Shim::default() });
        let (one, two) = (Running::start(&mut one), Running::start(&mut two));
        let (one, two) = (one.wait(), two.wait());
        let mut codes = vec![one.code, two.code];
        codes.sort_unstable();
        for (line, outcome) in self.lines.iter_mut().zip(&first) {
            line.takes(outcome.as_ref());
        }
        let mut allowed = vec![code_of(&first), 6];
        let both = !codes.contains(&6);
        let second = if both { self.expected(how) } else { Vec::new() };
        if both {
            allowed = vec![code_of(&first), code_of(&second)];
            for (line, outcome) in self.lines.iter_mut().zip(&second) {
                line.takes(outcome.as_ref());
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

impl<S: System> Play<S> {
    /// Runs from two folders at the same moment, which know nothing of each other's lock: the second
    /// to take the fence is whole, and whatever the first has committed counts once.
    pub fn clones(&mut self, how: How) -> Result<(), String> {
        let expected = self.expected(how);
        let before = self.config()?;
        self.system.project().file("clone.json", before.to_string());
        let mut one = self.command(how, Shim { no_sync: true, ..Shim::default() });
        let mut two = self.command(how, Shim { no_sync: true, ..Shim::default() });
        two.args(["--config", "clone.json", "--runs-dir", "clone_runs"]);
        let (one, two) = (Running::start(&mut one), Running::start(&mut two));
        let (one, two) = (one.wait(), two.wait());
        let code = code_of(&expected);
        // Who lost the fence says so, and whatever else there was to say.
        let allowed = |found: i32| found == code || found == 6 || found == 5 || (code == 5 && found == 1);
        if !(one.code == code || two.code == code) || !allowed(one.code) || !allowed(two.code) {
            let (a, b) = (one.code, two.code);
            return Err(format!("exit codes {a} and {b}, expected {code}\n{}\n{}", one.err, two.err));
        }
        self.system.copy();
        let now = self.config()?;
        for (at, outcome) in expected.iter().enumerate() {
            let commit = self.system.commit(at as Stream);
            let line = &mut self.lines[at];
            let entry = |config: &Value| config["connections"][0]["state"][&line.name].clone();
            let merged = entry(&now) != entry(&before);
            let was = line.settings.entry;
            line.takes(outcome.as_ref());
            if !merged {
                line.settings.entry = was;
            }
            line.commit = commit;
        }
        self.compare(&expected, false)?;
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
        "1" => "cannot go on from where it was",
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
