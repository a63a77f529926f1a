//! Destinations: added, changed, tested, removed, and the default one chosen.

mod changed;
mod chosen;

use serde_json::{Value, json};

use crate::fixture::{Database, Project, one_connection};
use crate::server::USER;

/// Connection `c` from a file, and the destination `local`, written down.
fn project() -> Project {
    let project = Project::new(one_connection(
        "files",
        json!({"streams": [{"name": "a", "path": "a.csv", "mode": "incremental", "write": "append"}]}),
    ));
    project.file("a.csv", "x\n1\n");
    project
        .edit(|config| config["destinations"] = json!({"local": {"type": "sqlite", "path": "waybill.db"}}));
    project
}

/// The flags that describe a database, without its password.
fn flags(database: &Database) -> Vec<String> {
    let port = database.server.port;
    [
        "host=127.0.0.1",
        &format!("port={port}"),
        &format!("database={}", database.name),
        &format!("user={USER}"),
        "tls=disable",
    ]
    .iter()
    .flat_map(|pair| ["--set".to_owned(), (*pair).to_owned()])
    .collect()
}

/// The command of these words, followed by flags.
fn words<'w>(words: &[&'w str], flags: &'w [String]) -> Vec<&'w str> {
    words.iter().copied().chain(flags.iter().map(String::as_str)).collect()
}

fn listed(project: &Project) -> Value {
    project.waybill(&["destination", "list", "--output", "json"]).exits(0).json()
}
