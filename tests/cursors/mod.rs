//! Cursors of every type, with NULLs, ties and zones: each row arrives once, and the state keeps the
//! cursor's type and its full precision.

mod nulls;
mod ties;
mod types;
mod zones;

use serde_json::Value;

use crate::fixture::Project;

/// The state that the embedded destination holds of a stream.
#[track_caller]
fn state(project: &Project, stream: &str) -> Value {
    let sql = format!("SELECT value FROM _waybill_state WHERE scope = 'stream:{stream}'");
    serde_json::from_str(&project.value(&sql)).expect("a state")
}
