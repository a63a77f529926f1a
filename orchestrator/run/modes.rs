//! How a stream is read and written: what the selection says, completed from the catalog, or what is
//! contradictory about it (pure).

use waybill_protocol::{
    CatalogStream, CursorValue, Error, Kind, Logical, NullCursor, Result, StreamSelection, SyncMode,
    WriteMode,
};

use super::Options;
use super::columns::Columns;
use super::matching::some_of;
use crate::summary::units::counted;

/// How a stream is loaded, before its state is looked at.
pub struct Modes {
    /// How it is read.
    pub mode: SyncMode,
    /// How it is written.
    pub write: WriteMode,
    /// Cursor column and type.
    pub cursor: Option<(String, Logical)>,
    /// Primary key, names of the source.
    pub key: Vec<String>,
    /// Whether it is read file by file.
    pub files: bool,
    /// The lower bound of this run.
    pub from: Option<CursorValue>,
    /// The upper bound of this run, not included.
    pub to: Option<CursorValue>,
}

/// Sync mode, write mode, cursor and key, or what is contradictory about them.
pub fn modes(
    selection: &StreamSelection,
    stream: &CatalogStream,
    options: &Options,
    rows_before: u64,
) -> Result<Modes> {
    let wrong = |what: String, hint: &str| {
        Err(Error::config(format!("stream {:?}: {what}", selection.name)).hint(hint))
    };
    let key = selection.primary_key.clone().unwrap_or_else(|| stream.primary_key.clone());
    let files = stream.kind == "files";
    let incremental = selection.mode == SyncMode::Incremental;
    let write = selection.write.unwrap_or(match (selection.mode, key.is_empty()) {
        (SyncMode::FullRefresh, _) => WriteMode::Overwrite,
        (SyncMode::Incremental, false) => WriteMode::Merge,
        (SyncMode::Incremental, true) => WriteMode::Append,
    });
    if incremental && write == WriteMode::Overwrite {
        return wrong(
            "incremental reading cannot overwrite".into(),
            "use write: append or merge, or mode: full_refresh",
        );
    }
    if write == WriteMode::Merge && key.is_empty() {
        return wrong(
            "write mode merge needs a primary key, and the source names none".into(),
            "set primary_key: [...]",
        );
    }
    if selection.null_cursor == NullCursor::IncludeAlways && write != WriteMode::Merge {
        return wrong(
            "null_cursor: include_always would add the same rows in every run".into(),
            "use write: merge with a primary key",
        );
    }
    let bounded = options.limit.is_some() || options.from.is_some() || options.to.is_some();
    if bounded && write == WriteMode::Overwrite && rows_before > options.limit.unwrap_or(0) {
        let what = format!(
            "--from, --to and --limit would replace the {} loaded before by fewer",
            counted(rows_before, "row")
        );
        return wrong(what, "use `waybill connection preview` to look at rows, or leave the bound out");
    }
    if bounded && write == WriteMode::Append {
        return wrong(
            "--from, --to and --limit never move state, and an append would add the same rows again later"
                .into(),
            "use them with merge or overwrite only",
        );
    }
    let mut cursor = None;
    if files && incremental && selection.cursor.is_some() {
        return wrong(
            "files are read file by file, not by cursor".into(),
            "remove cursor; on_change says what happens to a file that changed",
        );
    }
    if let Some(column) = &selection.cursor {
        let field = stream.schema.field_with_name(column).map_err(|_| {
            let names: Vec<&str> = stream.schema.fields().iter().map(|f| f.name().as_str()).collect();
            Error::new(Kind::NotFound, format!("stream {:?}: no cursor column {column:?}", selection.name))
                .hint(format!("columns are: {}", some_of(&names)))
        })?;
        let logical = Logical::of(field)?;
        if !logical.ordered() {
            return wrong(
                format!("column {column:?} of type {logical} cannot be a cursor"),
                "choose an integer, a date, a timestamp, a decimal, a text or a uuid v7",
            );
        }
        cursor = Some((column.clone(), logical));
    } else if incremental && !files {
        let proposed: Vec<&str> = stream.cursors.iter().map(|c| c.column.as_str()).collect();
        let hint = if proposed.is_empty() {
            "choose a column that only grows, or mode: full_refresh".to_owned()
        } else {
            format!("set cursor: one of {}", some_of(&proposed))
        };
        return wrong("incremental reading needs a cursor".into(), &hint);
    }
    let bound = |flag: &str, text: &Option<String>| match (text, &cursor) {
        (None, _) => Ok(None),
        (Some(_), None) => Err(Error::config(format!("stream {:?}: {flag} needs a cursor", selection.name))
            .hint("set cursor for the stream, or choose streams that have one with --stream")),
        (Some(text), Some((column, logical))) => {
            let value = CursorValue::parse(&serde_json::Value::from(text.clone()), *logical);
            value.map(Some).map_err(|e| {
                e.context(format!("{flag}, for cursor {column:?} of stream {:?}", selection.name))
            })
        }
    };
    let (from, to) = (bound("--from", &options.from)?, bound("--to", &options.to)?);
    Ok(Modes { mode: selection.mode, write, cursor, key, files, from, to })
}

/// Refuses a key whose columns are not loaded.
pub fn check_key(key: &[String], columns: &Columns) -> Result<()> {
    match key.iter().find(|k| columns.read.field_with_name(k).is_err()) {
        None => Ok(()),
        Some(missing) => Err(Error::new(
            Kind::NotFound,
            format!("the primary key's column {missing:?} is not among the columns"),
        )
        .hint("correct primary_key, or add the column to columns")),
    }
}
