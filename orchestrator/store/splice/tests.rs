//! The laws of an edit: it says what was meant, and leaves the rest alone.

use super::*;
use serde_json::json;

fn change(text: &str, f: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    f(&mut value);
    splice(text, &value).unwrap()
}

#[test]
fn only_the_changed_value_changes() {
    let text =
        "{\n\t\"b\" : 1.0,  \"a\":[ 1,2 ],\r\n\t\"big\": 123456789012345678901234567890,\n\t\"s\": {}\n}\n";
    let out = change(text, |v| v["a"][1] = json!(7));
    assert_eq!(out, text.replace("1,2", "1,7"));
    let out = change(text, |v| v["s"]["x"] = json!({"cursor": 5, "digest": "ab"}));
    assert_eq!(out, text.replace("{}", "{\r\n\t\t\"x\": {\"cursor\": 5, \"digest\": \"ab\"}\r\n\t}"));
    assert_eq!(change(text, |_| ()), text);
}

#[test]
fn members_come_and_go_with_their_commas() {
    let text = "{\n    \"a\": 1,\n    \"b\": {\"x\": 1, \"y\": 2},\n    \"c\": [1, 2, 3]\n}";
    let remove = |keys: &[&str]| {
        change(text, |v| {
            for key in keys {
                v.as_object_mut().unwrap().shift_remove(*key);
            }
        })
    };
    assert_eq!(remove(&["a"]), "{\n    \"b\": {\"x\": 1, \"y\": 2},\n    \"c\": [1, 2, 3]\n}");
    assert_eq!(remove(&["a", "b"]), "{\n    \"c\": [1, 2, 3]\n}");
    assert_eq!(remove(&["b", "c"]), "{\n    \"a\": 1\n}");
    assert_eq!(remove(&["a", "b", "c"]), "{}");
    let out = change(text, |v| v["b"]["z"] = json!([1, {"k": "v"}]));
    assert!(out.contains("{\"x\": 1, \"y\": 2, \"z\": [1, {\"k\": \"v\"}]}"), "{out}");
    let out = change(text, |v| {
        v.as_object_mut().unwrap().shift_insert(0, "id".into(), json!("u"));
    });
    assert_eq!(out, text.replace("{\n    \"a\"", "{\n    \"id\": \"u\",\n    \"a\""));
    let out = change(text, |v| {
        let map = v.as_object_mut().unwrap();
        map.shift_remove("b");
        map.insert("d".into(), json!({"deep": {"er": true}}));
    });
    let deep = "\"d\": {\n        \"deep\": {\n            \"er\": true\n        }\n    }";
    assert!(out.replace("{\"er\": true}", "{\n            \"er\": true\n        }").contains(deep), "{out}");
}

#[test]
fn arrays_grow_shrink_and_change_in_place() {
    let text = "[\n  {\"n\": 1},\n  {\"n\": 2},\n  {\"n\": 3}\n]";
    let list = |f: fn(&mut Vec<Value>)| change(text, |v| f(v.as_array_mut().unwrap()));
    assert_eq!(list(|v| drop(v.remove(1))), "[\n  {\"n\": 1},\n  {\"n\": 3}\n]");
    assert_eq!(list(|v| drop(v.remove(0))), "[\n  {\"n\": 2},\n  {\"n\": 3}\n]");
    assert_eq!(list(|v| v.push(json!({"n": 4}))), text.replace("3}", "3},\n  {\"n\": 4}"));
    assert_eq!(list(|v| v.insert(0, json!(0))), text.replacen("{\"n\": 1}", "0,\n  {\"n\": 1}", 1));
    assert_eq!(list(|v| v.insert(2, json!(0))), text.replace("2},", "2},\n  0,"));
    assert_eq!(list(Vec::clear), "[]");
    assert_eq!(list(|v| v[2]["n"] = json!(9)), text.replace('3', "9"));
}

#[test]
fn a_text_on_one_line_stays_on_one() {
    let out = change(r#"{"a":1,"b":{}}"#, |v| {
        v["b"]["c"] = json!(true);
        v["d"] = json!({"x": {"y": 1}});
    });
    assert_eq!(out, r#"{"a":1,"b":{"c": true},"d":{"x": {"y": 1}}}"#);
}

#[test]
fn a_doubled_member_is_not_guessed_at() {
    let text = r#"{"a": {"x": 1, "x": 2}, "b": 1}"#;
    let mut value: Value = serde_json::from_str(text).unwrap();
    value["b"] = json!(2);
    assert_eq!(splice(text, &value).unwrap(), text.replace("\"b\": 1", "\"b\": 2"));
    value["a"]["x"] = json!(3);
    assert!(splice(text, &value).unwrap_err().message().contains("a.x stands twice"));
}

/// A small generator of texts and changes, so that the laws hold beyond the examples.
#[test]
fn any_change_of_any_text_reads_back_and_keeps_what_it_did_not_touch() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    for round in 0..3_000 {
        let mut before = grow(&mut next, 3);
        before = json!({"keep": {"k": [1, {"z": 2.50}]}, "edit": before});
        let mut after = before.clone();
        after["edit"] = mutate(&before["edit"], &mut next);
        let text = match round % 3 {
            0 => before.to_string(),
            1 => serde_json::to_string_pretty(&before).unwrap().replace("2.5\n", "2.50\n"),
            _ => serde_json::to_string_pretty(&before).unwrap().replace("  ", " \t").replace('\n', "\r\n"),
        };
        let out = splice(&text, &after).unwrap_or_else(|e| panic!("{e}\n{text}\n{after}"));
        let end = text.find("\"edit\"").unwrap();
        assert_eq!(out[..end], text[..end]);
    }
}

fn grow(next: &mut impl FnMut(u64) -> u64, depth: u64) -> Value {
    match next(if depth == 0 { 3 } else { 5 }) {
        0 => json!(next(100)),
        1 => json!(format!("s\"\\,]}}{}", next(9))),
        2 => Value::Null,
        3 => (0..next(5)).map(|_| grow(next, depth - 1)).collect(),
        _ => Value::Object((0..next(5)).map(|_| (format!("k{}", next(8)), grow(next, depth - 1))).collect()),
    }
}

fn mutate(value: &Value, next: &mut impl FnMut(u64) -> u64) -> Value {
    match value {
        Value::Object(map) => {
            let mut out: Map<String, Value> = Map::new();
            for (key, value) in map {
                match next(4) {
                    0 => {}
                    1 => {
                        out.insert(format!("n{}", next(9)), grow(next, 2));
                        out.insert(key.clone(), value.clone());
                    }
                    2 => {
                        out.insert(key.clone(), mutate(value, next));
                    }
                    _ => {
                        out.insert(key.clone(), value.clone());
                    }
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            let mut out = Vec::new();
            for item in items {
                match next(4) {
                    0 => {}
                    1 => out.extend([grow(next, 2), item.clone()]),
                    2 => out.push(mutate(item, next)),
                    _ => out.push(item.clone()),
                }
            }
            Value::Array(out)
        }
        _ => grow(next, 2),
    }
}
