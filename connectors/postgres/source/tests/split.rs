//! Large tables in ranges: one snapshot, nothing twice, nothing missing.

use std::sync::Arc;

use waybill_protocol::{CursorValue, Kind, Progress, Slice, StreamRead, StreamSelection, StreamState};

use super::fixture::{Fixture, eventually};
use crate::postgres::source::split::Range;

/// Somewhat more than two ranges are worth, in few rows: most of each block is left free.
const LARGE: &str = "CREATE TABLE large (id int8 PRIMARY KEY, filler text) WITH (fillfactor = 10);
    INSERT INTO large SELECT n, repeat('x', 700) FROM generate_series(1, 17000) n; ANALYZE large";

const HELD: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";

async fn large(name: &str) -> (Fixture, StreamRead) {
    let fixture = Fixture::new(name, LARGE).await;
    let read = fixture.stream(StreamSelection::named("public.large")).await;
    (fixture, StreamRead { staged: true, parts: 3, ..read })
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_show_the_table_as_it_was_when_they_were_planned() {
    let (fixture, read) = large("split_one").await;
    let slices = fixture.plan(&read).await;
    assert_eq!(slices.len(), 2, "{slices:?}");
    // Rows move into other blocks, come and go; the table cannot be emptied or rewritten meanwhile.
    fixture.psql("UPDATE large SET filler = 'y' WHERE id % 3 = 0; DELETE FROM large WHERE id % 5 = 0; INSERT INTO large VALUES (99999, '')");
    let emptied = "SET lock_timeout = 100; SELECT 1; DO $$ BEGIN TRUNCATE large; RAISE 'emptied'; EXCEPTION WHEN lock_not_available THEN NULL; END $$";
    fixture.psql(emptied);
    let mut ids = Vec::new();
    for slice in &slices {
        let sent = fixture.slice(slice, Progress::default()).await.unwrap();
        assert!(sent.complete && sent.rows() > 4000, "{}: {}", slice.id, sent.rows());
        ids.extend(sent.ints("id"));
    }
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=17000), "{} rows", ids.len());
    eventually("the end of the snapshot", || fixture.psql(HELD) == "0").await;
    fixture.psql("TRUNCATE large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_lost_is_taken_again() {
    let (fixture, read) = large("split_lost").await;
    let slices = fixture.plan(&read).await;
    fixture.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'");
    eventually("its end", || fixture.psql(HELD) == "0").await;
    let error = fixture.slice(&slices[1], Progress::default()).await.unwrap_err();
    assert!(error.kind() == Kind::Network && error.retryable(), "{error:?}");
    let mut rows = 0;
    for slice in fixture.plan(&read).await {
        rows += fixture.slice(&slice, Progress::default()).await.unwrap().rows();
    }
    assert_eq!(rows, 17000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_given_up_with_its_ranges_and_at_the_end() {
    let (fixture, read) = large("split_end").await;
    fixture.plan(&read).await;
    fixture.plan(&read).await;
    assert_eq!(fixture.psql(HELD), "1", "the first is held no more");
    fixture.source.close().await;
    eventually("the end of the snapshot", || fixture.psql(HELD) == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_by_cursor_does_not_take_the_snapshot_for_a_stranger() {
    let (fixture, read) = large("split_own").await;
    fixture.psql("CREATE TABLE small (id int8 PRIMARY KEY); INSERT INTO small VALUES (1), (2)");
    assert_eq!(fixture.plan(&read).await.len(), 2);
    let small = fixture.by(StreamSelection::named("public.small"), "id").await;
    let sent = fixture.read(&small, &StreamState::default()).await.unwrap();
    let state = sent.state();
    assert!(state.open.is_empty() && state.floor == Some(CursorValue::Int(2)), "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_table_is_split_by_its_own_size() {
    let (fixture, _) = large("split_sizes").await;
    fixture.psql("CREATE TABLE a (id int8); CREATE TABLE z (id int8)");
    let mut reads = Vec::new();
    for name in ["public.z", "public.large", "public.a"] {
        let found = fixture.stream(StreamSelection::named(name)).await;
        reads.push(Arc::new(StreamRead { staged: true, parts: 3, ..found }));
    }
    let ids = |slices: &[Slice]| slices.iter().map(|slice| slice.id.clone()).collect::<Vec<_>>();
    let slices = fixture.source.plan(&reads, &Progress::default()).await.unwrap();
    assert_eq!(ids(&slices), ["public.large#1", "public.large#2", "public.z", "public.a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_large_and_staged_is_split() {
    let (fixture, read) = large("split_not").await;
    for one in [
        StreamRead { parts: 1, ..read.clone() },
        StreamRead { staged: false, ..read.clone() },
        StreamRead { limit: Some(1), ..read.clone() },
    ] {
        let slices = fixture.plan(&one).await;
        assert!(slices.len() == 1 && slices[0].detail.is_null(), "{slices:?}");
    }
    // Nobody knows what the blocks of somebody else's server are.
    fixture.psql(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
         CREATE FOREIGN TABLE elsewhere () INHERITS (large) SERVER s",
    );
    assert_eq!(fixture.plan(&read).await.len(), 1);
}

/// Three tables behind one name, on two levels, of very different sizes.
const PARTED: &str = "CREATE TABLE parted (id int8, part int, filler text) PARTITION BY LIST (part);
    CREATE TABLE much PARTITION OF parted FOR VALUES IN (1) WITH (fillfactor = 10);
    CREATE TABLE little PARTITION OF parted FOR VALUES IN (2) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF little FOR VALUES FROM (0) TO (5000) WITH (fillfactor = 10);
    CREATE TABLE high PARTITION OF little FOR VALUES FROM (5000) TO (1000000);
    INSERT INTO parted SELECT n, CASE WHEN n % 4 = 0 THEN 2 ELSE 1 END, repeat('x', 700) FROM generate_series(1, 20000) n;
    CREATE TABLE late (LIKE parted) WITH (fillfactor = 10);
    INSERT INTO late SELECT n, 3, repeat('x', 700) FROM generate_series(20001, 32000) n; ANALYZE";

/// Reads every slice while something is done before the second one.
async fn ids_of(fixture: &Fixture, slices: &[Slice], meanwhile: &str) -> Vec<i64> {
    let mut ids = Vec::new();
    for (at, slice) in slices.iter().enumerate() {
        if at == 1 {
            fixture.psql(meanwhile);
        }
        let sent = fixture.slice(slice, Progress::default()).await.unwrap();
        assert!(sent.complete && sent.rows() > 4000, "{}: {}", slice.id, sent.rows());
        ids.extend(sent.ints("id"));
    }
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_partitions_is_split_across_them_as_it_was() {
    let fixture = Fixture::new("split_parted", PARTED).await;
    let read = fixture.stream(StreamSelection::named("public.parted")).await;
    let read = StreamRead { staged: true, parts: 4, ..read };
    let slices = fixture.plan(&read).await;
    assert!(slices.len() >= 2, "{slices:?}");
    for slice in &slices {
        let condition = Range::of(slice).unwrap().unwrap().condition();
        let plan = fixture.psql(&format!("EXPLAIN SELECT * FROM parted AS q WHERE {condition}"));
        // Small ones that are wanted whole are read whole.
        assert!(plan.contains("Tid Range Scan on much"), "{plan}");
    }
    let attach = "ALTER TABLE parted ATTACH PARTITION late FOR VALUES IN (3)";
    let ids = ids_of(&fixture, &slices, attach).await;
    assert!(ids.iter().copied().eq(1..=20000), "{} rows", ids.len());
    // With the next plan it is there.
    let ids = ids_of(&fixture, &fixture.plan(&read).await, "SELECT 1").await;
    assert!(ids.iter().copied().eq(1..=32000), "{} rows", ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn heirs_are_read_with_their_parent_as_it_was() {
    let (fixture, read) = large("split_heirs").await;
    fixture.psql(
        "CREATE TABLE heir (more int) INHERITS (large) WITH (fillfactor = 10);
         INSERT INTO heir SELECT n, repeat('x', 700), 1 FROM generate_series(17001, 20000) n;
         CREATE TABLE late (LIKE large) WITH (fillfactor = 10);
         INSERT INTO late SELECT n, repeat('x', 700) FROM generate_series(20001, 30000) n",
    );
    let slices = fixture.plan(&read).await;
    assert!(slices.len() >= 2, "{slices:?}");
    let ids = ids_of(&fixture, &slices, "ALTER TABLE late INHERIT large").await;
    assert!(ids.iter().copied().eq(1..=20000), "{} rows", ids.len());
}
