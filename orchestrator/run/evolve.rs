//! Columns that are not what was stored: what the stream's policy makes of them.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use waybill_protocol::column::{COMMENT_KEY, POSTGRES_KEY, hand_on, said, saying};
use waybill_protocol::event::ColumnChange;
use waybill_protocol::{
    Body, ColumnRecord, Error, Fidelity, IN_WINDOW_COLUMN, Kind, Level, Logical, NATIVE_KEY, Origin, Result,
    SchemaPolicy, StreamRead, Verdict,
};

use super::conform::Conform;
use super::job::StreamJob;
use super::{Run, columns, modes, naming};

/// Whether a table takes what a source sends.
pub enum Fit {
    /// It does, by this.
    Takes(Conform),
    /// The load was widened; the attempt starts again.
    Widened,
}

/// Compares the columns that a source sends with the load, and widens it where the policy allows.
pub fn fit(run: &Run, job: &StreamJob, sent: &SchemaRef) -> Result<Fit> {
    let (load, read) = {
        let live = job.live();
        (live.load.clone(), Arc::clone(&live.read))
    };
    let record = load.record.columns.clone();
    let name_of = |source: &str| record.iter().find(|c| c.source == source).map(|c| c.name.clone());
    let asked = |source: &str| read.schema.field_with_name(source).is_ok();
    let extra: Vec<&Arc<Field>> =
        sent.fields().iter().filter(|f| f.name() != IN_WINDOW_COLUMN && !asked(f.name())).collect();
    let misfit = match Conform::new(sent, &name_of, &load.schema)? {
        Ok(_) if !extra.is_empty() && job.selection.schema_policy == SchemaPolicy::Freeze => {
            let names: Vec<&str> = extra.iter().map(|f| f.name().as_str()).collect();
            return Err(Error::new(
                Kind::Schema,
                format!("columns came although they are frozen: {}", names.join(", ")),
            )
            .stream(&job.name)
            .hint("set schema_policy: evolve (or ignore)"));
        }
        Ok(conform) if extra.is_empty() || !job.evolves() => return Ok(Fit::Takes(conform)),
        Ok(_) => None,
        Err(column) => Some(column),
    };
    if let Some(column) = &misfit
        && !sent.fields().iter().any(|f| name_of(f.name()).as_ref() == Some(column))
    {
        return Err(Error::new(Kind::Schema, format!("column {column:?} is gone since it was discovered"))
            .stream(&job.name)
            .retry(true)
            .hint("somebody changed the source while it was read: the next attempt looks again"));
    }
    if !job.evolves() {
        let column = misfit.unwrap_or_default();
        return Err(Error::new(
            Kind::Schema,
            format!("the values of column {column:?} no longer fit its type"),
        )
        .stream(&job.name)
        .hint("set schema_policy: evolve to widen it, or declare the column's type"));
    }
    widen(run, job, sent, &extra)?;
    Ok(Fit::Widened)
}

/// Widens the load and the read to take what is sent.
fn widen(run: &Run, job: &StreamJob, sent: &Schema, extra: &[&Arc<Field>]) -> Result<()> {
    let mut live = job.live();
    let mut changes = Vec::new();
    let mut record = live.load.record.clone();
    let (mut reads, mut loads) = (Vec::new(), Vec::new());
    for (asked, target) in live.read.schema.fields().iter().zip(live.load.schema.fields()) {
        let now = Logical::of(target)?;
        let came = sent.field_with_name(asked.name()).ok().map(Logical::of).transpose()?.unwrap_or(now);
        let wide = came.widen(now);
        // What Postgres says of a type holds for each of its values, in whatever form it comes.
        let own = target.metadata().contains_key(POSTGRES_KEY);
        let native = if wide == now || own { native_of(target) } else { String::new() };
        if wide != now {
            changes.push(change(asked.name(), Some(now), Some(wide)));
            for column in record.columns.iter_mut().filter(|c| c.name == *target.name()) {
                column.logical = wide.to_string();
            }
        }
        reads.push(wide.field(asked.name(), asked.is_nullable(), &native_of(asked)));
        loads.push(hand_on(target, wide.field(target.name(), target.is_nullable(), &native)));
    }
    let wanted: Vec<String> = extra.iter().map(|f| f.name().clone()).collect();
    let names = naming::columns(&wanted, &record.columns, &run.can);
    for (field, name) in extra.iter().zip(names) {
        let logical = Logical::of(field)?;
        changes.push(change(field.name(), None, Some(logical)));
        if !record.columns.iter().any(|c| c.source == *field.name()) {
            record.columns.push(ColumnRecord::new(field.name(), &name, &logical.to_string()));
        }
        reads.push(logical.field(field.name(), true, &native_of(field)));
        let load = logical.field(&name, true, &native_of(field));
        loads.push(saying(load, COMMENT_KEY, said(field, COMMENT_KEY)));
    }
    let read_schema = Schema::new(reads);
    if let (Some(window), Some((cursor, _)), false) =
        (&live.held.window, &job.cursor, super::staged(&live.load))
    {
        let window = window.relabelled(&job.key, cursor, &read_schema).map_err(|e| e.stream(&job.name))?;
        live.held.window = Some(window);
    }
    live.read = Arc::new(StreamRead { schema: Arc::new(read_schema), ..(*live.read).clone() });
    let metadata = live.load.schema.metadata().clone();
    live.load.schema = Arc::new(Schema::new_with_metadata(loads, metadata));
    live.load.record = record;
    live.decode();
    let schema = Arc::clone(&live.load.schema);
    drop(live);
    verdicts(run, job, &schema)?;
    say(job, changes);
    Ok(())
}

