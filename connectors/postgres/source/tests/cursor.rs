//! Reading by cursor: windows, late commits, ties, NULLs, orders.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use serde_json::json;
use waybill_protocol::event::Body;
use waybill_protocol::{
    CursorValue, IN_WINDOW_COLUMN, Kind, Level, Lookback, NullCursor, StreamSelection, StreamState, WriteMode,
};

use super::fixture::Fixture;

fn int(value: i64) -> Option<CursorValue> {
    Some(CursorValue::Int(value))
}

#[tokio::test]
async fn a_late_commit_is_found() {
    let sql = "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who text);
        INSERT INTO t (who) SELECT 'before' FROM generate_series(1, 5)";
    let f = Fixture::new("late", sql).await;
    let read = f.by(StreamSelection::named("public.t"), "id").await;
    let first = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!((first.ints("id"), first.state().floor.clone()), (vec![1, 2, 3, 4, 5], int(5)));

    let mut a = f.server.interactive(&f.database);
    a.run("BEGIN; INSERT INTO t (who) VALUES ('A')");
    f.psql("INSERT INTO t (who) VALUES ('B')");
    let second = f.read(&read, first.state()).await.unwrap();
    assert_eq!((second.ints("id"), second.floor.clone()), (vec![5, 7], int(5)));
    let state = second.state();
    assert_eq!((state.floor.clone(), state.ceiling.clone()), (int(5), int(7)));
    assert_eq!(state.open.values().collect::<Vec<_>>(), [&int(5)]);
    assert!(state.open.keys().all(|k| k.starts_with("virtual:")), "{:?}", state.open);
    a.run("COMMIT");
    f.psql("INSERT INTO t (who) VALUES ('C')");
    let third = f.read(&read, state).await.unwrap();
    assert_eq!((third.ints("id"), third.floor.clone()), (vec![5, 6, 7, 8], int(8)));
    assert_eq!((third.state().floor.clone(), third.state().open.len()), (int(8), 0));
    let seen: BTreeSet<i64> =
        [first.ints("id"), second.ints("id"), third.ints("id")].concat().into_iter().collect();
    assert_eq!(seen, (1..=8).collect());
}

#[tokio::test]
async fn a_prepared_transaction_holds_the_floor_and_is_named() {
    let f = Fixture::new(
        "prepared",
        "CREATE TABLE t (id bigserial PRIMARY KEY); INSERT INTO t SELECT FROM generate_series(1, 3)",
    )
    .await;
    let read = f.by(StreamSelection::named("public.t"), "id").await;
    let first = f.read(&read, &StreamState::default()).await.unwrap();
    f.psql("BEGIN; INSERT INTO t DEFAULT VALUES; PREPARE TRANSACTION 'pt'");
    f.psql("INSERT INTO t DEFAULT VALUES");
    let second = f.read(&read, first.state()).await.unwrap();
    assert_eq!(second.state().open["prepared:pt"], int(3));
    let third = f.read(&read, second.state()).await.unwrap();
    assert_eq!(third.state().floor, int(3));
    f.psql("COMMIT PREPARED 'pt'");
    let warned = f.events.all().into_iter().filter(|e| matches!(e.body, Body::WindowWidened { .. }));
    let levels: Vec<Level> = warned.map(|e| e.level).collect();
    assert_eq!(levels, [Level::Info, Level::Warn], "loud once it has lasted");
    let last = f.read(&read, third.state()).await.unwrap();
    assert_eq!((last.ints("id"), last.state().floor.clone()), (vec![3, 4, 5], int(5)));
}

