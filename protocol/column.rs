//! What travels with a column beside its type: metadata of its field, which whoever has a use for
//! it reads and everybody else hands on.

use arrow_schema::Field;

use crate::value::{LOGICAL_KEY, NATIVE_KEY};

/// The type by which PostgreSQL itself knows the values, domains resolved: only where it is one of
/// its own. A text column that has it holds texts of that type and no others.
pub const POSTGRES_KEY: &str = "waybill.postgres_type";
/// `true` where no value is NULL and the destination may say so of its column.
pub const NOT_NULL_KEY: &str = "waybill.not_null";
/// The comment; of a schema, that of the table.
pub const COMMENT_KEY: &str = "waybill.comment";
/// The default, as an expression of the source.
pub const DEFAULT_KEY: &str = "waybill.default";
/// The name of the collation, where it is not the type's own.
pub const COLLATION_KEY: &str = "waybill.collation";

/// Names of text types anywhere: a column that has one is text, not something shown as text.
const TEXT_NAMES: [&str; 17] = [
    "text",
    "varchar",
    "character varying",
    "char",
    "\"char\"",
    "character",
    "bpchar",
    "name",
    "citext",
    "clob",
    "string",
    "nvarchar",
    "nchar",
    "ntext",
    "tinytext",
    "mediumtext",
    "longtext",
];

/// A field with something said of it; an empty text says nothing.
pub fn saying(field: Field, key: &str, text: &str) -> Field {
    if text.is_empty() {
        return field;
    }
    let mut metadata = field.metadata().clone();
    metadata.insert(key.to_owned(), text.to_owned());
    field.with_metadata(metadata)
}

/// What a field says; empty where it says nothing.
pub fn said<'a>(field: &'a Field, key: &str) -> &'a str {
    field.metadata().get(key).map_or("", String::as_str)
}

/// Hands on to `to` what `from` says, beside its type.
pub fn hand_on(from: &Field, mut to: Field) -> Field {
    for key in [POSTGRES_KEY, NOT_NULL_KEY, COMMENT_KEY, DEFAULT_KEY, COLLATION_KEY] {
        to = saying(to, key, said(from, key));
    }
    to
}

/// The native type of a text column that is not text by nature: an address, a range, an array.
pub fn shown_as_text(field: &Field) -> Option<&str> {
    let native = said(field, NATIVE_KEY);
    let base = native.split('(').next().unwrap_or(native).trim();
    let text = || !native.ends_with(']') && TEXT_NAMES.iter().any(|name| name.eq_ignore_ascii_case(base));
    (!native.is_empty() && !text() && !field.metadata().contains_key(LOGICAL_KEY)).then_some(native)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Logical;

    #[test]
    fn what_is_said_of_a_column_is_handed_on() {
        let from = saying(Logical::Text.field("a", true, "inet"), COMMENT_KEY, "why");
        let to = hand_on(&from, Logical::Json.field("b", true, ""));
        assert_eq!((said(&to, COMMENT_KEY), said(&to, DEFAULT_KEY)), ("why", ""));
        assert_eq!(Logical::of(&to).unwrap(), Logical::Json);
        assert_eq!(said(&to, NATIVE_KEY), "");
    }

    #[test]
    fn text_is_told_from_what_is_shown_as_text() {
        let shown = |native: &str| shown_as_text(&Logical::Text.field("c", true, native)).map(str::to_owned);
        assert_eq!(shown("inet").as_deref(), Some("inet"));
        for array in ["text[]", "character(3)[]"] {
            assert_eq!(shown(array).as_deref(), Some(array));
        }
        for text in ["text", "character varying(40)", "VARCHAR(9)", "bpchar", ""] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
