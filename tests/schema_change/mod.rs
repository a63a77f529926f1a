//! Columns, tables and keys that change at the source, between runs and while one is under way.
//!
//! Every text holds the name of its column, so that a value in a neighbour's column is seen.

mod between;
mod during;
mod lite;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, incremental};

/// The ways in which a stream is loaded.
const MODES: [&str; 3] = ["full", "append", "merge"];

/// The columns of every source table, and the values of row `n`.
const COLUMNS: &str = "id bigint PRIMARY KEY, a text, b text, v varchar(10), n integer, d numeric(8,2)";
const VALUES: &str = "n, 'a' || n, 'b' || n, 'v' || n, n * 10, n + 0.5";

/// One change.
struct Change {
    name: &'static str,
    /// Applied to table `T`.
    sql: &'static str,
    /// Puts row 11 in.
    insert: &'static str,
}

const CHANGES: [Change; 14] = [
    Change {
        name: "added",
        sql: "ALTER TABLE T ADD x text",
        insert: "INSERT INTO T (id, a, b, v, n, d, x) VALUES (11, 'a11', 'b11', 'v11', 110, 11.5, 'x11')",
    },
    Change {
        name: "dropped",
        sql: "ALTER TABLE T DROP b",
        insert: "INSERT INTO T (id, a, v, n, d) VALUES (11, 'a11', 'v11', 110, 11.5)",
    },
    Change {
        name: "renamed",
        sql: "ALTER TABLE T RENAME b TO bb",
        insert: "INSERT INTO T (id, a, bb, v, n, d) VALUES (11, 'a11', 'bb11', 'v11', 110, 11.5)",
    },
    Change {
        name: "swapped",
        sql: "ALTER TABLE T RENAME a TO c; ALTER TABLE T RENAME b TO a; ALTER TABLE T RENAME c TO b; UPDATE T SET a = 'a' || id, b = 'b' || id",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 110, 11.5)",
    },
    Change {
        name: "reordered",
        sql: "ALTER TABLE T DROP a, DROP v; ALTER TABLE T ADD v varchar(10), ADD a text; UPDATE T SET a = 'a' || id, v = 'v' || id",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 110, 11.5)",
    },
    Change {
        name: "widened",
        sql: "ALTER TABLE T ALTER n TYPE bigint",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 1099511627776, 11.5)",
    },
    Change {
        name: "scaled",
        sql: "ALTER TABLE T ALTER d TYPE numeric(14,6)",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 110, 11.123456)",
    },
    Change {
        name: "longer",
        sql: "ALTER TABLE T ALTER v TYPE text",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11 is longer than ten', 110, 11.5)",
    },
    Change {
        name: "narrowed",
        sql: "ALTER TABLE T ALTER n TYPE smallint, ALTER d TYPE numeric(5,1)",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 110, 11.5)",
    },
    Change {
        name: "to_text",
        sql: "ALTER TABLE T ALTER n TYPE text USING 'n' || n",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 'n110', 11.5)",
    },
    Change {
        name: "to_date",
        sql: "ALTER TABLE T ALTER n TYPE date USING date '2024-01-01' + n",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', '2024-12-31', 11.5)",
    },
    Change {
        name: "from_text",
        sql: "ALTER TABLE T ALTER v TYPE integer USING id",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 11, 110, 11.5)",
    },
    Change {
        name: "recreated",
        sql: "DROP TABLE T; CREATE TABLE T (d numeric(8,2), v varchar(10), a text, id bigint PRIMARY KEY, n integer, b text); INSERT INTO T (id, a, b, v, n, d) SELECT n, 'a' || n, 'b' || n, 'v' || n, n * 10, n + 0.5 FROM generate_series(1, 10) n",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 110, 11.5)",
    },
    Change {
        name: "rekeyed",
        sql: "ALTER TABLE T DROP CONSTRAINT T_pkey, ADD PRIMARY KEY (id, a)",
        insert: "INSERT INTO T (id, a, b, v, n, d) VALUES (11, 'a11', 'b11', 'v11', 110, 11.5)",
    },
];

/// A table for each change and mode, ten rows in each; the streams that select them.
fn tables(source: &Database, policy: &str, modes: &[&str]) -> Vec<Value> {
    let mut streams = Vec::new();
    let mut sql = String::new();
    for change in &CHANGES {
        for mode in modes {
            let table = format!("{}_{mode}", change.name);
            sql.push_str(&format!(
                "CREATE TABLE {table} ({COLUMNS}); INSERT INTO {table} SELECT {VALUES} FROM generate_series(1, 10) n;"
            ));
            let name = format!("public.{table}");
            streams.push(match *mode {
                "full" => json!({"name": name, "schema_policy": policy}),
                write => incremental(&name, json!({"cursor": "id", "write": write, "schema_policy": policy})),
            });
        }
    }
    source.sql(&sql);
    streams
}

/// Everything that changes in the tables, and the new rows.
fn changes(modes: &[&str]) -> String {
    let mut sql = String::new();
    for change in &CHANGES {
        for mode in modes {
            let table = format!("{}_{mode}", change.name);
            for part in [change.sql, change.insert] {
                sql.push_str(&format!(
                    "{};",
                    part.replace("T_pkey", &format!("{table}_pkey"))
                        .replace(" T ", &format!(" {table} "))
                        .replace(" T;", &format!(" {table};"))
                ));
            }
        }
    }
    sql
}

/// Table → id → column → value, as text that two systems agree on.
type Held = BTreeMap<String, BTreeMap<i64, BTreeMap<String, String>>>;

fn names(modes: &[&str]) -> Vec<String> {
    CHANGES.iter().flat_map(|change| modes.iter().map(|mode| format!("{}_{mode}", change.name))).collect()
}

/// What the tables hold in PostgreSQL, by one query.
fn in_postgres(database: &Database, modes: &[&str]) -> Held {
    let one =
        |table: String| format!("SELECT '{table}' AS t, to_json(whole)::text AS x FROM {table} AS whole");
    let sql = names(modes).into_iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    let mut held = Held::new();
    for line in database.sql(&sql).lines() {
        let (table, row) = line.split_once('|').unwrap();
        take(&mut held, table, serde_json::from_str(row).unwrap());
    }
    held
}

/// What they hold in the embedded destination.
fn in_sqlite(project: &Project, modes: &[&str]) -> Held {
    let mut held = Held::new();
    for table in names(modes) {
        let columns = project.rows(&format!("SELECT name FROM pragma_table_info('public_{table}')"));
        let pairs: Vec<String> = columns.iter().map(|c| format!("'{c}', CAST({c} AS TEXT)")).collect();
        for row in project.rows(&format!("SELECT json_object({}) FROM public_{table}", pairs.join(", "))) {
            take(&mut held, &table, serde_json::from_str(&row).unwrap());
        }
    }
    held
}

fn take(held: &mut Held, table: &str, row: Value) {
    let mut values = BTreeMap::new();
    for (column, value) in row.as_object().unwrap().iter().filter(|(name, _)| !name.starts_with("_waybill")) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        values.insert(column.clone(), plain(&text));
    }
    let id = values["id"].parse().unwrap();
    let before = held.entry(table.to_owned()).or_default().insert(id, values);
    assert!(before.is_none(), "{table}: row {id} twice");
}

/// A number without the zeros that one system shows and another does not.
fn plain(value: &str) -> String {
    match value.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit()) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        _ => value.to_owned(),
    }
}
