//! `waybill state …`: how far each stream was loaded, and what a person wants done about it.

mod choose;
mod instruct;
mod show;
#[cfg(test)]
mod tests;
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
    }
}
