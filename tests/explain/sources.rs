//! Sources that are not what they were, or do not answer as they should.

use serde_json::{Value, json};

use super::{failed, json as answer};
use crate::fixture::postgres::{settings, source, source_at};
use crate::fixture::proxy::{Fault, Proxy, Trap, Way};
use crate::fixture::{Database, Project, incremental};
use crate::retries::proxy::{Fault as Cut, Proxy as Cutting};

/// A source with table `t` of some rows, which was loaded once.
fn loaded(name: &str, selection: Value) -> (Database, Project) {
    let from = Database::new(name);
    from.sql("CREATE TABLE t (id bigint PRIMARY KEY, note text, price numeric(8,2), at timestamptz DEFAULT now());
              INSERT INTO t SELECT n, 'note ' || n, n, now() - interval '1 day' FROM generate_series(1, 50) n");
    let project = source(&from, json!([selection]));
    project.edit(|config| config["connections"][0]["retries"] = json!(0));
    project.run().exits(0);
    (from, project)
}

#[test]
fn a_table_that_is_gone() {
    let (from, project) = loaded("explain_table_gone", json!({"name": "public.t"}));
    from.sql("DROP TABLE t; CREATE TABLE tt (id bigint)");
    project.run().exits(1);
    let said = failed(&project, "table-gone", "not_found", &["public.t"]);
    assert!(said.contains("was not found any more"), "what differs from the last good run:\n{said}");
}

#[test]
fn a_column_that_was_selected_and_is_gone() {
    let selection = json!({"name": "public.t", "columns": ["id", "note"]});
    let (from, project) = loaded("explain_column_gone", selection);
    from.sql("ALTER TABLE t RENAME note TO remark");
    project.run().exits(1);
    failed(&project, "column-gone", "not_found", &["note", "public.t"]);
}

#[test]
fn a_cursor_column_that_is_gone() {
    let (from, project) = loaded("explain_cursor_gone", incremental("public.t", json!({"cursor": "at"})));
    from.sql("ALTER TABLE t DROP COLUMN at");
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    let said = failed(&project, "cursor-gone", &kind, &["cursor", "at"]);
    assert!(said.contains("public.t.at: is gone"), "{said}");
}

#[test]
fn a_table_that_may_not_be_read() {
    let from = Database::new("explain_denied");
    from.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE open (id bigint PRIMARY KEY);
         DROP ROLE IF EXISTS explain_reader; CREATE ROLE explain_reader LOGIN PASSWORD 'pw-of-the-reader';
         GRANT SELECT ON open TO explain_reader",
    );
    let mut schema = settings(from.server, &from.name);
    schema["user"] = json!("explain_reader");
    let project = source_at(schema, json!([{"name": "public.t"}]));
    project.secrets("[sources.c]\npassword = \"pw-of-the-reader\"\n");
    project.run().exits(1);
    let said = failed(&project, "source-permission", "permission", &["public.t", "42501"]);
    let grant = r#"GRANT SELECT ON "public"."t" TO "explain_reader""#;
    assert!(said.contains(grant) && said.contains("connection preflight"), "{said}");
    from.sql("DROP OWNED BY explain_reader; DROP ROLE explain_reader");
}

#[test]
fn columns_that_changed_although_they_are_frozen() {
    let selection = json!({"name": "public.t", "schema_policy": "freeze"});
    let (from, project) = loaded("explain_frozen", selection);
    from.sql("ALTER TABLE t ADD COLUMN colour text");
    project.run().exits(1);
    let said = failed(&project, "schema-frozen", "schema", &["frozen", "colour"]);
    assert!(said.contains("public.t.colour: is new"), "{said}");
}

#[test]
fn a_query_that_takes_too_long() {
    let from = Database::new("explain_slow");
    from.sql("CREATE TABLE t (id bigint PRIMARY KEY)");
    let project = source(&from, json!([{"name": "public.t"}]));
    project.edit(|config| {
        config["connections"][0]["query_timeout_ms"] = json!(400);
        config["connections"][0]["retries"] = json!(0);
    });
    let mut other = from.server.interactive(&from.name);
    other.run("BEGIN");
    other.run("LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    project.run().exits(75);
    let said =
        failed(&project, "query-deadline", "timeout", &["query exceeded 0.4s", "(psql) has locked public.t"]);
    assert!(said.contains("query_timeout_ms=1600"), "{said}");
}

#[test]
fn a_table_at_the_source_that_somebody_has_locked() {
    let (from, project) = loaded("explain_source_lock", incremental("public.t", json!({"cursor": "id"})));
    // It has a column with a default, whose text the server shows under a lock of the table only.
    project.edit(|config| config["connections"][0]["query_timeout_ms"] = json!(400));
    let mut other = from.server.interactive(&from.name);
    other.run("BEGIN");
    other.run("LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    project.run().exits(75);
    failed(&project, "source-locked", "timeout", &["phase discover", "(psql) has locked t"]);
}

#[test]
fn a_source_that_goes_silent_in_the_middle() {
    let from = Database::new("explain_silent");
    from.sql("CREATE TABLE t AS SELECT n AS id, repeat('x', 200) AS note FROM generate_series(1, 3000) n");
    let proxy = Cutting::before(from.server.port, Cut::ClientHearsNothing(100_000), "COPY (", 1);
    let project = source(&from, json!([{"name": "public.t"}]));
    project.edit(|config| {
        let connection = &mut config["connections"][0];
        connection["schema"]["port"] = json!(proxy.port);
        connection["stall_timeout_ms"] = json!(400);
        connection["retries"] = json!(0);
    });
    project.run().exits(75);
    let said = failed(&project, "stalled", "timeout", &["no answer", "phase read", "public.t"]);
    assert!(said.contains("stall_timeout_ms"), "{said}");
}

#[test]
fn a_network_that_is_cut_in_the_middle_again_and_again() {
    let from = Database::new("explain_cut");
    from.sql("CREATE TABLE t AS SELECT n AS id, repeat('x', 200) AS note FROM generate_series(1, 3000) n");
    let uncut = Proxy::new(from.server.port, None);
    let project = source(&from, json!([{"name": "public.t"}]));
    let port = |port: u16| project.edit(|config| config["connections"][0]["schema"]["port"] = json!(port));
    project.edit(|config| config["connections"][0]["retries"] = json!(0));
    port(uncut.port);
    project.run().exits(0);
    let trap = Trap { way: Way::In, nth: uncut.count(Way::In) / 2, fault: Fault::Reset };
    let cut = Proxy::new(from.server.port, Some(trap));
    port(cut.port);
    project.run().exits(75);
    assert!(cut.sprung());
    let said = failed(&project, "cut-in-the-middle", "network", &["source", "phase read"]);
    assert!(said.contains(&format!("source.port: {} → {}", uncut.port, cut.port)), "{said}");
    let differences = answer(&project)["comparison"]["differences"].clone();
    let port = differences.as_array().unwrap().iter().find(|d| d["subject"] == "source.port").unwrap();
    assert_eq!((&port["before"], &port["after"]), (&json!(uncut.port), &json!(cut.port)));
}

#[test]
fn a_query_that_is_no_sql() {
    let from = Database::new("explain_syntax");
    let project = source(&from, json!([{"name": "mine", "query": "SELECT 1 AS id FORM nowhere"}]));
    project.run();
    let kind = project.summary()["error"]["kind"].as_str().unwrap().to_owned();
    failed(&project, "bad-query", &kind, &["mine", "syntax error"]);
}
