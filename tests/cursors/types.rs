//! Each type that has an order.

use serde_json::{Value, json};

use super::state;
use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Project, incremental, one_connection, postgres};

/// A type at the source: three values at first, the highest in the middle; two that come later, one
/// of them above; and the cursor of each end, as the state has it.
struct Kind {
    name: &'static str,
    declared: &'static str,
    first: [&'static str; 3],
    later: [&'static str; 2],
    typed: &'static str,
    ends: [&'static str; 2],
}

const POSTGRES: [Kind; 13] = [
    Kind {
        name: "small",
        declared: "smallint",
        first: ["-5", "32000", "7"],
        later: ["32000", "32767"],
        typed: "int",
        ends: ["32000", "32767"],
    },
    Kind {
        name: "whole",
        declared: "int",
        first: ["9", "10", "-1"],
        later: ["10", "2147483647"],
        typed: "int",
        ends: ["10", "2147483647"],
    },
    Kind {
        name: "big",
        declared: "bigint",
        first: ["1", "9007199254740993", "2"],
        later: ["9007199254740993", "9223372036854775807"],
        typed: "int",
        ends: ["9007199254740993", "9223372036854775807"],
    },
    Kind {
        name: "fixed",
        declared: "numeric(30,4)",
        first: ["9.5", "10.0001", "-3"],
        later: ["10.0001", "99999999999999999999999999.9999"],
        typed: "decimal",
        ends: ["10.0001", "99999999999999999999999999.9999"],
    },
    Kind {
        name: "free",
        declared: "numeric",
        first: ["9", "10.00000000000000000000000000000000000000001", "2"],
        later: ["10.00000000000000000000000000000000000000001", "1e50"],
        typed: "decimal",
        ends: [
            "10.00000000000000000000000000000000000000001",
            "100000000000000000000000000000000000000000000000000",
        ],
    },
    Kind {
        name: "day",
        declared: "date",
        first: ["0044-03-15 BC", "2024-02-29", "2023-12-31"],
        later: ["2024-02-29", "2024-03-01"],
        typed: "date",
        ends: ["2024-02-29", "2024-03-01"],
    },
    Kind {
        name: "wall",
        declared: "timestamp",
        first: ["2024-03-31 02:30:00.123455", "2024-03-31 02:30:00.123456", "2020-01-01"],
        later: ["2024-03-31 02:30:00.123456", "2024-03-31 02:30:00.123457"],
        typed: "timestamp",
        ends: ["2024-03-31T02:30:00.123456", "2024-03-31T02:30:00.123457"],
    },
    Kind {
        name: "instant",
        declared: "timestamptz",
        first: ["2024-03-31 02:30:00.123455+02", "2024-03-31 02:30:00.123456+02", "2020-01-01 00:00:00+00"],
        later: ["2024-03-31 00:30:00.123456+00", "2024-03-31 00:30:00.123457+00"],
        typed: "timestamp_tz",
        ends: ["2024-03-31T00:30:00.123456Z", "2024-03-31T00:30:00.123457Z"],
    },
    Kind {
        name: "bytewise",
        declared: "text COLLATE \"C\"",
        first: ["B", "a", "Z"],
        later: ["a", "it's\\n"],
        typed: "text",
        ends: ["a", "it's\\n"],
    },
    Kind {
        name: "lingual",
        declared: "text COLLATE \"en-x-icu\"",
        first: ["a", "B", "Ä"],
        later: ["B", "Z"],
        typed: "text",
        ends: ["B", "Z"],
    },
    Kind {
        name: "short",
        declared: "varchar(9) COLLATE \"de-x-icu\"",
        first: ["a", "Öl", "b"],
        later: ["Öl", "oz"],
        typed: "text",
        ends: ["Öl", "oz"],
    },
    Kind {
        name: "seven",
        declared: "uuid",
        first: [
            "018bcfe5-6800-7abc-8def-0123456789ab",
            "018bcfe5-6800-7abc-8def-0123456789ff",
            "018bcfe5-67ff-7fff-bfff-ffffffffffff",
        ],
        later: ["018bcfe5-6800-7abc-8def-0123456789ff", "018bcfe5-6801-7000-8000-000000000000"],
        typed: "uuid",
        ends: ["018bcfe5-6800-7abc-8def-0123456789ff", "018bcfe5-6801-7000-8000-000000000000"],
    },
    Kind {
        name: "domained",
        declared: "counted",
        first: ["1", "3", "2"],
        later: ["3", "4"],
        typed: "int",
        ends: ["3", "4"],
    },
];

/// In SQLite, as it stores them.
const SQLITE: [Kind; 6] = [
    Kind {
        name: "whole",
        declared: "INTEGER",
        first: ["9", "9007199254740993", "-1"],
        later: ["9007199254740993", "9223372036854775807"],
        typed: "int",
        ends: ["9007199254740993", "9223372036854775807"],
    },
    Kind {
        name: "fixed",
        declared: "DECIMAL(12,4)",
        first: ["9.5", "10.0001", "-3"],
        later: ["10.0001", "99999999.9999"],
        typed: "decimal",
        ends: ["10.0001", "99999999.9999"],
    },
    Kind {
        name: "day",
        declared: "DATE",
        first: ["2023-01-01", "2024-02-29", "2023-12-31"],
        later: ["2024-02-29", "2024-03-01"],
        typed: "date",
        ends: ["2024-02-29", "2024-03-01"],
    },
    Kind {
        name: "wall",
        declared: "DATETIME",
        first: ["2024-03-31 02:30:00.123455", "2024-03-31 02:30:00.123456", "2020-01-01 00:00:00"],
        later: ["2024-03-31 02:30:00.123456", "2024-03-31 02:30:00.123457"],
        typed: "timestamp",
        ends: ["2024-03-31T02:30:00.123456", "2024-03-31T02:30:00.123457"],
    },
    Kind {
        name: "instant",
        declared: "TIMESTAMPTZ",
        first: ["2024-03-31T02:30:00.123455Z", "2024-03-31T02:30:00.123456Z", "2020-01-01T00:00:00Z"],
        later: ["2024-03-31T02:30:00.123456Z", "2024-03-31T02:30:00.123457Z"],
        typed: "timestamp_tz",
        ends: ["2024-03-31T02:30:00.123456Z", "2024-03-31T02:30:00.123457Z"],
    },
    Kind {
        name: "caseless",
        declared: "TEXT COLLATE NOCASE",
        first: ["a", "B", "A"],
        later: ["b", "c"],
        typed: "text",
        ends: ["B", "c"],
    },
];

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn insert(kind: &Kind, from: usize, values: &[&str]) -> String {
    let rows: Vec<String> =
        values.iter().enumerate().map(|(n, value)| format!("({}, {})", from + n, literal(value))).collect();
    format!("INSERT INTO {} (id, c) VALUES {}", kind.name, rows.join(", "))
}

/// Loads every kind twice, and once more with nothing new.
fn each(kinds: &[Kind], namespace: &str, write: &str, sql: impl Fn(&str), project: &Project) {
    let stream = |kind: &Kind| format!("{namespace}{}", kind.name);
    let table = |kind: &Kind| stream(kind).replace('.', "_");
    for kind in kinds {
        sql(&insert(kind, 1, &kind.first));
    }
    for (round, ids) in [(0, "1,2,3"), (1, "1,2,3,4,5"), (1, "1,2,3,4,5")] {
        project.run().exits(0);
        for kind in kinds {
            let sql =
                format!("SELECT group_concat(id, ',') FROM (SELECT id FROM {} ORDER BY id)", table(kind));
            assert_eq!(project.value(&sql), ids, "{} {write}", kind.name);
            let (held, shown) = (state(project, &stream(kind)), project.state(&stream(kind)));
            let end: Value = match kind.typed {
                "int" => serde_json::from_str(kind.ends[round]).unwrap(),
                _ => json!(kind.ends[round]),
            };
            assert_eq!(held["ceiling"], json!({"type": kind.typed, "value": end}), "{}", kind.name);
            assert_eq!((&held["floor"], &shown["cursor"]), (&held["ceiling"], &end), "{}", kind.name);
            if round == 0 {
                assert_eq!(project.summary()["progress_counts"][stream(kind)]["rows_loaded"], 3);
            }
        }
        if ids == "1,2,3" {
            for kind in kinds {
                sql(&insert(kind, 4, &kind.later));
            }
        }
    }
}

#[test]
fn every_ordered_type_of_postgres_is_a_cursor_to_its_last_digit() {
    for write in ["append", "merge"] {
        let source = Database::new(&format!("cursor_types_{write}"));
        source.sql("CREATE DOMAIN counted AS int CHECK (VALUE > 0)");
        let mut streams = Vec::new();
        for kind in &POSTGRES {
            source.sql(&format!("CREATE TABLE {} (id int PRIMARY KEY, c {})", kind.name, kind.declared));
            if kind.name != "whole" {
                source.sql(&format!("CREATE INDEX ON {} (c)", kind.name));
            }
            streams
                .push(incremental(&format!("public.{}", kind.name), json!({"cursor": "c", "write": write})));
        }
        let project = postgres::source(&source, Value::Array(streams));
        each(&POSTGRES, "public.", write, |sql| drop(source.sql(sql)), &project);
    }
}

#[test]
fn every_ordered_type_of_sqlite_is_a_cursor_to_its_last_digit() {
    for write in ["append", "merge"] {
        let streams = SQLITE.iter().map(|k| incremental(k.name, json!({"cursor": "c", "write": write})));
        let streams: Vec<Value> = streams.collect();
        let project = Project::new(one_connection("sqlite", json!({"path": "s.db", "streams": streams})));
        let sql = |sql: &str| drop(sqlite_rows(&project.path("s.db"), sql));
        for kind in &SQLITE {
            sql(&format!("CREATE TABLE {} (id INTEGER PRIMARY KEY, c {})", kind.name, kind.declared));
        }
        each(&SQLITE, "", write, sql, &project);
    }
}

#[test]
fn a_cursor_whose_type_changed_is_refused_with_both_ways_on() {
    let source = Database::new("cursor_retyped");
    source.sql("CREATE TABLE t (id int PRIMARY KEY, c int); INSERT INTO t VALUES (1, 1), (2, 2)");
    for write in ["append", "merge"] {
        source.sql("ALTER TABLE t ALTER c TYPE int USING c::text::int");
        let stream = incremental("public.t", json!({"cursor": "c", "write": write}));
        let project = postgres::source(&source, json!([stream]));
        project.run().exits(0);
        // Wider is the same kind of number.
        source.sql("ALTER TABLE t ALTER c TYPE bigint");
        source.sql("INSERT INTO t SELECT max(id) + 1, 3 FROM t");
        let wider = project.run();
        assert_eq!(wider.code, 0, "{wider:?}");
        source.sql("ALTER TABLE t ALTER c TYPE text");
        let refused = project.run();
        assert!(refused.code == 1 || refused.code == 3, "{refused:?}");
        refused.says(&["state reset", "state accept"]);
        let all = source.sql("SELECT count(*) FROM t");
        project.waybill(&["state", "reset", "c", "--stream", "public.t"]).exits(0);
        project.run().exits(0);
        assert_eq!(
            project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM public_t"),
            format!("{all}|{all}")
        );
        assert_eq!(state(&project, "public.t")["ceiling"]["type"], "text");
    }
}

#[test]
fn a_lookback_reaches_below_every_type_that_has_a_distance() {
    let source = Database::new("cursor_lookback");
    let mut streams = Vec::new();
    for (name, declared, value, lookback) in [
        ("small", "smallint", "5", json!(100_000)),
        ("whole", "int", "5", json!(3_000_000_000_u64)),
        ("big", "bigint", "-9223372036854775000", json!(9_000)),
        ("fixed", "numeric(9,2)", "5.25", json!(10)),
        ("day", "date", "2024-03-01", json!("36h")),
        ("wall", "timestamp", "2024-03-01 00:00:00.000001", json!("1us")),
        ("instant", "timestamptz", "2024-03-01 00:00:00+00", json!("2d")),
        ("seven", "uuid", "018bcfe5-6800-7abc-8def-0123456789ab", json!("1h")),
    ] {
        source.sql(&format!(
            "CREATE TABLE {name} (id int PRIMARY KEY, c {declared}); INSERT INTO {name} VALUES (1, '{value}')"
        ));
        let more = json!({"cursor": "c", "write": "append", "lookback": lookback});
        streams.push(incremental(&format!("public.{name}"), more));
    }
    let names: Vec<String> = streams.iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
    let project = postgres::source(&source, Value::Array(streams));
    project.run().exits(0);
    project.run().exits(0);
    for name in names {
        let held = state(&project, &name);
        assert_ne!(held["floor"], held["ceiling"], "{name}: {held}");
        assert_eq!(project.value(&format!("SELECT count(*) FROM {}", name.replace('.', "_"))), "1", "{name}");
    }
}
