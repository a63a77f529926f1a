//! Where a stream starts from: every rule by which config and destination are settled, with SQLite
//! and PostgreSQL as the destination, for appends and merges.

mod adopted;
mod edited;
mod instructed;
mod merged;
mod named;
mod refused;
mod unwritable;

use serde_json::{Value, json};

use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Finished, Project, incremental, one_connection, postgres};

/// Connection `c` from table `t (id, n, v)` of a SQLite file into some destination.
struct Ground {
    project: Project,
    target: Option<Database>,
    write: &'static str,
    name: String,
}

/// The same test for appends and merges, into SQLite and into PostgreSQL.
fn everywhere(name: &str, test: impl Fn(&Ground)) {
    for write in ["append", "merge"] {
        on_both(name, write, &test);
    }
}

/// The same test for an append into SQLite and a merge into PostgreSQL: for what is decided before
/// either is written.
///
/// Then once more into SQLite with all state in a file of its own: what holds of config.json holds of
/// that.
fn crosswise(name: &str, test: impl Fn(&Ground)) {
    test(&Ground::new(name, "append", false));
    test(&Ground::new(name, "merge", true));
    let apart = Ground::new(&format!("{name}_apart"), "append", false);
    // By its id the file knows it, and some tests write there before the first run.
    apart
        .project
        .edit(|config| config["connections"][0]["id"] = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0002"));
    apart.project.waybill(&["config", "state-file", "state.json"]).exits(0);
    test(&apart);
    assert!(
        apart.project.config()["connections"][0]["state"].is_null(),
        "{name}: state stays out of the config"
    );
}

/// The same test into SQLite and into PostgreSQL.
fn on_both(name: &str, write: &'static str, test: impl Fn(&Ground)) {
    for server in [false, true] {
        test(&Ground::new(name, write, server));
    }
}

impl Ground {
    /// Ten rows, none loaded yet.
    fn new(name: &str, write: &'static str, server: bool) -> Ground {
        let streams = json!([incremental("t", json!({"cursor": "id", "write": write}))]);
        let project =
            Project::new(one_connection("sqlite", json!({"path": "source.db", "streams": streams})));
        let name = format!("rules_{name}_{write}");
        let target = server.then(|| Database::new(&name));
        match &target {
            Some(target) => postgres::destination(&project, target),
            None => project.edit(|config| {
                config["destination"] = json!("local");
                config["destinations"] = json!({"local": {"type": "sqlite", "path": "waybill.db"}});
            }),
        }
        let ground = Ground { project, target, write, name };
        ground.source("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, v TEXT)");
        ground.add(1, 10);
        ground
    }

    fn source(&self, sql: &str) {
        let source = rusqlite::Connection::open(self.project.path("source.db")).unwrap();
        source.execute_batch(sql).unwrap();
    }

    fn add(&self, from: i64, to: i64) {
        self.source(&format!(
            "WITH RECURSIVE a(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM a WHERE i < {to})
             INSERT INTO t SELECT i, i, 'v' || i FROM a"
        ));
    }

    fn target(&self, sql: &str) -> String {
        match &self.target {
            Some(target) => target.sql(sql),
            None => sqlite_rows(&self.project.path("waybill.db"), sql).join("\n"),
        }
    }

    /// Asserts how many rows the destination holds, how many of them are different, and the highest.
    #[track_caller]
    fn holds(&self, count: i64, distinct: i64, highest: i64) {
        let found = self.target("SELECT count(*) || '|' || count(DISTINCT id) || '|' || max(id) FROM t");
        assert_eq!(found, format!("{count}|{distinct}|{highest}"), "{}", self.name);
    }

    #[track_caller]
    fn exactly(&self, to: i64) {
        self.holds(to, to, to);
    }

    /// Runs and asserts that it succeeded by a rule.
    #[track_caller]
    fn runs_by(&self, rule: &str) -> Finished {
        let finished = self.project.run().exits(0);
        let decided = self.reconciled();
        assert_eq!(decided["data"]["rule"], rule, "{}: {decided}", self.name);
        finished
    }

    /// Runs, and asserts that it was refused, saying all of this, and that nothing changed.
    #[track_caller]
    fn refuses(&self, code: i32, parts: &[&str]) {
        let before = self.everything();
        self.project.run().exits(code).says(parts);
        assert_eq!(self.everything(), before, "{}: a refusal changes nothing", self.name);
    }

    fn reconciled(&self) -> Value {
        self.project.log().named("state.reconciled").last().copied().cloned().unwrap_or_default()
    }

    /// What the destination and the config say.
    fn everything(&self) -> (Vec<String>, Value) {
        let rows = "SELECT count(*) FROM t";
        let state = "SELECT value, rows FROM _waybill_state";
        let window = "SELECT count(*) FROM _waybill_window";
        ([rows, state, window].map(|sql| self.target(sql)).to_vec(), self.entry())
    }

    fn entry(&self) -> Value {
        self.project.state("t")
    }

    fn set_entry(&self, entry: Value) {
        self.project.edit_state("t", |now| *now = entry);
    }

    /// Changes the cursor as a person with an editor would.
    fn edit_cursor(&self, cursor: Value) {
        self.project.edit_state("t", |now| now["cursor"] = cursor);
    }

    /// Takes away what config.json, or its state file, says of state.
    fn forget(&self) {
        if self.project.config()["state_file"].is_string() {
            return std::fs::remove_file(self.project.path("state.json")).unwrap();
        }
        self.project.edit(|config| {
            config["connections"][0].as_object_mut().unwrap().shift_remove("state");
        });
    }

    fn select(&self, key: &str, value: Value) {
        self.project.edit(|config| config["connections"][0]["schema"]["streams"][0][key] = value);
    }

    #[track_caller]
    fn warned(&self, parts: &[&str]) {
        let warnings = self.project.summary()["warnings"].to_string();
        for part in parts {
            assert!(warnings.contains(part), "{}: no {part:?} in {warnings}", self.name);
        }
    }
}
