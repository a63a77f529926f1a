//! The record of a run as people read it: the page for a browser, the events, the run shown again.

mod contrast;
mod events;
mod file;
mod filter;
mod policy;
mod render;
mod replay;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::fixture::{Project, script};

/// A name that would be markup, if a page were careless.
const RUDE: &str = "<script>window.hacked=1</script>";
const RUDER: &str = "a\"b'c</script><img src=x onerror=window.hacked=2>]]>&amp;";
/// What a source may say of a value.
const SAID: &str = "line 17: \"</script><b>x</b>\" ]]> \u{202e}abc\u{202c} \u{7}\u{1b}[2J <!-- is no number";

/// The reads of a stream that ends well.
fn well() -> Value {
    json!([script::whole(30)])
}

/// A project whose run is partial: one stream needs three attempts, one fails, one has two slices,
/// and some have rude names.
fn partial() -> Project {
    let fails = |message: &str| json!({"do": "fail", "kind": "network", "message": message});
    let torn = |message: &str| json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 20, "batch": 10}, fails(message)]);
    let bad = json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 3}, {"do": "checkpoint", "floor": 3},
                     {"do": "fail", "kind": "data", "message": SAID}]);
    let slice = |from: i64| json!([{"do": "schema"}, {"do": "rows", "from": from, "count": 20}, {"do": "checkpoint"}, {"do": "complete"}]);
    let mut sliced = script::stream("public.items", json!([]));
    sliced["slices"] = json!([{"id": "items 1", "retry_group": "g", "reads": [slice(1)]},
                              {"id": "items 2", "retry_group": "g", "reads": [slice(21)]}]);
    let orders = json!([torn("connection reset"), torn("connection reset again"), script::whole(60)]);
    script::streams(
        json!([{"name": "public.orders", "mode": "incremental", "cursor": "id", "write": "merge"},
               {"name": "public.items"}, {"name": RUDE}, {"name": RUDER},
               {"name": "public.broken", "mode": "incremental", "cursor": "id", "write": "append"}]),
        json!([
            script::stream("public.orders", orders),
            sliced,
            script::stream(RUDE, well()),
            script::stream(RUDER, well()),
            script::stream("public.broken", json!([bad]))
        ]),
    )
}

/// The page of a partial run.
fn page() -> (Project, PathBuf) {
    let project = partial();
    project.run().exits(5);
    project.waybill(&["runs", "report", "last", "-o", "page.html"]).exits(0);
    let path = project.path("page.html");
    (project, path)
}
