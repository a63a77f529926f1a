//! Benchmarks against what the systems' own tools do, in the same run: `cargo bench`.
//!
//! Times on a busy machine mean little, ratios more: Waybill and its reference take turns, and the
//! medians and their ratio are printed. Rows: WAYBILL_BENCH_ROWS (2 000 000), rounds:
//! WAYBILL_BENCH_ROUNDS (3). Needs the server's binaries, psql and sqlite3.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod measure;
mod postgres;
#[path = "../connectors/postgres/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use measure::{Place, compare, shell};
use server::PgServer;

const TABLE: &str = "select g::bigint as id, (g % 1000)::int as a, (g % 7)::smallint as b, g * 1.5::float8 as c,
  (g / 3.0)::numeric(18,4) as d, 'name ' || g as name, md5(g::text) as hash, (g % 2 = 0) as flag,
  date '2020-01-01' + (g % 1000) as day, timestamptz '2020-01-01' + g * interval '1 second' as ts,
  timestamp '2020-01-01' + g * interval '1 second' as ts2, gen_random_uuid() as u,
  case when g % 10 = 0 then null else 'x' || (g % 100) end as maybe, g::real as r, '{\"k\":1}'::jsonb as j,
  (g % 100000)::bigint as fk, repeat('y', (g % 40)::int) as pad, g % 5 as cat from generate_series(1, ROWS) g";

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let (rows, rounds) = (number("WAYBILL_BENCH_ROWS", 2_000_000), number("WAYBILL_BENCH_ROUNDS", 3));
    // `cargo bench -- merge sqlite`: only what has one of these words in its name.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let place = Place::new(Path::new(env!("CARGO_BIN_EXE_waybill")));
    println!("{rows} rows x 18 columns, {rounds} rounds, medians; ratio = waybill / reference\n");
    if wanted("start") {
        starts(&place);
    }
    let server = PgServer::start(&["fsync=off", "max_wal_size=4GB", "autovacuum=off"]);
    for database in ["src", "dst"] {
        server.database(database);
    }
    println!("making the data …");
    server.psql("src", &format!("create table big as {}", TABLE.replace("ROWS", &rows.to_string())));
    server.psql("src", "create table small as select * from big limit 100");
    server.psql("src", "vacuum analyze");
    let bench = Bench { place: &place, server: &server, rows, rounds };
    config(&place, &server, rounds);
    let parts: [(&str, Part); 9] = [
        ("small", small),
        ("postgres", postgres::plain),
        ("key", postgres::keyed),
        ("merge", postgres::merge),
        ("readers", postgres::readers),
        ("memory", postgres::memory),
        ("sqlite", to_sqlite),
        ("csv", files),
        ("nothing", nothing_new),
    ];
    for (name, part) in parts {
        if wanted(name) {
            part(&bench);
        }
    }
}

type Part = fn(&Bench<'_>);

/// What the parts share.
struct Bench<'a> {
    place: &'a Place,
    server: &'a PgServer,
    rows: usize,
    rounds: usize,
}

fn psql(server: &PgServer, database: &str) -> String {
    format!("psql -X -q -h {} -p {} -U postgres {database}", server.socket.display(), server.port)
}

