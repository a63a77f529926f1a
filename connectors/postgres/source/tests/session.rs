//! Connecting, deadlines, cancelling, and what errors say.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::event::{Body, Outcome};
use waybill_protocol::{
    Budget, Connector, Deadlines, Erased, Error, Kind, Origin, Outlet, Progress, Slice, StreamSelection,
    StreamState,
};

use super::fixture::{Fixture, Kept, context, eventually, settings};
use crate::postgres::Postgres;
use crate::postgres::server::{PASSWORD, PgServer};

fn slow() -> StreamSelection {
    StreamSelection {
        query: Some("SELECT i, pg_sleep(0.01)::text AS s FROM generate_series(1, 100000) i".into()),
        ..StreamSelection::named("slow")
    }
}

fn running(f: &Fixture) -> String {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%pg_sleep%' AND state <> 'idle'",
        f.database
    );
    f.server.psql("postgres", &sql)
}

#[tokio::test]
async fn a_cancelled_read_is_gone_from_the_server() {
    let f = Fixture::new("cancel", "SELECT 1").await;
    let read = Arc::new(f.stream(slow()).await);
    // By the run's cancellation.
    let stop = async {
        eventually("the query", || running(&f) == "1").await;
        f.ctx.cancel.cancel();
    };
    let (outcome, ()) = futures_util::future::join(f.read(&read, &StreamState::default()), stop).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Cancelled);
    eventually("the end of the query", || running(&f) == "0").await;

    // By an outlet that takes nothing any more, while the server is silent.
    let f = Fixture::on(f.server, f.database, Deadlines::default(), json!({})).await;
    let token = CancellationToken::new();
    let (outlet, mut receiver) = Outlet::new(Budget::new(1 << 20), token.clone());
    let (slice, progress) = (Slice::whole(Arc::clone(&read)), Progress::default());
    let stop = async {
        receiver.recv().await.expect("the schema");
        eventually("the query", || running(&f) == "1").await;
        token.cancel();
    };
    let (outcome, ()) = futures_util::future::join(f.source.read(&slice, &progress, &outlet), stop).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(running(&f), "0", "it is gone when read returns");

    // By dropping the future.
    let (outlet, mut receiver) = Outlet::new(Budget::new(1 << 20), CancellationToken::new());
    tokio::select! {
        _ = f.source.read(&slice, &progress, &outlet) => panic!("it takes longer"),
        () = async {
            receiver.recv().await.expect("the schema");
            eventually("the query", || running(&f) == "1").await;
        } => {}
    }
    eventually("the end of the query", || running(&f) == "0").await;
}

#[tokio::test]
async fn a_bounded_query_is_ended_by_the_server_and_worded() {
    let deadlines = Deadlines { query: Duration::from_millis(300), ..Deadlines::default() };
    let f = Fixture::with("bounded", "CREATE TABLE t (a int); CREATE TABLE u (a int)", deadlines).await;
    let read = f.stream(StreamSelection::named("public.t")).await;
    let mut other = f.server.interactive(&f.database);
    other.run("BEGIN; LOCK TABLE t");
    let error = f.read(&read, &StreamState::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Timeout, "query exceeded 0.3s"));
    assert_eq!(error.get_origin(), Some(Origin::Source));
    let hint = error.get_hint().unwrap();
    assert!(hint.contains("has locked public.t") && hint.contains("pg_terminate_backend("), "{hint}");
    assert!(hint.contains("`waybill connection edit test --set query_timeout_ms=1200`"), "{hint}");
    // Discovery does not wait for somebody else's lock.
    assert_eq!(f.source.discover(&[]).await.unwrap().streams.len(), 2);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    eventually("the end of the waiting", || f.psql(waiting) == "0").await;
    let failed =
        |e: &waybill_protocol::Event| matches!(&e.body, Body::QueryFinished { outcome: Outcome::Failed, .. });
    assert!(f.events.all().iter().any(failed));
}

