//! `waybill runs …`: the runs there were, and what each left behind.

pub(crate) mod archive;
mod diff;
mod events;
mod explain;
mod list;
pub(crate) mod look;
mod replay;
mod report;
mod show;
mod stats;
#[cfg(test)]
mod tests;
mod told;

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
    /// Say what happened in a run, why, and what to do: the one answer
    Explain(explain::ExplainArgs),
    /// Say what differs between two runs
    Diff(diff::DiffArgs),
    /// Show the history of a connection: rows, seconds and rate, and which runs are out of line
    Stats(stats::StatsArgs),
    /// Show the event log of a run, or follow it while it grows
    Events(events::EventsArgs),
    /// Write the record of a run as a page for a browser: one file that needs nothing else
    Report(report::ReportArgs),
    /// Show a run again as it looked live
    Replay(replay::ReplayArgs),
}

/// Runs one of the commands.
pub async fn runs(terminal: &Terminal, project: &Project, command: RunsCommand) -> Result<u8> {
    match command {
        RunsCommand::List(args) => list::list(terminal, project, &args),
        RunsCommand::Show(args) => show::show(terminal, project, &args),
        RunsCommand::Explain(args) => explain::explain(terminal, project, &args),
        RunsCommand::Diff(args) => diff::diff(terminal, project, &args),
        RunsCommand::Stats(args) => stats::stats(terminal, project, &args),
        RunsCommand::Events(args) => events::events(terminal, project, &args),
        RunsCommand::Report(args) => report::report(terminal, project, &args),
        RunsCommand::Replay(args) => replay::replay(terminal, project, &args).await,
    }
}
