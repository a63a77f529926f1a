//! Writing SQL: identifiers and literals.

use waybill_protocol::CursorValue;
use waybill_protocol::calendar::{DAY_US, civil_from_days, format_time};

/// An identifier, always quoted.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"schema"."table"`, or `"table"`.
pub(super) fn qualified(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{}.{}", ident(namespace), ident(name)),
        None => ident(name),
    }
}

/// A text literal that means the same whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A cursor value as a literal without a type of its own, so that it takes the column's.
pub(super) fn cursor(value: &CursorValue) -> String {
    match value {
        // In quotes it would have to fit the column's type, and a lookback reaches below a smallint.
        CursorValue::Int(value) => format!("({value})"),
        value => literal(&cursor_text(value)),
    }
}

/// A cursor value as Postgres writes it.
pub(super) fn cursor_text(value: &CursorValue) -> String {
    match value {
        CursorValue::Date(days) => match *days {
            i32::MAX => "infinity".into(),
            i32::MIN => "-infinity".into(),
            days => date(i64::from(days), ""),
        },
        CursorValue::Timestamp(us) => moment(*us, ""),
        CursorValue::TimestampTz(us) => moment(*us, "+00"),
        other => other.to_string(),
    }
}

fn moment(us: i64, zone: &str) -> String {
    match us {
        i64::MAX => "infinity".into(),
        i64::MIN => "-infinity".into(),
        us => {
            let time = format_time(us.rem_euclid(DAY_US));
            date(us.div_euclid(DAY_US), &format!(" {time}{zone}"))
        }
    }
}

fn date(days: i64, rest: &str) -> String {
    let (year, month, day) = civil_from_days(days);
    if year > 0 {
        format!("{year:04}-{month:02}-{day:02}{rest}")
    } else {
        format!("{:04}-{month:02}-{day:02}{rest} BC", 1 - year)
    }
}

/// A person's SQL without the semicolons and white space at its end.
pub(super) fn statement(text: &str) -> &str {
    text.trim_end_matches(|c: char| c == ';' || c.is_whitespace())
}

/// Whether a name matches a pattern in which `*` stands for any text.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A pattern with `*` as one for `LIKE`; it may let more through than [`matches`].
pub(super) fn like(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '*' => out.push('%'),
            '"' => out.push('%'),
            '%' | '_' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_literals_are_quoted() {
        assert_eq!(qualified(Some("a\"b"), "c.d"), "\"a\"\"b\".\"c.d\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn cursors_are_written_as_postgres_reads_them() {
        assert_eq!(
            cursor_text(&CursorValue::TimestampTz(-62_135_596_800_000_000 - 1)),
            "0001-12-31 23:59:59.999999+00 BC"
        );
        assert_eq!(cursor_text(&CursorValue::Date(4_000_000)), "12921-08-18");
        assert_eq!(cursor_text(&CursorValue::Timestamp(i64::MAX)), "infinity");
        assert_eq!(cursor(&CursorValue::Text("o'x".into())), "'o''x'");
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("public.*", "public.orders", true),
            ("public.*", "other.public.orders", false),
            ("*.o*s", "public.orders", true),
            ("*.o*s", "public.order", false),
            ("public.a*a", "public.a", false),
            ("public.orders", "public.orders", true),
            ("public.orders", "public.orders2", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert_eq!(like("pub_lic.*"), "pub\\_lic.%");
    }
}
