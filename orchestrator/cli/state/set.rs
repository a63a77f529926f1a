//! `waybill state set`: a cursor to start from.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    CatalogStream, Error, Logical, Result, StateRow, StreamSelection, StreamState, SyncMode,
};

use super::cursor_type::{self, Known};
use super::instruct::{candidates, named, selection_of};
use super::show::rows;
use super::view::value_text;
use super::write::{self, Manner, Order};
use crate::cli::connection::session::{Systems, until_signal};
use crate::cli::terminal::Terminal;
use crate::store::config::{Connection, LoadedConfig, load};
use crate::store::project::Project;
use crate::store::state::StateEntry;

/// Sets where the next run starts.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// This stream; may be given several times
    #[arg(long, value_name = "STREAM", required_unless_present = "all", conflicts_with = "all")]
    stream: Vec<String>,
    /// All streams of the connection
    #[arg(long)]
    all: bool,
    /// Where to start: rows with this cursor or a higher one are read
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    cursor: String,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
}

/// Sets the cursor of streams.
pub(super) async fn set(terminal: &Terminal, project: &Project, args: SetArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let streams = if args.all { candidates(connection) } else { named(connection, &args.stream)? };
    let cancel = CancellationToken::new();
    let work = async {
        let wanted = Value::from(args.cursor.as_str());
        let cursors = Cursors::of(project, &config, connection, &streams, &cancel).await?;
        let mut values = BTreeMap::new();
        for stream in &streams {
            values.insert(stream.clone(), cursors.check(stream, &wanted)?);
        }
        let manner = Manner { word: "set", dry_run: args.dry_run };
        let done = write::carry_out(project, &args.name, manner, |_| Ok(cursors.orders(&values)))?;
        write::show(terminal, project, &args.name, manner, &done)?;
        Ok(0)
    };
    until_signal(terminal, &cancel, work).await
}

/// The cursors of streams: their types, and where the destination stands.
pub(super) struct Cursors {
    types: BTreeMap<String, (Option<String>, Logical, Known)>,
    rows: BTreeMap<String, StateRow>,
}

impl Cursors {
    /// Asks the destination, and the source where that does not know a type. Refuses streams that
    /// have no cursor.
    pub(super) async fn of(
        project: &Project,
        config: &Arc<LoadedConfig>,
        connection: &Connection,
        streams: &[String],
        cancel: &CancellationToken,
    ) -> Result<Cursors> {
        let held = rows(project, config, connection, cancel).await;
        let no_rows = BTreeMap::new();
        let known = held.as_ref().unwrap_or(&no_rows);
        let mut types = BTreeMap::new();
        let mut unknown: Vec<StreamSelection> = Vec::new();
        for stream in streams {
            let selection = selection_of(connection, stream);
            if let Some(why) = without_cursor(selection, known.get(stream)) {
                return Err(why_not(stream, why));
            }
            let column = selection.and_then(|selection| selection.cursor.clone());
            match (known.get(stream).and_then(cursor_type::of_row), selection) {
                (Some(logical), _) => {
                    types.insert(stream.clone(), (column, logical, Known::FromState));
                }
                (None, Some(selection)) => {
                    unknown.push(StreamSelection { name: stream.clone(), ..selection.clone() });
                }
                (None, None) => return Err(why_not(stream, "it is not selected, and was never loaded")),
            }
        }
        if !unknown.is_empty() {
            let systems = Systems::of(project, config, connection, cancel).await?;
            let source = systems.source().await?;
            let catalog = source.discover(&unknown).await.map_err(|e| systems.clean(e));
            source.close().await;
            let catalog = catalog?;
            for selection in unknown {
                let found = catalog.streams.iter().find(|found| found.name == selection.name);
                let logical = type_at_source(&selection, found)?;
                types.insert(selection.name, (selection.cursor, logical, Known::FromSource));
            }
        }
        Ok(Cursors { types, rows: held.unwrap_or_default() })
    }

    /// The type of a stream's cursor.
    pub(super) fn logical(&self, stream: &str) -> Option<Logical> {
        self.types.get(stream).map(|(_, logical, _)| *logical)
    }

    /// The value in the form of the stream's cursor.
    pub(super) fn check(&self, stream: &str, value: &Value) -> Result<Value> {
        let (column, logical, _) =
            self.types.get(stream).ok_or_else(|| Error::internal(format!("no cursor type of {stream}")))?;
        cursor_type::check(value, *logical, stream, column.as_deref())
    }

    /// The instructions that set these cursors.
    pub(super) fn orders(&self, values: &BTreeMap<String, Value>) -> Vec<Order> {
        let order = |(stream, cursor): (&String, &Value)| {
            let held = self.rows.get(stream).and_then(|row| StreamState::from_value(&row.value).ok());
            let from = value_text(cursor);
            let words = match held.map(|state| state.shown()) {
                Some(shown) if shown == *cursor => {
                    format!("the next run starts from {from}, where the destination stands")
                }
                Some(shown) => format!(
                    "the next run starts from {from}; the destination stands at {}: what lies between is loaded again or skipped",
                    value_text(&shown)
                ),
                None => format!("the next run starts from {from}; rows below are not loaded"),
            };
            Order { stream: stream.clone(), entry: Some(StateEntry::set(cursor.clone())), words }
        };
        values.iter().map(order).collect()
    }
}

fn why_not(stream: &str, why: &str) -> Error {
    Error::config(format!("stream {stream} has no cursor to set: {why}"))
        .stream(stream)
        .hint("name streams that are read by cursor: --stream STREAM; `waybill state show` shows them")
}

/// Why a stream cannot be told where to start; `None` where it can.
pub(super) fn without_cursor(
    selection: Option<&StreamSelection>,
    row: Option<&StateRow>,
) -> Option<&'static str> {
    let files =
        row.and_then(|row| StreamState::from_value(&row.value).ok()).is_some_and(|s| s.files.is_some());
    match selection {
        Some(selection) if selection.mode == SyncMode::FullRefresh => {
            Some("its mode is full_refresh, and every run reads it whole")
        }
        _ if files => Some("it is read file by file"),
        Some(selection) if selection.cursor.is_none() => Some("no cursor is selected for it"),
        _ => None,
    }
}

fn type_at_source(selection: &StreamSelection, found: Option<&CatalogStream>) -> Result<Logical> {
    let stream = selection.name.as_str();
    let column = selection.cursor.as_deref().unwrap_or_default();
    let Some(found) = found else {
        return Err(why_not(stream, "the source has no such stream"));
    };
    let field = found.schema.field_with_name(column);
    let field = field.map_err(|_| why_not(stream, "the source has no such column as its cursor"))?;
    Logical::of(field)
}
