//! `waybill state import`: cursors out of an exported document.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Kind, Result};

use super::cursor_type;
use super::instruct::selection_of;
use super::set::{Cursors, without_cursor};
use super::streams;
use super::write::{self, Manner, Order};
use crate::cli::connection::session::until_signal;
use crate::cli::terminal::Terminal;
use crate::store::config::{Connection, load};
use crate::store::project::Project;
use crate::store::state::{StateDocument, StreamDocument};

/// Imports state.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// What `waybill state export` wrote; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only these streams; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
    /// Take a document of another connection, or of one with another id
    #[arg(long)]
    other_connection: bool,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
}

/// Imports the state of a connection.
pub(super) async fn import(terminal: &Terminal, project: &Project, args: ImportArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let document = read(&args.file)?;
    if !args.other_connection {
        same_connection(&document, connection, &args.file)?;
    }
    let all: Vec<(String, StreamDocument)> = document.streams.into_iter().collect();
    let chosen = streams::chosen(&shown(&args.file), all, &args.stream, |(name, _)| name)?;
    exist(connection, &chosen)?;
    let cancel = CancellationToken::new();
    let work = async {
        let (with, without): (Vec<_>, Vec<_>) =
            chosen.into_iter().partition(|(stream, entry)| left(connection, stream, entry).is_none());
        let names: Vec<String> = with.iter().map(|(stream, _)| stream.clone()).collect();
        let cursors = Cursors::of(project, &config, connection, &names, &cancel).await?;
        let mut values = BTreeMap::new();
        for (stream, entry) in &with {
            same_type(&cursors, stream, entry)?;
            let cursor = entry.cursor.clone().unwrap_or(Value::Null);
            values.insert(stream.clone(), cursors.check(stream, &cursor)?);
        }
        let manner = Manner { word: "set", dry_run: args.dry_run };
        let done = write::carry_out(project, &args.name, manner, |connection| {
            let mut orders = cursors.orders(&values);
            orders.extend(without.iter().map(|(stream, entry)| Order {
                stream: stream.clone(),
                entry: None,
                words: left(connection, stream, entry).unwrap_or_default(),
            }));
            Ok(orders)
        })?;
        write::show(terminal, project, &args.name, manner, &done)?;
        Ok(0)
    };
    until_signal(terminal, &cancel, work).await
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

/// Reads a document.
pub(super) fn read(file: &Path) -> Result<StateDocument> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|e| {
        Error::config(format!("{}: cannot be read: {e}", shown(file)))
            .hint("give a file that `waybill state export` wrote")
            .cause(e)
    })?;
    StateDocument::parse(&text, &shown(file))
}

fn same_connection(document: &StateDocument, connection: &Connection, file: &Path) -> Result<()> {
    let id = connection.id.map(|id| id.to_string()).unwrap_or_default();
    if document.connection_id == id {
        return Ok(());
    }
    let what = if document.connection == connection.name {
        "a connection of the same name with another id".to_owned()
    } else {
        format!("connection {:?}", document.connection)
    };
    Err(Error::config(format!(
        "{}: it was exported from {what}, not from {:?}",
        shown(file),
        connection.name
    ))
    .hint("if it is meant all the same, say --other-connection"))
}

/// Refuses streams that the connection cannot have, all of them at once.
fn exist(connection: &Connection, chosen: &[(String, StreamDocument)]) -> Result<()> {
    let unknown: Vec<&str> = chosen
        .iter()
        .map(|(stream, _)| stream.as_str())
        .filter(|stream| {
            selection_of(connection, stream).is_none() && !connection.state.contains_key(*stream)
        })
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::NotFound, format!("{} does not select {}", connection.name, unknown.join(", ")))
        .hint("select them in config.json, or name with --stream the streams to import"))
}

/// Why the document sets nothing for a stream.
fn left(connection: &Connection, stream: &str, entry: &StreamDocument) -> Option<String> {
    if entry.files.is_some() {
        return Some("it is read file by file, and has no cursor to set".to_owned());
    }
    if let Some(why) = without_cursor(selection_of(connection, stream), None) {
        return Some(why.to_owned());
    }
    entry.cursor.is_none().then(|| "the document has no cursor for it".to_owned())
}

fn same_type(cursors: &Cursors, stream: &str, entry: &StreamDocument) -> Result<()> {
    let now = cursors.logical(stream).and_then(cursor_type::name);
    match (&entry.kind, now) {
        (Some(then), Some(now)) if then != now => Err(Error::config(format!(
            "stream {stream}: the document has a cursor of type {then}, and now it is of type {now}"
        ))
        .stream(stream)
        .hint("leave the stream out: name the others with --stream")),
        _ => Ok(()),
    }
}
