//! The columns of a load: what the catalog says, what is on record, and what the policy makes of
//! the difference (pure).

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use waybill_protocol::column::{COMMENT_KEY, NOT_NULL_KEY, hand_on, said, saying};
use waybill_protocol::event::ColumnChange;
use waybill_protocol::{
    Capabilities, ColumnRecord, Error, Kind, Logical, RUN_ID_COLUMN, Result, SchemaPolicy, StreamSelection,
};

use super::evolve::{change, native_of};
use super::naming;

/// The columns of a load on both sides.
#[derive(Debug)]
pub struct Columns {
    /// What the source is asked for: its names, the table's types.
    pub read: SchemaRef,
    /// What the table takes: its names and types, in the same order.
    pub load: SchemaRef,
    /// Every column that the table has had.
    pub record: Vec<ColumnRecord>,
    /// What changed against the record.
    pub changes: Vec<ColumnChange>,
}

/// Decides the columns of a load. `recorded` is empty for a first load; `fresh` says that the table
/// is made anew, so that types follow the catalog.
pub fn decide(
    selection: &StreamSelection,
    found: &Schema,
    recorded: &[ColumnRecord],
    fresh: bool,
    key: &[String],
    can: &Capabilities,
) -> Result<Columns> {
    let chosen = choose(selection, found)?;
    let names: Vec<String> = chosen.fields().iter().map(|f| f.name().clone()).collect();
    let table_names = naming::columns(&names, recorded, can);
    let (mut read, mut load, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let mut record = recorded.to_vec();
    let known = !recorded.is_empty();
    for (field, name) in chosen.fields().iter().zip(&table_names) {
        let now = Logical::of(field)?;
        let old = record.iter_mut().find(|c| c.source == *field.name());
        let before = old.as_ref().map(|c| c.logical.parse::<Logical>()).transpose()?;
        let kind = match before {
            None if known && selection.schema_policy == SchemaPolicy::Ignore => {
                changes.push(change(field.name(), None, Some(now)));
                continue;
            }
            None => {
                if known {
                    changes.push(change(field.name(), None, Some(now)));
                }
                now
            }
            Some(before) => {
                let wide = before.widen(now);
                let kept = match selection.schema_policy {
                    SchemaPolicy::Ignore => before,
                    SchemaPolicy::Evolve if fresh => now,
                    _ => wide,
                };
                // What is ignored is said too: values may come that the column does not take.
                let shown = if selection.schema_policy == SchemaPolicy::Ignore { wide } else { kept };
                if old.as_ref().is_some_and(|c| c.gone) {
                    changes.push(change(field.name(), None, Some(kept)));
                } else if shown != before {
                    changes.push(change(field.name(), Some(before), Some(shown)));
                }
                kept
            }
        };
        let at = match old {
            Some(old) => old,
            None => {
                record.push(ColumnRecord::new(field.name(), name, ""));
                let last = record.len() - 1;
                &mut record[last]
            }
        };
        (at.logical, at.gone) = (kind.to_string(), false);
        if let Some(lost) = filled(at, field, fresh || !known, selection.shared) {
            changes.push(lost);
        }
        let native = native_of(field);
        let loaded = kind.field(name, !key.contains(field.name()), if kind == now { &native } else { "" });
        load.push(describe(field, loaded, kind == now, at.not_null == Some(true)));
        let asked = kind.field(field.name(), field.is_nullable(), &native);
        read.push(if kind == now { hand_on(field, asked) } else { asked });
    }
    for gone in record.iter_mut().filter(|c| !c.gone && !names.contains(&c.source)) {
        gone.gone = true;
        // New rows have no value in it.
        gone.not_null = gone.not_null.map(|_| false);
        changes.push(change(&gone.source, gone.logical.parse().ok(), None));
    }
    if fresh {
        record.retain(|c| names.contains(&c.source) || c.not_null.is_some());
    }
    if selection.schema_policy == SchemaPolicy::Freeze && !changes.is_empty() {
        let columns: Vec<&str> = changes.iter().map(|c| c.column.as_str()).collect();
        return Err(Error::new(
            Kind::Schema,
            format!("columns changed although they are frozen: {}", columns.join(", ")),
        )
        .hint("set schema_policy: evolve (or ignore), or bring the source's columns back"));
    }
    limits(load.len(), selection.metadata, can)?;
    let load = Arc::new(Schema::new_with_metadata(load, found.metadata().clone()));
    Ok(Columns { read: Arc::new(Schema::new(read)), load, record, changes })
}

/// Decides whether the table says NOT NULL of a column: a table that is made does where its source
/// does; one that exists is never told to, and stops once the source has. Others who load a shared
/// table may lack the column.
fn filled(at: &mut ColumnRecord, field: &Field, made: bool, shared: bool) -> Option<ColumnChange> {
    let never_null = !field.is_nullable();
    let was = at.not_null;
    at.not_null = match was {
        _ if made && never_null && !shared => Some(true),
        Some(before) => Some(before && never_null && !shared),
        None => None,
    };
    let lost = was == Some(true) && !never_null;
    lost.then(|| ColumnChange {
        column: field.name().clone(),
        before: Some(format!("{} not null", at.logical)),
        after: Some(at.logical.clone()),
    })
}

/// The table's field with what the source's field says beside its type.
fn describe(found: &Field, load: Field, same_type: bool, not_null: bool) -> Field {
    let load = match same_type {
        true => hand_on(found, load),
        false => saying(load, COMMENT_KEY, said(found, COMMENT_KEY)),
    };
    saying(load, NOT_NULL_KEY, if not_null { "true" } else { "" })
}

fn choose(selection: &StreamSelection, found: &Schema) -> Result<Schema> {
    let Some(columns) = &selection.columns else {
        return Ok(found.clone());
    };
    let mut fields = Vec::new();
    for column in columns {
        let field = found.field_with_name(column).map_err(|_| {
            let has: Vec<&str> = found.fields().iter().map(|f| f.name().as_str()).collect();
            Error::new(Kind::NotFound, format!("no column {column:?}"))
                .hint(format!("columns are: {}", super::matching::some_of(&has)))
        })?;
        fields.push(field.clone());
    }
    Ok(Schema::new_with_metadata(fields, found.metadata().clone()))
}

fn limits(columns: usize, metadata: bool, can: &Capabilities) -> Result<()> {
    if columns == 0 && !metadata {
        return Err(Error::new(Kind::Schema, "the stream has no columns: there is nothing to load")
            .hint("leave `metadata` on, so that its rows can be counted, or leave it out of the selection"));
    }
    let room = can.columns.saturating_sub(usize::from(metadata));
    if columns <= room {
        return Ok(());
    }
    let error = Error::new(
        Kind::Schema,
        format!("{columns} columns are more than the destination takes ({room}, beside {RUN_ID_COLUMN})"),
    );
    Err(match columns <= can.columns {
        true => error.hint("set metadata: false for the stream, or choose some with columns: [...]"),
        false => error.hint("choose some with columns: [...]"),
    })
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
