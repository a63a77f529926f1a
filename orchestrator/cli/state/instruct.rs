//! `waybill state reset` and `waybill state accept`: instructions for the next run.

use clap::Args;
use waybill_protocol::{Error, Result, StreamSelection, SyncMode};

use super::choose;
use super::view::value_text;
use super::write::{self, Done, Manner, Order};
use crate::cli::connection::glob::fits;
use crate::cli::terminal::Terminal;
use crate::store::config::{Connection, load};
use crate::store::nearest::did_you_mean;
use crate::store::project::Project;
use crate::store::state::StateEntry;

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
    /// Only say what would be written
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Which streams are loaded again.
#[derive(Debug, Args)]
pub struct ResetArgs {
    #[command(flatten)]
    pub(super) streams: InstructArgs,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
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

/// Writes an instruction for streams of a connection. `yes` says that nobody needs to be asked.
pub(super) fn instruct(
    terminal: &Terminal,
    project: &Project,
    args: &InstructArgs,
    instruction: Instruction,
    yes: bool,
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
        (false, true) => match choose::choose(terminal, connection, &candidates(connection), instruction)? {
            Some(chosen) => chosen,
            None => {
                terminal.note("nothing was changed");
                return Ok(0);
            }
        },
    };
    if !yes && !args.dry_run {
        if terminal.no_input() {
            terminal.error(&choose::unconfirmed(connection, instruction));
            return Ok(USAGE);
        }
        // Where nobody sits, the command line itself is the answer.
        if terminal.interactive() && !choose::confirm(terminal, connection, &streams, instruction)? {
            terminal.note("nothing was changed");
            return Ok(0);
        }
    }
    let manner = Manner { word: instruction.word(), dry_run: args.dry_run };
    let done = write(project, &args.name, &streams, instruction, manner)?;
    write::show(terminal, project, &args.name, manner, &done)?;
    Ok(0)
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
pub(super) fn named(connection: &Connection, wanted: &[String]) -> Result<Vec<String>> {
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
    manner: Manner,
) -> Result<Vec<Done>> {
    write::carry_out(project, name, manner, |connection| {
        let order = |stream: &String| {
            if let Some(words) = pointless(connection, stream, instruction) {
                return Order { stream: stream.clone(), entry: None, words };
            }
            let (entry, words) = instruction.entry(connection.state.get(stream));
            Order { stream: stream.clone(), entry: Some(entry), words }
        };
        Ok(streams.iter().map(order).collect())
    })
}

/// Why an instruction would change nothing.
fn pointless(connection: &Connection, stream: &str, instruction: Instruction) -> Option<String> {
    let selection = selection_of(connection, stream)?;
    (selection.mode == SyncMode::FullRefresh).then(|| match instruction {
        Instruction::Reset => "its mode is full_refresh: every run loads it whole anyway".to_owned(),
        Instruction::Accept => "its mode is full_refresh: no run looks at its state".to_owned(),
    })
}

/// The selection that stands for a stream: its own, or that of a pattern.
pub(super) fn selection_of<'a>(connection: &'a Connection, stream: &str) -> Option<&'a StreamSelection> {
    let own = connection.streams.iter().find(|s| s.name == stream);
    own.or_else(|| connection.streams.iter().find(|s| fits(&s.name, stream)))
}