/// Looks at the source's columns again, after they changed under a read, and decides about them anew.
pub async fn look_again(run: &Run, job: &StreamJob) -> Result<()> {
    let again = |what: String| {
        Error::new(Kind::Schema, what)
            .stream(&job.name)
            .origin(Origin::Source)
            .hint("run again: a run looks at its beginning")
    };
    let found = run.source.discover(std::slice::from_ref(&job.selection)).await;
    let found = found.map_err(|e| e.origin(Origin::Source))?.streams.into_iter().find(|s| s.name == job.name);
    let found = found.ok_or_else(|| again("the stream is gone since it was discovered".to_owned()))?;
    if job.selection.primary_key.is_none() && found.primary_key != job.key {
        return Err(again("the primary key changed while the stream was read".to_owned()));
    }
    if let Some((name, logical)) = &job.cursor {
        let now = found.schema.field_with_name(name).ok().map(Logical::of).transpose()?;
        if now != Some(*logical) {
            return Err(again(format!("the cursor {name:?} changed while the stream was read")));
        }
    }
    let (recorded, fresh) = {
        let live = job.live();
        (live.load.record.columns.clone(), super::staged(&live.load))
    };
    let columns = columns::decide(&job.selection, &found.schema, &recorded, fresh, &job.key, &run.can)
        .map_err(|e| e.stream(&job.name))?;
    modes::check_key(&job.key, &columns).map_err(|e| e.stream(&job.name))?;
    verdicts(run, job, &columns.load)?;
    {
        let mut live = job.live();
        if let (Some(window), Some((cursor, _)), false) =
            (&live.held.window, &job.cursor, super::staged(&live.load))
        {
            let window =
                window.relabelled(&job.key, cursor, &columns.read).map_err(|e| e.stream(&job.name))?;
            live.held.window = Some(window);
        }
        live.read = Arc::new(StreamRead { schema: columns.read, ..(*live.read).clone() });
        live.load.schema = columns.load;
        live.load.record.columns = columns.record;
        live.decode();
    }
    say(job, columns.changes);
    Ok(())
}

/// Refuses columns that the destination cannot hold, unless the stream allows it.
pub fn verdicts(run: &Run, job: &StreamJob, schema: &Schema) -> Result<Vec<Verdict>> {
    let verdicts: Vec<Verdict> = schema.fields().iter().map(|f| run.destination.verdict(f)).collect();
    let allowed = |name: &str| job.selection.allow_lossy.iter().any(|a| a == "*" || a == name);
    let lossy = schema.fields().iter().zip(&verdicts);
    let mut lossy = lossy.filter(|(f, v)| v.fidelity == Fidelity::Lossy && !allowed(f.name()));
    match lossy.next() {
        None => Ok(verdicts),
        Some((field, verdict)) => Err(Error::new(
            Kind::Schema,
            format!(
                "column {:?} cannot be kept exactly as {}: {}",
                field.name(),
                verdict.native,
                verdict.note
            ),
        )
        .stream(&job.name)
        .hint(format!("leave the column out, or set allow_lossy: [{:?}]", field.name()))),
    }
}

/// The event of a changed schema.
pub fn say(job: &StreamJob, changes: Vec<ColumnChange>) {
    if changes.is_empty() {
        return;
    }
    let policy = policy_word(job.selection.schema_policy);
    let words: Vec<String> = changes
        .iter()
        .map(|c| match (&c.before, &c.after) {
            (None, Some(after)) => format!("{} is new ({after})", c.column),
            (Some(before), Some(after)) => format!("{} was {before}, now {after}", c.column),
            _ => format!("{} is gone", c.column),
        })
        .collect();
    let body = Body::SchemaChanged { policy: policy.to_owned(), changes };
    job.events.emit(Level::Warn, body, format!("columns changed: {} ({policy})", words.join(", ")), None);
}

/// The policy's word in the config.
pub fn policy_word(policy: SchemaPolicy) -> &'static str {
    match policy {
        SchemaPolicy::Evolve => "evolve",
        SchemaPolicy::Freeze => "freeze",
        SchemaPolicy::Ignore => "ignore",
    }
}

/// One line of a schema change.
pub fn change(column: &str, before: Option<Logical>, after: Option<Logical>) -> ColumnChange {
    ColumnChange {
        column: column.to_owned(),
        before: before.map(|l| l.to_string()),
        after: after.map(|l| l.to_string()),
    }
}

/// The source's own name of a field's type, empty where it has none.
pub fn native_of(field: &Field) -> String {
    field.metadata().get(NATIVE_KEY).cloned().unwrap_or_default()
}
