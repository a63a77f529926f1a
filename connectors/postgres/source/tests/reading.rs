//! Discovery, schema changes, pooler mode, speed of small runs.

use std::time::Instant;

use serde_json::json;
use waybill_protocol::{Kind, StreamSelection, StreamState};

use super::fixture::Fixture;

const TABLES: &str = r#"
CREATE SCHEMA other; CREATE SCHEMA "we.ird";
CREATE TABLE public.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, updated_at timestamptz NOT NULL, created_at timestamp, note text);
CREATE INDEX ON public.orders (updated_at);
CREATE TABLE public.lines (a int, b int, c text, PRIMARY KEY (b, a));
CREATE VIEW public.v AS SELECT * FROM orders;
CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS x;
CREATE TABLE other.p (id int, d date) PARTITION BY RANGE (d);
CREATE TABLE other.p1 PARTITION OF other.p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE "we.ird"."t""x" (a int);
CREATE TABLE public.cached (id bigint); CREATE SEQUENCE s CACHE 50 OWNED BY public.cached.id;
INSERT INTO public.orders (updated_at) SELECT now() FROM generate_series(1, 100);
INSERT INTO other.p SELECT 1, '2024-05-05' FROM generate_series(1, 1000);
ANALYZE;
"#;

#[tokio::test]
async fn everything_is_discovered() {
    let f = Fixture::new("discover", TABLES).await;
    let catalog = f.source.discover(&[]).await.unwrap();
    let names: Vec<&str> = catalog.streams.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "other.p",
            "public.cached",
            "public.lines",
            "public.m",
            "public.orders",
            "public.v",
            "\"we.ird\".\"t\"\"x\""
        ]
    );
    assert!(catalog.identity.starts_with("postgres:"), "{}", catalog.identity);
    let get = |name: &str| catalog.streams.iter().find(|s| s.name == name).unwrap();
    let orders = get("public.orders");
    assert_eq!((orders.rows, orders.primary_key.as_slice()), (Some(100), ["id".to_owned()].as_slice()));
    assert!(orders.bytes > Some(0));
    let cursors: Vec<_> = orders.cursors.iter().map(|c| (c.column.as_str(), c.indexed)).collect();
    assert_eq!(cursors, [("updated_at", true), ("id", true), ("created_at", false)]);
    assert!(!orders.schema.field(1).is_nullable() && orders.schema.field(3).is_nullable());
    assert_eq!(get("public.lines").primary_key, ["b", "a"]);
    assert_eq!((get("other.p").rows, get("other.p").kind.as_str()), (Some(1000), "partitioned table"));
    assert!(get("public.v").notes[0].starts_with("a view"), "{:?}", get("public.v").notes);
    assert!(get("public.cached").notes.iter().any(|n| n.contains("lookback")));
}

#[tokio::test]
async fn selections_find_only_themselves() {
    let f = Fixture::new("selected", TABLES).await;
    let mut query = StreamSelection::named("q");
    query.query = Some("SELECT count(*) AS n FROM orders".into());
    let names = [
        StreamSelection::named("public.o*"),
        StreamSelection::named("\"we.ird\".\"t\"\"x\""),
        StreamSelection::named("public.nothing"),
        query,
    ];
    let catalog = f.source.discover(&names).await.unwrap();
    let found: Vec<&str> = catalog.streams.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(found, ["public.orders", "\"we.ird\".\"t\"\"x\"", "q"]);
    let mut bad = StreamSelection::named("bad");
    bad.query = Some("SELECT nothing FROM orders".into());
    let error = f.source.discover(&[bad]).await.unwrap_err();
    assert_eq!((error.kind(), error.get_stream()), (Kind::NotFound, Some("bad")));
}

#[tokio::test]
async fn every_kind_of_relation_is_read() {
    let f = Fixture::new("kinds", TABLES).await;
    for (name, rows) in [
        ("other.p", 1000),
        ("public.m", 1),
        ("public.v", 100),
        ("\"we.ird\".\"t\"\"x\"", 0),
        ("public.orders", 100),
    ] {
        let read = f.stream(StreamSelection::named(name)).await;
        let sent = f.read(&read, &StreamState::default()).await.unwrap();
        assert_eq!((sent.rows(), sent.complete, sent.checkpoints), (rows, true, 1), "{name}");
    }
}

#[tokio::test]
async fn changed_and_missing_tables_say_so() {
    let f = Fixture::new("changed", "CREATE TABLE t (a int, b int)").await;
    let read = f.stream(StreamSelection::named("public.t")).await;
    f.psql("ALTER TABLE t ALTER a TYPE text");
    let error = f.read(&read, &StreamState::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable(), error.get_stream()), (Kind::Schema, true, Some("public.t")));
    f.psql("DROP TABLE t");
    assert_eq!(f.read(&read, &StreamState::default()).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn pooler_mode_keeps_nothing_at_the_server() {
    let f = Fixture::new("pooled", TABLES).await;
    let f = Fixture::on(f.server, f.database, Default::default(), json!({"pooler": true})).await;
    let read = f.by(StreamSelection::named("public.orders"), "id").await;
    let sent = f.read(&read, &StreamState::default()).await.unwrap();
    assert_eq!(sent.rows(), 100);
    assert!(f.source.check().await.unwrap().iter().all(|c| c.ok()));
    let mut read = f
        .stream(StreamSelection {
            query: Some("SELECT count(*) AS n FROM pg_prepared_statements".into()),
            ..StreamSelection::named("q")
        })
        .await;
    read.limit = Some(1);
    assert_eq!(f.read(&read, &StreamState::default()).await.unwrap().ints("n"), [0]);
}

#[tokio::test]
async fn a_small_run_is_quick() {
    let f = Fixture::new("quick", TABLES).await;
    let started = Instant::now();
    let g = Fixture::on(f.server, f.database.clone(), Default::default(), json!({})).await;
    let read = g.by(StreamSelection::named("public.orders"), "id").await;
    let sent = g.read(&read, &StreamState::default()).await.unwrap();
    g.source.close().await;
    assert_eq!(sent.rows(), 100);
    // Generous, for a machine under load and a build without optimisation.
    assert!(started.elapsed().as_millis() < 2000, "{:?}", started.elapsed());
    println!("connect, discover, read 100 rows, close: {:?}", started.elapsed());
}
