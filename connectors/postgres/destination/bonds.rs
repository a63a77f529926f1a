//! What ties a table to the rest of its database: what another table in its place would not have.

use waybill_protocol::column::{COLLATION_KEY, said};
use waybill_protocol::{Error, Kind, Result, StreamLoad};

use super::names::Place;
use super::table::dependents_sql;
use super::tx::Tx;
use crate::postgres::session::text;
use crate::postgres::sql::literal;

/// Everything that [`carry`](super::carry) and [`afterwards`](super::afterwards) cannot give to
/// another table, in words. Such a table keeps its place, and its rows are exchanged.
pub(super) async fn bonds(tx: &mut Tx, oid: u32, load: &StreamLoad) -> Result<Vec<String>> {
    let version = tx.server().facts().version;
    let parts =
        [dependents_sql(oid), others_sql(oid), columns_sql(oid, version, load), table_sql(oid, version)];
    let mut found = Vec::new();
    for sql in parts {
        for row in tx.run(&sql).await? {
            found.extend(text(&row, 0)?);
        }
    }
    Ok(found)
}

/// Whatever the server has on record as depending on the table, beside what is carried over and
/// what [`dependents_sql`] names.
fn others_sql(oid: u32) -> String {
    format!(
        "SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_catalog.pg_depend d \
         JOIN pg_catalog.pg_class c ON c.oid = {oid} LEFT JOIN pg_catalog.pg_type rt ON rt.oid = c.reltype \
         WHERE (d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid \
           OR d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (c.reltype, rt.typarray)) \
         AND NOT CASE d.classid \
           WHEN 'pg_catalog.pg_class'::regclass THEN d.objid = c.reltoastrelid OR EXISTS (SELECT 1 FROM pg_catalog.pg_index \
             WHERE indexrelid = d.objid AND indrelid = c.oid) OR EXISTS (SELECT 1 FROM pg_catalog.pg_inherits \
             WHERE inhrelid = d.objid AND inhparent = c.oid) \
           WHEN 'pg_catalog.pg_type'::regclass THEN d.objid IN (c.reltype, rt.typarray) \
           WHEN 'pg_catalog.pg_constraint'::regclass THEN EXISTS (SELECT 1 FROM pg_catalog.pg_constraint \
             WHERE oid = d.objid AND (conrelid = c.oid OR contype = 'f')) \
           WHEN 'pg_catalog.pg_trigger'::regclass THEN EXISTS (SELECT 1 FROM pg_catalog.pg_trigger \
             WHERE oid = d.objid AND (tgrelid = c.oid OR tgisinternal)) \
           WHEN 'pg_catalog.pg_policy'::regclass THEN EXISTS (SELECT 1 FROM pg_catalog.pg_policy \
             WHERE oid = d.objid AND polrelid = c.oid) \
           WHEN 'pg_catalog.pg_attrdef'::regclass THEN true \
           WHEN 'pg_catalog.pg_rewrite'::regclass THEN true \
           WHEN 'pg_catalog.pg_publication_rel'::regclass THEN true ELSE false END ORDER BY 1"
    )
}

