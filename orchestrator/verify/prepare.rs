//! How a stream is compared: the parts of its source, the reads of both sides, what tells rows apart.

use std::sync::Arc;

use arrow_schema::{Field, Schema};
use waybill_protocol::identity::IDENTITY_VERSION;
use waybill_protocol::{
    CatalogStream, Destination, Error, Logical, NATIVE_KEY, NullCursor, OnBadRow, Origin, Progress, Reading,
    Result, SchemaPolicy, Source, StateRow, StreamRead, StreamSelection, StreamState, SyncMode, WriteMode,
};

use super::classify::Manner;
use super::columns::{self, Column, Sides};
use super::pass::{Known, Side, end_of};
use super::range;
use super::read::Rows;
use super::report::{Range, StreamReport};
use crate::run::modes::Modes;
use crate::run::outlook::Outlook;

/// The column in which a source of files names them.
const FILE: &str = "_file";

/// The three sessions of a comparison.
pub struct Sessions<'a> {
    /// The source.
    pub source: &'a Arc<dyn Source>,
    /// The destination, for state and records.
    pub destination: &'a Arc<dyn Destination>,
    /// The destination's system, read like a source.
    pub mirror: &'a Arc<dyn Source>,
}

/// A stream that can be compared.
pub struct Plan {
    /// The source.
    pub source: Arc<Side>,
    /// The table.
    pub destination: Arc<Side>,
    /// What tells rows apart.
    pub manner: Manner,
    /// The axis's type.
    pub axis: Option<Logical>,
    /// Whether other connections load into the table too.
    pub shared: bool,
    /// Whether rows that cannot be loaded are left out.
    pub rejects: bool,
}

/// Prepares the comparison of a stream; nothing where none of it can be compared.
pub async fn plan(
    look: &Outlook,
    row: &StateRow,
    stream: &CatalogStream,
    modes: &Modes,
    table: &CatalogStream,
    sessions: &Sessions<'_>,
    report: &mut StreamReport,
) -> Result<Option<Plan>> {
    let record = look.record.as_ref().map_or(&[][..], |record| record.columns.as_slice());
    let verdict = |field: &Field| sessions.destination.verdict(field);
    let sides = Sides {
        source: &stream.schema,
        table: &table.schema,
        table_infers: sessions.mirror.infers(),
        verdict: &verdict,
    };
    let (columns, left_out) = columns::decide(record, look.selection.columns.as_deref(), &sides)?;
    report.left_out = left_out;
    if columns.is_empty() {
        report.why = Some("none of its columns can be compared".to_owned());
        return Ok(None);
    }
    let state = StreamState::from_value(&row.value)
        .map_err(|e| Error::data("the state at the destination cannot be read").cause(e))?;
    let incremental = modes.mode == SyncMode::Incremental;
    let cursor = modes.cursor.as_ref().filter(|_| incremental).map(|(name, _)| name.as_str());
    report.range = Some(range_of(cursor, incremental, &state));
    let key: Option<Vec<usize>> =
        modes.key.iter().map(|name| columns.iter().position(|column| column.source == *name)).collect();
    let key = key.unwrap_or_default();
    let at = |name: &str| columns.iter().find(|column| column.source == name);
    let file = at(FILE).filter(|_| modes.files);
    let first_key = key.first().and_then(|at| columns.get(*at));
    let axis = if file.is_some() { None } else { cursor.and_then(at).or(first_key) };
    let manner =
        Manner { keyed: !key.is_empty(), keeps_versions: modes.write == WriteMode::Append && incremental };
    if modes.write != WriteMode::Overwrite && look.selection.null_cursor == NullCursor::IncludeAlways {
        report.notes.push("rows whose cursor is NULL are not compared".to_owned());
    }
    let source = Side {
        read: read_source(&look.selection, stream, modes, &columns, cursor)?,
        rows: Rows {
            columns: columns.iter().map(|c| (c.source.clone(), c.compared)).collect(),
            key: key.clone(),
            axis: axis.map(|c| (c.source.clone(), c.compared)),
            needs: cursor.map(str::to_owned),
            required: if modes.write == WriteMode::Append { Vec::new() } else { modes.key.clone() },
        },
        parts: if cursor.is_some() { range::by_cursor(&state) } else { range::whole() },
        pending: None,
        cursor: cursor.map(str::to_owned),
        end: None,
        file: file.map(|c| c.source.clone()),
        known: None,
        source: Arc::clone(sessions.source),
    };
    let source = with_pending(source, modes, &state, sessions, &look.selection.name).await?;
    let source = with_known(source, &state, sessions, &look.selection.name).await?;
    // What an append remembers it has loaded, wherever it lies; a merge reads again beyond its range.
    let end = if source.known.is_some() { None } else { state.ceiling.as_ref().or(state.floor.as_ref()) };
    let destination = Side {
        read: read_table(table, &columns),
        rows: Rows {
            columns: columns.iter().map(|c| (c.table.clone(), c.compared)).collect(),
            key,
            axis: axis.map(|c| (c.table.clone(), c.compared)),
            needs: cursor.and_then(at).map(|c| c.table.clone()),
            required: Vec::new(),
        },
        parts: range::whole(),
        pending: None,
        cursor: None,
        end: cursor.and_then(at).and_then(|_| end_of(end)),
        file: file.map(|c| c.table.clone()),
        known: None,
        source: Arc::clone(sessions.mirror),
    };
    let rejects = look.selection.on_bad_row == OnBadRow::Reject;
    let axis = axis.map(|c| c.compared);
    let (source, destination) = (Arc::new(source), Arc::new(destination));
    Ok(Some(Plan { source, destination, manner, axis, shared: look.selection.shared, rejects }))
}

