//! Asking for streams where none was named.

use waybill_protocol::{Error, Result};

use super::instruct::Instruction;
use crate::cli::prompt::{self, Choice, Item};
use crate::cli::terminal::Terminal;
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
pub(super) fn confirm(
    terminal: &Terminal,
    connection: &Connection,
    streams: &[String],
    instruction: Instruction,
) -> Result<bool> {
    let what = match streams {
        [one] => one.clone(),
        several => format!("{} streams", several.len()),
    };
    let question =
        format!("{} {what} of {}: the next run loads everything again?", instruction.word(), connection.name);
    Ok(prompt::confirm(terminal, &question, false)? == Some(true))
}

/// Asks which streams are meant; `None` where the person wants none.
pub(super) fn choose(
    terminal: &Terminal,
    connection: &Connection,
    streams: &[String],
    instruction: Instruction,
) -> Result<Option<Vec<String>>> {
    let (name, word) = (&connection.name, instruction.word());
    if streams.is_empty() {
        return Err(Error::config(format!("{name} has no streams"))
            .hint(format!("choose some: waybill connection select {name}")));
    }
    let items: Vec<Item> = streams.iter().map(|stream| Item::new(stream.as_str(), "")).collect();
    let label = format!("{word} which streams of {name}?");
    let chosen = prompt::choose_many(terminal, &Choice::new(&label, &items))?.unwrap_or_default();
    let chosen: Vec<String> = chosen.into_iter().filter_map(|index| streams.get(index).cloned()).collect();
    Ok((!chosen.is_empty()).then_some(chosen))
}
