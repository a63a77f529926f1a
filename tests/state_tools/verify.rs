//! `state verify`: equal where it is, and every difference by its kind.

use std::fs;

use serde_json::{Value, json};

use super::{ask, shop, sqlite, stream};
use crate::fixture::{Database, Project, incremental, one_connection, postgres};
use crate::server::PASSWORD;

/// Rows of each kind of difference: missing, different, extra, waiting, older.
#[track_caller]
fn kinds(answer: &Value, name: &str) -> [u64; 5] {
    let found = &stream(answer, name)["differences"];
    ["missing", "different", "extra", "waiting", "older"].map(|kind| found[kind]["rows"].as_u64().unwrap())
}

fn verdict<'a>(answer: &'a Value, name: &str) -> &'a str {
    stream(answer, name)["verdict"].as_str().unwrap()
}

#[test]
fn what_was_loaded_is_equal_and_every_spoilt_row_is_named() {
    let project = shop();
    project.run().exits(0);
    let (equal, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, &equal["equal"]), (0, &json!(true)), "{equal:#}");
    assert_eq!(stream(&equal, "orders")["source"]["rows"], 1000);
    sqlite(
        &project,
        "waybill.db",
        "DELETE FROM orders WHERE id IN (301, 302, 303); UPDATE orders SET amount = amount + 0.01 WHERE id = 700;
         DELETE FROM lists WHERE k = 'k3'",
    );
    sqlite(&project, "shop.db", "DELETE FROM orders WHERE id = 42; DELETE FROM items WHERE id = 7");
    let database = fs::read(project.path("waybill.db")).unwrap();
    let (answer, code) = ask(&project, &["verify", "c", "--windows", "20"]);
    assert_eq!(code, 1);
    assert_eq!(kinds(&answer, "orders"), [3, 1, 1, 0, 0], "{answer:#}");
    let orders = &stream(&answer, "orders");
    assert_eq!(orders["differences"]["missing"]["keys"], json!(["id=301", "id=302", "id=303"]));
    assert_eq!(orders["differences"]["different"]["keys"], json!(["id=700"]));
    assert_eq!(orders["differences"]["extra"]["keys"], json!(["id=42"]));
    let windows = orders["windows"].as_array().unwrap();
    let differing: Vec<&Value> = windows.iter().filter(|window| window["differs"] == true).collect();
    assert_eq!((windows.len(), differing.len()), (20, 3), "{windows:#?}");
    let at = "2024-01-13T13:00:00";
    assert_eq!(differing[1]["narrowed"], json!([at, "2024-01-13T15:00:00"]), "{:#}", differing[1]);
    assert_eq!((kinds(&answer, "items"), kinds(&answer, "lists")), ([0, 0, 1, 0, 0], [1, 0, 0, 0, 0]));
    assert_eq!(fs::read(project.path("waybill.db")).unwrap(), database, "it wrote");
    let said = project.waybill(&["state", "verify", "c", "--project-dir", "."]).exits(1);
    said.says(&[
        "3 rows are missing at the destination",
        "id=301; id=302; id=303",
        "1 row has other values at the destination",
        "deleted at the source since",
        "2024-01-13T13:00:00 … 2024-01-13T15:00:00",
        "waybill state reset c --stream orders --project-dir",
    ]);
}

#[test]
fn what_the_next_run_loads_is_no_difference() {
    let project = shop();
    project.run().exits(0);
    sqlite(
        &project,
        "shop.db",
        // One came late to the border, one changed, three are new.
        "INSERT INTO orders VALUES (2000, 'late', 1, (SELECT max(at) FROM orders), NULL);
         UPDATE orders SET customer = 'moved', at = '2024-06-01 00:00:00' WHERE id = 5;
         INSERT INTO items VALUES (101, 'a'), (102, 'b'), (103, 'c')",
    );
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, verdict(&answer, "orders")), (0, "equal"), "{answer:#}");
    assert_eq!(kinds(&answer, "orders"), [0, 0, 0, 2, 0]);
    assert_eq!(stream(&answer, "items")["newer"], 3);
    project
        .waybill(&["state", "verify", "c"])
        .exits(0)
        .says(&["2 rows wait for the next run", "waybill run c"]);
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, kinds(&answer, "orders")), (0, [0; 5]), "{answer:#}");
    // A change that does not move the cursor is never loaded.
    sqlite(&project, "shop.db", "UPDATE orders SET customer = 'unseen' WHERE id = 9");
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, kinds(&answer, "orders")), (1, [0, 1, 0, 0, 0]));
}

