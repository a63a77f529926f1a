//! Planning: from selections, catalog, records and states to jobs that can be loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use waybill_protocol::state::CARRIED_LIMIT;
use waybill_protocol::{
    Body, Capabilities, CatalogStream, Disposition, Error, Kind, Level, OnExisting, Origin, Reading, Result,
    StateRow, StreamLoad, StreamRead, StreamSelection, SyncMode, TableRecord, TableRef, WriteMode,
};

use super::Run;
use super::agreement::agree;
use super::columns::{self, Columns};
use super::evolve;
use super::job::{Ended, Held, Live, Settled, StreamJob};
use super::matching::{Match, fits};
use super::modes::{Modes, check_key, modes};
use super::naming::{self, Wanted};
use super::reconcile::{Decision, FingerprintOf, Known, Start, fingerprint, reconcile};
use super::window::Window;
use crate::store::state::StateEntry;

/// What the destination holds of a connection before the run.
pub struct Holdings {
    /// State rows by scope.
    pub states: BTreeMap<String, StateRow>,
    /// Tables on record, of every connection.
    pub tables: Vec<TableRecord>,
}

/// Makes a job of every match. One that cannot be loaded is a job that has failed already.
pub async fn jobs(run: &Run, matches: Vec<Match>, holdings: &Holdings) -> Vec<Arc<StreamJob>> {
    let tables = tables_of(&run.connection_id, &run.can, &matches, holdings);
    let mut jobs = Vec::new();
    for (selection, found) in matches {
        let name = selection.name.clone();
        let job = match found.and_then(|stream| alone(run, &name, &tables, holdings).map(|()| stream)) {
            Ok(stream) => {
                let table = tables.get(&name).cloned();
                settle(run, selection.clone(), stream, table, holdings).await
            }
            Err(error) => Err(error),
        };
        jobs.push(match job {
            Ok(job) => job,
            Err(error) => failed(run, selection, &error.stream(name)),
        });
    }
    jobs
}

/// Refuses a table that another stream of this connection loads.
fn alone(run: &Run, name: &str, tables: &BTreeMap<String, TableRef>, holdings: &Holdings) -> Result<()> {
    let Some(table) = tables.get(name) else { return Ok(()) };
    let selected =
        |stream: &str| run.selected.iter().any(|s| s == stream || (s.contains('*') && fits(s, stream)));
    let now =
        tables.iter().find(|(stream, other)| *stream != name && *other == table).map(|(stream, _)| stream);
    let before = holdings.tables.iter().find(|record| {
        record.connection_id == run.connection_id
            && record.stream != name
            && record.table == *table
            && selected(&record.stream)
    });
    match now.or(before.map(|record| &record.stream)) {
        None => Ok(()),
        Some(other) => {
            Err(Error::config(format!("table {table} is loaded by stream {other:?} of this connection"))
                .hint(format!("give stream {name:?} a table of its own")))
        }
    }
}

fn failed(run: &Run, selection: StreamSelection, error: &Error) -> Arc<StreamJob> {
    let name = selection.name.clone();
    let table = TableRef { namespace: None, name: selection.table.clone().unwrap_or_else(|| name.clone()) };
    let columns = Columns {
        read: Arc::new(arrow_schema::Schema::empty()),
        load: Arc::new(arrow_schema::Schema::empty()),
        record: Vec::new(),
        changes: Vec::new(),
    };
    let write = selection.write.unwrap_or_default();
    let modes = Modes {
        mode: selection.mode,
        write,
        cursor: None,
        key: Vec::new(),
        files: false,
        from: None,
        to: None,
    };
    let undecided = Decision::new("none", Start::First, "");
    let settled = settled(run, &selection, &modes, String::new(), &undecided, None);
    let load = load_of(run, &selection, &modes, table, &columns, Disposition::Direct);
    let read = read_of(selection, (None, name), &columns, &modes, false, run, false);
    let live = Live::new(read, load, Held::default());
    let events = run.events.for_stream(&settled.name);
    let job = Arc::new(StreamJob::new(settled, live, events));
    job.start();
    job.finish(Ended::Failed(Box::new(error.record())));
    job
}

