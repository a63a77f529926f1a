//! Names in SQL: quoting, reserved ones, and the names of staging tables.

use sha2::{Digest, Sha256};
use waybill_protocol::{Error, Result};

/// A name in double quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names in double quotes, with commas between.
pub(crate) fn quote_all<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| quote(n.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Whether two names are one for SQLite.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// The name under which a table's rowid can be reached: one that no column has.
pub(crate) fn rowid<'n>(columns: impl Iterator<Item = &'n str> + Clone) -> Option<&'static str> {
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !columns.clone().any(|column| same(column, name)))
}

/// Whether a table is SQLite's or Waybill's own.
pub(crate) fn is_internal(table: &str) -> bool {
    let starts = |prefix: &str| table.get(..prefix.len()).is_some_and(|head| same(head, prefix));
    starts("sqlite_") || starts("_waybill_")
}

/// Refuses a table name that cannot be a loaded table's.
pub(crate) fn check_table(table: &str) -> Result<()> {
    let why = if table.is_empty() {
        "is empty"
    } else if table.contains('\0') {
        "has a NUL byte"
    } else if is_internal(table) {
        "begins with sqlite_ or _waybill_, which is reserved"
    } else {
        return Ok(());
    };
    Err(Error::config(format!("the table name {table:?} {why}")).hint("give the stream another `table`"))
}

fn hex8(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What the names of all staging tables of a connection begin with.
pub(crate) fn stage_prefix(connection_id: &str) -> String {
    format!("_waybill_stage_{}_", hex8(connection_id))
}

/// The staging table of a stream.
pub(crate) fn stage(connection_id: &str, stream: &str) -> String {
    format!("{}{}", stage_prefix(connection_id), hex8(stream))
}

/// The unique index that holds a table's primary key.
pub(crate) fn key_index(table: &str) -> String {
    format!("_waybill_key_{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_reserved_ones_refused() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        for bad in ["", "sqlite_x", "SQLite_x", "_waybill_state", "_WAYBILL_x", "a\0b"] {
            assert!(check_table(bad).is_err(), "{bad:?}");
        }
        for good in ["orders", "_way", "sqlit", "é", "a\"b", "x y"] {
            assert!(check_table(good).is_ok(), "{good:?}");
        }
        assert_eq!(rowid(["a", "ROWID"].into_iter()), Some("_rowid_"));
        assert_eq!(rowid(["oid", "_rowid_", "ROWID"].into_iter()), None);
        assert_ne!(stage("c", "a"), stage("c", "b"));
        assert!(stage("c", "a").starts_with(&stage_prefix("c")));
    }
}
