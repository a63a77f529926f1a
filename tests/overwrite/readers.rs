//! What others see while a table is replaced again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{generations, kept_for};
use crate::fixture::{Database, Project, wait_until};

/// Runs `look` over and over on a thread of its own while `work` is done; how often it looked, and
/// the longest time that one look took.
fn while_reading(mut look: impl FnMut() + Send + 'static, work: impl FnOnce(&AtomicU64)) -> (u64, Duration) {
    let (over, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stop, count) = (Arc::clone(&over), Arc::clone(&looks));
    let reader = std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            look();
            longest = longest.max(started.elapsed());
            count.fetch_add(1, Ordering::Relaxed);
        }
        longest
    });
    wait_until("the first look", || looks.load(Ordering::Relaxed) > 0 || reader.is_finished());
    work(&looks);
    over.store(true, Ordering::Relaxed);
    let longest = reader.join().expect("every look found one whole table");
    (looks.load(Ordering::Relaxed), longest)
}

/// A look at a PostgreSQL table that fails unless it holds 500 rows of one generation. Ten
/// statements, each a transaction of its own.
fn look(target: &Database, table: &str) -> impl FnMut() + Send + use<> {
    let mut open = target.server.interactive(&target.name);
    let one = format!("SELECT 1 / (count(*) = 500 AND min(gen) = max(gen))::int FROM {table};\n");
    let ten = one.repeat(10).trim_end().trim_end_matches(';').to_owned();
    move || open.run(&ten)
}

#[test]
fn a_reader_of_postgres_sees_the_old_table_or_the_new_one_and_never_a_mix() {
    let mut shown = Vec::new();
    for (name, stands_on_it, table) in [
        ("readers_swap", "SELECT 1", "orders"),
        ("readers_refill", "CREATE VIEW seen AS SELECT gen FROM orders", "seen"),
    ] {
        let (source, target, project) = generations(name, 500);
        project.run().exits(0);
        target.sql(stands_on_it);
        let (looks, longest) = while_reading(look(&target, table), |_| {
            for generation in 2..8 {
                source.sql(&format!("UPDATE orders SET gen = {generation}"));
                project.run().exits(0);
                assert_eq!(target.sql("SELECT DISTINCT gen FROM orders"), generation.to_string());
            }
        });
        assert!(looks * 10 > 500, "{name}: only {looks}");
        shown.push(format!("{name}: {} selects over 6 runs, the longest ten in {longest:?}", looks * 10));
    }
    println!("{}", shown.join("\n"));
}

#[test]
fn a_reader_of_sqlite_sees_the_old_table_or_the_new_one_and_never_a_mix() {
    for (name, stands_on_it) in [
        ("lite_swap", "SELECT 1"),
        ("lite_refill", "CREATE TRIGGER t AFTER INSERT ON public_orders BEGIN SELECT 1; END"),
    ] {
        let source = Database::new(name);
        source.sql("CREATE TABLE orders (id bigint PRIMARY KEY, gen int); INSERT INTO orders SELECT n, 1 FROM generate_series(1, 500) n");
        let project = crate::fixture::postgres::source(&source, json!([{"name": "public.orders"}]));
        project.run().exits(0);
        project.rows(stands_on_it);
        let conn = rusqlite::Connection::open(project.path("waybill.db")).unwrap();
        conn.busy_timeout(Duration::from_secs(60)).unwrap();
        let look = move || {
            let sql = "SELECT count(*), min(gen), max(gen) FROM public_orders";
            let row: (i64, i64, i64) =
                conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            assert!(row.0 == 500 && row.1 == row.2, "{row:?}");
        };
        let (looks, longest) = while_reading(look, |_| {
            for generation in 2..8 {
                source.sql(&format!("UPDATE orders SET gen = {generation}"));
                project.run().exits(0);
                assert_eq!(project.value("SELECT DISTINCT gen FROM public_orders"), generation.to_string());
            }
        });
        assert!(looks > 500, "{name}: only {looks}");
        println!("{name}: {looks} selects over 6 runs, the longest in {longest:?}");
    }
}

#[test]
fn a_long_reader_does_not_queue_others_behind_the_swap() {
    let (source, target, project) = generations("readers_long", 500);
    project.run().exits(0);
    source.sql("UPDATE orders SET gen = 2");
    let mut long = target.server.interactive(&target.name);
    long.run("BEGIN; SELECT count(*) FROM orders");
    let (looks, longest) = while_reading(look(&target, "orders"), |looks| {
        let running = project.start(&["run", "c"]);
        let tries = |project: &Project| project.log().named("lock.waited").len();
        wait_until("the first try", || tries(&project) >= 1);
        let before = looks.load(Ordering::Relaxed);
        wait_until("the second try", || tries(&project) >= 2);
        // Between the two tries others had their turn.
        assert!(looks.load(Ordering::Relaxed) > before);
        assert_eq!(target.sql("SELECT DISTINCT gen FROM orders"), "1");
        long.run("COMMIT");
        running.wait().exits(0);
    });
    // A try waits for two seconds, and two of them may fall into one look.
    assert!(longest < Duration::from_secs(8), "{longest:?}");
    println!("{} selects beside a long reader, the longest ten in {longest:?}", looks * 10);
    assert_eq!(target.sql("SELECT DISTINCT gen FROM orders"), "2");
}

#[test]
fn a_reader_that_never_lets_go_and_a_snapshot_older_than_the_rows_do_not_stop_a_load() {
    let (source, target, project) = generations("readers_held", 500);
    project.edit(|config| config["connections"][0]["stall_timeout_ms"] = json!(10_000));
    project.run().exits(0);
    source.sql("UPDATE orders SET gen = 2");
    let mut long = target.server.interactive(&target.name);
    long.run("BEGIN; SELECT count(*) FROM orders");
    let mut older = target.server.interactive(&target.name);
    older.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    project.run().exits(0);
    assert_eq!(target.sql("SELECT count(*), min(gen), max(gen) FROM orders"), "500|2|2");
    assert!(kept_for(&project).contains("older snapshot"), "{}", kept_for(&project));
    older.run("SELECT 1 / (count(*) = 500 AND min(gen) = 1 AND max(gen) = 1)::int FROM orders");
    older.run("COMMIT");
    source.sql("UPDATE orders SET gen = 3");
    project.run().exits(0);
    assert_eq!(target.sql("SELECT count(*), min(gen), max(gen) FROM orders"), "500|3|3");
    assert!(kept_for(&project).contains("do not let go"), "{}", kept_for(&project));
}
