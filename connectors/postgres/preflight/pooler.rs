//! Whether a transaction pooler stands in between: two connections that are open at once would
//! never share a process of the server otherwise.

use std::sync::Arc;
use std::time::Instant;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use waybill_protocol::{Finding, Result};

use super::SERVER;
use crate::postgres::session::{Server, text};

/// The finding.
pub(super) async fn findings(server: &Arc<Server>) -> Result<Vec<Finding>> {
    let shared = shared(server).await?;
    Ok(vec![match (shared, server.pooler) {
        (false, false) => Finding::pass(SERVER, "pooler", "none in between"),
        (true, true) => {
            Finding::pass(SERVER, "pooler", "a transaction pooler, and nothing relies on its sessions")
        }
        (false, true) => {
            Finding::pass(SERVER, "pooler", "pooler is set; two connections of this look shared no process")
        }
        (true, false) => Finding::fail(
            SERVER,
            "pooler",
            "a transaction pooler stands in between, and the settings do not say so",
        )
        .remedy("set pooler to true, or name the server itself as host and port"),
    }])
}

/// Whether two connections of ours were served by one process.
async fn shared(server: &Server) -> Result<bool> {
    let started = Instant::now();
    let limit = server.ctx.deadlines.query;
    let work = async {
        let (mut one, mut other) = (server.aside().await?, server.aside().await?);
        let first = process(&mut one).await?;
        let second = process(&mut other).await?;
        let again = process(&mut one).await?;
        let _ = tokio::join!(one.close(), other.close());
        Ok::<bool, sqlx::Error>(first == second || first != again)
    };
    let found = tokio::time::timeout(limit, work).await;
    match found {
        Ok(found) => found.map_err(|e| server.error(e, started, Some(limit))),
        Err(_) => Err(crate::deadline::exceeded(&server.ctx)),
    }
}

async fn process(conn: &mut PgConnection) -> std::result::Result<String, sqlx::Error> {
    let row =
        sqlx::raw_sql(AssertSqlSafe("SELECT pg_backend_pid()::text".to_owned())).fetch_one(conn).await?;
    Ok(text(&row, 0).ok().flatten().unwrap_or_default())
}
