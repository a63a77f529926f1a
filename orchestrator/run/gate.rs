//! The leak gate at the end of a run: what it leaves is looked through for its secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use waybill_protocol::{Body, Error, Level, Origin};

use super::begin::Open;
use crate::events::gate::{Gate, Leak};
use crate::events::{Entry, Reader};
use crate::summary::{Summary, to_bytes};

/// How the name of an artifact ends that was put aside.
pub const QUARANTINED: &str = ".quarantined";

/// What an artifact is called once it is put aside.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(QUARANTINED);
    PathBuf::from(name)
}

/// Looks through everything that the run has written so far; puts aside what has a secret in it, and
/// says so. The first fault.
pub(super) async fn artifacts(open: &Open) -> (Arc<Gate>, Option<Error>) {
    // Every line is on disk once this is answered; a log that takes none says so elsewhere.
    let _ = open.log.snapshot();
    let gate = Arc::new(Gate::new(&open.redactor, &published(&open.artifacts.events)));
    let all = [
        ("log", &open.artifacts.events),
        ("stderr", &open.artifacts.stderr),
        ("rejects", &open.artifacts.rejects),
        ("catalog", &open.artifacts.catalog),
        ("state", &open.artifacts.state),
    ];
    let mut fault = None;
    for (artifact, path) in all {
        let (looking, file) = (Arc::clone(&gate), path.clone());
        let looked = tokio::task::spawn_blocking(move || looking.file(&file)).await;
        match looked {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(leak))) => {
                let moved = put_aside(path);
                fault = fault.or(Some(say(open, artifact, path, &leak, moved)));
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(Err(error)) => unread(open, artifact, &error),
            Err(error) => unread(open, artifact, &error),
        }
    }
    (gate, fault)
}

/// The same for the summary before it is written: with a secret in it, it is written aside, and what
/// takes its place is without.
pub(super) fn summary(open: &Open, gate: &Gate, summary: &Summary) -> Option<Error> {
    let bytes = to_bytes(summary).ok()?;
    let leak = gate.bytes(&bytes)?;
    let path = &open.artifacts.summary;
    let written = fs::write(aside(path), &bytes).and_then(|()| owner_only(&aside(path)));
    Some(say(open, "summary", path, &leak, written))
}

/// The summary without any secret.
pub(super) fn clean(open: &Open, summary: &Summary) -> Summary {
    let mut value = serde_json::to_value(summary).unwrap_or(Value::Null);
    open.redactor.redact_value(&mut value);
    // Texts stay texts: it has its form.
    serde_json::from_value(value).unwrap_or_else(|_| summary.clone())
}

/// An error as it may be told once the log was looked through: without its words, where a secret is
/// among them that redaction does not find.
pub(super) fn spoken(open: &Open, gate: &Gate, error: Error) -> Error {
    let mut record = serde_json::to_value(error.record()).unwrap_or(Value::Null);
    open.redactor.redact_value(&mut record);
    match gate.bytes(record.to_string().as_bytes()) {
        None => error,
        Some(leak) => {
            Error::new(error.kind(), format!("why is left out, since it holds a secret ({})", leak.secret))
                .origin(error.get_origin().unwrap_or(Origin::Orchestrator))
        }
    }
}

fn put_aside(path: &Path) -> std::io::Result<()> {
    owner_only(path)?;
    fs::rename(path, aside(path))
}

fn owner_only(path: &Path) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Says what was found, never the secret.
fn say(open: &Open, artifact: &str, path: &Path, leak: &Leak, moved: std::io::Result<()>) -> Error {
    let place = if moved.is_ok() { aside(path) } else { path.to_owned() };
    let (what, secret) = (if artifact == "log" { "event log" } else { artifact }, &leak.secret);
    let mut error = Error::internal(format!("the {what} of this run holds a secret ({secret})"))
        .origin(Origin::Orchestrator)
        .hint(format!(
            "this is a bug: report it; change the secret if anybody could read {}, line {}",
            place.display(),
            leak.line
        ));
    if let Err(why) = moved {
        error = error.context(format!("{} could not be put aside", path.display())).cause(why);
    }
    let body = Body::ArtifactQuarantined {
        artifact: artifact.to_owned(),
        path: place.display().to_string(),
        secret: secret.clone(),
        line: leak.line,
    };
    open.events.emit(Level::Error, body, error.message(), Some(error.record()));
    error
}

fn unread(open: &Open, artifact: &str, error: &dyn std::fmt::Display) {
    let message = format!("the {artifact} could not be looked through for secrets: {error}");
    open.events.warn(Body::Runtime { detail: Value::Null }, message);
}

/// What the first line says: it was written before any secret was read, from what the config shows.
fn published(log: &Path) -> Value {
    match Reader::open(log).ok().and_then(|mut reader| reader.next()) {
        Some(Entry::Line(line)) => serde_json::to_value(&*line).unwrap_or(Value::Null),
        _ => Value::Null,
    }
}
