//! `waybill state …`: how far each stream was loaded, and what a person wants done about it.

mod choose;
mod instruct;
mod show;
mod streams;
#[cfg(test)]
mod tests;
mod verdict;
mod verify;
mod view;

use clap::Subcommand;
use waybill_protocol::Result;

use super::terminal::Terminal;
use crate::store::project::Project;

/// What can be done with state.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Show how far each stream was loaded: the config's entry beside the destination's row
    Show(show::ShowArgs),
    /// Let the next run load streams again from the start
    Reset(instruct::InstructArgs),
    /// Let the next run go on from what the destination holds, where it refuses to on its own
    Accept(instruct::InstructArgs),
    /// Compare source and destination: rows and order-free hashes, window by window
    ///
    /// Reads both sides over the range that was loaded: by cursor up to the ceiling, file by file
    /// what the ledger names, everything for a full refresh. Where the sums differ, a second look
    /// finds the rows: missing, changed, deleted at the source, or only waiting for the next run.
    /// Nothing is written, and memory does not grow with the tables.
    ///
    /// Exit code 0: equal. 1: something differs, or nothing could be compared.
    Verify(verify::VerifyArgs),
}

/// Runs one of the commands.
pub async fn state(terminal: &Terminal, project: &Project, command: StateCommand) -> Result<u8> {
    match command {
        StateCommand::Show(args) => show::show(terminal, project, args).await,
        StateCommand::Reset(args) => {
            instruct::instruct(terminal, project, &args, instruct::Instruction::Reset)
        }
        StateCommand::Accept(args) => {
            instruct::instruct(terminal, project, &args, instruct::Instruction::Accept)
        }
        StateCommand::Verify(args) => verify::verify(terminal, project, args).await,
    }
}
