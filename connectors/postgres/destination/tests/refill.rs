//! Rows that are exchanged in a table that keeps its place.

use std::time::Duration;

use waybill_protocol::{Destination, Disposition, Kind, Logical, Result, StreamLoad};

use super::{Db, commit_of, load, load_of, schema_of, two_columns};

pub(super) async fn replace(
    destination: &dyn Destination,
    staged: &StreamLoad,
    values: &[(i64, &str)],
    commit: &str,
) -> Result<u64> {
    load(destination, staged, values, commit).await?;
    Ok(destination.publish(staged, &commit_of(commit, "orders")).await?.rows["orders"])
}

pub(super) fn adopted() -> StreamLoad {
    let mut staged = load_of("orders", two_columns(), Disposition::Replace);
    staged.adopt = true;
    staged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_identity_or_expression_fills_what_the_load_does_not_bring() {
    let db = Db::new("filled");
    db.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL,
        twice bigint GENERATED ALWAYS AS (id * 2) STORED, at text DEFAULT 'now', n serial); INSERT INTO sales.orders (note) VALUES ('old')");
    let destination = db.begin("c1", "r1").await;
    replace(&*destination, &adopted(), &[(7, "a"), (9, "b")], "k1").await.unwrap();
    let found =
        "SELECT string_agg(concat_ws('|', id, note, twice, at, n), ',' ORDER BY id) FROM sales.orders";
    assert_eq!(db.sql(found), "7|a|14|now|2,9|b|18|now|3");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_that_point_at_the_table_are_kept_whole() {
    let db = Db::new("foreign");
    db.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint PRIMARY KEY, note text); INSERT INTO sales.orders VALUES (1, 'old'), (2, 'old')");
    let destination = db.begin("c1", "r1").await;
    let staged = adopted();
    let notes = || db.sql("SELECT string_agg(id || note, ',' ORDER BY id) FROM sales.orders");
    // Checked at the end of the statement, or of the transaction: every row that is referred to comes again.
    for (at, more) in ["", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"].iter().enumerate() {
        db.sql(&format!("CREATE TABLE sales.lines (id bigint REFERENCES sales.orders {more}); INSERT INTO sales.lines VALUES (1), (NULL)"));
        replace(&*destination, &staged, &[(1, "a"), (3, "b")], &format!("k{at}")).await.unwrap();
        assert_eq!(notes(), "1a,3b", "{more}");
        // One that does not come again: refused by name, nothing changed.
        let error = replace(&*destination, &staged, &[(3, "c")], "no").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "{error}");
        assert!(error.to_string().contains("lines"), "{error}");
        assert_eq!(
            (notes().as_str(), &*db.sql("SELECT count(*) FROM sales.lines")),
            ("1a,3b", "2"),
            "{more}"
        );
        db.sql("DROP TABLE sales.lines");
    }
    // Those that act on the other table are refused while a row refers to this one, before anything is read.
    for (action, word) in [
        ("CASCADE", "delete rows"),
        ("SET NULL", "to NULL"),
        ("SET DEFAULT", "defaults"),
        ("RESTRICT", "RESTRICT"),
    ] {
        db.sql(&format!("CREATE TABLE sales.lines (id bigint REFERENCES sales.orders ON DELETE {action}); INSERT INTO sales.lines VALUES (1)"));
        let mut writer = destination.writer("orders").await.unwrap();
        let error = writer.prepare(&staged).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Destination, "{error}");
        assert!(error.message().contains("sales.lines") && error.message().contains(word), "{error}");
        assert!(error.get_hint().unwrap().contains("NO ACTION"), "{error:?}");
        db.sql("UPDATE sales.lines SET id = NULL");
        load(&*destination, &staged, &[(1, "x")], "k").await.unwrap();
        // A row that comes to refer while the load is under way is found at the end.
        db.sql("INSERT INTO sales.lines VALUES (3)");
        let error = destination.publish(&staged, &commit_of("k", "orders")).await.unwrap_err();
        assert!(error.message().contains(word), "{error}");
        assert_eq!(
            (notes().as_str(), &*db.sql("SELECT count(*) FROM sales.lines")),
            ("1a,3b", "2"),
            "{action}"
        );
        db.sql("TRUNCATE sales.lines");
        replace(&*destination, &staged, &[(1, "a"), (3, "b")], "k2").await.unwrap();
        db.sql("DROP TABLE sales.lines");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_differ_are_made_to_fit_first_or_refused_with_the_way_on() {
    let db = Db::new("refit");
    db.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (note varchar(1), id integer); INSERT INTO sales.orders VALUES ('o', 1);
        CREATE VIEW sales.v AS SELECT 1 AS one FROM sales.orders");
    let destination = db.begin("c1", "r1").await;
    replace(&*destination, &adopted(), &[(1 << 40, "long enough")], "k1").await.unwrap();
    assert_eq!(db.sql("SELECT id, note FROM sales.orders"), "1099511627776|long enough");
    // A view that uses the column stands in the way of a wider type.
    db.sql("DROP VIEW sales.v; ALTER TABLE sales.orders ALTER id TYPE integer USING 1; CREATE VIEW sales.v AS SELECT id FROM sales.orders");
    let error = replace(&*destination, &adopted(), &[(1 << 40, "x")], "k2").await.unwrap_err();
    assert!(error.get_hint().unwrap().contains("drop the view"), "{error:?}");
    assert_eq!(db.sql("SELECT id, note FROM sales.orders"), "1|long enough");
    // What the table has and the load does not stays, in either way.
    let narrow = schema_of(&[("id", Logical::Int32, "")]);
    let mut staged = load_of("orders", narrow, Disposition::Replace);
    staged.adopt = true;
    for make in ["SELECT 1", "DROP VIEW sales.v"] {
        db.sql(make);
        let writer = destination.writer("orders").await.unwrap().prepare(&staged).await;
        writer.unwrap();
        destination.publish(&staged, &commit_of("k3", "orders")).await.unwrap();
        let columns = "SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'sales.orders'::regclass AND attnum > 0 AND NOT attisdropped";
        assert_eq!(db.sql(columns), "_waybill_run_id,id,note");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_or_a_column_that_comes_between_staging_and_publishing_is_not_lost() {
    let db = Db::new("between");
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    replace(&*destination, &staged, &[(1, "a")], "k1").await.unwrap();
    load(&*destination, &staged, &[(2, "b")], "k2").await.unwrap();
    db.sql("CREATE VIEW sales.v AS SELECT note FROM sales.orders; ALTER TABLE sales.orders ADD extra int DEFAULT 7");
    destination.publish(&staged, &commit_of("k2", "orders")).await.unwrap();
    assert_eq!(db.sql("SELECT v.note, o.extra FROM sales.v CROSS JOIN sales.orders o"), "b|7");
    db.sql("DROP VIEW sales.v; ALTER TABLE sales.orders ALTER extra DROP DEFAULT, DROP extra");
    load(&*destination, &staged, &[(3, "c")], "k3").await.unwrap();
    db.sql("ALTER TABLE sales.orders ADD extra int; CREATE INDEX came_late ON sales.orders (extra)");
    destination.publish(&staged, &commit_of("k3", "orders")).await.unwrap();
    assert_eq!(db.sql("SELECT id, note, extra FROM sales.orders"), "3|c|");
    assert_eq!(db.sql("SELECT count(*) FROM pg_class WHERE relname = 'came_late'"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_older_than_the_new_rows_sees_the_old_ones() {
    let db = Db::new("older");
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    replace(&*destination, &staged, &[(1, "a"), (2, "b")], "k1").await.unwrap();
    let mut reader = db.server.interactive(&db.name);
    reader.run(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; CREATE TEMP TABLE seen AS SELECT 0 AS n LIMIT 0",
    );
    replace(&*destination, &staged, &[(3, "c")], "k2").await.unwrap();
    reader.run("INSERT INTO seen SELECT count(*) FROM sales.orders");
    reader.run("SELECT 1 / (n - 1) FROM (SELECT CASE n WHEN 2 THEN 2 ELSE 1 END AS n FROM seen) AS x");
    assert_eq!(db.sql("SELECT note FROM sales.orders"), "c");
    reader.run("COMMIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_do_not_let_go_do_not_stop_the_load() {
    let mut db = Db::new("stubborn");
    db.deadlines.stall = Duration::from_secs(10);
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    replace(&*destination, &staged, &[(1, "a")], "k1").await.unwrap();
    let mut reader = db.server.interactive(&db.name);
    reader.run("BEGIN; SELECT * FROM sales.orders");
    replace(&*destination, &staged, &[(2, "b")], "k2").await.unwrap();
    assert_eq!(db.sql("SELECT note FROM sales.orders"), "b");
    assert!(db.kept_for().last().unwrap().contains("readers"), "{:?}", db.kept_for());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_keeps_or_drops_are_an_error_and_the_table_stays() {
    let db = Db::new("meddle");
    let destination = db.begin("c1", "r1").await;
    let staged = load_of("orders", two_columns(), Disposition::Replace);
    replace(&*destination, &staged, &[(1, "a")], "k1").await.unwrap();
    db.sql("CREATE FUNCTION sales.never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    for event in ["INSERT", "DELETE"] {
        db.sql(&format!(
            "CREATE TRIGGER t BEFORE {event} ON sales.orders FOR EACH ROW EXECUTE FUNCTION sales.never()"
        ));
        let error = replace(&*destination, &staged, &[(2, "b"), (3, "c")], "k2").await.unwrap_err();
        assert!(error.kind() == Kind::Data && error.get_hint().unwrap().contains("trigger"), "{error:?}");
        assert_eq!(db.sql("SELECT string_agg(note, ',') FROM sales.orders"), "a");
        db.sql("DROP TRIGGER t ON sales.orders");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_and_a_table_of_another_owner_keep_their_place() {
    let db = Db::new("parted");
    db.sql("DROP ROLE IF EXISTS refill_user; CREATE ROLE refill_user LOGIN; CREATE SCHEMA sales; GRANT ALL ON SCHEMA sales, public TO refill_user;
        CREATE TABLE sales.orders (id bigint, note text, _waybill_run_id text) PARTITION BY RANGE (id);
        CREATE TABLE sales.low PARTITION OF sales.orders FOR VALUES FROM (0) TO (10); CREATE TABLE sales.high PARTITION OF sales.orders DEFAULT;
        INSERT INTO sales.orders VALUES (1, 'old'), (11, 'old')");
    let destination = db.begin("c1", "r1").await;
    replace(&*destination, &adopted(), &[(2, "a"), (12, "b")], "k1").await.unwrap();
    assert_eq!(
        db.sql("SELECT string_agg(tableoid::regclass::text || id, ',' ORDER BY id) FROM sales.orders"),
        "sales.low2,sales.high12"
    );
    db.sql("DROP TABLE sales.orders; CREATE TABLE sales.orders (id bigint, note text, _waybill_run_id text DEFAULT current_setting('waybill.run_id', true));
        INSERT INTO sales.orders VALUES (1, 'old'); GRANT SELECT, INSERT, DELETE ON sales.orders TO refill_user;
        ALTER TABLE public._waybill_state OWNER TO refill_user; ALTER TABLE public._waybill_tables OWNER TO refill_user;
        ALTER TABLE public._waybill_connections OWNER TO refill_user; ALTER TABLE public._waybill_window OWNER TO refill_user;
        ALTER TABLE public._waybill_files OWNER TO refill_user");
    let other = db.open_as("refill_user", "c1", "r2").await;
    other.begin().await.unwrap();
    let mut staged = adopted();
    staged.key = Vec::new();
    replace(&*other, &staged, &[(3, "c")], "k2").await.unwrap();
    assert_eq!(db.sql("SELECT note, _waybill_run_id FROM sales.orders"), "c|r2");
    assert!(db.kept_for().last().unwrap().contains("its owner"), "{:?}", db.kept_for());
}
