//! The server's own types: those that are there on every server of a version, whose values are the
//! same on each, and whose text reads back as the value.

use waybill_protocol::Logical;

use super::pg_type::PgType;

/// Types that are written as their text, and the first version that has them. Names that mean an
/// object of one database (`regclass`, `aclitem`) or another value elsewhere (`money`) are not here.
const OWN: [(&str, u32); 48] = [
    ("\"char\"", 0),
    ("\"bit\"", 0),
    ("bpchar", 0),
    ("bit varying", 0),
    ("box", 0),
    ("cid", 0),
    ("cidr", 0),
    ("circle", 0),
    ("daterange", 0),
    ("inet", 0),
    ("int2vector", 0),
    ("int4range", 0),
    ("int8range", 0),
    ("line", 0),
    ("lseg", 0),
    ("macaddr", 0),
    ("name", 0),
    ("numrange", 0),
    ("oid", 0),
    ("oidvector", 0),
    ("path", 0),
    ("pg_lsn", 0),
    ("point", 0),
    ("polygon", 0),
    ("refcursor", 0),
    ("tid", 0),
    ("time with time zone", 0),
    ("tsquery", 0),
    ("tsrange", 0),
    ("tstzrange", 0),
    ("tsvector", 0),
    ("txid_snapshot", 0),
    ("xid", 0),
    ("xml", 0),
    ("macaddr8", 100_000),
    ("jsonpath", 120_000),
    ("pg_snapshot", 130_000),
    ("xid8", 130_000),
    ("datemultirange", 140_000),
    ("int4multirange", 140_000),
    ("int8multirange", 140_000),
    ("nummultirange", 140_000),
    ("tsmultirange", 140_000),
    ("tstzmultirange", 140_000),
    // With a limit.
    ("bit(", 0),
    ("bit varying(", 0),
    ("time(", 0),
    ("bpchar(", 0),
];

/// Types that have a form of their own, but no other than text as elements of an array.
const ELEMENTS: [&str; 20] = [
    "bigint",
    "boolean",
    "bytea",
    "character varying",
    "character",
    "date",
    "double precision",
    "integer",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "real",
    "smallint",
    "text",
    "time without time zone",
    "time",
    "timestamp without time zone",
    "timestamp with time zone",
    "uuid",
];

/// The first version that has a type that is written as its text; `None` for any other type.
fn since(name: &str) -> Option<u32> {
    if let Some(element) = name.strip_suffix("[]") {
        return since(element).or_else(|| ELEMENTS.contains(&without_limit(element).as_str()).then_some(0));
    }
    let limited = |known: &str| {
        known.ends_with('(')
            && name.starts_with(known)
            && (name.ends_with(')') || name.ends_with(") with time zone"))
    };
    OWN.iter().find(|(known, _)| *known == name || limited(known)).map(|(_, version)| *version)
}

/// `timestamp(3) without time zone` without its `(3)`.
fn without_limit(name: &str) -> String {
    match (name.split_once('('), name.split_once(')')) {
        (Some((head, _)), Some((_, tail))) => format!("{head}{tail}"),
        _ => name.to_owned(),
    }
}

/// Whether a type is one of those that are written as their text.
pub(super) fn is_own(name: &str) -> bool {
    since(name).is_some()
}

/// Whether the binary form of such a type means the same on every server, and is taken back: that of
/// XML tells of the session's encoding, and an empty `int2vector` is refused in its own.
pub(in crate::postgres) fn travels(name: &str) -> bool {
    let stays = ["xml", "int2vector", "oidvector"].iter().any(|stays| name.starts_with(stays));
    is_own(name) && !stays
}

/// The type `name` of a Postgres source for a column whose values travel as `logical`, where a
/// server of that version (0: not known) has it and holds every one of them.
pub(super) fn own_type(logical: Logical, name: &str, version: u32) -> Option<PgType> {
    let there = |since: u32| version == 0 || version >= since;
    match (PgType::parse(name, false), logical) {
        (PgType::Numeric(Some((precision, scale))), Logical::Numeric | Logical::Decimal { .. }) => {
            let plain = (0..=precision).contains(&scale);
            (plain || there(150_000)).then_some(PgType::Numeric(Some((precision, scale))))
        }
        (limited @ (PgType::Varchar(_) | PgType::Char(_)), Logical::Text) => Some(limited),
        (PgType::Jsonb, Logical::Json) => Some(PgType::Jsonb),
        (PgType::Rounded(name, rounded), logical) if rounded == logical => {
            Some(PgType::Rounded(name, logical))
        }
        // What did not fit its own form has come as text.
        (PgType::Timestamp | PgType::TimestampTz | PgType::Interval | PgType::Rounded(..), Logical::Text) => {
            Some(PgType::Own(name.to_owned()))
        }
        (PgType::Own(name), Logical::Text | Logical::Int64) => {
            there(since(&name)?).then_some(PgType::Own(name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_with_their_limits_and_as_arrays() {
        for known in
            ["inet", "bit(3)", "bit varying(5)[]", "time(2) with time zone", "numeric(10,2)[]", "text[]"]
        {
            assert!(is_own(known), "{known}");
        }
        for unknown in
            ["hstore", "public.inet", "time(2) without time zone", "money", "money[]", "regclass", "text"]
        {
            assert!(!is_own(unknown), "{unknown}");
        }
    }

    #[test]
    fn some_types_travel_by_their_text_alone() {
        for name in ["inet", "numeric(10,2)[]", "bit(3)", "tsvector", "oid"] {
            assert!(travels(name), "{name}");
        }
        for name in ["xml", "xml[]", "int2vector", "oidvector[]", "text", "money", "regclass", ""] {
            assert!(!travels(name), "{name}");
        }
    }

    #[test]
    fn a_server_that_does_not_have_a_type_is_not_asked_for_it() {
        assert_eq!(own_type(Logical::Text, "int4multirange", 130_000), None);
        assert!(own_type(Logical::Text, "int4multirange", 140_000).is_some());
        assert_eq!(own_type(Logical::Numeric, "numeric(3,-2)", 140_000), None);
        assert_eq!(own_type(Logical::Text, "", 150_000), None);
    }
}
