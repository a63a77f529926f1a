//! `waybill state …`: how far each stream was loaded, and what a person wants done about it.

mod ahead;
mod choose;
mod cursor_type;
mod diff;
mod difference;
mod explain;
mod export;
mod import;
mod instruct;
mod origin;
mod set;
mod sheet;
mod show;
mod streams;
#[cfg(test)]
mod tests;
mod verdict;
mod verify;
pub(crate) mod view;
mod write;

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
    ///
    /// Writes an instruction into the config, with a backup of it. Nothing is deleted: the next run
    /// loads everything into a staging table and swaps it in once it is whole.
    Reset(instruct::ResetArgs),
    /// Let the next run go on from what the destination holds, where it refuses to on its own
    ///
    /// A run refuses where source, cursor, key, filter or mode changed, where a table is gone or
    /// empty, or where the destination has no state. This says: it is all right, go on.
    Accept(instruct::InstructArgs),
    /// Let the next run start from a cursor of your choice
    ///
    /// The value is checked against the type of the stream's cursor, and written as an instruction
    /// into the config, with a backup of it. What lies between it and what was loaded is loaded again
    /// or skipped: append then has rows twice, merge writes them over.
    Set(set::SetArgs),
    /// Write how far streams were loaded into a JSON document
    ///
    /// It says what the destination holds: per stream the cursor with its type, the range, the run
    /// and the commit. `waybill schema state-export` prints its form.
    Export(export::ExportArgs),
    /// Let the next run start from where an exported document says
    ///
    /// Checks that the document is of this connection and that its streams and types are, then
    /// writes the same instructions as `state set`. Streams without a cursor are left as they are.
    Import(import::ImportArgs),
    /// Show where config and destination, or an export, say different things
    ///
    /// Per stream: equal, config behind or ahead, edited by hand, an instruction waiting, missing on
    /// one side; and the rule by which the next run would decide. Exit code 0: all equal, 1: not.
    Diff(diff::DiffArgs),
    /// Explain where each stream's state came from, and what the next run makes of it
    ///
    /// The run and the commit that wrote it, the range that is covered, the receipts of that run (rows
    /// and order-free hash), the rule that decided then, and the one that decides next. What the log
    /// would say is left out where it is gone.
    Explain(explain::ExplainArgs),
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
            instruct::instruct(terminal, project, &args.streams, instruct::Instruction::Reset, args.yes)
        }
        StateCommand::Accept(args) => {
            instruct::instruct(terminal, project, &args, instruct::Instruction::Accept, true)
        }
        StateCommand::Set(args) => set::set(terminal, project, args).await,
        StateCommand::Export(args) => export::export(terminal, project, args).await,
        StateCommand::Import(args) => import::import(terminal, project, args).await,
        StateCommand::Diff(args) => diff::diff(terminal, project, args).await,
        StateCommand::Explain(args) => explain::explain(terminal, project, args).await,
        StateCommand::Verify(args) => verify::verify(terminal, project, args).await,
    }
}
