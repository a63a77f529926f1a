//! Killed at every call that changes a file or reaches a server, a run loses and doubles nothing.

use serde_json::json;

use crate::fixture::shim::{Shim, calls};
use crate::fixture::{Project, incremental, one_connection};

fn filled() -> Project {
    let streams = json!([incremental("t", json!({"cursor": "id", "write": "append"}))]);
    let project = Project::new(one_connection("sqlite", json!({"path": "source.db", "streams": streams})));
    let source = rusqlite::Connection::open(project.path("source.db")).unwrap();
    source.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)").unwrap();
    source.execute_batch("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT i, 'v' || i FROM n").unwrap();
    project
}

#[test]
fn an_append_into_sqlite_is_exact() {
    let points = {
        let project = filled();
        let mut command = project.command(&["run", "c"]);
        let report = project.path("calls");
        Shim { no_sync: true, ..Shim::default() }.before(&mut command, Some(&report));
        assert!(command.output().unwrap().status.success());
        calls(&report).len() as u64
    };
    for at in 1..=points {
        for torn in [false, true] {
            let project = filled();
            let mut command = project.command(&["run", "c"]);
            Shim { kill_at: Some(at), torn, no_sync: true }.before(&mut command, None);
            let _ = command.output().unwrap();
            project.run().exits(0);
            let found = project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM t");
            assert_eq!(found, "100|100", "killed at call {at} of {points}, torn: {torn}");
        }
    }
    println!("killed at {} points", 2 * points);
}
