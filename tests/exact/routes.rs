//! The ways that a table of PostgreSQL takes: into PostgreSQL by every kind of load, into SQLite,
//! and back from there. All ends lie in one database, so that the server itself compares them.

use serde_json::{Value, json};

use crate::fixture::{Database, Project, incremental, postgres};

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Staged and swapped in: the shortest way that there is.
    Overwrite,
    /// Added under a window of identities, which needs every value decoded.
    Append,
    /// Merged by key.
    Merge,
    /// Into SQLite and from there into PostgreSQL again.
    Back,
}

impl Route {
    /// Every one.
    pub const ALL: [Route; 4] = [Route::Overwrite, Route::Append, Route::Merge, Route::Back];

    /// The schema at its end.
    pub fn schema(self) -> &'static str {
        match self {
            Route::Overwrite => "overwritten",
            Route::Append => "appended",
            Route::Merge => "merged",
            Route::Back => "back",
        }
    }

    /// Takes `public.<table>` all the way, for each of the tables; the projects that did it.
    #[track_caller]
    pub fn go(self, database: &Database, tables: &[&str]) -> Vec<Project> {
        if self != Route::Back {
            let project = project(database, self, tables);
            project.run().exits(0);
            return vec![project];
        }
        let there = into_sqlite(database, tables);
        there.run().exits(0);
        let back = out_of_sqlite(&there, database, tables);
        back.run().exits(0);
        vec![there, back]
    }
}

/// A project that takes `public.<table>` into the schema of a route.
pub fn project(database: &Database, route: Route, tables: &[&str]) -> Project {
    let stream = |table: &&str| {
        let name = format!("public.{table}");
        let schema = route.schema();
        match route {
            Route::Append => incremental(&name, json!({"schema": schema, "cursor": "id", "write": "append"})),
            Route::Merge => incremental(&name, json!({"schema": schema, "cursor": "id", "write": "merge"})),
            _ => json!({"name": name, "schema": schema}),
        }
    };
    let project = postgres::source(database, tables.iter().map(stream).collect());
    postgres::destination(&project, database);
    project
}

/// A project that takes `public.<table>` into SQLite.
pub fn into_sqlite(database: &Database, tables: &[&str]) -> Project {
    let stream = |table: &&str| json!({"name": format!("public.{table}")});
    postgres::source(database, tables.iter().map(stream).collect())
}

/// A project that takes tables out of the SQLite file of another one.
fn out_of_sqlite(from: &Project, database: &Database, tables: &[&str]) -> Project {
    let stream = |table: &&str| json!({"name": format!("public_{table}"), "schema": "back", "table": table});
    let streams: Value = tables.iter().map(stream).collect();
    let settings = json!({"path": from.path("waybill.db"), "streams": streams});
    let project = Project::new(crate::fixture::one_connection("sqlite", settings));
    postgres::destination(&project, database);
    project
}
