//! Which streams of a source are loaded, and how: the list `schema.streams` of a connection.

use serde::Serialize;
use serde_json::{Map, Value, json};
use waybill_protocol::{CatalogStream, Connector, Error, Kind, Origin, Result, Role, StreamSelection};

use super::draft::with_schema;
use super::propose::propose;
use crate::secrets::merge::typed;
use crate::store::nearest::{did_you_mean, shown};
use crate::store::shape::Shape;
use crate::store::systems::Systems;

/// What is meant to change.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Streams to select, by name or pattern (`*`, `?`); those that are selected get the options.
    pub add: Vec<String>,
    /// Streams to select no more.
    pub drop: Vec<String>,
    /// Options by name, as text; read as the types that the schemas say. `None` takes one out.
    pub options: Vec<(String, Option<String>)>,
    /// Whether what the catalog suggests goes into the entries of newly selected streams.
    pub propose: bool,
    /// Whether patterns are selected as they stand, so that streams that come later are meant too.
    pub patterns: bool,
}

/// What changed for one stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamChange {
    /// Its name.
    pub stream: String,
    /// Its entry as it stood; none where it was not selected.
    pub before: Option<Value>,
    /// Its entry as it stands; none where it is selected no more.
    pub after: Option<Value>,
    /// Why it is selected so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// Whether a name fits a pattern: `*` stands for any run of characters, `?` for one.
pub use crate::store::glob::{fits, is_pattern};

/// Changes the selection in an entry. With a catalog, streams and columns are held to it; without,
/// only exact names can be added.
pub fn select(
    entry: &mut Map<String, Value>,
    wish: &Wish,
    catalog: Option<&[CatalogStream]>,
    registry: &[Box<dyn Connector>],
) -> Result<Vec<StreamChange>> {
    let options = typed_options(entry, &wish.options, registry)?;
    with_schema(entry, |schema| {
        let list = schema.entry("streams").or_insert_with(|| json!([]));
        let list = list.as_array_mut().ok_or_else(|| Error::config("schema.streams must be a list"))?;
        let mut changes = drop_streams(list, &wish.drop)?;
        for glob in &wish.add {
            for name in meant(list, glob, wish, &options, catalog)? {
                let stream = catalog.and_then(|all| all.iter().find(|stream| stream.name == name));
                changes.extend(put(list, &name, wish, &options, stream)?);
            }
        }
        Ok(changes)
    })
}

