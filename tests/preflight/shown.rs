//! What a person reads.

use serde_json::json;

use super::{bare_role, read_as};
use crate::fixture::postgres::source;
use crate::fixture::{Database, incremental};

#[test]
fn a_bare_role_reads_what_it_lacks_and_then_that_it_lacks_nothing() {
    let database = Database::new("preflight_shown");
    bare_role(&database, "preflight_shown");
    database.sql(
        "CREATE SCHEMA sales; CREATE TABLE sales.orders (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON sales.orders (at);
         CREATE TABLE sales.items (id int, name text, secret text)",
    );
    let streams = json!([
        incremental("sales.orders", json!({"cursor": "at"})),
        {"name": "sales.items", "columns": ["id", "name"]}
    ]);
    let project = source(&database, streams);
    read_as(&project, "preflight_shown");
    let port = database.server.port.to_string();
    let normal = |text: &str| -> String {
        let folder = project.dir().canonicalize().unwrap();
        let text = text.replace(&port, "PORT").replace(&*folder.to_string_lossy(), "FOLDER");
        let text = text.replace(&*project.dir().to_string_lossy(), "FOLDER");
        let changing = ["version", "free connections", "time zone", "disk", "open transactions"];
        let line = |line: &str| {
            let name = changing.iter().find(|name| line.contains(&format!(" {name} ")));
            match name {
                Some(name) => format!("    · {name} …"),
                None if line.starts_with("passed in ") || line.starts_with("failed in ") => {
                    let (verdict, rest) = line.split_once(" in ").unwrap();
                    format!("{verdict} in … ·{}", rest.split_once('·').map_or("", |(_, rest)| rest))
                }
                None => line.to_owned(),
            }
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    let before = project.waybill(&["connection", "preflight", "c", "--color", "never"]).exits(4);
    insta::assert_snapshot!("before", normal(&before.out));
    project
        .waybill(&["connection", "preflight", "c", "--grants", "g.sql"])
        .exits(4)
        .says(&["written: g.sql"]);
    database.server.psql_file("postgres", &project.path("g.sql"), &[]);
    let after = project.waybill(&["connection", "preflight", "c", "--color", "never"]).exits(0);
    insta::assert_snapshot!("after", normal(&after.out));
}
