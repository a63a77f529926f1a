//! How a stream is to be loaded, as the dialogue holds it before it is saved.

use serde_json::{Map, Value, json};
use waybill_protocol::CatalogStream;
use waybill_protocol::stream::{SyncMode, WriteMode};

use super::fields::shown;
use crate::manage::propose::propose;

/// What is decided about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Its name in the catalog.
    pub(super) stream: String,
    /// The columns to load; all where none.
    pub(super) columns: Option<Vec<String>>,
    pub(super) mode: SyncMode,
    /// How it is written, where that is not what follows from the mode.
    pub(super) write: Option<WriteMode>,
    pub(super) cursor: Option<String>,
    /// The key, where it is not the source's own.
    pub(super) key: Option<Vec<String>>,
    /// Whether there is a key at all.
    pub(super) keyed: bool,
    /// Why it is proposed so.
    pub(super) why: String,
    /// What else its entry begins with, as it was proposed.
    pub(super) base: Map<String, Value>,
    /// The name and path of its entry, where streams are files.
    pub(super) file: Option<(String, String)>,
}

/// What is proposed for a stream of the catalog.
pub(super) fn proposed(stream: &CatalogStream, path: bool) -> Plan {
    let proposal = propose(stream);
    let entry = Value::Object(proposal.entry.clone());
    let file = path.then(|| (file_name(&stream.name), stream.name.clone()));
    Plan {
        why: proposal.reasons.join("; "),
        base: proposal.entry,
        file,
        ..Plan::of_entry(stream, &entry, path)
    }
}

/// A name for a stream of files: the file's, without its folder and extension.
fn file_name(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or(path);
    let stem = last.split_once('.').map_or(last, |(stem, _)| stem);
    if stem.is_empty() { path.to_owned() } else { stem.to_owned() }
}

impl Plan {
    /// How it is written.
    pub(super) fn write(&self) -> WriteMode {
        self.write.unwrap_or(match (self.mode, self.keyed || self.key.is_some()) {
            (SyncMode::FullRefresh, _) => WriteMode::Overwrite,
            (SyncMode::Incremental, true) => WriteMode::Merge,
            (SyncMode::Incremental, false) => WriteMode::Append,
        })
    }

    /// Whether it is read by file and not by cursor.
    pub(super) fn by_file(&self) -> bool {
        self.file.is_some()
    }

    /// How, and why, in a few words.
    pub(super) fn how(&self) -> String {
        let how = match (&self.mode, &self.cursor) {
            (SyncMode::FullRefresh, _) => "full refresh".to_owned(),
            (SyncMode::Incremental, Some(cursor)) => format!("incremental by {cursor}, {}", self.write()),
            (SyncMode::Incremental, None) => format!("incremental, {}", self.write()),
        };
        if self.why.is_empty() { how } else { format!("{how} ({})", self.why) }
    }

