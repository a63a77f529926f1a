//! What a destination's role lacks to make and fill its tables.

use std::collections::BTreeMap;

use serde::Deserialize;
use waybill_protocol::{Errand, Finding, Load, Result, WriteMode};

use super::facts::Facts;
use super::{RIGHTS, asked, asked_one, landing_schemas, some};
use crate::postgres::destination::{BOOKS, DEFAULT_SCHEMA};
use crate::postgres::session::Session;
use crate::postgres::sql::{ident, literal, qualified};

#[derive(Debug, Deserialize)]
struct Database {
    create: bool,
    temporary: bool,
    /// Schemas that are wanted and exist: whether they may be used, and tables be made there.
    schemas: BTreeMap<String, (bool, bool)>,
}

#[derive(Debug, Deserialize)]
struct Existing {
    schema: String,
    name: String,
    kind: String,
    owner: String,
    /// Whether this role has the owner's rights.
    owned: bool,
    rights: BTreeMap<String, bool>,
}

/// Every finding.
pub(super) async fn findings(session: &mut Session, facts: &Facts, errand: &Errand) -> Result<Vec<Finding>> {
    let schemas = landing_schemas(errand);
    let wanted: Vec<String> = schemas.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT json_build_object('create', has_database_privilege(current_database(), 'CREATE'),
    'temporary', has_database_privilege(current_database(), 'TEMPORARY'),
    'schemas', coalesce((SELECT json_object_agg(nspname, json_build_array(has_schema_privilege(oid, 'USAGE'),
        has_schema_privilege(oid, 'CREATE'))) FROM pg_catalog.pg_namespace WHERE nspname IN ({})), '{{}}'))::text",
        wanted.join(", ")
    );
    let database: Database = asked_one(session, "look what may be made", &sql).await?;
    let mut found = create(&schemas, &database, &facts.user);
    found.push(temporary(&database, facts, errand));
    let mut names: Vec<(String, String)> =
        BOOKS.iter().map(|name| (DEFAULT_SCHEMA.to_owned(), (*name).to_owned())).collect();
    names.extend(errand.loads.iter().map(place));
    let pairs: Vec<String> =
        names.iter().map(|(schema, name)| format!("({}, {})", literal(schema), literal(name))).collect();
    let sql = format!(
        "SELECT json_build_object('schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'owner', pg_get_userbyid(c.relowner), 'owned', pg_has_role(c.relowner, 'USAGE'),
    'rights', (SELECT json_object_agg(r, has_table_privilege(c.oid, r)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r))::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN ({}) ORDER BY 1",
        pairs.join(", ")
    );
    let existing: Vec<Existing> = asked(session, "look at the tables that are there", &sql).await?;
    found.push(books(&existing, &facts.user));
    found.extend(targets(&existing, errand, &facts.user));
    Ok(found)
}

fn place(load: &Load) -> (String, String) {
    let schema = load.table.namespace.clone().unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
    (schema, load.table.name.clone())
}

fn create(schemas: &[String], database: &Database, user: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut open = Vec::new();
    for schema in schemas {
        let (name, to) = (ident(schema), ident(user));
        let fail = |detail: String| Finding::fail(RIGHTS, "create", detail);
        match database.schemas.get(schema) {
            Some((true, true)) => open.push(schema.clone()),
            None if database.create => open.push(format!("{schema} (which will be made)")),
            Some((usage, create)) => {
                let missing = match (usage, create) {
                    (false, false) => "USAGE, CREATE",
                    (true, _) => "CREATE",
                    (false, true) => "USAGE",
                };
                let grant = format!("GRANT {missing} ON SCHEMA {name} TO {to}");
                found.push(
                    fail(format!("role {user} may not make tables in schema {schema}"))
                        .remedy(grant.clone())
                        .grant(grant),
                );
            }
            None => {
                let made = format!("CREATE SCHEMA IF NOT EXISTS {name}");
                let grant = format!("GRANT USAGE, CREATE ON SCHEMA {name} TO {to}");
                found.push(
                    fail(format!("there is no schema {schema}, and role {user} may not make it"))
                        .remedy(format!("{made}; {grant}"))
                        .grant(made)
                        .grant(grant),
                );
            }
        }
    }
    if !open.is_empty() {
        found.push(Finding::pass(RIGHTS, "create", format!("tables in {}", some(&open))));
    }
    found
}

fn temporary(database: &Database, facts: &Facts, errand: &Errand) -> Finding {
    let merges = errand.loads.iter().any(|load| load.write == WriteMode::Merge);
    if database.temporary {
        return Finding::pass(RIGHTS, "temporary tables", format!("in {}", facts.database));
    }
    let grant = format!("GRANT TEMPORARY ON DATABASE {} TO {}", ident(&facts.database), ident(&facts.user));
    let detail = format!("role {} may not make them, and write mode merge does", facts.user);
    match merges {
        true => Finding::fail(RIGHTS, "temporary tables", detail).remedy(grant.clone()).grant(grant),
        false => Finding::pass(RIGHTS, "temporary tables", "none are needed: nothing is merged"),
    }
}

