//! Lost connections, rows that a table refuses, and speed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use waybill_protocol::{Disposition, Kind, Payload};

use super::{Db, commit_of, load, load_of, two_columns, write};

fn many(rows: i64) -> Payload {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let notes: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("the note of row {n}"))));
    Payload::Arrow(RecordBatch::try_new(two_columns(), vec![ids, notes]).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_killed_in_a_copy_is_worth_another_attempt() {
    let db = Arc::new(Db::new("killed"));
    let destination = db.begin("c1", "r1").await;
    let mut direct = load_of("orders", two_columns(), Disposition::Direct);
    direct.key = Vec::new();
    load(&*destination, &direct, &[(1, "a")], "k1").await.unwrap();
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&direct).await.unwrap();
    let killer = Arc::clone(&db);
    let kill = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active'";
            if killer.sql(sql) != "0" {
                return;
            }
        }
        panic!("no COPY was seen");
    });
    let mut failed = None;
    for _ in 0..200 {
        if let Err(error) = writer.write("orders", many(200_000)).await {
            failed = Some(error);
            break;
        }
    }
    kill.await.unwrap();
    let error = failed.expect("the write fails");
    assert_eq!((error.kind(), error.retryable()), (Kind::Network, true), "{error}");
    assert_eq!(writer.commit(&commit_of("k2", "orders")).await.unwrap_err().kind(), Kind::Internal);
    writer.abort().await.unwrap();
    assert!(!destination.committed("stream:orders", "k2").await.unwrap());
    write(&mut writer, "orders", &[(2, "b")]).await;
    writer.commit(&commit_of("k3", "orders")).await.unwrap();
    assert!(destination.committed("stream:orders", "k3").await.unwrap());
    assert_eq!(db.sql("SELECT string_agg(note, ',' ORDER BY id) FROM sales.orders"), "a,b");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_were_closed_are_replaced() {
    let db = Db::new("idle");
    let destination = db.begin("c1", "r1").await;
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    load(&*destination, &direct, &[(1, "a")], "k1").await.unwrap();
    db.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'waybill' AND datname = current_database()");
    assert_eq!(destination.states().await.unwrap().len(), 1);
    db.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'waybill' AND datname = current_database()");
    load(&*destination, &direct, &[(2, "b")], "k2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_swallows_are_not_reported_as_loaded() {
    let db = Db::new("trigger");
    let destination = db.begin("c1", "r1").await;
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    load(&*destination, &direct, &[(1, "a")], "k1").await.unwrap();
    db.sql("CREATE FUNCTION sales.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN NEW.id = 2 THEN NULL ELSE NEW END; END';
            CREATE TRIGGER t BEFORE INSERT ON sales.orders FOR EACH ROW EXECUTE FUNCTION sales.f()");
    let error = load(&*destination, &direct, &[(2, "b"), (3, "c")], "k2").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.message().contains("1 of 2"), "{error}");
    assert_eq!(db.sql("SELECT count(*) FROM sales.orders"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_work_side_by_side_at_the_speed_of_copy() {
    let db = Db::new("speed");
    let destination = db.begin("c1", "r1").await;
    let mut direct = load_of("orders", two_columns(), Disposition::Direct);
    direct.key = Vec::new();
    let started = Instant::now();
    let slices = ["1", "2"].map(|slice| {
        let (destination, direct) = (&destination, &direct);
        async move {
            let mut writer = destination.writer(slice).await.unwrap();
            writer.prepare(direct).await.unwrap();
            for _ in 0..4 {
                writer.write("orders", many(50_000)).await.unwrap();
            }
            let mut commit = commit_of(slice, "orders");
            commit.states[0].scope = format!("part:{slice}");
            writer.commit(&commit).await.unwrap()
        }
    });
    let receipts = futures_util::future::join_all(slices).await;
    let elapsed = started.elapsed();
    assert_eq!(receipts.iter().map(|r| r.rows["orders"]).sum::<u64>(), 400_000);
    assert_eq!(db.sql("SELECT count(*) FROM sales.orders"), "400000");
    // An unoptimised build on a busy machine: an INSERT per row would take minutes.
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    println!("400 000 rows in {elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_bytes_is_given_up() {
    let mut db = Db::new("stalled");
    db.deadlines.stall = Duration::from_secs(1);
    let db = Arc::new(db);
    let destination = db.begin("c1", "r1").await;
    let mut direct = load_of("orders", two_columns(), Disposition::Direct);
    direct.key = Vec::new();
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&direct).await.unwrap();
    let stopper = Arc::clone(&db);
    let stop = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let pid = stopper.sql("SELECT min(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active' AND datname = current_database()");
            if !pid.is_empty() {
                signal("-STOP", &pid);
                return pid;
            }
        }
        panic!("no COPY was seen");
    });
    let write_all = async {
        for _ in 0..200 {
            writer.write("orders", many(400_000)).await?;
        }
        Ok::<(), waybill_protocol::Error>(())
    };
    let error =
        tokio::time::timeout(Duration::from_secs(60), write_all).await.expect("given up").unwrap_err();
    signal("-CONT", &stop.await.unwrap());
    assert_eq!((error.kind(), error.retryable()), (Kind::Timeout, true), "{error}");
    assert_eq!(db.sql("SELECT count(*) FROM sales.orders"), "0");
}

fn signal(name: &str, pid: &str) {
    assert!(std::process::Command::new("kill").args([name, pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_merge_is_gone_from_the_server() {
    let db = Db::new("cancel");
    let destination = db.begin("c1", "r1").await;
    let mut merged = load_of("orders", two_columns(), Disposition::Direct);
    merged.upsert = true;
    load(&*destination, &merged, &[(1, "a")], "k1").await.unwrap();
    let mut open = db.server.interactive(&db.name);
    open.run("BEGIN; LOCK TABLE sales.orders IN ROW EXCLUSIVE MODE; UPDATE sales.orders SET note = 'theirs'");
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&merged).await.unwrap();
    write(&mut writer, "orders", &[(1, "b")]).await;
    let running = || {
        db.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'WITH merged%' AND state = 'active' AND datname = current_database()")
    };
    let cancel = async {
        while running() == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        db.cancel.cancel();
    };
    let commit = commit_of("k2", "orders");
    let (error, ()) = tokio::join!(writer.commit(&commit), cancel);
    assert_eq!(error.unwrap_err().kind(), Kind::Cancelled);
    destination.close().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while running() != "0" {
        assert!(Instant::now() < deadline, "the query still runs");
    }
    open.run("COMMIT");
    assert_eq!(db.sql("SELECT note FROM sales.orders"), "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_settled_one_way() {
    let db = Db::new("lost");
    let destination = db.begin("c1", "r1").await;
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    load(&*destination, &direct, &[(1, "a")], "k1").await.unwrap();
    db.sql("CREATE FUNCTION sales.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON sales.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sales.slow()");
    for (n, patience) in [(2, 300), (3, 990), (4, 1010)] {
        let mut writer = destination.writer("orders").await.unwrap();
        writer.prepare(&direct).await.unwrap();
        write(&mut writer, "orders", &[(n, "b")]).await;
        let commit = commit_of(&format!("k{n}"), "orders");
        let _ = tokio::time::timeout(Duration::from_millis(patience), writer.commit(&commit)).await;
        drop(writer);
        let took_place = destination.committed("stream:orders", &commit.id).await.unwrap();
        let visible = || db.sql(&format!("SELECT count(*) FROM sales.orders WHERE id = {n}"));
        assert_eq!(visible(), if took_place { "1" } else { "0" });
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(visible(), if took_place { "1" } else { "0" }, "the answer must stay true");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_commit_without_an_answer_is_not_doubled() {
    let db = Db::new("lost_stage");
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&staged).await.unwrap();
    let stage =
        db.sql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '\\_waybill\\_stage%'");
    db.sql(&format!("CREATE FUNCTION sales.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON sales.{stage} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sales.slow()"));
    for patience in [300, 490, 510, 530, 2000] {
        write(&mut writer, "orders", &[(1, "a")]).await;
        let _ =
            tokio::time::timeout(Duration::from_millis(patience), writer.commit(&Default::default())).await;
        writer = destination.writer("orders").await.unwrap();
        writer.prepare(&staged).await.unwrap();
        assert_eq!(db.sql(&format!("SELECT count(*) FROM sales.{stage}")), "0", "{patience}");
    }
}
