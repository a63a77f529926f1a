//! What the entry of a stream says: a position, or a person's instruction.

use serde_json::{Map, Value, json};
use uuid::Uuid;
use waybill_protocol::state::digest;

/// The entry of one stream: the mirror of what the destination holds, or a person's instruction.
#[derive(Debug, Clone, PartialEq)]
pub enum StateEntry {
    /// How far the stream was loaded.
    Position {
        /// What a person sees, and may edit.
        cursor: Option<Value>,
        /// Digest of the entry as the program wrote it.
        digest: Option<String>,
        /// What only the source understands.
        data: Option<Value>,
    },
    /// Load everything again.
    Reset {
        /// Tells this instruction from one that was done.
        nonce: String,
    },
    /// Go on from what the destination, or else the config, has.
    Accept {
        /// Tells this instruction from one that was done.
        nonce: String,
        /// Where the config stood: the way on where the destination has nothing.
        cursor: Option<Value>,
    },
    /// Go on from this cursor.
    Set {
        /// The cursor, as a person writes it.
        cursor: Value,
        /// Tells this instruction from one that was done.
        nonce: String,
    },
}

/// The members of an entry that mean something here; others stay where they are.
pub(super) const MEMBERS: [&str; 6] = ["cursor", "digest", "data", "reset", "accept", "set"];

impl StateEntry {
    /// Reads an entry; the error says what is wrong with it, and where below the entry.
    pub fn parse(value: &Value) -> std::result::Result<StateEntry, String> {
        let Value::Object(map) = value else {
            return Err("an entry is an object with cursor and digest, or with reset, accept or set".into());
        };
        let told: Vec<&str> =
            ["reset", "accept", "set"].into_iter().filter(|w| map.contains_key(*w)).collect();
        let positions = ["cursor", "digest", "data"].iter().any(|word| map.contains_key(*word));
        match told.as_slice() {
            [] => position(map),
            ["accept"] => Ok(StateEntry::Accept {
                nonce: nonce(map.get("accept"), "accept")?,
                cursor: map.get("cursor").filter(|cursor| !cursor.is_null()).cloned(),
            }),
            [_] if positions => {
                Err(format!("{} stands alone, without cursor, digest or data", told.join("")))
            }
            ["reset"] => Ok(StateEntry::Reset { nonce: nonce(map.get("reset"), "reset")? }),
            ["set"] => {
                let set = map.get("set").and_then(Value::as_object);
                let set = set.ok_or("set is an object with cursor and nonce")?;
                let cursor = set.get("cursor").filter(|cursor| !cursor.is_null());
                let cursor = cursor.ok_or("set.cursor is missing")?.clone();
                Ok(StateEntry::Set { cursor, nonce: nonce(set.get("nonce"), "set.nonce")? })
            }
            _ => Err(format!("only one of {} can be wanted at a time", told.join(", "))),
        }
    }

    /// The entry that the program writes after a run; the digest is computed here.
    pub fn written(cursor: Option<Value>, data: Option<Value>) -> StateEntry {
        let mut entry = StateEntry::Position { cursor, digest: None, data };
        let own = digest(&entry.content());
        if let StateEntry::Position { digest, .. } = &mut entry {
            *digest = Some(own);
        }
        entry
    }

    /// The same after a run that followed an edit or an instruction: its digest is like no other.
    /// A person who then makes the same edit once more is told from a run that could not write what
    /// it had done.
    pub fn written_after_edit(cursor: Option<Value>, data: Option<Value>) -> StateEntry {
        let mut entry = StateEntry::Position { cursor, digest: None, data };
        let salt = Uuid::new_v4().simple().to_string();
        let own = salted(&salt, &entry.content());
        if let StateEntry::Position { digest, .. } = &mut entry {
            *digest = Some(own);
        }
        entry
    }

    /// A fresh instruction to load everything again.
    pub fn reset() -> StateEntry {
        StateEntry::Reset { nonce: Uuid::new_v4().to_string() }
    }

    /// A fresh instruction to go on; `cursor` is where the config stands.
    pub fn accept(cursor: Option<Value>) -> StateEntry {
        StateEntry::Accept { nonce: Uuid::new_v4().to_string(), cursor }
    }

    /// A fresh instruction to go on from a cursor.
    pub fn set(cursor: Value) -> StateEntry {
        StateEntry::Set { cursor, nonce: Uuid::new_v4().to_string() }
    }