#[test]
fn an_append_keeps_older_versions_and_that_is_no_difference() {
    let project = shop();
    project.edit(|config| {
        config["connections"][0]["schema"]["streams"] =
            json!([incremental("orders", json!({"cursor": "at", "write": "append"}))]);
    });
    project.run().exits(0);
    sqlite(
        &project,
        "shop.db",
        "UPDATE orders SET customer = 'moved', at = '2024-06-01 00:00:00' WHERE id = 5",
    );
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, kinds(&answer, "orders")), (0, [0, 0, 0, 0, 1]), "{answer:#}");
    // The row at the border is read again by the next run, and left out as known: it is lost.
    sqlite(&project, "waybill.db", "DELETE FROM orders WHERE customer = 'moved' OR id = 8");
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, kinds(&answer, "orders")), (1, [2, 0, 0, 0, 1]), "{answer:#}");
    project.run().exits(0);
    assert_eq!(kinds(&ask(&project, &["verify", "c"]).0, "orders"), [2, 0, 0, 0, 1]);
}

#[test]
fn what_is_not_meant_to_be_equal_is_said_and_not_compared() {
    let project = shop();
    project.waybill(&["state", "verify", "c"]).exits(1).says(&["nothing was loaded yet"]);
    project.run().exits(0);
    project.edit(|config| {
        let streams = &mut config["connections"][0]["schema"]["streams"];
        streams[0]["where"] = json!("id < 500");
        streams[2]["write"] = json!("append");
    });
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!(code, 0);
    assert_eq!((verdict(&answer, "orders"), verdict(&answer, "items")), ("not_compared", "equal"));
    assert!(stream(&answer, "orders")["why"].as_str().unwrap().contains("filter"), "{answer:#}");
    assert_eq!(verdict(&answer, "lists"), "not_compared");
    sqlite(&project, "waybill.db", "DROP TABLE items");
    project
        .waybill(&["state", "verify", "c", "--stream", "items"])
        .exits(1)
        .says(&["gone from the destination"]);
    let unknown = project.waybill(&["state", "verify", "c", "--stream", "itms"]);
    assert_ne!(unknown.code, 0);
    unknown.says(&["itms"]);
}

fn lines(from: u32, to: u32) -> String {
    (from..to).map(|n| format!("{n},name {n},2024-01-01T00:00:00Z,{}.5\n", n % 9)).collect()
}

fn folder(into: Option<&Database>) -> Project {
    let streams = json!([{"name": "log", "path": "data/*.csv", "mode": "incremental", "on_change": "tail",
                          "file_columns": true}]);
    let project = Project::new(one_connection("files", json!({"streams": streams})));
    if let Some(database) = into {
        postgres::destination(&project, database);
    }
    for (name, from) in [("a", 0), ("b", 100), ("c", 200)] {
        project.file(&format!("data/{name}.csv"), format!("id,name,at,v\n{}", lines(from, from + 100)));
    }
    project
}

#[test]
fn files_are_compared_file_by_file_as_far_as_they_were_loaded() {
    let project = folder(None);
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, stream(&answer, "log")["source"]["rows"].as_u64()), (0, Some(300)), "{answer:#}");
    // A file that grew and a new one: the next run's.
    project.append("data/b.csv", &lines(500, 510));
    project.file("data/d.csv", format!("id,name,at,v\n{}", lines(600, 620)));
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, &stream(&answer, "log")["newer"]), (0, &json!(30)), "{answer:#}");
    sqlite(&project, "waybill.db", "DELETE FROM log WHERE id = 205");
    let (answer, code) = ask(&project, &["verify", "c"]);
    let windows = stream(&answer, "log")["windows"].as_array().unwrap();
    let differing: Vec<&Value> = windows.iter().filter(|window| window["differs"] == true).collect();
    assert_eq!((code, differing.len(), &differing[0]["from"]), (1, 1, &json!("c.csv")), "{answer:#}");
    assert_eq!(kinds(&answer, "log"), [1, 0, 0, 0, 0]);
}

#[test]
fn files_in_postgres_are_compared_too() {
    let database = Database::new("verify_files");
    let project = folder(Some(&database));
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, stream(&answer, "log")["source"]["rows"].as_u64()), (0, Some(300)), "{answer:#}");
    database.sql("UPDATE log SET name = 'spoilt' WHERE id = 17");
    let (answer, code) = ask(&project, &["verify", "c"]);
    // Without a key a changed row is one that is missing and one too many.
    assert_eq!((code, kinds(&answer, "log")), (1, [1, 0, 1, 0, 0]), "{answer:#}");
}

