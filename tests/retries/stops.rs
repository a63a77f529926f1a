//! A stop in good order waits for nothing that it will not keep, and keeps the last safe point.

use serde_json::{Value, json};

use super::exactly;
use crate::fixture::{Project, script};

fn faulty(project: &Project, nth: u64) {
    // The file never comes: the operation takes as long as it is let.
    let never = json!({"at": "write", "nth": nth, "touch": "writing", "wait_for_file": "never"});
    script::faults(project, json!([never]));
}

fn stopped(project: &Project) {
    let running = project.start(&["run", "c"]);
    project.wait_for_file("writing");
    running.signal("TERM");
    // Without a second signal.
    running.wait().exits(143);
    assert_eq!(project.log().named("signal.received").len(), 1);
    script::faults(project, json!([]));
}

#[test]
fn a_batch_that_no_checkpoint_covers_is_not_waited_for() {
    let rows = |from: i64| json!({"do": "rows", "from": from, "count": 10});
    // Of the batches behind the checkpoint the destination never takes the first.
    let read: Value = json!([{"do": "schema"}, rows(1), {"do": "checkpoint", "floor": 10}, rows(11), rows(21), rows(31),
        {"do": "checkpoint", "floor": 40}, {"do": "complete"}]);
    let project = script::source(script::by_cursor("append"), json!([read, script::whole(40)]));
    faulty(&project, 2);
    stopped(&project);
    exactly(&project, 10);
    assert_eq!(project.state("s")["cursor"], 10);
    project.run().exits(0);
    exactly(&project, 40);
}

#[test]
fn a_full_read_that_is_stopped_leaves_the_table_and_does_not_wait() {
    let project = script::source(json!({"name": "s"}), json!([script::whole(20)]));
    project.run().exits(0);
    faulty(&project, 1);
    stopped(&project);
    exactly(&project, 20);
    project.run().exits(0);
    exactly(&project, 20);
}

#[test]
fn a_checkpoint_that_waits_behind_the_batch_under_way_is_kept() {
    let rows = json!({"do": "rows", "from": 1, "count": 10});
    let read = json!([{"do": "schema"}, rows, {"do": "checkpoint", "floor": 10}, {"do": "touch", "path": "sent"},
        {"do": "wait_until_stopped"}, {"do": "complete"}]);
    let project = script::source(script::by_cursor("append"), json!([read, script::whole(40)]));
    // The checkpoint is sent while the batch is still being written.
    script::faults(&project, json!([{"at": "write", "nth": 1, "wait_for_file": "go"}]));
    let running = project.start(&["run", "c"]);
    project.wait_for_file("sent");
    running.signal("INT");
    project.wait_for_event("signal.received", "SIGINT");
    project.file("go", "");
    running.wait().exits(130);
    exactly(&project, 10);
    project.run().exits(0);
    exactly(&project, 40);
}
