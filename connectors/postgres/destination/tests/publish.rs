//! The swap: nothing in between, nothing lost that belongs to the table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waybill_protocol::{Disposition, Kind, Logical};

use super::{Db, commit_of, load, load_of, rows, schema_of, two_columns, write};

#[tokio::test(flavor = "multi_thread")]
async fn slices_meet_in_the_staging_table_and_an_attempt_starts_afresh() {
    let db = Db::new("stage");
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    let mut one = destination.writer("orders/1").await.unwrap();
    let mut two = destination.writer("orders/2").await.unwrap();
    one.prepare(&staged).await.unwrap();
    two.prepare(&staged).await.unwrap();
    write(&mut one, "orders", &[(1, "a")]).await;
    write(&mut two, "orders", &[(2, "b")]).await;
    one.commit(&Default::default()).await.unwrap();
    two.commit(&Default::default()).await.unwrap();
    // The second slice failed after its commit and is read again.
    let mut again = destination.writer("orders/2").await.unwrap();
    again.prepare(&staged).await.unwrap();
    write(&mut again, "orders", &[(3, "c"), (4, "d")]).await;
    again.commit(&Default::default()).await.unwrap();
    assert!(destination.inspect(&staged.table).await.unwrap().is_none());
    let receipt = destination.publish(&staged, &commit_of("k1", "orders")).await.unwrap();
    assert_eq!(receipt.rows["orders"], 3);
    assert_eq!(
        db.sql("SELECT string_agg(id || note || _waybill_run_id, ',' ORDER BY id) FROM sales.orders"),
        "1ar1,3cr1,4dr1"
    );
    assert_eq!(
        db.sql("SELECT conname FROM pg_constraint WHERE conrelid = 'sales.orders'::regclass"),
        "orders_pkey"
    );
    assert_eq!(destination.tables().await.unwrap(), std::slice::from_ref(&staged.record));
    assert!(destination.committed("stream:orders", "k1").await.unwrap());

    // What a run that died has left is gone for the next one, and clean() removes the rest.
    load(&*destination, &staged, &[(9, "left")], "k2").await.unwrap();
    let next = db.begin("c1", "r2").await;
    load(&*next, &staged, &[(5, "e")], "k3").await.unwrap();
    next.publish(&staged, &commit_of("k4", "orders")).await.unwrap();
    assert_eq!(db.sql("SELECT string_agg(note, ',') FROM sales.orders"), "e");
    load(&*next, &staged, &[(9, "left")], "k5").await.unwrap();
    let stages =
        || db.sql("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE '\\_waybill\\_stage%'");
    assert_eq!(stages(), "1");
    db.begin("c2", "r3").await.clean().await.unwrap();
    assert_eq!(stages(), "1");
    next.clean().await.unwrap();
    assert_eq!(stages(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_table_has_what_the_old_one_had() {
    let db = Db::new("carry");
    db.sql("DROP ROLE IF EXISTS carry_owner; DROP ROLE IF EXISTS carry_reader; CREATE ROLE carry_owner; CREATE ROLE carry_reader;
        CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint, note text, extra integer) WITH (fillfactor = 70);
        INSERT INTO sales.orders VALUES (1); ALTER TABLE sales.orders ADD COLUMN more integer DEFAULT 5; TRUNCATE sales.orders;
        ALTER TABLE sales.orders ADD CONSTRAINT orders_id_check CHECK (id > 0), ADD CONSTRAINT orders_uniq UNIQUE (note, id);
        CREATE INDEX \"by \"\"note\" ON sales.orders USING btree (lower(note)) WHERE id > 5;
        COMMENT ON TABLE sales.orders IS 'the ''orders'; COMMENT ON COLUMN sales.orders.note IS 'a note';
        GRANT SELECT ON sales.orders TO carry_reader WITH GRANT OPTION; GRANT UPDATE (note) ON sales.orders TO PUBLIC;
        ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON sales.orders FOR SELECT TO carry_reader USING (id < 100);
        CREATE FUNCTION sales.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER trg BEFORE INSERT ON sales.orders FOR EACH ROW EXECUTE FUNCTION sales.f();
        ALTER TABLE sales.orders DISABLE TRIGGER trg; ALTER TABLE sales.orders REPLICA IDENTITY FULL;
        ALTER TABLE sales.orders OWNER TO carry_owner");
    let looks = || {
        db.sql("SELECT c.relacl::text, c.relowner::regrole, c.reloptions::text, c.relrowsecurity, c.relreplident,
                obj_description(c.oid), col_description(c.oid, 2),
                (SELECT attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attname = 'note'),
                (SELECT string_agg(pg_get_indexdef(indexrelid), ';' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = c.oid AND NOT indisprimary),
                (SELECT string_agg(conname || pg_get_constraintdef(oid), ';' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid AND contype <> 'p'),
                (SELECT string_agg(polname || pg_get_expr(polqual, polrelid) || polroles::regrole[]::text, ';') FROM pg_policy WHERE polrelid = c.oid),
                (SELECT string_agg(pg_get_triggerdef(oid) || tgenabled::text, ';') FROM pg_trigger WHERE tgrelid = c.oid)
                FROM pg_class c WHERE c.oid = 'sales.orders'::regclass")
    };
    let before = looks();
    let destination = db.begin("c1", "r1").await;
    let mut staged = load_of("orders", two_columns(), Disposition::Replace);
    staged.adopt = true;
    load(&*destination, &staged, &[(1, "a"), (2, "b")], "k1").await.unwrap();
    assert_eq!(db.sql("SELECT count(*) FROM sales.orders"), "0");
    destination.publish(&staged, &commit_of("k1", "orders")).await.unwrap();
    assert_eq!(looks(), before);
    assert_eq!(
        db.sql(
            "SELECT string_agg(id || note || coalesce(extra::text, '-'), ',' ORDER BY id) FROM sales.orders"
        ),
        "1a-,2b-"
    );
    // A second time, now from a table of our own making.
    load(&*destination, &staged, &[(3, "c")], "k2").await.unwrap();
    destination.publish(&staged, &commit_of("k2", "orders")).await.unwrap();
    assert_eq!(looks(), before);
    assert_eq!(db.sql("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_waybill\\_ix%' OR relname LIKE '\\_waybill\\_old%'"), "0");
    // New rows that do not fit a constraint fail by name, and the old table stays.
    load(&*destination, &staged, &[(-1, "x")], "k3").await.unwrap();
    let error = destination.publish(&staged, &commit_of("k3", "orders")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data, "{error}");
    assert!(error.message().contains("orders_id_check"), "{error}");
    assert_eq!(db.sql("SELECT note FROM sales.orders"), "c");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_key_names_the_key_and_leaves_the_table() {
    let db = Db::new("dup");
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    load(&*destination, &staged, &[(1, "a")], "k1").await.unwrap();
    destination.publish(&staged, &commit_of("k1", "orders")).await.unwrap();
    load(&*destination, &staged, &[(77, "b"), (77, "secret")], "k2").await.unwrap();
    let error = destination.publish(&staged, &commit_of("k2", "orders")).await.unwrap_err();
    assert_eq!((error.kind(), error.get_stream()), (Kind::Data, Some("orders")));
    assert!(error.message().contains("(id)"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!(db.sql("SELECT string_agg(note, ',') FROM sales.orders"), "a");
    // Where rows are merged, a staged load is too: the later one wins.
    let mut merged = staged.clone();
    merged.upsert = true;
    load(&*db.begin("c1", "r2").await, &merged, &[(7, "b"), (7, "later")], "k3").await.unwrap();
    let direct = load_of("orders", two_columns(), Disposition::Direct);
    assert_eq!(
        destination.publish(&direct, &commit_of("k", "orders")).await.unwrap_err().kind(),
        Kind::Internal
    );
    let third = db.begin("c1", "r3").await;
    load(&*third, &merged, &[(7, "b"), (7, "later")], "k4").await.unwrap();
    let receipt = third.publish(&merged, &commit_of("k4", "orders")).await.unwrap();
    assert_eq!(receipt.rows["orders"], 1);
    assert_eq!(db.sql("SELECT string_agg(note, ',') FROM sales.orders"), "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_the_old_table_or_the_new_one() {
    let db = Arc::new(Db::new("reader"));
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    let whole: Vec<(i64, &str)> = (0..500).map(|id| (id, "x")).collect();
    load(&*destination, &staged, &whole, "k0").await.unwrap();
    destination.publish(&staged, &commit_of("k0", "orders")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (reading, over) = (Arc::clone(&db), Arc::clone(&stop));
    let reader = tokio::task::spawn_blocking(move || {
        let mut looked = 0;
        while !over.load(Ordering::Relaxed) {
            let statements = "SELECT count(*) FROM sales.orders; ".repeat(200);
            for line in reading.sql(&statements).lines() {
                assert_eq!(line, "500");
                looked += 1;
            }
        }
        looked
    });
    for n in 1..15 {
        load(&*destination, &staged, &whole, &format!("k{n}")).await.unwrap();
        destination.publish(&staged, &commit_of(&format!("k{n}"), "orders")).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_table_is_waited_for_and_others_get_their_turn() {
    let db = Db::new("busy");
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    load(&*destination, &staged, &[(1, "a")], "k1").await.unwrap();
    destination.publish(&staged, &commit_of("k1", "orders")).await.unwrap();
    load(&*destination, &staged, &[(2, "b")], "k2").await.unwrap();
    let oid = db.sql("SELECT 'sales.orders'::regclass::oid");
    let mut open = db.server.interactive(&db.name);
    open.run("BEGIN; SELECT * FROM sales.orders");
    let commit = commit_of("k2", "orders");
    let publish = destination.publish(&staged, &commit);
    let release = async {
        while db.waits().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        open.run("COMMIT");
    };
    let (published, ()) = tokio::join!(publish, release);
    published.unwrap();
    assert!(db.waits().iter().any(|ms| *ms >= 2000), "{:?}", db.waits());
    assert_eq!(db.sql("SELECT note FROM sales.orders"), "b");
    assert_ne!(db.sql("SELECT 'sales.orders'::regclass::oid"), oid, "swapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wider_schema_makes_a_new_staging_table() {
    let db = Db::new("restage");
    let destination = db.begin("c1", "r1").await;
    let narrow = load_of("orders", schema_of(&[("id", Logical::Int64, "")]), Disposition::Replace);
    destination.writer("orders").await.unwrap().prepare(&narrow).await.unwrap();
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    let mut writer = destination.writer("orders").await.unwrap();
    writer.prepare(&staged).await.unwrap();
    writer.write("orders", rows(&[(1, "a")])).await.unwrap();
    writer.commit(&Default::default()).await.unwrap();
    destination.publish(&staged, &commit_of("k", "orders")).await.unwrap();
    assert_eq!(db.sql("SELECT note FROM sales.orders"), "a");
}
