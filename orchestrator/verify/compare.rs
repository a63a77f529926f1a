//! The comparison of one stream: what can be compared, the two passes, and what they mean.

use std::time::Instant;

use waybill_protocol::{
    CatalogStream, Destination, Origin, Result, Source, StateRow, StreamSelection, SyncMode, TableRef,
    WriteMode,
};

use super::findings::judge;
use super::pass::{Totals, both};
use super::prepare::{Plan, Sessions, plan};
use super::report::{StreamReport, Verdict};
use crate::run::modes::Modes;
use crate::run::outlook::Outlook;
use crate::store::state::StateEntry;
use crate::summary::units::counted;

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

/// Whether a run has committed since the comparison began.
async fn moved(row: &StateRow, destination: &dyn Destination) -> bool {
    let Ok(states) = destination.states().await else { return false };
    states.iter().find(|now| now.scope == row.scope).is_none_or(|now| now.commit_id != row.commit_id)
}
