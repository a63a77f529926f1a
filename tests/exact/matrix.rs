//! Every type by every route: the server compares what arrived with what left, bit for bit, and
//! `discover` has said beforehand how each destination would hold it.

use serde_json::Value;

use super::compare::{declared, differing};
use super::routes::{Route, into_sqlite, project};
use super::types::{Case, Held, OWN_TYPES, cases};
use crate::fixture::project::sqlite_rows;
use crate::fixture::{Database, Project, tell};

fn filled(name: &str, cases: &[Case]) -> Database {
    let database = Database::new(name);
    database.sql(OWN_TYPES);
    let columns: Vec<String> = cases.iter().map(|c| format!("\"{}\" {}", c.name, c.kind)).collect();
    database.sql(&format!("CREATE TABLE kinds (id bigint PRIMARY KEY, {})", columns.join(", ")));
    // The last row has nothing but NULLs.
    let rows = cases.iter().map(|c| c.values.len()).max().unwrap_or(0);
    for row in 0..=rows {
        let value = |c: &Case| c.values.get(row).map_or("NULL".to_owned(), |v| v.clone());
        let values: Vec<String> = cases.iter().map(value).collect();
        database.sql(&format!("INSERT INTO kinds VALUES ({row}, {})", values.join(", ")));
    }
    database
}

/// Name and type of each.
fn columns(cases: &[Case]) -> Vec<(&str, &str)> {
    cases.iter().map(|case| (case.name.as_str(), case.kind)).collect()
}

fn verdicts(project: &Project) -> Vec<Value> {
    let found = project.waybill(&["connection", "discover", "c", "--output", "json"]);
    let found: Value = serde_json::from_str(&found.exits(0).out).expect("JSON");
    found["streams"][0]["columns"].as_array().expect("columns").clone()
}

/// Asserts that `discover` says of each case what is expected.
fn told(project: &Project, cases: &[Case], expected: impl Fn(&Case) -> (String, Held)) {
    let columns = verdicts(project);
    let mut wrong = Vec::new();
    for case in cases {
        let column = columns.iter().find(|c| c["name"] == case.name.as_str()).expect("the column is found");
        let (kind, held) = expected(case);
        let said = (column["held"]["native"].as_str(), column["held"]["fidelity"].as_str());
        let word = if held == Held::Exact { "exact" } else { "widened" };
        let noted = !column["held"]["note"].as_str().unwrap_or_default().is_empty();
        if said != (Some(kind.as_str()), Some(word)) || noted == (held == Held::Exact) {
            wrong.push(format!("{}: {kind} {word} expected, but {column}", case.kind));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn in_postgres(case: &Case) -> (String, Held) {
    (case.postgres.0.unwrap_or(case.kind).to_owned(), case.postgres.1)
}

#[test]
fn every_type_arrives_in_another_postgres_bit_for_bit_by_every_kind_of_load() {
    let cases = cases();
    let database = filled("matrix_pg", &cases);
    for route in [Route::Overwrite, Route::Append, Route::Merge] {
        told(&project(&database, route, &["kinds"]), &cases, in_postgres);
        route.go(&database, &["kinds"]);
        let types = declared(&database, route.schema(), "kinds");
        let made: Vec<&str> = cases.iter().map(|case| types[&case.name].as_str()).collect();
        let expected: Vec<String> = cases.iter().map(|case| in_postgres(case).0).collect();
        assert_eq!(made, expected, "{route:?}");
        assert_eq!(differing(&database, route.schema(), "kinds", &columns(&cases)), "", "{route:?}");
    }
    count("PostgreSQL to PostgreSQL", &cases, 3, |case| case.postgres.1);
}

#[test]
fn every_type_comes_back_from_sqlite_bit_for_bit() {
    let cases = cases();
    let database = filled("matrix_lite", &cases);
    told(&into_sqlite(&database, &["kinds"]), &cases, |case| (case.sqlite.0.to_owned(), case.sqlite.1));
    let projects = Route::Back.go(&database, &["kinds"]);
    let stored = projects[0].path("waybill.db");
    for case in cases.iter().filter(|case| !case.grows) {
        let sql = format!("SELECT type FROM pragma_table_info('public_kinds') WHERE name = '{}'", case.name);
        assert_eq!(sqlite_rows(&stored, &sql), [case.sqlite.0], "{}", case.kind);
    }
    assert_eq!(differing(&database, "back", "kinds", &columns(&cases)), "");
    count("PostgreSQL to SQLite, and back", &cases, 2, |case| case.sqlite.1);
}

#[test]
fn minus_zero_is_kept_by_postgres_and_counted_where_sqlite_has_none() {
    let database = Database::new("matrix_zero");
    database.sql(
        "CREATE TABLE z (id bigint PRIMARY KEY, f real, d double precision); \
         INSERT INTO z VALUES (1, '-0', '-0'), (2, '0', '0'), (3, '-0', '1')",
    );
    let columns = [("f", "real"), ("d", "double precision")];
    for route in [Route::Overwrite, Route::Append, Route::Merge] {
        route.go(&database, &["z"]);
        assert_eq!(differing(&database, route.schema(), "z", &columns), "", "{route:?}");
    }
    let projects = Route::Back.go(&database, &["z"]);
    assert_eq!(differing(&database, "back", "z", &columns), "f|2\nd|1");
    let coerced: Vec<Value> =
        projects[0].log().named("value.coerced").iter().map(|line| line["data"].clone()).collect();
    let total: u64 = coerced.iter().filter_map(|data| data["values"].as_u64()).sum();
    assert_eq!(total, 3, "{coerced:?}");
}

fn count(what: &str, cases: &[Case], routes: usize, held: impl Fn(&Case) -> Held) {
    let exact = cases.iter().filter(|case| held(case) == Held::Exact).count();
    let values: usize = cases.iter().map(|case| case.values.len()).sum();
    tell(&format!(
        "{what}: {} types ({values} values) × {routes} routes: {exact} exact, {} widened, 0 refused",
        cases.len(),
        cases.len() - exact
    ));
}
