//! secrets.toml as values, references not yet followed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, TableLike};
use waybill_protocol::{Error, Result};

use super::edit::NewValue;
use super::reference::private;
use crate::store::config::Finding;
use crate::store::nearest::did_you_mean;
use crate::store::project::Project;
use crate::store::span::position;

/// The secrets file, read.
#[derive(Clone, Default)]
pub struct SecretsFile {
    path: PathBuf,
    root: Map<String, Value>,
}

// Its values are secrets: only the place may be seen.
impl std::fmt::Debug for SecretsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretsFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SecretsFile {
    /// Reads the project's secrets; a file that is not there is an empty one.
    pub fn read(project: &Project) -> Result<SecretsFile> {
        let path = project.secrets_path.clone();
        let Some(text) = read_text(project, &path)? else {
            return Ok(SecretsFile { path, root: Map::new() });
        };
        let document = parse(&path, &text)?;
        let mut root = Map::new();
        for (key, item) in document.iter() {
            root.insert(key.to_owned(), json(item, &format!("{}: {key}", path.display()))?);
        }
        let file = SecretsFile { path, root };
        for section in ["sources", "destination"] {
            for (name, entry) in file.table(section)? {
                if !entry.is_object() {
                    return Err(file
                        .error(&format!("{section}.{name}"), "must be a table")
                        .hint(format!("write it as [{section}.{name}]")));
                }
            }
        }
        Ok(file)
    }

    /// The keys of `[sources.<connection>]`.
    pub fn source(&self, connection: &str) -> Map<String, Value> {
        self.section("sources", connection)
    }

    /// The file as it would be with these secrets of a connection's source; `None` takes one out.
    pub fn with_source(&self, connection: &str, changes: &BTreeMap<String, Option<NewValue>>) -> SecretsFile {
        let mut file = self.clone();
        let mut section = file.source(connection);
        for (key, change) in changes {
            match change.as_ref().and_then(|new| json(&Item::Value(new.written()), key).ok()) {
                Some(value) => drop(section.insert(key.clone(), value)),
                None => drop(section.shift_remove(key)),
            }
        }
        let sources = file.root.entry("sources").or_insert_with(|| Value::Object(Map::new()));
        if let Some(sources) = sources.as_object_mut() {
            sources.insert(connection.to_owned(), Value::Object(section));
        }
        file
    }

    /// The keys of `[destination.<name>]` and those of `[destination.<name>.credentials]`.
    pub fn destination(&self, name: &str) -> Result<(Map<String, Value>, Map<String, Value>)> {
        let mut settings = self.section("destination", name);
        match settings.shift_remove("credentials") {
            None => Ok((settings, Map::new())),
            Some(Value::Object(credentials)) => Ok((settings, credentials)),
            Some(_) => Err(self
                .error(&format!("destination.{name}.credentials"), "must be a table")
                .hint(format!("write it as [destination.{name}.credentials]"))),
        }
    }

    /// An error about a place of the file.
    pub fn error(&self, place: &str, message: &str) -> Error {
        Error::config(format!("{}: {place}: {message}", self.path.display()))
    }

    /// Tables that nothing reads, given the names that exist.
    pub fn strays(&self, connections: &[&str], destinations: &[&str]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut stray = |place: String, near: String| {
            let message = format!("{}: {place}: nothing reads it{near}", self.path.display());
            findings.push(Finding { path: place, message });
        };
        for key in self.root.keys().filter(|key| *key != "sources" && *key != "destination") {
            stray(key.clone(), did_you_mean(key, ["sources", "destination"]));
        }
        for (section, known) in [("sources", connections), ("destination", destinations)] {
            for name in self.root.get(section).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                if !known.contains(&name.as_str()) {
                    stray(format!("{section}.{name}"), did_you_mean(name, known.iter().copied()));
                }
            }
        }
        findings
    }

    fn section(&self, section: &str, name: &str) -> Map<String, Value> {
        let found = self.root.get(section).and_then(|section| section.get(name));
        found.and_then(Value::as_object).cloned().unwrap_or_default()
    }

    fn table(&self, section: &str) -> Result<Map<String, Value>> {
        match self.root.get(section) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => {
                Err(self.error(section, "must be a table").hint(format!("write it as [{section}.<name>]")))
            }
        }
    }
}

/// The text of the file, if it is there, readable and private.
pub(super) fn read_text(project: &Project, path: &Path) -> Result<Option<String>> {
    let name = path.display();
    let refused = |e: io::Error| {
        let message = match e.kind() {
            io::ErrorKind::IsADirectory => format!("{name} is a folder, not a secrets file"),
            _ => format!("{name} cannot be read: {e}"),
        };
        Error::config(message).hint("correct it, or name another file with SECRETS_PATH").cause(e)
    };
    let found = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(refused(io::ErrorKind::IsADirectory.into())),
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(refused(e)),
    };
    private(project, path, found.permissions().mode())?;
    let bytes = fs::read(path).map_err(refused)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::config(format!("{name} is not UTF-8")).hint("save the file as UTF-8")),
    }
}

/// Parses it; the error has the place, and no word of the line: that may hold a secret.
pub(super) fn parse(path: &Path, text: &str) -> Result<DocumentMut> {
    text.parse::<DocumentMut>().map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        let (line, column) = position(text, floor(text, at));
        let content = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let what = quiet(error.message(), content);
        Error::config(format!("{}:{line}:{column}: not TOML{what}", path.display())).hint(
            "write values in quotes: key = \"value\"; a value with quotes or backslashes in single quotes",
        )
    })
}

