//! One record of the event log, as it stands on disk.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use waybill_protocol::event::{Body, Event, Level, Phase};
use waybill_protocol::{ErrorRecord, Kind};

/// Version of the line's form, its member `v`.
pub const LINE_VERSION: u32 = 1;

/// One line of an event log. Members are written in this order.
///
/// Reading is open: an unknown event name, unknown members and unknown words of an enum are kept
/// or passed over, never an error, so that an older program shows the log of a newer one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Version of the form.
    pub v: u32,
    /// Number of the line, from 1, without gaps.
    pub seq: u64,
    /// When it was emitted, by the wall clock.
    #[serde(serialize_with = "micros")]
    pub ts: DateTime<Utc>,
    /// Milliseconds since the start of the run, by the steady clock; never falls.
    pub t_ms: u64,
    /// How much it matters.
    pub level: Level,
    /// The event's name.
    pub event: String,
    /// The run.
    pub run_id: String,
    /// The connection's name.
    pub connection: String,
    /// The stream it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The step of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Number of the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The span it opens, closes or belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// The span around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// One sentence for people.
    pub message: String,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// The event's own members.
    pub data: Value,
    /// Whether a text or a list was cut to fit the line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// `event` and `data` as a type; `None` for what this program does not know.
    #[serde(skip)]
    pub body: Option<Body>,
}

/// A time as the log writes it: UTC, microseconds, `Z`.
pub fn stamp(ts: &DateTime<Utc>) -> String {
    ts.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn micros<S: Serializer>(ts: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&stamp(ts))
}

/// What the writer adds to an event.
pub(super) struct Place<'a> {
    pub(super) seq: u64,
    pub(super) ts: DateTime<Utc>,
    pub(super) t_ms: u64,
    pub(super) run_id: &'a str,
    pub(super) connection: &'a str,
}

impl Line {
    /// The line of an event, neither redacted nor cut, its `body` still to be read back.
    pub(super) fn of(event: Event, place: Place<'_>) -> Line {
        let (name, data) = name_and_data(&event.body);
        Line {
            v: LINE_VERSION,
            seq: place.seq,
            ts: place.ts,
            t_ms: place.t_ms,
            level: event.level,
            event: name,
            run_id: place.run_id.to_owned(),
            connection: place.connection.to_owned(),
            stream: event.stream,
            phase: event.phase,
            attempt: event.attempt,
            span: event.span,
            parent: event.parent,
            message: event.message,
            error: event.error,
            data,
            truncated: false,
            body: None,
        }
    }

    /// Reads one line, without its line feed. The error says in a few words why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Line, String> {
        let mut members: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| format!("no JSON object: {error}"))?;
        let event = text(&mut members, "event").ok_or("it has no event")?;
        let ts = text(&mut members, "ts").ok_or("it has no ts")?;
        let ts = DateTime::parse_from_rfc3339(&ts).map_err(|error| format!("its ts: {error}"))?;
        let data = members.shift_remove("data").unwrap_or_else(|| Value::Object(Map::new()));
        // Straight from the text where it is laid out as the writer does: most of reading a log is this.
        let body = serde_json::from_slice(bytes).ok().or_else(|| body_of(&event, &data));
        Ok(Line {
            v: number(&members, "v").map_or(0, |v| u32::try_from(v).unwrap_or(u32::MAX)),
            seq: number(&members, "seq").ok_or("it has no seq")?,
            ts: ts.with_timezone(&Utc),
            t_ms: number(&members, "t_ms").unwrap_or(0),
            level: word(&members, "level").unwrap_or(Level::Info),
            run_id: text(&mut members, "run_id").unwrap_or_default(),
            connection: text(&mut members, "connection").unwrap_or_default(),
            stream: text(&mut members, "stream"),
            phase: word(&members, "phase"),
            attempt: number(&members, "attempt").and_then(|n| u32::try_from(n).ok()),
            span: text(&mut members, "span"),
            parent: text(&mut members, "parent"),
            message: text(&mut members, "message").unwrap_or_default(),
            error: members.shift_remove("error").and_then(error_of),
            truncated: members.get("truncated").and_then(Value::as_bool).unwrap_or(false),
            event,
            data,
            body,
        })
    }
}

fn name_and_data(body: &Body) -> (String, Value) {
    match serde_json::to_value(body) {
        Ok(Value::Object(mut members)) => {
            let name = text(&mut members, "event").unwrap_or_default();
            (name, members.shift_remove("data").unwrap_or(Value::Null))
        }
        // Only a value with keys that are no text could come here, and no body has one.
        _ => ("runtime.event".to_owned(), Value::Null),
    }
}

