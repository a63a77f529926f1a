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
        read.push(kind.field(field.name(), field.is_nullable(), &native));
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
mod tests {
    use super::*;

    const CAN: Capabilities = Capabilities {
        namespaces: false,
        identifier_bytes: 63,
        case_sensitive: false,
        columns: 5,
        parallel_slices: false,
    };

    fn found(columns: &[(&str, Logical)]) -> Schema {
        Schema::new(columns.iter().map(|(n, l)| l.field(n, true, "")).collect::<Vec<_>>())
    }

    fn on_record(columns: &[(&str, &str)]) -> Vec<ColumnRecord> {
        let record = |(n, l): &(&str, &str)| ColumnRecord::new(n, &format!("{n}_x"), l);
        columns.iter().map(record).collect()
    }

    fn with(policy: SchemaPolicy) -> StreamSelection {
        StreamSelection { schema_policy: policy, ..StreamSelection::named("s") }
    }

    #[test]
    fn evolve_widens_adds_and_keeps_what_is_gone() {
        let record = on_record(&[("a", "text"), ("b", "int32"), ("gone", "date")]);
        let now = found(&[("c", Logical::Bool), ("b", Logical::Int64), ("a", Logical::Int64)]);
        let columns = decide(&with(SchemaPolicy::Evolve), &now, &record, false, &[], &CAN).unwrap();
        let types: Vec<String> = columns
            .load
            .fields()
            .iter()
            .map(|f| format!("{}:{}", f.name(), Logical::of(f).unwrap()))
            .collect();
        assert_eq!(types, ["c:bool", "b_x:int64", "a_x:text"]);
        assert_eq!(columns.read.field(2).name(), "a");
        assert_eq!(columns.record.len(), 4);
        assert_eq!(columns.changes.len(), 3);
    }

    #[test]
    fn a_column_that_is_gone_is_said_once_and_again_when_it_is_back() {
        let (with_b, without) =
            (found(&[("a", Logical::Int64), ("b", Logical::Text)]), found(&[("a", Logical::Int64)]));
        let evolve = with(SchemaPolicy::Evolve);
        let next = |found: &Schema, record: &[ColumnRecord]| {
            let columns = decide(&evolve, found, record, false, &[], &CAN).unwrap();
            let said = columns.changes.iter().map(|c| (c.before.clone(), c.after.clone())).collect();
            (columns.record, said)
        };
        let (record, said): (_, Vec<_>) = next(&without, &on_record(&[("a", "int64"), ("b", "text")]));
        assert_eq!(said, [(Some("text".to_owned()), None)]);
        let (record, said) = next(&without, &record);
        assert_eq!(said, []);
        let freeze = with(SchemaPolicy::Freeze);
        assert!(decide(&freeze, &without, &record, false, &[], &CAN).is_ok(), "frozen as it is");
        assert!(decide(&freeze, &with_b, &record, false, &[], &CAN).is_err());
        let (record, said) = next(&with_b, &record);
        assert_eq!(said, [(None, Some("text".to_owned()))]);
        assert_eq!(next(&with_b, &record).1, []);
    }

    #[test]
    fn freeze_refuses_and_ignore_leaves_out() {
        let record = on_record(&[("a", "int32")]);
        let now = found(&[("a", Logical::Int64), ("b", Logical::Text)]);
        let frozen = decide(&with(SchemaPolicy::Freeze), &now, &record, false, &[], &CAN).unwrap_err();
        assert!(frozen.message().contains("a, b"), "{frozen}");
        let ignored = decide(&with(SchemaPolicy::Ignore), &now, &record, false, &[], &CAN).unwrap();
        assert_eq!(ignored.load.fields().len(), 1);
        assert_eq!(Logical::of(ignored.load.field(0)).unwrap(), Logical::Int32);
        assert!(
            decide(&with(SchemaPolicy::Freeze), &found(&[("a", Logical::Int32)]), &record, false, &[], &CAN)
                .is_ok()
        );
    }

