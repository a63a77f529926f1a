//! Making a table fit a load: ownership, creation, new columns, wider types, staging tables.

use waybill_protocol::{Disposition, Error, Kind, Logical, Origin, RUN_ID_COLUMN, Result, StreamLoad};

use super::bonds::{bonds, references};
use super::books::{ensure_schema, fence};
use super::columns::column_type;
use super::desk::{Desk, Staged};
use super::names::{Place, check, idents, lock_key};
use super::patience::{LOCK_TIMEOUT, NOT_AVAILABLE, Tries};
use super::pg_type::PgType;
use super::table::{self, Table};
use super::tx::{Args, Tx, state_of};
use super::{declare, evolve, ledger, records, run_id, wire};
use crate::postgres::encode::{ColumnPlan, Form};
use crate::postgres::sql::ident;

/// Where the rows of a load go, and how.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub place: Place,
    pub plan: Vec<ColumnPlan>,
    /// Whether the table is partitioned.
    pub partitioned: bool,
    /// Whether the table was made just now, without its key, which is built once the rows are there.
    pub keyless: bool,
}

/// Makes the table fit. Tried again while somebody else holds the table.
pub(super) async fn prepare(desk: &Desk, slice: &str, load: &StreamLoad) -> Result<Ready> {
    let unsure = |staged: &Staged| staged.loads.iter().any(|l| l.slice == slice && l.rows.is_none());
    if desk.staged(&load.stream).as_ref().is_some_and(unsure) {
        // A commit of this slice may still be under way; its rows are to be seen before they are removed.
        records::settled(desk).await?.rollback().await;
    }
    let mut tries = Tries::patient(&desk.server, format!("table {}", load.table));
    loop {
        match attempt(desk, slice, load).await {
            Err(error) if tries.again(&error).await => {}
            answer => {
                tries.over();
                return answer.map_err(|e| in_use(load, e).stream(&load.stream).origin(Origin::Destination));
            }
        }
    }
}

async fn attempt(desk: &Desk, slice: &str, load: &StreamLoad) -> Result<Ready> {
    let place = desk.place(&load.table);
    check("schema", &place.schema)?;
    check("table", &place.name)?;
    load.schema.fields().iter().try_for_each(|field| check("column", field.name()))?;
    let mut tx = Tx::begin(&desk.server).await?;
    fence(desk, &mut tx).await?;
    take_turn(&mut tx, &place).await?;
    ensure_schema(&mut tx, &place.schema).await?;
    let version = tx.server().facts().version;
    let existing = table::describe(&mut tx, &place).await?;
    if let Some(table) = &existing {
        may_change(desk, &mut tx, load, table).await?;
    }
    let ready = match load.disposition {
        Disposition::Direct => {
            let partitioned = existing.as_ref().is_some_and(|table| table.relkind == "p");
            // Who shares the table may merge into it meanwhile.
            let keyless = existing.is_none() && load.upsert && load.distinct && !load.shared;
            let types = match existing {
                None => {
                    let types = plain_types(load, version)?;
                    create(&mut tx, &place, load, &types, &[], keyless).await?;
                    types
                }
                Some(table) => evolve::evolve(&mut tx, &place, load, &table).await?,
            };
            ledger::record(desk, &mut tx, &load.record).await?;
            Ready { plan: plan(load, &types)?, place, partitioned, keyless }
        }
        Disposition::Replace => stage(desk, &mut tx, slice, load, &place, existing.as_ref()).await?,
        other => return Err(Error::internal(format!("a disposition that is not known: {other:?}"))),
    };
    wire::verify(load, &ready.plan)?;
    tx.commit().await?;
    Ok(ready)
}

/// One writer of a table at a time changes it; the table itself is waited for with a limit.
pub(super) async fn take_turn(tx: &mut Tx, place: &Place) -> Result<()> {
    let key = lock_key(&["waybill", "table", &place.schema, &place.name]);
    let what = format!("the preparation of {}", place.sql());
    tx.wait(&what, "SELECT pg_advisory_xact_lock($1)", Args::default().with(key)?).await?;
    tx.run(LOCK_TIMEOUT).await.map(drop)
}

/// The error for a table that others would not let go.
pub(super) fn in_use(load: &StreamLoad, error: Error) -> Error {
    match state_of(&error).as_str() {
        NOT_AVAILABLE => error
            .context(format!("table {} is in use by others", load.table))
            .hint("look in pg_stat_activity for a transaction that is left open on the table, and try again"),
        _ => error,
    }
}

/// Whether this connection may change a table that exists.
pub(super) async fn may_change(desk: &Desk, tx: &mut Tx, load: &StreamLoad, table: &Table) -> Result<()> {
    let name = &load.table;
    let refuse = |what: String, hint: &str| Err(Error::new(Kind::Permission, what).hint(hint));
    if !matches!(table.relkind.as_str(), "r" | "p") {
        let what = format!("{name} is a {}, which cannot be loaded this way", table.word());
        return Err(Error::new(Kind::Destination, what).hint("give the stream another `table`"));
    }
    let place = desk.place(name);
    let records = records::tables_in(desk, tx).await?;
    let owners: Vec<_> = records.iter().filter(|record| desk.place(&record.table) == place).collect();
    if owners.is_empty() && !load.adopt {
        return refuse(
            format!("table {name} exists, and Waybill did not create it"),
            "set `on_existing: adopt` for the stream to take it over, or give it another `table`",
        );
    }
    let other = owners.iter().find(|record| record.connection_id != desk.connection_id());
    if let Some(other) = other.filter(|_| !load.shared || load.disposition == Disposition::Replace) {
        return refuse(
            format!(
                "table {name} belongs to another connection (id {}, stream {})",
                other.connection_id, other.stream
            ),
            "give the stream another `table`, or set `shared: true` on both (append or merge only)",
        );
    }
    Ok(())
}

