//! config.json as a text: read whole, refused with file, line and column where it is not JSON.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use waybill_protocol::{Error, Result};

use super::super::span::{JsonPath, Node, position, scan};

/// A config file that is JSON, with the places of its values.
#[derive(Debug, Clone)]
pub struct ConfigText {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Its value.
    pub value: Value,
    root: Node,
}

impl ConfigText {
    /// Reads a config file.
    pub fn read(path: &Path) -> Result<ConfigText> {
        let bytes = fs::read(path).map_err(|e| unreadable(path, e))?;
        ConfigText::parse(path, bytes)
    }

    /// Reads the bytes of a config file.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<ConfigText> {
        let name = path.display();
        if bytes.starts_with(b"\xef\xbb\xbf")
            || bytes.starts_with(b"\xff\xfe")
            || bytes.starts_with(b"\xfe\xff")
        {
            return Err(Error::config(format!("{name}:1:1: the file begins with a byte-order mark"))
                .hint("save it as UTF-8 without a byte-order mark"));
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let good = e.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(e.as_bytes().get(..good).unwrap_or_default());
            let (line, column) = position(&before, before.len());
            Error::config(format!("{name}:{line}:{column}: not UTF-8")).hint("save the file as UTF-8")
        })?;
        if text.trim().is_empty() {
            return Err(Error::config(format!("{name}: the file is empty"))
                .hint("the least that it can hold is {\"version\": 1, \"connections\": []}"));
        }
        let value: Value = serde_json::from_str(&text).map_err(|e| not_json(path, &e))?;
        if !value.is_object() {
            return Err(Error::config(format!("{name}:1: the file holds no object"))
                .hint("it begins with { and has the members version and connections"));
        }
        let root = scan(&text)?;
        Ok(ConfigText { path: path.to_path_buf(), text, value, root })
    }

    /// The file, for messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// An error about the value at a path: `config.json:12: connections[0].name: …`.
    pub fn error(&self, path: &JsonPath, message: impl std::fmt::Display) -> Error {
        Error::config(self.say(path, message))
    }

    /// The same as text.
    pub fn say(&self, path: &JsonPath, message: impl std::fmt::Display) -> String {
        let (line, _) = position(&self.text, self.root.nearest(path).span.start);
        format!("{}:{line}: {path}: {message}", self.path.display())
    }

    /// Paths of members that stand twice in one object.
    pub fn doubled(&self) -> Vec<JsonPath> {
        let mut found = Vec::new();
        self.root.doubled(&JsonPath::default(), &mut found);
        found
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let name = path.display();
    let (message, hint) = match error.kind() {
        io::ErrorKind::NotFound => (
            format!("there is no config file {name}"),
            "make one with `waybill init`, or name the project's folder with --project-dir",
        ),
        io::ErrorKind::IsADirectory => (
            format!("{name} is a folder, not a config file"),
            "move the folder away, or name another file with ORCH_CONFIG_PATH",
        ),
        _ => (format!("{name} cannot be read: {error}"), "give this user the right to read it"),
    };
    Error::config(message).hint(hint).cause(error)
}

fn not_json(path: &Path, error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let name = path.display();
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    if error.is_eof() {
        return Error::config(format!("{name}:{line}:{column}: the file ends in the middle: {what}"))
            .hint("restore the rest, or an earlier version from backups/");
    }
    Error::config(format!("{name}:{line}:{column}: not JSON: {what}"))
        .hint("look for a comma too many or too few, or a missing quote, at or just before that place")
}

/// What a deserialiser says, without the value that it met: that may be anything, a secret too.
pub(crate) fn worded(message: &str) -> String {
    let met = ["invalid type: ", "invalid value: "].iter().find_map(|head| message.strip_prefix(head));
    let Some((met, expected)) = met.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let forms = [
        ("string", "a text"),
        ("character", "a text"),
        ("integer", "a whole number"),
        ("floating point", "a number with a fraction"),
        ("boolean", "true or false"),
        ("map", "an object"),
        ("sequence", "a list"),
        ("null", "null"),
        ("unit value", "null"),
    ];
    let found = forms.iter().find(|(word, _)| met.starts_with(word)).map_or("something else", |(_, f)| *f);
    if message.starts_with("invalid value: ") {
        return format!("expected {expected}; {found} of another value was found");
    }
    format!("expected {expected}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        let error = ConfigText::parse(Path::new("config.json"), bytes.to_vec()).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.get_hint().is_some(), "{error}");
        error.message().to_owned()
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        assert!(refused(b"").contains("empty"));
        assert!(refused(b" \n ").contains("empty"));
        assert!(refused(b"\xef\xbb\xbf{}").contains("byte-order mark"));
        assert!(refused(b"\xff\xfe{\0").contains("byte-order mark"));
        assert_eq!(refused(b"{\n \"\xc3\xa9\": \"\xff\"}"), "config.json:2:8: not UTF-8");
        assert!(refused(b"[]").contains("no object"));
        assert!(refused(b"5").contains("no object"));
        let cut = refused(b"{\n  \"connections\": [\n    {\"name\": \"x");
        assert!(cut.starts_with("config.json:3:") && cut.contains("ends in the middle"), "{cut}");
        let comma = refused(b"{\n  \"a\": 1,\n}");
        assert_eq!(comma, "config.json:3:1: not JSON: trailing comma");
        assert!(refused(b"{\"a\": 1} x").contains("trailing characters"));
        assert!(refused("[".repeat(100_000).as_bytes()).contains("recursion limit"));
        assert!(refused(b"{\"a\": NaN}").contains("config.json:1:"));
    }

    #[test]
    fn the_value_that_was_met_is_not_repeated() {
        assert_eq!(
            worded("invalid type: string \"hunter2, expected x\", expected u16"),
            "expected u16, found a text"
        );
        assert_eq!(
            worded("invalid type: floating point `1.5`, expected u64"),
            "expected u64, found a number with a fraction"
        );
        assert!(!worded("invalid value: integer `70000`, expected u16").contains("70000"));
        assert_eq!(worded("missing field `host`"), "missing field `host`");
    }

    #[test]
    fn a_missing_file_and_a_folder_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let error = ConfigText::read(&folder.path().join("config.json")).unwrap_err();
        assert!(error.message().contains("no config file") && error.get_hint().unwrap().contains("init"));
        let error = ConfigText::read(folder.path()).unwrap_err();
        assert!(error.message().contains("is a folder"), "{error}");
        assert_eq!(error.exit_code(), 3);
    }
}