#[tokio::test]
async fn an_ordered_read_checkpoints_on_the_way_and_resumes() {
    let sql = "CREATE TABLE t (id bigint PRIMARY KEY, pad text);
        INSERT INTO t SELECT i, repeat('x', 700) FROM generate_series(1, 200000) i ORDER BY random()";
    let f = Fixture::new("ordered", sql).await;
    let mut read = f.by(StreamSelection::named("public.t"), "id").await;
    read.ordered = true;
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert!(sent.checkpoints >= 3, "{} checkpoints", sent.checkpoints);
    let ids = sent.ints("id");
    assert!(ids.is_sorted() && ids.len() == 200_000);
    assert!(sent.batches.iter().all(|b| b.get_array_memory_size() <= 8 << 20));
    let middle = &sent.states[0];
    let Some(CursorValue::Int(at)) = middle.floor else { panic!("{middle:?}") };
    assert_eq!(middle.ceiling, int(at));
    let rest = f.read(&read, middle).await.unwrap();
    assert_eq!(rest.ints("id").first(), Some(&at));
    assert_eq!(rest.rows() as i64, 200_000 - at + 1);
    assert_eq!(sent.state().floor, int(200_000));
}

#[tokio::test]
async fn nulls_follow_their_policy() {
    let f = Fixture::new(
        "nulls",
        "CREATE TABLE t (id bigint, k int); INSERT INTO t VALUES (1, 1), (NULL, 2), (NULL, 3), (2, 4)",
    )
    .await;
    let mut read = f.by(StreamSelection::named("public.t"), "id").await;
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!((sent.nulls, sent.rows()), (2, 2));
    read.selection.filter = Some("k <> 3 -- not this".into());
    assert_eq!(f.read(&read, &StreamState::default()).await.unwrap().nulls, 1);
    read.selection.null_cursor = NullCursor::IncludeAlways;
    read.selection.write = Some(WriteMode::Merge);
    let state = StreamState { floor: int(2), ceiling: int(2), ..Default::default() };
    let sent = f.read(&read, &state).await.unwrap();
    assert_eq!((sent.nulls, sent.rows()), (0, 2), "one NULL and the tie");
    read.selection.null_cursor = NullCursor::Fail;
    assert_eq!(f.read(&read, &state).await.unwrap_err().kind(), Kind::Data);
}

#[tokio::test]
async fn times_stop_before_the_clock_and_bounds_move_no_state() {
    let sql = "CREATE TABLE t (id bigint, at timestamptz, day date);
        INSERT INTO t VALUES (1, '2024-01-01', '2024-01-01'), (2, '2024-06-01', '2024-06-01'), (3, now() + interval '1 day', 'infinity')";
    let f = Fixture::new("times", sql).await;
    for column in ["at", "day"] {
        let read = f.by(StreamSelection::named("public.t"), column).await;
        let sent = f.read(&read, &StreamState::default()).await.unwrap();
        assert_eq!(sent.ints("id"), [1, 2, 3], "the future is read");
        let shown = sent.state().floor.as_ref().unwrap().to_string();
        let today = f.psql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')");
        assert!(shown.starts_with(&today), "{shown} is no later than now");
        let again = f.read(&read, sent.state()).await.unwrap();
        assert_eq!(again.ints("id"), [3], "and read again");
    }
    let mut read = f.by(StreamSelection::named("public.t"), "at").await;
    let at =
        |text: &str| Some(CursorValue::parse(&json!(text), waybill_protocol::Logical::TimestampTz).unwrap());
    read.from = at("2024-02-01");
    read.to = at("2025-01-01");
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!((sent.ints("id"), sent.states.len(), sent.complete), (vec![2], 0, true));
    (read.from, read.to, read.limit) = (None, None, Some(1));
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!((sent.ints("id"), sent.states.len()), (vec![1], 0));
}