/// The parser's words, unless they repeat some of the line's value.
fn quiet(message: &str, line: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let value = line.split_once('=').map_or(line, |(_, value)| value);
    let mut words = value.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 3);
    if words.any(|word| message.contains(word)) { String::new() } else { format!(": {message}") }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn json(item: &Item, place: &str) -> Result<Value> {
    if let Some(table) = item.as_table_like() {
        return table_json(table, place);
    }
    if let Some(tables) = item.as_array_of_tables() {
        return tables.iter().map(|table| table_json(table, place)).collect();
    }
    match item.as_value() {
        Some(value) => value_json(value, place),
        None => Ok(Value::Null),
    }
}

fn table_json(table: &dyn TableLike, place: &str) -> Result<Value> {
    let mut map = Map::new();
    for (key, item) in table.iter() {
        map.insert(key.to_owned(), json(item, &format!("{place}.{key}"))?);
    }
    Ok(Value::Object(map))
}

fn value_json(value: &toml_edit::Value, place: &str) -> Result<Value> {
    use toml_edit::Value as Toml;
    Ok(match value {
        Toml::String(text) => Value::from(text.value().as_str()),
        Toml::Integer(number) => Value::from(*number.value()),
        Toml::Float(number) => serde_json::Number::from_f64(*number.value())
            .map(Value::Number)
            .ok_or_else(|| Error::config(format!("{place} is no finite number")).hint("write a number"))?,
        Toml::Boolean(truth) => Value::from(*truth.value()),
        Toml::Datetime(time) => Value::from(time.value().to_string()),
        Toml::Array(items) => items.iter().map(|item| value_json(item, place)).collect::<Result<_>>()?,
        Toml::InlineTable(table) => table_json(table, place)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;

    #[test]
    fn a_missing_or_empty_file_is_fine() {
        let home = Home::new("{}");
        assert!(SecretsFile::read(&home.project).unwrap().source("x").is_empty());
        home.secrets("");
        assert!(SecretsFile::read(&home.project).unwrap().destination("x").unwrap().0.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_by_place_without_its_content() {
        let home = Home::new("{}");
        let refused = |text: &str| {
            home.secrets(text);
            let error = SecretsFile::read(&home.project).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.get_hint().is_some(), "{error}");
            let all = format!("{error} {:?} {:?}", error.get_hint(), error.causes());
            assert!(!all.contains("hunter2"), "{all}");
            error.message().to_owned()
        };
        assert!(refused("[sources.a]\npassword = hunter2\n").contains("secrets.toml:2:"));
        assert!(refused("[sources.a]\npassword = \"hunter2\n").contains("secrets.toml:2:"));
        assert!(refused("[sources.a]\nhunter2\n").contains("secrets.toml:2:"));
        assert!(refused("[sources.a]\na = 'x' hunter2\n").contains("secrets.toml:2:"));
        assert!(refused("[sources.a\nx = \"hunter2\"").contains("secrets.toml:1:"));
        assert!(refused("[sources.a]\nx = 1\nx = \"hunter2\"").contains("secrets.toml:3:"));
        assert!(refused("x = \"\\q hunter2\"").contains("secrets.toml:1:"));
        assert!(refused("x = \"é\" é hunter2").contains("secrets.toml:1:"));
        assert!(refused("sources = \"hunter2\"").contains("sources: must be a table"));
        assert!(refused("sources.a = \"hunter2\"").contains("sources.a: must be a table"));
        home.secrets("[destination.x]\ncredentials = \"hunter2\"");
        assert!(SecretsFile::read(&home.project).unwrap().destination("x").is_err());
    }

    #[test]
    fn a_parser_that_repeats_the_line_is_not_quoted() {
        assert_eq!(quiet("invalid value `hunter2`\nmore", "password = hunter2"), "");
        assert_eq!(
            quiet("string values must be quoted\nmore", "password = hunter2"),
            ": string values must be quoted"
        );
    }

    #[test]
    fn others_must_not_read_it_and_folders_are_no_files() {
        let home = Home::new("{}");
        home.secrets("");
        let chmod =
            |mode| fs::set_permissions(&home.project.secrets_path, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660] {
            chmod(mode);
            let error = SecretsFile::read(&home.project).unwrap_err();
            let hint = error.get_hint().unwrap();
            assert!(hint.contains("chmod 600 ") && hint.contains("WAYBILL_ALLOW_LOOSE_SECRETS=1"), "{hint}");
            assert_eq!(error.exit_code(), 3);
        }
        let mut loose = home.project.clone();
        loose.env =
            crate::store::project::Env::from_map([("WAYBILL_ALLOW_LOOSE_SECRETS".into(), "1".into())].into());
        assert!(SecretsFile::read(&loose).is_ok());
        // The mode that counts is that of the file behind a link.
        let real = home.folder.path().join("real.toml");
        fs::rename(&home.project.secrets_path, &real).unwrap();
        std::os::unix::fs::symlink(&real, &home.project.secrets_path).unwrap();
        assert!(SecretsFile::read(&home.project).is_err());
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SecretsFile::read(&home.project).is_ok());
        fs::remove_file(&home.project.secrets_path).unwrap();
        fs::create_dir(&home.project.secrets_path).unwrap();
        assert!(SecretsFile::read(&home.project).unwrap_err().message().contains("is a folder"));
    }

    #[test]
    fn tables_that_nothing_reads_are_reported() {
        let home = Home::new("{}");
        home.secrets("[source.a]\n[sources.crn]\n[destination.x]\n");
        let found = SecretsFile::read(&home.project).unwrap().strays(&["crm"], &["x"]);
        assert_eq!(found.len(), 2);
        assert!(
            found[0].message.contains("did you mean \"sources\"") && found[1].message.contains("\"crm\"")
        );
    }
}
