//! Benchmarks against what the systems' own tools do, in the same run: `cargo bench`.
//!
//! Times on a busy machine mean little, ratios more: Waybill and its reference take turns, and the
//! medians and their ratio are printed. Rows: WAYBILL_BENCH_ROWS (2 000 000), rounds:
//! WAYBILL_BENCH_ROUNDS (3). Needs the server's binaries, psql and sqlite3.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod measure;
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
    let place = Place::new(Path::new(env!("CARGO_BIN_EXE_waybill")));
    println!("{rows} rows x 18 columns, {rounds} rounds, medians; ratio = waybill / reference\n");
    starts(&place);
    let server = PgServer::start(&["fsync=off"]);
    for database in ["src", "dst"] {
        server.database(database);
    }
    println!("making the data …");
    server.psql("src", &format!("create table big as {}", TABLE.replace("ROWS", &rows.to_string())));
    server.psql("src", "create table small as select * from big limit 100");
    server.psql("src", "vacuum analyze");
    let csv = place.file("big.csv");
    shell(&format!(
        "{} -c \"copy big to stdout (format csv, header)\" > {}",
        psql(&server, "src"),
        csv.display()
    ));
    config(&place, &server);
    small(&place, &server);
    to_postgres(&place, &server, rounds);
    to_sqlite(&place, &server, rounds);
    files(&place, &csv, rounds);
    nothing_new(&place);
}

fn psql(server: &PgServer, database: &str) -> String {
    format!("psql -X -q -h {} -p {} -U postgres {database}", server.socket.display(), server.port)
}

fn config(place: &Place, server: &PgServer) {
    let source = format!(
        r#""host": "{}", "port": {}, "database": "src", "user": "postgres""#,
        server.socket.display(),
        server.port
    );
    let connection = |name: &str, to: &str, stream: &str| {
        format!(
            r#"{{"name": "{name}", "type": "postgres", "destination": "{to}", "schema": {{{source}, "streams": [{stream}]}}}}"#
        )
    };
    let big = r#"{"name": "public.big"}"#;
    let connections = [
        connection("small", "pg", r#"{"name": "public.small"}"#),
        connection("pg_pg", "pg", big),
        connection("pg_lite", "lite", big),
        connection("idle", "lite", r#"{"name": "public.big", "table": "idle", "mode": "incremental", "cursor": "id", "primary_key": ["id"]}"#),
        r#"{"name": "csv_lite", "type": "files", "destination": "lite", "schema": {"streams": [{"name": "csv", "path": "big.csv"}]}}"#.to_owned(),
    ];
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

fn small(place: &Place, server: &PgServer) {
    twin(server, "small");
    let reference = pipe(server, "small");
    place.run("small");
    compare("100 rows, Postgres → Postgres", 5, || place.run("small"), || shell(&reference));
}

fn to_postgres(place: &Place, server: &PgServer, rounds: usize) {
    twin(server, "big");
    let reference = pipe(server, "big");
    compare("Postgres → Postgres / binary COPY pipe", rounds, || place.run("pg_pg"), || shell(&reference));
    let sum = "select count(*) || ':' || sum(hashtextextended(id || name || d || ts || coalesce(maybe, '~'), 0)) from ";
    let (ours, theirs) =
        (server.psql("dst", &format!("{sum} big")), server.psql("dst", &format!("{sum} ref_big")));
    assert_eq!(ours.trim(), theirs.trim(), "the two loads differ");
    place.memory("pg_pg");
}

fn to_sqlite(place: &Place, server: &PgServer, rounds: usize) {
    let (src, database): (String, PathBuf) = (psql(server, "src"), place.file("ref.db"));
    let columns = "id integer,a integer,b integer,c real,d text,name text,hash text,flag text,day text,ts text,ts2 text,u text,maybe text,r real,j text,fk integer,pad text,cat integer";
    let reference = format!(
        "rm -f {0}*; {src} -c 'copy big to stdout (format csv)' | sqlite3 {0} 'create table big({columns})' '.import --csv /dev/stdin big'",
        database.display()
    );
    compare(
        "Postgres → SQLite / psql CSV | sqlite3 .import",
        rounds,
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

fn files(place: &Place, csv: &Path, rounds: usize) {
    let database = place.file("ref_csv.db");
    let reference =
        format!("rm -f {0}*; sqlite3 {0} '.import --csv {1} big'", database.display(), csv.display());
    compare("CSV → SQLite / sqlite3 .import", rounds, || place.run("csv_lite"), || shell(&reference));
    place.memory("csv_lite");
}

fn nothing_new(place: &Place) {
    place.run("idle");
    compare(
        "nothing new in an incremental run",
        5,
        || place.run("idle"),
        || drop(Command::new("true").output().unwrap()),
    );
}
