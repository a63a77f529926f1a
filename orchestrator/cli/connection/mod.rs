//! `waybill connection …`: what is configured, whether it works, what a source has.

pub(crate) mod cell;
mod discover;
pub(crate) mod glob;
mod list;
mod preview;
pub(crate) mod session;
mod sheet;
pub(crate) mod test;
pub(crate) mod tested;
#[cfg(test)]
mod tests;
mod verdicts;

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
    /// Test whether source and destination can be reached and used
    Test(test::TestArgs),
    /// Show what a source has: streams, columns, and how the destination would hold them
    Discover(discover::DiscoverArgs),
    /// Show the first rows of a stream
    Preview(preview::PreviewArgs),
}

/// Runs one of the commands.
pub async fn connection(terminal: &Terminal, project: &Project, command: ConnectionCommand) -> Result<u8> {
    match command {
        ConnectionCommand::List => list::list(terminal, project).await,
        ConnectionCommand::Test(args) => test::test(terminal, project, args).await,
        ConnectionCommand::Discover(args) => discover::discover(terminal, project, args).await,
        ConnectionCommand::Preview(args) => preview::preview(terminal, project, args).await,
    }
}

/// The way of a connection: `postgres → warehouse (sqlite)`.
pub(crate) fn way(config: &LoadedConfig, connection: &Connection) -> String {
    match config.destination_of(connection) {
        Ok(destination) => format!("{} → {} ({})", connection.system, destination.name, destination.system),
        Err(_) => format!("{} → {} (invalid)", connection.system, connection.destination),
    }
}
