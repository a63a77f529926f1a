//! Readers whose snapshot is older than the new rows.
//!
//! A swap is not bound to snapshots: a transaction that took its own before the last new row was
//! committed would find, under the table's name, only some of the new rows, or none.

use std::time::{Duration, Instant};

use waybill_protocol::Result;

use super::tx::{Args, Tx, leave, reading};
use crate::postgres::session::{Server, text};
use crate::postgres::sql::literal;
use std::sync::Arc;

const EACH: Duration = Duration::from_millis(50);

/// The transactions that others have open in this database now.
pub(super) async fn open(tx: &mut Tx) -> Result<Vec<String>> {
    let sql = "SELECT l.virtualtransaction FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
        WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted \
        AND a.datname = current_database() AND a.usesysid IS NOT NULL AND l.pid <> pg_backend_pid()";
    tx.fetch(sql, Args::default()).await?.iter().map(|row| Ok(text(row, 0)?.unwrap_or_default())).collect()
}

/// Waits a while for those of `before` that may hold a snapshot; names the ones that still do.
///
/// A statement that is a transaction of its own has its tables already; one between two statements
/// of READ COMMITTED has no snapshot. Of another user's sessions nothing is known: they count.
pub(super) async fn outlive(server: &Arc<Server>, before: &[String], limit: Duration) -> Result<Vec<String>> {
    let names: Vec<String> = before.iter().map(|name| literal(name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT 'pid ' || l.pid || ' of ' || a.usename FROM pg_catalog.pg_locks l \
         JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.virtualtransaction IN ({}) \
         AND (a.state IS NULL OR a.backend_xmin IS NOT NULL AND NOT (a.state = 'active' AND a.query_start = a.xact_start))",
        names.join(", ")
    );
    let started = Instant::now();
    loop {
        let mut session = reading(server).await?;
        let rows = session.query("look for older snapshots", &sql).await;
        leave(session).await;
        let mut found = Vec::new();
        for row in rows? {
            found.extend(text(&row, 0)?);
        }
        if found.is_empty() || started.elapsed() >= limit {
            return Ok(found);
        }
        tokio::time::sleep(EACH).await;
    }
}
