//! `waybill config …`: is it right, and what is in force?

#[cfg(test)]
mod example_tests;
mod show;
mod state_file;
mod validate;

use clap::Subcommand;
use waybill_protocol::Result;

use super::terminal::Terminal;
use crate::store::project::Project;

/// What can be done with the config.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Find everything that is wrong with config.json and secrets.toml, without any network
    Validate,
    /// Show the settings in force, secrets masked
    Show(show::ShowArgs),
    /// Show where state stands, or move it into a file of its own and back
    StateFile(state_file::StateFileArgs),
}

/// Runs one of the commands.
pub async fn config(terminal: &Terminal, project: &Project, command: ConfigCommand) -> Result<u8> {
    match command {
        ConfigCommand::Validate => validate::validate(terminal, project),
        ConfigCommand::Show(args) => show::show(terminal, project, &args),
        ConfigCommand::StateFile(args) => state_file::state_file(terminal, project, &args),
    }
}
