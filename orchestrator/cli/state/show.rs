//! `waybill state show`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Kind, Result, Scope, StateRow};

use super::view::View;
use crate::cli::connection::glob::fits;
use crate::cli::connection::session::{Systems, until_signal};
use crate::cli::terminal::Terminal;
use crate::store::config::{Connection, LoadedConfig, load};
use crate::store::nearest::did_you_mean;
use crate::store::project::Project;

/// Shows state.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these streams; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
}

/// Shows the state of a connection. A destination that cannot be reached hides the config's side
/// from nobody; the exit code tells.
pub(super) async fn show(terminal: &Terminal, project: &Project, args: ShowArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let cancel = CancellationToken::new();
    let work = async {
        let rows = rows(project, &config, connection, &cancel).await;
        let views = views(connection, rows.as_ref().ok(), &args.stream)?;
        if terminal.json_wanted() {
            terminal.json(&json!({
                "connection": connection.name,
                "connection_id": connection.id,
                "destination_error": rows.as_ref().err().map(Error::record),
                "streams": views,
            }))?;
        } else if views.is_empty() {
            let loaded = if rows.is_ok() { ", and nothing was loaded" } else { "" };
            terminal.out(&format!("no streams: nothing is selected{loaded}"))?;
        } else {
            let texts: Vec<String> = views.iter().map(|view| view.render(terminal)).collect();
            terminal.out(&texts.join("\n\n"))?;
        }
        match rows {
            Ok(_) => Ok(0),
            Err(error) => Err(error.context("the destination's state cannot be read")),
        }
    };
    until_signal(terminal, &cancel, work).await
}

/// The rows at the destination, by stream. A connection without an id was never run.
pub(super) async fn rows(
    project: &Project,
    config: &Arc<LoadedConfig>,
    connection: &Connection,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, StateRow>> {
    if connection.id.is_none() {
        return Ok(BTreeMap::new());
    }
    let systems = Systems::of(project, config, connection, cancel).await?;
    let destination = systems.destination().await?;
    let states = destination.states().await.map_err(|e| systems.clean(e));
    destination.close().await;
    let prefix = Scope::Stream(String::new()).to_string();
    let by_stream = |row: StateRow| Some((row.scope.strip_prefix(&prefix)?.to_owned(), row));
    Ok(states?.into_iter().filter_map(by_stream).collect())
}

/// Every stream that is selected, has an entry, or was loaded.
pub(super) fn views(
    connection: &Connection,
    rows: Option<&BTreeMap<String, StateRow>>,
    wanted: &[String],
) -> Result<Vec<View>> {
    // A pattern of the selection is no stream; the streams that it brought have state of their own.
    let plain = connection.streams.iter().filter(|s| s.query.is_some() || !s.name.contains('*'));
    let mut names: BTreeSet<&str> = plain.map(|s| s.name.as_str()).collect();
    names.extend(connection.state.keys().map(String::as_str));
    names.extend(rows.into_iter().flat_map(BTreeMap::keys).map(String::as_str));
    if let Some(glob) = wanted.iter().find(|glob| !names.iter().any(|name| fits(glob, name))) {
        let near = did_you_mean(glob, names.iter().copied());
        let known: Vec<&str> = names.iter().copied().collect();
        return Err(Error::new(Kind::NotFound, format!("{} has no stream {glob:?}{near}", connection.name))
            .hint(format!("it has: {}", known.join(", "))));
    }
    let is_wanted = |name: &&str| wanted.is_empty() || wanted.iter().any(|glob| fits(glob, name));
    let view = |name: &str| {
        let enabled = || connection.streams.iter().filter(|s| s.enabled);
        let own = enabled().find(|s| s.name == name);
        let selection = own.or_else(|| enabled().find(|s| s.query.is_none() && fits(&s.name, name)));
        let row = rows.and_then(|rows| rows.get(name));
        View::of(name, selection, connection.state.get(name), row, rows.is_some())
    };
    Ok(names.into_iter().filter(is_wanted).map(view).collect())
}
