//! Columns and keys of the streams of two runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use waybill_protocol::catalog::{ColumnDescription, StreamDescription};

use super::difference::{Area, Found};
use super::facts::Facts;

/// Adds what differs in the columns that were discovered.
pub(super) fn compare(found: &mut Found, before: &Facts, after: &Facts) {
    let (Some(a), Some(b)) = (&before.schemas, &after.schemas) else {
        let facts = if before.schemas.is_none() { before } else { after };
        let why =
            if facts.settings.is_none() { "its event log is gone" } else { "it did not come to discovery" };
        found.unknown.push(format!("columns of streams: run {}: {why}", facts.summary.run_id));
        return;
    };
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for name in names {
        match (a.get(name), b.get(name)) {
            (Some(a), Some(b)) => stream(found, name, a, b),
            (Some(_), None) => {
                let text = format!("{name}: was not found any more");
                found.add((Area::Schema, name, true), Some(name.as_str().into()), None, text);
            }
            (None, Some(_)) => {
                let text = format!("{name}: is found now");
                found.add((Area::Schema, name, true), None, Some(name.as_str().into()), text);
            }
            (None, None) => {}
        }
    }
}

fn stream(found: &mut Found, name: &str, before: &StreamDescription, after: &StreamDescription) {
    let by_name = |stream: &StreamDescription| -> BTreeMap<String, ColumnDescription> {
        stream.columns.iter().map(|column| (column.name.clone(), column.clone())).collect()
    };
    let (a, b) = (by_name(before), by_name(after));
    let columns: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for column in columns {
        let (old, new) = (a.get(column).map(shape), b.get(column).map(shape));
        let text = match (&old, &new) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => format!("{name}.{column}: {old} → {new}"),
            (Some(old), None) => format!("{name}.{column}: is gone (was {old})"),
            (None, Some(new)) => format!("{name}.{column}: is new ({new})"),
            (None, None) => continue,
        };
        let subject = format!("{name}.{column}");
        found.add((Area::Schema, &subject, true), old.map(Value::from), new.map(Value::from), text);
    }
    if before.primary_key != after.primary_key {
        let key = |key: &[String]| if key.is_empty() { "none".to_owned() } else { key.join(", ") };
        let (old, new) = (key(&before.primary_key), key(&after.primary_key));
        let text = format!("{name}: primary key: {old} → {new}");
        found.add((Area::Schema, name, true), Some(old.into()), Some(new.into()), text);
    }
}

fn shape(column: &ColumnDescription) -> String {
    let native = column.native.as_deref().filter(|native| *native != column.logical);
    let native = native.map(|native| format!(" ({native})")).unwrap_or_default();
    let nullable = if column.nullable { "" } else { ", not null" };
    format!("{}{native}{nullable}", column.logical)
}
