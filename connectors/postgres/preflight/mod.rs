//! Whether a connection can do what it is set up to do, looked at before it is touched: named
//! findings, and for rights that are missing a script that grants exactly those.

mod activity;
mod bootstrap;
mod capture;
mod cursors;
mod facts;
mod landing;
mod pooler;
mod provider;
mod queries;
mod refused;
mod rights;
mod script;
mod standing;
mod tables;

use std::sync::Arc;

use waybill_protocol::{Context, Errand, Error, Finding, Kind, Preflight, Result, Role, Status};

use self::facts::Facts;
use self::script::Script;
use super::destination::DEFAULT_SCHEMA;
use super::session::{Server, Session};
use super::settings::PostgresSettings;

pub(super) use self::bootstrap::bootstrap;

/// Groups of findings.
const SERVER: &str = "server";
const RIGHTS: &str = "rights";
const STREAMS: &str = "streams";
const CAPTURE: &str = "change capture";

/// Looks whether the errand can be done in a role.
pub(super) async fn preflight(
    role: Role,
    ctx: Context,
    settings: &PostgresSettings,
    errand: &Errand,
) -> Result<Preflight> {
    let server = match Server::open(ctx, settings).await {
        Ok(server) => server,
        Err(error) if error.kind() == Kind::Cancelled => return Err(error),
        Err(error) => return refused::preflight(role, &error, settings, errand),
    };
    let found = look(role, &server, errand).await;
    server.close().await;
    found
}

async fn look(role: Role, server: &Arc<Server>, errand: &Errand) -> Result<Preflight> {
    let mut session = server.session().await?;
    let facts = facts::facts(&mut session).await?;
    let mut all = Findings(standing::findings(role, server, &facts));
    all.add(SERVER, "pooler", pooler::findings(server).await)?;
    match role {
        Role::Source => source(&mut all, &mut session, &facts, errand).await?,
        Role::Destination => {
            all.add(RIGHTS, "rights", landing::findings(&mut session, &facts, errand).await)?;
        }
    }
    session.release();
    Ok(all.preflight(role, server, &facts, errand))
}

async fn source(all: &mut Findings, session: &mut Session, facts: &Facts, errand: &Errand) -> Result<()> {
    all.add(SERVER, "open transactions", activity::findings(session).await)?;
    let tables = match tables::tables(session, errand).await {
        Ok(tables) => tables,
        Err(error) => return all.add(RIGHTS, "select", Err(error)),
    };
    all.0.extend(rights::findings(&tables, errand, &facts.user));
    all.add(RIGHTS, "query", queries::findings(session, &tables, errand, &facts.user).await)?;
    all.0.extend(cursors::findings(&tables, errand, facts));
    all.add(CAPTURE, "wal_level", capture::findings(session, &tables, errand).await)
}

/// Findings so far.
struct Findings(Vec<Finding>);

impl Findings {
    /// Adds those of one part; a part that could not be looked at is a finding itself.
    fn add(&mut self, group: &str, name: &str, found: Result<Vec<Finding>>) -> Result<()> {
        match found {
            Ok(found) => self.0.extend(found),
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            // What is not needed to move rows does not stop them either.
            Err(error) if group == SERVER || group == CAPTURE => {
                let finding = Finding::failed(group, name, &error);
                self.0.push(Finding { status: Status::Warn, ..finding });
            }
            Err(error) => self.0.push(Finding::failed(group, name, &error)),
        }
        Ok(())
    }

    fn preflight(self, role: Role, server: &Server, facts: &Facts, errand: &Errand) -> Preflight {
        let failed = self.0.iter().filter(|finding| finding.status == Status::Fail);
        let statements: Vec<String> = failed.flat_map(|finding| finding.grants.clone()).collect();
        let script = Script {
            role,
            name: &errand.name,
            user: &facts.user,
            database: &facts.database,
            address: server.address(),
            new_role: false,
            statements,
        };
        Preflight { script: script.text(), findings: self.0 }
    }
}

/// The schemas that tables are loaded into, and the one of the bookkeeping.
fn landing_schemas(errand: &Errand) -> Vec<String> {
    let mut names = vec![DEFAULT_SCHEMA.to_owned()];
    let loaded = errand.loads.iter().filter_map(|load| load.table.namespace.clone());
    for name in loaded.chain(errand.schemas.iter().cloned()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A list with its first members shown.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// One JSON document of the server's.
async fn asked<T: serde::de::DeserializeOwned>(
    session: &mut Session,
    purpose: &str,
    sql: &str,
) -> Result<Vec<T>> {
    let rows = session.query(purpose, sql).await?;
    let read = |row| -> Result<T> {
        let json = super::session::text(row, 0)?.unwrap_or_default();
        serde_json::from_str(&json)
            .map_err(|e| Error::internal("the server's catalogs are not as expected").cause(e))
    };
    rows.iter().map(read).collect()
}

/// The one document that a query without FROM gives.
async fn asked_one<T: serde::de::DeserializeOwned>(
    session: &mut Session,
    purpose: &str,
    sql: &str,
) -> Result<T> {
    let found = asked(session, purpose, sql).await?.into_iter().next();
    found.ok_or_else(|| Error::internal("no answer to a query without FROM"))
}
