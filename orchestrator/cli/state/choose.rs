//! Asking for streams where none was named.

use dialoguer::MultiSelect;
use waybill_protocol::{Error, Kind, Result};

use super::instruct::Instruction;
use crate::cli::terminal::Terminal;
use crate::store::config::Connection;

/// Asks which streams are meant; `None` where the person wants none. Without somebody to ask, the
/// error names the flags.
pub(super) fn choose(
    terminal: &Terminal,
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
    if !terminal.interactive() {
        return Err(Error::config(format!("which streams of {name} are meant?"))
            .hint(format!("name them: waybill state {word} {name} --stream STREAM, or say --all")));
    }
    let asked = MultiSelect::new()
        .with_prompt(format!("{word} which streams of {name}? (space marks, enter goes on, escape leaves)"))
        .items(streams)
        .report(false)
        .interact_opt()
        .map_err(|e| {
            Error::new(Kind::Cancelled, format!("nothing was chosen: {e}"))
                .hint(format!("name the streams: waybill state {word} {name} --stream STREAM"))
        })?;
    let chosen = asked.unwrap_or_default();
    let chosen: Vec<String> = chosen.into_iter().filter_map(|index| streams.get(index).cloned()).collect();
    Ok((!chosen.is_empty()).then_some(chosen))
}
