//! Transactions that stay open: each widens the window of the streams that are read by cursor.

use serde::Deserialize;
use waybill_protocol::{Finding, Result};

use super::{SERVER, asked, some};
use crate::postgres::session::Session;

/// One that is older than this is worth a word, in seconds.
const OLD: f64 = 60.0;

#[derive(Debug, Deserialize)]
struct Open {
    who: String,
    /// Seconds; the start of another role's transactions is hidden from most.
    age: Option<f64>,
    end: String,
}

/// The finding.
pub(super) async fn findings(session: &mut Session) -> Result<Vec<Finding>> {
    let sql = "SELECT json_build_object('who', 'pid ' || a.pid || ' of ' || a.usename || coalesce(' (' || nullif(a.application_name, '') || ')', ''),
    'age', extract(epoch FROM clock_timestamp() - a.xact_start), 'end', 'SELECT pg_terminate_backend(' || a.pid || ')')::text
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted AND a.datname = current_database()
    AND a.usesysid IS NOT NULL AND l.pid <> pg_backend_pid()
UNION ALL
SELECT json_build_object('who', 'prepared transaction ' || quote_literal(gid) || ' of ' || owner,
    'age', extract(epoch FROM clock_timestamp() - prepared), 'end', 'ROLLBACK PREPARED ' || quote_literal(gid))::text
FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()";
    let open: Vec<Open> = asked(session, "look for open transactions", sql).await?;
    Ok(vec![told(&open)])
}

fn told(open: &[Open]) -> Finding {
    const NAME: &str = "open transactions";
    let old: Vec<&Open> = open.iter().filter(|one| one.age.is_some_and(|age| age >= OLD)).collect();
    if let Some(oldest) =
        old.iter().max_by(|a, b| a.age.partial_cmp(&b.age).unwrap_or(std::cmp::Ordering::Equal))
    {
        let shown = |one: &&Open| format!("{}, for {:.0} min", one.who, one.age.unwrap_or_default() / 60.0);
        let names: Vec<String> = old.iter().map(shown).collect();
        return Finding::warn(
            SERVER,
            NAME,
            format!("{}: reading by cursor begins again where they began", some(&names)),
        )
        .remedy(format!("let them end, or end them: {}", oldest.end));
    }
    let hidden = open.iter().filter(|one| one.age.is_none()).count();
    Finding::pass(
        SERVER,
        NAME,
        match (open.len(), hidden) {
            (0, _) => "none".to_owned(),
            (all, 0) => format!("{all}, none older than a minute"),
            (all, hidden) => {
                format!("{all}; of {hidden} the age is hidden (membership in pg_read_all_stats shows it)")
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::Status;

    #[test]
    fn old_transactions_are_named_with_the_way_to_end_the_oldest() {
        let open = |who: &str, age| Open { who: who.into(), age, end: format!("end {who}") };
        assert_eq!(told(&[]).status, Status::Pass);
        assert!(told(&[open("a", None), open("b", Some(3.0))]).detail.contains("of 1 the age is hidden"));
        let found = told(&[open("one", Some(120.0)), open("two", Some(7200.0)), open("new", Some(1.0))]);
        assert_eq!(found.status, Status::Warn);
        assert!(found.detail.contains("two, for 120 min") && !found.detail.contains("new"), "{found:?}");
        assert_eq!(found.remedy.unwrap(), "let them end, or end them: end two");
    }
}
