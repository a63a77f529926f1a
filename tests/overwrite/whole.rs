//! Only what is whole takes the place of what was there.

use serde_json::json;

use super::generations;
use crate::fixture::{Database, Project, postgres, script, wait_until};

/// The same project into PostgreSQL or, without a database, into SQLite.
fn count(project: &Project, target: Option<&Database>) -> String {
    match target {
        Some(target) => target.sql("SELECT count(*) FROM s"),
        None => project.value("SELECT count(*) FROM s"),
    }
}

fn staging(project: &Project, target: Option<&Database>) -> String {
    match target {
        Some(target) => target.sql("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_waybill\\_stage%'"),
        None => project
            .value("SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_waybill\\_stage%' ESCAPE '\\'"),
    }
}

#[test]
fn a_retry_never_shrinks_a_committed_result() {
    for target in [None, Some(Database::new("whole_retry"))] {
        let mut reads = vec![script::whole(100)];
        for attempt in 1..=4 {
            // What is staged by then is whole batches, committed to the staging table.
            reads.push(json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": attempt * 10}, {"do": "checkpoint"},
                {"do": "rows", "from": 200, "count": 5}, {"do": "touch", "path": format!("mid{attempt}")},
                {"do": "wait_for_file", "path": format!("go{attempt}")}, {"do": "fail", "kind": "network"}]));
        }
        reads.push(script::whole(120));
        let project = script::source(json!({"name": "s"}), json!(reads));
        if let Some(target) = &target {
            postgres::destination(&project, target);
        }
        project.run().exits(0);
        let running = project.start(&["run", "c"]);
        for attempt in 1..=4 {
            project.wait_for_file(&format!("mid{attempt}"));
            assert_eq!(count(&project, target.as_ref()), "100", "in attempt {attempt}");
            project.file(&format!("go{attempt}"), "");
        }
        running.wait().exits(75);
        assert_eq!(count(&project, target.as_ref()), "100", "after every attempt failed");
        assert_eq!(staging(&project, target.as_ref()), "0");
        assert_eq!(project.summary()["progress_counts"]["s"]["rows_loaded"], 0);
        project.run().exits(0);
        assert_eq!(count(&project, target.as_ref()), "120");
    }
}

#[test]
fn nothing_is_swapped_before_every_slice_is_whole() {
    for target in [None, Some(Database::new("whole_slices"))] {
        let rows = |from: i64| json!([{"do": "schema"}, {"do": "rows", "from": from, "count": 50}, {"do": "checkpoint"}, {"do": "complete"}]);
        let gated = json!([{"do": "schema"}, {"do": "rows", "from": 51, "count": 10}, {"do": "checkpoint"},
            {"do": "touch", "path": "mid"}, {"do": "wait_for_file", "path": "go"}, {"do": "rows", "from": 61, "count": 60}, {"do": "checkpoint"}, {"do": "complete"}]);
        let failing = json!([{"do": "schema"}, {"do": "rows", "from": 51, "count": 10}, {"do": "checkpoint"}, {"do": "fail", "kind": "data"}]);
        let slices =
            json!([{"id": "s/1", "reads": [rows(1)]}, {"id": "s/2", "reads": [rows(51), gated, failing]}]);
        let streams = json!([{"name": "s", "columns": {"id": "int64", "note": "text"}, "primary_key": ["id"], "slices": slices}]);
        let project = script::streams(json!([{"name": "s"}]), streams);
        if let Some(target) = &target {
            postgres::destination(&project, target);
        }
        project.run().exits(0);
        assert_eq!(count(&project, target.as_ref()), "100");
        let running = project.start(&["run", "c"]);
        project.wait_for_file("mid");
        // Where slices take turns the first may be the one that waits; in any case nothing is visible.
        let staged = || project.log().lines.iter().any(|line| line["event"] == "checkpoint.committed");
        wait_until("a staged slice", staged);
        assert_eq!(count(&project, target.as_ref()), "100");
        project.file("go", "");
        running.wait().exits(0);
        assert_eq!(count(&project, target.as_ref()), "120");
        // One slice fails for good: the other's rows are not shown.
        project.run().exits(1);
        assert_eq!(count(&project, target.as_ref()), "120");
        assert_eq!(staging(&project, target.as_ref()), "0");
    }
}

