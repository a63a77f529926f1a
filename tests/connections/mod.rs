//! Connecting: pools, second tries, reasons in plain words, tunnels.

mod connecting;
mod explained;
mod forward;
mod pool;
mod tunnels;

use serde_json::Value;

use crate::fixture::record::Log;
use crate::fixture::{Database, wait_until};

/// Streams `public.t0`, `public.t1`, …, each with so many rows.
fn tables(database: &Database, count: usize, rows: usize) -> Vec<Value> {
    (0..count)
        .map(|at| {
            database.sql(&format!(
                "CREATE TABLE t{at} (id int PRIMARY KEY, filler text); \
                 INSERT INTO t{at} SELECT i, repeat('x', 100) FROM generate_series(1, {rows}) i"
            ));
            serde_json::json!({"name": format!("public.t{at}")})
        })
        .collect()
}

/// Connections that the server has of that application.
fn open_at(database: &Database, application: &str) -> usize {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}'");
    database.sql(&sql).parse().unwrap()
}

fn wait_until_closed(database: &Database, application: &str) {
    wait_until(&format!("the end of {application}'s connections"), || open_at(database, application) == 0);
}

/// Events of a name, as many of each role as of another name.
#[track_caller]
fn paired(log: &Log, opened: &str, closed: &str) {
    for role in ["source", "destination"] {
        let count = |name: &str| log.named(name).iter().filter(|line| line["data"]["role"] == role).count();
        assert_eq!(count(opened), count(closed), "{opened} and {closed} of the {role}");
    }
}
