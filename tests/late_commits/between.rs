//! What happens between the looks of one run: after the end of the stream is known, after the open
//! transactions are known, after the snapshot was taken.

use serde_json::json;

use super::{STAMPED, by};
use crate::fixture::{Database, Gate, Project, postgres};

/// A source behind a gate, loaded once already.
fn gated(name: &str, table: &str, cursor: &str, write: &str) -> (Database, Gate, Project) {
    let source = Database::new(name);
    source.sql(table);
    source.sql("INSERT INTO t (note) VALUES ('first')");
    let gate = Gate::before(source.server.port);
    let mut schema = source.settings();
    schema["port"] = json!(gate.port);
    let project = postgres::source_at(schema, json!([by("public.t", cursor, write)]));
    project.run().exits(0);
    (source, gate, project)
}

/// The statements of a read, each with what tells it from the others: after the highest cursor was
/// found, after the open transactions were looked at, after the prepared ones, in the snapshot.
const MOMENTS: [(&str, &str); 4] = [
    ("open", "virtualxid' AND l.mode"),
    ("prepared", "FROM pg_catalog.pg_prepared_xacts"),
    ("snapshot", "REPEATABLE READ"),
    ("read", "COPY (SELECT q.\"key\""),
];

#[test]
fn whatever_is_begun_committed_or_prepared_between_two_looks_arrives_once() {
    for write in ["append", "merge"] {
        let (source, gate, project) = gated(&format!("between_{write}"), STAMPED, "at", write);
        for (moment, text) in MOMENTS {
            // Open beforehand below a row that is read: one that commits now and one that prepares
            // now. Begun now: one left open, and a row that is alone.
            let mut committing = source.server.interactive(&source.name);
            committing.run(&format!("BEGIN; INSERT INTO t (note) VALUES ('{moment} committing')"));
            let mut preparing = source.server.interactive(&source.name);
            preparing.run(&format!("BEGIN; INSERT INTO t (note) VALUES ('{moment} preparing')"));
            source.sql(&format!("INSERT INTO t (note) VALUES ('{moment} higher')"));
            gate.shut(text, 0);
            let running = project.start(&["run", "c"]);
            gate.wait();
            let gid = format!("{}_{moment}", source.name);
            committing.run("COMMIT");
            preparing.run(&format!("PREPARE TRANSACTION '{gid}'"));
            let mut begun = source.server.interactive(&source.name);
            begun.run(&format!("BEGIN; INSERT INTO t (note) VALUES ('{moment} begun')"));
            source.sql(&format!("INSERT INTO t (note) VALUES ('{moment} alone')"));
            gate.open();
            running.wait().exits(0);
            begun.run("COMMIT");
            source.sql(&format!("COMMIT PREPARED '{gid}'"));
            project.run().exits(0);
            project.run().exits(0);
            let all = source.sql("SELECT note FROM t ORDER BY note COLLATE \"C\"");
            let loaded = project.rows("SELECT note FROM public_t ORDER BY note").join("\n");
            assert_eq!(loaded, all, "{write}, {moment}");
        }
    }
}

#[test]
fn rows_that_cross_the_border_while_they_are_read_arrive_as_they_are() {
    for write in ["append", "merge"] {
        let (source, gate, project) = gated(&format!("crossing_{write}"), STAMPED, "at", write);
        source.sql("INSERT INTO t (note) SELECT 'n' || n FROM generate_series(100, 120) n");
        // After the end is known and before the snapshot: up across it, down below the floor.
        for (moment, text) in [("snapshot", "REPEATABLE READ"), ("read", "COPY (SELECT q.\"key\"")] {
            gate.shut(text, 0);
            let running = project.start(&["run", "c"]);
            gate.wait();
            source.sql(&format!(
                "UPDATE t SET at = clock_timestamp() - interval '1 hour', note = note || ' up {moment}' WHERE note LIKE 'n10%'"
            ));
            source.sql("UPDATE t SET at = '2020-01-01' WHERE note LIKE 'n11%' AND at > '2021-01-01'");
            source.sql("DELETE FROM t WHERE note = 'n120'");
            gate.open();
            running.wait().exits(0);
        }
        project.run().exits(0);
        let latest = "SELECT count(*) FROM public_t WHERE note LIKE 'n10_ up snapshot up read'";
        assert_eq!(project.value(latest), "10", "{write}: the rows that went up");
        if write == "merge" {
            let doubled = "SELECT count(*) - count(DISTINCT key) FROM public_t";
            assert_eq!(project.value(doubled), "0");
        } else {
            let doubled = "SELECT count(*) - count(DISTINCT key || at) FROM public_t";
            assert_eq!(project.value(doubled), "0", "each (key, cursor) once");
        }
    }
}
