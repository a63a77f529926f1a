//! `state diff` and `state explain`: what they tell is what the next run does.

use std::fs;

use serde_json::json;

use super::{ask, shop, sqlite, stream};
use crate::fixture::record::files_below;

#[test]
fn a_diff_names_each_standing_and_the_rule_of_the_next_run() {
    let project = shop();
    let (before, code) = ask(&project, &["diff", "c"]);
    assert_eq!((code, &stream(&before, "orders")["next_run"]["rule"]), (0, &json!("3")), "{before:#}");
    project.run().exits(0);
    let (equal, code) = ask(&project, &["diff", "c"]);
    assert_eq!((code, &equal["equal"]), (0, &json!(true)), "{equal:#}");
    // Behind: a config from before the second run. Edited: by hand.
    let old = fs::read(project.path("config.json")).unwrap();
    sqlite(&project, "shop.db", "INSERT INTO items VALUES (101, 'late')");
    project.run().exits(0);
    project.file("config.json", old);
    project
        .edit(|config| config["connections"][0]["state"]["orders"]["cursor"] = json!("2024-01-05T00:00:00"));
    let (diff, code) = ask(&project, &["diff", "c"]);
    assert_eq!(code, 1);
    let told = |name: &str| {
        let stream = stream(&diff, name);
        (stream["standing"].as_str().unwrap(), stream["next_run"]["rule"].as_str().unwrap())
    };
    assert_eq!(told("items"), ("config behind", "5"));
    assert_eq!(told("orders"), ("edited by hand", "6"));
    assert_eq!(told("lists"), ("read whole by every run", "none"));
    // And so it does.
    let said = diff["streams"].clone();
    project.run().exits(0);
    for line in project.log().named("state.reconciled") {
        let stream = said.as_array().unwrap().iter().find(|s| s["stream"] == line["stream"]).unwrap();
        assert_eq!(stream["next_run"]["rule"], line["data"]["rule"], "{line}");
        assert_eq!(stream["next_run"]["words"], line["message"]);
    }
    project.waybill(&["state", "reset", "c", "--stream", "items"]).exits(0);
    let (waiting, _) = ask(&project, &["diff", "c", "--stream", "items"]);
    assert_eq!(stream(&waiting, "items")["standing"], "instruction waiting");
    assert_eq!(stream(&waiting, "items")["next_run"]["decision"], "rebuild");
}

#[test]
fn a_refusal_to_come_is_told_with_both_ways_on() {
    let project = shop();
    project.run().exits(0);
    fs::remove_file(project.path("waybill.db")).unwrap();
    let told = project.waybill(&["state", "diff", "c", "--stream", "orders"]).exits(1);
    told.says(&["missing at the destination", "refuses:", "waybill state reset c --stream orders"]);
    let lost = project.waybill(&["state", "verify", "c", "--stream", "orders"]).exits(1);
    lost.says(&["the destination has no state", "waybill state diff c --stream orders"]);
    project.edit(|config| config["connections"][0]["schema"]["streams"][0]["write"] = json!("append"));
    let (diff, _) = ask(&project, &["diff", "c", "--stream", "orders"]);
    assert_eq!(stream(&diff, "orders")["next_run"]["decision"], "refuse");
}

#[test]
fn what_cannot_be_reached_hides_nothing_of_the_rest() {
    let project = shop();
    project.run().exits(0);
    fs::rename(project.path("shop.db"), project.path("elsewhere.db")).unwrap();
    let finished = project.waybill(&["state", "diff", "c", "--output", "json"]);
    assert_ne!(finished.code, 0);
    let finished = finished.says(&["what the next run does cannot be told"]);
    let diff = finished.json();
    assert_eq!(stream(&diff, "items")["standing"], "equal");
    assert!(stream(&diff, "items")["next_run"].is_null() && diff["error"].is_object(), "{diff:#}");
}

#[test]
fn a_state_is_explained_by_the_receipts_of_the_run_that_wrote_it() {
    let project = shop();
    project.run().exits(0);
    let (first, code) = ask(&project, &["explain", "c"]);
    assert_eq!(code, 0);
    let orders = stream(&first, "orders");
    assert_eq!(orders["how"], "incremental by at (timestamp), merge");
    assert_eq!(orders["origin"]["run"]["run_id"], project.log().run_id());
    assert_eq!(orders["origin"]["trace"]["rule"], "3");
    let receipts = orders["origin"]["trace"]["receipts"].as_array().unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt["rows"].as_u64().unwrap()).sum::<u64>(), 1000);
    // The receipts' hash is the one that a comparison computes from the rows themselves.
    let (verified, _) = ask(&project, &["verify", "c", "--stream", "orders"]);
    assert_eq!(stream(&verified, "orders")["destination"]["hash"], orders["origin"]["hash"]);
    assert_eq!(orders["next_run"]["rule"], "5");
    project.waybill(&["state", "explain", "c"]).exits(0).says(&[
        "covered",
        "receipts",
        "last rule",
        "next run",
    ]);
    // Pruned: the destination still knows.
    for log in files_below(&project.path("run_logs")) {
        fs::remove_file(log).unwrap();
    }
    project.waybill(&["state", "explain", "c"]).exits(0).says(&["its log is gone", "1 000 rows"]);
    for summary in project.summaries() {
        fs::remove_file(summary).unwrap();
    }
    project.waybill(&["state", "explain", "c"]).exits(0).says(&["that run left no record here"]);
}
