//! Settings and options of two runs, member by member.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::difference::{Area, Found};
use super::facts::Facts;

/// Letters of a value that are shown.
const SHOWN: usize = 60;

/// Adds what differs in settings and options.
pub(super) fn compare(found: &mut Found, before: &Facts, after: &Facts) {
    let (old, new) = (&before.summary, &after.summary);
    let mut options = Vec::new();
    walk("", Some(&old.options), Some(&new.options), &mut options);
    add(found, Area::Options, options);
    let (Some(a), Some(b)) = (&before.settings, &after.settings) else {
        let hashes = old.config_hash != new.config_hash;
        let gone = if before.settings.is_none() { &old.run_id } else { &new.run_id };
        let known = if hashes { "the settings differ" } else { "the connection's settings are the same" };
        found.unknown.push(format!(
            "settings one by one: the event log of run {gone} is gone ({known} by their digest)"
        ));
        if hashes {
            found.add(
                (Area::Settings, "config_hash", true),
                Some(old.config_hash.as_str().into()),
                Some(new.config_hash.as_str().into()),
                format!("digest: {} → {}", old.config_hash, new.config_hash),
            );
        }
        return;
    };
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let mut leaves = Vec::new();
    for name in names {
        let value = |of: &BTreeMap<String, Value>| of.get(name).and_then(|set| set.get("value")).cloned();
        walk(name, value(a).as_ref(), value(b).as_ref(), &mut leaves);
    }
    add(found, Area::Settings, leaves);
}

/// A member that differs: its path, and its values.
type Leaf = (String, Option<Value>, Option<Value>);

fn add(found: &mut Found, area: Area, leaves: Vec<Leaf>) {
    for (path, before, after) in leaves {
        let text = format!("{path}: {} → {}", text(before.as_ref()), text(after.as_ref()));
        found.add((area, &path, true), before, after, text);
    }
}

fn text(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return "not set".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match text.chars().count() > SHOWN {
        true => text.chars().take(SHOWN - 1).chain(['…']).collect(),
        false => text,
    }
}

/// Walks two values side by side down to what differs; null is as good as absent, and things with a
/// name are told apart by it, not by their place.
fn walk(path: &str, before: Option<&Value>, after: Option<&Value>, out: &mut Vec<Leaf>) {
    let set = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let (before, after) = (set(before), set(after));
    if before == after {
        return;
    }
    if let (Some(a), Some(b)) = (members(before.as_ref()), members(after.as_ref())) {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(&inner, a.get(name), b.get(name), out);
        }
        return;
    }
    out.push((path.to_owned(), before, after));
}

/// The members of an object, or of a list of things that have names.
fn members(value: Option<&Value>) -> Option<Map<String, Value>> {
    match value? {
        Value::Object(members) => Some(members.clone()),
        Value::Array(items) if !items.is_empty() => {
            let named = |item: &Value| Some((item.get("name")?.as_str()?.to_owned(), item.clone()));
            items.iter().map(named).collect()
        }
        _ => None,
    }
}
