//! Values of secrets.toml that stand elsewhere: `{ env = "NAME" }`, `{ file = "path" }` and
//! `{ command = ["program", "argument"] }`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use waybill_protocol::{Error, Kind, Result};

use crate::store::nearest::did_you_mean;
use crate::store::project::Project;

/// How long reading a referenced file may take: it may be a pipe or a network mount.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// The variable that allows secrets that group or others can read.
pub const ALLOW_LOOSE: &str = "WAYBILL_ALLOW_LOOSE_SECRETS";

const MOST_BYTES: u64 = 1 << 20;

/// A place outside secrets.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A variable of the environment or of `.env`.
    Env(String),
    /// A file; a relative path starts at the folder of secrets.toml.
    File(String),
    /// What a program prints.
    Command {
        /// The program and its arguments.
        words: Vec<String>,
        /// How long it may take, where the usual is not enough.
        timeout: Option<Duration>,
    },
}

const FORMS: &str =
    "write { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\", \"argument\"] }";

impl Reference {
    /// The reference that a value is, if it is one; `place` is its path in the file, for errors.
    pub fn of(value: &Value, place: &str) -> Result<Option<Reference>> {
        if let Some(map) = value.as_object().filter(|map| map.contains_key("command")) {
            return command(map, place).map(Some);
        }
        let Some(map) = value.as_object().filter(|map| map.len() == 1) else { return Ok(None) };
        let Some((word, target)) = map.iter().next() else { return Ok(None) };
        let text = |target: &Value| match target.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(Error::config(format!("{place}: {word} must be a text that is not empty")).hint(FORMS)),
        };
        match word.as_str() {
            "env" => Ok(Some(Reference::Env(text(target)?))),
            "file" => Ok(Some(Reference::File(text(target)?))),
            _ => Ok(None),
        }
    }

    /// `env:NAME`, `file:PATH`, `command:PROGRAM`: for the record.
    pub fn origin(&self) -> String {
        match self {
            Reference::Env(name) => format!("env:{name}"),
            Reference::File(path) => format!("file:{path}"),
            // Its arguments may say more than the record should.
            Reference::Command { words, .. } => {
                format!("command:{}", words.first().map_or("", String::as_str))
            }
        }
    }

    /// The value; the error names the place and never holds a value.
    pub fn resolve(&self, project: &Project, place: &str, deadline: Duration) -> Result<String> {
        match self {
            Reference::Env(name) => match project.env.get(name) {
                Some((value, _)) => Ok(value.to_owned()),
                None => {
                    let near = did_you_mean(name, project.env.names());
                    Err(Error::config(format!("{place}: the variable {name} is not set{near}"))
                        .hint(format!("set {name} in the environment or in the project's .env")))
                }
            },
            Reference::File(path) => {
                let path = project.secrets_dir().join(path);
                let text = read_within(&path, deadline).map_err(|e| unreadable(place, &path, deadline, e))?;
                private(project, &path, text.1)?;
                Ok(text.0)
            }
            Reference::Command { words, timeout } => {
                super::command::ask(project, words, place, timeout.unwrap_or(deadline))
            }
        }
    }
}

