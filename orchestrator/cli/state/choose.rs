//! Asking for streams where none was named.

use dialoguer::{Confirm, MultiSelect};
use waybill_protocol::{Error, Kind, Result};

use super::instruct::Instruction;
use crate::run::Stop;
use crate::store::config::Connection;

/// What is said where there is nobody to ask: the missing flags.
pub(super) fn unasked(connection: &Connection, instruction: Instruction) -> Error {
    let (name, word) = (&connection.name, instruction.word());
    Error::config(format!("which streams of {name} are meant?"))
        .hint(format!("name them: waybill state {word} {name} --stream STREAM, or say --all"))
}

/// What is said where nobody may be asked whether it is meant.
pub(super) fn unconfirmed(connection: &Connection, instruction: Instruction) -> Error {
    let (name, word) = (&connection.name, instruction.word());
    Error::config(format!("{word} of streams of {name} is not confirmed"))
        .hint("say --yes, or --dry-run to see what would be written")
}

/// Asks whether it is meant.
pub(super) fn confirm(connection: &Connection, streams: &[String], instruction: Instruction) -> Result<bool> {
    let what = match streams {
        [one] => one.clone(),
        several => format!("{} streams", several.len()),
    };
    let question =
        format!("{} {what} of {}: the next run loads everything again?", instruction.word(), connection.name);
    listening()?;
    Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact_opt()
        .map(|answer| answer == Some(true))
        .map_err(|_| {
            let _ = console::Term::stderr().show_cursor();
            Error::new(Kind::Cancelled, "nothing was changed")
        })
}

/// Signals are caught, so that Ctrl-C ends a question and not the program with its cursor hidden.
fn listening() -> Result<()> {
    Stop::new().listen().map_err(|e| Error::internal(format!("signals cannot be caught: {e}")).cause(e))
}

/// Asks which streams are meant; `None` where the person wants none.
pub(super) fn choose(
    connection: &Connection,
    streams: &[String],
    instruction: Instruction,
) -> Result<Option<Vec<String>>> {
    let name = &connection.name;
    let word = instruction.word();
    if streams.is_empty() {
        return Err(Error::config(format!("{name} has no streams"))
            .hint("select some in config.json; `waybill connection discover` shows what there is"));
    }
    listening()?;
    let asked = MultiSelect::new()
        .with_prompt(format!("{word} which streams of {name}? (space marks, enter goes on, escape leaves)"))
        .items(streams)
        .report(false)
        .interact_opt()
        .map_err(|_| {
            let _ = console::Term::stderr().show_cursor();
            Error::new(Kind::Cancelled, "nothing was chosen, and nothing was changed")
        })?;
    let chosen = asked.unwrap_or_default();
    let chosen: Vec<String> = chosen.into_iter().filter_map(|index| streams.get(index).cloned()).collect();
    Ok((!chosen.is_empty()).then_some(chosen))
}