fn config(place: &Place, server: &PgServer, rounds: usize) {
    let source = format!(
        r#""host": "{}", "port": {}, "database": "src", "user": "postgres""#,
        server.socket.display(),
        server.port
    );
    let connection = |name: &str, to: &str, stream: &str| {
        format!(
            r#"{{"name": "{name}", "type": "postgres", "destination": "{to}", "parallelism": 1, "schema": {{{source}, "streams": [{stream}]}}}}"#
        )
    };
    let big = r#"{"name": "public.big"}"#;
    let connections = [
        connection("small", "pg", r#"{"name": "public.small"}"#),
        connection("pg_pg", "pg", big),
        connection("pg_key", "pg", r#"{"name": "public.keyed"}"#),
        connection("pg_merge", "pg", r#"{"name": "public.keyed", "table": "merged", "mode": "incremental", "cursor": "ts"}"#),
        connection("pg_wide", "pg", r#"{"name": "public.wide"}"#),
        connection("pg_huge", "pg", r#"{"name": "public.huge"}"#),
        connection("lite_huge", "lite", r#"{"name": "public.huge"}"#),
        connection("lite_wide", "lite", r#"{"name": "public.wide"}"#),
        connection("pg_lite", "lite", big),
        connection("idle_pg", "pg", r#"{"name": "public.keyed", "table": "idle", "mode": "incremental", "cursor": "id"}"#),
        connection("idle", "lite", r#"{"name": "public.keyed", "table": "idle", "mode": "incremental", "cursor": "id"}"#),
        r#"{"name": "csv_lite", "type": "files", "destination": "lite", "schema": {"streams": [{"name": "csv", "path": "big.csv"}]}}"#.to_owned(),
        r#"{"name": "csv_pg", "type": "files", "destination": "pg", "schema": {"streams": [{"name": "csv", "path": "big.csv"}]}}"#.to_owned(),
    ];
    // A first load is one only once.
    let first = (1..=rounds).map(|round| {
        let stream = format!(
            r#"{{"name": "public.keyed", "table": "first_{round}", "mode": "incremental", "cursor": "ts"}}"#
        );
        connection(&format!("first_{round}"), "pg", &stream)
    });
    let connections: Vec<String> = connections.into_iter().chain(first).collect();
    place.write(
        "config.json",
        &format!(
            r#"{{"version": 1, "destination": "lite", "destinations": {{
                "pg": {{"type": "postgres", {}}},
                "lite": {{"type": "sqlite", "path": "out.db"}}}}, "connections": [{}]}}"#,
            source.replace("\"src\"", "\"dst\""),
            connections.join(",")
        ),
    );
}

fn starts(place: &Place) {
    let waybill = || drop(place.command(&["--version"]).output().unwrap());
    compare("start (--version)", 20, waybill, || drop(Command::new("true").output().unwrap()));
}

/// A table like the source's at the destination, for the reference.
fn twin(server: &PgServer, table: &str) {
    let at = format!("-h {} -p {} -U postgres", server.socket.display(), server.port);
    server.psql("dst", &format!("drop table if exists ref_{table}"));
    shell(&format!(
        "pg_dump {at} -s -t {table} src | sed 's/public\\.{table}/public.ref_{table}/' | psql -X -q {at} dst > /dev/null"
    ));
}

/// The reference: binary COPY out of the one into the other.
fn pipe(server: &PgServer, table: &str) -> String {
    let (src, dst) = (psql(server, "src"), psql(server, "dst"));
    format!(
        "{dst} -c 'truncate ref_{table}'; {src} -c 'copy {table} to stdout (format binary)' | {dst} -c 'copy ref_{table} from stdin (format binary)'"
    )
}

fn small(bench: &Bench<'_>) {
    let Bench { place, server, .. } = bench;
    twin(server, "small");
    let reference = pipe(server, "small");
    place.run("small");
    compare("100 rows, Postgres → Postgres", 5, || place.run("small"), || shell(&reference));
}

fn to_sqlite(bench: &Bench<'_>) {
    let Bench { place, server, rounds, .. } = bench;
    let (src, database): (String, PathBuf) = (psql(server, "src"), place.file("ref.db"));
    let columns = "id integer,a integer,b integer,c real,d text,name text,hash text,flag text,day text,ts text,ts2 text,u text,maybe text,r real,j text,fk integer,pad text,cat integer";
    let reference = format!(
        "rm -f {0}*; {src} -c 'copy big to stdout (format csv)' | sqlite3 {0} 'create table big({columns})' '.import --csv /dev/stdin big'",
        database.display()
    );
    compare(
        "Postgres → SQLite / psql CSV | sqlite3 .import",
        *rounds,
        || place.run("pg_lite"),
        || shell(&reference),
    );
    let sum = |file: &Path, table: &str| {
        shell(&format!(
            "sqlite3 {} \"select count(*) || ':' || sum(id) || ':' || sum(length(name)) from {table}\"",
            file.display()
        ))
    };
    assert_eq!(sum(&place.file("out.db"), "public_big"), sum(&database, "big"), "the two loads differ");
    place.memory("pg_lite");
}

fn files(bench: &Bench<'_>) {
    let Bench { place, server, rounds, .. } = bench;
    let csv = place.file("big.csv");
    let copy = "copy big to stdout (format csv, header)";
    shell(&format!("{} -c \"{copy}\" > {}", psql(server, "src"), csv.display()));
    let database = place.file("ref_csv.db");
    let reference =
        format!("rm -f {0}*; sqlite3 {0} '.import --csv {1} big'", database.display(), csv.display());
    compare("CSV → SQLite / sqlite3 .import", *rounds, || place.run("csv_lite"), || shell(&reference));
    place.memory("csv_lite");
    twin(server, "big");
    let dst = psql(server, "dst");
    let reference = format!(
        "{dst} -c 'truncate ref_big'; {dst} -c \"\\copy ref_big from '{}' (format csv, header)\"",
        csv.display()
    );
    compare("CSV → Postgres / \\copy (types by hand)", *rounds, || place.run("csv_pg"), || shell(&reference));
    let sum = "select count(*) || ':' || sum(hashtextextended(id || name || d::numeric(18,4), 0)) from ";
    let (ours, theirs) =
        (server.psql("dst", &format!("{sum} csv")), server.psql("dst", &format!("{sum} ref_big")));
    assert_eq!(ours.trim(), theirs.trim(), "the two loads differ");
    place.memory("csv_pg");
}

fn nothing_new(bench: &Bench<'_>) {
    postgres::make_keyed(bench.server);
    for (connection, to) in [("idle", "SQLite"), ("idle_pg", "Postgres")] {
        bench.place.run(connection);
        compare(
            &format!("nothing new in an incremental run into {to}"),
            5,
            || bench.place.run(connection),
            || drop(Command::new("true").output().unwrap()),
        );
    }
}
