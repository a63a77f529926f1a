//! What people do beside the program: edits, restores, commands about state.

use serde_json::{Value, json};

use super::play::{Play, System};
use super::rules::{Bag, Entry, Write};
use super::script::{At, Step, Stream};
use crate::fixture::process::Running;
use crate::fixture::shim::Shim;

impl<S: System> Play<S> {
    /// What a person does.
    pub fn person(&mut self, step: &Step) {
        match step {
            Step::Edit { on, at } => self.edit_cursor(*on, *at),
            Step::Set { on, at } => self.set(*on, *at),
            Step::Forget { on } => self.forget(*on),
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
            Step::Checkout { back } => self.check_out(*back),
            Step::Restore { back } => self.restore(*back),
            Step::Empty { on, drop } => {
                let line = self.line(*on);
                if line.target.table.is_some() {
                    line.target.table = (!drop).then(Bag::new);
                    self.system.spoil(*on, *drop);
                }
            }
            _ => {}
        }
    }

    fn edit_cursor(&mut self, on: Stream, at: At) {
        let line = self.line(on);
        let to = line.cursor(at);
        let digest = match line.settings.entry {
            Entry::At { digest, .. } => digest,
            _ => None,
        };
        line.settings.entry = Entry::At { cursor: Some(to), digest };
        let value = line.json(to);
        self.edit_state(on, |entry| match entry.get("digest").cloned() {
            Some(digest) => *entry = json!({"cursor": value, "digest": digest}),
            None => *entry = json!({"cursor": value}),
        });
    }

    fn set(&mut self, on: Stream, at: At) {
        let nonce = self.fresh();
        let line = self.line(on);
        let cursor = line.cursor(at);
        line.settings.entry = Entry::Set { nonce, cursor };
        let value = line.json(cursor);
        self.edit_state(on, |entry| *entry = json!({"set": {"cursor": value, "nonce": nonce.to_string()}}));
    }

    fn forget(&mut self, on: Stream) {
        self.line(on).settings.entry = Entry::Absent;
        let stream = self.system.stream(on);
        self.system.project().edit(|config| {
            let state = config["connections"][0].get_mut("state").and_then(Value::as_object_mut);
            state.map(|state| state.shift_remove(&stream));
        });
    }

    fn check_out(&mut self, back: u8) {
        let saved = &self.saved[self.back(back)];
        self.system.project().file("config.json", &saved.config);
        for (line, settings) in self.lines.iter_mut().zip(&saved.settings) {
            line.settings = settings.clone();
        }
    }

    fn restore(&mut self, back: u8) {
        let copy = self.back(back);
        self.system.restore(copy);
        let saved = &self.saved[copy];
        for ((line, target), commit) in self.lines.iter_mut().zip(&saved.targets).zip(&saved.commits) {
            line.target = target.clone();
            line.commit.clone_from(commit);
        }
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

    /// `waybill state reset` or `accept`.
    pub fn instruct(&mut self, on: Stream, word: &str) -> Result<(), String> {
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
}
