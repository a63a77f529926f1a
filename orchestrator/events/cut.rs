//! Makes a line fit: texts first, then lists, and the whole of `data` only when nothing else helps.

use serde_json::{Map, Value};

use super::line::Line;

/// The longest line, its line feed included.
pub(super) const LINE_BYTES: usize = 64 << 10;

/// What each round keeps: bytes of a text, items of a list or of a map.
const ROUNDS: [(usize, usize); 7] =
    [(16 << 10, usize::MAX), (4 << 10, usize::MAX), (1 << 10, 256), (512, 64), (256, 64), (128, 16), (64, 4)];
/// Members that an object keeps always: none of the contract's own types has more.
const MEMBERS: usize = 16;

/// The bytes of a line with its line feed, cut until they fit; `truncated` says that they were.
pub(super) fn fit(line: &mut Line) -> Vec<u8> {
    let mut bytes = to_bytes(line);
    for (text, items) in ROUNDS {
        if bytes.len() <= LINE_BYTES {
            return bytes;
        }
        line.truncated = true;
        cut_line(line, text);
        cut_value(&mut line.data, text, items);
        bytes = to_bytes(line);
    }
    if bytes.len() > LINE_BYTES {
        line.data = Value::Object(Map::new());
        bytes = to_bytes(line);
    }
    bytes
}

fn to_bytes(line: &Line) -> Vec<u8> {
    // A line is texts, numbers and values: nothing in it can fail to become JSON.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn cut_line(line: &mut Line, limit: usize) {
    cut(&mut line.message, limit);
    for name in [&mut line.stream, &mut line.span, &mut line.parent].into_iter().flatten() {
        cut(name, limit.max(1 << 10));
    }
    if let Some(error) = &mut line.error {
        cut(&mut error.message, limit);
        for text in [&mut error.hint, &mut error.code, &mut error.stream].into_iter().flatten() {
            cut(text, limit);
        }
        error.cause.truncate(32);
        error.cause.iter_mut().for_each(|text| cut(text, limit));
    }
}

fn cut_value(value: &mut Value, limit: usize, items: usize) {
    match value {
        Value::String(text) => cut(text, limit),
        Value::Array(list) => {
            list.truncate(items);
            list.iter_mut().for_each(|item| cut_value(item, limit, items));
        }
        Value::Object(members) => {
            let keep = items.max(MEMBERS);
            if members.len() > keep {
                *members = std::mem::take(members).into_iter().take(keep).collect();
            }
            members.values_mut().for_each(|member| cut_value(member, limit, items));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Shortens a text to at most `limit` bytes and an ellipsis, between characters.
fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let mut end = limit;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use serde_json::json;
    use waybill_protocol::event::{Body, Event, Level};

    use crate::events::line::Place;

    fn line(message: &str, detail: Value) -> Line {
        let event = Event {
            level: Level::Info,
            body: Body::Runtime { detail },
            message: message.to_owned(),
            stream: None,
            phase: None,
            attempt: None,
            span: None,
            parent: None,
            error: None,
        };
        Line::of(event, Place { seq: 1, ts: Utc::now(), t_ms: 0, run_id: "r", connection: "c" })
    }

    #[test]
    fn every_kind_of_bulk_fits_and_still_reads() {
        let wide: Map<String, Value> = (0..40_000).map(|n| (format!("key {n}"), json!(n))).collect();
        let mut nested = json!("x".repeat(5000));
        for _ in 0..100 {
            nested = json!([nested.clone(), "y".repeat(2000)]);
        }
        for (message, detail) in [
            ("é".repeat(100_000), Value::Null),
            ("\u{1}".repeat(60_000), Value::Null),
            ("m".to_owned(), json!(vec!["word"; 50_000])),
            ("m".to_owned(), Value::Object(wide)),
            ("m".to_owned(), nested),
            ("m".to_owned(), json!({"k".repeat(100_000): 1})),
        ] {
            let mut line = line(&message, detail);
            let bytes = fit(&mut line);
            assert!(bytes.len() <= LINE_BYTES, "{}", bytes.len());
            let read = Line::parse(&bytes).unwrap();
            assert!(read.truncated);
            assert_eq!(read.message, line.message);
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let mut line = line(&"m".repeat(60_000), json!([1, 2]));
        assert!(!Line::parse(&fit(&mut line)).unwrap().truncated);
        assert_eq!(line.message.len(), 60_000);
    }
}
