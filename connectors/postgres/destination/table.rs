//! What a table looks like now.

use waybill_protocol::{Error, Result, TableInfo};

use super::desk::Desk;
use super::names::Place;
use super::pg_type::PgType;
use super::tx::{Tx, leave, reading};
use crate::postgres::session::text;
use crate::postgres::sql::literal;

/// A column as the catalog has it.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: String,
    pub kind: PgType,
    pub default: Option<String>,
    /// The server computes its values.
    pub generated: bool,
    /// The server gives its values (`GENERATED ALWAYS AS IDENTITY`) unless it is overridden.
    pub always: bool,
    /// It is declared NOT NULL, beside any primary key.
    pub not_null: bool,
}

/// A table, or whatever else has the name.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub oid: u32,
    /// `r` table, `p` partitioned, `v` view, …
    pub relkind: String,
    pub columns: Vec<Column>,
}

impl Table {
    /// A column by name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// What `relkind` is called.
    pub(super) fn word(&self) -> &'static str {
        match self.relkind.as_str() {
            "r" => "table",
            "p" => "partitioned table",
            "v" => "view",
            "m" => "materialized view",
            "f" => "foreign table",
            "S" => "sequence",
            "i" | "I" => "index",
            _ => "relation",
        }
    }
}

/// Looks a relation up; `None` where nothing has the name.
pub(super) async fn describe(tx: &mut Tx, place: &Place) -> Result<Option<Table>> {
    let version = tx.server().facts().version;
    let rows = tx.run(&describe_sql(place, version)).await?;
    read(&rows)
}

fn describe_sql(place: &Place, version: u32) -> String {
    let generated = if version >= 120_000 { "a.attgenerated <> ''" } else { "false" };
    format!(
        "SELECT c.oid::text, c.relkind::text, a.attname::text, \
         pg_catalog.format_type(a.atttypid, a.atttypmod), \
         (t.typreceive::text IN ('textrecv', 'enum_recv', 'namerecv', 'bpcharrecv'))::text, \
         ({generated})::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid), (a.attidentity = 'a')::text, \
         (a.attnotnull AND a.attidentity = '' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid \
         AND i.indisprimary AND a.attnum = ANY(i.indkey::int2[])))::text \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
         WHERE n.nspname = {} AND c.relname = {} ORDER BY a.attnum",
        literal(&place.schema),
        literal(&place.name)
    )
}

fn read(rows: &[sqlx::postgres::PgRow]) -> Result<Option<Table>> {
    let Some(first) = rows.first() else { return Ok(None) };
    let oid = text(first, 0)?.and_then(|oid| oid.parse().ok());
    let oid = oid.ok_or_else(|| Error::internal("a relation without an oid"))?;
    let mut table = Table { oid, relkind: text(first, 1)?.unwrap_or_default(), columns: Vec::new() };
    for row in rows {
        let Some(name) = text(row, 2)? else { continue };
        let textual = text(row, 4)?.as_deref() == Some("true");
        table.columns.push(Column {
            name,
            kind: PgType::parse(&text(row, 3)?.unwrap_or_default(), textual),
            generated: text(row, 5)?.as_deref() == Some("true"),
            default: text(row, 6)?,
            always: text(row, 7)?.as_deref() == Some("true"),
            not_null: text(row, 8)?.as_deref() == Some("true"),
        });
    }
    Ok(Some(table))
}

/// Objects that would lose the table if another took its name, those that a person named.
pub(super) fn dependents_sql(oid: u32) -> String {
    format!(
        "SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || r.ev_class::regclass::text \
         FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid JOIN pg_catalog.pg_class v ON v.oid = r.ev_class \
         WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
         AND d.refobjid = {oid} AND r.ev_class <> {oid} \
         UNION SELECT 'foreign key ' || quote_ident(conname) || ' of ' || conrelid::regclass::text \
         FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = {oid} AND conrelid <> {oid} \
         UNION SELECT 'child table ' || inhrelid::regclass::text FROM pg_catalog.pg_inherits WHERE inhparent = {oid} \
         UNION SELECT 'parent table ' || inhparent::regclass::text FROM pg_catalog.pg_inherits WHERE inhrelid = {oid} \
         UNION SELECT 'publication ' || quote_ident(p.pubname) FROM pg_catalog.pg_publication_rel pr \
         JOIN pg_catalog.pg_publication p ON p.oid = pr.prpubid WHERE pr.prrelid = {oid} \
         UNION SELECT 'rule ' || quote_ident(rulename) FROM pg_catalog.pg_rewrite WHERE ev_class = {oid} ORDER BY 1"
    )
}

/// A table as the contract describes it.
pub(super) async fn inspect(desk: &Desk, place: &Place) -> Result<Option<TableInfo>> {
    let mut session = reading(&desk.server).await?;
    let found =
        read(&session.query("look at a table", &describe_sql(place, desk.server.facts().version)).await?)?;
    let info = match found.filter(|table| !matches!(table.relkind.as_str(), "i" | "I" | "S" | "c" | "t")) {
        None => None,
        Some(table) => {
            let sql = format!("SELECT 1 FROM {} LIMIT 1", place.sql());
            let empty = session.query("look whether a table is empty", &sql).await?.is_empty();
            let rows = session.query("look what depends on a table", &dependents_sql(table.oid)).await?;
            let dependents: Result<Vec<String>> =
                rows.iter().map(|row| Ok(text(row, 0)?.unwrap_or_default())).collect();
            let columns = table.columns.into_iter().map(|c| (c.name, c.kind.to_string())).collect();
            Some(TableInfo { columns, empty, dependents: dependents? })
        }
    };
    leave(session).await;
    Ok(info)
}
