//! Rows that travel undecoded from Postgres to Postgres: the same as by way of Arrow, bit for bit, and
//! only where nobody has to look into them.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::fixture::project::incremental;
use crate::fixture::{Database, Project, Running, postgres};

/// Every type that has a binary form of its own, with the values at its borders.
const KINDS: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN positive AS int8 CHECK (VALUE > 0);
    CREATE TABLE kinds (id bigint PRIMARY KEY, flag boolean, i2 smallint, i4 integer, i8 bigint, o oid, f4 real,
        f8 double precision, n numeric, n2 numeric(20,4), t text, v varchar(9), c char(5), nm name, j json,
        jb jsonb, u uuid, b bytea, d date, tm time, ts timestamp, tz timestamptz, iv interval, m mood, p positive,
        ip inet, ar int[], bits varbit);
    INSERT INTO kinds VALUES
        (1, true, -32768, -2147483648, -9223372036854775808, 4294967295, 'NaN', '-0', 'NaN', 123.4000, 'Ä😀', 'nine char',
         'ab', 'nm', '{ \"a\" :1, \"a\": 2}', '{\"a\": 1}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff', '4713-01-01 BC',
         '24:00', '4713-01-01 BC', 'infinity', '1 year 2 days -3.000001 s', 'ok', 7, '10.0.0.1/8', '{1,NULL}', '101'),
        (2, false, 32767, 2147483647, 9223372036854775807, 0, 'Infinity', 5e-324, 1e-20, -0.0001, '', '', '', '', '[]',
         'null', '00000000-0000-0000-0000-000000000000', '', '5874897-12-31', '00:00', '294276-12-31 23:59:59.999999',
         '-infinity', '-1 mon', 'sad', 1, '::1', '{}', ''),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    INSERT INTO kinds SELECT n, n % 2 = 0, n % 100, n, n, n, n / 3.0, n / 7.0, n / 3.0, n / 3.0, 't' || n, 'v' || n % 100, 'c',
        'n' || n, '1', '2', gen_random_uuid(), 'x', date '2000-01-01' + n, '12:00', now(), now(), n * interval '1 s', 'ok', n,
        '10.0.0.2', ARRAY[n], '1' FROM generate_series(10, 20000) n";

const ROWS: &str = "SELECT count(*), md5(string_agg(k::text, ',' ORDER BY id)) FROM (SELECT id, flag, i2, i4, i8, o::int8 AS o, f4, f8, n, n2, t, v, c,
    nm::text AS nm, j::text AS j, jb, u, b, d, tm, ts, tz, iv, m::text AS m, p::int8 AS p, ip::text AS ip, ar::text AS ar, bits::text AS bits FROM kinds) k";

fn pair(name: &str, setup: &str, stream: Value) -> (Database, Database, Project) {
    let (source, target) = (Database::new(&format!("{name}_in")), Database::new(&format!("{name}_out")));
    source.sql(setup);
    let project = postgres::source(&source, json!([stream]));
    postgres::destination(&project, &target);
    (source, target, project)
}

/// The form that the last run's rows travelled in; null where they were decoded.
#[track_caller]
fn form(project: &Project) -> Value {
    let log = project.log();
    log.named("stream.started").last().expect("a stream")["data"]["wire"].clone()
}

#[test]
fn undecoded_rows_are_the_same_as_decoded_ones_bit_for_bit() {
    let (source, raw, project) = pair("pass_kinds", KINDS, json!({"name": "public.kinds"}));
    project.run().exits(0);
    assert_eq!(form(&project), "postgres_copy");
    let decoded = Database::new("pass_kinds_decoded");
    // An append by cursor needs the identities of the rows.
    let stream = incremental("public.kinds", json!({"cursor": "id", "write": "append"}));
    let other = postgres::source(&source, json!([stream]));
    postgres::destination(&other, &decoded);
    other.run().exits(0);
    assert_eq!(form(&other), Value::Null);
    assert_eq!(raw.sql(ROWS), source.sql(ROWS));
    assert_eq!(decoded.sql(ROWS), raw.sql(ROWS));
    let bytes = "SELECT md5(string_agg(concat_ws(',', encode(numeric_send(n), 'hex'), encode(float8send(f8), 'hex'), encode(float4send(f4), 'hex'), \
        encode(interval_send(iv), 'hex'), encode(bpcharsend(c), 'hex')), ';' ORDER BY id)) FROM kinds";
    assert_eq!(decoded.sql(bytes), raw.sql(bytes));
    let run = "SELECT count(DISTINCT _waybill_run_id), count(_waybill_run_id) FROM kinds";
    assert_eq!(raw.sql(run), "1|19994");
}

#[test]
fn a_first_load_by_merge_has_its_key_at_the_end_and_is_merged_into_afterwards() {
    let setup = "CREATE TABLE o (id int PRIMARY KEY, n int, at timestamptz);
        CREATE INDEX ON o (at);
        INSERT INTO o SELECT n, n, timestamptz '2024-01-01' + n * interval '1 s' FROM generate_series(1, 30000) n; ANALYZE o";
    let stream = incremental("public.o", json!({"cursor": "at", "write": "merge"}));
    let (source, target, project) = pair("pass_merge", setup, stream);
    project.run().exits(0);
    assert_eq!(form(&project), "postgres_copy");
    let key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'o'::regclass AND contype = 'p'";
    assert_eq!(target.sql(key), "PRIMARY KEY (id)");
    source.sql(
        "UPDATE o SET n = -n, at = timestamptz '2025-01-01' + id * interval '1 s' WHERE id % 3 = 0; \
                INSERT INTO o VALUES (40000, 1, '2026-01-01')",
    );
    project.run().exits(0);
    assert_eq!(form(&project), "postgres_copy");
    let all = "SELECT count(*), md5(string_agg(o::text, ',' ORDER BY id)) FROM (SELECT id, n, at FROM o) o";
    assert_eq!(target.sql(all), source.sql(all));
    assert_eq!(project.summary()["progress_counts"]["public.o"]["rows_loaded"], 10001);
    project.run().exits(0);
    assert_eq!(target.sql(all), source.sql(all));
}

