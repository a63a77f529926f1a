//! `waybill config state-file`: where state stands, and moving it.

use clap::Args;
use serde_json::json;
use waybill_protocol::Result;

use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::store::config::load;
use crate::store::project::Project;
use crate::store::state::relocate;
use crate::summary::units::counted;

/// Shows where state stands, or moves it.
#[derive(Debug, Args)]
pub struct StateFileArgs {
    /// Move all state into this file, such as state.json; relative to config.json's folder
    #[arg(value_name = "FILE", conflicts_with = "off")]
    file: Option<String>,
    /// Move all state back into config.json
    #[arg(long)]
    off: bool,
}

/// Shows where state stands, or moves it.
pub(super) fn state_file(terminal: &Terminal, project: &Project, args: &StateFileArgs) -> Result<u8> {
    if args.file.is_none() && !args.off {
        let file = load(project)?.state_file;
        if terminal.json_wanted() {
            terminal.json(&json!({"state_file": file}))?;
        } else {
            let place = file.as_ref().unwrap_or(&project.config_path);
            terminal.out(&format!("state stands in {}", place.display()))?;
        }
        return Ok(0);
    }
    let moved = relocate(project, &waybill_connectors::registry(), args.file.as_deref())?;
    if terminal.json_wanted() {
        terminal.json(&json!({
            "from": moved.from,
            "state_file": moved.to,
            "connections": moved.connections,
            "changed": moved.changed,
        }))?;
        return Ok(0);
    }
    let place = moved.to.as_ref().unwrap_or(&project.config_path).display().to_string();
    if !moved.changed {
        terminal.out(&format!("state stands in {place} already"))?;
        return Ok(0);
    }
    let count = u64::try_from(moved.connections).unwrap_or(u64::MAX);
    terminal.out(&format!("moved the state of {} to {place}", counted(count, "connection")))?;
    if moved.to.is_some() {
        terminal.note(&format!(
            "keep it out of git; back again: {}",
            next::command(project, "config state-file --off")
        ));
    }
    Ok(0)
}
