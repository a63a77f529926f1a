//! The server as it stands: what is the same whatever is read or written (pure).

use waybill_protocol::{Finding, Role};

use super::facts::Facts;
use super::provider::provider;
use super::{SERVER, some};
use crate::postgres::session::Server;
use crate::postgres::sql::ident;

/// A clock that is further off than this is worth knowing, in seconds.
const CLOCK: f64 = 5.0;
/// The least connections that a run does its work with.
const FEWEST: i64 = 2;

/// Every finding.
pub(super) fn findings(role: Role, server: &Server, facts: &Facts) -> Vec<Finding> {
    let version = server.facts();
    let reached = Finding::pass(SERVER, "reachable", server.host_port());
    let known = match version.version >= 100_000 {
        true => Finding::pass(SERVER, "version", format!("PostgreSQL {}", version.version_text)),
        false => Finding::fail(SERVER, "version", format!("PostgreSQL {} is too old", version.version_text))
            .remedy("version 10 is the oldest that works; upgrade the server"),
    };
    let pool = i64::try_from(server.pool().max).unwrap_or(i64::MAX);
    vec![
        reached,
        tls(facts, server.address().asked_tls()),
        login(facts),
        known,
        Finding::pass(SERVER, "provider", provider(facts)),
        replica(role, facts),
        Finding::pass(SERVER, "database", facts.database.clone()),
        connections(facts, pool),
        timeouts(facts),
        clock(facts.ahead),
        Finding::pass(SERVER, "time zone", format!("{}; Waybill's own sessions use UTC", facts.zone)),
        encoding(role, &facts.encoding),
        disk(facts),
    ]
}

fn tls(facts: &Facts, asked: &str) -> Finding {
    match &facts.tls {
        Some(tls) => Finding::pass(SERVER, "TLS", format!("{tls}; {asked}")),
        None if facts.local => Finding::pass(SERVER, "TLS", "none, and none is needed on one machine"),
        None => Finding::warn(SERVER, "TLS", "data and queries travel unencrypted")
            .remedy("set tls to verify-full, with ca_file where the server's authority is a private one"),
    }
}

fn login(facts: &Facts) -> Finding {
    let login = Finding::pass(SERVER, "login", format!("as {}", facts.user));
    match facts.expires.filter(|days| *days < 14.0) {
        None => login,
        Some(days) => {
            let user = ident(&facts.user);
            Finding::warn(
                SERVER,
                "login",
                format!("as {}, whose password expires in {:.0} days", facts.user, days.max(0.0)),
            )
            .remedy(format!("have it renewed: ALTER ROLE {user} VALID UNTIL '…'"))
        }
    }
}

fn replica(role: Role, facts: &Facts) -> Finding {
    const NAME: &str = "writer or replica";
    match (facts.standby, role) {
        (false, _) => Finding::pass(SERVER, NAME, "writer"),
        (true, Role::Destination) => Finding::fail(SERVER, NAME, "a replica, which takes no writes")
            .remedy("set host to the primary's (the writer endpoint)"),
        (true, Role::Source) => {
            let delay = facts.limits.get("max_standby_streaming_delay").map_or("0", String::as_str);
            let detail = match delay {
                "-1" => "a replica".to_owned(),
                delay => {
                    format!(
                        "a replica: it ends a long read when the primary's changes have waited {delay} ms for it"
                    )
                }
            };
            Finding::warn(SERVER, NAME, detail).remedy(
                "incremental streams need a lookback here; for long reads set hot_standby_feedback = on, or read the primary",
            )
        }
    }
}

fn connections(facts: &Facts, pool: i64) -> Finding {
    const NAME: &str = "free connections";
    let limits = [
        ("server", facts.places, facts.used),
        ("role", facts.role_places, facts.role_used),
        ("database", facts.database_places, facts.database_used),
    ];
    // This look has one of them itself, which a run has again.
    let free = |(_, places, used): &(&str, i64, i64)| (*places - *used + 1).max(0);
    let Some(tightest) = limits.iter().filter(|(_, places, _)| *places >= 0).min_by_key(|limit| free(limit))
    else {
        return Finding::pass(SERVER, NAME, "no limit");
    };
    let (whose, places, _) = tightest;
    let left = free(tightest);
    let detail = format!("{left} of the {places} of the {whose}; a run opens up to {pool}");
    if left >= pool.saturating_add(1) {
        Finding::pass(SERVER, NAME, detail)
    } else if *places < FEWEST {
        Finding::fail(SERVER, NAME, format!("{detail}, and needs {FEWEST}"))
            .remedy(format!("raise the connection limit of the {whose}"))
    } else {
        Finding::warn(SERVER, NAME, detail)
            .remedy("set pool.max lower, free some, or raise the limit; a run waits and tries again")
    }
}