    #[test]
    fn a_table_made_anew_follows_the_source_unless_its_columns_are_frozen() {
        let record = on_record(&[("a", "int64"), ("b", "text")]);
        let now = found(&[("a", Logical::Int32), ("b", Logical::Int64)]);
        let kinds = |policy, fresh| {
            let columns = decide(&with(policy), &now, &record, fresh, &[], &CAN).unwrap();
            let of = |f: &arrow_schema::Field| Logical::of(f).unwrap().to_string();
            let load: Vec<String> = columns.load.fields().iter().map(|f| of(f)).collect();
            let on_record: Vec<String> = columns.record.iter().map(|c| c.logical.clone()).collect();
            assert_eq!(load, on_record, "{policy:?} {fresh}");
            (load, columns.changes.len())
        };
        assert_eq!(kinds(SchemaPolicy::Evolve, true), (vec!["int32".to_owned(), "int64".into()], 2));
        for (policy, fresh) in [
            (SchemaPolicy::Evolve, false),
            (SchemaPolicy::Freeze, true),
            (SchemaPolicy::Freeze, false),
            (SchemaPolicy::Ignore, true),
        ] {
            assert_eq!(kinds(policy, fresh), (vec!["int64".to_owned(), "text".into()], 0), "{policy:?}");
        }
    }

    #[test]
    fn what_is_ignored_is_said_and_not_recorded() {
        let record = on_record(&[("a", "int32")]);
        let columns =
            decide(&with(SchemaPolicy::Ignore), &found(&[("a", Logical::Int64)]), &record, false, &[], &CAN)
                .unwrap();
        assert_eq!(columns.record[0].logical, "int32");
        assert_eq!(columns.changes[0].after.as_deref(), Some("int64"));
    }

    #[test]
    fn chosen_columns_and_limits() {
        let mut selection = with(SchemaPolicy::Evolve);
        selection.columns = Some(vec!["b".into(), "nope".into()]);
        let now = found(&[("a", Logical::Int64), ("b", Logical::Text)]);
        let error = decide(&selection, &now, &[], false, &[], &CAN).unwrap_err();
        assert_eq!((error.kind(), error.get_hint()), (Kind::NotFound, Some("columns are: a, b")));
        let mut none = with(SchemaPolicy::Evolve);
        assert!(decide(&none, &found(&[]), &[], false, &[], &CAN).is_ok());
        none.metadata = false;
        assert!(decide(&none, &found(&[]), &[], false, &[], &CAN).is_err());
        let wide = found(&[
            ("a", Logical::Bool),
            ("b", Logical::Bool),
            ("c", Logical::Bool),
            ("d", Logical::Bool),
            ("e", Logical::Bool),
        ]);
        let mut selection = with(SchemaPolicy::Evolve);
        let error = decide(&selection, &wide, &[], false, &[], &CAN).unwrap_err();
        assert!(error.get_hint().unwrap_or_default().contains("metadata: false"), "{error}");
        selection.metadata = false;
        assert!(decide(&selection, &wide, &[], false, &[], &CAN).is_ok());
    }

    #[test]
    fn a_table_says_not_null_while_its_source_does() {
        let mut now = vec![Logical::Int64.field("a", false, ""), Logical::Text.field("b", true, "")];
        let evolve = with(SchemaPolicy::Evolve);
        let next = |policy: &StreamSelection, fields: &[Field], record: &[ColumnRecord], fresh| {
            decide(policy, &Schema::new(fields.to_vec()), record, fresh, &[], &CAN)
        };
        let first = next(&evolve, &now, &[], false).unwrap();
        let declared: Vec<_> = first.record.iter().map(|c| c.not_null).collect();
        assert_eq!(declared, [Some(true), None]);
        assert_eq!(said(first.load.field(0), NOT_NULL_KEY), "true");
        // A column that comes to a table with rows has none for them.
        now.push(Logical::Int64.field("c", false, ""));
        let second = next(&evolve, &now, &first.record, false).unwrap();
        assert_eq!(second.record[2].not_null, None);
        assert_eq!(next(&evolve, &now, &first.record, true).unwrap().record[2].not_null, Some(true));
        // Lost at the source, and a column that is gone.
        now[0] = Logical::Int64.field("a", true, "");
        let lost = next(&evolve, &now, &first.record, false).unwrap();
        assert_eq!(lost.record[0].not_null, Some(false));
        assert_eq!(lost.changes[0].before.as_deref(), Some("int64 not null"));
        let frozen = next(&with(SchemaPolicy::Freeze), &now[..2], &first.record, false).unwrap_err();
        assert!(frozen.message().contains("a"), "{frozen}");
        let gone = next(&evolve, &now[1..], &first.record, true).unwrap();
        assert_eq!(gone.record[0].not_null, Some(false));
        let shared = StreamSelection { shared: true, ..evolve };
        assert_eq!(next(&shared, &now[2..], &[], false).unwrap().record[0].not_null, None);
    }
}
