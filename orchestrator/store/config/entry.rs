//! One entry of `connections`: read member by member, so that each error names its path.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use waybill_protocol::state::digest;
use waybill_protocol::{Error, Role, StreamSelection};

use super::super::name::check_name;
use super::super::nearest::{did_you_mean, shown};
use super::super::shape::{Found, Shape};
use super::super::span::JsonPath;
use super::super::state::{StateEntry, StateFile};
use super::super::systems::{Known, Systems};
use super::text::{ConfigText, worded};
use super::{Connection, Finding, Head, InForce, Policies};
use crate::secrets::hidden::has_password;
use crate::store::project::Origin;

/// What reading entries needs and leaves behind.
pub(super) struct Reader<'a> {
    pub(super) text: &'a ConfigText,
    pub(super) systems: &'a Systems<'a>,
    pub(super) defaults: &'a Policies,
    pub(super) findings: Vec<Finding>,
    /// Where state stands, if not in the entries.
    pub(super) states: Option<&'a StateFile>,
}

impl<'a> Reader<'a> {
    /// Reads a value by its type; the error names the path.
    pub(super) fn typed<T: DeserializeOwned>(&self, value: &Value, here: &JsonPath) -> Result<T, Error> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = here.join(error.path());
            self.text.error(&path, worded(&error.into_inner().to_string()))
        })
    }

    pub(super) fn object<'v>(
        &self,
        value: &'v Value,
        here: &JsonPath,
    ) -> Result<&'v Map<String, Value>, Error> {
        value.as_object().ok_or_else(|| self.text.error(here, "must be an object"))
    }

    pub(super) fn find(&self, system: &str, role: Role, here: &JsonPath) -> Result<&'a Known<'a>, Error> {
        let found = self.systems.find(system, role);
        found.map_err(|(message, hint)| self.text.error(here, message).hint(hint))
    }

    /// Reports unknown members, refuses secrets, and returns the object without what is unknown.
    /// `home` is where secrets of this place belong.
    pub(super) fn settings(
        &mut self,
        mut value: Value,
        shape: &Shape<'_>,
        here: &JsonPath,
        home: &str,
    ) -> Result<Map<String, Value>, Error> {
        let mut secrets = Vec::new();
        self.walk(&value, shape, here, &mut secrets);
        self.refuse(&secrets, home)?;
        shape.prune(&mut value);
        match value {
            Value::Object(map) => Ok(map),
            _ => Err(self.text.error(here, "must be an object")),
        }
    }

    /// Refuses texts that carry a password, such as a URL, whatever their setting is called.
    pub(super) fn no_passwords(
        &self,
        settings: &Map<String, Value>,
        here: &JsonPath,
        home: &str,
    ) -> Result<(), Error> {
        let mut secrets = Vec::new();
        settings.iter().for_each(|(key, value)| passwords(value, &here.key(key), &mut secrets));
        self.refuse(&secrets, home)
    }

    fn refuse(&self, secrets: &[JsonPath], home: &str) -> Result<(), Error> {
        if let Some(path) = secrets.first() {
            return Err(self
                .text
                .error(path, "holds a secret, and secrets do not stand in the config")
                .hint(format!(
                    "move it to secrets.toml under [{home}], and change it if the file was shared"
                )));
        }
        Ok(())
    }

    pub(super) fn walk(
        &mut self,
        value: &Value,
        shape: &Shape<'_>,
        here: &JsonPath,
        secrets: &mut Vec<JsonPath>,
    ) {
        let (text, findings) = (self.text, &mut self.findings);
        shape.walk(value, here, &mut |found| match found {
            Found::Secret(path) => secrets.push(path),
            Found::Unknown(path, key, known) => {
                let near = did_you_mean(&key, known.iter().map(String::as_str));
                let message = text.say(&path, format!("unknown, and ignored{near}"));
                findings.push(Finding { path: path.to_string(), message });
            }
        });
    }

    /// Reads a connection; all of its errors, or the connection.
    pub(super) fn connection(
        &mut self,
        index: usize,
        value: &Value,
        destination: impl FnOnce(&Head, &JsonPath) -> Result<(String, Origin), Error>,
    ) -> Result<Connection, Vec<Error>> {
        let here = JsonPath::default().key("connections").index(index);
        let map = self.object(value, &here).map_err(|e| vec![e])?;
        let mut errors = Vec::new();
        let mut keep = |result: Result<(), Error>| errors.extend(result.err());
        let head = self.typed::<Head>(value, &here);
        let own = self.typed::<Policies>(value, &here);
        let id = head.as_ref().ok().and_then(|head| head.id);
        let held = match self.states {
            None => map.get("state").cloned().unwrap_or(Value::Null),
            Some(file) => file.of(id),
        };
        let state = self.state(&held, map.get("state"), id, &here.key("state"));
        let mut target = None;
        let mut schema = None;
        if let Ok(head) = &head {
            keep(check_name("connection name", &head.name).map_err(|e| self.placed(e, &here.key("name"))));
            match destination(head, &here.key("destination")) {
                Ok(found) => target = Some(found),
                Err(error) => keep(Err(error)),
            }
            match self.schema(head, map.get("schema"), &here) {
                Ok(found) => schema = Some(found),
                Err(error) => keep(Err(error)),
            }
        }
        match (head, own, state, target, schema) {
            (
                Ok(head),
                Ok(own),
                Ok(state),
                Some((destination, destination_origin)),
                Some((settings, streams)),
            ) if errors.is_empty() => {
                let mut hashed = map.clone();
                hashed.shift_remove("state");
                Ok(Connection {
                    index,
                    id: head.id,
                    name: head.name,
                    system: head.system,
                    enabled: head.enabled,
                    destination,
                    destination_origin,
                    settings,
                    streams,
                    state,
                    state_as_loaded: held,
                    policies: InForce::of(&own, self.defaults),
                    config_hash: digest(&Value::Object(hashed)),
                })
            }
            (head, own, state, _, _) => {
                let mut all: Vec<Error> = head.err().into_iter().collect();
                all.append(&mut errors);
                all.extend(own.err());
                all.extend(state.err());
                Err(all)
            }
        }
    }

    /// Puts a place before an error that has none.
    pub(super) fn placed(&self, error: Error, here: &JsonPath) -> Error {
        let placed = self.text.error(here, error.message());
        match error.get_hint() {
            Some(hint) => placed.hint(hint.to_owned()),
            None => placed,
        }
    }

    fn schema(
        &mut self,
        head: &Head,
        schema: Option<&Value>,
        entry: &JsonPath,
    ) -> Result<(Map<String, Value>, Vec<StreamSelection>), Error> {
        let system = self.find(&head.system, Role::Source, &entry.key("type"))?;
        let here = entry.key("schema");
        let empty = json!({});
        let mut settings = self.object(schema.unwrap_or(&empty), &here)?.clone();
        let streams = settings.shift_remove("streams").unwrap_or_else(|| json!([]));
        let home = format!("sources.{}", head.name);
        let settings = self.settings(Value::Object(settings), &Shape::of(&system.source), &here, &home)?;
        self.no_passwords(&settings, &here, &home)?;
        let here = here.key("streams");
        let Value::Array(streams) = streams else {
            return Err(self.text.error(&here, "must be a list of streams"));
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut selected = Vec::with_capacity(streams.len());
        for (at, value) in streams.iter().enumerate() {
            let here = here.index(at);
            let shape = Shape::merged([Shape::of(&self.systems.selection), Shape::of(&system.stream)]);
            let map = self.settings(value.clone(), &shape, &here, &home)?;
            let stream = self.selection(map, &here)?;
            system
                .connector
                .validate_stream(&Value::Object(stream.options.clone()))
                .map_err(|e| self.text.error(&here, worded_path(e.message())))?;
            if let Some(first) = seen.insert(stream.name.clone(), at) {
                let message = format!("{} is selected twice (streams[{first}] too)", shown(&stream.name));
                return Err(self.text.error(&here.key("name"), message).hint("remove one of the two"));
            }
            selected.push(stream);
        }
        Ok((settings, selected))
    }

    fn selection(&self, map: Map<String, Value>, here: &JsonPath) -> Result<StreamSelection, Error> {
        let whole = Value::Object(map);
        let stream: StreamSelection = match serde_path_to_error::deserialize(&whole) {
            Ok(stream) => stream,
            Err(error) => return Err(self.culprit(&whole, here, error)),
        };
        if stream.name.trim().is_empty() {
            return Err(self
                .text
                .error(&here.key("name"), "is empty")
                .hint("name the stream, as discover shows it"));
        }
        if stream.max_shrink.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(self.text.error(&here.key("max_shrink"), "must be a share from 0 to 1"));
        }
        Ok(stream)
    }

    // A flattened type forgets the path of the member that is wrong: each one is asked alone.
    fn culprit(
        &self,
        whole: &Value,
        here: &JsonPath,
        error: serde_path_to_error::Error<serde_json::Error>,
    ) -> Error {
        for (key, value) in whole.as_object().into_iter().flatten() {
            let mut alone = json!({"name": "x"});
            if let Some(map) = alone.as_object_mut() {
                map.insert(key.clone(), value.clone());
            }
            if let Err(error) = serde_json::from_value::<StreamSelection>(alone) {
                return self.text.error(&here.key(key), worded(&error.to_string()));
            }
        }
        let path = here.join(error.path());
        self.text.error(&path, worded(&error.into_inner().to_string()))
    }

    /// The entries that stand where state does; `own` is the member `state` of the connection itself.
    fn state(
        &mut self,
        held: &Value,
        own: Option<&Value>,
        id: Option<uuid::Uuid>,
        here: &JsonPath,
    ) -> Result<BTreeMap<String, StateEntry>, Error> {
        let hint = "`waybill state reset|accept` writes such an entry for you";
        let mut entries = BTreeMap::new();
        if let Some(file) = self.states {
            let is_empty = |own: &&Value| own.is_null() || own.as_object().is_some_and(Map::is_empty);
            if own.filter(|own| !is_empty(own)).is_some() {
                let message = format!("stands here although state_file names {}", file.path.display());
                return Err(self.text.error(here, message).hint(
                    "move what it says into that file, and remove it here; or say it with `waybill state`",
                ));
            }
            if held.is_null() {
                return Ok(entries);
            }
            let map = held.as_object().ok_or_else(|| file.error(id, None, "must be an object"))?;
            for (stream, value) in map {
                let entry = StateEntry::parse(value);
                let entry = entry.map_err(|why| file.error(id, Some(stream), &why).hint(hint))?;
                entries.insert(stream.clone(), entry);
            }
            return Ok(entries);
        }
        if held.is_null() {
            return Ok(entries);
        }
        for (stream, value) in self.object(held, here)? {
            let entry =
                StateEntry::parse(value).map_err(|why| self.text.error(&here.key(stream), why).hint(hint))?;
            entries.insert(stream.clone(), entry);
        }
        Ok(entries)
    }
}

/// The path of a connector's own error stays; what follows is worded without the value.
pub(crate) fn worded_path(message: &str) -> String {
    match message.split_once(": ") {
        Some((path, rest)) if !path.contains(' ') => format!("{path}: {}", worded(rest)),
        _ => worded(message),
    }
}

fn passwords(value: &Value, here: &JsonPath, found: &mut Vec<JsonPath>) {
    match value {
        Value::String(text) if has_password(text) => found.push(here.clone()),
        Value::Object(map) => map.iter().for_each(|(key, value)| passwords(value, &here.key(key), found)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(at, value)| passwords(value, &here.index(at), found));
        }
        _ => {}
    }
}
