//! Names that have to be quoted, folded or shortened.

use serde_json::json;

use crate::fixture::{Database, postgres};

/// 63 bytes of UTF-8, the most that a name has.
fn longest(last: char) -> String {
    format!("{}{last}", "é".repeat(31))
}

fn named(database: &Database) -> Vec<(String, String)> {
    let tables = [
        r#"Order "1".x y"#.to_owned(),
        "select".to_owned(),
        "dotted.name".to_owned(),
        "ALL CAPS".to_owned(),
        "per%cent_$1;--".to_owned(),
        longest('x'),
        longest('y'),
    ];
    let columns = ["select", "Größe", "a.b", "a\"b", " ", "Id", "ID", "id", &longest('x'), &longest('y')];
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    database.sql("CREATE SCHEMA \"Sch.ema \"\"q\"\"\"");
    let mut made = Vec::new();
    for (n, table) in tables.iter().enumerate() {
        let place = format!("\"Sch.ema \"\"q\"\"\".{}", quoted(table));
        let list: Vec<String> = columns.iter().map(|c| format!("{} text", quoted(c))).collect();
        database.sql(&format!("CREATE TABLE {place} ({})", list.join(", ")));
        let values: Vec<String> = (0..columns.len()).map(|at| format!("'{n}.{at}'")).collect();
        database.sql(&format!("INSERT INTO {place} VALUES ({})", values.join(", ")));
        made.push((table.clone(), place));
    }
    made
}

#[test]
fn names_of_every_kind_arrive_as_they_are_in_another_postgres() {
    let (source, target) = (Database::new("names_in"), Database::new("names_out"));
    let made = named(&source);
    let project = postgres::source(&source, json!([{"name": "\"Sch.ema \"\"q\"\"\".*"}]));
    postgres::destination(&project, &target);
    for _ in 0..2 {
        project.run().exits(0);
    }
    for (table, place) in made {
        let columns = format!(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute \
             WHERE attrelid = $n${place}$n$::regclass AND attnum > 0 AND attname <> '_waybill_run_id'"
        );
        let columns = (source.sql(&columns), target.sql(&columns));
        assert_eq!(columns.0, columns.1, "{table}");
        let rows = format!("SELECT {} FROM {place}", columns.0);
        assert_eq!(source.sql(&rows), target.sql(&rows), "{table}");
    }
}

#[test]
fn names_that_meet_are_told_apart_and_stay_so() {
    let source = Database::new("names_meet");
    named(&source);
    // One schema and one pattern for all: the tables' names would be longer than they may be.
    let target = Database::new("names_met");
    let stream = json!({"name": "\"Sch.ema \"\"q\"\"\".*", "schema": "one", "table": "{namespace}_{name}"});
    let project = postgres::source(&source, json!([stream]));
    postgres::destination(&project, &target);
    let tables = "SELECT string_agg(relname || ' ' || octet_length(relname), E'\\n' ORDER BY relname) FROM pg_class \
        WHERE relkind = 'r' AND relnamespace = 'one'::regnamespace";
    project.run().exits(0);
    let before = target.sql(tables);
    assert_eq!(before.lines().count(), 7, "{before}");
    assert_eq!(
        before.lines().filter(|line| line.ends_with(" 63") || line.ends_with(" 62")).count(),
        2,
        "{before}"
    );
    project.run().exits(0);
    assert_eq!(target.sql(tables), before);
    // SQLite does not tell Id from ID.
    let lite = postgres::source(&source, json!([{"name": "\"Sch.ema \"\"q\"\"\".select"}]));
    lite.run().exits(0);
    let columns = "SELECT count(DISTINCT lower(name)) FROM pragma_table_info('Sch.ema \"q\"_select')";
    assert_eq!(lite.value(columns), "11");
    let ids =
        lite.rows("SELECT name FROM pragma_table_info('Sch.ema \"q\"_select') WHERE lower(name) LIKE 'id%'");
    let all: Vec<String> = ids.iter().map(|name| format!("\"{name}\"")).collect();
    assert_eq!(
        lite.rows(&format!("SELECT {} FROM \"Sch.ema \"\"q\"\"_select\"", all.join(", "))),
        ["1.5|1.6|1.7"]
    );
}
