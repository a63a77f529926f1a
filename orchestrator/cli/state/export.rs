//! `waybill state export`: how far streams were loaded, as a document.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Result, StateRow};

use super::show::rows;
use super::streams;
use crate::cli::connection::session::until_signal;
use crate::cli::terminal::Terminal;
use crate::store::atomic::write_atomic;
use crate::store::config::{Connection, LoadedConfig, load};
use crate::store::project::Project;
use crate::store::state::{DOCUMENT_VERSION, StateDocument, StreamDocument};
use crate::summary::units::counted;

/// Exports state.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these streams; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
    /// Write it into this file, which is replaced as a whole [default: standard output]
    #[arg(short = 'o', long = "to", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Exports the state of a connection.
pub(super) async fn export(terminal: &Terminal, project: &Project, args: ExportArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let cancel = CancellationToken::new();
    let work = async {
        let held = rows(project, &config, connection, &cancel).await?;
        let chosen =
            streams::chosen(&connection.name, held.into_iter().collect(), &args.stream, |(name, _)| name)?;
        let document = document(&config, connection, chosen.into_iter().collect());
        match &args.file {
            None => terminal.json(&document)?,
            Some(path) => {
                let mut text = serde_json::to_vec_pretty(&document)
                    .map_err(|e| waybill_protocol::Error::internal("an export that is no JSON").cause(e))?;
                text.push(b'\n');
                write_atomic(path, &text, Some(0o644))?;
                let streams = counted(document.streams.len() as u64, "stream");
                terminal.note(&format!("{streams} of {} written to {}", args.name, path.display()));
            }
        }
        Ok(0)
    };
    until_signal(terminal, &cancel, work).await
}

fn document(
    config: &LoadedConfig,
    connection: &Connection,
    rows: BTreeMap<String, StateRow>,
) -> StateDocument {
    let destination = config.destination_of(connection).map_or_else(|_| String::new(), |d| d.name.clone());
    StateDocument {
        version: DOCUMENT_VERSION,
        exported_at: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        connection: connection.name.clone(),
        connection_id: connection.id.map(|id| id.to_string()).unwrap_or_default(),
        source: connection.system.clone(),
        destination,
        streams: rows.iter().map(|(stream, row)| (stream.clone(), StreamDocument::of(row))).collect(),
    }
}