/// The bookkeeping tables, which another role may have made.
fn books(existing: &[Existing], user: &str) -> Finding {
    const NAME: &str = "bookkeeping";
    let ours = existing.iter().filter(|t| t.schema == DEFAULT_SCHEMA && BOOKS.contains(&t.name.as_str()));
    let ours: Vec<&Existing> = ours.collect();
    let shut: Vec<&&Existing> = ours.iter().filter(|t| t.rights.values().any(|may| !may)).collect();
    if shut.is_empty() {
        let detail = if ours.is_empty() { "not there yet" } else { "may be read and written" };
        return Finding::pass(RIGHTS, NAME, detail);
    }
    let names: Vec<String> = shut.iter().map(|t| t.name.clone()).collect();
    let tables: Vec<String> = shut.iter().map(|t| qualified(Some(&t.schema), &t.name)).collect();
    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}", tables.join(", "), ident(user));
    Finding::fail(RIGHTS, NAME, format!("role {user} may not read and write {}", some(&names)))
        .remedy(grant.clone())
        .grant(grant)
}

/// Tables that are there already.
fn targets(existing: &[Existing], errand: &Errand, user: &str) -> Vec<Finding> {
    const NAME: &str = "table";
    let mut found = Vec::new();
    for load in &errand.loads {
        let (schema, name) = place(load);
        let Some(table) = existing.iter().find(|t| t.schema == schema && t.name == name) else { continue };
        let shown = &load.table;
        let fail = |detail: String| Finding::fail(RIGHTS, NAME, detail).stream(&load.stream);
        if !matches!(table.kind.as_str(), "r" | "p") {
            found.push(fail(format!("{shown} is no table")).remedy("give the stream another `table`"));
        } else if !load.owned && !load.adopt {
            found.push(fail(format!("{shown} exists, and this connection did not make it")).remedy(
                "set `on_existing: adopt` for the stream to take it over, or give it another `table`",
            ));
        } else if !table.owned && load.write == WriteMode::Overwrite {
            // Who owns a table is not for a script to change.
            found.push(
                fail(format!("{shown} belongs to role {}, and a swap needs its owner", table.owner)).remedy(
                    format!(
                        "let an administrator decide: ALTER TABLE {} OWNER TO {}; or write: append or merge",
                        qualified(Some(&schema), &name),
                        ident(user)
                    ),
                ),
            );
        } else if !table.owned {
            let needed: &[&str] = match load.write {
                WriteMode::Merge => &["SELECT", "INSERT", "UPDATE"],
                _ => &["SELECT", "INSERT"],
            };
            let missing: Vec<&str> =
                needed.iter().copied().filter(|right| table.rights.get(*right) != Some(&true)).collect();
            if !missing.is_empty() {
                let grant = format!(
                    "GRANT {} ON {} TO {}",
                    missing.join(", "),
                    qualified(Some(&schema), &name),
                    ident(user)
                );
                found.push(
                    fail(format!("role {user} may not load {shown} of role {}", table.owner))
                        .remedy(grant.clone())
                        .grant(grant),
                );
            }
        }
    }
    if found.is_empty() && !errand.loads.is_empty() {
        found.push(Finding::pass(
            RIGHTS,
            NAME,
            format!("none stands in the way of {}", {
                let names: Vec<String> = errand.loads.iter().map(|load| load.table.to_string()).collect();
                some(&names)
            }),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::{Status, TableRef};

    fn load(write: WriteMode, owned: bool) -> Errand {
        let table = TableRef { namespace: Some("raw".into()), name: "orders".into() };
        let load = Load { stream: "s.orders".into(), table, write, owned, adopt: false };
        Errand { loads: vec![load], ..Errand::default() }
    }

    fn existing(owned: bool, may: &[&str]) -> Existing {
        let rights = ["SELECT", "INSERT", "UPDATE", "DELETE"];
        Existing {
            schema: "raw".into(),
            name: "orders".into(),
            kind: "r".into(),
            owner: "boss".into(),
            owned,
            rights: rights.iter().map(|r| ((*r).to_owned(), may.contains(r))).collect(),
        }
    }

    #[test]
    fn a_table_that_is_there_is_judged_by_how_it_is_written() {
        let of = |table: Existing, errand: &Errand| targets(&[table], errand, "me").remove(0);
        let ours = load(WriteMode::Merge, true);
        let merge = of(existing(false, &["SELECT"]), &ours);
        assert_eq!(merge.grants, ["GRANT INSERT, UPDATE ON \"raw\".\"orders\" TO \"me\""]);
        assert_eq!(of(existing(true, &[]), &ours).status, Status::Pass);
        let swap = of(existing(false, &["SELECT", "INSERT"]), &load(WriteMode::Overwrite, true));
        assert!(swap.status == Status::Fail && swap.grants.is_empty(), "{swap:?}");
        let strange = of(existing(true, &[]), &load(WriteMode::Append, false));
        assert!(strange.remedy.unwrap().contains("on_existing: adopt"));
    }

    #[test]
    fn a_schema_is_granted_only_what_is_missing() {
        let database = Database {
            create: false,
            temporary: true,
            schemas: [("public".to_owned(), (true, false)), ("raw".to_owned(), (true, true))].into(),
        };
        let schemas = ["public".to_owned(), "raw".to_owned(), "new".to_owned()];
        let found = create(&schemas, &database, "me");
        let grants: Vec<&str> = found.iter().flat_map(|f| &f.grants).map(String::as_str).collect();
        assert_eq!(
            grants,
            [
                "GRANT CREATE ON SCHEMA \"public\" TO \"me\"",
                "CREATE SCHEMA IF NOT EXISTS \"new\"",
                "GRANT USAGE, CREATE ON SCHEMA \"new\" TO \"me\""
            ]
        );
    }
}
