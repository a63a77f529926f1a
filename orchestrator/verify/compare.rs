//! The comparison of one stream: what can be compared, the two passes, and what they mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::{Field, Schema};
use waybill_protocol::identity::IDENTITY_VERSION;
use waybill_protocol::{
    CatalogStream, Destination, Error, Logical, NATIVE_KEY, NullCursor, OnBadRow, Origin, Progress, Reading,
    Result, SchemaPolicy, Source, StateRow, StreamRead, StreamSelection, StreamState, SyncMode, TableRef,
    WriteMode,
};

use super::bins::{Window, grouped, overlay};
use super::classify::{Entries, Kind, Manner};
use super::columns::{self, Column, Sides};
use super::pass::{Known, Side, Totals, both, end_of, file_names};
use super::place;
use super::range;
use super::read::Rows;
use super::report::{Differences, Found, NAMED, Range, StreamReport, Verdict, WindowReport};
use crate::run::modes::Modes;
use crate::run::outlook::Outlook;
use crate::store::state::StateEntry;
use crate::summary::units::counted;

/// Rows of both sides that are looked at one by one, at most.
const LOOKED_AT: u64 = 100_000;
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
struct Plan {
    source: Arc<Side>,
    destination: Arc<Side>,
    manner: Manner,
    /// The axis's type.
    axis: Option<Logical>,
    shared: bool,
    rejects: bool,
}

/// Compares one stream. What goes wrong is in the report.
pub async fn compare(look: &Outlook, sessions: &Sessions<'_>, windows: usize) -> StreamReport {
    let started = Instant::now();
    let mut report = StreamReport::new(&look.selection.name);
    let mut done = match inner(look, sessions, windows, &mut report).await {
        Ok(()) => report,
        Err(error) => {
            report.verdict = Verdict::Failed;
            report.error = Some(error.record());
            report
        }
    };
    done.ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    done
}

async fn inner(
    look: &Outlook,
    sessions: &Sessions<'_>,
    windows: usize,
    report: &mut StreamReport,
) -> Result<()> {
    let Some(row) = &look.row else {
        let lost = matches!(look.entry, Some(StateEntry::Position { cursor: Some(_), .. }));
        report.why = Some(if lost {
            report.verdict = Verdict::Differs;
            "the destination has no state, although the config says how far it was loaded".to_owned()
        } else {
            "nothing was loaded yet".to_owned()
        });
        return Ok(());
    };
    report.table = Some(row.table.to_string());
    let (stream, modes) = match &look.found {
        Ok(found) => (&found.0, &found.1),
        Err(error) => return Err(crate::run::error_of(&error.record())),
    };
    if let Some(why) = incomparable(look, row, modes) {
        report.why = Some(why);
        return Ok(());
    }
    let Some(table) = table_of(&**sessions.mirror, &row.table).await? else {
        report.verdict = Verdict::Differs;
        report.why = Some(format!("table {} is gone from the destination", row.table));
        return Ok(());
    };
    let Some(plan) = plan(look, row, stream, modes, &table, sessions, report).await? else {
        return Ok(());
    };
    let (source, destination) = both(&plan.source, &plan.destination).await?;
    report.source = source.sums;
    report.destination = destination.sums;
    report.newer = source.newer;
    notes(&plan, &source, &destination, report);
    judge(&plan, &source, &destination, windows, report).await?;
    let unread = destination.rejected > 0 || (source.rejected > 0 && !plan.rejects);
    if unread {
        report.verdict = Verdict::Differs;
    }
    if report.differences.extra.rows > 0 && look.selection.filter.is_some() {
        report
            .notes
            .push("rows that left the stream's filter (where) stay at the destination too".to_owned());
    }
    if report.verdict == Verdict::Differs && modes.mode == SyncMode::FullRefresh {
        report
            .notes
            .push("what changed at the source since the last run differs until the next one".to_owned());
    }
    if report.verdict == Verdict::Differs && moved(row, &**sessions.destination).await {
        report.notes.push("a run has loaded into it meanwhile: verify it again".to_owned());
    }
    Ok(())
}

/// Why the two sides of a stream are not meant to be equal.
fn incomparable(look: &Outlook, row: &StateRow, modes: &Modes) -> Option<String> {
    if look.fingerprint.as_deref().is_some_and(|now| now != row.fingerprint) {
        return Some(
            "its source, cursor, key, filter or mode is another one than when it was loaded".to_owned(),
        );
    }
    if look.record.is_none() {
        return Some(format!("table {} has no record of its columns", row.table));
    }
    if modes.mode == SyncMode::FullRefresh && modes.write == WriteMode::Append {
        return Some("every run adds all of its rows once more (full_refresh, append)".to_owned());
    }
    None
}