fn body_of(event: &str, data: &Value) -> Option<Body> {
    let mut members = Map::new();
    members.insert("event".to_owned(), Value::from(event));
    members.insert("data".to_owned(), data.clone());
    serde_json::from_value(Value::Object(members)).ok()
}

fn text(members: &mut Map<String, Value>, key: &str) -> Option<String> {
    match members.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn number(members: &Map<String, Value>, key: &str) -> Option<u64> {
    members.get(key).and_then(Value::as_u64)
}

fn word<T: serde::de::DeserializeOwned>(members: &Map<String, Value>, key: &str) -> Option<T> {
    members.get(key).and_then(|value| serde_json::from_value(value.clone()).ok())
}

/// An error record; one of a kind that this program does not know keeps its words.
fn error_of(value: Value) -> Option<ErrorRecord> {
    if let Ok(record) = serde_json::from_value(value.clone()) {
        return Some(record);
    }
    let Value::Object(mut members) = value else { return None };
    let kind = text(&mut members, "kind");
    let message = text(&mut members, "message").unwrap_or_default();
    Some(ErrorRecord {
        kind: Kind::Internal,
        origin: None,
        code: text(&mut members, "code"),
        retryable: members.get("retryable").and_then(Value::as_bool).unwrap_or(false),
        message: kind.map_or_else(|| message.clone(), |kind| format!("{message} (kind {kind})")),
        hint: text(&mut members, "hint"),
        stream: text(&mut members, "stream"),
        cause: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::event::Counts;

    fn sample() -> Line {
        let event = Event {
            level: Level::Error,
            body: Body::StreamAttemptFailed {
                slice: "public.orders".to_owned(),
                counts: Counts { rows_read: 41_200, ..Counts::default() },
            },
            message: "connection reset after 41 200 rows".to_owned(),
            stream: Some("public.orders".to_owned()),
            phase: Some(Phase::Read),
            attempt: Some(2),
            span: Some("a".to_owned()),
            parent: Some("b".to_owned()),
            error: Some(waybill_protocol::Error::new(Kind::Network, "connection reset").record()),
        };
        let ts = DateTime::parse_from_rfc3339("2026-01-02T03:04:05.123456Z").unwrap().with_timezone(&Utc);
        Line::of(event, Place { seq: 184, ts, t_ms: 5123, run_id: "r", connection: "crm" })
    }

    #[test]
    fn members_stand_in_the_order_of_the_design_and_read_back_the_same() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert!(
            text.starts_with(
                r#"{"v":1,"seq":184,"ts":"2026-01-02T03:04:05.123456Z","t_ms":5123,"level":"error","event":"stream.attempt_failed","run_id":"r","connection":"crm","stream":"public.orders","phase":"read","attempt":2,"span":"a","parent":"b","message":"connection reset after 41 200 rows","error":{"kind":"network""#
            ),
            "{text}"
        );
        let read = Line::parse(text.as_bytes()).unwrap();
        assert_eq!(Line { body: None, ..read.clone() }, sample());
        assert!(
            matches!(read.body, Some(Body::StreamAttemptFailed { counts, .. }) if counts.rows_read == 41_200)
        );
    }

    #[test]
    fn what_a_newer_program_writes_is_read() {
        let text = r#"{"v":9,"seq":1,"ts":"2026-01-02T03:04:05Z","t_ms":1,"level":"loud","event":"moon.landed","run_id":"r","connection":"c","phase":"orbit","message":"m","error":{"kind":"gravity","message":"fell","hint":"h"},"data":{"x":[1]},"new":{"a":1}}"#;
        let line = Line::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (line.event.as_str(), line.level, line.phase, &line.body),
            ("moon.landed", Level::Info, None, &None)
        );
        assert_eq!(line.data, serde_json::json!({"x": [1]}));
        assert_eq!(line.error.unwrap().message, "fell (kind gravity)");
        let extra = r#"{"seq":1,"ts":"2026-01-02T03:04:05Z","event":"phase.finished","data":{"outcome":"succeeded","ms":3,"mood":"good"}}"#;
        assert!(matches!(
            Line::parse(extra.as_bytes()).unwrap().body,
            Some(Body::PhaseFinished { ms: 3, .. })
        ));
    }

    #[test]
    fn what_is_no_line_says_why() {
        for (text, why) in [
            ("", "no JSON"),
            ("[1]", "no JSON object"),
            (r#"{"seq":1,"ts":"2026-01-02T03:04:05Z"}"#, "no event"),
            (r#"{"seq":-1,"ts":"2026-01-02T03:04:05Z","event":"x"}"#, "no seq"),
            (r#"{"seq":1,"ts":"yesterday","event":"x"}"#, "its ts"),
            ("{\"seq\":1,\"event\":\"\u{0}", "no JSON"),
        ] {
            let error = Line::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(Line::parse(deep.as_bytes()).is_err());
    }
}