/// The table of every stream: the one on record, or a new name.
pub(super) fn tables_of(
    connection_id: &str,
    can: &Capabilities,
    matches: &[Match],
    holdings: &Holdings,
) -> BTreeMap<String, TableRef> {
    let mut tables = BTreeMap::new();
    let mut wanted = Vec::new();
    for (selection, found) in matches {
        let Ok(stream) = found else { continue };
        let recorded = record_of(connection_id, &selection.name, holdings);
        let fixed = recorded.filter(|record| {
            // A name given by hand wins over the record of another table.
            selection.table.as_ref().is_none_or(|table| table.contains('{') || *table == record.table.name)
        });
        match fixed {
            Some(record) => drop(tables.insert(selection.name.clone(), record.table.clone())),
            None => wanted.push(Wanted {
                stream: selection.name.clone(),
                namespace: stream.namespace.clone(),
                name: if stream.namespace.is_some() { stream.table.clone() } else { selection.name.clone() },
                schema: selection.schema.clone(),
                table: selection.table.clone(),
            }),
        }
    }
    let taken: Vec<TableRef> = holdings
        .tables
        .iter()
        .filter(|record| record.connection_id == connection_id)
        .map(|record| record.table.clone())
        .filter(|table| !wanted.iter().any(|w| w.table.as_ref() == Some(&table.name)))
        .collect();
    tables.extend(naming::tables(&wanted, &taken, can));
    tables
}

/// The table on record for a stream of a connection.
pub(super) fn record_of<'a>(
    connection_id: &str,
    stream: &str,
    holdings: &'a Holdings,
) -> Option<&'a TableRecord> {
    holdings.tables.iter().find(|r| r.connection_id == connection_id && r.stream == stream)
}

async fn settle(
    run: &Run,
    selection: StreamSelection,
    stream: CatalogStream,
    table: Option<TableRef>,
    holdings: &Holdings,
) -> Result<Arc<StreamJob>> {
    let scope = waybill_protocol::Scope::Stream(selection.name.clone()).to_string();
    let row = holdings.states.get(&scope);
    let modes = modes(&selection, &stream, &run.options, row.map_or(0, |row| row.rows))?;
    let table = table.ok_or_else(|| Error::internal("a stream without a table"))?;
    let print = print_of(&run.identity, &selection, &modes);
    let grounds = Grounds {
        connection: &run.connection,
        options: &run.options,
        destination: &*run.destination,
        entry: run.state.get(&selection.name),
    };
    let decision = asked(run, || decide(&grounds, &selection, &modes, row, &table, &print)).await?;
    let replace = decision.start == Start::Rebuild || modes.write == WriteMode::Overwrite;
    let recorded =
        record_of(&run.connection_id, &selection.name, holdings).filter(|record| record.table == table);
    let recorded = recorded.map_or(&[][..], |record| record.columns.as_slice());
    let columns = columns::decide(&selection, &stream.schema, recorded, replace, &modes.key, &run.can)?;
    check_key(&modes.key, &columns)?;
    let disposition = if replace { Disposition::Replace } else { Disposition::Direct };
    let mut load = load_of(run, &selection, &modes, table, &columns, disposition);
    let mut held = held_at(&decision, row, replace);
    fill(run, &selection, &modes, &columns, (&decision, row), &mut held).await?;
    let settled = settled(run, &selection, &modes, print, &decision, row);
    let ordered = stream.cursors.iter().any(|c| c.indexed && selection.cursor.as_ref() == Some(&c.column));
    let origin = (stream.namespace.clone(), stream.table.clone());
    load.distinct = stream.distinct && !load.key.is_empty() && stream.primary_key == modes.key;
    let mut read = read_of(selection, origin, &columns, &modes, ordered, run, replace);
    agree(run, &mut read, &mut load, &held).await?;
    let live = Live::new(read, load, held);
    let name = settled.name.clone();
    say(&run.events.for_stream(&name), &decision, row, modes.mode);
    let job = StreamJob::new(settled, live, run.read_events.for_stream(&name));
    evolve::verdicts(run, &job, &columns.load)?;
    evolve::say(&job, columns.changes);
    Ok(Arc::new(job))
}

fn say(events: &waybill_protocol::Events, decision: &Decision, row: Option<&StateRow>, mode: SyncMode) {
    let before = row.filter(|_| mode == SyncMode::Incremental).map(|row| row.value.clone());
    let body = Body::StateReconciled {
        rule: decision.rule.to_owned(),
        decision: match decision.start {
            Start::First => "first",
            Start::Continue(_) => "continue",
            Start::Rebuild => "rebuild",
        }
        .to_owned(),
        before,
    };
    let level = if decision.warn { Level::Warn } else { Level::Info };
    events.emit(level, body, decision.words.clone(), None);
}

/// What the state of a stream belongs to.
pub(super) fn print_of(identity: &str, selection: &StreamSelection, modes: &Modes) -> String {
    fingerprint(&FingerprintOf {
        source: identity,
        stream: &selection.name,
        query: selection.query.as_deref(),
        filter: selection.filter.as_deref(),
        cursor: modes.cursor.as_ref().map(|(name, logical)| (name.as_str(), *logical)),
        mode: modes.mode.to_string(),
        write: modes.write.to_string(),
        key: &modes.key,
    })
}