    /// The form in the file.
    pub fn to_value(&self) -> Value {
        match self {
            StateEntry::Position { cursor, digest, data } => {
                let mut map = Map::new();
                let digest = digest.as_ref().map(|digest| json!(digest));
                for (key, value) in [("cursor", cursor), ("digest", &digest), ("data", data)] {
                    if let Some(value) = value {
                        map.insert(key.to_owned(), value.clone());
                    }
                }
                Value::Object(map)
            }
            StateEntry::Reset { nonce } => json!({"reset": nonce}),
            StateEntry::Accept { nonce, cursor: None } => json!({"accept": nonce}),
            StateEntry::Accept { nonce, cursor: Some(cursor) } => json!({"accept": nonce, "cursor": cursor}),
            StateEntry::Set { cursor, nonce } => json!({"set": {"cursor": cursor, "nonce": nonce}}),
        }
    }

    /// The nonce of an instruction.
    pub fn nonce(&self) -> Option<&str> {
        match self {
            StateEntry::Position { .. } => None,
            StateEntry::Reset { nonce }
            | StateEntry::Accept { nonce, .. }
            | StateEntry::Set { nonce, .. } => Some(nonce),
        }
    }

    /// What the digest of an entry covers: the entry without the digest.
    pub fn content(&self) -> Value {
        match self.to_value() {
            Value::Object(mut map) => {
                map.shift_remove("digest");
                Value::Object(map)
            }
            other => other,
        }
    }

    /// The digest of what the entry says now.
    pub fn content_digest(&self) -> String {
        digest(&self.content())
    }

    /// The digest of the entry as it stands, with the digest that the program wrote into it: what a
    /// run is based on.
    pub fn whole_digest(&self) -> String {
        digest(&self.to_value())
    }

    /// Whether the entry is as the program wrote it.
    pub fn untouched(&self) -> bool {
        match self {
            StateEntry::Position { digest: Some(digest), .. } => match digest.split_once('.') {
                Some((salt, _)) => *digest == salted(salt, &self.content()),
                None => *digest == self.content_digest(),
            },
            _ => false,
        }
    }
}

fn salted(salt: &str, content: &Value) -> String {
    format!("{salt}.{}", digest(&json!([salt, content])))
}

fn position(map: &Map<String, Value>) -> std::result::Result<StateEntry, String> {
    let present = |key: &str| map.get(key).filter(|value| !value.is_null()).cloned();
    let digest = match present("digest") {
        None => None,
        Some(Value::String(digest)) => Some(digest),
        Some(_) => return Err("digest is a text".into()),
    };
    Ok(StateEntry::Position { cursor: present("cursor"), digest, data: present("data") })
}

fn nonce(value: Option<&Value>, word: &str) -> std::result::Result<String, String> {
    match value.and_then(Value::as_str) {
        Some(nonce) if !nonce.trim().is_empty() => Ok(nonce.to_owned()),
        _ => Err(format!("{word} needs a text that was not used before, such as today's date and time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_written_back() {
        for value in [
            json!({"cursor": "2024-05-01", "digest": "ab", "data": {"x": 1}}),
            json!({"reset": "n"}),
            json!({"accept": "n"}),
            json!({"accept": "n", "cursor": 7}),
            json!({"set": {"cursor": 5, "nonce": "n"}}),
            json!({}),
        ] {
            assert_eq!(StateEntry::parse(&value).unwrap().to_value(), value);
        }
        let bad = [
            json!(5),
            json!({"reset": true}),
            json!({"reset": ""}),
            json!({"reset": "a", "accept": "b"}),
            json!({"reset": "a", "cursor": 1}),
            json!({"set": 5}),
            json!({"set": {"nonce": "n"}}),
            json!({"set": {"cursor": 1}}),
            json!({"digest": 5}),
        ];
        for value in bad {
            assert!(StateEntry::parse(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn an_edited_cursor_is_noticed() {
        let written = StateEntry::written(Some(json!("2024-05-01")), None);
        assert!(written.untouched());
        let mut value = written.to_value();
        value["cursor"] = json!("2024-04-01");
        assert!(!StateEntry::parse(&value).unwrap().untouched());
        assert_ne!(StateEntry::reset().nonce(), StateEntry::reset().nonce());
    }

    #[test]
    fn after_an_edit_the_same_position_is_written_with_another_digest() {
        let after = || StateEntry::written_after_edit(Some(json!(7)), None);
        let (one, two) = (after(), after());
        assert!(one.untouched() && two.untouched());
        assert_ne!(one.whole_digest(), two.whole_digest());
        assert_eq!(one.content(), two.content());
        let mut value = one.to_value();
        value["cursor"] = json!(6);
        assert!(!StateEntry::parse(&value).unwrap().untouched());
    }
}
