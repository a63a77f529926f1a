//! `waybill runs list`.

use clap::Args;
use serde_json::json;
use waybill_protocol::Result;

use super::look::{short_id, status_word, to_second};
use crate::cli::terminal::Terminal;
use crate::history::{RunEntry, with_archive};
use crate::store::project::Project;
use crate::summary::RunStatus;
use crate::summary::units::{count, duration};

/// Lists runs, newest first.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only runs of this connection
    #[arg(long, value_name = "NAME")]
    pub(super) connection: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(super) limit: usize,
    /// Only runs that did not succeed: partial, failed, cancelled, crashed
    #[arg(long)]
    pub(super) failed: bool,
}

/// Lists runs.
pub(super) fn list(terminal: &Terminal, project: &Project, args: &ListArgs) -> Result<u8> {
    let runs = chosen(project, args)?;
    if terminal.json_wanted() {
        terminal.json(&json!({"runs": runs}))?;
    } else {
        terminal.out(&render(terminal, &runs))?;
    }
    Ok(0)
}

pub(super) fn chosen(project: &Project, args: &ListArgs) -> Result<Vec<RunEntry>> {
    let filtered = args.failed || args.connection.is_some();
    let runs = with_archive(project, |archive| archive.list((!filtered).then_some(args.limit)))?;
    let fits = |run: &RunEntry| {
        let named = args.connection.as_ref().is_none_or(|name| run.connection == *name);
        let wanted = !args.failed || !matches!(run.status, RunStatus::Succeeded | RunStatus::Running);
        named && wanted
    };
    Ok(runs.into_iter().filter(fits).take(args.limit).collect())
}

pub(super) fn render(terminal: &Terminal, runs: &[RunEntry]) -> String {
    if runs.is_empty() {
        return "no such runs".to_owned();
    }
    let row = |run: &RunEntry| {
        vec![
            to_second(&run.started_at),
            run.connection.clone(),
            status_word(run),
            count(run.rows),
            duration((run.seconds * 1000.0).round() as u64),
            run.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            short_id(&run.run_id).to_owned(),
        ]
    };
    let headers = ["started (utc)", "connection", "status", "rows", "took", "exit", "run"];
    terminal.table(&headers, runs.iter().map(row).collect())
}