const WIDE: &str = "
    CREATE TABLE wide (id bigint PRIMARY KEY, b bool, i2 smallint, i4 int, f4 real, f8 double precision,
        d numeric(12,2), long numeric(30,10), free numeric, t text, v varchar(20), j json, jb jsonb, u uuid,
        bin bytea, day date, clock time, ts timestamp, tz timestamptz, span interval, tags text[]);
    INSERT INTO wide SELECT n, n % 2 = 0, n, n, n / 7.0, n / 7.0::float8, n / 4.0, n / 3.0, n * 1e30 / 7, 'Ä' || n,
        'v' || n, json_build_object('n', n), jsonb_build_object('b', n, 'a', 1),
        ('0190a5c2-7b1e-7c3d-9f00-' || lpad(to_hex(n), 12, '0'))::uuid, decode(lpad(to_hex(n), 8, '0'), 'hex'),
        date '1999-12-31' + n::int, time '00:00' + n * interval '1 second', timestamp '1969-12-31 23:59' + n * interval '1 ms',
        timestamptz '2024-03-31 01:59+01' + n * interval '1 minute', n * interval '1 day 1 minute', ARRAY['a', n::text]
    FROM generate_series(1, 2000) n;
    INSERT INTO wide (id) VALUES (100001);
    INSERT INTO wide (id, f4, f8, free, day, ts, tz, t)
        VALUES (100002, 'NaN', '-0', 'NaN', 'infinity', '-infinity', 'infinity', '');";

fn wide(name: &str) -> (Database, Project) {
    let database = Database::new(name);
    database.sql(WIDE);
    let streams = json!([incremental("public.wide", json!({"cursor": "id"}))]);
    let project = postgres::source(&database, streams);
    (database, project)
}

#[test]
fn every_type_compares_between_two_postgres() {
    let (source, project) = wide("verify_pg_pg");
    let target = Database::new("verify_pg_pg_to");
    postgres::destination(&project, &target);
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, verdict(&answer, "public.wide")), (0, "equal"), "{answer:#}");
    assert!(stream(&answer, "public.wide").get("left_out").is_none(), "{answer:#}");
    target.sql("DELETE FROM wide WHERE id BETWEEN 1200 AND 1230");
    target.sql("UPDATE wide SET clock = clock + interval '1 us' WHERE id = 5");
    source.sql("DELETE FROM wide WHERE id = 1999");
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, kinds(&answer, "public.wide")), (1, [31, 1, 1, 0, 0]), "{answer:#}");
    assert_eq!(
        stream(&answer, "public.wide")["differences"]["missing"]["keys"].as_array().unwrap().len(),
        10
    );
}

#[test]
fn every_type_compares_between_postgres_and_sqlite() {
    let (_source, project) = wide("verify_pg_lite");
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, verdict(&answer, "public.wide")), (0, "equal"), "{answer:#}");
    assert!(stream(&answer, "public.wide").get("left_out").is_none(), "{answer:#}");
    sqlite(&project, "waybill.db", "UPDATE public_wide SET long = long || '1' WHERE id = 77");
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!(code, 1, "{answer:#}");
}

#[test]
fn a_sqlite_file_compares_with_postgres() {
    let project = shop();
    let target = Database::new("verify_lite_pg");
    postgres::destination(&project, &target);
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, &answer["equal"]), (0, &json!(true)), "{answer:#}");
    target.sql("DELETE FROM orders WHERE id = 500");
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, kinds(&answer, "orders")), (1, [1, 0, 0, 0, 0]), "{answer:#}");
}

#[test]
fn a_text_cursor_goes_by_its_own_order() {
    let database = Database::new("verify_text");
    database.sql(
        "CREATE TABLE names (name text COLLATE \"en-x-icu\" PRIMARY KEY, n int);
         INSERT INTO names SELECT chr(64 + n) || n, n FROM generate_series(1, 26) n;
         INSERT INTO names SELECT chr(96 + n) || n, n FROM generate_series(1, 20) n",
    );
    let project =
        postgres::source(&database, json!([incremental("public.names", json!({"cursor": "name"}))]));
    project.run().exits(0);
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, verdict(&answer, "public.names")), (0, "equal"), "{answer:#}");
    sqlite(&project, "waybill.db", "DELETE FROM public_names WHERE name IN ('B2', 'b2')");
    database.sql("INSERT INTO names VALUES ('zz', 1)");
    let (answer, code) = ask(&project, &["verify", "c"]);
    assert_eq!((code, kinds(&answer, "public.names")), (1, [2, 0, 0, 0, 0]), "{answer:#}");
    assert_eq!(stream(&answer, "public.names")["newer"], 1);
}

#[test]
fn no_secret_is_in_what_it_says() {
    let (_source, project) = wide("verify_secret");
    project.run().exits(0);
    project.secrets("[sources.c]\npassword = \"wrong-and-secret\"\n");
    let failed = project.waybill(&["state", "verify", "c"]);
    assert_ne!(failed.code, 0);
    project.nowhere("wrong-and-secret", &["secrets.toml"], &failed);
    assert!(!failed.err.contains(PASSWORD) || PASSWORD.len() < 4);
}
