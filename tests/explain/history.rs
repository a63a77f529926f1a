//! The history of a connection's runs: rows, seconds, rate, and what is out of line.

use serde_json::json;

use crate::fixture::script;

#[test]
fn the_history_of_a_connection_shows_each_run_and_marks_what_is_out_of_line() {
    let reads: Vec<_> = [40, 41, 42, 40, 43, 900].map(script::whole).into_iter().collect();
    let project = script::source(json!({"name": "s"}), json!(reads));
    for _ in 0..6 {
        project.run().exits(0);
    }
    project.file("source.json", "{ no script");
    assert_ne!(project.run().code, 0);
    let trend = project.waybill(&["runs", "stats", "c", "--output", "json"]).exits(0).json();
    let runs = trend["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["rows"].clone()).collect::<Vec<_>>(), [40, 41, 42, 40, 43, 900, 0]);
    assert_eq!(runs[5]["outliers"][0]["measure"], "rows", "{trend}");
    assert_eq!(trend["spreads"]["rows"]["median"], 41.5);
    assert_eq!(trend["statuses"], json!({"failed": 1, "succeeded": 6}));
    assert!(runs[6]["outliers"].is_null() && runs[0]["outliers"].is_null(), "{trend}");
    let said = project.waybill(&["runs", "stats", "c"]).exits(0);
    said.says(&["c: 7 runs, 1 failed, 6 succeeded", "▁▁▁▁▁█×", "many rows: 900, usually 42"]);
    let newest = project.waybill(&["runs", "stats", "c", "--limit", "2", "--output", "json"]).exits(0).json();
    assert_eq!(newest["runs"].as_array().unwrap().len(), 2);
    assert_eq!(newest["runs"][1]["run_id"], runs[6]["run_id"]);
    project.waybill(&["runs", "stats", "nobody"]).exits(1).says(&["\"nobody\" has no runs on record"]);
}
