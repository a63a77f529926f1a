//! The tables that the errand means, with what this role may do with them.

use serde::Deserialize;
use waybill_protocol::catalog::stream_name;
use waybill_protocol::{Errand, Result, StreamSelection};

use super::asked;
use crate::postgres::session::Session;
use crate::postgres::source::ORDINARY;
use crate::postgres::sql::{literal, matches, qualified};

/// A table, view, materialised view, partitioned or foreign table.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    /// `r`, `p`, `v`, `m` or `f`.
    pub(super) kind: String,
    /// Whether its schema may be used.
    pub(super) usage: bool,
    /// Whether row security hides rows from this role.
    pub(super) filtered: bool,
    pub(super) subscribed: bool,
    /// What a change is told by: `d` the primary key, `i` an index, `f` the whole row, `n` nothing.
    pub(super) identity: String,
    pub(super) keyed: bool,
    /// Columns that come first in an index that gives their order.
    pub(super) indexed: Vec<String>,
    pub(super) columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    /// Whether it may be read.
    pub(super) readable: bool,
    /// How many values a session takes at once from the sequence that fills it.
    pub(super) cache: Option<i64>,
    /// Whether it is a timestamp without a zone.
    pub(super) zoneless: bool,
}

impl Table {
    /// The stream's name.
    pub(super) fn stream(&self) -> String {
        stream_name(Some(&self.schema), &self.name)
    }

    /// Its name in SQL.
    pub(super) fn sql(&self) -> String {
        qualified(Some(&self.schema), &self.name)
    }
}

/// The selection that a table belongs to: its own, else the first pattern that fits.
pub(super) fn selection<'a>(errand: &'a Errand, table: &Table) -> Option<&'a StreamSelection> {
    let name = table.stream();
    let plain = || errand.streams.iter().filter(|s| s.query.is_none());
    plain().find(|s| s.name == name).or_else(|| plain().find(|s| matches(&s.name, &name)))
}

/// The name of a stream, as the server writes it: parts with a dot or a quote stand in quotes.
fn name_sql() -> String {
    let part = |column: &str| {
        format!(
            "CASE WHEN {column} ~ '[.\"]' THEN '\"' || replace({column}, '\"', '\"\"') || '\"' ELSE {column} END"
        )
    };
    format!("{} || '.' || {}", part("n.nspname"), part("c.relname"))
}

/// The tables meant by names or patterns, as a condition that lets no others through.
pub(super) fn named(names: &[&str]) -> String {
    let one = |name: &&str| match name.split_once('.') {
        Some((schema, table)) if !name.contains(['*', '"']) && !table.contains('.') => {
            format!("(n.nspname = {} AND c.relname = {})", literal(schema), literal(table))
        }
        _ => {
            let mut pattern = String::new();
            for c in name.chars() {
                match c {
                    '*' => pattern.push('%'),
                    '%' | '_' | '\\' => pattern.extend(['\\', c]),
                    c => pattern.push(c),
                }
            }
            format!("({} LIKE {})", name_sql(), literal(&pattern))
        }
    };
    match names {
        [] => "true".to_owned(),
        names => format!("({})", names.iter().map(one).collect::<Vec<_>>().join(" OR ")),
    }
}

/// The tables that an errand means, as a condition.
pub(super) fn meant(errand: &Errand) -> String {
    let names: Vec<&str> =
        errand.streams.iter().filter(|s| s.query.is_none()).map(|s| s.name.as_str()).collect();
    let names = match names.is_empty() && !errand.streams.is_empty() {
        true => "false".to_owned(),
        false => named(&names),
    };
    let schemas: Vec<String> = errand.schemas.iter().map(|name| literal(name)).collect();
    let schemas = match schemas.is_empty() {
        true => String::new(),
        false => format!(" AND n.nspname IN ({})", schemas.join(", ")),
    };
    format!("c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {ORDINARY} AND {names}{schemas}")
}

/// Looks at them.
pub(super) async fn tables(session: &mut Session, errand: &Errand) -> Result<Vec<Table>> {
    let sql = format!(
        "SELECT json_build_object('schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'usage', has_schema_privilege(n.oid, 'USAGE'), 'identity', c.relreplident,
    'filtered', c.relrowsecurity AND pg_catalog.row_security_active(c.oid),
    'subscribed', EXISTS (SELECT 1 FROM pg_catalog.pg_subscription_rel sr WHERE sr.srrelid = c.oid),
    'keyed', EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
    'indexed', coalesce((SELECT json_agg(DISTINCT a.attname) FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
        JOIN pg_catalog.pg_am am ON am.oid = ic.relam AND am.amname = 'btree'
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisready AND i.indpred IS NULL), '[]'),
    'columns', coalesce((SELECT json_agg(json_build_object('name', a.attname,
            'readable', has_column_privilege(c.oid, a.attnum, 'SELECT'),
            'zoneless', a.atttypid = 'timestamp'::regtype, 'cache', s.seqcache) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a LEFT JOIN LATERAL (SELECT q.seqcache FROM pg_catalog.pg_depend p
            JOIN pg_catalog.pg_sequence q ON q.seqrelid = p.objid
            WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.refclassid = 'pg_catalog.pg_class'::regclass
                AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i') LIMIT 1) s ON true
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'))::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {} ORDER BY n.nspname, c.relname",
        meant(errand)
    );
    let mut found: Vec<Table> = asked(session, "look at the tables", &sql).await?;
    found.retain(|table| errand.streams.is_empty() || selection(errand, table).is_some());
    Ok(found)
}
