//! Two people's changes to one value: both are kept, or the conflict is named.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::store::span::JsonPath;

/// A value that both sides changed, each in its own way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// Where.
    pub path: String,
    /// What both began with; none where it was not there.
    pub was: Option<Value>,
    /// What one's own side made of it.
    pub ours: Option<Value>,
    /// What stands there now.
    pub theirs: Option<Value>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), brief);
        write!(
            f,
            "{}: it was {}, you say {}, and now it is {}",
            self.path,
            text(&self.was),
            text(&self.ours),
            text(&self.theirs)
        )
    }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// What becomes of `base` when both `ours` and `theirs` are done to it. Lists whose elements have
/// names, such as streams, are merged by these names; any other list is one value.
pub fn merge(base: &Value, ours: &Value, theirs: &Value) -> Result<Value, Vec<Conflict>> {
    let mut conflicts = Vec::new();
    let merged = both(Some(base), Some(ours), Some(theirs), &JsonPath::default(), &mut conflicts);
    match merged {
        Some(value) if conflicts.is_empty() => Ok(value),
        _ => Err(conflicts),
    }
}

fn both(
    base: Option<&Value>,
    ours: Option<&Value>,
    theirs: Option<&Value>,
    here: &JsonPath,
    conflicts: &mut Vec<Conflict>,
) -> Option<Value> {
    if ours == theirs || ours == base {
        return theirs.cloned();
    }
    if theirs == base {
        return ours.cloned();
    }
    let empty = Map::new();
    match (base, ours, theirs) {
        (base, Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let base = base.and_then(Value::as_object).unwrap_or(&empty);
            Some(Value::Object(members(base, ours, theirs, &|key| here.key(key), conflicts)))
        }
        (base, Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            let base = base.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            match (named(base), named(ours), named(theirs)) {
                (Some(base), Some(ours), Some(theirs)) => {
                    let place = |name: &str| here.key(name);
                    Some(members(&base, &ours, &theirs, &place, conflicts).into_values().collect())
                }
                _ => conflict(
                    here,
                    (
                        Some(&Value::from(base)),
                        Some(&Value::from(ours.as_slice())),
                        Some(&Value::from(theirs.as_slice())),
                    ),
                    conflicts,
                ),
            }
        }
        all => conflict(here, all, conflicts),
    }
}

fn conflict(
    here: &JsonPath,
    (was, ours, theirs): (Option<&Value>, Option<&Value>, Option<&Value>),
    conflicts: &mut Vec<Conflict>,
) -> Option<Value> {
    conflicts.push(Conflict {
        path: here.to_string(),
        was: was.cloned(),
        ours: ours.cloned(),
        theirs: theirs.cloned(),
    });
    None
}

/// In the order of what stands there, then what is new on one's own side.
fn members(
    base: &Map<String, Value>,
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
    place: &dyn Fn(&str) -> JsonPath,
    conflicts: &mut Vec<Conflict>,
) -> Map<String, Value> {
    let fresh = ours.keys().filter(|key| !theirs.contains_key(*key));
    let mut merged = Map::new();
    for key in theirs.keys().chain(fresh) {
        let value = both(base.get(key), ours.get(key), theirs.get(key), &place(key), conflicts);
        merged.extend(value.map(|value| (key.clone(), value)));
    }
    merged
}

/// A list as members by name; none where an element has no name of its own.
fn named(list: &[Value]) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    for value in list {
        let name = value.get("name").and_then(Value::as_str)?;
        if map.insert(name.to_owned(), value.clone()).is_some() {
            return None;
        }
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_in_different_places_are_both_kept() {
        let base = json!({"host": "a", "port": 1, "old": 0, "streams": [{"name": "s"}, {"name": "t"}]});
        let ours = json!({"host": "b", "port": 1, "streams": [{"name": "s", "mode": "x"}, {"name": "t"}, {"name": "u"}]});
        let theirs = json!({"host": "a", "port": 2, "old": 0, "new": 1, "streams": [{"name": "s"}]});
        let merged = merge(&base, &ours, &theirs).unwrap();
        assert_eq!(
            merged,
            json!({"host": "b", "port": 2, "new": 1, "streams": [{"name": "s", "mode": "x"}, {"name": "u"}]})
        );
        assert_eq!(merge(&base, &base, &theirs).unwrap(), theirs);
        assert_eq!(merge(&base, &ours, &base).unwrap(), ours);
    }

    #[test]
    fn one_value_changed_twice_is_a_conflict_that_is_named() {
        let base = json!({"a": {"host": "x"}, "list": [1], "gone": 1});
        let ours = json!({"a": {"host": "y"}, "list": [2], "gone": 2});
        let theirs = json!({"a": {"host": "z"}, "list": [3]});
        let conflicts = merge(&base, &ours, &theirs).unwrap_err();
        let paths: Vec<&str> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
        assert_eq!(paths, ["a.host", "list", "gone"]);
        assert_eq!(conflicts[0].to_string(), "a.host: it was \"x\", you say \"y\", and now it is \"z\"");
        assert!(conflicts[2].to_string().ends_with("and now it is nothing"));
        assert!(merge(&base, &ours, &ours).is_ok());
    }
}
