//! Postgres to Postgres.

use super::measure::{children_cpu, compare, shell};
use super::{Bench, PgServer, pipe, psql, twin};

/// Count and hash of what two tables hold must agree.
fn agree(server: &PgServer, ours: &str, theirs: &str) {
    let sum = "select count(*) || ':' || sum(hashtextextended(id || name || d || ts || coalesce(maybe, '~') || u, 0)) from ";
    let (ours, theirs) =
        (server.psql("dst", &format!("{sum} {ours}")), server.psql("dst", &format!("{sum} {theirs}")));
    assert_eq!(ours.trim(), theirs.trim(), "the two loads differ");
}

/// Into a plain table.
pub fn plain(bench: &Bench<'_>) {
    let Bench { place, server, rounds, .. } = bench;
    twin(server, "big");
    let reference = pipe(server, "big");
    compare("Postgres → Postgres / binary COPY pipe", *rounds, || place.run("pg_pg"), || shell(&reference));
    agree(server, "big", "ref_big");
    place.memory("pg_pg");
}

/// The table with a key, and an index on its times.
pub fn make_keyed(server: &PgServer) {
    if server.psql("src", "select to_regclass('keyed')").trim().is_empty() {
        server.psql("src", "create table keyed as table big; alter table keyed add primary key (id); create index on keyed (ts)");
        server.psql("src", "vacuum analyze keyed");
        server.psql("dst", "drop table if exists ref_key; create table ref_key ()");
    }
}

/// The pipe, and the key at its end.
fn keyed_pipe(server: &PgServer) -> String {
    let (src, dst) = (psql(server, "src"), psql(server, "dst"));
    format!(
        "{dst} -c 'drop table ref_key; create table ref_key (like ref_big)'; \
         {src} -c 'copy keyed to stdout (format binary)' | {dst} -c 'copy ref_key from stdin (format binary)'; \
         {dst} -c 'alter table ref_key add primary key (id)'"
    )
}

/// Into a table with a primary key: replaced whole, and as the first load of a merge.
pub fn keyed(bench: &Bench<'_>) {
    let Bench { place, server, rounds, .. } = bench;
    twin(server, "big");
    make_keyed(server);
    let reference = keyed_pipe(server);
    compare("… with a key / pipe + add primary key", *rounds, || place.run("pg_key"), || shell(&reference));
    agree(server, "keyed", "ref_key");
    let mut round = 0;
    let first = || {
        round += 1;
        place.run(&format!("first_{round}"));
    };
    compare("first load by merge / pipe + add primary key", *rounds, first, || shell(&reference));
    agree(server, "first_1", "ref_key");
    place.memory("first_1");
}

/// A tenth of the rows changed, merged into the whole.
pub fn merge(bench: &Bench<'_>) {
    let Bench { place, server, rounds, rows } = bench;
    twin(server, "big");
    make_keyed(server);
    shell(&keyed_pipe(server));
    place.run("pg_merge");
    let (src, dst) = (psql(server, "src"), psql(server, "dst"));
    let round = std::cell::Cell::new(0);
    let change = || {
        round.set(round.get() + 1);
        let (round, step) = (round.get(), 10);
        server.psql("src", &format!("update keyed set a = a + 1, ts = timestamptz '2021-01-01' + {round} * interval '1 day' + id * interval '1 microsecond' where id % {step} = {round} % {step}"));
        server.psql("src", "vacuum analyze keyed");
    };
    let file = place.file("changes.copy");
    let file = file.display();
    let columns = "id,a,b,c,d,name,hash,flag,day,ts,ts2,u,maybe,r,j,fk,pad,cat";
    let set: Vec<String> = columns.split(',').skip(1).map(|c| format!("{c} = excluded.{c}")).collect();
    let by_hand = || {
        let round = round.get();
        let since = format!("timestamptz '2021-01-01' + {round} * interval '1 day'");
        shell(&format!(
            "{src} -c \"copy (select * from keyed where ts >= {since}) to stdout (format binary)\" > {file}; \
             {dst} -c 'begin' -c 'create temp table changes (like ref_key) on commit drop' -c '\\copy changes from {file} (format binary)' \
             -c 'insert into ref_key select * from changes on conflict (id) do update set {}' -c 'commit'",
            set.join(", ")
        ));
    };
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..*rounds {
        change();
        mine.push(super::measure::timed(&mut || place.run("pg_merge")));
        theirs.push(super::measure::timed(&mut || by_hand()));
    }
    super::measure::show(&format!("merge of {} changed rows / psql by hand", rows / 10), mine, theirs);
    agree(server, "merged", "ref_key");
    place.memory("pg_merge");
}

/// The same rows by 1, 2 and 4 readers: what all processes together have to work.
pub fn readers(bench: &Bench<'_>) {
    let Bench { place, server, rounds, .. } = bench;
    // The first run gives every connection its id.
    place.run("pg_pg");
    let config = std::fs::read_to_string(place.file("config.json")).unwrap();
    let folder = server.psql("src", "show data_directory");
    let pid = std::fs::read_to_string(format!("{}/postmaster.pid", folder.trim())).unwrap();
    let postmaster: u32 = pid.lines().next().unwrap().parse().unwrap();
    let work = || children_cpu(std::process::id()) + children_cpu(postmaster);
    let counts = [1, 2, 4];
    let mut figures = counts.map(|_| Vec::new());
    for _ in 0..*rounds {
        for (readers, figures) in counts.iter().zip(&mut figures) {
            place.write(
                "config.json",
                &config.replace("\"parallelism\": 1", &format!("\"parallelism\": {readers}")),
            );
            let before = work();
            let took = super::measure::timed(&mut || place.run("pg_pg"));
            // The server's sessions are counted once they are gone.
            std::thread::sleep(std::time::Duration::from_millis(500));
            figures.push((work() - before, took.as_secs_f64()));
        }
    }
    let mut one = None;
    for (readers, mut figures) in counts.iter().zip(figures) {
        figures.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (work, took) = figures[figures.len() / 2];
        let ratio = work / *one.get_or_insert(work);
        println!(
            "{:<52} {took:>9.3} s {work:>9.2} CPU s  ratio {ratio:.2}",
            format!("Postgres → Postgres by {readers} readers")
        );
    }
    place.memory("pg_pg");
    place.write("config.json", &config);
}

/// Wide rows and very large values.
pub fn memory(bench: &Bench<'_>) {
    let Bench { place, server, rows, .. } = bench;
    server.psql("src", &format!("create table wide as select g as id, repeat(md5(g::text), 64) as filler from generate_series(1, {}) g", rows / 2));
    server.psql("src", "create table huge as select g as id, repeat('0123456789', 20000000) as filler from generate_series(1, 3) g");
    for (connection, what) in [
        ("pg_wide", "rows of 2 KB → Postgres"),
        ("lite_wide", "rows of 2 KB → SQLite"),
        ("pg_huge", "values of 200 MB → Postgres"),
        ("lite_huge", "values of 200 MB → SQLite"),
    ] {
        let took = super::measure::timed(&mut || place.run(connection));
        println!("{what:<52} {:>9.3} s", took.as_secs_f64());
        place.memory(connection);
    }
    server.psql("src", "drop table wide, huge");
}
