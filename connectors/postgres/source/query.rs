//! The columns of a person's own query.

use sqlx::postgres::{PgColumn, PgRow};
use sqlx::{Column, Row};
use waybill_protocol::{Error, Result};

use super::relation::{DOMAINS, RelationColumn, base_type};
use crate::postgres::session::{Session, text};
use crate::postgres::sql;

/// A query as a table of `FROM`, under the name `q`.
pub(super) fn derived(query: &str) -> String {
    // The line break ends a comment that the query may end with.
    format!("({}\n) AS q", sql::statement(query))
}

/// Describes a query without running it. Expressions have no type modifier here: a numeric
/// among them is one of any precision.
pub(super) async fn describe(session: &mut Session, query: &str) -> Result<Vec<RelationColumn>> {
    // One row of NULLs whatever the query would return, and the server knows it beforehand.
    let sql = format!("SELECT q.* FROM (SELECT 1) AS one LEFT JOIN {} ON false", derived(query));
    let rows = session.query("describe the query", &sql).await?;
    let row: &PgRow = rows.first().ok_or_else(|| Error::config("the query has no columns"))?;
    let columns = row.columns();
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = columns.iter().find(|c| !names.insert(c.name())) {
        return Err(Error::config(format!("the query has two columns named {:?}", twice.name()))
            .hint("give each column a name of its own with AS"));
    }
    if columns.is_empty() {
        return Err(Error::config("the query has no columns"));
    }
    resolve(session, columns).await
}

async fn resolve(session: &mut Session, columns: &[PgColumn]) -> Result<Vec<RelationColumn>> {
    let value = |(n, column): (usize, &PgColumn)| {
        let oid = column.type_info().oid().map_or(0, |oid| oid.0);
        let relation = column.relation_id().map_or(0, |oid| oid.0);
        let number = column.relation_attribute_no().unwrap_or(0);
        format!("({n}, {oid}::oid, {relation}::oid, {number})")
    };
    let values: Vec<String> = columns.iter().enumerate().map(value).collect();
    let typmod = "CASE WHEN d.oid IS NULL OR asked.typmod <> -1 THEN asked.typmod ELSE d.typmod END";
    let sql = format!(
        "WITH RECURSIVE {DOMAINS}, asked(n, type, typmod) AS (
    SELECT v.n, v.type, coalesce((SELECT a.atttypmod FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = v.relation AND a.attnum = v.number AND a.atttypid = v.type), -1)
    FROM (VALUES {}) AS v(n, type, relation, number))
SELECT json_build_object('name', '', 'type', t.oid::int8, 'is_enum', t.typtype = 'e',
    'typmod', {typmod}, 'base', {},
    'native', pg_catalog.format_type(asked.type, asked.typmod), 'not_null', false)::text
FROM asked LEFT JOIN domains d ON d.oid = asked.type AND d.base NOT IN (SELECT oid FROM domains)
JOIN pg_catalog.pg_type t ON t.oid = coalesce(d.base, asked.type) ORDER BY asked.n",
        values.join(", "),
        base_type(typmod),
    );
    let rows = session.query("describe the query's types", &sql).await?;
    if rows.len() != columns.len() {
        return Err(Error::internal("the server does not know its own types"));
    }
    let mut resolved = Vec::with_capacity(columns.len());
    for (row, column) in rows.iter().zip(columns) {
        let json = text(row, 0)?.unwrap_or_default();
        let mut parsed: RelationColumn = serde_json::from_str(&json)
            .map_err(|e| Error::internal("the server's catalogs are not as expected").cause(e))?;
        parsed.name = column.name().to_owned();
        resolved.push(parsed);
    }
    Ok(resolved)
}
