//! Source and destination in one database: the run meets its own loads.

use serde_json::{Value, json};

use super::by;
use crate::fixture::{Database, Gate, Project, postgres, wait_until};

/// A stream whose load stands open: some of its rows are at the destination, and the rest waits
/// for a lock that somebody holds. Beside it `public.t`, read by a sequence into schema `copies`.
const SLOW: &str = "
    CREATE TABLE t (id bigserial PRIMARY KEY, note text);
    INSERT INTO t (note) VALUES ('first');
    CREATE FUNCTION hold() RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN 'last'; END $$;
    CREATE VIEW slow AS SELECT CASE WHEN n < 12 THEN 'load ' || n ELSE hold() END AS note,
        repeat('x', 1000000) AS pad FROM generate_series(1, 12) n";

struct Load {
    database: Database,
    project: Project,
    gate: Gate,
    read: String,
}

impl Load {
    /// `slow` is loaded as said; `read` is what is read by cursor.
    fn new(name: &str, more: &str, slow: Value, read: &str) -> Load {
        let reads = format!("\"stream\":\"{read}\"");
        let database = Database::new(name);
        database.sql(SLOW);
        database.sql(more);
        let gate = Gate::before(database.server.port);
        let mut schema = database.settings();
        schema["port"] = json!(gate.port);
        let mut read = by(read, "id", "append");
        read["schema"] = json!("copies");
        read["table"] = json!("copy");
        read["primary_key"] = json!(["id"]);
        let mut stream = json!({"name": "public.slow"});
        for (key, value) in slow.as_object().expect("an object") {
            stream[key] = value.clone();
        }
        let project = postgres::source_at(schema, json!([read, stream]));
        postgres::destination(&project, &database);
        Load { database, project, gate, read: reads }
    }

    /// One run in which the reader looks who is open while the load is; meanwhile a row is committed.
    fn run_beside(&self) {
        let mut lock = self.database.server.interactive(&self.database.name);
        lock.run("SELECT pg_advisory_lock(1)");
        self.gate.shut("virtualxid' AND l.mode", 0);
        let running = self.project.start(&["run", "c"]);
        self.gate.wait();
        let name = &self.database.name;
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'advisory'"
        );
        let loads = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE 'COPY%FROM STDIN%' AND (state = 'idle in transaction' OR wait_event = 'ClientRead')"
        );
        wait_until("the load", || self.database.sql(&waits) == "1" && self.database.sql(&loads) == "1");
        self.database.sql("INSERT INTO t (note) VALUES ('beside')");
        self.gate.open();
        self.project.wait_for_event("stream.finished", &self.read);
        lock.run("SELECT pg_advisory_unlock(1)");
        running.wait().exits(0);
    }

    fn held_open(&self) -> bool {
        self.project.log().named("window.widened").iter().any(|line| {
            line["message"].as_str().is_some_and(|message| message.contains("a load of Waybill itself"))
        })
    }

    #[track_caller]
    fn equal(&self) {
        let of = |table: &str| self.database.sql(&format!("SELECT id, note FROM {table} ORDER BY id"));
        assert_eq!(of("copies.copy"), of("t"));
    }
}

#[test]
fn a_load_into_another_table_does_not_hold_the_window_open() {
    let load = Load::new("own_other", "", json!({"schema": "copies"}), "public.t");
    // The first run of all, where one who is open would cost 30 s and the floor.
    load.run_beside();
    assert!(load.project.log().named("window.widened").is_empty());
    let floor = "SELECT value->'floor'->>'value' FROM _waybill_state WHERE scope = 'stream:public.t'";
    assert_eq!(load.database.sql(floor), "1", "the end of the look, and nobody below it");
    load.project.run().exits(0);
    load.equal();
}

#[test]
fn a_load_that_may_write_what_is_read_holds_it_open_like_anybody() {
    let append = |table: &str| json!({"write": "append", "schema": "public", "table": table, "on_existing": "adopt", "metadata": false});
    let log = "CREATE TABLE log (note text, pad text);";
    for (name, more, table, read) in [
        ("itself", "ALTER TABLE t ADD pad text".to_owned(), "t", "public.t"),
        (
            "trigger",
            format!(
                "{log} CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO t (note) VALUES (NEW.note); RETURN NEW; END $$;
                 CREATE TRIGGER copies AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION copy()"
            ),
            "log",
            "public.t",
        ),
        (
            "view",
            "ALTER TABLE t ADD pad text; CREATE VIEW v AS SELECT id, note FROM t".to_owned(),
            "t",
            "public.v",
        ),
    ] {
        let load = Load::new(&format!("own_{name}"), &more, append(table), read);
        load.project.waybill(&["run", "c", "--stream", read]).exits(0);
        load.run_beside();
        assert!(load.held_open(), "{name}");
        load.project.waybill(&["run", "c", "--stream", read]).exits(0);
        load.equal();
        assert_eq!(load.database.sql("SELECT count(*) FROM t WHERE note LIKE 'load %'"), "11", "{name}");
    }
}
