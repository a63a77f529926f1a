//! What the server's catalogs say about relations: one query for all of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use waybill_protocol::{Error, Result};

use crate::postgres::kinds::PgType;
use crate::postgres::session::{Session, text};

/// A table, view, materialised view, partitioned or foreign table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// `r`, `p`, `v`, `m` or `f`.
    pub(super) kind: String,
    /// Whether every column may be read.
    pub(super) readable: bool,
    /// Whether row security hides rows from this user.
    pub(super) filtered: bool,
    /// Estimate; negative where there is none.
    pub(super) rows: f64,
    #[serde(default)]
    pub(super) comment: Option<String>,
    /// Whether a subscription fills it.
    pub(super) subscribed: bool,
    pub(super) columns: Vec<RelationColumn>,
    /// Whether rows of tables that inherit from it are among its rows.
    pub(super) heirs: bool,
    #[serde(default)]
    pub(super) primary_key: Vec<String>,
    /// Columns that come first in a valid, whole b-tree index.
    #[serde(default)]
    pub(super) indexed: Vec<String>,
}

/// A column of a relation or of a query.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct RelationColumn {
    pub(super) name: String,
    /// The type with domains resolved.
    #[serde(rename = "type")]
    pub(super) type_oid: u32,
    pub(super) typmod: i32,
    #[serde(default)]
    pub(super) is_enum: bool,
    /// The declared type as the server writes it.
    pub(super) native: String,
    /// The type with domains resolved, as the server writes it, where it is one of its own.
    #[serde(default)]
    pub(super) base: Option<String>,
    #[serde(default)]
    pub(super) comment: Option<String>,
    /// The expression of the default; none for what the server computes.
    #[serde(default)]
    pub(super) default: Option<String>,
    /// The collation, where it is one of the server's own and not that of the type.
    #[serde(default)]
    pub(super) collation: Option<String>,
    pub(super) not_null: bool,
    /// Whether an identity or a sequence fills it.
    #[serde(default)]
    pub(super) sequence: bool,
    /// How many values a session takes from the sequence at once.
    #[serde(default)]
    pub(super) cache: Option<i64>,
}

impl RelationColumn {
    /// Its type.
    pub(super) fn pg_type(&self) -> PgType {
        PgType { oid: self.type_oid, typmod: self.typmod, is_enum: self.is_enum }
    }
}

/// Domains and what they stand for in the end.
pub(super) const DOMAINS: &str = "domains(oid, base, typmod) AS (
    SELECT oid, typbasetype, typtypmod FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT d.oid, t.typbasetype, CASE WHEN d.typmod <> -1 THEN d.typmod ELSE t.typtypmod END
    FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base AND t.typtype = 'd')";

/// The type `t` with a modifier, as the server writes it, where it is one of its own.
pub(super) fn base_type(typmod: &str) -> String {
    format!(
        "CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN pg_catalog.format_type(t.oid, {typmod}) END"
    )
}

/// The columns of `pg_attribute a` with `domains d` and the base type `t`, as one JSON array.
fn columns(version: u32, described: bool) -> String {
    let typmod = "CASE WHEN d.oid IS NULL OR a.atttypmod <> -1 THEN a.atttypmod ELSE d.typmod END";
    let plain = if version >= 120_000 { "a.attgenerated = ''" } else { "true" };
    let base = base_type(typmod);
    // What a parent says of its own rows holds for those of its children only where it is partitioned;
    // and nobody holds a foreign table to it.
    let kept = "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class hc ON hc.oid = h.inhrelid
        WHERE h.inhparent = c.oid AND (c.relkind = 'r' OR hc.relkind = 'f'))";
    format!(
        "(SELECT json_agg(json_build_object(
        'name', a.attname, 'type', t.oid::int8, 'is_enum', t.typtype = 'e', 'typmod', {typmod},
        'native', pg_catalog.format_type(a.atttypid, a.atttypmod), 'base', {base},
        'not_null', a.attnotnull AND c.relkind <> 'f' AND {kept},
        'comment', CASE WHEN {described} THEN pg_catalog.col_description(c.oid, a.attnum) END,
        'default', CASE WHEN {described} AND {plain} THEN pg_catalog.pg_get_expr(ad.adbin, ad.adrelid) END,
        'collation', (SELECT l.collname FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation
            AND a.attcollation <> t.typcollation AND l.collnamespace = 'pg_catalog'::regnamespace),
        'sequence', s.seqrelid IS NOT NULL, 'cache', s.seqcache) ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a
    LEFT JOIN domains d ON d.oid = a.atttypid AND d.base NOT IN (SELECT oid FROM domains)
    JOIN pg_catalog.pg_type t ON t.oid = coalesce(d.base, a.atttypid)
    LEFT JOIN pg_catalog.pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
    LEFT JOIN LATERAL (SELECT q.seqrelid, q.seqcache FROM pg_catalog.pg_depend p
        JOIN pg_catalog.pg_sequence q ON q.seqrelid = p.objid
        WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.refclassid = 'pg_catalog.pg_class'::regclass
          AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i') LIMIT 1) s ON true
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"
    )
}