fn range_of(cursor: Option<&str>, incremental: bool, state: &StreamState) -> Range {
    let text = |value: &Option<waybill_protocol::CursorValue>| value.as_ref().map(ToString::to_string);
    match cursor {
        Some(cursor) => Range {
            by: cursor.to_owned(),
            floor: text(&state.floor),
            ceiling: text(&state.ceiling).or_else(|| text(&state.floor)),
        },
        None if incremental => Range { by: "files".to_owned(), floor: None, ceiling: None },
        None => Range { by: "everything".to_owned(), floor: None, ceiling: None },
    }
}

/// For streams of files: what the ledger says is not loaded yet.
async fn with_pending(
    mut side: Side,
    modes: &Modes,
    state: &StreamState,
    sessions: &Sessions<'_>,
    stream: &str,
) -> Result<Side> {
    if modes.files && modes.mode == SyncMode::Incremental {
        let mut progress = Progress::default();
        progress.streams.insert(stream.to_owned(), state.clone());
        let parts = sessions.destination.parts(stream).await.map_err(|e| e.origin(Origin::Destination))?;
        for (part, value) in parts {
            progress.parts.insert((stream.to_owned(), part), value);
        }
        let read = StreamRead { reading: Reading::Files, ..side.read.clone() };
        side.pending = Some((Arc::new(read), progress));
    }
    Ok(side)
}

/// For appends by cursor: the identities that were loaded and are read again.
async fn with_known(
    mut side: Side,
    state: &StreamState,
    sessions: &Sessions<'_>,
    stream: &str,
) -> Result<Side> {
    let Some(window) = &state.window else { return Ok(side) };
    // A label is the column's name and the family of its type.
    let name =
        |label: &String| label.rsplit_once(": ").map_or_else(|| label.clone(), |(name, _)| name.to_owned());
    let columns: Vec<String> = window.columns.iter().map(name).collect();
    if window.version == IDENTITY_VERSION && columns.iter().all(|c| side.read.schema.index_of(c).is_ok()) {
        let entries = sessions.destination.window(stream).await.map_err(|e| e.origin(Origin::Destination))?;
        side.known = Some(Known { columns, rows: entries.into_iter().map(|entry| entry.identity).collect() });
    }
    Ok(side)
}

fn read_source(
    selection: &StreamSelection,
    stream: &CatalogStream,
    modes: &Modes,
    columns: &[Column],
    cursor: Option<&str>,
) -> Result<StreamRead> {
    let native = |name: &str| {
        let field = stream.schema.field_with_name(name).ok();
        field.and_then(|field| field.metadata().get(NATIVE_KEY).cloned()).unwrap_or_default()
    };
    let field = |column: &Column| column.read.field(&column.source, true, &native(&column.source));
    let mut fields: Vec<Field> = columns.iter().map(field).collect();
    for name in cursor.into_iter().chain(modes.key.iter().map(String::as_str)) {
        if let Ok(found) = stream.schema.field_with_name(name)
            && !fields.iter().any(|field| field.name() == name)
        {
            fields.push(Logical::of(found)?.field(name, true, &native(name)));
        }
    }
    Ok(StreamRead {
        stream: selection.name.clone(),
        schema: Arc::new(Schema::new(fields)),
        primary_key: modes.key.clone(),
        ..StreamRead::whole(stream, as_asked(selection.clone()))
    })
}

fn read_table(table: &CatalogStream, columns: &[Column]) -> StreamRead {
    let field = |column: &Column| column.compared.field(&column.table, true, &column.native);
    StreamRead {
        schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
        primary_key: Vec::new(),
        ..StreamRead::whole(table, as_asked(StreamSelection::named(table.name.as_str())))
    }
}

/// Values are compared as the types that are asked for.
fn as_asked(selection: StreamSelection) -> StreamSelection {
    StreamSelection { schema_policy: SchemaPolicy::Ignore, ..selection }
}
