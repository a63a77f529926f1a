//! A connection's state: what each stream's entry says, where it stands, and writing it.

mod document;
mod entry;
mod home;
mod relocate;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_protocol::{Error, Kind, Result};

use super::config::ConfigText;
use super::edit::{Backup, change, find_by_name};
use super::project::Project;
use entry::MEMBERS;
use home::{change_file, entry_of};

pub use document::{DOCUMENT_VERSION, StateDocument, StreamDocument};
pub use entry::StateEntry;
pub use home::{STATE_FILE_VERSION, StateFile, state_file};
pub use relocate::{Moved, relocate};

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Streams whose entry now stands in the config.
    pub written: Vec<String>,
    /// Streams whose entry was left alone, each with the reason.
    pub left: Vec<(String, String)>,
}

/// Writes the entries of a run's streams where state stands: into the config, or its state file.
/// Only this connection's entry is looked at, found by its id. An entry that is not what the run
/// loaded (`loaded` is the member `state` as it was then, null where it was absent) is left alone
/// and reported. Makes no backup.
pub fn merge_state(
    project: &Project,
    id: Uuid,
    loaded: &Value,
    updates: &BTreeMap<String, Value>,
) -> Result<Merged> {
    let left_all = |why: &str| Merged {
        written: Vec::new(),
        left: updates.keys().map(|stream| (stream.clone(), why.to_owned())).collect(),
    };
    wherever(project, Backup::None, |text, document, file| {
        let entry = match only_with_id(document, id) {
            Ok(entry) => entry,
            Err(why) => return Ok(left_all(&why)),
        };
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let entry = match file {
            Some(file) => entry_of(file, id, &name)?,
            None => entry,
        };
        if entry.get("state").is_some_and(|state| !state.is_object()) {
            return Ok(left_all(&format!("state in {} is not an object", text.name())));
        }
        let mut merged = Merged::default();
        for (stream, update) in updates {
            let now = entry.get("state").and_then(|state| state.get(stream));
            let then = loaded.get(stream);
            if now == Some(update) {
                merged.written.push(stream.clone());
            } else if now != then {
                merged.left.push((stream.clone(), changed(now, then)));
            } else {
                put(entry, stream, update);
                merged.written.push(stream.clone());
            }
        }
        Ok(merged)
    })
}

/// Times that state may be moved from one place to the other while it is to be written.
const MOVES: usize = 5;

/// Changes state where it stands: the config's document, or with it the state file's. Where that is
/// may change until the lock is held.
fn wherever<T>(
    project: &Project,
    backup: Backup,
    mut edit: impl FnMut(&ConfigText, &mut Value, Option<&mut Value>) -> Result<T>,
) -> Result<T> {
    for _ in 0..MOVES {
        let config = ConfigText::read(&project.config_path)?;
        let done = match state_file(&config)? {
            Some(path) => change_file(project, &path, backup, |file| {
                edit(&config, &mut config.value.clone(), Some(file))
            })?,
            None => change(project, backup, |text, document| match state_file(text)? {
                None => edit(text, document, None).map(Some),
                Some(_) => Ok(None),
            })?,
        };
        if let Some(done) = done {
            return Ok(done);
        }
    }
    Err(Error::new(Kind::Locked, "the state is being moved from one file to another all the time")
        .hint("wait until that has ended"))
}

fn changed(now: Option<&Value>, then: Option<&Value>) -> String {
    match (now, then) {
        (None, _) => "it was removed from the config while the run was going on".to_owned(),
        (_, None) => "it was added to the config while the run was going on".to_owned(),
        _ => "it was changed in the config while the run was going on".to_owned(),
    }
}

fn only_with_id(document: &mut Value, id: Uuid) -> std::result::Result<&mut Value, String> {
    let is = |entry: &Value| {
        let text = entry.get("id").and_then(Value::as_str);
        text.and_then(|text| Uuid::try_parse(text).ok()) == Some(id)
    };
    let entries = document.get_mut("connections").and_then(Value::as_array_mut);
    let mut found = entries.into_iter().flatten().filter(|entry| is(entry));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err("the connection is no longer in the config".to_owned()),
        (Some(_), Some(_)) => Err("two connections of the config have this id".to_owned()),
    }
}

/// Puts an entry in; unknown members of an old one stay.
fn put(connection: &mut Value, stream: &str, entry: &Value) {
    let Some(connection) = connection.as_object_mut() else { return };
    let state = connection.entry("state").or_insert_with(|| json!({}));
    let Some(state) = state.as_object_mut() else { return };
    match (state.get_mut(stream), entry) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            for word in MEMBERS.iter().filter(|word| !new.contains_key(**word)) {
                old.shift_remove(*word);
            }
            for (key, value) in new {
                old.insert(key.clone(), value.clone());
            }
        }
        _ => {
            state.insert(stream.to_owned(), entry.clone());
        }
    }
}

