//! `waybill runs report`.

use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::Args;
use serde_json::json;
use waybill_protocol::{Error, Result};

use super::archive::resolve;
use super::events::unreadable;
use super::look::to_second;
use crate::cli::next::quoted;
use crate::cli::terminal::Terminal;
use crate::events::line::stamp;
use crate::explain::{Comparison, Facts, compare, last_good};
use crate::history::{RunEntry, with_archive};
use crate::page::{Subject, page};
use crate::store::atomic::write_atomic;
use crate::store::project::Project;
use crate::summary::Summary;
use crate::summary::units::bytes;

/// Writes the record of a run as a page for a browser: one file that needs nothing else.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A run's id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "RUN", default_value = "last", allow_hyphen_values = true)]
    run: String,
    /// The file to write; - for standard output
    #[arg(short = 'o', long = "out", value_name = "FILE", default_value = "report.html")]
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// Writes the page of a run.
pub(super) fn report(terminal: &Terminal, project: &Project, args: &ReportArgs) -> Result<u8> {
    let standard = args.file == Path::new("-");
    if !standard {
        refuse_other(&args.file, args.force)?;
    }
    let (entry, summary, comparison) = with_archive(project, |archive| {
        let entry = resolve(archive, &args.run)?;
        let facts = Facts::of(archive, &entry)?;
        let runs = archive.list(None)?;
        let good = last_good(&runs, &entry).and_then(|good| Facts::of(archive, good).ok());
        let comparison = good.map(|good| compare(&good, &facts));
        Ok((entry, facts.summary, comparison))
    })?;
    let text = text(&entry, &summary, comparison.as_ref())?;
    if standard {
        terminal.out(&text)?;
        return Ok(0);
    }
    write_atomic(&args.file, text.as_bytes(), None)?;
    let path = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    if terminal.json_wanted() {
        terminal.json(&json!({"path": path, "bytes": text.len(), "run_id": entry.run_id}))?;
    } else {
        terminal.out(&path.display().to_string())?;
        terminal.note(&format!(
            "the page of run {} ({}): open it in a browser",
            entry.run_id,
            bytes(text.len() as u64)
        ));
    }
    Ok(0)
}

/// A file that is there is somebody's.
fn refuse_other(file: &Path, force: bool) -> Result<()> {
    if file.is_dir() {
        return Err(Error::config(format!("{} is a folder", file.display()))
            .hint(format!("name a file: -o {}", quoted(&file.join("report.html").to_string_lossy()))));
    }
    if file.symlink_metadata().is_ok() && !force {
        return Err(Error::config(format!("{} is there already", file.display()))
            .hint("give --force to replace it, or another file with -o FILE"));
    }
    Ok(())
}

fn text(entry: &RunEntry, summary: &Summary, comparison: Option<&Comparison>) -> Result<String> {
    let mut artifacts: Vec<(String, PathBuf)> =
        summary.artifacts.iter().map(|(kind, path)| (kind.clone(), PathBuf::from(path))).collect();
    // What was moved or restored lies elsewhere than the run says.
    for (kind, path) in [("log", &entry.log_path), ("summary", &entry.summary_path)] {
        if let Some(path) = path.as_ref().filter(|path| !artifacts.iter().any(|(_, known)| known == *path)) {
            artifacts.push((kind.to_owned(), path.clone()));
        }
    }
    let there = |(kind, path): (String, PathBuf)| {
        let there = path.exists();
        (kind, path, there)
    };
    let subject = Subject {
        summary,
        log: entry.log_path.as_deref(),
        comparison,
        artifacts: artifacts.into_iter().map(there).collect(),
        made: format!("{} UTC", to_second(&stamp(&Utc::now()))),
    };
    let log = entry.log_path.as_deref().unwrap_or(Path::new(""));
    page(&subject).map_err(|e| unreadable(log, e))
}
