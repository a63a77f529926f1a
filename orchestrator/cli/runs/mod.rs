//! `waybill runs …`: the runs there were, and what each left behind.

pub(crate) mod archive;
mod events;
mod list;
pub(crate) mod look;
mod show;
mod streams;
#[cfg(test)]
mod tests;
mod timeline;
pub(crate) mod when;

use clap::Subcommand;
use waybill_protocol::Result;

use super::terminal::Terminal;
use crate::store::project::Project;

/// What can be asked about runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    List(list::ListArgs),
    /// Show the record of a run: report, streams, phases, artifacts
    Show(show::ShowArgs),
    /// Show the event log of a run, or follow it while it grows
    Events(events::EventsArgs),
}

/// Runs one of the commands.
pub async fn runs(terminal: &Terminal, project: &Project, command: RunsCommand) -> Result<u8> {
    match command {
        RunsCommand::List(args) => list::list(terminal, project, &args),
        RunsCommand::Show(args) => show::show(terminal, project, &args),
        RunsCommand::Events(args) => events::events(terminal, project, &args),
    }
}