#[tokio::test]
async fn text_is_compared_by_the_server() {
    // Under this collation a < B < c; by bytes B would come first.
    let sql =
        "CREATE TABLE t (id bigint, code text COLLATE \"en-x-icu\"); INSERT INTO t VALUES (1, 'a'), (2, 'B')";
    let f = Fixture::new("texts", sql).await;
    let mut read = f.by(StreamSelection::named("public.t"), "code").await;
    read.ordered = true;
    let first = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!((first.checkpoints, first.state().floor.clone()), (1, Some(CursorValue::Text("B".into()))));
    let window = |sent: &super::fixture::Sent| -> Vec<bool> {
        let batch = &sent.batches[0];
        batch.column_by_name(IN_WINDOW_COLUMN).unwrap().as_boolean().iter().flatten().collect()
    };
    assert_eq!(window(&first), [false, true]);
    f.psql("INSERT INTO t VALUES (3, 'aa'), (4, 'c''\\d')");
    let second = f.read(&read, first.state()).await.unwrap();
    assert_eq!((second.ints("id"), window(&second)), (vec![2, 4], vec![false, true]));
    assert_eq!(second.state().floor, Some(CursorValue::Text("c'\\d".into())));
    let third = f.read(&read, second.state()).await.unwrap();
    assert_eq!(third.ints("id"), [4]);
}

#[tokio::test]
async fn uuids_decimals_and_an_empty_table() {
    let sql = "CREATE TABLE e (id bigint);
        CREATE TABLE d (id bigint, n numeric(30,2), free numeric); INSERT INTO d VALUES (1, 9.5, 9.5), (2, 10.25, 10.25);
        CREATE TABLE u (id bigint, u uuid); INSERT INTO u VALUES (1, '018bcfe5-6800-7abc-8def-0123456789ab');
        CREATE TABLE v (u uuid); INSERT INTO v VALUES ('f47ac10b-58cc-4372-a567-0e02b2c3d479')";
    let f = Fixture::new("others", sql).await;
    let empty =
        f.read(&f.by(StreamSelection::named("public.e"), "id").await, &StreamState::default()).await.unwrap();
    assert!(empty.complete && empty.batches.is_empty());
    assert_eq!((empty.checkpoints, empty.state()), (1, &StreamState::default()));
    for column in ["n", "free"] {
        let read = f.by(StreamSelection::named("public.d"), column).await;
        let sent = f.read(&read, &StreamState::default()).await.unwrap();
        assert_eq!(sent.state().floor, Some(CursorValue::Decimal("10.25".into())));
        assert_eq!(f.read(&read, sent.state()).await.unwrap().ints("id"), [2]);
    }
    f.psql("INSERT INTO d VALUES (3, 1, 'NaN')");
    let mut read = f.by(StreamSelection::named("public.d"), "free").await;
    assert_eq!(f.read(&read, &StreamState::default()).await.unwrap_err().kind(), Kind::Data);
    read.selection.filter = Some("free < 'NaN'".into());
    assert_eq!(f.read(&read, &StreamState::default()).await.unwrap().rows(), 2);
    let read = f.by(StreamSelection::named("public.u"), "u").await;
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!(sent.state().floor, Some(CursorValue::Uuid("018bcfe5-6800-7abc-8def-0123456789ab".into())));
    let random = f.read(&f.by(StreamSelection::named("public.v"), "u").await, &StreamState::default()).await;
    assert_eq!(random.unwrap_err().kind(), Kind::Config);
}

