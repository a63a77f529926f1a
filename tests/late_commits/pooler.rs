//! Behind a transaction pooler.

use serde_json::json;

use super::{STAMPED, by};
use crate::fixture::{Database, Pooler, Project, postgres, wait_until};

/// A database behind a pooler, and a project that reads it there.
fn behind(name: &str, connections: u32, streams: serde_json::Value) -> (Database, Pooler, Project) {
    let source = Database::new(name);
    let pooler = Pooler::start(source.server, connections);
    let project = postgres::source_at(pooler.settings(name), streams);
    (source, pooler, project)
}

#[test]
fn late_commits_arrive_once_through_a_transaction_pooler() {
    for write in ["append", "merge"] {
        let stream = by("public.t", "at", write);
        let (source, _pooler, project) = behind(&format!("pooled_{write}"), 3, json!([stream]));
        source.sql(STAMPED);
        source.sql("INSERT INTO t (note) SELECT 'n' || n FROM generate_series(100, 300) n");
        project.run().exits(0);
        for round in ["a", "b"] {
            let mut late = source.server.interactive(&source.name);
            late.run(&format!("BEGIN; INSERT INTO t (note) VALUES ('late {round}')"));
            source.sql(&format!("INSERT INTO t (note) VALUES ('{round}')"));
            project.run().exits(0);
            assert_eq!(project.value(&format!("SELECT count(*) FROM public_t WHERE note = '{round}'")), "1");
            late.run("COMMIT");
            project.run().exits(0);
        }
        let all = source.sql("SELECT note FROM t ORDER BY note COLLATE \"C\"");
        assert_eq!(project.rows("SELECT note FROM public_t ORDER BY note").join("\n"), all, "{write}");
        project.waybill(&["connection", "test", "c"]).exits(0);
        project.waybill(&["connection", "discover", "c"]).exits(0).says(&["public.t"]);
        project.waybill(&["connection", "preview", "c", "public.t"]).exits(0);
    }
}

#[test]
fn a_database_behind_a_pooler_is_a_destination_in_every_write_mode() {
    let streams = json!([
        {"name": "public.over"},
        by("public.app", "id", "append"),
        by("public.mer", "id", "merge"),
    ]);
    let (source, _from, project) = behind("pooled_from", 8, streams);
    let target = Database::new("pooled_into");
    let pooler = Pooler::start(target.server, 8);
    postgres::destination_at(&project, "warehouse", pooler.settings(&target.name));
    for table in ["over", "app", "mer"] {
        source.sql(&format!(
            "CREATE TABLE {table} (id bigserial PRIMARY KEY, note text, pad numeric(20,4), at timestamptz DEFAULT now());
             INSERT INTO {table} (note, pad) SELECT 'n' || n, n / 7.0 FROM generate_series(1, 3000) n"
        ));
    }
    let equal = || {
        for table in ["over", "app", "mer"] {
            let sum = format!(
                "SELECT count(*), md5(string_agg((id, note, pad, at)::text, ',' ORDER BY id)) FROM {table}"
            );
            assert_eq!(target.sql(&sum), source.sql(&sum), "{table}");
        }
    };
    project.run().exits(0);
    equal();
    for table in ["over", "app", "mer"] {
        source.sql(&format!("INSERT INTO {table} (note) SELECT 'm' || n FROM generate_series(1, 500) n"));
    }
    // A column that is new, and one that is wider.
    source.sql("ALTER TABLE mer ADD more text DEFAULT 'x'");
    project.run().exits(0);
    equal();
    project.run().exits(0);
    equal();
    assert_eq!(target.sql("SELECT count(more) FROM mer"), "501");
}

#[test]
fn a_query_behind_a_pooler_is_gone_soon_after_a_run_was_stopped() {
    let (source, _pooler, project) = behind("pooled_stopped", 3, json!([{"name": "public.slow"}]));
    source.sql("CREATE VIEW slow AS SELECT n, pg_sleep(600)::text AS w FROM generate_series(1, 5) n");
    let queries = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'",
        source.name
    );
    let running = project.start(&["run", "c"]);
    wait_until("the query", || source.server.psql("postgres", &queries) != "0");
    running.signal("INT");
    running.wait().exits(130);
    wait_until("the end of the query", || source.server.psql("postgres", &queries) == "0");
}
