//! Rows that are committed later than rows above them: each arrives once, whoever was open and
//! however.

mod between;
mod bound;
mod moved;
mod open;
mod own;
mod pooler;
mod quiet;
mod standby;

use serde_json::{Value, json};

use crate::fixture::{Database, Finished, Project, postgres};

/// A stream read by cursor.
fn by(name: &str, cursor: &str, write: &str) -> Value {
    json!({"name": name, "mode": "incremental", "cursor": cursor, "write": write})
}

/// A table in a database of its own, loaded by cursor into SQLite in both write modes: each test
/// says once what happens at the source, and both have to come out right.
struct Both {
    source: Database,
    loads: [(&'static str, Project); 2],
}

const SEQUENCE: &str = "CREATE TABLE t (id bigserial PRIMARY KEY, note text)";
/// Stamped an hour ago, so that the margin before the clock hides nothing of what the fence must do.
const STAMPED: &str =
    "CREATE TABLE t (key uuid PRIMARY KEY DEFAULT gen_random_uuid(), at timestamptz DEFAULT now() - interval '1 hour', note text);
     CREATE INDEX ON t (at)";

impl Both {
    /// The table and what is in it at first.
    fn new(name: &str, table: &str, cursor: &str) -> Both {
        Both::of(name, table, |write| by("public.t", cursor, write))
    }

    fn of(name: &str, table: &str, stream: impl Fn(&str) -> Value) -> Both {
        let source = Database::new(name);
        source.sql(table);
        let loads = ["append", "merge"].map(|write| {
            let project = postgres::source(&source, json!([stream(write)]));
            (write, project)
        });
        Both { source, loads }
    }

    fn sql(&self, sql: &str) -> String {
        self.source.sql(sql)
    }

    /// Adds a row with a note.
    fn add(&self, note: &str) {
        self.sql(&format!("INSERT INTO t (note) VALUES ('{note}')"));
    }

    /// Runs both; returns how many rows each loaded.
    #[track_caller]
    fn run(&self) -> [u64; 2] {
        let running = self.loads.each_ref().map(|(_, project)| project.start(&["run", "c"]));
        let ended = running.map(|running| running.wait().exits(0));
        drop(ended);
        self.loads.each_ref().map(|(_, project)| {
            project.log().check();
            project.summary()["progress_counts"]["public.t"]["rows_loaded"].as_u64().expect("a count")
        })
    }

    /// Both have every row of the source once.
    #[track_caller]
    fn equal(&self) {
        let all = self.sql("SELECT note FROM t ORDER BY note COLLATE \"C\"");
        for (write, project) in &self.loads {
            let loaded = project.rows("SELECT note FROM public_t ORDER BY note").join("\n");
            assert_eq!(loaded, all, "{write}");
        }
    }

    /// Both have these notes, each once.
    #[track_caller]
    fn have(&self, notes: &[&str]) {
        for (write, project) in &self.loads {
            assert_eq!(project.rows("SELECT note FROM public_t ORDER BY note"), notes, "{write}");
        }
    }

    /// What the destinations say of the stream's state.
    fn states(&self) -> [Value; 2] {
        self.loads.each_ref().map(|(_, project)| state(project, "public.t"))
    }
}

/// The state that the embedded destination holds of a stream.
#[track_caller]
fn state(project: &Project, stream: &str) -> Value {
    let sql = format!("SELECT value FROM _waybill_state WHERE scope = 'stream:{stream}'");
    serde_json::from_str(&project.value(&sql)).expect("a state")
}

/// Runs a project whose run is to fail, and returns what it said.
#[track_caller]
fn fails(project: &Project, code: i32) -> Finished {
    project.run().exits(code)
}
