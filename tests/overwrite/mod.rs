//! A table that is replaced: readers see the old one or the new one, a failure leaves the old one,
//! and nothing that belongs to it is lost.

mod readers;
mod refused;
mod shrink;
mod whole;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, postgres};

/// A PostgreSQL table `orders` of `rows` rows, all of one generation `gen`, and connection `c`
/// that replaces `public.orders` in another database by it.
fn generations(name: &str, rows: u32) -> (Database, Database, Project) {
    let (source, target) = (Database::new(&format!("{name}_in")), Database::new(&format!("{name}_out")));
    source.sql(&format!(
        "CREATE TABLE orders (id bigint PRIMARY KEY, gen int, note text); INSERT INTO orders SELECT n, 1, 'x' FROM generate_series(1, {rows}) n"
    ));
    let project = postgres::source(&source, json!([{"name": "public.orders"}]));
    postgres::destination(&project, &target);
    (source, target, project)
}

/// Changes the first stream's entry in the config.
fn stream(project: &Project, change: impl FnOnce(&mut Value)) {
    project.edit(|config| change(&mut config["connections"][0]["schema"]["streams"][0]));
}

/// Why the last run let a table keep its place, as its log says it.
fn kept_for(project: &Project) -> String {
    let log = project.log();
    let said = |line: &&Value| line.to_string().contains("kept_for");
    log.lines.iter().find(said).map(|line| line["message"].to_string()).unwrap_or_default()
}
