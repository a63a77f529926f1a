//! Looking at a table's first rows, to know what types its columns really have.

use arrow_schema::Schema;
use rusqlite::{Connection, OptionalExtension};
use waybill_protocol::{Logical, RUN_ID_COLUMN, Result};

use super::affinity::keeps;
use super::fault::Doing;
use super::identifier::{self, quote, same};
use super::observe::Watch;
use super::table::{self, Column};

/// Rows that are looked at to decide types.
const SAMPLE: usize = 10_000;
/// The highest number of rows that is counted rather than estimated.
const COUNTED: i64 = 200_000;

/// A person's statement without the semicolon at its end.
pub(crate) fn bare(query: &str) -> &str {
    query.trim().trim_end_matches(';').trim_end()
}

/// The columns with the types that their first rows have.
pub(crate) fn sample(
    conn: &Connection,
    from: &str,
    columns: &[Column],
    recorded: &dyn Fn(&str) -> Option<Logical>,
    keyless: bool,
) -> Result<Schema> {
    let kept: Vec<&Column> = columns.iter().filter(|c| !same(&c.name, RUN_ID_COLUMN)).collect();
    let mut watches: Vec<Watch> = kept
        .iter()
        .map(|c| {
            // A table that was made anew by hand is no longer what is on record.
            let recorded = recorded(&c.name).filter(|logical| keeps(&c.declared, *logical));
            Watch::new(recorded, &c.declared)
        })
        .collect();
    if !kept.is_empty() {
        let names: Vec<String> = kept.iter().map(|c| format!("t.{}", quote(&c.name))).collect();
        let sql = format!("SELECT {} FROM {from} AS t LIMIT {SAMPLE}", names.join(", "));
        let mut statement = conn.prepare(&sql).reading("look at its rows")?;
        let mut rows = statement.query([]).reading("look at its rows")?;
        let mut seen = 0usize;
        while let Some(row) = rows.next().reading("look at its rows")? {
            for (at, watch) in watches.iter_mut().enumerate() {
                watch.see(row.get_ref(at).reading("look at its rows")?);
            }
            seen += 1;
            if seen.is_multiple_of(64) {
                watches.iter_mut().for_each(Watch::forget);
            }
        }
    }
    let fields: Vec<_> = kept
        .iter()
        .zip(&watches)
        .map(|(column, watch)| {
            // A rowid, and the key of a table without one, are never NULL; other keys may be.
            let rowid = !keyless && column.key == 1 && same(&column.declared, "INTEGER");
            let sole = columns.iter().filter(|c| c.key > 0).count() == 1;
            let fixed = column.not_null || (rowid && sole) || (keyless && column.key > 0);
            watch.logical().field(&column.name, !fixed, &column.declared)
        })
        .collect();
    Ok(Schema::new(fields))
}

/// The name of a table's rowid; `None` for virtual tables and those without one.
pub(crate) fn rowid(conn: &Connection, table: &str) -> rusqlite::Result<Option<&'static str>> {
    let sql = "SELECT wr OR type <> 'table' FROM pragma_table_list(?1) WHERE schema = 'main'";
    let without: bool = conn.query_row(sql, [table], |row| row.get(0)).optional()?.unwrap_or(true);
    if without {
        return Ok(None);
    }
    let columns = table::columns(conn, "main", table)?;
    Ok(identifier::rowid(columns.iter().map(|c| c.name.as_str())))
}

/// About how many rows a table has; `None` where that would take long to say.
pub(crate) fn estimate(conn: &Connection, table: &str) -> Result<Option<u64>> {
    let rowid = rowid(conn, table).reading("read its definition")?;
    count_or_guess(conn, table, rowid).reading("count its rows")
}

fn count_or_guess(conn: &Connection, table: &str, rowid: Option<&str>) -> rusqlite::Result<Option<u64>> {
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {COUNTED})", quote(table));
    let counted: i64 = conn.query_row(&sql, [], |row| row.get(0))?;
    if counted < COUNTED {
        return Ok(u64::try_from(counted).ok());
    }
    let Some(rowid) = rowid else { return Ok(None) };
    // Rowids are dense in most tables; where they cannot be, no estimate is better than a wild one.
    let from = quote(table);
    let span = format!("SELECT (SELECT max({rowid}) FROM {from}) - (SELECT min({rowid}) FROM {from}) + 1");
    let span: i64 = conn.query_row(&span, [], |row| row.get(0)).unwrap_or(i64::MAX);
    let pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = conn.query_row(pages, [], |row| row.get(0))?;
    Ok(u64::try_from(span).ok().filter(|_| span <= bytes / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_loses_its_semicolon() {
        assert_eq!(bare(" SELECT 1 ;; \n"), "SELECT 1");
    }
}
