//! `waybill state reset` and `waybill state accept`: instructions for the next run.

use std::collections::BTreeMap;

use chrono::Utc;
use clap::Args;
use serde_json::{Value, json};
use waybill_protocol::{Error, Kind, Result, SyncMode};

use super::choose;
use super::view::value_text;
use crate::cli::connection::glob::fits;
use crate::cli::terminal::Terminal;
use crate::store::config::{Connection, load};
use crate::store::edit::ensure_id;
use crate::store::lock::{Holder, RunLock};
use crate::store::nearest::did_you_mean;
use crate::store::project::Project;
use crate::store::state::{StateEntry, merge_state, put_instruction};

/// Exit code where a flag is missing and nobody can be asked.
const USAGE: u8 = 2;

/// Which streams an instruction is for.
#[derive(Debug, Args)]
pub struct InstructArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// These streams
    #[arg(long, value_name = "STREAM", conflicts_with = "all")]
    pub(super) stream: Vec<String>,
    /// All streams of the connection
    #[arg(long)]
    pub(super) all: bool,
}

/// What the next run is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Load everything again.
    Reset,
    /// Go on from what is there.
    Accept,
}

impl Instruction {
    /// The word of the command.
    pub(super) fn word(self) -> &'static str {
        match self {
            Instruction::Reset => "reset",
            Instruction::Accept => "accept",
        }
    }

    /// The entry to write in the place of `now`, and what the next run makes of it.
    fn entry(self, now: Option<&StateEntry>) -> (StateEntry, String) {
        match self {
            Instruction::Reset => (
                StateEntry::reset(),
                "the next run loads everything again; the table stays as it is until then".to_owned(),
            ),
            Instruction::Accept => {
                let cursor = match now {
                    Some(StateEntry::Position { cursor, .. } | StateEntry::Accept { cursor, .. }) => {
                        cursor.clone()
                    }
                    Some(StateEntry::Set { cursor, .. }) => Some(cursor.clone()),
                    Some(StateEntry::Reset { .. }) | None => None,
                };
                // How many files were loaded says nothing about which ones.
                let cursor = cursor.filter(|cursor| !cursor.is_object());
                let otherwise = match &cursor {
                    Some(cursor) => format!("from {}", value_text(cursor)),
                    None => "with a first load".to_owned(),
                };
                let words = format!(
                    "the next run goes on from what the destination holds, or {otherwise} where it holds nothing"
                );
                (StateEntry::accept(cursor), words)
            }
        }
    }
}

/// What was written for a stream, or why nothing was.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) stream: String,
    pub(super) written: bool,
    pub(super) words: String,
}

/// Writes an instruction for streams of a connection.
pub(super) fn instruct(
    terminal: &Terminal,
    project: &Project,
    args: &InstructArgs,
    instruction: Instruction,
) -> Result<u8> {
    let config = load(project)?;
    let connection = config.connection(&args.name)?;
    let streams = match (args.all, args.stream.is_empty()) {
        (true, _) => candidates(connection),
        (false, false) => named(connection, &args.stream)?,
        (false, true) if !terminal.interactive() => {
            terminal.error(&choose::unasked(connection, instruction));
            return Ok(USAGE);
        }
        (false, true) => match choose::choose(connection, &candidates(connection), instruction)? {
            Some(chosen) => chosen,
            None => {
                terminal.note("nothing was changed");
                return Ok(0);
            }
        },
    };
    let done = write(project, &args.name, &streams, instruction)?;
    show(terminal, args, instruction, &done)?;
    Ok(0)
}

