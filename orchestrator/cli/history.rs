//! `waybill history …`: the runs that a database keeps.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;
use waybill_protocol::Result;

use super::connection::session::until_signal;
use super::runs::when;
use super::terminal::Terminal;
use crate::chronicle::sync::{Synced, Wanted, sync};
use crate::events::render::visible;
use crate::store::config;
use crate::store::project::Project;
use crate::summary::units::{counted, duration};

/// Runs that could not be read or written are named, so many of them.
const NAMED: usize = 10;

/// What can be done with the run history.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Write the runs that are on disk and missing there
    ///
    /// Each run is written as it ends, where config.json names a destination of type postgres in its
    /// member `history`. What could not be written then, runs from before, and runs that were killed are
    /// written by this command. What is there already stays as it is: it may be called at any time, and
    /// by several hosts at once.
    Sync(SyncArgs),
}

/// Catches up.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Only runs that began then or later: a date, a moment (RFC 3339), or an age such as 12h or 30d
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    since: Option<DateTime<Utc>>,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
}

/// Runs one of the commands.
pub async fn history(terminal: &Terminal, project: &Project, command: HistoryCommand) -> Result<u8> {
    let HistoryCommand::Sync(args) = command;
    let cancel = CancellationToken::new();
    let work = async {
        let config = Arc::new(config::load(project)?);
        let wanted = Wanted { since: args.since, dry_run: args.dry_run };
        let progress = |done: u64, total: u64| {
            if done < total {
                terminal.note(&format!("{done} of {}", counted(total, "run")));
            }
        };
        let synced = sync(project, &config, &wanted, &cancel, &progress).await?;
        tell(terminal, &synced)?;
        // One that cannot be read today cannot be read tomorrow: said, and not the fault of the others.
        Ok(if synced.failed.is_empty() { 0 } else { 1 })
    };
    until_signal(terminal, &cancel, work).await
}

fn tell(terminal: &Terminal, synced: &Synced) -> Result<()> {
    if terminal.json_wanted() {
        terminal.json(synced)?;
    } else {
        terminal.out(&text(synced))?;
    }
    for failed in synced.failed.iter().take(NAMED) {
        let mut text = visible(&format!("run {}: {}", failed.run_id, failed.error.message));
        if let Some(hint) = &failed.error.hint {
            text.push_str(&format!("\n  hint: {}", visible(hint)));
        }
        terminal.warn(&text);
    }
    if let Some(more) = synced.failed.len().checked_sub(NAMED).filter(|more| *more > 0) {
        terminal.warn(&format!("and {more} more"));
    }
    Ok(())
}

fn text(synced: &Synced) -> String {
    let written = match synced.dry_run {
        true => format!("{} would be written", synced.written),
        false => format!("{} written", synced.written),
    };
    let mut parts = vec![written];
    if synced.replaced > 0 {
        parts.push(format!("{} of them anew", synced.replaced));
    }
    parts.push(format!("{} there already", synced.present));
    if synced.running > 0 {
        parts.push(format!("{} still going on", synced.running));
    }
    if !synced.failed.is_empty() {
        parts.push(format!("{} failed", synced.failed.len()));
    }
    let took = duration((synced.seconds * 1000.0).round() as u64);
    let found = counted(synced.found, "run");
    format!(
        "{} ({}): {found} on disk, {}; {took}",
        synced.destination,
        visible(&synced.place),
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_in_one_line() {
        let synced = Synced {
            destination: "warehouse".into(),
            place: "db:5432/x, schema public".into(),
            found: 1_204,
            written: 3,
            replaced: 1,
            present: 1_200,
            running: 1,
            seconds: 0.42,
            ..Synced::default()
        };
        assert_eq!(
            text(&synced),
            "warehouse (db:5432/x, schema public): 1 204 runs on disk, 3 written, 1 of them anew, 1200 there already, 1 still going on; 420 ms"
        );
        let dry = text(&Synced { dry_run: true, written: 2, ..Synced::default() });
        assert!(dry.contains("2 would be written, 0 there already"), "{dry}");
    }
}
