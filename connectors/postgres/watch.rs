//! The watchdog of statements that may take as long as they take: whether the server is still at
//! work on one, asked over another connection.
//!
//! A server that says that it works is believed. One that cannot be asked, one that waits for its
//! client while that waits for it, and one that waits for a lock of somebody else all this time are
//! not at work: then the stall limit counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::Connection;
use sqlx::postgres::PgRow;
use waybill_protocol::event::Body;
use waybill_protocol::{Error, Kind, Origin, Result};

use super::session::{Server, text};
use super::sql::literal;

/// The process that serves a connection: its pid, and when it started, as the server writes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Backend {
    /// Its pid; 0 where it is not known, as behind a pooler between transactions.
    pub(super) pid: i32,
    /// With the pid it is unique.
    pub(super) since: String,
}

impl Backend {
    /// The columns of a query that asks for it.
    pub(super) const COLUMNS: &str = "pg_backend_pid()::text, coalesce((SELECT backend_start::text FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()), '')";

    /// As the first two columns of a row have it.
    pub(super) fn of(row: &PgRow) -> Result<Backend> {
        let pid = text(row, 0)?.and_then(|t| t.parse().ok()).unwrap_or(0);
        Ok(Backend { pid, since: text(row, 1)?.unwrap_or_default() })
    }

    /// The condition that it is the one of row `a` in pg_stat_activity.
    fn condition(&self) -> Option<String> {
        let since = || format!(" AND a.backend_start = {}", literal(&self.since));
        let since = if self.since.is_empty() { String::new() } else { since() };
        (self.pid != 0).then(|| format!("a.pid = {}{since}", self.pid))
    }

    /// The same where it is sure that it still serves whom it served.
    pub(super) fn own_condition(&self) -> Option<String> {
        self.condition().filter(|_| !self.since.is_empty())
    }
}

/// What a look at a statement found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Look {
    /// The server works on it; what is to be seen of that.
    Works(String),
    /// It waits for somebody else's lock.
    Blocked {
        /// Which lock, exactly.
        lock: String,
        /// Who holds it, in words.
        by: String,
        /// How a person ends that.
        end: String,
    },
    /// It waits for us, is over, or the server cannot be asked.
    Gone,
}

/// How soon to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// After the stall limit.
    None,
    /// Already after the query limit: at what seldom takes as long.
    Some,
}

/// Looks again and again at the statement of a connection.
#[derive(Clone)]
pub(super) struct Watch {
    server: Arc<Server>,
    backend: Backend,
}

impl Watch {
    pub(super) fn new(server: Arc<Server>, backend: Backend) -> Watch {
        Watch { server, backend }
    }

    /// Ends when nobody works on what was sent just now: two looks in a row say so, the stall limit
    /// apart. Work may take as long as it takes, and is said while it lasts.
    pub(super) async fn gone_silent(self, haste: Haste) -> Error {
        let limits = self.server.ctx.deadlines;
        match haste {
            Haste::None => self.gone(limits.stall, false).await,
            Haste::Some => self.gone(limits.stall.min(limits.query), false).await,
        }
    }

    /// The same for the bytes of a COPY that are owed, or are to be taken: that the server says it
    /// works is not enough when nothing of its work is to be seen from one look to the next.
    pub(super) async fn bytes_missing(self) -> Error {
        let stall = self.server.ctx.deadlines.stall;
        self.gone(stall, true).await
    }

    async fn gone(self, every: Duration, strict: bool) -> Error {
        let started = Instant::now();
        let limits = self.server.ctx.deadlines;
        let mut before = None;
        // Worth a word long before it is worth a doubt.
        let early = limits.slow_query;
        let mut wait = every;
        if early < every {
            tokio::time::sleep(early).await;
            let look = self.look().await;
            self.say(&look, started);
            before = Some(look).filter(|look| *look != Look::Gone);
            wait = every.saturating_sub(early);
        }
        loop {
            tokio::time::sleep(wait).await;
            let look = self.look().await;
            // Once is not enough: another lock is another wait, and an answer may be on its way.
            let fatal = match &look {
                Look::Gone => true,
                Look::Blocked { .. } => started.elapsed() >= limits.stall,
                Look::Works(_) => strict,
            };
            if fatal && before.as_ref() == Some(&look) {
                return self.gave_up(&look, started);
            }
            self.say(&look, started);
            // What is on its way comes sooner than the end of some work.
            wait = if strict && look == Look::Gone { every.min(Duration::from_secs(1)) } else { every };
            before = Some(look);
        }
    }

    /// What the server says about the statement now.
    pub(super) async fn look(&self) -> Look {
        let server = &self.server;
        let asking = async {
            let mut conn = server.aside().await?;
            let found = sqlx::raw_sql(AssertSqlSafe(self.sql())).fetch_optional(&mut conn);
            // A pooler lets in whom it has no connection for yet: then nothing is known.
            let found = match tokio::time::timeout(server.connect_timeout() / 2, found).await {
                Err(_) if server.pooler => return Ok(Look::Works("not known behind the pooler".to_owned())),
                Err(_) => return Ok(Look::Gone),
                Ok(found) => found?,
            };
            let _ = conn.close().await;
            Ok::<Look, sqlx::Error>(found.as_ref().map_or(Look::Gone, read))
        };
        match tokio::time::timeout(server.connect_timeout(), asking).await {
            Ok(Ok(look)) => look,
            // It answers, and lets nobody in: of the statement nothing is known.
            Ok(Err(sqlx::Error::Database(error))) => {
                Look::Works(format!("not known: {}", error.code().unwrap_or_default()))
            }
            _ => Look::Gone,
        }
    }

