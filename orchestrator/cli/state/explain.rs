//! `waybill state explain`: where a stream's state came from, and what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result, StateRow, StreamState};

use super::ahead::{self, Ahead, Next};
use super::origin::{Origin, origins};
use super::sheet::field;
use super::show::views;
use super::view::value_text;
use crate::cli::connection::session::until_signal;
use crate::cli::next;
use crate::cli::runs::look::{age, short_id};
use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::run::outlook::Outlook;
use crate::store::config::load;
use crate::store::project::Project;
use crate::summary::units::{count, counted};

/// Receipts that are listed; the others are counted.
const LISTED: usize = 5;

/// Explains state.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these streams; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
}

/// One stream.
#[derive(Debug, Serialize)]
struct Explained {
    stream: String,
    /// How it is read and written.
    how: Option<String>,
    /// The entry of the config.
    config: Option<Value>,
    /// Whether the destination could be asked.
    asked: bool,
    /// The row at the destination.
    destination: Option<StateRow>,
    /// The run that wrote it, and its receipts.
    origin: Option<Origin>,
    /// What the next run does.
    next_run: Option<Next>,
}

/// Explains the state of a connection.
pub(super) async fn explain(terminal: &Terminal, project: &Project, args: ExplainArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let cancel = CancellationToken::new();
    let work = async {
        let ahead = Ahead::of(project, &config, connection, &cancel).await;
        let views = views(connection, ahead.rows.as_ref().ok(), &args.stream)?;
        let no_rows = BTreeMap::new();
        let rows = ahead.rows.as_ref().unwrap_or(&no_rows);
        let mut origins = origins(project, rows)?;
        let explained: Vec<Explained> = views
            .iter()
            .map(|view| Explained {
                stream: view.stream.clone(),
                how: ahead.looks.as_ref().ok().and_then(|looks| looks.get(&view.stream)).and_then(how),
                config: view.config.clone(),
                asked: ahead.rows.is_ok(),
                destination: rows.get(&view.stream).cloned(),
                origin: origins.remove(&view.stream),
                next_run: ahead.next(&view.stream),
            })
            .collect();
        if terminal.json_wanted() {
            terminal.json(&json!({
                "connection": connection.name,
                "connection_id": connection.id,
                "error": ahead.unasked().map(Error::record),
                "streams": explained,
            }))?;
        } else {
            let texts: Vec<String> =
                explained.iter().map(|one| render(terminal, project, &connection.name, one)).collect();
            let none = || "no streams: nothing is selected, and nothing was loaded".to_owned();
            terminal.out(&if texts.is_empty() { none() } else { texts.join("\n\n") })?;
            if rows.is_empty() {
                terminal.note(&format!("\nnext: {}", next::command(project, &format!("run {}", args.name))));
            } else {
                let words = format!("state verify {}", args.name);
                terminal
                    .note(&format!("\nto compare the rows themselves: {}", next::command(project, &words)));
            }
        }
        match (ahead.rows, ahead.looks) {
            (Err(error), _) => Err(error.context("the destination's state cannot be read")),
            (Ok(_), Err(error)) => Err(error.context("what the next run does cannot be told")),
            _ => Ok(0),
        }
    };
    until_signal(terminal, &cancel, work).await
}

fn how(look: &Outlook) -> Option<String> {
    let (_, modes) = look.found.as_ref().ok()?;
    let by = modes.cursor.as_ref().map(|(cursor, logical)| format!(" by {cursor} ({logical})"));
    Some(format!("{}{}, {}", modes.mode, by.unwrap_or_default(), modes.write))
}