    /// The plan that an entry of the config stands for.
    pub(super) fn of_entry(stream: &CatalogStream, entry: &Value, path: bool) -> Plan {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let list = |key: &str| {
            let values = entry.get(key)?.as_array()?;
            Some(values.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let mode = match text("mode") {
            Some("incremental") => SyncMode::Incremental,
            _ => SyncMode::FullRefresh,
        };
        let write = match text("write") {
            Some("append") => Some(WriteMode::Append),
            Some("merge") => Some(WriteMode::Merge),
            Some("overwrite") => Some(WriteMode::Overwrite),
            _ => None,
        };
        let name = text("name").unwrap_or(&stream.name).to_owned();
        Plan {
            stream: stream.name.clone(),
            columns: list("columns"),
            mode,
            write,
            cursor: text("cursor").map(str::to_owned),
            key: list("primary_key"),
            keyed: !stream.primary_key.is_empty(),
            why: "as it is now".to_owned(),
            base: Map::new(),
            file: path.then(|| (name, text("path").unwrap_or(&stream.name).to_owned())),
        }
    }

    /// An entry with what is decided; its other members stay.
    pub(super) fn onto(&self, entry: Value) -> Value {
        let mut map = entry.as_object().cloned().unwrap_or_default();
        let mut put = |key: &str, value: Option<Value>| match value {
            Some(value) => drop(map.insert(key.to_owned(), value)),
            None => drop(map.shift_remove(key)),
        };
        match &self.file {
            Some((name, path)) => {
                put("name", Some(json!(name)));
                put("path", Some(json!(path)));
            }
            None => put("name", Some(json!(self.stream))),
        }
        put("columns", self.columns.as_ref().map(|columns| json!(columns)));
        put("mode", (self.mode == SyncMode::Incremental).then(|| json!("incremental")));
        put("write", self.write.map(|write| json!(write)));
        put("cursor", self.cursor.as_ref().map(|cursor| json!(cursor)));
        put("primary_key", self.key.as_ref().map(|key| json!(key)));
        Value::Object(map)
    }

    /// The entry of a stream that had none.
    pub(super) fn entry(&self) -> Value {
        let mut base = self.base.clone();
        // Its unit is that of the cursor that was proposed.
        let cursor = base.get("cursor").and_then(Value::as_str);
        if cursor != self.cursor.as_deref() {
            base.shift_remove("lookback");
        }
        self.onto(Value::Object(base))
    }

    /// What makes its entry of nothing, or of what stands there: arguments of `connection select`.
    /// None where nothing is left to say; `proposed` says that the proposal is selected already.
    pub(super) fn words(&self, before: Option<&Value>, proposed: bool) -> Option<Vec<String>> {
        let name = before.and_then(|entry| entry.get("name")).and_then(Value::as_str);
        let bare = json!({"name": self.entry_name()});
        let (before, after) = match before {
            Some(before) => (before.clone(), self.onto(before.clone())),
            None if proposed && self.file.is_none() => (Value::Object(self.base.clone()), self.entry()),
            None => (bare, self.entry()),
        };
        let options = options(&before, &after);
        let stream = ["--stream".to_owned(), name.unwrap_or(self.entry_name()).to_owned()];
        (!options.is_empty()).then(|| stream.into_iter().chain(options).collect())
    }

    /// The name of its entry.
    pub(super) fn entry_name(&self) -> &str {
        self.file.as_ref().map_or(&self.stream, |(name, _)| name)
    }

    /// Gives its entry another name, where streams are files.
    pub(super) fn rename(&mut self, new: String) {
        if let Some((name, _)) = &mut self.file {
            *name = new;
        }
    }
}

/// The flags of `connection select` that make one entry of another.
fn options(before: &Value, after: &Value) -> Vec<String> {
    let members = |entry: &Value| entry.as_object().cloned().unwrap_or_default();
    let (before, after) = (members(before), members(after));
    let mut words = Vec::new();
    for (key, value) in after.iter().filter(|(key, value)| *key != "name" && before.get(*key) != Some(value))
    {
        let list = value.as_array().map(|list| list.iter().map(|one| shown(Some(one))).collect::<Vec<_>>());
        let text = list.map_or_else(|| shown(Some(value)), |list| list.join(","));
        words.extend(["--set".to_owned(), format!("{key}={text}")]);
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        words.extend(["--unset".to_owned(), key.clone()]);
    }
    words
}

/// The entries of plans; files of one name in two folders get names of their own.
pub(super) fn entries(plans: &[Plan]) -> Value {
    let mut taken: Vec<String> = Vec::new();
    let entry = |plan: &Plan| {
        let mut plan = plan.clone();
        let base = plan.entry_name().to_owned();
        let mut number = 2;
        while taken.contains(&plan.entry_name().to_owned()) && plan.by_file() {
            plan.rename(format!("{base}_{number}"));
            number += 1;
        }
        taken.push(plan.entry_name().to_owned());
        plan.entry()
    };
    Value::Array(plans.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::Schema;
    use std::sync::Arc;
    use waybill_protocol::catalog::CursorCandidate;

    fn stream(name: &str, key: &[&str], cursors: &[(&str, bool)]) -> CatalogStream {
        let candidate = |(column, indexed): &(&str, bool)| CursorCandidate {
            column: (*column).to_owned(),
            indexed: *indexed,
            reason: "a timestamp".to_owned(),
        };
        CatalogStream {
            name: name.to_owned(),
            namespace: None,
            table: name.to_owned(),
            kind: "table".to_owned(),
            schema: Arc::new(Schema::empty()),
            primary_key: key.iter().map(|column| (*column).to_owned()).collect(),
            distinct: false,
            cursors: cursors.iter().map(candidate).collect(),
            rows: None,
            bytes: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_proposal_has_its_reason_and_gives_way() {
        let mut plan = proposed(&stream("other", &["id"], &[]), false);
        assert_eq!(plan.how(), "full refresh (no column grows: read whole)");
        assert_eq!(plan.entry(), json!({"name": "other"}));
        plan.base.insert("lookback".to_owned(), json!("10m"));
        (plan.mode, plan.cursor) = (SyncMode::Incremental, Some("id".to_owned()));
        assert_eq!(plan.entry(), json!({"name": "other", "mode": "incremental", "cursor": "id"}));
    }

    #[test]
    fn the_command_makes_the_same_entry() {
        let words = |plan: &Plan, before: Option<&Value>, proposed| {
            plan.words(before, proposed).map(|words| words.join(" ")).unwrap_or_default()
        };
        let mut plan = proposed(&stream("o", &["id"], &[]), false);
        assert_eq!(words(&plan, None, true), "", "the proposal says it all");
        (plan.columns, plan.write) = (Some(vec!["id".to_owned(), "n".to_owned()]), Some(WriteMode::Append));
        assert_eq!(words(&plan, None, true), "--stream o --set columns=id,n --set write=append");
        let before = json!({"name": "o", "mode": "incremental", "cursor": "id"});
        assert_eq!(
            words(&plan, Some(&before), false),
            "--stream o --set columns=id,n --set write=append --unset mode --unset cursor"
        );
        let file = proposed(&stream("a/x.csv", &[], &[]), true);
        assert_eq!(words(&file, None, true), "--stream x --set path=a/x.csv");
    }

    #[test]
    fn an_entry_keeps_what_the_dialogue_does_not_speak_of() {
        let entry =
            json!({"name": "o", "where": "x > 1", "mode": "incremental", "cursor": "a", "write": "append"});
        let mut plan = Plan::of_entry(&stream("o", &[], &[]), &entry, false);
        assert_eq!(plan.onto(entry.clone()), entry);
        plan.mode = SyncMode::FullRefresh;
        (plan.cursor, plan.write) = (None, None);
        assert_eq!(plan.onto(entry), json!({"name": "o", "where": "x > 1"}));
    }

    #[test]
    fn files_of_one_name_get_names_of_their_own() {
        let plans =
            [proposed(&stream("a/x.csv", &[], &[]), true), proposed(&stream("b/x.csv.gz", &[], &[]), true)];
        assert_eq!(
            entries(&plans),
            json!([{"name": "x", "path": "a/x.csv"}, {"name": "x_2", "path": "b/x.csv.gz"}])
        );
    }
}