fn show(terminal: &Terminal, args: &InstructArgs, instruction: Instruction, done: &[Done]) -> Result<()> {
    if terminal.json_wanted() {
        let entry =
            |done: &Done| json!({"stream": done.stream, "written": done.written, "next_run": done.words});
        let streams: Vec<Value> = done.iter().map(entry).collect();
        return terminal.json(&json!({
            "connection": args.name,
            "instruction": instruction.word(),
            "streams": streams,
        }));
    }
    for done in done {
        let what = if done.written { instruction.word() } else { "unchanged" };
        terminal.out(&format!("{}  {what}: {}", terminal.paint("1", &done.stream), done.words))?;
    }
    if done.iter().any(|done| done.written) {
        terminal.note(&format!("\nnext: waybill run {}", args.name));
    }
    Ok(())
}

/// The streams that an instruction can be meant for.
pub(super) fn candidates(connection: &Connection) -> Vec<String> {
    let plain = connection.streams.iter().filter(|s| s.query.is_some() || !s.name.contains('*'));
    let mut names: Vec<String> = plain.map(|s| s.name.clone()).collect();
    for name in connection.state.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>() {
        names.push(name);
    }
    names
}

/// The named streams; one that the connection cannot have is refused before anything is written.
fn named(connection: &Connection, wanted: &[String]) -> Result<Vec<String>> {
    let known = candidates(connection);
    let mut streams: Vec<String> = Vec::new();
    for name in wanted {
        let has = known.contains(name) || connection.streams.iter().any(|s| fits(&s.name, name));
        if !has {
            let near = did_you_mean(name, known.iter().map(String::as_str));
            return Err(Error::config(format!("{} has no stream {name:?}{near}", connection.name))
                .hint(format!("it has: {}; --all means all of them", known.join(", "))));
        }
        if !streams.contains(name) {
            streams.push(name.clone());
        }
    }
    Ok(streams)
}

/// Writes the entries under the run lock, with one backup of the config for all of them.
pub(super) fn write(
    project: &Project,
    name: &str,
    streams: &[String],
    instruction: Instruction,
) -> Result<Vec<Done>> {
    let id = ensure_id(project, name)?;
    let holder = Holder {
        run_id: format!("`state {}`", instruction.word()),
        pid: std::process::id(),
        since: Utc::now(),
        connection: name.to_owned(),
    };
    let _lock = RunLock::acquire(project, id, &holder, None).map_err(|error| match error.kind() {
        Kind::Locked => Error::new(Kind::Locked, error.message()).hint(format!(
            "wait until it has ended (waybill runs events {name} --follow), then say it again"
        )),
        _ => error,
    })?;
    // A run may have ended, and moved the state, until the lock was ours.
    let config = load(project)?;
    let connection = config.connection(name)?;
    let mut done = Vec::new();
    let mut updates: BTreeMap<String, Value> = BTreeMap::new();
    for stream in streams {
        if let Some(words) = pointless(connection, stream, instruction) {
            done.push(Done { stream: stream.clone(), written: false, words });
            continue;
        }
        let (entry, words) = instruction.entry(connection.state.get(stream));
        if updates.is_empty() {
            put_instruction(project, name, stream, &entry)?;
        }
        updates.insert(stream.clone(), entry.to_value());
        done.push(Done { stream: stream.clone(), written: true, words });
    }
    // The first one is there, with the backup; the others follow without one of their own.
    let merged = merge_state(project, id, &connection.state_as_loaded, &updates)?;
    if let Some((stream, why)) = merged.left.first() {
        return Err(Error::config(format!("{stream}: nothing was written: {why}")).hint("try again"));
    }
    Ok(done)
}

/// Why an instruction would change nothing.
fn pointless(connection: &Connection, stream: &str, instruction: Instruction) -> Option<String> {
    let own = connection.streams.iter().find(|s| s.name == stream);
    let selection = own.or_else(|| connection.streams.iter().find(|s| fits(&s.name, stream)))?;
    (selection.mode == SyncMode::FullRefresh).then(|| match instruction {
        Instruction::Reset => "its mode is full_refresh: every run loads it whole anyway".to_owned(),
        Instruction::Accept => "its mode is full_refresh: no run looks at its state".to_owned(),
    })
}
