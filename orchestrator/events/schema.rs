//! The JSON Schema of a line, generated from the types.

use schemars::{JsonSchema, Schema, schema_for};
use waybill_protocol::ErrorRecord;
use waybill_protocol::event::{Body, Level, Phase};

/// The schema of one line of an event log, as this program writes it.
pub fn event() -> Schema {
    schema_for!(EventLine)
}

/// One line of an event log.
///
/// Names and members are closed for the writer. A reader should pass over names and members that
/// it does not know: they come from a newer program. Where `truncated` is true, texts end with an
/// ellipsis, lists are shorter, and `data` may be empty.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "it is only a schema; lines are written as `Line`, and a test compares them")]
struct EventLine {
    /// Version of the form.
    #[schemars(extend("const" = 1))]
    v: u32,
    /// Number of the line, from 1, without gaps.
    #[schemars(range(min = 1))]
    seq: u64,
    /// When it was emitted: UTC, microseconds, `Z`.
    #[schemars(extend("format" = "date-time"))]
    ts: String,
    /// Milliseconds since the start of the run, by the steady clock; never falls.
    t_ms: u64,
    /// How much it matters.
    level: Level,
    /// The run.
    run_id: String,
    /// The connection's name.
    connection: String,
    /// The stream it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// The step of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    /// Number of the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// The span it opens, closes or belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<String>,
    /// The span around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    /// One sentence for people.
    message: String,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorRecord>,
    /// Whether a text or a list was cut to fit the line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(flatten)]
    body: Body,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::line::{Line, Place};
    use std::collections::BTreeSet;
    use waybill_protocol::event::Event;

    #[test]
    fn the_schema_has_the_members_of_a_line_and_the_names_of_all_events() {
        let schema = event().to_value();
        let event = Event {
            level: Level::Info,
            body: Body::PhaseStarted {},
            message: String::new(),
            stream: Some(String::new()),
            phase: Some(Phase::Read),
            attempt: Some(1),
            span: Some(String::new()),
            parent: Some(String::new()),
            error: Some(waybill_protocol::Error::cancelled().record()),
        };
        let place = Place { seq: 1, ts: chrono::Utc::now(), t_ms: 0, run_id: "", connection: "" };
        let line = Line { truncated: true, ..Line::of(event, place) };
        let keys = |value: &serde_json::Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let mut written = keys(&serde_json::to_value(line).unwrap());
        written.remove("event");
        written.remove("data");
        assert_eq!(keys(&schema["properties"]), written);

        let variants = schema["oneOf"].as_array().unwrap();
        let names: BTreeSet<&str> = variants
            .iter()
            .map(|variant| variant["properties"]["event"]["const"].as_str().unwrap())
            .collect();
        assert_eq!(names.len(), variants.len());
        for name in ["run.started", "run.finished", "checkpoint.committed", "runtime.event"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
