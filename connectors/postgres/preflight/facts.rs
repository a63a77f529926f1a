//! What the server shows about itself and about this role, in one question.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use waybill_protocol::Result;

use super::asked_one;
use crate::postgres::session::Session;

/// What the server shows.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Facts {
    pub(super) user: String,
    pub(super) database: String,
    /// Roles that only a provider's servers have.
    pub(super) roles: Vec<String>,
    /// Settings that only a provider's servers have.
    pub(super) settings: Vec<String>,
    pub(super) aurora: bool,
    pub(super) standby: bool,
    /// Seconds since 1970 by the server's clock.
    pub(super) now: f64,
    pub(super) encoding: String,
    /// The zone of the server's own sessions, as far as it can be seen.
    pub(super) zone: String,
    /// Version and cipher.
    pub(super) tls: Option<String>,
    /// Whether the two ends are on one machine.
    pub(super) local: bool,
    pub(super) size: i64,
    pub(super) tablespaces: i64,
    /// Connections that ordinary roles may have.
    pub(super) places: i64,
    pub(super) used: i64,
    /// Negative where there is no limit.
    pub(super) role_places: i64,
    pub(super) role_used: i64,
    pub(super) database_places: i64,
    pub(super) database_used: i64,
    /// Days until the password expires.
    pub(super) expires: Option<f64>,
    /// Limits that sessions of this role begin with, in milliseconds.
    pub(super) limits: BTreeMap<String, String>,
    /// How far this machine's clock is ahead of the server's, in seconds.
    #[serde(skip)]
    pub(super) ahead: f64,
}

/// Our own sessions say UTC at their start: what the server would take stands in the settings of
/// role and database, else its log's zone is the best that can be seen.
const ZONE: &str = "coalesce((SELECT split_part(c, '=', 2) FROM pg_catalog.pg_db_role_setting s
        CROSS JOIN LATERAL unnest(s.setconfig) c
        WHERE c ILIKE 'timezone=%' AND s.setdatabase IN (0, d.oid) AND s.setrole IN (0, r.oid)
        ORDER BY s.setrole DESC, s.setdatabase DESC LIMIT 1), current_setting('log_timezone'))";

/// Asks.
pub(super) async fn facts(session: &mut Session) -> Result<Facts> {
    let sql = format!(
        "SELECT json_build_object('user', current_user, 'database', current_database(),
    'roles', coalesce((SELECT json_agg(rolname) FROM pg_catalog.pg_roles WHERE rolname IN ('rds_superuser',
        'cloudsqlsuperuser', 'azure_pg_admin', 'supabase_admin', 'neon_superuser', 'alloydbsuperuser')), '[]'),
    'settings', coalesce((SELECT json_agg(name) FROM pg_catalog.pg_settings
        WHERE name ~ '^(rds|apg|cloudsql|azure|neon|supautils|alloydb)\\.'), '[]'),
    'aurora', EXISTS (SELECT 1 FROM pg_catalog.pg_proc WHERE proname = 'aurora_version'),
    'standby', pg_catalog.pg_is_in_recovery(), 'encoding', current_setting('server_encoding'), 'zone', {ZONE},
    'now', extract(epoch FROM clock_timestamp()),
    'tls', (SELECT version || ', ' || cipher FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
    'local', coalesce(inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() <<= '::1/128', true),
    'size', pg_catalog.pg_database_size(d.oid),
    'tablespaces', (SELECT count(*) FROM pg_catalog.pg_tablespace),
    'places', current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
        - coalesce(current_setting('reserved_connections', true)::int8, 0),
    'used', (SELECT sum(numbackends) FROM pg_catalog.pg_stat_database),
    'role_places', r.rolconnlimit, 'role_used', (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usesysid = r.oid),
    'database_places', d.datconnlimit, 'database_used', (SELECT sum(numbackends) FROM pg_catalog.pg_stat_database WHERE datid = d.oid),
    'expires', CASE WHEN isfinite(r.rolvaliduntil) THEN extract(epoch FROM r.rolvaliduntil - now()) / 86400 END,
    'limits', coalesce((SELECT json_object_agg(name, reset_val) FROM pg_catalog.pg_settings WHERE reset_val <> '0' AND name IN
        ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout',
        'lock_timeout', 'max_standby_streaming_delay')), '{{}}'))::text
FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
WHERE d.datname = current_database() AND r.rolname = current_user"
    );
    let before = SystemTime::now();
    let mut facts: Facts = asked_one(session, "look at the server", &sql).await?;
    let seconds =
        |time: SystemTime| time.duration_since(UNIX_EPOCH).map(|d| d.as_secs_f64()).unwrap_or_default();
    // It answered between the two, most likely in the middle.
    let (before, after) = (seconds(before), seconds(SystemTime::now()));
    let own = (before + after) / 2.0;
    let unsure = (after - before) / 2.0;
    let ahead = own - facts.now;
    facts.ahead = if ahead.abs() <= unsure { 0.0 } else { ahead };
    Ok(facts)
}
