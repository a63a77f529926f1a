//! Why a connection could not be made: what can be found out beside what the driver said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::address::Address;
use super::session::text;
use super::sql::literal;

/// How long may be looked, whatever for.
const LOOK: Duration = Duration::from_secs(2);
/// Names of databases that are said, at most.
const DATABASES: usize = 20;

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The host's name is not known; `passing` where the ones that know names could not be asked.
    NoSuchHost { passing: bool },
    /// What the host's name stands for here, and an address of this machine that answers instead.
    Addresses { tried: Vec<IpAddr>, answers: Option<IpAddr> },
    /// The databases that this user may connect to.
    Databases(Vec<String>),
}

/// Looks closer at a failure to connect. Takes a moment, and never fails.
pub(super) async fn look(
    error: &sqlx::Error,
    address: &Address,
    options: &PgConnectOptions,
    tunnelled: bool,
) -> Option<Found> {
    let look = async {
        match error {
            sqlx::Error::Database(report) if report.code().is_some_and(|code| code == "3D000") => {
                databases(options, &address.database).await
            }
            // Through a tunnel the names and addresses are those of its far end.
            sqlx::Error::Io(io) if !tunnelled && !address.host.starts_with('/') && !reached(io) => {
                addresses(address).await
            }
            _ => None,
        }
    };
    timeout(LOOK, look).await.ok().flatten()
}

/// Whether there was a connection, which was lost.
fn reached(io: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    matches!(
        io.kind(),
        E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::UnexpectedEof | E::InvalidData
    )
}

async fn addresses(address: &Address) -> Option<Found> {
    let found = match lookup_host((address.host.as_str(), address.port)).await {
        Ok(found) => found,
        Err(error) => {
            let text = error.to_string();
            let passing =
                ["Temporary failure", "Try again", "try again"].iter().any(|part| text.contains(part));
            return Some(Found::NoSuchHost { passing });
        }
    };
    let mut tried: Vec<IpAddr> = Vec::new();
    for ip in found.map(|socket| socket.ip()) {
        if !tried.contains(&ip) {
            tried.push(ip);
        }
    }
    if tried.is_empty() {
        return Some(Found::NoSuchHost { passing: false });
    }
    let mut answers = None;
    if tried.iter().all(IpAddr::is_loopback) {
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            if !tried.contains(&ip) && TcpStream::connect((ip, address.port)).await.is_ok() {
                answers = Some(ip);
            }
        }
    }
    Some(Found::Addresses { tried, answers })
}

/// With the same login, in a database that every server has. First come those that begin as the
/// wanted one does.
async fn databases(options: &PgConnectOptions, wanted: &str) -> Option<Found> {
    let start: String = wanted.chars().take(3).collect();
    let sql = format!(
        "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate \
         AND pg_catalog.has_database_privilege(oid, 'CONNECT') \
         ORDER BY lower(left(datname, 3)) <> lower({}), 1 LIMIT {}",
        literal(&start),
        DATABASES + 1
    );
    for database in ["postgres", "template1"] {
        let Ok(mut conn) = options.clone().database(database).connect().await else { continue };
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch_all(&mut conn).await;
        let _ = conn.close().await;
        let mut names: Vec<String> =
            rows.ok()?.iter().filter_map(|row| text(row, 0).ok().flatten()).collect();
        if names.len() > DATABASES {
            names.truncate(DATABASES);
            names.push("…".to_owned());
        }
        return Some(Found::Databases(names));
    }
    None
}