#[tokio::test]
async fn lookback_reads_again_and_a_subscribed_table_needs_it() {
    let f = Fixture::new(
        "lookback",
        "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)",
    )
    .await;
    let mut read = f.by(StreamSelection::named("public.t"), "id").await;
    read.selection.lookback = Some(Lookback::Amount(3));
    let first = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!(first.state().floor, int(7));
    assert_eq!(f.read(&read, first.state()).await.unwrap().ints("id"), [7, 8, 9, 10]);
    read.selection.lookback = None;
    f.psql("CREATE SUBSCRIPTION waybill_s CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false);
        INSERT INTO pg_subscription_rel SELECT oid, 't'::regclass, 'r' FROM pg_subscription WHERE subname = 'waybill_s'");
    let error = f.read(&read, first.state()).await.unwrap_err();
    assert!(error.kind() == Kind::Config && error.message().contains("subscription"), "{error}");
    f.psql("ALTER SUBSCRIPTION waybill_s SET (slot_name = NONE); DROP SUBSCRIPTION waybill_s");
}

#[tokio::test]
async fn queries_filters_and_columns_are_respected() {
    let sql = "CREATE TABLE t (\"Odd \"\"name\" bigint, b text); INSERT INTO t SELECT i, 'b' || i FROM generate_series(1, 10) i";
    let f = Fixture::new("queries", sql).await;
    let mut selection = StreamSelection::named("mine");
    selection.query =
        Some("SELECT \"Odd \"\"name\" AS id, b::varchar(5), 1.5::numeric(4,2) AS n FROM t -- all;\n;".into());
    selection.filter = Some("id % 2 = 0 OR id = 1".into());
    let mut read = f.by(selection, "id").await;
    read.schema = std::sync::Arc::new(read.schema.project(&[1, 0]).unwrap());
    let sent =
        f.read(&read, &StreamState { floor: int(4), ceiling: int(4), ..Default::default() }).await.unwrap();
    assert_eq!(sent.ints("id"), [4, 6, 8, 10]);
    assert_eq!(sent.batches[0].column(0).as_string::<i32>().value(0), "b4");
    let whole =
        f.read(&f.stream(StreamSelection::named("public.t")).await, &StreamState::default()).await.unwrap();
    assert_eq!(whole.ints("Odd \"name").len(), 10);
}

#[tokio::test]
async fn a_first_run_waits_for_open_transactions() {
    let f = Fixture::new("first", "CREATE TABLE t (id bigserial PRIMARY KEY); INSERT INTO t DEFAULT VALUES")
        .await;
    let read = f.by(StreamSelection::named("public.t"), "id").await;
    let mut a = f.server.interactive(&f.database);
    a.run("BEGIN; INSERT INTO t DEFAULT VALUES");
    f.psql("INSERT INTO t DEFAULT VALUES");
    let commit = async {
        let waits = || f.events.all().iter().any(|e| e.message.starts_with("waiting up to 30s"));
        super::fixture::eventually("the announcement", waits).await;
        a.run("COMMIT");
    };
    let empty = StreamState::default();
    let (sent, ()) = futures_util::future::join(f.read(&read, &empty), commit).await;
    let sent = sent.unwrap();
    assert_eq!((sent.ints("id"), sent.state().floor.clone()), (vec![1, 2, 3], int(3)));
    assert!(sent.state().open.is_empty());
}

#[tokio::test]
async fn reads_of_the_same_run_do_not_hold_each_other() {
    let sql = "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1);
        CREATE TABLE big AS SELECT i::bigint AS id, repeat('x', 500) AS pad FROM generate_series(1, 50000) i";
    let f = Fixture::new("own", sql).await;
    let (small, big) = (StreamSelection::named("public.t"), StreamSelection::named("public.big"));
    let (small, big) = (f.by(small, "id").await, std::sync::Arc::new(f.stream(big).await));
    let (outlet, mut receiver) =
        waybill_protocol::Outlet::new(waybill_protocol::Budget::new(1 << 20), Default::default());
    let (slice, progress) = (waybill_protocol::Slice::whole(big), waybill_protocol::Progress::default());
    let held = async {
        // The other read is in its snapshot and stuck behind an outlet that nobody empties.
        receiver.recv().await.expect("the schema");
        super::fixture::eventually("the snapshot", || {
            f.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND state = 'active'") == "1"
        })
        .await;
        let sent = f.read(&small, &StreamState::default()).await.unwrap();
        assert_eq!((sent.state().floor.clone(), sent.state().open.len()), (int(1), 0));
    };
    tokio::select! {
        _ = f.source.read(&slice, &progress, &outlet) => panic!("nobody takes its batches"),
        () = held => {}
    }
}