    fn sql(&self) -> String {
        // Behind a pooler, between transactions, it is enough that the server can be asked.
        let process = self.backend.condition().unwrap_or_else(|| "a.pid = pg_backend_pid()".to_owned());
        let progress = match self.server.facts().version >= 140_000 {
            true => {
                "(SELECT p.tuples_processed::text FROM pg_catalog.pg_stat_progress_copy p WHERE p.pid = a.pid)"
            }
            false => "NULL",
        };
        // Who holds the lock is asked only where it waits for one: that is dear.
        let holders = |shown: &str| {
            format!(
                "CASE WHEN a.wait_event_type = 'Lock' THEN (SELECT string_agg({shown}, '; ') \
                 FROM pg_catalog.pg_stat_activity b WHERE b.pid = ANY(pg_catalog.pg_blocking_pids(a.pid))) END"
            )
        };
        format!(
            "SELECT coalesce(a.state, 'active'), a.wait_event_type, a.wait_event, {progress}, \
             (SELECT string_agg(l::text, ' ') FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND NOT l.granted), {}, {} \
             FROM pg_catalog.pg_stat_activity a WHERE {process}",
            holders(
                "'pid ' || b.pid || ' of user ' || coalesce(b.usename, '?') || ' (' || coalesce(b.application_name, '') || ')'"
            ),
            holders("'SELECT pg_terminate_backend(' || b.pid || ')'"),
        )
    }

    /// Says what a look found, in words of the event log.
    pub(super) fn say(&self, look: &Look, started: Instant) {
        let (host, ms) = (self.server.host_port(), u64::try_from(started.elapsed().as_millis()).unwrap_or(0));
        let events = &self.server.ctx.events;
        match look {
            Look::Works(at) => {
                let message = format!("a statement has been at work at {host} for {} s", ms / 1000);
                events.info(Body::Runtime { detail: serde_json::json!({"ms": ms, "at": at}) }, message);
            }
            Look::Blocked { by, .. } => {
                let lock = format!("a lock of {by}");
                let message = format!("a statement has waited {ms} ms at {host} for {lock}");
                let detail = serde_json::json!({"lock": lock, "ms": ms});
                let body = match self.server.origin() {
                    Origin::Destination => Body::LockWaited { lock, ms },
                    _ => Body::Runtime { detail },
                };
                events.warn(body, message);
            }
            Look::Gone => {}
        }
    }

    /// The error of a statement that is waited for no longer.
    pub(super) fn gave_up(&self, look: &Look, started: Instant) -> Error {
        let (server, time) = (&self.server, shown(started));
        let (host, longer) = (server.host_port(), server.ctx.raise_stall());
        let (message, look) = match look {
            Look::Blocked { by, end, .. } => (
                format!("{host} has waited for a lock for {time}: {by} holds it"),
                format!("let that transaction end, or end it ({end})"),
            ),
            Look::Works(at) if at.is_empty() => (
                format!("{host} moved nothing for {time}, though it says that it works"),
                "look what the statement does (pg_stat_activity)".to_owned(),
            ),
            Look::Works(at) => (
                format!("{host} moved nothing for {time}, though it says that it works ({at})"),
                "look what the statement does (pg_stat_activity)".to_owned(),
            ),
            Look::Gone => (
                format!("no answer from {host} for {time}"),
                "look whether the server and the way to it are well".to_owned(),
            ),
        };
        let error = Error::new(Kind::Timeout, message).origin(server.origin());
        error.hint(format!("{look}; to wait longer: {longer}"))
    }
}

fn shown(started: Instant) -> String {
    let elapsed = started.elapsed();
    match elapsed.as_secs() {
        0..10 => format!("{:.1}s", elapsed.as_secs_f64()),
        seconds => format!("{seconds}s"),
    }
}

fn read(row: &PgRow) -> Look {
    let field = |index| text(row, index).ok().flatten().unwrap_or_default();
    let (state, kind, event) = (field(0), field(1), field(2));
    match (state.as_str(), kind.as_str()) {
        // One that waits for its client, to hear the rest of it or to be heard, is not at work.
        ("active", "Client") => Look::Gone,
        ("active", "Lock") => Look::Blocked {
            lock: field(4),
            by: or(field(5), "a transaction that is not known"),
            end: or(field(6), "ROLLBACK PREPARED"),
        },
        // What it does is not kept track of.
        ("disabled", _) => Look::Works(String::new()),
        ("active", _) => Look::Works(format!("{kind} {event} {}", field(3)).trim().to_owned()),
        _ => Look::Gone,
    }
}

fn or(known: String, otherwise: &str) -> String {
    if known.is_empty() { otherwise.to_owned() } else { known }
}