#[tokio::test]
async fn a_server_that_owes_rows_and_sends_none_is_given_up() {
    let deadlines = Deadlines { stall: Duration::from_millis(300), ..Deadlines::default() };
    let f = Fixture::with("stall", "SELECT 1", deadlines).await;
    let mut selection = slow();
    let sleeps =
        |rows: &str| format!("SELECT n, CASE WHEN n = 3000 THEN pg_sleep(60)::text END AS s, {rows}");
    selection.query = Some(sleeps("repeat('x', 2000) AS pad FROM generate_series(1, 3001) n"));
    let read = f.stream(selection).await;
    let error = f.read(&read, &StreamState::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.message().contains("moved nothing for") && error.message().contains("PgSleep"), "{error}");
    assert!(error.get_hint().unwrap().contains("--set stall_timeout_ms=1200"), "{error:?}");
    assert_eq!(running(&f), "0");
}

#[tokio::test]
async fn work_before_the_first_row_is_no_silence() {
    let deadlines = Deadlines { stall: Duration::from_millis(150), ..Deadlines::default() };
    let f = Fixture::with("work_first", "SELECT 1", deadlines).await;
    let mut selection = slow();
    selection.query = Some("SELECT n FROM generate_series(1, 3) n, (SELECT pg_sleep(1.2) OFFSET 0) s".into());
    let read = f.stream(selection).await;
    assert!(f.read(&read, &StreamState::default()).await.unwrap().complete);
    assert!(f.events.all().iter().any(|event| event.message.contains("at work")));
}

#[tokio::test]
async fn back_pressure_is_no_silence() {
    let deadlines = Deadlines { stall: Duration::from_millis(200), ..Deadlines::default() };
    let sql = "CREATE TABLE t AS SELECT i, repeat('x', 200) AS pad FROM generate_series(1, 200000) i";
    let f = Fixture::with("pressure", sql, deadlines).await;
    let read = Arc::new(f.stream(StreamSelection::named("public.t")).await);
    let (outlet, mut receiver) = Outlet::new(Budget::new(8 << 20), CancellationToken::new());
    let slow = async {
        let mut messages = 0;
        while let Some(delivery) = receiver.recv().await {
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(delivery);
            messages += 1;
        }
        messages
    };
    let (slice, progress) = (Slice::whole(read), Progress::default());
    let work = async move { f.source.read(&slice, &progress, &outlet).await };
    let (outcome, messages) = futures_util::future::join(work, slow).await;
    outcome.unwrap();
    assert!(messages > 5, "{messages}");
}

async fn refused(settings: serde_json::Value) -> (Error, String) {
    let events = Arc::new(Kept::default());
    let ctx = context(&events, Deadlines::default());
    let error = Erased::<Postgres>::new().source(ctx, &settings).await.err().expect("it is refused");
    let failed = events.all().into_iter().find(|e| matches!(e.body, Body::ConnectionFailed { .. }));
    let seen = format!("{failed:?} {error:?} {} {:?}", error, error.record());
    assert!(failed.is_some() && !seen.contains(PASSWORD) && !seen.contains("wrong-pw"), "{seen}");
    (error, seen)
}

#[tokio::test]
async fn refusals_have_their_kind_and_never_the_password() {
    let server = PgServer::shared();
    let base = settings(server, "postgres");
    let with = |key: &str, value: serde_json::Value| {
        let mut changed = base.clone();
        changed[key] = value;
        changed
    };
    let (error, seen) = refused(with("password", json!("wrong-pw"))).await;
    assert_eq!(error.kind(), Kind::Auth);
    assert!(seen.contains("28P01"), "{seen}");
    assert_eq!(refused(with("database", json!("nowhere"))).await.0.kind(), Kind::NotFound);
    let (error, _) = refused(with("port", json!(1))).await;
    assert_eq!((error.kind(), error.retryable()), (Kind::Network, true));
    assert!(error.get_hint().unwrap().contains("127.0.0.1:1"), "{:?}", error.get_hint());
    assert_eq!(refused(with("tls", json!("require"))).await.0.kind(), Kind::Config);
    let url = format!("postgres://postgres:wrong-pw@127.0.0.1:{}/postgres", server.port);
    assert_eq!(refused(json!({"url": url})).await.0.kind(), Kind::Auth);
}

