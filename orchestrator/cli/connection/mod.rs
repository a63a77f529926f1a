//! `waybill connection …`: what is configured, whether it works, what a source has.

/// The value that was given, or out of the function with the wrong usage.
macro_rules! given {
    ($value:expr) => {
        match $value {
            Ok(value) => value,
            Err(usage) => return Ok(Err(usage)),
        }
    };
}

pub(crate) mod add;
pub(crate) mod cell;
mod discover;
mod edit;
mod given;
mod list;
mod named;
mod preflight;
mod preview;
mod query;
mod remove;
mod select;
pub(crate) mod session;
mod sheet;
pub(crate) mod test;
pub(crate) mod tested;
#[cfg(test)]
mod tests;
mod verdicts;
mod wizard;

pub(crate) use crate::store::glob;
use clap::Subcommand;
use waybill_protocol::Result;

use super::terminal::Terminal;
use crate::store::config::{Connection, LoadedConfig};
use crate::store::project::Project;

/// What can be done with connections.
#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    /// List connections: from where to where, and how the last run went
    List,
    /// Add a connection: by flags, by a JSON document on standard input, or asked at a terminal
    Add(add::AddArgs),
    /// Change a connection's settings and secrets
    Edit(edit::EditArgs),
    /// Give a connection another name: its state and its secrets go with it
    Rename(named::RenameArgs),
    /// Remove a connection, so that `restore` can bring it back
    Remove(remove::RemoveArgs),
    /// Bring a removed connection back, with its state
    Restore(remove::RestoreArgs),
    /// Switch connections on: `run --all` runs them
    Enable(named::ToggleArgs),
    /// Switch connections off: `run --all` leaves them out
    Disable(named::ToggleArgs),
    /// Choose which streams are loaded, and how
    Select(select::SelectArgs),
    /// Test whether source and destination can be reached and used
    Test(test::TestArgs),
    /// Look whether it can do what it is set up to do, with the grants that are missing
    Preflight(preflight::PreflightArgs),
    /// Show what a source has: streams, columns, and how the destination would hold them
    Discover(discover::DiscoverArgs),
    /// Show the first rows of a stream
    Preview(preview::PreviewArgs),
    /// Run one statement in a read-only transaction, and show its first rows
    Query(query::QueryArgs),
}

/// Runs one of the commands.
pub async fn connection(terminal: &Terminal, project: &Project, command: ConnectionCommand) -> Result<u8> {
    match command {
        ConnectionCommand::List => list::list(terminal, project).await,
        ConnectionCommand::Add(args) => add::add(terminal, project, args).await,
        ConnectionCommand::Edit(args) => edit::edit(terminal, project, args).await,
        ConnectionCommand::Rename(args) => named::rename(terminal, project, args).await,
        ConnectionCommand::Remove(args) => remove::remove(terminal, project, args).await,
        ConnectionCommand::Restore(args) => remove::restore(terminal, project, args).await,
        ConnectionCommand::Enable(args) => named::toggle(terminal, project, args, true).await,
        ConnectionCommand::Disable(args) => named::toggle(terminal, project, args, false).await,
        ConnectionCommand::Select(args) => select::select(terminal, project, args).await,
        ConnectionCommand::Test(args) => test::test(terminal, project, args).await,
        ConnectionCommand::Preflight(args) => preflight::preflight(terminal, project, args).await,
        ConnectionCommand::Discover(args) => discover::discover(terminal, project, args).await,
        ConnectionCommand::Preview(args) => preview::preview(terminal, project, args).await,
        ConnectionCommand::Query(args) => query::query(terminal, project, args).await,
    }
}

/// The way of a connection: `postgres → warehouse (sqlite)`.
pub(crate) fn way(config: &LoadedConfig, connection: &Connection) -> String {
    match config.destination_of(connection) {
        Ok(destination) => format!("{} → {} ({})", connection.system, destination.name, destination.system),
        Err(_) => format!("{} → {} (invalid)", connection.system, connection.destination),
    }
}
