//! `waybill runs prune`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use waybill_protocol::{Error, Kind, Result};

use super::look::{short_id, status_word, to_second};
use super::when;
use crate::cli::terminal::Terminal;
use crate::history::prune::{Rule, remove, surplus};
use crate::history::{RunEntry, with_archive};
use crate::store::project::Project;
use crate::summary::units::{bytes, counted};

/// Removes the artifacts of older runs. Says only what it would remove, unless told `--yes`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// So many of the newest runs of each connection stay [default: 1]
    #[arg(long, value_name = "N", required_unless_present = "older_than")]
    keep: Option<usize>,
    /// Only runs that began before then: an age such as 30d or 12h, a date, or a moment (RFC 3339)
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    older_than: Option<DateTime<Utc>>,
    /// Only runs of this connection
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Remove them
    #[arg(long)]
    yes: bool,
}

/// A run that goes, and its files.
struct Going {
    run: RunEntry,
    files: Vec<PathBuf>,
    bytes: u64,
}

/// Prunes, or says what it would.
pub(super) fn prune(terminal: &Terminal, project: &Project, args: &PruneArgs) -> Result<u8> {
    if project.as_of.is_some() {
        return Err(Error::new(Kind::Config, "a bundle is not pruned").hint("remove the file"));
    }
    let rule = Rule { keep: args.keep.unwrap_or(1), before: args.older_than };
    let going = with_archive(project, |archive| {
        let runs = archive.list(None)?;
        let named = |run: &&RunEntry| args.connection.as_ref().is_none_or(|name| run.connection == *name);
        let connections: BTreeSet<&str> =
            runs.iter().filter(named).map(|run| run.connection_id.as_str()).collect();
        let mut going = Vec::new();
        for id in connections {
            for run in surplus(&runs, id, rule) {
                let files = archive.files_of(run);
                let bytes =
                    files.iter().filter_map(|file| file.metadata().ok()).map(|known| known.len()).sum();
                going.push(Going { run: run.clone(), files, bytes });
            }
        }
        Ok(going)
    })?;
    let stuck = match args.yes {
        true => going.iter().flat_map(|going| remove(&going.files)).collect(),
        false => Vec::new(),
    };
    say(terminal, args.yes, &going)?;
    for (file, error) in &stuck {
        terminal.warn(&format!("{} could not be removed: {error}", file.display()));
    }
    Ok(if stuck.is_empty() { 0 } else { 1 })
}

fn say(terminal: &Terminal, removed: bool, going: &[Going]) -> Result<()> {
    let total: u64 = going.iter().map(|going| going.bytes).sum();
    if terminal.json_wanted() {
        let runs: Vec<_> = going
            .iter()
            .map(|going| json!({"run_id": going.run.run_id, "connection": going.run.connection,
                "started_at": going.run.started_at, "status": going.run.status, "bytes": going.bytes, "files": going.files}))
            .collect();
        return terminal.json(&json!({"removed": removed, "bytes": total, "runs": runs}));
    }
    if going.is_empty() {
        return terminal.out("no run goes");
    }
    let row = |going: &Going| {
        let run = &going.run;
        vec![
            to_second(&run.started_at),
            run.connection.clone(),
            status_word(run),
            bytes(going.bytes),
            short_id(&run.run_id).to_owned(),
        ]
    };
    let headers = ["started (utc)", "connection", "status", "size", "run"];
    terminal.out(&terminal.table(&headers, going.iter().map(row).collect()))?;
    let many = counted(going.len() as u64, "run");
    terminal.note(&match removed {
        true => format!("removed {many}, {}", bytes(total)),
        false => format!("{many}, {}, would go; nothing was removed: --yes does it", bytes(total)),
    });
    Ok(())
}