/// `{ command = [...] }`, with `timeout_ms` where the usual is not enough.
fn command(map: &serde_json::Map<String, Value>, place: &str) -> Result<Reference> {
    let wrong = |what: &str| Error::config(format!("{place}: {what}")).hint(FORMS);
    if let Some(other) = map.keys().find(|key| *key != "command" && *key != "timeout_ms") {
        return Err(wrong(&format!("{other} is no member of a reference to a command")));
    }
    let list = map.get("command").and_then(Value::as_array);
    let words: Option<Vec<String>> = list
        .map(|list| list.iter().map(|word| word.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let words = words
        .filter(|words| words.first().is_some_and(|program| !program.is_empty()))
        .filter(|words| words.iter().all(|word| !word.contains('\0')))
        .ok_or_else(|| wrong("command must be a list of texts, the program first"))?;
    let timeout = match map.get("timeout_ms") {
        None => None,
        Some(ms) => match ms.as_u64().filter(|ms| (1..=600_000).contains(ms)) {
            Some(ms) => Some(Duration::from_millis(ms)),
            None => return Err(wrong("timeout_ms must be a whole number of milliseconds, 1 to 600000")),
        },
    };
    Ok(Reference::Command { words, timeout })
}

/// Reads on a thread of its own: opening a pipe without a writer blocks for ever.
fn read_within(path: &Path, deadline: Duration) -> io::Result<(String, u32)> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let owned = PathBuf::from(path);
    std::thread::Builder::new().name("secret-file".into()).spawn(move || {
        // Nobody listens any more when the deadline has passed.
        let _ = sender.send(read(&owned));
    })?;
    receiver.recv_timeout(deadline).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn read(path: &Path) -> io::Result<(String, u32)> {
    let mode = fs::metadata(path)?.permissions().mode();
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok((text, mode))
}

fn unreadable(place: &str, path: &Path, deadline: Duration, error: io::Error) -> Error {
    let name = path.display();
    let message = match error.kind() {
        io::ErrorKind::TimedOut => {
            let seconds = deadline.as_secs_f64();
            return Error::new(Kind::Timeout, format!("{place}: reading {name} took more than {seconds} s"))
                .hint("look what the file is: a pipe waits for its writer, a network mount for its server");
        }
        io::ErrorKind::NotFound => format!("{place}: there is no file {name}"),
        io::ErrorKind::IsADirectory => format!("{place}: {name} is a folder"),
        io::ErrorKind::InvalidData => format!("{place}: {name} is not UTF-8"),
        io::ErrorKind::FileTooLarge => {
            format!("{place}: {name} is larger than 1 MiB, too large for a secret")
        }
        _ => format!("{place}: {name} cannot be read: {error}"),
    };
    Error::config(message)
        .hint("correct the path; a relative one starts at the folder of secrets.toml")
        .cause(error)
}

/// Refuses a file that group or others can read, unless that was allowed.
pub(crate) fn private(project: &Project, path: &Path, mode: u32) -> Result<()> {
    if mode & 0o077 == 0 || loose_allowed(project) {
        return Ok(());
    }
    let name = path.display();
    Err(Error::config(format!("{name} can be read by others than its owner (mode {:04o})", mode & 0o7777))
        .hint(format!("run `chmod 600 {name}`; for a mounted secret that must stay so, set {ALLOW_LOOSE}=1")))
}

pub(crate) fn loose_allowed(project: &Project) -> bool {
    project.env.get(ALLOW_LOOSE).is_some_and(|(value, _)| value == "1" || value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;
    use serde_json::json;

    fn home(file: &[u8]) -> Home {
        let home = Home::with_env("{}", &[("TOKEN", "tok"), ("EMPTY", "")]);
        let path = home.folder.path().join("s");
        fs::write(&path, file).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        home
    }

    fn get(home: &Home, value: Value) -> Result<String> {
        let reference = Reference::of(&value, "sources.a.b")?.unwrap();
        reference.resolve(&home.project, "sources.a.b", Duration::from_millis(200))
    }

    #[test]
    fn variables_and_files_are_read() {
        assert_eq!(get(&home(b""), json!({"env": "TOKEN"})).unwrap(), "tok");
        assert_eq!(get(&home(b""), json!({"env": "EMPTY"})).unwrap(), "");
        for (content, value) in [("a b", "a b"), ("x\n", "x"), ("x\n\n", "x\n"), ("x\r\n", "x"), ("", "")] {
            assert_eq!(get(&home(content.as_bytes()), json!({"file": "s"})).unwrap(), value);
        }
        assert_eq!(Reference::of(&json!({"env": "A", "x": 1}), "p").unwrap(), None);
        assert_eq!(Reference::of(&json!("env"), "p").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_names_its_place() {
        let home = home(b"\xff");
        let refused = |value: Value| {
            let error = get(&home, value).unwrap_err();
            assert!(error.message().starts_with("sources.a.b: ") && error.get_hint().is_some(), "{error}");
            (error.exit_code(), error.message().to_owned())
        };
        assert!(refused(json!({"env": "TOKEM"})).1.contains("did you mean \"TOKEN\""));
        assert!(refused(json!({"file": "s"})).1.contains("not UTF-8"));
        assert!(refused(json!({"file": "none"})).1.contains("no file"));
        assert!(refused(json!({"file": "."})).1.contains("is a folder"));
        for wrong in [json!("op"), json!([]), json!([""]), json!([5]), json!(["a", 5]), json!(["a\0"])] {
            assert!(Reference::of(&json!({"command": wrong}), "p").is_err(), "{wrong}");
        }
        assert!(Reference::of(&json!({"command": ["a"], "timeout_ms": 0}), "p").is_err());
        assert!(Reference::of(&json!({"command": ["a"], "shell": true}), "p").is_err());
        let error = Reference::of(&json!({"env": 5}), "sources.a.b").unwrap_err();
        assert_eq!(error.message(), "sources.a.b: env must be a text that is not empty");
    }

    #[test]
    fn a_pipe_without_a_writer_meets_the_deadline() {
        let home = home(b"");
        let pipe = home.folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap();
        assert!(made.success());
        let error = get(&home, json!({"file": "pipe"})).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Timeout, 75));
        assert!(error.message().contains("more than 0.2 s"), "{error}");
    }

    #[test]
    fn a_referenced_file_that_others_can_read_is_refused() {
        let home = home(b"x");
        fs::set_permissions(home.folder.path().join("s"), fs::Permissions::from_mode(0o444)).unwrap();
        let error = get(&home, json!({"file": "s"})).unwrap_err();
        assert!(
            error.get_hint().unwrap().contains("chmod 600") && error.message().contains("0444"),
            "{error:?}"
        );
    }
}
