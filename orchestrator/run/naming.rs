//! Names at the destination: folded and shortened with a suffix wherever two would meet.
//!
//! A mapping is decided once, stored with the table at its first load, and never computed again.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use waybill_protocol::{Capabilities, ColumnRecord, RUN_ID_COLUMN, TableRef};

/// A stream that needs a table.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The stream.
    pub stream: String,
    /// Its namespace at the source.
    pub namespace: Option<String>,
    /// Its name within it.
    pub name: String,
    /// The schema asked for in the selection; `{namespace}` and `{name}` are filled in.
    pub schema: Option<String>,
    /// The table asked for in the selection; likewise.
    pub table: Option<String>,
}

/// Tables for streams that have none on record. `taken` are the tables of the other streams.
pub fn tables(wanted: &[Wanted], taken: &[TableRef], can: &Capabilities) -> BTreeMap<String, TableRef> {
    let plain: Vec<(String, TableRef)> =
        wanted.iter().map(|w| (w.stream.clone(), plain_table(w, can))).collect();
    let key = |t: &TableRef| {
        let folded = |text: &str| fit(&fold(text, can), &fold(text, can), can, false);
        (t.namespace.as_deref().map(folded), folded(&t.name))
    };
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for table in plain.iter().map(|(_, t)| t).chain(taken) {
        *seen.entry(key(table)).or_default() += 1;
    }
    plain
        .into_iter()
        .map(|(stream, table)| {
            let meets = seen.get(&key(&table)).copied().unwrap_or(0) > 1;
            let fitted = TableRef {
                namespace: table.namespace.as_ref().map(|n| fit(n, n, can, false)),
                name: fit(&table.name, &stream, can, meets),
            };
            (stream, fitted)
        })
        .collect()
}

fn plain_table(wanted: &Wanted, can: &Capabilities) -> TableRef {
    let fill = |pattern: &str| {
        pattern
            .replace("{namespace}", wanted.namespace.as_deref().unwrap_or(""))
            .replace("{name}", &wanted.name)
            .trim_start_matches('_')
            .to_owned()
    };
    let table = match (&wanted.table, &wanted.namespace) {
        (Some(pattern), _) => fill(pattern),
        (None, Some(namespace)) if !can.namespaces => format!("{namespace}_{}", wanted.name),
        (None, _) => wanted.name.clone(),
    };
    let namespace = match &wanted.schema {
        Some(pattern) if can.namespaces => Some(fill(pattern)),
        None if can.namespaces => wanted.namespace.clone(),
        _ => None,
    };
    TableRef { namespace, name: if table.is_empty() { wanted.name.clone() } else { table } }
}

/// Names of columns in the table, in the order of `columns`. Those on record keep their names.
pub fn columns(columns: &[String], recorded: &[ColumnRecord], can: &Capabilities) -> Vec<String> {
    let mut used: BTreeSet<String> = recorded.iter().map(|r| fold(&r.name, can)).collect();
    used.insert(RUN_ID_COLUMN.to_owned());
    let known: BTreeMap<&str, &str> = recorded.iter().map(|r| (r.source.as_str(), r.name.as_str())).collect();
    let mut meeting: BTreeMap<String, usize> = BTreeMap::new();
    for column in columns.iter().filter(|c| !known.contains_key(c.as_str())) {
        *meeting.entry(fit(&fold(column, can), "", can, false)).or_default() += 1;
    }
    columns
        .iter()
        .map(|column| {
            if let Some(name) = known.get(column.as_str()) {
                return (*name).to_owned();
            }
            let folded = fit(&fold(column, can), "", can, false);
            let meets = meeting.get(&folded).copied().unwrap_or(0) > 1 || used.contains(&folded);
            let name = fit(column, column, can, meets);
            used.insert(fold(&name, can));
            name
        })
        .collect()
}

fn fold(name: &str, can: &Capabilities) -> String {
    if can.case_sensitive { name.to_owned() } else { name.to_lowercase() }
}

/// Makes a name short enough; with the suffix of `origin` where it had to be cut or would meet
/// another. An empty `origin` only cuts.
fn fit(name: &str, origin: &str, can: &Capabilities, meets: bool) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let clean = if clean.is_empty() { "_".to_owned() } else { clean };
    if !meets && clean.len() <= can.identifier_bytes {
        return clean;
    }
    if origin.is_empty() {
        return cut(&clean, can.identifier_bytes).to_owned();
    }
    let hash: String = Sha256::digest(origin.as_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect();
    format!("{}_{hash}", cut(&clean, can.identifier_bytes.saturating_sub(9)))
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: Capabilities = Capabilities {
        namespaces: false,
        identifier_bytes: 40,
        case_sensitive: false,
        columns: 2000,
        parallel_slices: false,
    };
    const POSTGRES: Capabilities =
        Capabilities { namespaces: true, identifier_bytes: 63, case_sensitive: true, ..SQLITE };

    fn want(namespace: Option<&str>, name: &str) -> Wanted {
        Wanted {
            stream: format!("{}.{name}", namespace.unwrap_or("")),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            schema: None,
            table: None,
        }
    }

    #[test]
    fn a_namespace_is_a_schema_or_a_prefix() {
        let wanted = [want(Some("public"), "orders"), want(None, "weather")];
        let flat = tables(&wanted, &[], &SQLITE);
        assert_eq!(flat["public.orders"].name, "public_orders");
        assert_eq!(flat[".weather"].name, "weather");
        let deep = tables(&wanted, &[], &POSTGRES);
        assert_eq!(deep["public.orders"].to_string(), "public.orders");
    }

    #[test]
    fn names_that_would_meet_are_told_apart() {
        let wanted = [want(None, "Orders"), want(None, "orders")];
        let names = tables(&wanted, &[], &SQLITE);
        assert_ne!(names[".Orders"].name.to_lowercase(), names[".orders"].name.to_lowercase());
        assert_eq!(tables(&wanted, &[], &POSTGRES)[".Orders"].name, "Orders");
        let taken = [TableRef { namespace: None, name: "ORDERS".into() }];
        assert_ne!(tables(&wanted[1..], &taken, &SQLITE)[".orders"].name, "orders");
        let long = want(None, &"é".repeat(40));
        let name = &tables(&[long], &[], &SQLITE)[&format!(".{}", "é".repeat(40))].name;
        assert!(name.len() <= 40 && name.starts_with('é') && name.len() > 30, "{name}");
    }

    #[test]
    fn columns_keep_the_names_on_record() {
        let record = [ColumnRecord::new("Id", "Id_0a", "int64")];
        let names = columns(&["id".into(), "Id".into(), "ID".into(), RUN_ID_COLUMN.into()], &record, &SQLITE);
        assert_eq!(names[1], "Id_0a");
        assert!(names[0].starts_with("id_") && names[2].starts_with("ID_"));
        assert!(names[3].starts_with("_waybill_run_id_"));
        assert_eq!(columns(&["id".into(), "ID".into()], &[], &POSTGRES), ["id", "ID"]);
    }

    #[test]
    fn patterns_are_filled_in() {
        let mut wanted = want(Some("app"), "orders");
        wanted.table = Some("raw_{namespace}_{name}".into());
        wanted.schema = Some("lake".into());
        assert_eq!(tables(&[wanted], &[], &POSTGRES)["app.orders"].to_string(), "lake.raw_app_orders");
    }
}
