//! `waybill connection rename|enable|disable`.

use clap::Args;
use serde_json::json;
use waybill_protocol::Result;

use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::manage;
use crate::store::project::Project;

/// Gives a connection another name. Its state and its secrets go with it.
#[derive(Debug, Args)]
pub struct RenameArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Its new name: letters, digits, _ and -
    #[arg(value_name = "NEW")]
    to: String,
}

/// Connections by name.
#[derive(Debug, Args)]
pub struct ToggleArgs {
    /// Connections
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Renames a connection.
pub(super) async fn rename(terminal: &Terminal, project: &Project, args: RenameArgs) -> Result<u8> {
    let registry = waybill_connectors::registry();
    let renamed = manage::rename(project, &args.name, &args.to, &registry)?;
    if terminal.json_wanted() {
        terminal.json(&renamed)?;
        return Ok(0);
    }
    let secrets = if renamed.secrets { ", and so are its secrets" } else { "" };
    terminal.out(&format!("{} is called {} now{secrets}", renamed.from, renamed.to))?;
    terminal.note(&format!("\nnext: {}", next::command(project, &format!("connection test {}", renamed.to))));
    Ok(0)
}

/// Switches connections on or off.
pub(super) async fn toggle(terminal: &Terminal, project: &Project, args: ToggleArgs, on: bool) -> Result<u8> {
    let registry = waybill_connectors::registry();
    // None is switched where one does not exist.
    for name in &args.names {
        manage::entry_of(project, name)?;
    }
    let word = if on { "on" } else { "off" };
    let mut done = Vec::new();
    for name in &args.names {
        let changed = match on {
            true => manage::enable(project, name, &registry)?,
            false => manage::disable(project, name)?,
        };
        if !terminal.json_wanted() {
            let said = if changed { "is switched" } else { "was switched" };
            let already = if changed { "" } else { " already" };
            terminal.out(&format!("{name} {said} {word}{already}"))?;
        }
        done.push(json!({"connection": name, "enabled": on, "changed": changed}));
    }
    if terminal.json_wanted() {
        terminal.json(&json!({"connections": done}))?;
    }
    Ok(0)
}