/// What a decision about a stream's start rests on, beside the stream itself.
pub(super) struct Grounds<'a> {
    /// The connection's name.
    pub connection: &'a str,
    /// What the caller asks of the run.
    pub options: &'a super::Options,
    /// Asked whether the table is gone or empty.
    pub destination: &'a dyn waybill_protocol::Destination,
    /// The config's entry.
    pub entry: Option<&'a StateEntry>,
}

/// Where a stream starts from, and why.
pub(super) async fn decide(
    grounds: &Grounds<'_>,
    selection: &StreamSelection,
    modes: &Modes,
    row: Option<&StateRow>,
    table: &TableRef,
    print: &str,
) -> Result<Decision> {
    let (entry, options) = (grounds.entry, grounds.options);
    let bounded = options.limit.is_some() || options.from.is_some() || options.to.is_some();
    if modes.mode == SyncMode::FullRefresh {
        let words = match modes.write {
            WriteMode::Overwrite => "full refresh: reads everything and replaces the table",
            _ => "full refresh: reads everything",
        };
        return Ok(Decision::new("none", Start::First, words));
    }
    if options.full_refresh {
        if bounded {
            return Err(Error::config(
                "--full-refresh cannot be combined with --limit, --from or --to on an incremental stream",
            ));
        }
        let words = "--full-refresh: reads everything again into staging, then swaps";
        let decision = Decision::new("none", Start::Rebuild, words);
        return Ok(Decision { based_on: super::reconcile::base(entry), ..decision });
    }
    let table_empty = match row {
        Some(row) if row.rows > 0 => grounds.destination.inspect(table).await?.is_none_or(|info| info.empty),
        _ => true,
    };
    let decision = reconcile(&Known {
        connection: grounds.connection,
        stream: &selection.name,
        entry,
        row,
        fingerprint: print,
        table,
        table_empty,
        on_empty: selection.on_empty,
        cursor: modes.cursor.as_ref().map(|(_, logical)| *logical),
        append: modes.write == WriteMode::Append,
    })?;
    if bounded && matches!(decision.rule, "1" | "6") {
        return Err(Error::config(format!(
            "stream {:?}: the config has an instruction or an edit of its state that is still to be followed",
            selection.name
        ))
        .hint("run once without --from, --to and --limit"));
    }
    Ok(decision)
}

fn held_at(decision: &Decision, row: Option<&StateRow>, replace: bool) -> Held {
    let rows = if replace || decision.emptied { 0 } else { row.map_or(0, |row| row.rows) };
    let state = match &decision.start {
        Start::Continue(state) if !replace => Some((**state).clone()),
        _ => None,
    };
    Held { state, rows, ..Held::default() }
}

/// An answer of the destination, asked for again while a passing fault is in the way.
async fn asked<T, F: Future<Output = Result<T>>>(run: &Run, question: impl Fn() -> F) -> Result<T> {
    run.policy.steadily(&run.events, &run.stop, question).await
}

/// Loads the window of an append by cursor and the ledger of files.
async fn fill(
    run: &Run,
    selection: &StreamSelection,
    modes: &Modes,
    columns: &Columns,
    (decision, row): (&Decision, Option<&StateRow>),
    held: &mut Held,
) -> Result<()> {
    let continues = matches!(decision.start, Start::Continue(_)) && held.state.is_some();
    if modes.files && modes.mode == SyncMode::Incremental && continues {
        held.parts = asked(run, || run.destination.parts(&selection.name)).await?;
    }
    if let Some((cursor, _)) = &modes.cursor
        && modes.mode == SyncMode::Incremental
        && modes.write == WriteMode::Append
    {
        let mut window = Window::new(&modes.key, cursor, &columns.read)?;
        // A start that a person set has no known rows; what the destination holds is cleared then.
        let stored = held.state.as_ref().and_then(|state| state.window.clone()).filter(|_| continues);
        if let Some(stored) = stored {
            let entries = asked(run, || run.destination.window(&selection.name)).await?;
            let filled = window.fill(entries, &stored, &selection.name);
            if filled.is_err() {
                not_overtaken(run, &selection.name, row).await?;
            }
            match filled {
                Err(error) if decision.rule == "1" => {
                    let message =
                        format!("{error}; accepted all the same: rows at the border may come again");
                    let body = Body::Runtime { detail: serde_json::Value::Null };
                    run.events.for_stream(&selection.name).warn(body, message);
                    window = Window::new(&modes.key, cursor, &columns.read)?;
                }
                filled => filled?,
            }
        }
        held.window = Some(window);
    }
    Ok(())
}

