//! Whether runs can be written.

use waybill_protocol::{Check, Error, History, Kind, Origin, Result};

use super::columns::{RUNS, TABLES};
use super::layout::{self, Layout, NEWEST};
use super::{PgHistory, SCHEMA};
use crate::postgres::destination::tx::Tx;
use crate::postgres::session::text;
use crate::postgres::sql::literal;

const WRITE: &str = "write the run history";

/// What the server says about this user and the tables.
struct Facts {
    standby: bool,
    may_create: bool,
    may_write: bool,
    absent: bool,
    owner: bool,
}

/// Every finding; changes nothing.
pub(super) async fn check(history: &PgHistory) -> Result<Vec<Check>> {
    let mut tx = history.begin().await?;
    let facts = facts(&mut tx).await?;
    let server = &history.server;
    let version = format!("PostgreSQL {} at {}", server.facts().version_text, server.target);
    let user = &server.address().user;
    let refused = |what: String, hint: String| {
        let error = Error::new(Kind::Permission, what).hint(hint);
        Check::failed(WRITE, &error.origin(Origin::Destination))
    };
    let found = if facts.standby {
        refused("the server is a standby and takes no writes".to_owned(), "name the primary".to_owned())
    } else if !facts.may_write {
        let what = format!("user {user} may not write the tables of the run history");
        refused(what, layout::to_write(user))
    } else {
        let layout = if facts.absent { Layout::Absent } else { layout::look(&mut tx).await? };
        match layout {
            Layout::Newer(version) => Check::failed("layout", &layout::newer(version, &history.place())),
            Layout::Absent if !facts.may_create => {
                let what = format!("user {user} may not create tables in schema {SCHEMA}");
                refused(what, layout::to_make(user))
            }
            Layout::Absent => Check::passed("layout", "the first run makes the tables"),
            Layout::Known(version) if version < NEWEST && !facts.owner => refused(
                format!("the tables have layout {version}, and only their owner can bring them to {NEWEST}"),
                "run waybill history sync once as their owner".to_owned(),
            ),
            Layout::Known(version) if version < NEWEST => {
                Check::passed("layout", format!("the next run brings it from {version} to {NEWEST}"))
            }
            Layout::Known(version) => Check::passed("layout", format!("{version}; {}", held(&mut tx).await?)),
        }
    };
    tx.rollback().await;
    Ok(vec![Check::passed("connect", version), found])
}

async fn facts(tx: &mut Tx) -> Result<Facts> {
    let (schema, version) = (literal(SCHEMA), literal(&layout::version_table()));
    let tables = TABLES.iter().map(|known| known.sql()).chain([layout::version_table()]);
    let rights: Vec<String> = tables
        .flat_map(|table| {
            ["SELECT", "INSERT", "UPDATE", "DELETE"].map(|right| {
                // A table that is not there yet withholds nothing.
                format!(
                    "coalesce(has_table_privilege(to_regclass({})::oid, '{right}'), true)",
                    literal(&table)
                )
            })
        })
        .collect();
    let sql = format!(
        "SELECT pg_is_in_recovery()::text, \
         (has_schema_privilege({schema}, 'CREATE') AND has_schema_privilege({schema}, 'USAGE'))::text, \
         ({})::text, (to_regclass({version}) IS NULL)::text, \
         coalesce((SELECT pg_has_role(c.relowner, 'USAGE')::text FROM pg_catalog.pg_class c \
         WHERE c.oid = to_regclass({version})), 'true')",
        rights.join(" AND ")
    );
    let rows = tx.run(&sql).await?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer to a query without FROM"))?;
    let yes = |index| text(row, index).map(|value| value.as_deref() == Some("true"));
    Ok(Facts { standby: yes(0)?, may_create: yes(1)?, may_write: yes(2)?, absent: yes(3)?, owner: yes(4)? })
}

/// How many runs there are.
async fn held(tx: &mut Tx) -> Result<String> {
    let sql = format!("SELECT count(*)::text, max(started_at)::text FROM {}", RUNS.sql());
    let rows = tx.run(&sql).await?;
    let field = |at| rows.first().map(|row| text(row, at)).transpose().map(Option::flatten);
    let newest = field(1)?.map(|newest| format!(", the newest of {newest}")).unwrap_or_default();
    Ok(format!("{} runs{newest}", field(0)?.unwrap_or_default()))
}