/// What columns have beside name, type and NOT NULL. The default of a column that is loaded is used
/// for no row of a load, and is carried over where nothing else belongs to it; a collation that the
/// load brings is there already.
fn columns_sql(oid: u32, version: u32, load: &StreamLoad) -> String {
    let plain = if version >= 120_000 { "a.attgenerated = ''" } else { "true" };
    let compressed = if version >= 140_000 { "a.attcompression <> ''" } else { "false" };
    let fields = load.schema.fields();
    let loaded: Vec<String> =
        ["''".to_owned()].into_iter().chain(fields.iter().map(|f| literal(f.name()))).collect();
    let loaded = loaded.join(", ");
    let collated: Vec<String> = ["('', '')".to_owned()]
        .into_iter()
        .chain(fields.iter().map(|f| format!("({}, {})", literal(f.name()), literal(said(f, COLLATION_KEY)))))
        .collect();
    let collated = collated.join(", ");
    format!(
        "SELECT what || ' of column ' || quote_ident(attname) FROM (SELECT a.attname, a.attnum, CASE \
         WHEN NOT ({plain}) THEN 'the expression' WHEN a.attidentity <> '' THEN 'the identity' \
         WHEN d.adbin IS NOT NULL AND strpos(pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'waybill.run_id') = 0 \
           AND (a.attname NOT IN ({loaded}) OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend e \
             WHERE e.classid = 'pg_catalog.pg_attrdef'::regclass AND e.objid = d.oid AND e.refobjid <> {oid})) THEN 'the default' \
         WHEN a.attcollation <> t.typcollation AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_collation l \
           WHERE l.oid = a.attcollation AND l.collnamespace = 'pg_catalog'::regnamespace \
           AND (a.attname::text, l.collname::text) IN ({collated})) THEN 'the collation' WHEN a.attstorage <> t.typstorage THEN 'the storage' \
         WHEN {compressed} THEN 'the compression' WHEN coalesce(a.attstattarget, -1) >= 0 THEN 'the statistics target' \
         WHEN a.attoptions IS NOT NULL THEN 'an option' END AS what \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped) AS x WHERE what IS NOT NULL ORDER BY attnum"
    )
}

/// What the table itself, its indexes, triggers and grants have.
fn table_sql(oid: u32, version: u32) -> String {
    let access = match version >= 120_000 {
        true => {
            "c.relam <> (SELECT oid FROM pg_catalog.pg_am WHERE amname = current_setting('default_table_access_method'))"
        }
        false => "false",
    };
    format!(
        "SELECT what FROM (SELECT c.oid, unnest(ARRAY[ \
           CASE WHEN c.relkind = 'p' THEN 'its partitions' END, \
           CASE WHEN c.reltablespace <> 0 THEN 'its tablespace' END, \
           CASE WHEN c.relpersistence <> 'p' THEN 'it is unlogged' END, \
           CASE WHEN c.relkind = 'r' AND {access} THEN 'its access method' END, \
           CASE WHEN c.reloftype <> 0 THEN 'its type ' || c.reloftype::regtype::text END, \
           CASE WHEN NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') \
             THEN 'its owner ' || quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) END, \
           CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.aclexplode(c.relacl) WHERE grantor <> c.relowner) \
             THEN 'a grant that its owner did not give' END, \
           CASE WHEN c.relacl IS NOT NULL AND (SELECT count(*) FROM pg_catalog.aclexplode(c.relacl) WHERE grantee = c.relowner) \
             < (SELECT count(*) FROM pg_catalog.aclexplode(pg_catalog.acldefault('r', c.relowner)) WHERE grantee = c.relowner) \
             THEN 'a right that its owner gave up' END]) AS what FROM pg_catalog.pg_class c WHERE c.oid = {oid}) AS x WHERE what IS NOT NULL \
         UNION ALL SELECT 'trigger ' || quote_ident(tgname) FROM pg_catalog.pg_trigger \
           WHERE tgrelid = {oid} AND NOT tgisinternal AND tgenabled IN ('O', 'A') \
         UNION ALL SELECT 'foreign key ' || quote_ident(conname) || ' to itself' FROM pg_catalog.pg_constraint \
           WHERE contype = 'f' AND conrelid = {oid} AND confrelid = {oid} \
         UNION ALL SELECT 'index ' || i.indexrelid::regclass::text || CASE WHEN NOT i.indisvalid THEN ', which is not valid' \
           ELSE ' with settings of its own' END FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
           WHERE i.indrelid = {oid} AND (NOT i.indisvalid OR i.indisclustered OR ic.reltablespace <> 0 OR EXISTS (SELECT 1 \
             FROM pg_catalog.pg_attribute WHERE attrelid = ic.oid AND coalesce(attstattarget, -1) >= 0)) \
         UNION ALL SELECT 'the comment on ' || pg_catalog.pg_describe_object(d.classoid, d.objoid, 0) FROM pg_catalog.pg_description d \
           WHERE (d.classoid, d.objoid) IN (SELECT 'pg_catalog.pg_class'::regclass::oid, indexrelid FROM pg_catalog.pg_index WHERE indrelid = {oid} \
             UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid FROM pg_catalog.pg_constraint WHERE conrelid = {oid} \
             UNION ALL SELECT 'pg_catalog.pg_trigger'::regclass, oid FROM pg_catalog.pg_trigger WHERE tgrelid = {oid} \
             UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, oid FROM pg_catalog.pg_policy WHERE polrelid = {oid}) \
         UNION ALL SELECT 'a security label' FROM pg_catalog.pg_seclabel \
           WHERE objoid = {oid} AND classoid = 'pg_catalog.pg_class'::regclass \
         UNION ALL SELECT 'the extension that it belongs to' FROM pg_catalog.pg_depend \
           WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = {oid} AND deptype = 'e' \
         UNION ALL SELECT 'a subscription' FROM pg_catalog.pg_subscription_rel WHERE srrelid = {oid}"
    )
}

