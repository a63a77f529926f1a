//! `waybill connection discover`: what a source has.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{CatalogStream, Error, Kind, Origin, Result, Source, StreamSelection};

use super::glob::{fits, is_pattern};
use super::session::{Systems, until_signal};
use super::verdicts::Seen;
use crate::cli::terminal::Terminal;
use crate::store::config::{Connection, LoadedConfig, load};
use crate::store::nearest::did_you_mean;
use crate::store::project::Project;

/// Streams from which on a list replaces the columns of each.
const MANY: usize = 20;

/// Shows the selected streams of a connection, or all that its source has.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Only streams of this name; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
    /// Everything that the source has, not only what is selected
    #[arg(long)]
    all: bool,
}

/// What was found.
pub(super) struct Found {
    identity: String,
    pub(super) streams: Vec<Seen>,
    /// Selected streams that the source does not have.
    pub(super) missing: Vec<String>,
    /// Whether only the selection was looked at.
    selection: bool,
    warnings: Vec<String>,
}

/// Discovers streams.
pub(super) async fn discover(terminal: &Terminal, project: &Project, args: DiscoverArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let cancel = CancellationToken::new();
    let work = async {
        let found = look(project, &config, connection, &args, &cancel).await?;
        show(terminal, &args, &found)
    };
    until_signal(terminal, &cancel, work).await
}

/// Looks at the source, and asks the destination how it would hold what is there.
async fn look(
    project: &Project,
    config: &Arc<LoadedConfig>,
    connection: &Connection,
    args: &DiscoverArgs,
    cancel: &CancellationToken,
) -> Result<Found> {
    let systems = Systems::of(project, config, connection, cancel).await?;
    let source = systems.source().await?;
    let found = streams(source.as_ref(), connection, args).await.map_err(|e| systems.clean(e));
    source.close().await;
    let (identity, streams, selection) = found?;
    let destination = systems.destination().await;
    let seen: Vec<Seen> = streams
        .iter()
        .map(|stream| Seen::of(stream, destination.as_ref().ok().map(|destination| destination.as_ref())))
        .collect();
    let mut warnings = systems.warnings();
    match destination {
        Ok(destination) => destination.close().await,
        Err(error) => {
            warnings.retain(|warning| !warning.contains(error.message()));
            warnings.push(format!("how columns are held is not known: the destination: {error}"));
        }
    }
    let has = |name: &str| seen.iter().any(|stream| fits(name, stream.name()));
    let wanted = connection.streams.iter().filter(|s| s.enabled && selection && args.stream.is_empty());
    let missing = wanted.filter(|s| !has(&s.name)).map(|s| s.name.clone()).collect();
    Ok(Found { identity, streams: seen, missing, selection, warnings })
}

/// The streams that are meant, and whether they are the selection.
async fn streams(
    source: &dyn Source,
    connection: &Connection,
    args: &DiscoverArgs,
) -> Result<(String, Vec<CatalogStream>, bool)> {
    let wanted = |name: &str| args.stream.is_empty() || args.stream.iter().any(|glob| fits(glob, name));
    let selected: Vec<StreamSelection> = connection
        .streams
        .iter()
        // A pattern of the selection may stand for a stream that is asked for.
        .filter(|s| wanted(&s.name) || is_pattern(&s.name))
        .cloned()
        .collect();
    if !args.all && !selected.is_empty() {
        let catalog = source.discover(&selected).await?;
        let streams: Vec<CatalogStream> = catalog.streams.into_iter().filter(|s| wanted(&s.name)).collect();
        if !streams.is_empty() || args.stream.is_empty() {
            return Ok((catalog.identity, streams, true));
        }
    }
    let catalog = source.discover(&[]).await?;
    let names: Vec<String> = catalog.streams.iter().map(|stream| stream.name.clone()).collect();
    let streams: Vec<CatalogStream> = catalog.streams.into_iter().filter(|s| wanted(&s.name)).collect();
    match (streams.is_empty(), args.stream.first()) {
        (true, Some(glob)) => Err(nothing(glob, &names)),
        _ => Ok((catalog.identity, streams, false)),
    }
}

pub(super) fn nothing(wanted: &str, names: &[String]) -> Error {
    let near = did_you_mean(wanted, names.iter().map(String::as_str));
    let some: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
    let more = if names.len() > some.len() { ", …" } else { "" };
    let error = Error::new(Kind::NotFound, format!("the source has no stream {wanted:?}{near}"))
        .origin(Origin::Source);
    if some.is_empty() {
        error.hint("it has no streams at all that this user can see")
    } else {
        error.hint(format!("it has: {}{more}", some.join(", ")))
    }
}

fn show(terminal: &Terminal, args: &DiscoverArgs, found: &Found) -> Result<u8> {
    if terminal.json_wanted() {
        let streams: Vec<_> = found.streams.iter().map(Seen::to_value).collect();
        terminal.json(&json!({
            "connection": args.name,
            "identity": found.identity,
            "streams": streams,
            "missing": found.missing,
        }))?;
    } else {
        terminal.out(&render(terminal, found))?;
    }
    for name in &found.missing {
        terminal.warn(&format!("{name} is selected, and the source does not have it"));
    }
    for warning in &found.warnings {
        terminal.warn(warning);
    }
    if !terminal.json_wanted() && found.selection {
        terminal.note("\nonly what is selected; --all shows everything that the source has");
    }
    Ok(0)
}

pub(super) fn render(terminal: &Terminal, found: &Found) -> String {
    match found.streams.len() {
        0 => "the source has no such streams".to_owned(),
        count if count > MANY => {
            let rows = found.streams.iter().map(Seen::row).collect();
            let headers = ["stream", "kind", "columns", "rows", "size", "key", "not exact"];
            format!("{}\n\n{count} streams; --stream NAME shows the columns", terminal.table(&headers, rows))
        }
        _ => found.streams.iter().map(|seen| seen.render(terminal)).collect::<Vec<_>>().join("\n\n"),
    }
}

#[cfg(test)]
pub(super) async fn found_by(project: &Project, name: &str, streams: &[&str], all: bool) -> Result<Found> {
    let config = Arc::new(load(project)?);
    let args = DiscoverArgs {
        name: name.to_owned(),
        stream: streams.iter().map(|glob| (*glob).to_owned()).collect(),
        all,
    };
    look(project, &config, config.connection(name)?, &args, &CancellationToken::new()).await
}