/// The window is read after the state. Where they do not fit, a commit of another run may have come
/// between the two: then nobody has changed anything by hand.
async fn not_overtaken(run: &Run, stream: &str, row: Option<&StateRow>) -> Result<()> {
    let scope = waybill_protocol::Scope::Stream(stream.to_owned()).to_string();
    let now = asked(run, || run.destination.states()).await?.into_iter().find(|row| row.scope == scope);
    if now.as_ref().map(|row| &row.commit_id) == row.map(|row| &row.commit_id) {
        return Ok(());
    }
    let who = now.map_or_else(|| "another run".to_owned(), |row| format!("run {}", row.run_id));
    Err(Error::new(Kind::Locked, format!("{who} of this connection has loaded stream {stream} meanwhile"))
        .origin(Origin::Destination)
        .stream(stream)
        .hint("look who else runs this connection, on another host or from another copy of the project"))
}

fn settled(
    run: &Run,
    selection: &StreamSelection,
    modes: &Modes,
    fingerprint: String,
    decision: &Decision,
    row: Option<&StateRow>,
) -> Settled {
    let options = &run.options;
    Settled {
        name: selection.name.clone(),
        selection: selection.clone(),
        mode: modes.mode,
        write: modes.write,
        cursor: modes.cursor.clone().filter(|_| modes.mode == SyncMode::Incremental),
        key: modes.key.clone(),
        fingerprint,
        based_on: decision.based_on.clone(),
        carried: carried(decision, run.state.get(&selection.name), row),
        moves_state: options.limit.is_none() && options.from.is_none() && options.to.is_none(),
        rows_before: row.map_or(0, |row| row.rows),
        commit_before: row.map(|row| row.commit_id.clone()),
        expected: (None, None),
    }
}

/// The instructions that were carried out once this run has committed, newest last. An old config
/// may bring any of them back, and none is carried out twice.
fn carried(decision: &Decision, entry: Option<&StateEntry>, row: Option<&StateRow>) -> Vec<String> {
    let mut carried = row.map(StateRow::carried).unwrap_or_default();
    if let Some(nonce) = entry.and_then(StateEntry::nonce)
        && decision.based_on.as_deref() == Some(nonce)
        && !carried.iter().any(|known| known == nonce)
    {
        carried.push(nonce.to_owned());
    }
    carried.split_off(carried.len().saturating_sub(CARRIED_LIMIT))
}

fn load_of(
    run: &Run,
    selection: &StreamSelection,
    modes: &Modes,
    table: TableRef,
    columns: &Columns,
    disposition: Disposition,
) -> StreamLoad {
    let name_of = |source: &String| {
        columns.record.iter().find(|c| c.source == *source).map_or_else(|| source.clone(), |c| c.name.clone())
    };
    // An append may bring a key again, so its table has no key to violate.
    let key =
        if modes.write == WriteMode::Append { Vec::new() } else { modes.key.iter().map(name_of).collect() };
    let record = TableRecord {
        connection_id: run.connection_id.clone(),
        stream: selection.name.clone(),
        table: table.clone(),
        columns: columns.record.clone(),
    };
    StreamLoad {
        stream: selection.name.clone(),
        table,
        schema: Arc::clone(&columns.load),
        record,
        key,
        cursor: modes
            .cursor
            .as_ref()
            .map(|(cursor, _)| name_of(cursor))
            .filter(|name| columns.load.field_with_name(name).is_ok()),
        upsert: modes.write == WriteMode::Merge,
        disposition,
        adopt: selection.on_existing == OnExisting::Adopt,
        shared: selection.shared,
        metadata: selection.metadata,
        distinct: false,
        wire: None,
    }
}

fn read_of(
    selection: StreamSelection,
    source: (Option<String>, String),
    columns: &Columns,
    modes: &Modes,
    ordered: bool,
    run: &Run,
    staged: bool,
) -> Arc<StreamRead> {
    let reading = match (&modes.cursor, modes.mode) {
        (Some((column, logical)), SyncMode::Incremental) => {
            Reading::Cursor { column: column.clone(), logical: *logical }
        }
        (None, SyncMode::Incremental) => Reading::Files,
        _ => Reading::Full,
    };
    Arc::new(StreamRead {
        stream: selection.name.clone(),
        source,
        schema: Arc::clone(&columns.read),
        primary_key: modes.key.clone(),
        ordered: ordered && matches!(reading, Reading::Cursor { .. }) && !staged,
        reading,
        from: modes.from.clone(),
        to: modes.to.clone(),
        limit: run.options.limit,
        staged,
        parts: if staged && run.can.parallel_slices { run.parallelism } else { 1 },
        wire: None,
        selection,
    })
}
