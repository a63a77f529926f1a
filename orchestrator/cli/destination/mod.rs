//! `waybill destination …`: where data goes.

mod bootstrap;
mod change;
mod show;

pub(crate) use show::line;

use clap::{Args, Subcommand};
use serde_json::json;
use waybill_protocol::Result;

use super::next;
use super::terminal::Terminal;
use crate::manage::destinations as manage;
use crate::store::project::Project;

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// What can be done with destinations.
#[derive(Debug, Subcommand)]
pub enum DestinationCommand {
    /// List destinations; the default one is marked *
    List,
    /// Add a destination
    Add(change::AddArgs),
    /// Change settings of a destination; secret ones go to secrets.toml
    Edit(change::EditArgs),
    /// Test whether destinations can be reached and used; all of them where none is named
    Test(show::TestArgs),
    /// Make its role, database and schemas, as an administrator whose credentials are not kept
    Bootstrap(bootstrap::BootstrapArgs),
    /// Remove a destination from the config; its data stays where it is
    Remove(RemoveArgs),
    /// Make a destination the default of connections that name none
    Use {
        /// The destination
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Removes a destination.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The destination
    #[arg(value_name = "NAME")]
    name: String,
    /// Also where connections use it: they cannot run until they have another one
    #[arg(long)]
    force: bool,
    /// Remove its secrets too; there is no backup of them
    #[arg(long)]
    with_secrets: bool,
}

/// Runs one of the commands.
pub async fn destination(terminal: &Terminal, project: &Project, command: DestinationCommand) -> Result<u8> {
    match command {
        DestinationCommand::List => show::list(terminal, project),
        DestinationCommand::Add(args) => change::add(terminal, project, args).await,
        DestinationCommand::Edit(args) => change::edit(terminal, project, args).await,
        DestinationCommand::Test(args) => show::test(terminal, project, &args).await,
        DestinationCommand::Bootstrap(args) => bootstrap::bootstrap(terminal, project, args).await,
        DestinationCommand::Remove(args) => remove(terminal, project, &args),
        DestinationCommand::Use { name } => choose(terminal, project, &name),
    }
}

fn remove(terminal: &Terminal, project: &Project, args: &RemoveArgs) -> Result<u8> {
    let removed = manage::remove(project, &args.name, args.force, args.with_secrets)?;
    if terminal.json_wanted() {
        terminal.json(&removed)?;
    } else {
        terminal.out(&format!("removed destination {}; its data stays where it is", args.name))?;
        if !removed.secrets_removed.is_empty() {
            terminal.out(&format!("removed its secrets: {}", removed.secrets_removed.join(", ")))?;
        }
    }
    if !removed.left_without.is_empty() {
        terminal.warn(&format!("without a destination now: {}", removed.left_without.join(", ")));
    }
    for key in &removed.secrets_kept {
        terminal.note(&format!("still in secrets.toml: destination.{}.{key}", args.name));
    }
    Ok(0)
}

fn choose(terminal: &Terminal, project: &Project, name: &str) -> Result<u8> {
    let switched = manage::choose(project, name)?;
    if terminal.json_wanted() {
        terminal.json(&json!(switched))?;
    } else {
        terminal.out(&match (&switched.from, switched.changed) {
            (_, false) => format!("'{name}' is the default already"),
            (Some(from), true) => format!("Switched from '{from}' to '{name}'"),
            (None, true) => format!("Switched to '{name}'"),
        })?;
    }
    if let (true, Some(first)) = (switched.changed, switched.followers.first()) {
        terminal.warn(&format!(
            "these connections follow the default, and their next run finds no state in '{name}': {}",
            switched.followers.join(", ")
        ));
        terminal.note(&format!(
            "see what the next run would do: {}",
            next::command(project, &format!("state explain {first}"))
        ));
    }
    Ok(0)
}
