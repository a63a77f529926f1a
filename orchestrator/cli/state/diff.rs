//! `waybill state diff`: what the config says beside what the destination, or an export, says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result, StreamState};

use super::ahead::{self, Ahead, Next};
use super::difference::{Against, against, standing_word};
use super::import::read;
use super::sheet::field;
use super::show::views;
use super::view::{Standing, View, value_text};
use crate::cli::connection::session::until_signal;
use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::store::config::load;
use crate::store::project::Project;
use crate::store::state::StreamDocument;
use crate::summary::units::counted;

/// Exit code where something differs.
const DIFFERS: u8 = 1;

/// Compares states.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// What `waybill state export` wrote: compare it with the destination, instead of the config
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only these streams; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
}

/// One stream.
#[derive(Debug, Serialize)]
struct Diff {
    stream: String,
    /// Whether both sides say the same.
    equal: bool,
    /// How they stand to each other, in words.
    standing: String,
    config: Option<Value>,
    destination: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<StreamDocument>,
    next_run: Option<Next>,
}

/// Shows how states differ.
pub(super) async fn diff(terminal: &Terminal, project: &Project, args: DiffArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let export = args.file.as_deref().map(read).transpose()?;
    let cancel = CancellationToken::new();
    let work = async {
        let ahead = Ahead::of(project, &config, connection, &cancel).await;
        let views = views(connection, ahead.rows.as_ref().ok(), &args.stream)?;
        let exported = export.map(|document| document.streams);
        let diffs = diffs(&views, exported.as_ref(), &ahead);
        if terminal.json_wanted() {
            terminal.json(&json!({
                "connection": connection.name,
                "connection_id": connection.id,
                "against": if exported.is_some() { "export" } else { "destination" },
                "equal": diffs.iter().all(|diff| diff.equal),
                "error": ahead.unasked().map(Error::record),
                "streams": diffs,
            }))?;
        } else {
            let texts: Vec<String> =
                diffs.iter().map(|diff| render(terminal, project, &connection.name, diff)).collect();
            let none = || "no streams: nothing is selected, and nothing was loaded".to_owned();
            terminal.out(&if texts.is_empty() { none() } else { texts.join("\n\n") })?;
        }
        let same = diffs.iter().all(|diff| diff.equal);
        match (ahead.rows, ahead.looks) {
            (Err(error), _) => Err(error.context("the destination's state cannot be read")),
            (Ok(_), Err(error)) => Err(error.context("what the next run does cannot be told")),
            _ => Ok(if same { 0 } else { DIFFERS }),
        }
    };
    until_signal(terminal, &cancel, work).await
}

fn diffs(views: &[View], export: Option<&BTreeMap<String, StreamDocument>>, ahead: &Ahead) -> Vec<Diff> {
    let one = |view: &View| {
        let row = ahead.rows.as_ref().ok().and_then(|rows| rows.get(&view.stream));
        let entry = export.and_then(|streams| streams.get(&view.stream));
        let (equal, standing) = match export {
            Some(_) => {
                let found = against(row, entry);
                (matches!(found, Against::Equal | Against::Neither), found.words().to_owned())
            }
            None => {
                let equal = matches!(
                    view.standing,
                    Standing::Agrees | Standing::Nothing | Standing::Whole | Standing::InstructionDone
                );
                (equal, standing_word(view, row).to_owned())
            }
        };
        Diff {
            stream: view.stream.clone(),
            equal,
            standing,
            config: view.config.clone(),
            destination: view.destination.clone(),
            export: entry.cloned(),
            next_run: ahead.next(&view.stream),
        }
    };
    views.iter().map(one).collect()
}

fn render(terminal: &Terminal, project: &Project, connection: &str, diff: &Diff) -> String {
    let colour = if diff.equal { "32" } else { "33" };
    let head = terminal.paint("1", &visible(&diff.stream));
    let mut lines = vec![format!("{head}  {}", terminal.paint(colour, &diff.standing))];
    if let Some(config) = &diff.config {
        lines.push(field("config", &config_text(config)));
    }
    if let Some(row) = &diff.destination {
        let state = row.get("value").and_then(|value| StreamState::from_value(value).ok());
        let shown = match state.map(|state| state.shown()) {
            None => "unreadable".to_owned(),
            Some(Value::Null) => counted(row.get("rows").and_then(Value::as_u64).unwrap_or(0), "row"),
            Some(shown) => value_text(&shown),
        };
        lines.push(field("destination", &shown));
    }
    if let Some(export) = &diff.export {
        let shown = match (&export.cursor, &export.files) {
            (Some(cursor), _) => value_text(cursor),
            (None, Some(files)) => value_text(&json!({"files": files.files, "rows": files.rows})),
            (None, None) => "no cursor".to_owned(),
        };
        lines.push(field("export", &shown));
    }
    if let Some(next) = &diff.next_run {
        lines.extend(ahead::lines(next, project, connection, &diff.stream));
    }
    lines.join("\n")
}

fn config_text(entry: &Value) -> String {
    match entry.get("cursor") {
        Some(cursor) if entry.get("accept").is_none() => value_text(cursor),
        _ => match entry.as_object().and_then(|map| map.keys().next()) {
            Some(word) if word == "set" => {
                let cursor = entry.pointer("/set/cursor").unwrap_or(&Value::Null);
                format!("set to {}", value_text(cursor))
            }
            Some(word) => word.clone(),
            None => "no cursor".to_owned(),
        },
    }
}
