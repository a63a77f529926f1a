//! The fence of open transactions: who may still commit values below what was read.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use waybill_protocol::event::{Body, Events};
use waybill_protocol::{CursorValue, Error, Level, Result};

use super::reach;
use super::snapshot::Shape;
use crate::postgres::own::{self, Purpose, START};
use crate::postgres::session::{Session, text};

/// How long a run waits for open transactions when nothing bounds what they may still add.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits otherwise: most transactions are over by then.
const MOMENT: Duration = Duration::from_millis(200);

/// A transaction that is open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Holder {
    /// Its key in the state: `virtual:3/1234@<start of the server>` or `prepared:<gid>`.
    pub(super) key: String,
    /// Who holds it: pid, user, application; or gid, owner, prepared.
    pub(super) who: serde_json::Value,
    /// The same in words.
    pub(super) shown: String,
    /// How a person ends it.
    pub(super) end: String,
}

/// The transactions of this database that are open and stay so for a while, and may write what
/// `shape` reads. Looks at prepared ones in a statement after the others: what is prepared in
/// between is seen there. `patient` where it is worth waiting long for them to end.
pub(super) async fn holders(
    session: &mut Session,
    shape: &Shape,
    patient: bool,
    events: &Events,
) -> Result<Vec<Holder>> {
    let mut running = running(session, shape).await?;
    let mut prepared = prepared(session).await?;
    let begun = Instant::now();
    let mut pause = Duration::from_millis(10);
    let mut said = false;
    loop {
        // Whoever outlasted a long wait of this run once is not waited for so long again.
        let server = session.server();
        let worth = patient && running.iter().chain(&prepared).any(|h| !server.outlasted(&h.key));
        let until = begun + if worth { PATIENCE } else { MOMENT };
        let waits = !running.is_empty() || (worth && !prepared.is_empty());
        if !waits || Instant::now() + pause >= until {
            break;
        }
        if worth && !said && pause >= Duration::from_millis(80) {
            said = true;
            let names: Vec<&str> = running.iter().chain(&prepared).map(|h| h.shown.as_str()).collect();
            let message = format!("waiting up to 30s for open transactions to end: {}", names.join("; "));
            events.info(Body::Runtime { detail: serde_json::Value::Null }, message);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
        let still: BTreeSet<String> =
            self::running(session, shape).await?.into_iter().map(|h| h.key).collect();
        running.retain(|holder| still.contains(&holder.key));
        prepared = self::prepared(session).await?;
    }
    running.extend(prepared);
    if begun.elapsed() > MOMENT * 2 {
        running.iter().for_each(|holder| session.server().outlast(&holder.key));
    }
    Ok(running)
}

/// Transactions under way, without those of this process that cannot write what is read.
async fn running(session: &mut Session, shape: &Shape) -> Result<Vec<Holder>> {
    // A virtual transaction is never used again while the server runs; the start of the server
    // tells it from one of the same number after a restart, and everybody may see it.
    let sql = format!(
        "SELECT 'virtual:' || l.virtualtransaction || '@' || {START}, l.pid::text, a.usename::text, a.application_name \
        FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
        WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted \
        AND a.datname = current_database() AND a.usesysid IS NOT NULL AND l.pid <> pg_backend_pid()"
    );
    let rows = session.query("look for open transactions", &sql).await?;
    let mut found = Vec::new();
    for row in &rows {
        let field = |i| text(row, i).map(Option::unwrap_or_default);
        let key = field(0)?;
        let (pid, user, application) = (field(1)?, field(2)?, field(3)?);
        let mut shown = format!("pid {pid} of user {user} ({application})");
        match own::purpose(&key) {
            Some(Purpose::Reading) => continue,
            Some(Purpose::Loading(tables)) if !reach::reaches(session, &tables, shape).await? => continue,
            Some(Purpose::Loading(_)) => shown.push_str(", which is a load of Waybill itself"),
            None => {}
        }
        let who = json!({"pid": pid, "user": user, "application": application, "transaction": key});
        found.push(Holder { key, who, shown, end: format!("SELECT pg_terminate_backend({pid})") });
    }
    Ok(found)
}

async fn prepared(session: &mut Session) -> Result<Vec<Holder>> {
    let sql = "SELECT gid, owner::text, prepared::text FROM pg_catalog.pg_prepared_xacts \
        WHERE database = current_database()";
    let rows = session.query("look for prepared transactions", sql).await?;
    let holder = |row| -> Result<Holder> {
        let field = |i| text(row, i).map(Option::unwrap_or_default);
        let (gid, owner, since) = (field(0)?, field(1)?, field(2)?);
        Ok(Holder {
            key: format!("prepared:{gid}"),
            shown: format!("the prepared transaction {gid:?} of user {owner}"),
            end: format!("COMMIT PREPARED or ROLLBACK PREPARED {}", crate::postgres::sql::literal(&gid)),
            who: json!({"prepared": gid, "user": owner, "since": since}),
        })
    };
    rows.iter().map(holder).collect()
}

/// Says who forces the window to stay wide, loudly where nothing bounds it or where it has lasted
/// since an earlier run.
pub(super) fn report(
    events: &Events,
    holders: &[Holder],
    known: impl Fn(&str) -> bool,
    floor: Option<&CursorValue>,
) {
    for holder in holders {
        let old = known(&holder.key);
        let level = if old || floor.is_none() { Level::Warn } else { Level::Info };
        let effect = match floor {
            Some(floor) => format!("the next run reads again from {floor}"),
            None => "the next run reads everything again".to_owned(),
        };
        let since = if old { "still open since an earlier run" } else { "open" };
        let message = format!("{} is {since}: {effect}. End it to stop this", holder.shown);
        let floor = floor.map(CursorValue::plain);
        events.emit(level, Body::WindowWidened { holder: holder.who.clone(), floor }, message, None);
    }
}

/// What tells one server from another behind the same address.
pub(super) const SERVER_SQL: &str = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8::text || ' ' || pg_is_in_recovery()::text || ' ' || coalesce(inet_server_addr()::text, '')";

/// Both looks must have been at one server.
pub(super) fn same_server(before: &str, now: &str) -> Result<()> {
    if before == now {
        return Ok(());
    }
    Err(Error::new(waybill_protocol::Kind::Network, "two statements in a row reached two different servers")
        .hint("name one server as host, not a name that stands for several"))
}
