//! Tables that are not this connection's to replace.

use serde_json::json;

use super::{generations, kept_for, stream};
use crate::fixture::project::sqlite_rows;
use crate::fixture::{Project, script};

#[test]
fn a_table_of_somebody_else_is_refused_until_it_is_adopted() {
    let (_source, target, project) = generations("refused_pg", 5);
    target.sql("CREATE TABLE orders (id bigint, mine text DEFAULT 'kept'); INSERT INTO orders VALUES (99)");
    project.run().exits(1).says(&["public.orders", "Waybill did not create it", "on_existing: adopt"]);
    assert_eq!(target.sql("SELECT id, mine FROM orders"), "99|kept");
    stream(&project, |stream| stream["on_existing"] = json!("adopt"));
    project.run().exits(0);
    assert_eq!(target.sql("SELECT count(*), min(mine), max(mine) FROM orders"), "5|kept|kept");
    assert!(
        kept_for(&project).contains("the default of column mine"),
        "the record says why it was not swapped"
    );

    let project = script::source(json!({"name": "s"}), json!([script::whole(5)]));
    sqlite_rows(
        &project.path("waybill.db"),
        "CREATE TABLE s (id INTEGER PRIMARY KEY, mine TEXT DEFAULT 'kept' NOT NULL)",
    );
    sqlite_rows(&project.path("waybill.db"), "INSERT INTO s (id) VALUES (99)");
    project.run().exits(1).says(&["table s", "Waybill did not make it", "adopt"]);
    assert_eq!(project.rows("SELECT * FROM s"), ["99|kept"]);
    stream(&project, |stream| stream["on_existing"] = json!("adopt"));
    for _ in 0..2 {
        project.run().exits(0);
        assert_eq!(project.value("SELECT count(*) || min(mine) || max(mine) FROM s"), "5keptkept");
    }
    assert!(project.value("SELECT sql FROM sqlite_schema WHERE name = 's'").contains("PRIMARY KEY"));
}

#[test]
fn a_table_of_another_connection_is_refused_also_with_adopt_or_shared() {
    let (_source, target, project) = generations("refused_other", 5);
    project.run().exits(0);
    project.edit(|config| {
        let mut other = config["connections"][0].clone();
        other["name"] = json!("d");
        other.as_object_mut().unwrap().retain(|key, _| key != "id" && key != "state");
        config["connections"].as_array_mut().unwrap().push(other);
    });
    let parts = ["sources.c", "sources.d", "destination.warehouse.credentials"];
    let secrets = parts.map(|part| format!("[{part}]\npassword = \"{}\"\n", crate::server::PASSWORD));
    project.secrets(&secrets.concat());
    for (key, value) in [("on_existing", json!("adopt")), ("shared", json!(true))] {
        project.edit(|config| config["connections"][1]["schema"]["streams"][0][key] = value);
        project.waybill(&["run", "d"]).exits(1).says(&["public.orders", "belongs to another connection"]);
        assert_eq!(target.sql("SELECT count(*) FROM orders"), "5");
    }
    project.run().exits(0);
}

#[test]
fn rows_elsewhere_that_would_be_deleted_with_them_are_named_before_anything_is_read() {
    let (source, target, project) = generations("refused_cascade", 5);
    project.run().exits(0);
    target.sql(
        "CREATE TABLE lines (id bigint REFERENCES orders ON DELETE CASCADE); INSERT INTO lines VALUES (3)",
    );
    source.sql("UPDATE orders SET gen = 2");
    project.run().exits(1).says(&["lines_id_fkey", "would delete rows of lines", "NO ACTION"]);
    assert_eq!(project.summary()["progress_counts"]["public.orders"]["rows_loaded"], 0);
    assert_eq!(target.sql("SELECT count(*), max(gen) FROM orders"), "5|1");
    target.sql("ALTER TABLE lines DROP CONSTRAINT lines_id_fkey, ADD FOREIGN KEY (id) REFERENCES orders");
    project.run().exits(0);
    assert_eq!(target.sql("SELECT count(*), max(gen), (SELECT count(*) FROM lines) FROM orders"), "5|2|1");
    source.sql("DELETE FROM orders WHERE id = 3; UPDATE orders SET gen = 3");
    project.run().exits(1).says(&["lines", "referred to"]);
    assert_eq!(target.sql("SELECT count(*), max(gen), (SELECT count(*) FROM lines) FROM orders"), "5|2|1");
}

#[test]
fn a_view_in_the_place_of_the_table_is_refused() {
    let project: Project =
        script::source(json!({"name": "s", "on_existing": "adopt"}), json!([script::whole(5)]));
    sqlite_rows(&project.path("waybill.db"), "CREATE VIEW s AS SELECT 1 AS id");
    project.run().exits(1).says(&["is a view"]);
    let (_source, target, project) = generations("refused_view", 5);
    target.sql("CREATE VIEW orders AS SELECT 1 AS id");
    stream(&project, |stream| stream["on_existing"] = json!("adopt"));
    project.run().exits(1).says(&["is a view"]);
}
