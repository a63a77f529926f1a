//! Reading by cursor, on real files.

use arrow_array::cast::AsArray;
use waybill_protocol::{
    Change, CursorValue, Kind, Logical, Lookback, Message, NullCursor, Reading, StreamSelection, StreamState,
};

use super::shelf::{Shelf, all, batches, by_cursor, ints, request, states};

/// The year 2090.
const LATER: i64 = 3_786_912_000_000_000;

#[tokio::test]
async fn an_incremental_read_goes_on_from_the_window() {
    let shelf = Shelf::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1),(2),(3)");
    let source = shelf.source().await;
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let read = by_cursor(request(&stream, StreamSelection::named("t")), "id", true);
    let (messages, done) = all(&source, read.clone(), None).await;
    done.unwrap();
    assert_eq!(ints(&messages, 0), [1, 2, 3]);
    let state = states(&messages).pop().unwrap();
    let next = |m: &Message| matches!(m, Message::NextFloor { floor, .. } if *floor == state.floor);
    assert!(messages.get(1).is_some_and(next), "the floor to come is said before the first batch");
    assert_eq!((&state.floor, &state.ceiling), (&Some(CursorValue::Int(3)), &Some(CursorValue::Int(3))));
    shelf.sql("INSERT INTO t VALUES (4),(5)");
    let (messages, _) = all(&source, read.clone(), Some(state)).await;
    assert_eq!(ints(&messages, 0), [3, 4, 5], "the floor is read again");
    let state = states(&messages).pop().unwrap();
    shelf.sql("DELETE FROM t WHERE id > 1");
    let (messages, _) = all(&source, read.clone(), Some(state.clone())).await;
    assert!(ints(&messages, 0).is_empty());
    assert_eq!(states(&messages), std::slice::from_ref(&state), "the ceiling never falls");
    let mut back = read.clone();
    back.selection.lookback = Some(Lookback::Amount(4));
    let (messages, _) = all(&source, back.clone(), None).await;
    assert_eq!(states(&messages).pop().unwrap().floor, Some(CursorValue::Int(-3)));
    let (messages, _) = all(&source, back, Some(state.clone())).await;
    assert_eq!(states(&messages).pop().unwrap().floor, state.floor, "the floor never falls");
    let mut part = read.clone();
    part.limit = Some(1);
    assert!(states(&all(&source, part, None).await.0).is_empty(), "a part moves no state");
    let mut part = read;
    part.from = Some(CursorValue::Int(1));
    assert_eq!(
        ints(&all(&source, part, Some(state)).await.0, 0),
        [1],
        "an asked range leaves the floor aside"
    );
}

#[tokio::test]
async fn an_ordered_read_checkpoints_on_the_way() {
    let shelf =
        Shelf::new("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, pad TEXT); CREATE INDEX i ON t (n)");
    shelf.sql(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300)
         INSERT INTO t SELECT x, 301 - x, printf('%.*c', 100000, 'x') FROM c",
    );
    let source = shelf.source().await;
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let read = by_cursor(request(&stream, StreamSelection::named("t")), "n", true);
    let (messages, done) = all(&source, read.clone(), None).await;
    done.unwrap();
    assert_eq!(ints(&messages, 1), (1..=300).collect::<Vec<_>>());
    let found = states(&messages);
    assert!(found.len() >= 3, "{}", found.len());
    let mut rows = 0;
    for message in &messages {
        match message {
            Message::Batch { payload, .. } => {
                assert!(payload.bytes() < 10 << 20, "{}", payload.bytes());
                rows += i64::try_from(payload.rows()).unwrap();
            }
            Message::Checkpoint { patch } => {
                let Some(Change::Put(value)) = patch.values().next() else { panic!() };
                let state = StreamState::from_value(value).unwrap();
                assert_eq!(state.floor, Some(CursorValue::Int(rows)));
                assert_eq!(state.ceiling, Some(CursorValue::Int(rows)));
            }
            _ => {}
        }
    }
    let (rest, _) = all(&source, read, Some(found[0].clone())).await;
    let Some(CursorValue::Int(floor)) = found[0].floor else { panic!() };
    assert_eq!(ints(&rest, 1), (floor..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn null_cursors_follow_the_policy() {
    let shelf = Shelf::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 5), (2, NULL), (3, 6)",
    );
    let source = shelf.source().await;
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let mut read = by_cursor(request(&stream, StreamSelection::named("t")), "n", false);
    let (messages, _) = all(&source, read.clone(), None).await;
    assert_eq!(ints(&messages, 0), [1, 3]);
    assert!(messages.iter().any(|m| matches!(m, Message::NullCursors { rows: 1, .. })));
    read.selection.null_cursor = NullCursor::Fail;
    assert_eq!(all(&source, read.clone(), None).await.1.unwrap_err().kind(), Kind::Data);
    read.selection.null_cursor = NullCursor::IncludeAlways;
    let state = StreamState { floor: Some(CursorValue::Int(6)), ..StreamState::default() };
    assert_eq!(ints(&all(&source, read, Some(state)).await.0, 0), [2, 3]);
}

