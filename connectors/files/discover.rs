//! The catalog: streams of files with inferred or declared types.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{Field, Schema};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{CatalogStream, Error, Kind, Result, StreamSelection};

use super::listing::{Found, find};
use super::options::{Format, Layout, OnChange};
use super::sample::{Columns, Extent, sample};
use super::table::made_fields;

/// The stream that a selection describes.
pub(super) fn selected(
    root: &Path,
    selection: &StreamSelection,
    cancel: &CancellationToken,
) -> Result<CatalogStream> {
    let layout = Layout::of(selection)?;
    let found = find(root, &layout.path).and_then(|files| stream(&selection.name, &files, &layout, cancel));
    found.map_err(|e| e.stream(&selection.name))
}

/// The stream of one file found by its extension; one that cannot be read says so in its notes.
pub(super) fn by_extension(file: Found, cancel: &CancellationToken) -> Option<Result<CatalogStream>> {
    let layout = Layout::of_file(&file.rel)?;
    let name = file.rel.clone();
    let found = stream(&name, std::slice::from_ref(&file), &layout, cancel);
    Some(match found {
        Err(e) if e.kind() != Kind::Cancelled => {
            Ok(catalog(&name, Schema::empty(), &[], vec![format!("cannot be read: {e}")]))
        }
        found => found,
    })
}

fn stream(name: &str, files: &[Found], layout: &Layout, cancel: &CancellationToken) -> Result<CatalogStream> {
    let mut columns = Columns::default();
    let mut extents = Vec::new();
    for file in files {
        if layout.on_change == OnChange::Tail {
            refuse_packed(file, layout, cancel)?;
        }
        extents.push(sample(file, layout, &mut columns, cancel)?);
    }
    let fields = fields(&columns, layout)?;
    let notes = notes(files.len(), &columns, layout);
    Ok(catalog(name, Schema::new(fields), &extents, notes))
}

/// A packed file cannot be continued in its middle.
pub(super) fn refuse_packed(file: &Found, layout: &Layout, cancel: &CancellationToken) -> Result<()> {
    if !super::input::Input::open(file, layout.compression, false, cancel)?.packed() {
        return Ok(());
    }
    Err(Error::config(format!(
        "on_change: {} is gzip, and tail cannot continue in a packed file",
        file.shown
    ))
    .hint("set on_change to reload or fail, or keep the file unpacked"))
}

fn fields(columns: &Columns, layout: &Layout) -> Result<Vec<Field>> {
    let mut fields: Vec<Field> = columns
        .seen
        .iter()
        .map(|(name, guess)| {
            let logical = layout.types.get(name).copied().unwrap_or_else(|| guess.logical());
            logical.field(name, true, "")
        })
        .collect();
    for (name, logical) in layout.types.iter().filter(|(name, _)| !columns.has(name)) {
        // A header is the whole truth about a CSV file's columns; a JSON member may still come.
        if layout.format == Format::Csv && !columns.seen.is_empty() {
            let known: Vec<&str> = columns.seen.iter().map(|(name, _)| name.as_str()).take(50).collect();
            return Err(Error::config(format!("types: no file has a column {name:?}"))
                .hint(format!("the columns are {}", known.join(", "))));
        }
        fields.push(logical.field(name, true, ""));
    }
    fields.extend(made_fields(layout));
    Ok(fields)
}

fn notes(files: usize, columns: &Columns, layout: &Layout) -> Vec<String> {
    let mut notes = vec![if files == 1 { "1 file".to_owned() } else { format!("{files} files") }];
    if columns.seen.iter().any(|(name, _)| !layout.types.contains_key(name)) {
        notes.push("types inferred over the first 16 MiB of each file".to_owned());
    }
    let list = |seen: bool| {
        let names = layout.types.keys().filter(|name| columns.has(name) == seen);
        names.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    for (names, what) in [(list(true), "types declared"), (list(false), "declared and not seen yet")] {
        if !names.is_empty() {
            notes.push(format!("{what}: {names}"));
        }
    }
    notes
}

fn catalog(name: &str, schema: Schema, extents: &[Extent], notes: Vec<String>) -> CatalogStream {
    CatalogStream {
        name: name.to_owned(),
        namespace: None,
        table: name.to_owned(),
        kind: "files".to_owned(),
        schema: Arc::new(schema),
        primary_key: Vec::new(),
        distinct: false,
        cursors: Vec::new(),
        rows: rows(extents),
        bytes: (!extents.is_empty()).then(|| extents.iter().map(|e| e.size).sum()),
        notes,
    }
}

/// Rows extrapolated from the samples; `None` where one file was not sampled.
fn rows(extents: &[Extent]) -> Option<u64> {
    let mut rows = 0u64;
    for extent in extents {
        rows = rows.checked_add(match extent {
            Extent { size: 0, .. } => 0,
            Extent { rows: 0, .. } | Extent { bytes: 0, .. } => return None,
            Extent { rows, bytes, size } if bytes >= size => *rows,
            Extent { rows, bytes, size } => {
                u64::try_from(u128::from(*rows) * u128::from(*size) / u128::from(*bytes)).ok()?
            }
        })?;
    }
    (!extents.is_empty()).then_some(rows)
}
