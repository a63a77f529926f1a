//! New columns, wider types and a unique key for a table that exists.

use std::sync::Arc;

use arrow_schema::FieldRef;
use waybill_protocol::{Disposition, Error, Kind, Logical, RUN_ID_COLUMN, Result, StreamLoad};

use super::books::fence;
use super::columns::column_type;
use super::desk::Desk;
use super::names::{Place, idents};
use super::pg_type::PgType;
use super::prepare::take_turn;
use super::run_id;
use super::table::Table;
use super::tx::{Args, Tx, state_of};
use super::{declare, widen};
use crate::postgres::sql::ident;

/// What has to change in a table, and the type that each column of the load has then.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Parts of an `ALTER TABLE`.
    alter: Vec<String>,
    /// The types.
    pub types: Vec<PgType>,
    /// Fields whose columns are new.
    new: Vec<FieldRef>,
}

/// Compares a table with a load.
pub(super) fn changes(load: &StreamLoad, table: &Table, version: u32) -> Result<Changes> {
    let Changes { alter: mut changes, mut types, mut new } = Changes::default();
    for field in load.schema.fields() {
        let (name, wanted) = (field.name(), column_type(field, version)?);
        let quoted = ident(name);
        let Some(column) = table.column(name) else {
            changes.push(format!("ADD COLUMN {quoted} {wanted}"));
            new.push(Arc::clone(field));
            types.push(wanted);
            continue;
        };
        // Rows that are exchanged may override an identity; rows that are updated may not.
        if column.generated || column.always && load.disposition == Disposition::Direct {
            return Err(Error::new(
                Kind::Schema,
                format!("column {name:?} of {} is computed by the server", load.table),
            )
            .hint("leave the column out of the stream's `columns`, or load into another `table`"));
        }
        // The same type, whose values come as text because one of them has no other form.
        if column.kind.to_string() == wanted.to_string() {
            types.push(wanted);
            continue;
        }
        if column.kind.holds(Logical::of(field)?, &wanted) {
            types.push(column.kind.clone());
            continue;
        }
        // Of a table that a person made, an address or a range is not made plain text.
        let theirs = load.adopt && matches!(column.kind, PgType::Own(_));
        let wider = column.kind.widened(&wanted).filter(|_| !theirs).ok_or_else(|| {
            Error::new(
                Kind::Schema,
                format!("column {name:?} of {} is {}, which cannot take {wanted}", load.table, column.kind),
            )
            .hint("change the column's type to text, or load into another `table`")
        })?;
        let using = widen::using(&quoted, &column.kind, &wider);
        changes.push(format!("ALTER COLUMN {quoted} TYPE {wider} USING {using}"));
        types.push(wider);
    }
    if load.metadata {
        let quoted = ident(RUN_ID_COLUMN);
        let column = table.column(RUN_ID_COLUMN);
        if column.is_none() {
            changes.push(format!("ADD COLUMN {quoted} text"));
        }
        // A default that is set apart leaves the rows that exist without a run.
        if !column.and_then(|c| c.default.as_deref()).is_some_and(|d| d.contains("waybill.run_id")) {
            changes.push(format!("ALTER COLUMN {quoted} SET DEFAULT {}", run_id::DEFAULT));
        }
    }
    for name in declare::given_up(load) {
        if table.column(name).is_some_and(|column| column.not_null) {
            changes.push(format!("ALTER COLUMN {} DROP NOT NULL", ident(name)));
        }
    }
    Ok(Changes { alter: changes, types, new })
}

/// Adds columns, widens types, and sees to the key; returns the type of each column of the load.
pub(super) async fn evolve(
    tx: &mut Tx,
    place: &Place,
    load: &StreamLoad,
    table: &Table,
) -> Result<Vec<PgType>> {
    let Changes { alter: changes, types, new } = changes(load, table, tx.server().facts().version)?;
    if !changes.is_empty() {
        tx.run("SET LOCAL extra_float_digits = 1; SET LOCAL intervalstyle = 'iso_8601'").await?;
        tx.run(&format!("ALTER TABLE {} {}", place.sql(), changes.join(", "))).await.map_err(|e| {
            match state_of(&e).as_str() {
                "0A000" | "2BP01" => e
                    .context(format!("table {} cannot be changed", load.table))
                    .hint("drop the view that uses the column and create it again after the load"),
                _ => e.context(format!("table {} cannot be changed", load.table)),
            }
        })?;
    }
    let comments: Vec<String> = new.iter().filter_map(|field| declare::comment(place, field)).collect();
    if !comments.is_empty() {
        tx.run(&comments.join("; ")).await?;
    }
    if load.upsert && load.disposition == Disposition::Direct {
        unique_key(tx, place, load, table.oid).await?;
    }
    Ok(types)
}

/// Sees to an index that makes the key unique.
async fn unique_key(tx: &mut Tx, place: &Place, load: &StreamLoad, oid: u32) -> Result<()> {
    if load.key.is_empty() {
        return Err(Error::internal("rows are to be merged, but there is no key").stream(&load.stream));
    }
    let keys = if tx.server().facts().version >= 110_000 { "i.indnkeyatts" } else { "i.indnatts" };
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = $1::int8::oid AND i.indisunique AND i.indisvalid \
         AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND {keys} = cardinality($2) \
         AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_catalog.pg_attribute a \
              WHERE a.attrelid = i.indrelid AND a.attnum = ANY((i.indkey::int2[])[0:{keys} - 1])) \
             = (SELECT array_agg(k ORDER BY k) FROM unnest($2::text[]) AS k)"
    );
    let args = Args::default().with(i64::from(oid))?.with(load.key.clone())?;
    if !tx.fetch(&sql, args).await?.is_empty() {
        return Ok(());
    }
    let left = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index WHERE indrelid = $1::int8::oid AND indisprimary) \
         AND (SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid = $1::int8::oid AND attnotnull \
              AND attname::text = ANY($2)) = cardinality($2::text[])";
    let args = Args::default().with(i64::from(oid))?.with(load.key.clone())?;
    // A first load that did not come to its end left a table whose key is still to be built.
    let primary = !tx.fetch(left, args).await?.is_empty();
    add_key(tx, place, load, primary).await
}

/// Builds the primary key of a first load, once its rows are there.
pub(super) async fn build_key(desk: &Desk, load: &StreamLoad, place: &Place) -> Result<()> {
    let mut tx = Tx::begin(&desk.server).await?;
    fence(desk, &mut tx).await?;
    tx.commit().await?;
    // Nobody has to wait for the fence as long as the key takes.
    let mut tx = Tx::begin(&desk.server).await?;
    tx.loads(vec![(place.schema.clone(), place.name.clone())]);
    take_turn(&mut tx, place).await?;
    add_key(&mut tx, place, load, true).await?;
    tx.commit().await
}

async fn add_key(tx: &mut Tx, place: &Place, load: &StreamLoad, primary: bool) -> Result<()> {
    let (key, columns) = (load.key.join(", "), idents(load.key.iter().map(String::as_str)));
    let sql = match primary {
        true => format!("ALTER TABLE {} ADD PRIMARY KEY ({columns})", place.sql()),
        false => format!("CREATE UNIQUE INDEX ON {} ({columns})", place.sql()),
    };
    tx.run(&sql).await.map(drop).map_err(|e| match state_of(&e).as_str() {
        "23505" => Error::data(format!("table {} has rows with the same key ({key})", load.table))
            .hint("remove the duplicates, or choose another `primary_key`")
            .code("23505")
            .cause(e),
        _ => e,
    })
}
