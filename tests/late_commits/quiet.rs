//! A run beside which nothing is in flight costs no more than what is new.

use super::{Both, SEQUENCE};
use crate::fixture::wait_until;

#[test]
fn a_quiet_run_reads_by_the_index_and_next_to_nothing() {
    let both = Both::new("late_quiet", SEQUENCE, "id");
    let server = both.source.server;
    both.sql("INSERT INTO t (note) SELECT 'n' || n FROM generate_series(100000, 120000) n");
    both.sql("ANALYZE t");
    both.run();
    let name = &both.source.name;
    // Every plan that a session of this database runs from now on stands in the server's log.
    both.sql(&format!("ALTER DATABASE {name} SET session_preload_libraries = 'auto_explain'"));
    both.sql(&format!("ALTER DATABASE {name} SET auto_explain.log_min_duration = 0"));
    let settled = || {
        let left = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
        wait_until("the end of the sessions", || server.psql("postgres", &left) == "0");
    };
    let scanned = || -> Vec<u64> {
        settled();
        let sql = "SELECT seq_scan, seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 't'";
        let found = both.sql(sql);
        found.split('|').map(|n| n.parse().expect("a number")).collect()
    };
    // A session's numbers come with its end.
    let mut before = scanned();
    wait_until("the numbers", || {
        let now = scanned();
        std::mem::replace(&mut before, now.clone()) == now
    });
    assert_eq!(both.run()[0], 0);
    let after = scanned();
    assert_eq!(after[..2], before[..2], "the table was scanned");
    assert!(after[2] - before[2] <= 16, "{before:?} {after:?}: the end, ties with it, and no other row");
    let log = server.log();
    let plans: Vec<&str> = log
        .split("duration:")
        .filter(|plan| plan.contains("public\".\"t\"") && plan.contains("plan:") && plan.contains("COPY"))
        .collect();
    assert!(plans.iter().filter(|plan| plan.contains("ORDER BY")).count() >= 2, "{log}");
    for plan in plans {
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{plan}");
    }
}

#[test]
fn finding_the_end_may_take_longer_than_a_bounded_query() {
    let both = Both::of("late_slow_end", SEQUENCE, |write| super::by("public.v", "id", write));
    both.sql("CREATE VIEW v AS SELECT id, note FROM t WHERE (SELECT pg_sleep(1.5)::text) = ''");
    both.add("first");
    let project = &both.loads[0].1;
    project.edit(|config| config["connections"][0]["query_timeout_ms"] = 1000.into());
    project.run().exits(0);
    assert_eq!(project.value("SELECT note FROM public_v"), "first");
}