fn render(terminal: &Terminal, project: &Project, connection: &str, one: &Explained) -> String {
    let how = one.how.as_ref().map(|how| format!("  {}", visible(how))).unwrap_or_default();
    let mut lines = vec![format!("{}{how}", terminal.paint("1", &visible(&one.stream)))];
    match &one.destination {
        None if !one.asked => lines.push(field("state", "the destination could not be asked")),
        None if one.config.is_some() => {
            lines.push(field("state", "the destination has none, although the config has an entry"));
        }
        None => lines.push(field("state", "the destination has none: nothing was loaded yet")),
        Some(row) => {
            lines.push(field("table", &format!("{}, {}", row.table, counted(row.rows, "row"))));
            lines.extend(range(row));
            lines.extend(one.origin.iter().flat_map(|origin| from(row, origin)));
        }
    }
    if let Some(next) = &one.next_run {
        lines.extend(ahead::lines(next, project, connection, &one.stream));
    }
    lines.join("\n")
}

/// The range that is covered.
fn range(row: &StateRow) -> Vec<String> {
    let Ok(state) = StreamState::from_value(&row.value) else {
        return vec![field("covered", "its state cannot be read")];
    };
    let mut lines = Vec::new();
    match (&state.floor, &state.ceiling) {
        (Some(floor), Some(ceiling)) if floor == ceiling => {
            lines.push(field("covered", &format!("everything up to {floor}")));
        }
        (Some(floor), Some(ceiling)) => lines.push(field(
            "covered",
            &format!("for good below {floor}; looked at up to {ceiling}, and read again from {floor}"),
        )),
        (None, Some(ceiling)) => lines.push(field(
            "covered",
            &format!("looked at up to {ceiling}, and all of it is read again: transactions were open"),
        )),
        _ => {}
    }
    if state.files.is_some() {
        lines.push(field("covered", &value_text(&state.shown())));
    }
    if let Some(window) = state.window.filter(|window| window.count > 0) {
        let rows = counted(window.count, "row");
        lines.push(field("window", &format!("{rows} remembered, so that each is added once")));
    }
    if !state.open.is_empty() {
        let open = counted(state.open.len() as u64, "transaction");
        lines.push(field("open", &format!("{open} at the source, when it was read")));
    }
    lines
}

/// The run that wrote it, and what its log still says.
fn from(row: &StateRow, origin: &Origin) -> Vec<String> {
    let run = short_id(&row.run_id);
    let commit = short_id(&row.commit_id);
    let about = match &origin.run {
        Some(entry) => format!(
            "run {run} ({}, {}), commit {commit}",
            entry.status.word(),
            age(&entry.started_at, Utc::now())
        ),
        None => format!("run {run}, commit {commit}; that run left no record here"),
    };
    let mut lines = vec![field("written by", &about)];
    let Some(trace) = &origin.trace else {
        if origin.run.is_some() {
            lines.push(field("receipts", "its log is gone: what the destination knows is above"));
        }
        return lines;
    };
    if !trace.has(&row.commit_id) {
        lines.push(field("", "its log does not name that commit: the run was killed before it could"));
    }
    let hash = trace.hash().map(|hash| format!(", hash {hash:.16}")).unwrap_or_default();
    let commits = counted(trace.receipts.len() as u64, "commit");
    lines.push(field("receipts", &format!("{commits} of that run, {}{hash}", counted(trace.rows(), "row"))));
    if trace.receipts.len() > 1 {
        let hidden = trace.receipts.len().saturating_sub(LISTED);
        if hidden > 0 {
            lines.push(format!("{:15}… {} before", "", counted(hidden as u64, "commit")));
        }
        for receipt in trace.receipts.iter().skip(hidden) {
            let end = receipt.ceiling.as_ref().or(receipt.floor.as_ref());
            let end = end.map(|end| format!("  up to {}", visible(end))).unwrap_or_default();
            let rows = count(receipt.rows);
            lines.push(format!("{:15}{}  {rows:>9} rows{end}", "", short_id(&receipt.commit_id)));
        }
    }
    if let Some(rule) = trace.rule.as_deref().filter(|rule| *rule != "none") {
        let words = trace.words.as_deref().unwrap_or_default();
        lines.push(field("last rule", &format!("rule {rule}: {words}")));
    }
    lines
}