fn name_of(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn drop_streams(list: &mut Vec<Value>, globs: &[String]) -> Result<Vec<StreamChange>> {
    let mut changes = Vec::new();
    for glob in globs {
        let gone = |value: &Value| name_of(value) == glob || fits(glob, name_of(value));
        if !list.iter().any(gone) {
            let names: Vec<&str> = list.iter().map(name_of).collect();
            let near = did_you_mean(glob, names.iter().copied());
            return Err(Error::config(format!("no selected stream is {}{near}", shown(glob))).hint(format!(
                "selected are: {}",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            )));
        }
        for value in list.iter().filter(|value| gone(value)) {
            changes.push(StreamChange {
                stream: name_of(value).to_owned(),
                before: Some(value.clone()),
                after: None,
                reasons: Vec::new(),
            });
        }
        list.retain(|value| !gone(value));
    }
    Ok(changes)
}

/// The names that a pattern means: those of the catalog, and those that are selected.
fn meant(
    list: &[Value],
    glob: &str,
    wish: &Wish,
    options: &[(String, Option<Value>)],
    catalog: Option<&[CatalogStream]>,
) -> Result<Vec<String>> {
    if glob.trim().is_empty() {
        return Err(Error::config("the name of a stream is empty")
            .hint("name it as `waybill connection discover` shows it"));
    }
    let selected: Vec<&str> =
        list.iter().map(name_of).filter(|name| *name == glob || fits(glob, name)).collect();
    let own = |key: &str| options.iter().any(|(option, value)| option == key && value.is_some());
    // A name of one's own: a query or a path stands for what the source calls otherwise.
    if !is_pattern(glob) && (own("query") || own("path") || selected.contains(&glob))
        || (is_pattern(glob) && wish.patterns)
    {
        return Ok(vec![glob.to_owned()]);
    }
    let Some(catalog) = catalog else {
        return match (is_pattern(glob), selected.is_empty()) {
            (false, _) => Ok(vec![glob.to_owned()]),
            (true, false) => Ok(selected.into_iter().map(str::to_owned).collect()),
            (true, true) => Err(Error::config(format!("no selected stream fits {}", shown(glob)))
                .hint("a pattern adds streams only where the source is asked: leave --offline out")),
        };
    };
    let mut names: Vec<String> = selected.into_iter().map(str::to_owned).collect();
    for stream in catalog.iter().filter(|stream| stream.name == glob || fits(glob, &stream.name)) {
        if !names.contains(&stream.name) {
            names.push(stream.name.clone());
        }
    }
    if names.is_empty() {
        let known: Vec<&str> = catalog.iter().map(|stream| stream.name.as_str()).collect();
        let near = did_you_mean(glob, known.iter().copied());
        let some: Vec<&str> = known.iter().take(10).copied().collect();
        let more = if known.len() > some.len() { ", …" } else { "" };
        return Err(Error::new(Kind::NotFound, format!("the source has no stream {}{near}", shown(glob)))
            .origin(Origin::Source)
            .hint(format!(
                "it has: {}{more}",
                if some.is_empty() { "none that this user can see".to_owned() } else { some.join(", ") }
            )));
    }
    Ok(names)
}

fn put(
    list: &mut Vec<Value>,
    name: &str,
    wish: &Wish,
    options: &[(String, Option<Value>)],
    stream: Option<&CatalogStream>,
) -> Result<Option<StreamChange>> {
    let at = list.iter().position(|value| name_of(value) == name);
    let before = at.and_then(|at| list.get(at)).cloned();
    let mut reasons = Vec::new();
    let mut entry = match (&before, stream) {
        (Some(before), _) => before.as_object().cloned().unwrap_or_default(),
        (None, Some(stream)) if wish.propose => {
            let proposal = propose(stream);
            reasons = proposal.reasons;
            reasons.extend(proposal.alternative.map(|(entry, when)| another_way(&entry, &when)));
            proposal.entry
        }
        (None, _) => Map::from_iter([("name".to_owned(), json!(name))]),
    };
    // Files that the catalog found are read by their path.
    let path =
        stream.filter(|stream| before.is_none() && stream.kind == "files").map(|stream| json!(stream.name));
    entry.extend(path.map(|path| ("path".to_owned(), path)));
    for (key, value) in options {
        match value {
            Some(value) => drop(entry.insert(key.clone(), value.clone())),
            None => drop(entry.shift_remove(key)),
        }
    }
    if let Some(stream) = stream {
        columns_exist(&entry, stream)?;
    }
    let after = Value::Object(entry);
    if before.as_ref() == Some(&after) {
        return Ok(None);
    }
    match at.and_then(|at| list.get_mut(at)) {
        Some(slot) => *slot = after.clone(),
        None => list.push(after.clone()),
    }
    Ok(Some(StreamChange { stream: name.to_owned(), before, after: Some(after), reasons }))
}

/// The alternative of a proposal, as flags and in words.
fn another_way(entry: &Map<String, Value>, when: &str) -> String {
    let flags = ["mode", "write", "cursor"].into_iter().filter_map(|key| {
        let value = entry.get(key).and_then(Value::as_str)?;
        Some(format!("--{key} {value}"))
    });
    format!("or {}, {when}", flags.collect::<Vec<_>>().join(" "))
}

fn columns_exist(entry: &Map<String, Value>, stream: &CatalogStream) -> Result<()> {
    let known: Vec<&str> = stream.schema.fields().iter().map(|field| field.name().as_str()).collect();
    for key in ["cursor", "primary_key", "columns"] {
        let values = match entry.get(key) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => vec![text.as_str()],
            _ => Vec::new(),
        };
        if let Some(wrong) = values.into_iter().find(|name| !known.contains(name)) {
            let near = did_you_mean(wrong, known.iter().copied());
            return Err(Error::config(format!(
                "{}: {key}: there is no column {}{near}",
                stream.name,
                shown(wrong)
            ))
            .stream(&stream.name)
            .hint(format!("its columns are: {}", known.join(", "))));
        }
    }
    let cursor = entry.get("cursor").and_then(Value::as_str);
    if entry.get("mode").and_then(Value::as_str) == Some("incremental")
        && cursor.is_none()
        && stream.kind != "files"
    {
        let candidates: Vec<&str> =
            stream.cursors.iter().map(|candidate| candidate.column.as_str()).collect();
        return Err(Error::config(format!("{}: incremental reading needs a cursor", stream.name))
            .stream(&stream.name)
            .hint(match candidates.is_empty() {
                true => "give --cursor COLUMN: one whose values only grow".to_owned(),
                false => format!("give --cursor with one of: {}", candidates.join(", ")),
            }));
    }
    Ok(())
}

