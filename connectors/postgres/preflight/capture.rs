//! What reading changes from the server's log would need. Nothing needs it yet: nothing here fails.

use serde::Deserialize;
use waybill_protocol::{Errand, Finding, Result};

use super::tables::{Table, selection};
use super::{CAPTURE, asked_one, some};
use crate::postgres::session::Session;

#[derive(Debug, Deserialize)]
struct Log {
    wal_level: String,
    slots: i64,
    max_slots: i64,
    senders: i64,
    max_senders: i64,
    replication: bool,
    user: String,
}

/// Every finding.
pub(super) async fn findings(
    session: &mut Session,
    tables: &[Table],
    errand: &Errand,
) -> Result<Vec<Finding>> {
    let sql = "SELECT json_build_object('wal_level', current_setting('wal_level'),
    'slots', (SELECT count(*) FROM pg_catalog.pg_replication_slots), 'max_slots', current_setting('max_replication_slots')::int8,
    'senders', (SELECT count(*) FROM pg_catalog.pg_stat_replication), 'max_senders', current_setting('max_wal_senders')::int8,
    'replication', r.rolreplication OR r.rolsuper OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles g
        WHERE g.rolname = 'rds_replication' AND pg_has_role(r.oid, g.oid, 'USAGE')), 'user', r.rolname)::text
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let log: Log = asked_one(session, "look at the server's log of changes", sql).await?;
    let selected: Vec<&Table> = tables
        .iter()
        .filter(|table| errand.streams.is_empty() || selection(errand, table).is_some())
        .collect();
    Ok(told(&log, &selected))
}

fn told(log: &Log, tables: &[&Table]) -> Vec<Finding> {
    let mut found = vec![match log.wal_level.as_str() {
        "logical" => Finding::pass(CAPTURE, "wal_level", "logical"),
        other => Finding::warn(CAPTURE, "wal_level", other).remedy(
            "ALTER SYSTEM SET wal_level = logical, and a restart (managed servers: their parameter group)",
        ),
    }];
    for (name, used, most, setting) in [
        ("replication slots", log.slots, log.max_slots, "max_replication_slots"),
        ("WAL senders", log.senders, log.max_senders, "max_wal_senders"),
    ] {
        let detail = format!("{used} of {most} used");
        found.push(match used < most {
            true => Finding::pass(CAPTURE, name, detail),
            false => Finding::warn(CAPTURE, name, detail).remedy(format!("raise {setting}")),
        });
    }
    found.push(Finding::pass(
        CAPTURE,
        "output plugins",
        "pgoutput is built in; others cannot be seen from here",
    ));
    found.push(match log.replication {
        true => Finding::pass(CAPTURE, "REPLICATION", format!("role {} has it", log.user)),
        false => {
            Finding::warn(CAPTURE, "REPLICATION", format!("role {} lacks it", log.user)).remedy(format!(
                "ALTER ROLE {} REPLICATION (on RDS: GRANT rds_replication TO it)",
                crate::postgres::sql::ident(&log.user)
            ))
        }
    });
    let without: Vec<String> = tables
        .iter()
        .filter(|t| matches!(t.kind.as_str(), "r" | "p"))
        .filter(|t| t.identity == "n" || (t.identity == "d" && !t.keyed))
        .map(|t| t.stream())
        .collect();
    found.push(match without.is_empty() {
        true => Finding::pass(CAPTURE, "replica identity", "each table tells its rows apart"),
        false => Finding::warn(
            CAPTURE,
            "replica identity",
            format!("nothing tells the rows of {} apart", some(&without)),
        )
        .remedy("a primary key, or ALTER TABLE … REPLICA IDENTITY"),
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::Status;

    #[test]
    fn what_is_missing_is_said_and_never_a_failure() {
        let log = |wal_level: &str, slots, replication| Log {
            wal_level: wal_level.into(),
            slots,
            max_slots: 10,
            senders: 0,
            max_senders: 10,
            replication,
            user: "me".into(),
        };
        let keyless = Table { kind: "r".into(), identity: "d".into(), ..Table::default() };
        let missing = told(&log("replica", 10, false), &[&keyless]);
        let bad: Vec<&str> =
            missing.iter().filter(|f| f.status == Status::Warn).map(|f| f.name.as_str()).collect();
        assert_eq!(bad, ["wal_level", "replication slots", "REPLICATION", "replica identity"]);
        assert!(told(&log("logical", 1, true), &[]).iter().all(|f| f.status == Status::Pass));
    }
}