/// The relations for which `condition` (on `c` of pg_class and `n` of pg_namespace) holds.
pub(super) async fn relations(
    session: &mut Session,
    purpose: &str,
    condition: &str,
) -> Result<Vec<Relation>> {
    let facts = session.server().facts();
    // What people wrote where the server checks no encoding may be no text, and could not be sent.
    let described = facts.encoding != "SQL_ASCII";
    let sql = format!(
        "WITH RECURSIVE {DOMAINS} SELECT json_build_object(
    'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'readable', pg_catalog.has_table_privilege(c.oid, 'SELECT'),
    'filtered', c.relrowsecurity AND pg_catalog.row_security_active(c.oid),
    'rows', CASE WHEN c.relkind = 'p' THEN coalesce(parts.rows, 0)
        WHEN c.relkind IN ('v', 'f') AND c.reltuples = 0 THEN -1
        WHEN c.reltuples = 0 AND c.relpages = 0 THEN -1 ELSE c.reltuples END,
    'subscribed', EXISTS (SELECT 1 FROM pg_catalog.pg_subscription_rel sr WHERE sr.srrelid = c.oid),
    'heirs', c.relkind <> 'p' AND c.relhassubclass,
    'columns', coalesce({}, '[]'), 'comment', CASE WHEN {} THEN pg_catalog.obj_description(c.oid, 'pg_class') END,
    'primary_key', coalesce((SELECT json_agg(a.attname ORDER BY k.n) FROM pg_catalog.pg_index i
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= {}), '[]'),
    'indexed', coalesce((SELECT json_agg(DISTINCT a.attname) FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
        JOIN pg_catalog.pg_am am ON am.oid = ic.relam AND am.amname = 'btree'
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisready AND i.indpred IS NULL), '[]'))::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (SELECT sum(greatest(l.reltuples, 0)) AS rows {LEAVES}) parts ON c.relkind = 'p'
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {condition}
ORDER BY n.nspname, c.relname",
        columns(facts.version, described),
        described,
        // Since version 11 an index may carry further columns that are no part of the key.
        if facts.version >= 110_000 { "i.indnkeyatts" } else { "i.indnatts" },
    );
    let rows = session.query(purpose, &sql).await?;
    let parse = |row| -> Result<Relation> {
        let json = text(row, 0)?.unwrap_or_default();
        serde_json::from_str(&json)
            .map_err(|e| Error::internal("the server's catalogs are not as expected").cause(e))
    };
    rows.iter().map(parse).collect()
}

/// The partitions with rows of their own of `c`, as `l`.
const LEAVES: &str = "FROM (WITH RECURSIVE k(oid) AS (
        SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = c.oid
        UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN k ON i.inhparent = k.oid)
    SELECT oid FROM k) k JOIN pg_catalog.pg_class l ON l.oid = k.oid AND l.relkind = 'r'";

/// How many bytes those relations have, by oid; nothing where the server takes too long to say.
pub(super) async fn sizes(session: &mut Session, condition: &str) -> Result<BTreeMap<u32, u64>> {
    // The size of a locked relation cannot be asked for without waiting: its estimate has to do.
    let size = |of: &str| {
        format!(
            "CASE WHEN {of}.oid IN (SELECT relation FROM pg_catalog.pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL) \
             THEN {of}.relpages::int8 * current_setting('block_size')::int8 ELSE pg_catalog.pg_relation_size({of}.oid) END"
        )
    };
    let sql = format!(
        "SELECT c.oid::int8::text, (CASE WHEN c.relkind = 'p' THEN (SELECT sum({})::int8 {LEAVES}) ELSE {} END)::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND {condition}",
        size("l"),
        size("c"),
    );
    let rows = session.best_effort("estimate the sizes", &sql).await?.unwrap_or_default();
    let mut sizes = BTreeMap::new();
    for row in &rows {
        let number = |index| Ok::<_, Error>(text(row, index)?.and_then(|t| t.parse::<u64>().ok()));
        if let (Some(oid), Some(bytes)) = (number(0)?, number(1)?) {
            sizes.insert(u32::try_from(oid).unwrap_or(0), bytes);
        }
    }
    Ok(sizes)
}

/// Relations that a person may want: no system's, no temporary ones, no single partitions.
pub(super) const ORDINARY: &str =
    "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT c.relispartition";
