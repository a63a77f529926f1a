//! What a table that Waybill makes says of its columns beside their types: NOT NULL, defaults,
//! collations, comments, as far as the source said it and this server can.

use arrow_schema::Field;
use waybill_protocol::column::{COLLATION_KEY, COMMENT_KEY, DEFAULT_KEY, NOT_NULL_KEY, said};
use waybill_protocol::{Logical, Result, StreamLoad};

use super::names::Place;
use super::pg_type::PgType;
use super::tx::Tx;
use crate::postgres::session::text;
use crate::postgres::sql::{ident, literal};

/// Expressions that mean the same on every server.
const MOMENTS: [&str; 11] = [
    "now()",
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIMESTAMP",
    "LOCALTIME",
    "clock_timestamp()",
    "statement_timestamp()",
    "transaction_timestamp()",
    "timezone('utc'::text, now())",
    "timezone('UTC'::text, now())",
];

/// The collations of the load that this database has, of those that are the server's own.
pub(super) async fn collations(tx: &mut Tx, load: &StreamLoad) -> Result<Vec<String>> {
    let asked: Vec<String> = load
        .schema
        .fields()
        .iter()
        .map(|f| said(f, COLLATION_KEY))
        .filter(|c| !c.is_empty())
        .map(literal)
        .collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT DISTINCT collname::text FROM pg_catalog.pg_collation WHERE collname IN ({}) \
         AND collnamespace = 'pg_catalog'::regnamespace AND collencoding IN (-1, \
         pg_catalog.pg_char_to_encoding(pg_catalog.getdatabaseencoding()))",
        asked.join(", ")
    );
    tx.run(&sql).await?.iter().map(|row| Ok(text(row, 0)?.unwrap_or_default())).collect()
}

/// The definition of a field's column.
pub(super) fn column(field: &Field, kind: &PgType, collations: &[String]) -> String {
    let mut sql = format!("{} {kind}", ident(field.name()));
    if let Some(name) = collations.iter().find(|name| *name == said(field, COLLATION_KEY))
        && collatable(kind)
    {
        sql.push_str(&format!(" COLLATE pg_catalog.{}", ident(name)));
    }
    if let Some(default) = default(field, kind) {
        sql.push_str(&format!(" DEFAULT {default}"));
    }
    if said(field, NOT_NULL_KEY) == "true" {
        sql.push_str(" NOT NULL");
    }
    sql
}

fn collatable(kind: &PgType) -> bool {
    match kind {
        PgType::Text | PgType::Varchar(_) | PgType::Char(_) => true,
        PgType::Own(name) => matches!(name.as_str(), "text[]" | "bpchar" | "name"),
        _ => false,
    }
}

/// The default that a column gets: a constant, or the moment; whatever else a source has there may
/// mean nothing here, or something else.
fn default(field: &Field, kind: &PgType) -> Option<String> {
    let source = said(field, DEFAULT_KEY).trim();
    if MOMENTS.contains(&source) {
        let fits = matches!(kind, PgType::Rounded(..) | PgType::Own(_)) || kind.logical().is_some_and(timely);
        return fits.then(|| source.to_owned());
    }
    let number = source.strip_prefix('(').and_then(|s| s.strip_suffix(')')).unwrap_or(source);
    if matches!(source, "true" | "false") || number.parse::<f64>().is_ok_and(f64::is_finite) {
        return kind.logical().is_some_and(|l| l != Logical::Text).then(|| number.to_owned());
    }
    constant(source).map(|text| literal(&text))
}

fn timely(logical: Logical) -> bool {
    matches!(logical, Logical::Date | Logical::Time | Logical::Timestamp | Logical::TimestampTz)
}

/// The text of `'…'::type`, as the server writes a constant.
fn constant(source: &str) -> Option<String> {
    let (escaped, body) = match source.strip_prefix("E'") {
        Some(body) => (true, body),
        None => (false, source.strip_prefix('\'')?),
    };
    let (mut text, mut chars) = (String::new(), body.char_indices());
    let rest = loop {
        let (at, c) = chars.next()?;
        match c {
            '\'' if body.get(at + 1..)?.starts_with('\'') => {
                chars.next();
                text.push('\'');
            }
            '\'' => break body.get(at + 1..)?,
            '\\' if escaped => text.push(chars.next().filter(|(_, c)| *c == '\\')?.1),
            c => text.push(c),
        }
    };
    // More than a cast to a type would be an expression.
    let cast = rest.strip_prefix("::")?;
    let typed = |c: char| c.is_alphanumeric() || "_ .\"()[],".contains(c);
    (!cast.is_empty() && cast.chars().all(typed) && !cast.contains("reg")).then_some(text)
}

/// Statements that give a new table the comments of its source.
pub(super) fn comments(place: &Place, load: &StreamLoad) -> Vec<String> {
    let table = load.schema.metadata().get(COMMENT_KEY);
    let table = table.map(|text| format!("COMMENT ON TABLE {} IS {}", place.sql(), literal(text)));
    table.into_iter().chain(load.schema.fields().iter().filter_map(|f| comment(place, f))).collect()
}

/// The statement that gives a column the comment of its source.
pub(super) fn comment(place: &Place, field: &Field) -> Option<String> {
    let text = said(field, COMMENT_KEY);
    let column = ident(field.name());
    (!text.is_empty()).then(|| format!("COMMENT ON COLUMN {}.{column} IS {}", place.sql(), literal(text)))
}

/// Names of the columns that said NOT NULL because of their source, which has stopped saying so.
pub(super) fn given_up(load: &StreamLoad) -> Vec<&str> {
    load.record.columns.iter().filter(|c| c.not_null == Some(false)).map(|c| c.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::column::saying;

    fn of(default_of: &str, logical: Logical) -> Option<String> {
        default(&saying(logical.field("c", true, ""), DEFAULT_KEY, default_of), &PgType::of(logical))
    }

    #[test]
    fn constants_and_moments_are_defaults_elsewhere_too() {
        for (source, logical, expected) in [
            ("'it''s'::text", Logical::Text, Some("'it''s'")),
            ("'n'::character varying", Logical::Text, Some("'n'")),
            ("E'a\\\\b'::text", Logical::Text, Some("E'a\\\\b'")),
            ("'{}'::jsonb", Logical::Json, Some("'{}'")),
            ("'1 day'::interval", Logical::Interval, Some("'1 day'")),
            ("42", Logical::Int32, Some("42")),
            ("'-1'::integer", Logical::Int32, Some("'-1'")),
            ("(-1)", Logical::Int32, Some("-1")),
            ("true", Logical::Bool, Some("true")),
            ("now()", Logical::TimestampTz, Some("now()")),
            ("CURRENT_DATE", Logical::Date, Some("CURRENT_DATE")),
            ("nextval('t_id_seq'::regclass)", Logical::Int64, None),
            ("'x'::text || 'y'::text", Logical::Text, None),
            ("'a'::text); DROP TABLE t; --", Logical::Text, None),
            ("('now'::text)::date", Logical::Date, None),
            ("now()", Logical::Text, None),
            ("1", Logical::Text, None),
            ("my_function()", Logical::Text, None),
            ("'", Logical::Text, None),
            ("", Logical::Text, None),
        ] {
            assert_eq!(of(source, logical).as_deref(), expected, "{source}");
        }
    }
}
