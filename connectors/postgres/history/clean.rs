//! Texts that the database can hold.

use serde_json::Value;

/// The value without what a jsonb cannot hold: NUL, and in a database that is not UTF-8 anything but
/// ASCII, since nobody knows here which characters it has.
pub(super) fn cleaned(value: Value, utf8: bool) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text, utf8)),
        Value::Array(values) => Value::Array(values.into_iter().map(|one| cleaned(one, utf8)).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(key, value)| (clean(key, utf8), cleaned(value, utf8))).collect(),
        ),
        other => other,
    }
}

fn clean(text: String, utf8: bool) -> String {
    let bad = |c: char| c == '\0' || !(utf8 || c.is_ascii());
    if !text.contains(bad) {
        return text;
    }
    let stand_in = if utf8 { '\u{fffd}' } else { '?' };
    text.chars().map(|c| if bad(c) { stand_in } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_database_cannot_hold_is_replaced() {
        let value = json!({"a\u{0}": ["x\u{0}y", 1, {"é": "→"}]});
        assert_eq!(cleaned(value.clone(), true), json!({"a\u{fffd}": ["x\u{fffd}y", 1, {"é": "→"}]}));
        assert_eq!(cleaned(value, false), json!({"a?": ["x?y", 1, {"?": "?"}]}));
    }
}