/// What it means for other tables that the rows of this one are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchange {
    /// Nothing: the old rows go, then the new ones come.
    Apart,
    /// Rows elsewhere refer to these: old and new are exchanged in one statement, at whose end
    /// every reference is looked at.
    AtOnce,
}

/// Looks at the foreign keys that point at the table. One that acts on the rows of another table
/// when a row goes is refused as long as there are such rows.
pub(super) async fn references(tx: &mut Tx, load: &StreamLoad, place: &Place, oid: u32) -> Result<Exchange> {
    let sql = format!(
        "SELECT quote_ident(k.conname), k.conrelid::regclass::text, k.confdeltype::text, (k.conrelid = {oid})::text, \
         (SELECT string_agg('x.' || quote_ident(a.attname) || ' IS NOT NULL', ' AND ') FROM unnest(k.conkey) AS n \
          JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n) \
         FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = {oid} AND k.conparentid = 0 ORDER BY 1, 2"
    );
    let (mut checked, mut own_action) = (Vec::new(), None);
    for row in tx.run(&sql).await? {
        let field = |at| text(&row, at).map(Option::unwrap_or_default);
        let (name, of, action, own, some) = (field(0)?, field(1)?, field(2)?, field(3)? == "true", field(4)?);
        let what = format!("foreign key {name} of {of}");
        match (own, action.as_str()) {
            (true, "a" | "r") => continue,
            (true, _) => own_action = Some(what),
            (false, _) => {
                let refers =
                    tx.run(&format!("SELECT 1 FROM {of} AS x WHERE {some} LIMIT 1")).await.map_err(|e| {
                        e.context(format!("{what} points at {}, and {of} cannot be looked at", load.table))
                    })?;
                if refers.is_empty() {
                    continue;
                }
                if action != "a" {
                    return Err(refused(load, place, &what, &of, &action));
                }
                checked.push((what, of));
            }
        }
    }
    match (checked.first(), own_action) {
        (Some((what, of)), Some(_)) => Err(refused(load, place, what, of, "a")),
        (Some(_), None) => Ok(Exchange::AtOnce),
        (None, _) => Ok(Exchange::Apart),
    }
}

fn refused(load: &StreamLoad, place: &Place, what: &str, of: &str, action: &str) -> Error {
    let why = match action {
        "c" => format!("would delete rows of {of} (ON DELETE CASCADE)"),
        "n" => format!("would set columns of {of} to NULL (ON DELETE SET NULL)"),
        "d" => format!("would set columns of {of} to their defaults (ON DELETE SET DEFAULT)"),
        "r" => "does not let its rows go (ON DELETE RESTRICT)".to_owned(),
        _ => "and one of the table to itself do not let its rows be exchanged".to_owned(),
    };
    Error::new(Kind::Destination, format!("table {} cannot be replaced: {what} {why}", load.table))
        .stream(&load.stream)
        .hint(format!(
            "make the foreign key ON DELETE NO ACTION, which allows the exchange while every row that is referred \
             to comes again; or use write mode merge; or drop it before the load of {} and create it again",
            place.sql()
        ))
}