/// The table as its system describes it.
async fn table_of(mirror: &dyn Source, table: &TableRef) -> Result<Option<CatalogStream>> {
    let found = |catalog: waybill_protocol::Catalog| {
        let fits = |stream: &CatalogStream| {
            stream.table == table.name && (table.namespace.is_none() || stream.namespace == table.namespace)
        };
        let mut streams: Vec<CatalogStream> = catalog.streams.into_iter().filter(fits).collect();
        // Without a namespace on record the table is in the system's default one.
        streams.sort_by_key(|stream| stream.namespace.as_deref().is_some_and(|name| name != "public"));
        streams.into_iter().next()
    };
    let named = |name: String| [StreamSelection::named(name)];
    let exact =
        mirror.discover(&named(table.to_string())).await.map_err(|e| e.origin(Origin::Destination))?;
    if let Some(stream) = found(exact) {
        return Ok(Some(stream));
    }
    if table.namespace.is_some() {
        return Ok(None);
    }
    let any = named(format!("*.{}", waybill_protocol::catalog::quote_part(&table.name)));
    mirror.discover(&any).await.map(found).map_err(|e| e.origin(Origin::Destination))
}

async fn plan(
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
        selection: StreamSelection { schema_policy: SchemaPolicy::Ignore, ..selection.clone() },
        stream: selection.name.clone(),
        source: (stream.namespace.clone(), stream.table.clone()),
        schema: Arc::new(Schema::new(fields)),
        primary_key: modes.key.clone(),
        reading: Reading::Full,
        ordered: false,
        from: None,
        to: None,
        limit: None,
        staged: true,
    })
}

fn read_table(table: &CatalogStream, columns: &[Column]) -> StreamRead {
    let field = |column: &Column| column.compared.field(&column.table, true, &column.native);
    StreamRead {
        selection: StreamSelection {
            schema_policy: SchemaPolicy::Ignore,
            ..StreamSelection::named(table.name.as_str())
        },
        stream: table.name.clone(),
        source: (table.namespace.clone(), table.table.clone()),
        schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
        primary_key: Vec::new(),
        reading: Reading::Full,
        ordered: false,
        from: None,
        to: None,
        limit: None,
        staged: true,
    }
}

fn notes(plan: &Plan, source: &Totals, destination: &Totals, report: &mut StreamReport) {
    if source.rejected > 0 {
        let loaded =
            if plan.rejects { "left out, as on_bad_row says" } else { "they cannot have been loaded" };
        let rows = counted(source.rejected, "row");
        report.notes.push(format!("{rows} of the source cannot be read as the table's types: {loaded}"));
    }
    if destination.rejected > 0 {
        let rows = counted(destination.rejected, "row");
        report.notes.push(format!("{rows} of the table cannot be read as the types on record"));
    }
    if source.left_out > 0 {
        let rows = counted(source.left_out, "row");
        report.notes.push(format!("{rows} of the source have no cursor or no key (NULL), and were left out"));
    }
    if plan.shared {
        report.notes.push(
            "other connections load into the table too: rows that only it has are not counted".to_owned(),
        );
    }
}

