//! A connection that could not be made: how far it came, and for a role or a right that is missing
//! the script that gives it, unseen.

use waybill_protocol::{Errand, Error, Finding, Kind, Preflight, Result, Role, WriteMode};

use super::queries;
use super::script::Script;
use super::tables::named;
use super::{RIGHTS, SERVER, landing_schemas};
use crate::postgres::address::Address;
use crate::postgres::refusal;
use crate::postgres::settings::PostgresSettings;
use crate::postgres::source::ORDINARY;
use crate::postgres::sql::{ident, literal};

/// The findings: what was reached before, and what was refused.
pub(super) fn preflight(
    role: Role,
    error: &Error,
    settings: &PostgresSettings,
    errand: &Errand,
) -> Result<Preflight> {
    let Ok(address) = Address::resolve(settings) else { return Err(again(error)) };
    let code = error.get_code().unwrap_or_default();
    let reached = |before: &[&str]| -> Vec<Finding> {
        let detail = |name: &str| match name {
            "login" => format!("as {}", address.user),
            "reachable" => address.host_port(),
            _ => address.asked_tls().to_owned(),
        };
        before.iter().map(|name| Finding::pass(SERVER, name, detail(name))).collect()
    };
    let failed = |name: &str| Finding::failed(if name == "connect" { RIGHTS } else { SERVER }, name, error);
    let mut findings;
    let mut new_role = false;
    match code {
        "28P01" | "28000" => {
            findings = reached(&["reachable", "TLS"]);
            findings.push(failed("login"));
            // What pg_hba.conf refuses no grant lets in.
            new_role = code == "28P01" || error.message().contains("there is no user ");
        }
        "3D000" => {
            findings = reached(&["reachable", "TLS", "login"]);
            let finding = failed("database");
            findings.push(match role {
                Role::Destination => {
                    let hint = finding.remedy.clone().unwrap_or_default();
                    finding
                        .remedy(format!("{hint}; or make it: waybill destination bootstrap {}", errand.name))
                }
                Role::Source => finding,
            });
        }
        "42501" => {
            findings = reached(&["reachable", "TLS", "login"]);
            let finding = failed("connect").grant(connect(&address));
            findings.push(finding);
        }
        "53300" => {
            findings = reached(&["reachable", "TLS", "login"]);
            findings.push(failed("free connections"));
        }
        // PgBouncer names a parameter that a server would know.
        "08P01" if error.message().contains("startup parameter") => {
            findings = reached(&["reachable"]);
            findings.push(failed("pooler").remedy("a pooler stands in between: set pooler to true"));
        }
        _ if refusal::is_tls(error) => {
            findings = reached(&["reachable"]);
            findings.push(failed("TLS"));
        }
        _ if error.kind() == Kind::Config && code.is_empty() => findings = vec![failed("settings")],
        _ => findings = vec![failed("reachable")],
    }
    let script = (new_role || code == "42501").then(|| script(role, &address, errand, new_role)).flatten();
    Ok(Preflight { findings, script })
}

/// An error once more.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.message())
}

fn connect(address: &Address) -> String {
    format!("GRANT CONNECT ON DATABASE {} TO {}", ident(&address.database), ident(&address.user))
}

/// What the errand needs, asked of the catalogs when the script runs.
fn script(role: Role, address: &Address, errand: &Errand, new_role: bool) -> Option<String> {
    let (user, database) = (&address.user, &address.database);
    let mut statements = vec![connect(address)];
    match role {
        Role::Source => {
            for condition in conditions(errand) {
                statements.extend(reading(user, &condition.0, condition.1.as_deref()));
            }
        }
        Role::Destination => {
            let to = ident(user);
            if errand.loads.iter().any(|load| load.write == WriteMode::Merge) {
                statements.push(format!("GRANT TEMPORARY ON DATABASE {} TO {to}", ident(database)));
            }
            for schema in landing_schemas(errand) {
                statements.push(format!("CREATE SCHEMA IF NOT EXISTS {}", ident(&schema)));
                statements.push(format!("GRANT USAGE, CREATE ON SCHEMA {} TO {to}", ident(&schema)));
            }
        }
    }
    Script { role, name: &errand.name, user, database, address, new_role, statements }.text()
}

/// The tables that are meant, each condition with the columns where some are enough.
fn conditions(errand: &Errand) -> Vec<(String, Option<Vec<String>>)> {
    let schemas: Vec<String> = errand.schemas.iter().map(|name| literal(name)).collect();
    let within = match schemas.is_empty() {
        true => String::new(),
        false => format!(" AND n.nspname IN ({})", schemas.join(", ")),
    };
    if errand.streams.is_empty() {
        return vec![(format!("true{within}"), None)];
    }
    let mut found = Vec::new();
    for selection in &errand.streams {
        if let Some(query) = &selection.query {
            let one = |(schema, name): (Option<String>, String)| {
                let schema = schema.unwrap_or_else(|| "public".to_owned());
                format!("(n.nspname = {} AND c.relname = {})", literal(&schema), literal(&name))
            };
            let read: Vec<String> = queries::relations(query).into_iter().map(one).collect();
            if !read.is_empty() && schemas.is_empty() {
                found.push((format!("({})", read.join(" OR ")), None));
            }
            continue;
        }
        let columns = selection.columns.clone().filter(|_| selection.filter.is_none()).map(|mut columns| {
            for name in selection.cursor.iter().chain(selection.primary_key.iter().flatten()) {
                if !columns.contains(name) {
                    columns.push(name.clone());
                }
            }
            columns
        });
        found.push((format!("{}{within}", named(&[selection.name.as_str()])), columns));
    }
    found
}

fn reading(user: &str, condition: &str, columns: Option<&[String]>) -> [String; 2] {
    let to = literal(user);
    let from = format!(
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {ORDINARY} AND {condition}"
    );
    let columns = columns.map(|names| {
        let names: Vec<String> = names.iter().map(|name| ident(name).replace('%', "%%")).collect();
        format!(" ({})", names.join(", "))
    });
    let select = literal(&format!("GRANT SELECT{} ON %I.%I TO %I", columns.unwrap_or_default()));
    [
        format!(
            "SELECT DISTINCT format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, {to}) {from} \
             AND NOT has_schema_privilege({to}, n.oid, 'USAGE') \\gexec"
        ),
        format!(
            "SELECT format({select}, n.nspname, c.relname, {to}) {from} \
             AND NOT has_table_privilege({to}, c.oid, 'SELECT') \\gexec"
        ),
    ]
}
