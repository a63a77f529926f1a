//! What a table gets from the one whose place it took, beside indexes and constraints.

use waybill_protocol::Result;

use super::names::Place;
use super::tx::Tx;
use crate::postgres::session::text;
use crate::postgres::sql::literal;

/// Statements that give the new table, once it has the name, what the old one had beside its
/// indexes: options, comments and defaults that it does not bring itself, grants, row security, triggers, replica identity, and the owner last.
pub(super) async fn statements(tx: &mut Tx, old: u32, stage: u32, target: &Place) -> Result<Vec<String>> {
    let rows = tx.run(&afterwards_sql(old, stage, &literal(&target.sql()))).await?;
    let mut statements = Vec::with_capacity(rows.len());
    for row in &rows {
        statements.extend(text(row, 1)?);
    }
    Ok(statements)
}

fn afterwards_sql(old: u32, stage: u32, t: &str) -> String {
    let role = "CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END";
    let option = "CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END";
    let parts = [
        format!(
            "SELECT 1, 'ALTER TABLE ' || {t} || ' SET (' || array_to_string(reloptions, ', ') || ')' \
             FROM pg_class WHERE oid = {old} AND reloptions IS NOT NULL"
        ),
        format!(
            "SELECT 2, 'COMMENT ON ' || CASE WHEN d.objsubid = 0 THEN 'TABLE ' || {t} \
             ELSE 'COLUMN ' || {t} || '.' || quote_ident(at.attname) END || ' IS ' || quote_literal(d.description) \
             FROM pg_description d LEFT JOIN pg_attribute at ON at.attrelid = d.objoid AND at.attnum = d.objsubid \
             WHERE d.objoid = {old} AND d.classoid = 'pg_class'::regclass AND NOT EXISTS (SELECT 1 FROM pg_description s \
             LEFT JOIN pg_attribute sa ON sa.attrelid = s.objoid AND sa.attnum = s.objsubid WHERE s.objoid = {stage} \
             AND s.classoid = d.classoid AND sa.attname IS NOT DISTINCT FROM at.attname)"
        ),
        // A default that would need anything else has kept the table in its place.
        format!(
            "SELECT 2, 'ALTER TABLE ' || {t} || ' ALTER COLUMN ' || quote_ident(o.attname) || ' SET DEFAULT ' \
             || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute o ON o.attrelid = d.adrelid AND o.attnum = d.adnum \
             JOIN pg_attribute n ON n.attrelid = {stage} AND n.attname = o.attname AND NOT n.atthasdef AND n.attnum > 0 \
             AND n.atttypid = o.atttypid WHERE d.adrelid = {old}"
        ),
        format!(
            "SELECT DISTINCT 3, 'REVOKE ALL ON TABLE ' || {t} || ' FROM ' || {role} \
             FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = {stage} AND a.grantee <> c.relowner"
        ),
        format!(
            "SELECT 4, 'GRANT ' || a.privilege_type || ' ON TABLE ' || {t} || ' TO ' || {role} || {option} \
             FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = {old} AND a.grantee <> c.relowner"
        ),
        format!(
            "SELECT 4, 'GRANT ' || a.privilege_type || ' (' || quote_ident(at.attname) || ') ON TABLE ' || {t} \
             || ' TO ' || {role} || {option} FROM pg_attribute at, aclexplode(at.attacl) a \
             WHERE at.attrelid = {old} AND NOT at.attisdropped"
        ),
        format!(
            "SELECT 5, 'CREATE POLICY ' || quote_ident(polname) || ' ON ' || {t} || CASE WHEN polpermissive \
             THEN '' ELSE ' AS RESTRICTIVE' END || ' FOR ' || CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' \
             WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END || ' TO ' || (SELECT string_agg(CASE WHEN r = 0 \
             THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(polroles) AS r) \
             || coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', '') \
             || coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '') \
             FROM pg_policy WHERE polrelid = {old}"
        ),
        format!(
            "SELECT 6, 'ALTER TABLE ' || {t} || ' ENABLE ROW LEVEL SECURITY' FROM pg_class WHERE oid = {old} AND relrowsecurity \
             UNION ALL SELECT 6, 'ALTER TABLE ' || {t} || ' FORCE ROW LEVEL SECURITY' FROM pg_class \
             WHERE oid = {old} AND relforcerowsecurity"
        ),
        format!(
            "SELECT 7, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = {old} AND NOT tgisinternal"
        ),
        format!(
            "SELECT 8, 'ALTER TABLE ' || {t} || CASE tgenabled WHEN 'D' THEN ' DISABLE' WHEN 'A' THEN ' ENABLE ALWAYS' \
             ELSE ' ENABLE REPLICA' END || ' TRIGGER ' || quote_ident(tgname) FROM pg_trigger \
             WHERE tgrelid = {old} AND NOT tgisinternal AND tgenabled <> 'O'"
        ),
        format!(
            "SELECT 8, 'ALTER TABLE ' || {t} || ' REPLICA IDENTITY ' || CASE relreplident WHEN 'f' THEN 'FULL' \
             WHEN 'n' THEN 'NOTHING' ELSE 'USING INDEX ' || (SELECT quote_ident(ic.relname) FROM pg_index i \
             JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = {old} AND i.indisreplident) END \
             FROM pg_class WHERE oid = {old} AND relreplident <> 'd'"
        ),
        format!(
            "SELECT 9, 'ALTER TABLE ' || {t} || ' OWNER TO ' || quote_ident(pg_get_userbyid(o.relowner)) \
             FROM pg_class o, pg_class s WHERE o.oid = {old} AND s.oid = {stage} AND o.relowner <> s.relowner"
        ),
    ];
    format!("SELECT * FROM ({}) AS x(step, statement) ORDER BY step", parts.join(" UNION ALL "))
}
