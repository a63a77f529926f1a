//! `waybill connection remove` and `restore`.

use std::time::Duration;

use chrono::Utc;
use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result};

use super::session::until_signal;
use crate::cli::next;
use crate::cli::prompt;
use crate::cli::runs::look::age;
use crate::cli::terminal::Terminal;
use crate::manage::{self, Patience};
use crate::store::project::Project;

/// Removes a connection. Entry and state are kept, and `restore` brings them back; what was loaded
/// stays at the destination.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Remove its secrets from secrets.toml too: `restore` brings back their names only
    #[arg(long)]
    with_secrets: bool,
    /// Wait for a run that is going on, this long; otherwise it is refused
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    wait_lock: Option<u64>,
    /// Do not wait for a run that is going on: what it loads stays, its state is not kept
    #[arg(long, conflicts_with = "wait_lock")]
    force: bool,
}

/// Brings a removed connection back.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The connection
    #[arg(value_name = "REMOVED", required_unless_present = "list")]
    name: Option<String>,
    /// Show what can be brought back
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

/// Removes a connection.
pub(super) async fn remove(terminal: &Terminal, project: &Project, args: RemoveArgs) -> Result<u8> {
    manage::entry_of(project, &args.name)?;
    if !args.yes {
        if !terminal.interactive() {
            return Ok(terminal.usage("connection remove", "--yes is missing: nobody can be asked here"));
        }
        let question = format!("Remove {}? Entry and state are kept for `connection restore`.", args.name);
        if !prompt::confirm(terminal, &question, false)?.unwrap_or(false) {
            terminal.note("nothing was removed");
            return Ok(0);
        }
    }
    let patience = match args.force {
        true => Patience::Force,
        false => Patience::Wait(Duration::from_secs(args.wait_lock.unwrap_or(0))),
    };
    if args.wait_lock.is_some_and(|seconds| seconds > 0) {
        terminal.note("waiting for a run that may be going on");
    }
    let work = async {
        let (place, name, secrets) = (project.clone(), args.name.clone(), args.with_secrets);
        let work = tokio::task::spawn_blocking(move || manage::remove(&place, &name, patience, secrets));
        let removed = work.await.map_err(|e| Error::internal("removing broke off").cause(e))??;
        if terminal.json_wanted() {
            terminal.json(&removed)?;
            return Ok(0);
        }
        terminal.out(&format!("{} was removed", removed.name))?;
        let back = next::command(project, &format!("connection restore {}", removed.name));
        terminal.note(&format!("  {back} brings it back, with its state"));
        match (removed.secrets.as_slice(), removed.secrets_removed) {
            ([], _) => {}
            (names, true) => terminal.note(&format!("  its secrets were removed too: {}", names.join(", "))),
            (names, false) => terminal.note(&format!(
                "  its secrets stay in secrets.toml: {}; --with-secrets removes them too",
                names.join(", ")
            )),
        }
        terminal.note("  what it has loaded stays at the destination");
        Ok(0)
    };
    until_signal(terminal, &CancellationToken::new(), work).await
}

/// Brings a removed connection back.
pub(super) async fn restore(terminal: &Terminal, project: &Project, args: RestoreArgs) -> Result<u8> {
    let Some(name) = &args.name else { return list(terminal, project) };
    let registry = waybill_connectors::registry();
    let restored = manage::restore(project, name, &registry)?;
    if terminal.json_wanted() {
        terminal.json(&restored)?;
        return Ok(0);
    }
    let off =
        if restored.entry.get("enabled") == Some(&json!(false)) { ", switched off as it was" } else { "" };
    terminal.out(&format!("{name} is back{off}"))?;
    restored.notes.iter().for_each(|note| terminal.warn(note));
    if !restored.missing_secrets.is_empty() {
        let flags: Vec<String> =
            restored.missing_secrets.iter().map(|key| format!(" --secret {key}")).collect();
        let command = next::command(project, &format!("connection edit {name}{}", flags.concat()));
        terminal.warn(&format!(
            "its secrets are gone: {}; give them anew with {command}",
            restored.missing_secrets.join(", ")
        ));
    }
    terminal.note(&format!("\nnext: {}", next::command(project, &format!("connection test {name}"))));
    Ok(0)
}

fn list(terminal: &Terminal, project: &Project) -> Result<u8> {
    let all = manage::restorable(project)?;
    if terminal.json_wanted() {
        let list: Vec<Value> = all
            .iter()
            .map(|removal| {
                json!({"connection": removal.name, "removed_at": removal.removed_at, "type": removal.entry.get("type"),
                       "secrets": removal.secrets, "secrets_removed": removal.secrets_removed, "backup": removal.path})
            })
            .collect();
        terminal.json(&json!({"removed": list}))?;
        return Ok(0);
    }
    if all.is_empty() {
        terminal.out("no removed connections")?;
        return Ok(0);
    }
    let now = Utc::now();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = all
        .iter()
        .map(|removal| {
            vec![removal.name.clone(), text(removal.entry.get("type")), age(&removal.removed_at, now)]
        })
        .collect();
    terminal.out(&terminal.table(&["name", "type", "removed"], rows))?;
    Ok(0)
}