/// Writes an entry of a person's command (`state reset`, `accept`, `set`). The caller holds the
/// run lock.
pub fn put_instruction(project: &Project, connection: &str, stream: &str, entry: &StateEntry) -> Result<()> {
    put_instructions(project, connection, &BTreeMap::from([(stream.to_owned(), entry.clone())]))
}

/// Writes entries of a person's command for several streams, in one edit with one backup. The
/// caller holds the run lock.
pub fn put_instructions(
    project: &Project,
    connection: &str,
    entries: &BTreeMap<String, StateEntry>,
) -> Result<()> {
    wherever(project, Backup::Keep, |text: &ConfigText, document, file| {
        let found = find_by_name(text, document, connection)?;
        let found = match file {
            None => found,
            Some(file) => {
                let id = found.get("id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
                let id = id.ok_or_else(|| {
                    Error::config(format!("{}: connection {connection:?} has no id", text.name()))
                })?;
                entry_of(file, id, connection)?
            }
        };
        if found.get("state").is_some_and(|state| !state.is_object()) {
            return Err(Error::config(format!("{}: state of {connection:?} is not an object", text.name())));
        }
        for (stream, entry) in entries {
            put(found, stream, &entry.to_value());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;

    const ID: &str = "0b0e7a52-5b5c-4a5e-9d3e-7b1f3a1c0001";

    fn text(state: &str) -> String {
        format!(
            "{{\n  \"connections\": [\n    {{\"broken\": true, \"name\": 5}},\n    {{\n      \"id\": \"{}\",\n      \"name\": \"crm\",   \"note\": 1,\n      \"state\": {state}\n    }}\n  ]\n}}\n",
            ID.to_uppercase()
        )
    }

    fn updates(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
        pairs.iter().map(|(stream, value)| ((*stream).to_owned(), value.clone())).collect()
    }

    #[test]
    fn a_merge_touches_only_what_the_run_loaded_and_moved() {
        let home =
            Home::new(&text(r#"{"a": {"cursor": 1, "digest": "x", "note": "mine"}, "b": {"cursor": 2}}"#));
        let loaded =
            json!({"a": {"cursor": 1, "digest": "x", "note": "mine"}, "b": {"cursor": 1}, "gone": {}});
        let new = json!({"cursor": 9, "digest": "y"});
        let all = updates(&[("a", new.clone()), ("b", new.clone()), ("c", new.clone()), ("gone", new)]);
        let id = ID.parse().unwrap();
        let merged = merge_state(&home.project, id, &loaded, &all).unwrap();
        assert_eq!(merged.written, ["a", "c"]);
        assert_eq!(merged.left.len(), 2);
        assert!(merged.left[0].0 == "b" && merged.left[0].1.contains("changed"));
        assert!(merged.left[1].0 == "gone" && merged.left[1].1.contains("removed"));
        assert_eq!(
            home.config(),
            text(
                r#"{"a": {"cursor": 9, "digest": "y", "note": "mine"}, "b": {"cursor": 2}, "c": {"cursor": 9, "digest": "y"}}"#
            )
        );
        assert_eq!(home.backups().len(), 0);
        // Once more: everything stands, nothing is written.
        let before = home.inode();
        let again =
            merge_state(&home.project, id, &loaded, &updates(&[("c", json!({"cursor": 9, "digest": "y"}))]));
        assert_eq!(again.unwrap().written, ["c"]);
        assert_eq!(home.inode(), before);
    }

    #[test]
    fn a_removed_connection_and_a_doubled_id_are_reported() {
        let home = Home::new(&text("{}"));
        let all = updates(&[("a", json!({"cursor": 1}))]);
        let merged = merge_state(&home.project, Uuid::new_v4(), &Value::Null, &all).unwrap();
        assert!(merged.left[0].1.contains("no longer"), "{merged:?}");
        let twice = format!(r#"{{"connections": [{{"id": "{ID}"}}, {{"id": "{ID}"}}]}}"#);
        let home = Home::new(&twice);
        let merged = merge_state(&home.project, ID.parse().unwrap(), &Value::Null, &all).unwrap();
        assert!(merged.left[0].1.contains("two connections"), "{merged:?}");
        assert_eq!(home.config(), twice);
    }

    #[test]
    fn an_instruction_takes_the_place_of_a_position() {
        let home = Home::new(&text(r#"{"a": {"cursor": 1, "digest": "x", "note": "mine"}}"#));
        put_instruction(&home.project, "crm", "a", &StateEntry::Reset { nonce: "n1".into() }).unwrap();
        assert_eq!(home.config(), text(r#"{"a": {"note": "mine", "reset": "n1"}}"#));
        assert_eq!(home.backups().len(), 1);
        let error = put_instruction(&home.project, "cmr", "a", &StateEntry::reset()).unwrap_err();
        assert!(error.message().contains("did you mean \"crm\""), "{error}");
    }
}
