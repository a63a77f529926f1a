//! Whether the source can be reached and read.

use std::sync::Arc;

use waybill_protocol::{Check, Error, Kind, Result};

use crate::postgres::session::{Server, Session, text};

/// Every finding.
pub(super) async fn check(server: &Arc<Server>) -> Result<Vec<Check>> {
    let facts = server.facts();
    let mut session = match server.session().await {
        Ok(session) => session,
        Err(error) => return Ok(vec![Check::failed("connect", &error)]),
    };
    let mut checks = vec![
        Check::passed("connect", format!("PostgreSQL {} at {}", facts.version_text, server.target)),
        version(facts.version),
    ];
    checks.push(found("encryption", encryption(&mut session).await));
    checks.push(found("read", read(&mut session).await));
    if facts.standby {
        checks.push(Check {
            warning: Some("the server is a standby: incremental reading needs a lookback per stream".into()),
            ..Check::passed("role of the server", "standby")
        });
    }
    if facts.encoding == "SQL_ASCII" {
        checks.push(Check {
            warning: Some(
                "the server does not check its texts: one that is not UTF-8 fails its stream".into(),
            ),
            ..Check::passed("encoding", "SQL_ASCII")
        });
    }
    session.release();
    Ok(checks)
}

fn found(what: &str, finding: Result<Check>) -> Check {
    finding.unwrap_or_else(|error| Check::failed(what, &error))
}

fn version(number: u32) -> Check {
    let what = "server version";
    let shown = format!("{}", number / 10_000);
    if number >= 100_000 {
        return Check::passed(what, shown);
    }
    let error = Error::new(Kind::Config, format!("PostgreSQL {shown} is too old"))
        .hint("version 10 is the oldest that works; upgrade the server");
    Check::failed(what, &error)
}

async fn encryption(session: &mut Session) -> Result<Check> {
    let sql = "SELECT coalesce((SELECT version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), ''), \
        coalesce(inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() <<= '::1/128', true)::text";
    let rows = session.query("check the encryption", sql).await?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer to a query without FROM"))?;
    let (tls, local) = (text(row, 0)?.unwrap_or_default(), text(row, 1)?);
    let mut check = match tls.as_str() {
        "" => Check::passed("encryption", "not encrypted"),
        version => Check::passed("encryption", version),
    };
    if tls.is_empty() && local.as_deref() != Some("true") {
        check.warning = Some("data and queries travel unencrypted: set tls to require or verify".into());
    }
    Ok(check)
}

async fn read(session: &mut Session) -> Result<Check> {
    let sql = format!(
        "SELECT count(*)::text, count(*) FILTER (WHERE pg_catalog.has_any_column_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))::text, current_user::text \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {}",
        super::relation::ORDINARY
    );
    let rows = session.query("check what may be read", &sql).await?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer to a count"))?;
    let count = |i| text(row, i).map(|t| t.and_then(|t| t.parse::<u64>().ok()).unwrap_or(0));
    let (all, readable, user) = (count(0)?, count(1)?, text(row, 2)?.unwrap_or_default());
    if all > 0 && readable == 0 {
        let error =
            Error::new(Kind::Permission, format!("user {user} may read none of the {all} tables and views"))
                .hint(format!("GRANT USAGE ON SCHEMA …, and GRANT SELECT ON … TO {user}"));
        return Ok(Check::failed("read", &error));
    }
    let mut check = Check::passed("read", format!("{readable} of {all} tables and views"));
    if all == 0 {
        check.warning = Some("the database has no tables and views".into());
    }
    Ok(check)
}