#[test]
fn what_belongs_to_a_table_survives_run_after_run() {
    let (source, target, project) = generations("whole_carry", 50);
    target.sql(
        "DROP ROLE IF EXISTS whole_reader; CREATE ROLE whole_reader; DROP ROLE IF EXISTS whole_owner; CREATE ROLE whole_owner;
         CREATE TABLE orders (id bigint, gen int NOT NULL, note text, extra int); ALTER TABLE orders OWNER TO whole_owner;
         CREATE UNIQUE INDEX one ON orders (note, id); CREATE INDEX part ON orders (gen) WHERE gen > 1; CREATE INDEX low ON orders (lower(note));
         COMMENT ON TABLE orders IS 'mine'; COMMENT ON COLUMN orders.note IS 'a note';
         GRANT SELECT ON orders TO whole_reader; GRANT UPDATE (note) ON orders TO whole_reader;
         ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON orders TO whole_reader USING (gen > 1);
         ALTER TABLE orders ADD CONSTRAINT positive CHECK (id > 0)",
    );
    project.run().exits(1).says(&["Waybill did not create it", "on_existing: adopt"]);
    assert_eq!(target.sql("SELECT count(*) FROM orders"), "0");
    super::stream(&project, |stream| stream["on_existing"] = json!("adopt"));
    let looks = || {
        target.sql(
            "SELECT relacl, relowner::regrole, relrowsecurity, obj_description(c.oid), col_description(c.oid, 3),
             (SELECT string_agg(concat_ws(' ', attname, attnotnull, attacl), ';' ORDER BY attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attname <> 'id'),
             (SELECT string_agg(pg_get_indexdef(indexrelid), ';' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = c.oid),
             (SELECT string_agg(polname || pg_get_expr(polqual, polrelid), ';') FROM pg_policy WHERE polrelid = c.oid),
             (SELECT string_agg(conname || pg_get_constraintdef(oid), ';' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid)
             FROM pg_class c WHERE oid = 'orders'::regclass",
        )
    };
    let adopted = looks();
    project.run().exits(0);
    // Its key came with the load.
    let first = looks();
    assert!(first.contains("orders_pkey") && !adopted.contains("orders_pkey"), "{first}");
    let without = |text: &str| {
        let text = text.replace("CREATE UNIQUE INDEX orders_pkey ON public.orders USING btree (id);", "");
        text.replace("orders_pkeyPRIMARY KEY (id);", "").replace("_waybill_run_id f;", "")
    };
    assert_eq!(without(&first), adopted);
    for (generation, stands) in
        [(2, "SELECT 1"), (3, "CREATE VIEW v AS SELECT * FROM orders"), (4, "SELECT 1")]
    {
        target.sql(stands);
        source.sql(&format!("UPDATE orders SET gen = {generation}"));
        project.run().exits(0);
        assert_eq!(looks(), first, "{generation}");
        assert_eq!(
            target.sql("SELECT count(*), min(gen), max(gen) FROM orders"),
            format!("50|{generation}|{generation}")
        );
    }
    assert_eq!(target.sql("SELECT count(*), min(gen) FROM v"), "50|4");
    // New rows that the table's own rules do not take: by name, and the old rows stay.
    target.sql("DROP VIEW v");
    for (spoil, word) in [
        ("UPDATE orders SET gen = NULL WHERE id = 7", "gen"),
        ("INSERT INTO orders VALUES (-1, 9, 'x')", "positive"),
    ] {
        source.sql(&format!("{spoil}; CREATE TABLE IF NOT EXISTS spoiled ()"));
        project.run().exits(1).says(&[word]);
        assert_eq!(target.sql("SELECT count(*), min(gen), max(gen) FROM orders"), "50|4|4");
        source.sql("DELETE FROM orders WHERE id < 0; UPDATE orders SET gen = 5");
    }
}
