//! Names and literals in SQL text.

use sha2::{Digest, Sha256};
use waybill_protocol::{Error, Result, TableRef};

use crate::postgres::sql::ident;

/// Names in double quotes, with commas.
pub(super) fn idents<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(ident).collect::<Vec<_>>().join(", ")
}

/// A table with its schema, never found through a search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
}

impl Place {
    /// Where a table lies; without a namespace in `default`.
    pub(super) fn of(table: &TableRef, default: &str) -> Place {
        let schema = table.namespace.clone().unwrap_or_else(|| default.to_owned());
        Place { schema, name: table.name.clone() }
    }

    /// Another table of the same schema.
    pub(super) fn sibling(&self, name: impl Into<String>) -> Place {
        Place { schema: self.schema.clone(), name: name.into() }
    }

    /// Schema and name, quoted.
    pub(super) fn sql(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }
}

/// Refuses a name that the server would cut off, or that is Waybill's own.
pub(super) fn check(what: &str, name: &str) -> Result<()> {
    let why = match name {
        "" => "is empty",
        name if name.len() > 63 => "is longer than 63 bytes",
        name if name.contains('\0') => "has a NUL character",
        name if what == "table" && name.starts_with("_waybill_") => {
            "begins with _waybill_, which is reserved"
        }
        _ => return Ok(()),
    };
    Err(Error::config(format!("the {what} name {name:?} {why}"))
        .hint("give the stream another `table`, or rename the column in a query"))
}

/// The first eight hex digits of a hash over parts.
pub(super) fn hash8(parts: &[&str]) -> String {
    hash(parts).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// A key for an advisory lock.
pub(in crate::postgres) fn lock_key(parts: &[&str]) -> i64 {
    let hash = hash(parts);
    hash.iter().take(8).fold(0i64, |key, byte| (key << 8) | i64::from(*byte))
}

fn hash(parts: &[&str]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_cut_off_or_are_reserved_are_refused() {
        for (what, name) in
            [("table", ""), ("table", "_waybill_state"), ("column", "a\0"), ("schema", &*"é".repeat(32))]
        {
            assert!(check(what, name).is_err(), "{name:?}");
        }
        assert!(check("table", &"x".repeat(63)).is_ok() && check("column", "_waybill_x").is_ok());
    }

    #[test]
    fn hashes_tell_parts_apart() {
        assert_eq!(Place { schema: "s".into(), name: "t.x".into() }.sql(), "\"s\".\"t.x\"");
        assert_ne!(hash8(&["ab", "c"]), hash8(&["a", "bc"]));
        assert_ne!(lock_key(&["a"]), lock_key(&["b"]));
    }
}
