//! How often and after how long: one budget for a run, waits that double, and a stop that ends them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::exactly;
use crate::fixture::{Project, script};

fn failing() -> Value {
    json!([{"do": "schema"}, {"do": "rows", "from": 1, "count": 5}, {"do": "fail", "kind": "network"}])
}

fn policy(project: &Project, retries: u64, backoff_ms: u64) {
    project.edit(|config| {
        config["connections"][0]["retries"] = json!(retries);
        config["connections"][0]["backoff_ms"] = json!(backoff_ms);
    });
}

/// The waits of the newest run, milliseconds.
fn waits(project: &Project) -> Vec<u64> {
    let log = project.log();
    log.named("retry.scheduled").iter().map(|line| line["data"]["delay_ms"].as_u64().unwrap()).collect()
}

#[test]
fn what_connecting_used_the_slices_no_longer_have() {
    for connecting in 0..=3 {
        let project = script::source(json!({"name": "s"}), json!([failing()]));
        policy(&project, 3, 1);
        let faults: Vec<Value> = (1..=connecting)
            .map(|nth| json!({"at": "open", "nth": nth, "fail": {"kind": "network"}}))
            .collect();
        script::faults(&project, json!(faults));
        project.run().exits(75);
        let log = project.log();
        assert_eq!(log.named("retry.scheduled").len(), 3, "{connecting}: three in all");
        assert_eq!(log.named("stream.attempt_failed").len(), 4 - connecting, "{connecting}");
    }
}

#[test]
fn what_reading_used_publishing_no_longer_has() {
    for reading in 0..=3 {
        let mut reads = vec![failing(); reading];
        reads.push(script::whole(20));
        let project = script::source(json!({"name": "s"}), json!(reads));
        policy(&project, 3, 1);
        script::faults(&project, json!([{"at": "publish", "fail": {"kind": "network"}}]));
        project.run().exits(75);
        assert_eq!(project.log().named("retry.scheduled").len(), 3, "{reading}: three in all");
        assert_eq!(project.summary()["progress_counts"]["s"]["retries"], 3, "{reading}");
    }
}

#[test]
fn no_retries_means_one_attempt_of_everything() {
    for at in ["open", "begin", "commit", "publish"] {
        let project = script::source(json!({"name": "s"}), json!([script::whole(20)]));
        policy(&project, 0, 1);
        script::faults(&project, json!([{"at": at, "nth": 1, "fail": {"kind": "network"}}]));
        project.run().exits(75);
        assert!(waits(&project).is_empty(), "{at}");
        project.run().exits(0);
        exactly(&project, 20);
    }
}

#[test]
fn waits_double_and_are_waited_for() {
    let project = script::source(json!({"name": "s"}), json!([failing()]));
    policy(&project, 3, 100);
    let started = Instant::now();
    project.run().exits(75);
    let waits = waits(&project);
    assert_eq!(waits.len(), 3);
    for (wait, base) in waits.iter().zip([100, 200, 400]) {
        assert!((base * 9 / 10..=base * 11 / 10).contains(wait), "{waits:?}");
    }
    assert!(started.elapsed() >= Duration::from_millis(waits.iter().sum()));
    let log = project.log();
    let at =
        |name: &str| log.named(name).iter().map(|line| line["t_ms"].as_u64().unwrap()).collect::<Vec<_>>();
    let (failed, scheduled) = (at("stream.attempt_failed"), at("retry.scheduled"));
    for next in 0..3 {
        assert!(failed[next + 1] >= scheduled[next] + waits[next], "attempt {} came too early", next + 2);
    }
}

#[test]
fn a_peer_that_asks_for_a_pause_gets_it() {
    let slow = json!({"do": "fail", "kind": "rate_limit", "message": "slow down", "wait_ms": 300});
    let read = json!([{"do": "schema"}, slow]);
    let project = script::source(json!({"name": "s"}), json!([read, script::whole(20)]));
    let started = Instant::now();
    project.run().exits(0);
    assert_eq!(waits(&project), [300]);
    assert!(started.elapsed() >= Duration::from_millis(300));
    exactly(&project, 20);
}

#[test]
fn a_stop_ends_a_wait_at_once() {
    let full = json!({"name": "s"});
    let at = |what: &str| json!([{"at": what, "fail": {"kind": "network", "message": "gone for now"}}]);
    for (reads, faults) in [
        (json!([failing()]), json!([])),
        (json!([script::whole(20)]), at("open")),
        (json!([script::whole(20)]), at("begin")),
        (json!([script::whole(20)]), at("publish")),
    ] {
        let project = script::source(full.clone(), reads);
        script::faults(&project, faults);
        policy(&project, 3, 60_000);
        let running = project.start(&["run", "c"]);
        project.wait_for_event("retry.scheduled", "");
        let asked = Instant::now();
        running.signal("TERM");
        running.wait().exits(143);
        assert!(asked.elapsed() < Duration::from_secs(20), "it waited on");
        let summary = project.summary();
        assert_eq!(summary["status"], "cancelled");
        assert_eq!(summary["error"]["kind"], "network", "what it waited for is in the record");
    }
}
