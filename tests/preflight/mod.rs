//! Preflight: what a connection lacks is named before it is touched, and its own script of grants
//! gives it exactly that.

mod address;
mod bootstrap;
mod certificates;
mod landing;
mod reading;
mod shown;

use serde_json::Value;

use crate::fixture::{Database, Project};

/// The password of the roles that these tests make.
const PASSWORD: &str = "pw-of-the-preflight-role";

/// A role that has nothing, not even what everybody has by default.
fn bare_role(database: &Database, role: &str) {
    database.server.psql("postgres", &dropped(role));
    database.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"));
    database.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC");
}

/// Statements that remove a role that an earlier run of the tests may have left in other databases.
fn dropped(role: &str) -> String {
    format!("DROP ROLE IF EXISTS {role}")
}

/// Lets connection `c` read as that role.
fn read_as(project: &Project, role: &str) {
    project.edit(|config| config["connections"][0]["schema"]["user"] = role.into());
    project.secrets(&format!("[sources.c]\npassword = \"{PASSWORD}\"\n"));
}

/// What a preflight answers, and its exit code.
#[track_caller]
fn preflight(project: &Project, more: &[&str]) -> (Value, i32) {
    let words = [&["connection", "preflight", "c", "--output", "json"], more].concat();
    let finished = project.waybill(&words);
    (finished.json(), finished.code)
}

/// The findings of a side that ended so: name, and stream where there is one.
fn found(report: &Value, role: &str, status: &str) -> Vec<String> {
    let sides = report["sides"].as_array().unwrap().iter().filter(|side| side["role"] == role);
    let findings = sides.flat_map(|side| side["findings"].as_array().unwrap());
    findings
        .filter(|finding| finding["status"] == status)
        .map(|finding| {
            let name = finding["name"].as_str().unwrap();
            finding["stream"].as_str().map_or(name.to_owned(), |stream| format!("{name} {stream}"))
        })
        .collect()
}

/// The one finding of that name.
#[track_caller]
fn named<'a>(report: &'a Value, role: &str, name: &str) -> &'a Value {
    let sides = report["sides"].as_array().unwrap().iter().filter(|side| side["role"] == role);
    let mut all = sides.flat_map(|side| side["findings"].as_array().unwrap());
    all.find(|finding| finding["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// Everything that a role may do with tables and columns of a database, a line each.
fn rights(database: &Database, role: &str) -> Vec<String> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname || ' ' || r FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) r
         WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
         AND has_table_privilege('{role}', c.oid, r)
         UNION ALL
         SELECT n.nspname || '.' || c.relname || '.' || a.attname || ' SELECT' FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
         AND has_column_privilege('{role}', c.oid, a.attnum, 'SELECT') AND NOT has_table_privilege('{role}', c.oid, 'SELECT')
         UNION ALL
         SELECT 'schema ' || nspname || ' ' || r FROM pg_namespace CROSS JOIN unnest(ARRAY['USAGE', 'CREATE']) r
         WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND has_schema_privilege('{role}', oid, r)
         UNION ALL
         SELECT 'database ' || r FROM unnest(ARRAY['CREATE', 'CONNECT', 'TEMPORARY']) r
         WHERE has_database_privilege('{role}', current_database(), r)
         UNION ALL
         SELECT 'attribute' FROM pg_roles WHERE rolname = '{role}'
         AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
         UNION ALL
         SELECT 'member of ' || roleid::regrole FROM pg_auth_members WHERE member = '{role}'::regrole
         ORDER BY 1"
    );
    database.sql(&sql).lines().map(str::to_owned).collect()
}
