//! Time zones: of the program, the server, the database and the role. None changes a value.

use serde_json::json;

use crate::fixture::{Database, Project, Running, incremental, postgres};

/// Around both changes of clocks of 2024, in and out of the hours that there are twice or never.
const ROWS: &str = "
    CREATE TABLE t (id int PRIMARY KEY, at timestamptz, wall timestamp, day date);
    CREATE INDEX ON t (at);
    INSERT INTO t SELECT n, '2024-03-30 22:00:00+00'::timestamptz + n * interval '10 minutes 0.000001 seconds',
        '2024-03-30 22:00:00'::timestamp + n * interval '10 minutes 0.000001 seconds', '2024-03-30'::date + n / 10
        FROM generate_series(1, 40) n;
    INSERT INTO t SELECT 100 + n, '2024-10-26 22:00:00+00'::timestamptz + n * interval '10 minutes',
        '2024-10-26 22:00:00'::timestamp + n * interval '10 minutes', '2024-10-26'::date + n / 10
        FROM generate_series(1, 40) n";

fn run(project: &Project, zone: &str) {
    let mut command = project.command(&["run", "c"]);
    command.env("TZ", zone).env("PGTZ", zone);
    Running::start(&mut command).wait().exits(0);
    project.log().check();
}

#[test]
fn four_zones_and_two_changes_of_clocks_give_one_result() {
    let mut results = Vec::new();
    for (n, zone) in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"].iter().enumerate() {
        let name = format!("zones_{n}");
        let source = Database::new(&name);
        source.sql(ROWS);
        // The database has one zone, the role another, and the program's environment a third.
        let zones = ["Australia/Lord_Howe", zone, "Pacific/Kiritimati", "America/St_Johns"];
        source.sql(&format!("ALTER DATABASE {name} SET timezone = '{}'", zones[n % 4]));
        source.sql(&format!("ALTER DATABASE {name} SET datestyle = 'SQL, DMY'"));
        source.sql(&format!("ALTER ROLE postgres IN DATABASE {name} SET timezone = '{zone}'"));
        let mut result = Vec::new();
        for cursor in ["at", "wall", "day"] {
            for write in if cursor == "at" { &["append", "merge"][..] } else { &["append"] } {
                let more = json!({"cursor": cursor, "write": write, "metadata": false});
                let project = postgres::source(&source, json!([incremental("public.t", more)]));
                run(&project, zone);
                result.push(project.rows("SELECT * FROM public_t ORDER BY id"));
                result.push(vec![project.state("public.t")["cursor"].to_string()]);
            }
        }
        // Between two runs every zone changes, and rows come in the hour that there is twice.
        let more = json!({"cursor": "at", "write": "append", "metadata": false});
        let project = postgres::source(&source, json!([incremental("public.t", more)]));
        source.sql("CREATE TABLE later AS SELECT * FROM t WHERE id > 120; DELETE FROM t WHERE id > 120");
        run(&project, zone);
        source.sql(&format!("ALTER ROLE postgres IN DATABASE {name} SET timezone = 'Europe/Berlin'"));
        source.sql("INSERT INTO t SELECT * FROM later");
        run(&project, "America/Los_Angeles");
        run(&project, zone);
        result.push(project.rows("SELECT * FROM public_t ORDER BY id"));
        assert_eq!(result.last().unwrap().len(), 80, "{zone}");
        result.push(vec![super::state(&project, "public.t").to_string()]);
        results.push((zone, result));
    }
    let (_, first) = &results[0];
    for (zone, result) in &results {
        assert_eq!(result, first, "{zone}");
    }
    assert_eq!(first[1], ["\"2024-10-27T04:40:00Z\""]);
}

#[test]
fn a_lookback_covers_the_hour_that_there_is_twice() {
    let source = Database::new("zones_twice");
    source.sql(
        "CREATE TABLE t (id serial PRIMARY KEY, at timestamp DEFAULT localtimestamp); CREATE INDEX ON t (at)",
    );
    // Clocks in New York, before and after they are set back.
    let add =
        |zone: &str| drop(source.sql(&format!("SET timezone = '{zone}'; INSERT INTO t DEFAULT VALUES")));
    for write in ["append", "merge"] {
        let more = json!({"cursor": "at", "write": write, "lookback": "2h"});
        let project = postgres::source(&source, json!([incremental("public.t", more)]));
        for zone in ["Etc/GMT+4", "Etc/GMT+5", "Etc/GMT+4", "Etc/GMT+5"] {
            add(zone);
            run(&project, "UTC");
        }
        let all = source.sql("SELECT count(*) || '|' || count(*) FROM t");
        assert_eq!(
            project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM public_t"),
            all,
            "{write}"
        );
    }
}

#[test]
fn a_bound_by_hand_means_utc_wherever_the_program_runs() {
    let source = Database::new("zones_bounds");
    source.sql(ROWS);
    let more = json!({"cursor": "at", "write": "merge"});
    for zone in ["UTC", "America/New_York"] {
        let project = postgres::source(&source, json!([incremental("public.t", more.clone())]));
        let mut command =
            project.command(&["run", "c", "--from", "2024-03-31", "--to", "2024-03-31T01:00:00"]);
        command.env("TZ", zone);
        Running::start(&mut command).wait().exits(0);
        assert_eq!(project.value("SELECT min(id) || '-' || max(id) FROM public_t"), "12-17", "{zone}");
    }
}