/// Looks at what differs, and says what that means.
async fn judge(
    plan: &Plan,
    source: &Totals,
    destination: &Totals,
    windows: usize,
    report: &mut StreamReport,
) -> Result<()> {
    let names = file_names(source, destination);
    let mut entries = Entries::new();
    report.differences.complete = true;
    report.verdict = Verdict::Equal;
    let mut found = Vec::new();
    if source.sums != destination.sums {
        let (chosen, all) = source.buckets.differing(&destination.buckets, LOOKED_AT);
        let at_source = |e: Error| e.origin(Origin::Source);
        let at_destination = |e: Error| e.origin(Origin::Destination);
        plan.source.collect(&chosen, &names, true, &mut entries).await.map_err(at_source)?;
        plan.destination.collect(&chosen, &names, false, &mut entries).await.map_err(at_destination)?;
        found = differences(plan, &entries, &mut report.differences);
        report.differences.complete = all;
        let wrong = |found: &Found| found.rows > 0;
        let d = &report.differences;
        let differs = wrong(&d.missing) || wrong(&d.different) || wrong(&d.extra);
        if differs || !all && !plan.shared {
            report.verdict = Verdict::Differs;
        } else if found.is_empty() && !plan.shared {
            report.notes.push(
                "it differed at first and no longer when looked at again: it changed meanwhile".to_owned(),
            );
        }
    }
    report.windows = if names.is_empty() {
        let axis = plan.axis.unwrap_or(Logical::Int64);
        let cut = grouped(overlay(&source.bins, &destination.bins), windows);
        let mut reports: Vec<WindowReport> =
            cut.iter().map(|w| by_place(w, axis, plan, &found, report)).collect();
        let (a, b) = (source.bins.nowhere, destination.bins.nowhere);
        if a.rows + b.rows > 0 {
            let label = if plan.axis.is_some() { "NULL" } else { "all rows" };
            reports.push(window(
                (label.to_owned(), String::new()),
                a,
                b,
                &|place| place.is_none(),
                plan,
                &found,
                report,
                &|_| String::new(),
            ));
        }
        reports
    } else {
        let file = |(at, name): (usize, &String)| {
            let sums = |totals: &Totals| totals.files.get(name).copied().unwrap_or_default();
            let here = |place: Option<u128>| place == Some(at as u128);
            let label = (name.clone(), String::new());
            window(label, sums(source), sums(destination), &here, plan, &found, report, &|_| String::new())
        };
        names.iter().enumerate().map(file).collect()
    };
    Ok(())
}

fn differences(plan: &Plan, entries: &Entries, all: &mut Differences) -> Vec<(Kind, Option<u128>)> {
    let mut found = Vec::new();
    let mut sorted: Vec<_> =
        entries.values().filter(|entry| !entry.differences(plan.manner).is_empty()).collect();
    sorted.sort_by(|a, b| natural(&a.name, &b.name));
    for entry in sorted {
        for (kind, place) in entry.differences(plan.manner) {
            if plan.shared && kind == Kind::Extra {
                continue;
            }
            let into = match kind {
                Kind::Missing => &mut all.missing,
                Kind::Extra => &mut all.extra,
                Kind::Different => &mut all.different,
                Kind::Waiting => &mut all.waiting,
                Kind::Older => &mut all.older,
            };
            into.rows += 1;
            if !entry.name.is_empty() && into.keys.len() < NAMED {
                into.keys.push(entry.name.clone());
            }
            found.push((kind, place));
        }
    }
    found
}

/// Shorter names first, so that numbers stand in their order.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    (a.len(), a).cmp(&(b.len(), b))
}

fn by_place(
    cut: &Window,
    axis: Logical,
    plan: &Plan,
    found: &[(Kind, Option<u128>)],
    report: &StreamReport,
) -> WindowReport {
    let inside = |place: Option<u128>| place.is_some_and(|p| cut.seen.0 <= p && p <= cut.seen.1);
    let label = |p: u128| place::label(p, axis);
    let ends = (label(cut.seen.0), label(cut.seen.1));
    window(ends, cut.source, cut.destination, &inside, plan, found, report, &label)
}

#[allow(clippy::too_many_arguments, reason = "one window of three kinds")]
fn window(
    (from, to): (String, String),
    source: super::sums::Sums,
    destination: super::sums::Sums,
    inside: &dyn Fn(Option<u128>) -> bool,
    plan: &Plan,
    found: &[(Kind, Option<u128>)],
    report: &StreamReport,
    label: &dyn Fn(u128) -> String,
) -> WindowReport {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut seen: Option<(u128, u128)> = None;
    let mut wrong = false;
    for (kind, place) in found.iter().filter(|(_, place)| inside(*place)) {
        let word = match kind {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Different => "different",
            Kind::Waiting => "waiting",
            Kind::Older => "older",
        };
        *counts.entry(word).or_default() += 1;
        if matches!(kind, Kind::Missing | Kind::Extra | Kind::Different) {
            wrong = true;
            if let Some(place) = place {
                seen = Some(seen.map_or((*place, *place), |(a, b)| (a.min(*place), b.max(*place))));
            }
        }
    }
    let narrowed = seen.map(|(a, b)| (label(a), label(b))).filter(|(a, _)| !a.is_empty());
    let unknown = source != destination && !report.differences.complete && !plan.shared;
    WindowReport { from, to, source, destination, differs: wrong || unknown, found: counts, narrowed }
}

/// Whether a run has committed since the comparison began.
async fn moved(row: &StateRow, destination: &dyn Destination) -> bool {
    let Ok(states) = destination.states().await else { return false };
    states.iter().find(|now| now.scope == row.scope).is_none_or(|now| now.commit_id != row.commit_id)
}
