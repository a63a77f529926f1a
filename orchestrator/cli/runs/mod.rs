//! `waybill runs …`: the runs there were, and what each left behind.

pub(crate) mod archive;
mod bundle;
mod diff;
mod events;
mod explain;
mod list;
pub(crate) mod look;
mod prune;
mod replay;
mod report;
mod show;
mod stats;
mod streams;
#[cfg(test)]
mod tests;
mod timeline;
mod told;
pub(crate) mod when;

use std::path::PathBuf;

use clap::{Args, Subcommand};
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
    /// Put the record of a run into one file, to be looked at elsewhere
    Bundle(bundle::BundleArgs),
    /// Remove the artifacts of older runs
    Prune(prune::PruneArgs),
}

/// `waybill runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Look into a bundle, from wherever it came, instead of the project
    #[arg(long, global = true, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(subcommand)]
    command: RunsCommand,
}

/// Runs one of the commands.
pub async fn runs(terminal: &Terminal, project: &Project, args: RunsArgs) -> Result<u8> {
    let opened = args.bundle.as_deref().map(crate::bundle::open).transpose()?;
    let project = opened.as_ref().map_or(project, |opened| &opened.project);
    if let Some(opened) = opened.as_ref().filter(|opened| opened.manifest.version > crate::bundle::VERSION) {
        let version = &opened.manifest.waybill;
        terminal.warn(&format!("the bundle was made by waybill {version}: what is new in it is not shown"));
    }
    match args.command {
        RunsCommand::List(args) => list::list(terminal, project, &args),
        RunsCommand::Show(args) => show::show(terminal, project, &args),
        RunsCommand::Explain(args) => explain::explain(terminal, project, &args),
        RunsCommand::Diff(args) => diff::diff(terminal, project, &args),
        RunsCommand::Stats(args) => stats::stats(terminal, project, &args),
        RunsCommand::Events(args) => events::events(terminal, project, &args),
        RunsCommand::Bundle(args) => bundle::bundle(terminal, project, &args).await,
        RunsCommand::Prune(args) => prune::prune(terminal, project, &args),
        RunsCommand::Report(args) => report::report(terminal, project, &args),
        RunsCommand::Replay(args) => replay::replay(terminal, project, &args).await,
    }
}