/// The types that the columns of a load get in a new table.
pub(super) fn plain_types(load: &StreamLoad, version: u32) -> Result<Vec<PgType>> {
    load.schema.fields().iter().map(|field| column_type(field, version)).collect()
}

/// Creates a table with the columns of the load, and `extra` ones of a table that it will replace.
async fn create(
    tx: &mut Tx,
    place: &Place,
    load: &StreamLoad,
    types: &[PgType],
    extra: &[(String, PgType)],
    keyless: bool,
) -> Result<()> {
    let collations = declare::collations(tx, load).await?;
    let fields = load.schema.fields().iter().zip(types);
    let filled = |name: &String| if keyless && load.key.contains(name) { " NOT NULL" } else { "" };
    let mut columns: Vec<String> = fields
        .map(|(field, kind)| format!("{}{}", declare::column(field, kind, &collations), filled(field.name())))
        .collect();
    columns.extend(extra.iter().map(|(name, kind)| format!("{} {kind}", ident(name))));
    if load.metadata && !run_id::comes_last(load, columns.len(), tx.server().facts().version) {
        columns.push(run_id::column());
    }
    if load.upsert && !load.key.is_empty() && !keyless {
        columns.push(format!("PRIMARY KEY ({})", idents(load.key.iter().map(String::as_str))));
    }
    let create = format!("CREATE TABLE {} ({})", place.sql(), columns.join(", "));
    let statements = [create].into_iter().chain(declare::comments(place, load));
    tx.run(&statements.collect::<Vec<_>>().join("; ")).await.map(drop)
}

/// The staging table: fresh for the first slice of a stream that comes here; what an earlier
/// attempt of the same slice left in it goes.
async fn stage(
    desk: &Desk,
    tx: &mut Tx,
    slice: &str,
    load: &StreamLoad,
    target: &Place,
    existing: Option<&Table>,
) -> Result<Ready> {
    let place = desk.stage(&load.stream, target);
    let mut extra = Vec::new();
    for column in existing.iter().flat_map(|table| &table.columns) {
        let loaded = load.schema.fields().iter().any(|field| field.name() == &column.name);
        let run_id = load.metadata && column.name == RUN_ID_COLUMN;
        if !loaded && !run_id {
            extra.push((column.name.clone(), column.kind.clone()));
        }
    }
    let mut types = plain_types(load, tx.server().facts().version)?;
    if let Some(table) = existing
        && !bonds(tx, table.oid, load).await?.is_empty()
    {
        // Its rows will be exchanged: they are staged in the types that they will have there.
        references(tx, load, target, table.oid).await?;
        types = evolve::changes(load, table, tx.server().facts().version)?.types;
    }
    let mut columns: Vec<(String, String)> =
        load.schema.fields().iter().zip(&types).map(|(f, t)| (f.name().clone(), t.to_string())).collect();
    columns.extend(extra.iter().map(|(name, kind)| (name.clone(), kind.to_string())));
    // Rows that are merged need the key from the start: no column has an empty name.
    columns.extend((load.upsert && !load.distinct).then(|| (String::new(), load.key.join(","))));
    let keyless = load.upsert && load.distinct;
    let ready = Ready { plan: plan(load, &types)?, place: place.clone(), partitioned: false, keyless };

    let found = table::describe(tx, &place).await?.is_some();
    if let Some(mut staged) = desk.staged(&load.stream).filter(|staged| found && staged.columns == columns) {
        let (own, others): (Vec<_>, Vec<_>) = staged.loads.drain(..).partition(|load| load.slice == slice);
        if !own.is_empty() {
            let xids: Vec<String> = own.into_iter().map(|load| load.xid).collect();
            let sql = format!("DELETE FROM {} WHERE xmin::text = ANY($1)", place.sql());
            tx.execute(&sql, Args::default().with(xids)?).await?;
            staged.loads = others;
            desk.set_staged(&load.stream, Some(staged));
        }
        return Ok(ready);
    }
    tx.run(&format!("DROP TABLE IF EXISTS {}", place.sql())).await?;
    create(tx, &place, load, &types, &extra, keyless).await?;
    desk.set_staged(&load.stream, Some(Staged { columns, loads: Vec::new() }));
    Ok(ready)
}

/// How each column of the batches is written.
pub(super) fn plan(load: &StreamLoad, types: &[PgType]) -> Result<Vec<ColumnPlan>> {
    let mut plan = Vec::with_capacity(types.len());
    for (field, kind) in load.schema.fields().iter().zip(types) {
        let form = kind.form().ok_or_else(|| {
            Error::internal(format!("column {:?} was given type {kind}, which is not written", field.name()))
        })?;
        plan.push(ColumnPlan {
            name: field.name().clone(),
            logical: Logical::of(field)?,
            form,
            word: if form == Form::Typed { kind.to_string() } else { form.word().to_owned() },
            key: load.key.iter().any(|key| key == field.name()),
        });
    }
    Ok(plan)
}
