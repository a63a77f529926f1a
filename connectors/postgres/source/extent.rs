//! How large tables are, and which tables stand behind a name: partitions, heirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use waybill_protocol::outlet::{BATCH_ROWS, batch_rows};
use waybill_protocol::{Result, StreamRead};

use super::select;
use crate::postgres::session::{Session, text};
use crate::postgres::sql;

/// Tables behind one name up to which it is split: their oids stand in each range's condition.
const MEMBERS: usize = 1_000;

/// Bytes of a table below which a range of its own is not worth it.
const RANGE_BYTES: u64 = 64 << 20;

/// That size; where batches are made smaller, for tests, ranges are as well.
fn range_bytes() -> u64 {
    (RANGE_BYTES * batch_rows() as u64 / BATCH_ROWS as u64).max(1)
}

/// How large a table is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Size {
    bytes: u64,
    /// Blocks of each table behind the name: of itself, or of its partitions.
    blocks: Vec<u64>,
}

impl Size {
    /// Where parts of about the same size border on each other, at most so many parts. A border is a
    /// block that some table has, and no part is too small to be worth it.
    pub(super) fn borders(&self, parts: usize) -> Vec<u64> {
        let parts = (self.bytes / range_bytes()).clamp(1, parts.max(1) as u64);
        let (total, most) = (self.blocks.iter().sum::<u64>(), self.blocks.iter().copied().max().unwrap_or(0));
        let before = |border: u64| self.blocks.iter().map(|blocks| *blocks.min(&border)).sum::<u64>();
        let border = |part: u64| {
            let (mut low, mut high) = (0, most);
            while low < high {
                let middle = low + (high - low) / 2;
                match before(middle) * parts < total * part {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            low
        };
        let borders: BTreeSet<u64> = (1..parts).map(border).filter(|border| *border < most).collect();
        borders.into_iter().collect()
    }
}

/// `VALUES` of the tables: their number, namespace and name.
fn listed(reads: &[&Arc<StreamRead>]) -> String {
    let row = |(n, read): (usize, &&Arc<StreamRead>)| {
        format!("({n}, {}, {})", sql::literal(select::namespace(read)), sql::literal(&read.source.1))
    };
    reads.iter().enumerate().map(row).collect::<Vec<_>>().join(", ")
}

/// The tables behind names, as a CTE `tree` of their number, the oid of the named one, and an oid:
/// its own, and of what inherits from it; `root` is a condition on the named ones.
fn tree(reads: &[&Arc<StreamRead>], root: &str) -> String {
    format!(
        "WITH RECURSIVE tree(n, root, oid) AS ( \
           SELECT v.n, c.oid, c.oid FROM (VALUES {}) AS v(n, schema, name) \
             JOIN pg_catalog.pg_namespace s ON s.nspname = v.schema \
             JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = v.name AND {root} \
           UNION SELECT tree.n, tree.root, i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)",
        listed(reads)
    )
}

/// The blocks of each table that is worth it: an ordinary one or one of ordinary ones, all of whose
/// columns may be read.
pub(super) async fn sizes(session: &mut Session, reads: &[&Arc<StreamRead>]) -> Result<Vec<Option<Size>>> {
    // The size of a locked table cannot be asked for without waiting: it is read whole.
    let sql = format!(
        "{} SELECT tree.n::text, \
           (c.relkind = 'r' AND c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'heap'))::text, \
           coalesce(CASE WHEN c.oid NOT IN (SELECT relation FROM pg_catalog.pg_locks \
             WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL) THEN pg_catalog.pg_relation_size(c.oid) END, 0)::text, \
           current_setting('block_size') FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid WHERE c.relkind <> 'p'",
        tree(reads, "c.relkind IN ('r', 'p') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')")
    );
    let rows = session.query("look how large the tables are", &sql).await?;
    let mut sizes = vec![Some(Size::default()); reads.len()];
    for row in &rows {
        let number =
            |at| -> Result<u64> { Ok(text(row, at)?.and_then(|text| text.parse().ok()).unwrap_or(0)) };
        let Some(place) = sizes.get_mut(usize::try_from(number(0)?).unwrap_or(usize::MAX)) else { continue };
        if text(row, 1)?.as_deref() != Some("true") {
            *place = None;
        }
        let (bytes, block) = (number(2)?, number(3)?.max(1));
        if let Some(size) = place {
            size.bytes += bytes;
            size.blocks.push(bytes / block);
        }
    }
    let worth = |size: &Size| size.bytes >= 2 * range_bytes() && size.blocks.len() <= MEMBERS;
    Ok(sizes.into_iter().map(|size| size.filter(worth)).collect())
}

/// The tables behind each name that has others behind it, by stream, as the transaction's snapshot
/// has them.
pub(super) async fn members(
    session: &mut Session,
    reads: &[&Arc<StreamRead>],
) -> Result<BTreeMap<String, Vec<u32>>> {
    let sql = format!(
        "{} SELECT tree.n::text, tree.oid::text FROM tree \
           JOIN pg_catalog.pg_class c ON c.oid = tree.oid \
           WHERE c.relkind <> 'p' AND tree.n IN (SELECT n FROM tree WHERE oid <> root) ORDER BY tree.oid",
        tree(reads, "true")
    );
    let rows = session.query("look which tables are behind the names", &sql).await?;
    let mut members: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for row in &rows {
        let read = text(row, 0)?.and_then(|n| reads.get(n.parse::<usize>().ok()?));
        let oid = text(row, 1)?.and_then(|oid| oid.parse().ok());
        if let (Some(read), Some(oid)) = (read, oid) {
            members.entry(read.stream.clone()).or_default().push(oid);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borders(blocks: &[u64], parts: usize) -> Vec<u64> {
        Size { bytes: u64::MAX, blocks: blocks.to_vec() }.borders(parts)
    }

    #[test]
    fn parts_are_about_the_same_size_whatever_the_tables_are() {
        assert_eq!(borders(&[100], 4), [25, 50, 75]);
        assert_eq!(borders(&[100, 100], 4), [25, 50, 75]);
        // 1 000 blocks in all, of which the first 100 numbers have 200.
        assert_eq!(borders(&[900, 100], 2), [400]);
        assert_eq!(borders(&[900, 100, 0], 5), [100, 300, 500, 700]);
        assert_eq!(borders(&[100], 1), [0; 0]);
    }

    #[test]
    fn there_are_no_more_parts_than_blocks() {
        assert_eq!(borders(&[1; 500], 4), [0; 0]);
        assert_eq!(borders(&[2; 500], 4), [1]);
        assert_eq!(borders(&[3], 8), [1, 2]);
        assert_eq!(borders(&[], 8), [0; 0]);
        assert_eq!(Size { bytes: range_bytes(), blocks: vec![9] }.borders(4), [0; 0]);
    }
}
