//! The same out of a SQLite file.

use serde_json::json;

use crate::fixture::project::sqlite_rows;
use crate::fixture::{Project, incremental, one_connection};

fn project(mode: &str, policy: &str) -> Project {
    let stream = match mode {
        "full" => json!({"name": "t", "schema_policy": policy}),
        write => incremental("t", json!({"cursor": "id", "write": write, "schema_policy": policy})),
    };
    let project = Project::new(one_connection("sqlite", json!({"path": "source.db", "streams": [stream]})));
    sql(&project, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT, n INTEGER)");
    sql(&project, "INSERT INTO t VALUES (1, 'a1', 'b1', 10), (2, 'a2', 'b2', 20)");
    project
}

fn sql(project: &Project, sql: &str) {
    sqlite_rows(&project.path("source.db"), sql);
}

#[test]
fn columns_that_come_go_and_change_places_in_sqlite_stay_in_their_own_columns() {
    for mode in super::MODES {
        let full = mode == "full";
        let project = project(mode, "evolve");
        project.run().exits(0);
        for change in [
            "ALTER TABLE t ADD COLUMN x TEXT",
            "ALTER TABLE t DROP COLUMN b",
            "ALTER TABLE t RENAME COLUMN a TO aa",
            "INSERT INTO t (id, aa, n, x) VALUES (3, 'aa3', 30, 'x3')",
        ] {
            sql(&project, change);
        }
        project.run().exits(0).says(&["x is new", "b is gone", "a is gone", "aa is new"]);
        let first = if full { "1|NULL|NULL|a1|10|NULL" } else { "1|a1|b1|NULL|10|NULL" };
        let rows = project.rows("SELECT id, a, b, aa, n, x FROM t ORDER BY id");
        assert_eq!(
            (rows[0].as_str(), rows[2].as_str(), rows.len()),
            (first, "3|NULL|NULL|aa3|30|x3", 3),
            "{mode}"
        );
        // Dropped and created again, in another order and with values of another type.
        for change in [
            "DROP TABLE t",
            "CREATE TABLE t (n TEXT, x TEXT, id INTEGER PRIMARY KEY, b TEXT, aa TEXT)",
            "INSERT INTO t VALUES ('n40', 'x4', 4, 'b4', 'aa4')",
        ] {
            sql(&project, change);
        }
        project.run().exits(0);
        let rows = project.rows("SELECT id, a, b, aa, n, x FROM t ORDER BY id DESC");
        assert_eq!(
            (rows[0].as_str(), rows.len()),
            ("4|NULL|b4|aa4|n40|x4", if full { 1 } else { 4 }),
            "{mode}"
        );
    }
}

#[test]
fn freeze_and_ignore_hold_for_sqlite_too() {
    for mode in super::MODES {
        let frozen = project(mode, "freeze");
        frozen.run().exits(0);
        sql(&frozen, "ALTER TABLE t ADD COLUMN x TEXT");
        frozen.run().exits(1).says(&["columns changed although they are frozen: x", "schema_policy"]);
        assert_eq!(frozen.value("SELECT count(*) FROM t"), "2");
        let ignored = project(mode, "ignore");
        ignored.run().exits(0);
        for change in [
            "ALTER TABLE t RENAME COLUMN a TO aa",
            "INSERT INTO t (id, aa, b, n) VALUES (3, 'aa3', 'b3', 30)",
        ] {
            sql(&ignored, change);
        }
        ignored.run().exits(0);
        assert_eq!(
            ignored.value("SELECT id || coalesce(a, '-') || b || n FROM t WHERE id = 3"),
            "3-b330",
            "{mode}"
        );
        assert_eq!(ignored.value("SELECT count(*) FROM pragma_table_info('t') WHERE name = 'aa'"), "0");
    }
}