/// Options as values, by the schema that all streams share and that of the connector.
fn typed_options(
    entry: &Map<String, Value>,
    options: &[(String, Option<String>)],
    registry: &[Box<dyn Connector>],
) -> Result<Vec<(String, Option<Value>)>> {
    let systems = Systems::of(registry);
    let system = entry.get("type").and_then(Value::as_str).unwrap_or_default();
    let refused = |(message, hint): (String, String)| Error::config(message).hint(hint);
    let known = systems.find(system, Role::Source).map_err(refused)?;
    let shape = Shape::merged([Shape::of(&systems.selection), Shape::of(&known.stream)]);
    let mut typed_all = Vec::new();
    for (key, text) in options {
        let member = shape.member(key).filter(|_| key != "name").ok_or_else(|| {
            let names: Vec<&str> = shape.names().into_iter().filter(|name| *name != "name").collect();
            let near = did_you_mean(key, names.iter().copied());
            Error::config(format!("a stream of {system} has no option {}{near}", shown(key)))
                .hint(format!("it has: {}", names.join(", ")))
        })?;
        let value = match text {
            None => None,
            Some(text) => {
                Some(typed_option(text, &member).map_err(|why| Error::config(format!("{key}: {why}")))?)
            }
        };
        if let Some(value) = &value {
            let mut alone = json!({"name": "x"});
            alone[key.as_str()] = value.clone();
            if let Err(e) = serde_json::from_value::<StreamSelection>(alone) {
                return Err(Error::config(format!("{key}: {e}"))
                    .hint(format!("`waybill schema config` says what {key} may be")));
            }
        }
        typed_all.push((key.clone(), value));
    }
    Ok(typed_all)
}

/// A list may be given as `a,b` too; what is no text and no JSON is a text.
fn typed_option(text: &str, member: &Shape<'_>) -> std::result::Result<Value, String> {
    if member.has_type("array") && !text.trim_start().starts_with('[') {
        return Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect());
    }
    typed(text, member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::registry;

    fn entry() -> Map<String, Value> {
        let entry = json!({"name": "a", "type": "depot", "schema": {"host": "h", "streams": [
            {"name": "s.a", "note": "mine"}, {"name": "s.b"}, {"name": "t"}]}});
        entry.as_object().cloned().unwrap()
    }

    fn wish(add: &[&str], drop: &[&str], options: &[(&str, Option<&str>)]) -> Wish {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let options =
            options.iter().map(|(key, text)| ((*key).to_owned(), text.map(str::to_owned))).collect();
        Wish { add: own(add), drop: own(drop), options, ..Wish::default() }
    }

    #[test]
    fn patterns_mean_what_is_selected_and_options_are_typed() {
        let mut entry = entry();
        let options = [
            ("primary_key", Some("id, no")),
            ("max_bad_rows", Some("5")),
            ("shared", Some("true")),
            ("header", Some("false")),
        ];
        let changes = select(&mut entry, &wish(&["s.*", "u"], &["t"], &options), None, &registry()).unwrap();
        let names: Vec<&str> = changes.iter().map(|change| change.stream.as_str()).collect();
        assert_eq!(names, ["t", "s.a", "s.b", "u"]);
        assert_eq!(
            entry["schema"]["streams"][0],
            json!({"name": "s.a", "note": "mine", "primary_key": ["id", "no"], "max_bad_rows": 5, "shared": true, "header": false})
        );
        assert_eq!(select(&mut entry, &wish(&["s.a"], &[], &[]), None, &registry()).unwrap(), []);
        select(&mut entry, &wish(&["s.a"], &[], &[("primary_key", None)]), None, &registry()).unwrap();
        assert!(entry["schema"]["streams"][0].get("primary_key").is_none());
    }

    #[test]
    fn what_is_wrong_names_what_there_is() {
        let refused = |wish: Wish| {
            let mut entry = entry();
            let error = select(&mut entry, &wish, None, &registry()).unwrap_err();
            format!("{} | {}", error.message(), error.get_hint().unwrap_or_default())
        };
        assert!(refused(wish(&[], &["tt"], &[])).contains("did you mean \"t\""));
        assert!(refused(wish(&["x*"], &[], &[])).contains("no selected stream fits"));
        assert!(refused(wish(&["t"], &[], &[("curser", Some("x"))])).contains("did you mean \"cursor\""));
        assert!(refused(wish(&["t"], &[], &[("mode", Some("sometimes"))])).contains("mode: "));
        assert!(refused(wish(&["t"], &[], &[("max_bad_rows", Some("-1"))])).contains("max_bad_rows"));
        assert!(refused(wish(&["t"], &[], &[("lookback", Some("soon"))])).contains("lookback"));
        assert!(refused(wish(&[" "], &[], &[])).contains("empty"));
        assert!(refused(wish(&["t"], &[], &[("name", Some("x"))])).contains("no option"));
    }
}
