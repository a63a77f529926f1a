//! Whether a load of this run may write what a stream reads.
//!
//! A run whose source and destination are one database meets its own loads in the fence. They may
//! be left out only where they cannot write what is read: the tables are others, partitions and the
//! tables under a view included, and nothing that hangs on a loaded table (a trigger, a rule, a
//! foreign key that cascades, a function of somebody's own) writes elsewhere. Where that is not
//! sure they count as any other transaction: the window stays open for them.

use waybill_protocol::Result;

use super::snapshot::Shape;
use crate::postgres::session::{Session, text};
use crate::postgres::sql::literal;

/// The first number of an object that is no part of the system.
const FIRST_OF_USERS: u32 = 16_384;

/// Whether loading `tables` may write what `shape` reads; yes where that is not sure.
pub(super) async fn reaches(
    session: &mut Session,
    tables: &[(String, String)],
    shape: &Shape,
) -> Result<bool> {
    // What a query reads stands in no catalog.
    let Some(table) = &shape.table else { return Ok(true) };
    if tables.is_empty() {
        return Ok(true);
    }
    let named: Vec<String> =
        tables.iter().map(|(schema, name)| format!("({}, {})", literal(schema), literal(name))).collect();
    let rows =
        session.query("look what a load of this run may write", &sql(&named.join(", "), table.oid)).await?;
    let answer = rows.first().map(|row| text(row, 0)).transpose()?.flatten();
    Ok(answer.as_deref() != Some("false"))
}

fn sql(tables: &str, read: u32) -> String {
    let user_code = format!(
        "d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass) AND d.refobjid >= {FIRST_OF_USERS}"
    );
    format!(
        "WITH RECURSIVE written(oid) AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (n.nspname, c.relname) IN ({tables})
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN written w ON w.oid = i.inhparent),
rules(oid, view) AS (SELECT r.oid, r.ev_class FROM pg_catalog.pg_rewrite r),
parts(whole, part) AS (
    SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits
    UNION ALL SELECT r.view, d.refobjid FROM rules r JOIN pg_catalog.pg_depend d
        ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass),
reads(oid) AS (SELECT {read}::oid UNION SELECT p.part FROM parts p JOIN reads r ON r.oid = p.whole)
SELECT (EXISTS (SELECT 1 FROM reads JOIN written USING (oid))
    OR EXISTS (SELECT 1 FROM reads JOIN rules r ON r.view = reads.oid JOIN pg_catalog.pg_depend d
        ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid AND {user_code})
    OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t JOIN written w ON w.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgenabled <> 'D')
    OR EXISTS (SELECT 1 FROM rules JOIN written w ON w.oid = rules.view)
    OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint f JOIN written w ON w.oid = f.confrelid
        WHERE f.contype = 'f' AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd')))
    OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE {user_code} AND (
        (d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid IN (
            SELECT a.oid FROM pg_catalog.pg_attrdef a JOIN written w ON w.oid = a.adrelid))
        OR (d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid IN (
            SELECT k.oid FROM pg_catalog.pg_constraint k JOIN written w ON w.oid = k.conrelid)))))::text"
    )
}