#[tokio::test]
async fn moments_as_text_are_compared_in_their_own_form() {
    for (separator, offset, logical) in [
        (" ", "", Logical::Timestamp),
        ("T", "Z", Logical::TimestampTz),
        (" ", "+02:00", Logical::TimestampTz),
    ] {
        let at = |t: &str| format!("('2024-05-01{separator}{t}{offset}')");
        let shelf = Shelf::new("CREATE TABLE t (at TIMESTAMP, id INTEGER PRIMARY KEY)");
        // With a Z the text of the second is below that of the first.
        shelf.sql(&format!(
            "INSERT INTO t (at) VALUES {}, {}, {}",
            at("10:00:00"),
            at("10:00:00.5"),
            at("09:00:00")
        ));
        let source = shelf.source().await;
        let stream = shelf.stream(&StreamSelection::named("t")).await;
        let read = by_cursor(request(&stream, StreamSelection::named("t")), "at", true);
        assert_eq!(read.reading, Reading::Cursor { column: "at".into(), logical });
        let (messages, done) = all(&source, read.clone(), None).await;
        done.unwrap();
        assert_eq!(ints(&messages, 1), [3, 1, 2], "{offset}");
        let state = states(&messages).pop().unwrap();
        shelf.sql(&format!("INSERT INTO t (at) VALUES {}", at("10:00:00.50001")));
        let (messages, _) = all(&source, read.clone(), Some(state)).await;
        assert_eq!(ints(&messages, 1), [2, 4], "{offset}");
        shelf.sql("INSERT INTO t (at) VALUES ('2024-05-02x11:00:00')");
        let error = all(&source, read, None).await.1.unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.message().contains("different forms"), "{error}");
    }
}

#[tokio::test]
async fn times_from_the_future_and_of_just_now_stay_in_the_window() {
    let shelf = Shelf::new(
        "CREATE TABLE t (at TIMESTAMP); INSERT INTO t VALUES ('2024-05-01 10:00:00'), ('2099-01-01 00:00:00')",
    );
    let source = shelf.source().await;
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let read = by_cursor(request(&stream, StreamSelection::named("t")), "at", false);
    let (messages, _) = all(&source, read.clone(), None).await;
    assert_eq!(batches(&messages)[0].num_rows(), 2);
    let state = states(&messages).pop().unwrap();
    let Some(CursorValue::Timestamp(ceiling)) = state.ceiling else { panic!("{state:?}") };
    assert!(ceiling < LATER && state.floor == state.ceiling, "{state:?}");
    let (messages, _) = all(&source, read, Some(state)).await;
    assert_eq!(batches(&messages)[0].num_rows(), 1, "the one from the future again");
}

#[tokio::test]
async fn a_text_cursor_says_per_row_what_stays_in_the_window() {
    let shelf = Shelf::new(
        "CREATE TABLE t (k TEXT COLLATE NOCASE, id INTEGER PRIMARY KEY); INSERT INTO t (k) VALUES ('b'), ('A'), ('C'), ('c')",
    );
    let source = shelf.source().await;
    let stream = shelf.stream(&StreamSelection::named("t")).await;
    let read = by_cursor(request(&stream, StreamSelection::named("t")), "k", true);
    let (messages, done) = all(&source, read.clone(), None).await;
    done.unwrap();
    let batch = &batches(&messages)[0];
    assert_eq!(batch.schema().field(2).name(), waybill_protocol::IN_WINDOW_COLUMN);
    let within: Vec<bool> = batch.column(2).as_boolean().values().iter().collect();
    assert_eq!(within, [false, false, true, true]);
    let state = states(&messages).pop().unwrap();
    shelf.sql("INSERT INTO t (k) VALUES ('B'), ('d')");
    let (messages, _) = all(&source, read.clone(), Some(state)).await;
    assert_eq!(ints(&messages, 1), [3, 4, 6]);
    let state = states(&messages).pop().unwrap();
    assert_eq!(state.ceiling, Some(CursorValue::Text("d".into())));
    shelf.sql("DELETE FROM t WHERE k > 'b'");
    let (messages, _) = all(&source, read, Some(state.clone())).await;
    assert_eq!(states(&messages), [state]);
}
