//! `waybill runs show`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use waybill_protocol::Result;

use super::archive::resolve;
use super::look::to_second;
use crate::cli::terminal::Terminal;
use crate::history::{Archive, RunEntry, with_archive};
use crate::store::atomic::{sweep, write_atomic};
use crate::store::project::Project;
use crate::summary::units::{bytes, count, duration};
use crate::summary::{RunStatus, Summary};

/// Phases in their order; a summary keeps them by name.
const PHASES: [&str; 9] =
    ["load", "resolve", "check", "discover", "plan", "read", "publish", "merge", "summary"];

/// Shows the record of a run.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A run's id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "RUN", default_value = "last", allow_hyphen_values = true)]
    run: String,
}

/// Shows a run.
pub(super) fn show(terminal: &Terminal, project: &Project, args: &ShowArgs) -> Result<u8> {
    let (entry, summary) = with_archive(project, |archive| {
        let mut entry = resolve(archive, &args.run)?;
        if over_without_summary(&entry) {
            entry.summary_path = write_missing(terminal, archive, &entry);
        }
        let summary = archive.show(&entry)?;
        Ok((entry, summary))
    })?;
    if terminal.json_wanted() {
        terminal.json(&summary)?;
    } else {
        terminal.out(&render(terminal, &entry, &summary))?;
        if summary.status == RunStatus::Running {
            terminal.note(&format!("\nit goes on: waybill runs events {} --follow", entry.run_id));
        }
    }
    Ok(0)
}

/// A run that was killed before it could write its summary.
fn over_without_summary(entry: &RunEntry) -> bool {
    entry.summary_path.is_none() && !entry.presumed && entry.status != RunStatus::Running
}

/// Writes the summary that a killed run did not; that it cannot be written hides nothing.
fn write_missing(terminal: &Terminal, archive: &Archive<'_>, entry: &RunEntry) -> Option<PathBuf> {
    match archive.rebuild_missing(write) {
        Ok(written) => {
            let ours = written.into_iter().find(|(run, _)| run.log_path == entry.log_path);
            let (_, path) = ours?;
            terminal.note(&format!("rebuilt from its log: {}\n", path.display()));
            Some(path)
        }
        Err(error) => {
            terminal.warn(&format!("the summary is shown, and could not be written: {error}"));
            None
        }
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    sweep(path);
    write_atomic(path, content, None).map_err(io::Error::other)
}

pub(super) fn render(terminal: &Terminal, entry: &RunEntry, summary: &Summary) -> String {
    let mut out = summary.report_text();
    let mut about =
        vec![format!("run {}", summary.run_id), format!("started {} UTC", to_second(&summary.started_at))];
    about.extend(summary.exit_code.map(|code| format!("exit {code}")));
    out.push_str(&format!("\n\n{}", about.join(" · ")));
    let mut about = vec![format!("on {}, process {}", summary.host, summary.pid)];
    if summary.stats.peak_memory_bytes > 0 {
        about.push(format!("{} of memory", bytes(summary.stats.peak_memory_bytes)));
    }
    about.push(format!("{} events", count(summary.events)));
    out.push_str(&format!("\n{}", about.join(" · ")));
    let versions: Vec<String> =
        summary.versions.iter().map(|(what, version)| format!("{what} {version}")).collect();
    if !versions.is_empty() {
        out.push_str(&format!("\n{}", versions.join(" · ")));
    }
    out.push_str(&phases(summary));
    out.push_str(&streams(terminal, summary));
    out.push_str(&artifacts(entry, summary));
    out
}

fn phases(summary: &Summary) -> String {
    let took = |name: &&str| summary.timings.get(*name).map(|ms| format!("{name} {}", duration(*ms)));
    let known: Vec<String> = PHASES.iter().filter_map(took).collect();
    if known.is_empty() { String::new() } else { format!("\n\nphases: {}", known.join(" · ")) }
}

fn streams(terminal: &Terminal, summary: &Summary) -> String {
    if summary.stats.streams.is_empty() {
        return String::new();
    }
    let row = |(name, stats): (&String, &crate::summary::StreamStats)| {
        let counts = summary.progress_counts.get(name).copied().unwrap_or_default();
        let how = match (stats.mode, stats.write) {
            (Some(mode), Some(write)) => format!("{mode}, {write}"),
            _ => String::new(),
        };
        vec![
            name.clone(),
            stats.table.clone().unwrap_or_default(),
            how,
            count(counts.rows_read),
            count(counts.rows_loaded),
            count(counts.commits),
            stats.attempts.to_string(),
        ]
    };
    let headers = ["stream", "table", "how", "read", "loaded", "commits", "tries"];
    format!("\n\n{}", terminal.table(&headers, summary.stats.streams.iter().map(row).collect()))
}

/// What the run left on disk and is still there.
fn artifacts(entry: &RunEntry, summary: &Summary) -> String {
    let named = summary.artifacts.iter().map(|(kind, path)| (kind.as_str(), PathBuf::from(path)));
    let mut all: Vec<(&str, PathBuf)> = named.collect();
    // What was moved or restored lies elsewhere than the run says.
    for (kind, path) in [("log", &entry.log_path), ("summary", &entry.summary_path)] {
        if let Some(path) = path.as_ref().filter(|path| !all.iter().any(|(_, known)| known == *path)) {
            all.push((kind, path.clone()));
        }
    }
    let there: Vec<String> = all
        .into_iter()
        .filter(|(_, path)| path.exists())
        .map(|(kind, path)| format!("  {kind:<8} {}", path.display()))
        .collect();
    if there.is_empty() { String::new() } else { format!("\n\nartifacts:\n{}", there.join("\n")) }
}

#[cfg(test)]
pub(super) fn of(run: &str) -> ShowArgs {
    ShowArgs { run: run.to_owned() }
}