#[tokio::test]
async fn permissions_are_named() {
    let f = Fixture::new("rights", "CREATE TABLE t (a int, b int); CREATE TABLE u (a int)").await;
    f.server.psql(&f.database, "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'pw-of-the-reader'; GRANT SELECT (a) ON t TO reader");
    let more = json!({"user": "reader", "password": "pw-of-the-reader"});
    let g = Fixture::on(f.server, f.database.clone(), Deadlines::default(), more).await;
    let read = g.stream(StreamSelection::named("public.u")).await;
    let error = g.read(&read, &StreamState::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.record().code.as_deref()), (Kind::Permission, Some("42501")));
    let hint = error.record().hint.unwrap_or_default();
    assert_eq!(hint, "have the owner of the table run: GRANT SELECT ON \"public\".\"u\" TO \"reader\"");
    let mut read = g.stream(StreamSelection::named("public.t")).await;
    read.schema = Arc::new(read.schema.project(&[0]).unwrap());
    assert!(
        g.read(&read, &StreamState::default()).await.unwrap().complete,
        "the right to one column is enough"
    );
    let checks = g.source.check().await.unwrap();
    assert!(checks.iter().all(waybill_protocol::Check::ok));
    assert_eq!(checks.iter().find(|c| c.check == "read").unwrap().detail, "1 of 2 tables and views");
}

#[tokio::test]
async fn a_lost_connection_is_retryable_and_data_errors_have_no_values() {
    let f = Fixture::new("lost", "SELECT 1").await;
    let read = f.stream(slow()).await;
    let kill = async {
        eventually("the query", || running(&f) == "1").await;
        f.server.psql(
            "postgres",
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
                f.database
            ),
        );
    };
    let (outcome, ()) = futures_util::future::join(f.read(&read, &StreamState::default()), kill).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (Kind::Network, true), "{error}");
    let mut bad = StreamSelection::named("bad");
    bad.query = Some("SELECT ('secret' || i)::int AS a FROM generate_series(1, 3) i".into());
    let read = f.stream(bad).await;
    let error = f.read(&read, &StreamState::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    let seen = serde_json::to_string(&error.record()).unwrap();
    assert!(!seen.contains("secret") && seen.contains("22P02"), "{seen}");
}

#[tokio::test]
async fn tls_is_as_strict_as_it_is_set() {
    let (server, certificate) = PgServer::with_tls();
    let with = |host: &str, more: serde_json::Value| {
        let mut settings = settings(&server, "postgres");
        settings["host"] = json!(host);
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        settings
    };
    let shown = async |settings: serde_json::Value| {
        let ctx = context(&Arc::new(Kept::default()), Deadlines::default());
        let source = Erased::<Postgres>::new().source(ctx, &settings).await?;
        let checks = source.check().await?;
        Ok::<_, Error>(checks.into_iter().find(|c| c.check == "encryption").unwrap().detail)
    };
    let ca = json!({"ca_file": certificate});
    for (more, expected) in [
        (json!({}), "TLSv1.3"),
        (json!({"tls": "disable"}), "not encrypted"),
        (json!({"tls": "require"}), "TLSv1.3"),
        (ca.clone(), "TLSv1.3"),
    ] {
        assert_eq!(shown(with("localhost", more.clone())).await.unwrap(), expected, "{more}");
    }
    for settings in [with("localhost", json!({"tls": "verify"})), with("127.0.0.1", ca)] {
        let error = shown(settings).await.unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (Kind::Auth, false), "{error}");
        assert!(error.message().contains("TLS") && !error.causes().is_empty(), "{error}");
    }
}
