//! What goes into a bundle.

use std::path::{Path, PathBuf};

use chrono::Utc;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result};

use super::secrets::{self, Found};
use super::{Contents, Manifest, Part, VERSION};
use crate::events::{Entry, Reader};
use crate::history::{RunEntry, host, with_archive};
use crate::manage::doctor;
use crate::secrets::hidden::masked;
use crate::store::config::{self, LoadedConfig};
use crate::store::project::Project;
use crate::summary::{RunStatus, to_bytes};

/// Summaries of other runs of the connection that go along, for comparison.
const OTHERS: usize = 20;
/// Variables that matter, beside those that begin with `WAYBILL_`.
const VARIABLES: [&str; 10] = [
    "ORCH_CONFIG_PATH",
    "SECRETS_PATH",
    "RUNS_DIR",
    "RUN_LOGS_DIR",
    "BACKUPS_DIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "TERM",
];

/// Collects what there is about a run: its log and summary, those of the last good run of the same
/// connection, more summaries, the connection's config, the program and its surroundings.
pub async fn gather(project: &Project, entry: &RunEntry, cancel: &CancellationToken) -> Result<Contents> {
    let mut files: Vec<(String, Part)> = Vec::new();
    let mut left_out = Vec::new();
    with_archive(project, |archive| {
        let mut runs = archive.list(None)?;
        runs.retain(|run| run.connection_id == entry.connection_id && run.log_path != entry.log_path);
        let good =
            runs.iter().find(|run| run.status == RunStatus::Succeeded && run.started_at < entry.started_at);
        for run in [Some(entry), good].into_iter().flatten() {
            files.extend(run.log_path.as_ref().and_then(|log| placed("run_logs", log)));
        }
        let others = runs.iter().filter(|run| Some(*run) != good).take(OTHERS);
        for run in [Some(entry), good].into_iter().flatten().chain(others) {
            match &run.summary_path {
                Some(path) => files.extend(placed("runs", path)),
                // A run that was killed: what its log comes to is as good.
                None if run.status == RunStatus::Crashed && !run.presumed && run.run_id == entry.run_id => {
                    let summary = archive.show(run)?;
                    let date = summary.started_at.get(..10).unwrap_or("unknown").to_owned();
                    let made =
                        to_bytes(&summary).map_err(|e| Error::internal("a summary is not JSON").cause(e))?;
                    files.push((
                        format!("runs/{date}/{}_{}.json", run.connection, run.run_id),
                        Part::Made(made),
                    ));
                }
                None => {}
            }
        }
        Ok(())
    })?;
    if let Some(log) = &entry.log_path {
        let rejects = log.to_string_lossy().replace("_events.jsonl", "_rejects.jsonl");
        if Path::new(&rejects).exists() {
            left_out.push("the file of rejected rows: it holds data".to_owned());
        }
    }
    let loaded = config::load(project).ok();
    let found = match &loaded {
        Some(_) => look(project, &entry.connection).await?,
        None => Found { unread: vec!["the config cannot be read".to_owned()], ..Found::default() },
    };
    let settings = loaded.as_ref().map_or(Value::Null, |config| shown(config, &entry.connection));
    let command = |words: &str| format!("waybill {words}");
    let doctor = doctor::examine(project, true, &command, cancel).await;
    let made = [
        ("config.json", settings.clone()),
        ("doctor.json", serde_json::to_value(&doctor).unwrap_or(Value::Null)),
        ("environment.json", environment(project)),
        ("schemas/event.json", crate::events::schema::event().to_value()),
        ("schemas/summary.json", crate::summary::schema().to_value()),
    ];
    for (name, mut value) in made {
        if !name.starts_with("schemas/") {
            found.redactor.redact_value(&mut value);
        }
        files.push((name.to_owned(), Part::Made(pretty(&value))));
    }
    let first = entry.log_path.as_ref().and_then(|log| first_line(log)).unwrap_or(Value::Null);
    let manifest = Manifest {
        version: VERSION,
        run_id: entry.run_id.clone(),
        connection: entry.connection.clone(),
        status: entry.status,
        created_at: Utc::now(),
        waybill: env!("CARGO_PKG_VERSION").to_owned(),
        files: Vec::new(),
        left_out,
        secrets: found.count,
        secrets_unread: found.unread,
    };
    Ok(Contents { manifest, files, redactor: found.redactor, published: json!([first, settings]) })
}

async fn look(project: &Project, own: &str) -> Result<Found> {
    let (project, own) = (project.clone(), own.to_owned());
    // References block, and a loaded config does not travel: it is read again there.
    let found = tokio::task::spawn_blocking(move || {
        let config = config::load(&project)?;
        Ok(secrets::all(&project, &config, &own))
    });
    found.await.map_err(|e| Error::internal("reading the secrets").cause(e))?
}

/// A file under the date that it lies under.
fn placed(folder: &str, path: &Path) -> Option<(String, Part)> {
    let name = path.file_name()?.to_str()?;
    let date = path.parent()?.file_name()?.to_str()?;
    Some((format!("{folder}/{date}/{name}"), Part::File(path.to_owned())))
}

/// The config with that connection and its destination alone, and no password in an address.
fn shown(config: &LoadedConfig, connection: &str) -> Value {
    let mut value = serde_json::to_value(&config.text.value).unwrap_or(Value::Null);
    let mut destination = config.destination.clone();
    if let Some(list) = value.get_mut("connections").and_then(Value::as_array_mut) {
        list.retain(|entry| entry.get("name").and_then(Value::as_str) == Some(connection));
        let own = list.first().and_then(|entry| entry.get("destination")).and_then(Value::as_str);
        destination = own.map(str::to_owned).or(destination);
    }
    if let Some(all) = value.get_mut("destinations").and_then(Value::as_object_mut) {
        all.retain(|name, _| Some(name) == destination.as_ref());
    }
    hide(&mut value);
    value
}

fn hide(value: &mut Value) {
    match value {
        Value::String(text) => *text = masked(text),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(members) => members.values_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where the program runs, and what of its environment matters; a destination's settings are named only.
fn environment(project: &Project) -> Value {
    let matters = |name: &str| VARIABLES.contains(&name) || name.starts_with("WAYBILL_");
    let variables = project.env.names().filter(|name| matters(name)).map(|name| {
        let value = match name.starts_with("WAYBILL_DESTINATION__") {
            true => json!("set"),
            false => json!(project.env.get(name).map(|(value, _)| masked(value))),
        };
        (name.to_owned(), value)
    });
    let places: [(&str, &PathBuf); 5] = [
        ("dir", &project.dir),
        ("config", &project.config_path),
        ("secrets", &project.secrets_path),
        ("runs", &project.runs_dir),
        ("run_logs", &project.run_logs_dir),
    ];
    json!({
        "waybill": env!("CARGO_PKG_VERSION"),
        "platform": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "host": host(),
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "places": places.map(|(name, path)| (name, path.display().to_string())).into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "variables": variables.collect::<serde_json::Map<_, _>>(),
    })
}

fn first_line(log: &Path) -> Option<Value> {
    match Reader::open(log).ok()?.next()? {
        Entry::Line(line) => serde_json::to_value(&*line).ok(),
        _ => None,
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