#[test]
fn a_table_with_other_types_takes_decoded_rows() {
    let setup = "CREATE TABLE t (id int PRIMARY KEY, n int, ip inet); INSERT INTO t VALUES (1, 2, '::1')";
    let stream = incremental("public.t", json!({"cursor": "id", "write": "merge"}));
    let (source, target, project) = pair("pass_types", setup, stream);
    project.run().exits(0);
    target.sql("ALTER TABLE t ALTER n TYPE numeric");
    source.sql("INSERT INTO t VALUES (2, 3, NULL)");
    project.run().exits(0);
    assert_eq!(form(&project), Value::Null);
    assert_eq!(target.sql("SELECT id, n, ip FROM t ORDER BY id"), "1|2|::1\n2|3|");
    // The source widens: what is asked for is cast there.
    source.sql("ALTER TABLE t ALTER id TYPE bigint; INSERT INTO t VALUES (5000000000, 1, '10.0.0.1')");
    target.sql("ALTER TABLE t ALTER n TYPE int");
    project.run().exits(0);
    assert_eq!(form(&project), "postgres_copy");
    assert_eq!(target.sql("SELECT max(id), pg_typeof(max(id)) FROM t"), "5000000000|bigint");
}

#[test]
fn a_key_of_ones_own_choice_may_come_twice() {
    let setup = "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL, n text); INSERT INTO t VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c')";
    let stream = incremental("public.t", json!({"cursor": "id", "write": "merge", "primary_key": ["k"]}));
    let (_source, target, project) = pair("pass_own_key", setup, stream);
    project.run().exits(0);
    assert_eq!(form(&project), Value::Null);
    assert_eq!(target.sql("SELECT k, n FROM t ORDER BY k"), "1|b\n2|c");
}

#[test]
fn digits_that_the_table_does_not_take_are_refused_and_never_rounded() {
    let setup = "CREATE TABLE t (id int PRIMARY KEY, n numeric(6,2)); INSERT INTO t VALUES (1, 1.25)";
    let stream =
        incremental("public.t", json!({"cursor": "id", "write": "merge", "schema_policy": "ignore"}));
    let (source, target, project) = pair("pass_digits", setup, stream);
    project.run().exits(0);
    assert_eq!(form(&project), "postgres_copy");
    source.sql("ALTER TABLE t ALTER n TYPE numeric(8,4); INSERT INTO t VALUES (2, 1.2345)");
    project.run().exits(1).says(&["holds a value that is no decimal(6,2)"]);
    assert_eq!(form(&project), Value::Null);
    assert_eq!(target.sql("SELECT id, n FROM t ORDER BY id"), "1|1.25");
}

#[test]
fn a_table_that_others_inherit_from_may_have_a_key_twice() {
    let setup = "CREATE TABLE t (id int PRIMARY KEY, n text); CREATE TABLE u () INHERITS (t);
        INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (1, 'b'), (2, 'c')";
    let stream = incremental("public.t", json!({"cursor": "id", "write": "merge"}));
    let (_source, target, project) = pair("pass_heirs", setup, stream);
    project.run().exits(0);
    assert_eq!(form(&project), Value::Null);
    assert_eq!(target.sql("SELECT id FROM t ORDER BY id"), "1\n2");
}

#[test]
fn a_large_table_is_read_in_ranges_and_is_one_whole_while_it_changes() {
    let setup = "CREATE TABLE accounts (id int PRIMARY KEY, n int NOT NULL, filler text);
        INSERT INTO accounts SELECT n, 100, repeat('x', 300) FROM generate_series(1, 6000) n; ANALYZE accounts";
    let (source, target, project) = pair("pass_ranges", setup, json!({"name": "public.accounts"}));
    let over = AtomicBool::new(false);
    // What one account loses another gets, somewhere else in the table, all the time.
    let transfers = "DO $$ BEGIN FOR i IN 1..200 LOOP
        UPDATE accounts a SET n = n + d FROM (VALUES (i * 14, -1), (6001 - i * 14, 1)) v(k, d) WHERE a.id = v.k;
        COMMIT; END LOOP; END $$";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                source.sql(transfers);
            }
        });
        for _ in 0..3 {
            let mut command = project.command(&["run", "c"]);
            // Smaller batches make smaller ranges.
            command.env("WAYBILL_TEST_BATCH_ROWS", "300");
            Running::start(&mut command).wait().exits(0);
            let planned = project.log().named("slice.planned").len();
            let (rows, whole) =
                ("SELECT count(*), sum(n), count(DISTINCT id) FROM accounts", "6000|600000|6000");
            if target.sql(rows) != whole || planned < 3 || form(&project) != "postgres_copy" {
                over.store(true, Ordering::Relaxed);
            }
            assert_eq!((target.sql(rows).as_str(), form(&project)), (whole, json!("postgres_copy")));
            assert!(planned >= 3, "{planned} slices");
        }
        over.store(true, Ordering::Relaxed);
    });
}