/// A run lifts the limits that can be lifted for its own transactions.
fn timeouts(facts: &Facts) -> Finding {
    const NAME: &str = "timeouts";
    let of = |name: &str| facts.limits.get(name).map(|ms| format!("{name} {ms} ms"));
    let lasting: Vec<String> =
        ["transaction_timeout", "idle_session_timeout"].into_iter().filter_map(of).collect();
    let lifted: Vec<String> = ["statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"]
        .into_iter()
        .filter_map(of)
        .collect();
    if !lasting.is_empty() {
        let user = ident(&facts.user);
        let names: Vec<&str> = lasting.iter().filter_map(|text| text.split(' ').next()).collect();
        return Finding::warn(SERVER, NAME, format!("a long read would meet {}", some(&lasting))).remedy(
            format!(
                "ALTER ROLE {user} SET {} = 0",
                names.join(format!(" = 0; ALTER ROLE {user} SET ").as_str())
            ),
        );
    }
    match lifted.is_empty() {
        true => Finding::pass(SERVER, NAME, "none that a long read would meet"),
        false => {
            Finding::pass(SERVER, NAME, format!("{}: lifted for a run's own transactions", some(&lifted)))
        }
    }
}

fn clock(ahead: f64) -> Finding {
    const NAME: &str = "clock";
    if ahead.abs() < CLOCK {
        return Finding::pass(SERVER, NAME, "the same as here");
    }
    let side = if ahead > 0.0 { "behind" } else { "ahead of" };
    Finding::warn(SERVER, NAME, format!("the server's is {:.0} s {side} this machine's", ahead.abs()))
        .remedy("have both set their clock by the network (NTP)")
}

fn encoding(role: Role, encoding: &str) -> Finding {
    const NAME: &str = "encoding";
    match (role, encoding) {
        (_, "UTF8") => Finding::pass(SERVER, NAME, "UTF8"),
        (Role::Source, "SQL_ASCII") => {
            Finding::warn(SERVER, NAME, "SQL_ASCII: the server does not check its texts")
                .remedy("a text that is not UTF-8 fails its stream: mend it, or leave its column out")
        }
        (Role::Source, other) => {
            Finding::pass(SERVER, NAME, format!("{other}, which the server turns into UTF-8"))
        }
        (Role::Destination, other) => {
            Finding::warn(SERVER, NAME, format!("{other}: characters that it lacks fail to load"))
                .remedy("load into a database with encoding UTF8")
        }
    }
}

fn disk(facts: &Facts) -> Finding {
    let size = facts.size.max(0) as f64;
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let power = ((size.max(1.0).log2() / 10.0) as usize).min(units.len() - 1);
    let shown = size / 1024_f64.powi(power as i32);
    let unit = units.get(power).copied().unwrap_or("bytes");
    let more = match facts.tablespaces > 2 {
        true => format!(", in {} tablespaces", facts.tablespaces - 1),
        false => String::new(),
    };
    let detail = format!("the database has {shown:.0} {unit}{more}; free space cannot be seen from here");
    Finding::pass(SERVER, "disk", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::Status;

    #[test]
    fn the_tightest_limit_of_connections_decides() {
        let facts = |places, used, role_places| Facts {
            places,
            used,
            role_places,
            role_used: 1,
            database_places: -1,
            ..Facts::default()
        };
        assert_eq!(connections(&facts(97, 10, -1), 5).status, Status::Pass);
        let tight = connections(&facts(97, 95, -1), 5);
        assert_eq!(tight.status, Status::Warn);
        assert!(tight.detail.starts_with("3 of the 97 of the server"), "{}", tight.detail);
        let role = connections(&facts(97, 10, 3), 5);
        assert!(role.detail.starts_with("3 of the 3 of the role"), "{}", role.detail);
        assert_eq!(connections(&facts(97, 10, 1), 5).status, Status::Fail);
    }

    #[test]
    fn limits_that_a_run_cannot_lift_are_warned_of() {
        let with = |names: &[&str]| Facts {
            user: "me".into(),
            limits: names.iter().map(|name| ((*name).to_owned(), "1000".to_owned())).collect(),
            ..Facts::default()
        };
        assert_eq!(timeouts(&with(&[])).status, Status::Pass);
        let lifted = timeouts(&with(&["statement_timeout"]));
        assert!(lifted.status == Status::Pass && lifted.detail.contains("lifted"), "{lifted:?}");
        let lasting = timeouts(&with(&["transaction_timeout", "idle_session_timeout"]));
        assert_eq!(lasting.status, Status::Warn);
        assert_eq!(
            lasting.remedy.unwrap(),
            "ALTER ROLE \"me\" SET transaction_timeout = 0; ALTER ROLE \"me\" SET idle_session_timeout = 0"
        );
    }

    #[test]
    fn a_clock_that_is_off_is_said_with_its_side() {
        assert_eq!(clock(0.4).status, Status::Pass);
        assert!(clock(90.0).detail.contains("90 s behind"));
        assert!(clock(-90.0).detail.contains("90 s ahead of"));
    }
}
