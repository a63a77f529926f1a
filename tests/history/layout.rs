//! The tables' layout: an older one is brought forward, a newer one is left alone.

use serde_json::json;

use super::{kept, picture, stands, warnings};
use crate::fixture::Database;

/// Takes the tables back to the layout before: what 2 added goes.
const BACK: &str = "DROP INDEX waybill_runs_started, waybill_runs_connection, waybill_run_streams_stream, waybill_run_events_ts; \
                    ALTER TABLE waybill_runs DROP COLUMN events_left_out, DROP COLUMN peak_memory_bytes; \
                    UPDATE waybill_history SET version = 1";

#[test]
fn an_older_layout_is_brought_forward_and_keeps_its_runs() {
    let database = Database::new("history_older");
    let project = kept(&database);
    project.run().exits(0);
    let first = project.summary();
    database.sql(BACK);
    project.run().exits(0);
    assert_eq!(project.summary()["warnings_total"], 0);
    stands(&database, &project);
    assert_eq!(database.sql("SELECT version, count(*) FROM waybill_history GROUP BY 1"), "2|1");
    let indexes = "SELECT count(*) FROM pg_indexes WHERE indexname IN ('waybill_runs_started', 'waybill_runs_connection', \
                   'waybill_run_streams_stream', 'waybill_run_events_ts')";
    assert_eq!(database.sql(indexes), "4");
    let old = format!(
        "SELECT peak_memory_bytes IS NULL, summary->>'status' FROM waybill_runs WHERE run_id = '{}'",
        first["run_id"].as_str().unwrap()
    );
    assert_eq!(database.sql(&old), "t|succeeded");
    // Its digest is the same, so that a sync leaves it as it is.
    project.waybill(&["history", "sync"]).exits(0).says(&["0 written, 2 there already"]);
}

#[test]
fn an_older_layout_that_only_its_owner_can_bring_forward_is_a_warning() {
    let database = Database::new("history_owner");
    let project = kept(&database);
    project.run().exits(0);
    let role = "history_guest";
    database.sql(&format!(
        "{BACK}; DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'guest-of-the-history'; \
        GRANT CREATE ON SCHEMA public TO {role}; \
        GRANT ALL ON waybill_history, waybill_runs, waybill_run_streams, waybill_run_events TO {role}"
    ));
    let owner = project.config()["destinations"]["warehouse"]["user"].clone();
    project.edit(|config| config["destinations"]["warehouse"]["user"] = json!(role));
    project.secrets("[destination.warehouse.credentials]\npassword = 'guest-of-the-history'\n");
    project.run().exits(0);
    let said = warnings(&project.summary());
    assert!(said.contains("must be owner of table"), "{said}");
    let doctor = project.waybill(&["doctor"]);
    assert!(doctor.out.contains("only their owner can bring them to 2"), "{doctor:?}");
    assert_eq!(database.sql("SELECT version FROM waybill_history"), "1");
    project.edit(|config| config["destinations"]["warehouse"]["user"] = owner);
    project
        .secrets(&format!("[destination.warehouse.credentials]\npassword = '{}'\n", crate::server::PASSWORD));
    project.waybill(&["history", "sync"]).exits(0).says(&["1 written, 1 there already"]);
    assert_eq!(database.sql("SELECT version FROM waybill_history"), "2");
}

#[test]
fn a_newer_layout_is_left_alone_with_a_warning() {
    let database = Database::new("history_newer");
    let project = kept(&database);
    project.run().exits(0);
    database.sql("UPDATE waybill_history SET version = 3; ALTER TABLE waybill_runs ADD COLUMN of_tomorrow text NOT NULL DEFAULT 'x'");
    let before = picture(&database);
    project.run().exits(0);
    let said = warnings(&project.summary());
    assert!(said.contains("has layout 3, and this program knows 2 at most: nothing was written"), "{said}");
    assert!(said.contains("update waybill on this host"), "{said}");
    project.waybill(&["history", "sync"]).exits(3).says(&["layout 3"]);
    assert_eq!(picture(&database), before);
}

#[test]
fn a_table_of_somebody_else_is_not_taken_for_ours() {
    let database = Database::new("history_strange");
    database.sql("CREATE TABLE waybill_runs (a int); INSERT INTO waybill_runs VALUES (1)");
    let project = kept(&database);
    project.run().exits(0);
    let said = warnings(&project.summary());
    assert!(said.contains("already exists") && said.contains("rename it"), "{said}");
    assert_eq!(database.sql("SELECT * FROM waybill_runs"), "1");
    assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'waybill%'"), "1");
}

#[test]
fn several_programs_make_the_tables_and_write_the_same_runs_at_once() {
    let database = Database::new("history_together");
    let project = kept(&database);
    // Runs that nobody has kept yet.
    project.edit(|config| drop(config.as_object_mut().unwrap().remove("history")));
    (0..6).for_each(|_| drop(project.run().exits(0)));
    project.edit(|config| config["history"] = json!("warehouse"));
    let copies: Vec<_> = (0..4).map(|_| project.copy()).collect();
    let running: Vec<_> =
        copies.iter().map(|copy| copy.start(&["history", "sync", "--output", "json"])).collect();
    let told: Vec<_> = running.into_iter().map(|running| running.wait().exits(0).json()).collect();
    let sum = |key: &str| told.iter().map(|synced| synced[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("found"), sum("written"), sum("present")), (24, 6, 18), "{told:?}");
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT run_id) FROM waybill_runs"), "6|6");
    assert_eq!(database.sql("SELECT count(*) FROM waybill_run_streams"), "6");
    stands(&database, &project);
}

#[test]
fn a_database_that_is_not_utf_8_takes_what_it_can() {
    let name = "history_latin";
    let server = crate::server::PgServer::shared();
    server.psql("postgres", &format!("DROP DATABASE IF EXISTS {name}"));
    server
        .psql("postgres", &format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"));
    let database = Database { server, name: name.to_owned() };
    let project = kept(&database);
    project.file("a.csv", "id,note\n1,x\n2,y\n3,z\n");
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["name"] = json!("größe→"));
    project.run().exits(0);
    assert_eq!(project.summary()["warnings_total"], 0, "{}", project.summary()["warnings"]);
    assert_eq!(database.sql("SELECT stream FROM waybill_run_streams"), "gr??e?");
    project.waybill(&["history", "sync"]).exits(0).says(&["0 written, 1 there already"]);
}
