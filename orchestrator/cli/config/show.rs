//! `waybill config show`.

use clap::Args;
use serde_json::{Map, Value, json};
use waybill_protocol::{Result, SyncMode};

use crate::cli::connection::way;
use crate::cli::terminal::Terminal;
use crate::secrets;
use crate::secrets::hidden::masked;
use crate::store::config::{Connection, LoadedConfig, load};
use crate::store::project::{Origin, Project};

/// Shows settings.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only this connection
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
}

/// Shows the settings in force.
pub(super) fn show(terminal: &Terminal, project: &Project, args: &ShowArgs) -> Result<u8> {
    let config = load(project)?;
    let connections: Vec<&Connection> = match &args.name {
        Some(name) => vec![config.connection(name)?],
        None => config.valid().collect(),
    };
    let mut code = 0;
    let mut shown: Map<String, Value> = Map::new();
    let mut texts = Vec::new();
    let places = places(project);
    if args.name.is_none() {
        texts.push(table(terminal, &places, args.origin));
    }
    for connection in connections {
        let mut settings = match secrets::resolve(project, &config, connection) {
            Ok(resolved) => in_order(&resolved.redacted),
            Err(error) if args.name.is_some() => return Err(error),
            Err(error) => {
                terminal.error(&error);
                code = error.exit_code();
                continue;
            }
        };
        settings.extend(streams(&config, connection));
        let head = terminal.paint("1", &connection.name);
        let head = format!("{head}  {}", way(&config, connection));
        texts.push(format!("{head}\n{}", table(terminal, &settings, args.origin)));
        shown.insert(connection.name.clone(), Value::Object(form(settings, args.origin)));
    }
    for invalid in config.invalid().filter(|_| args.name.is_none()) {
        terminal.error(&invalid.error());
        code = invalid.error().exit_code();
    }
    if terminal.json_wanted() {
        terminal.json(&json!({"project": form(places, args.origin), "connections": shown}))?;
    } else {
        terminal.out(&texts.join("\n\n"))?;
    }
    Ok(code)
}

/// The source first, then the destination, then the policies.
fn in_order(redacted: &Value) -> Map<String, Value> {
    let mut settings: Vec<(String, Value)> =
        redacted.as_object().cloned().unwrap_or_default().into_iter().collect();
    let rank = |name: &str| match name.split_once('.') {
        Some(("source", _)) => 0,
        Some(("destination", _)) => 1,
        _ => 2,
    };
    settings.sort_by_key(|(name, _)| rank(name));
    settings.into_iter().collect()
}

/// Where the project's files lie.
fn places(project: &Project) -> Map<String, Value> {
    let named = [
        ("project_dir", "dir", &project.dir),
        ("config", "config_path", &project.config_path),
        ("secrets", "secrets_path", &project.secrets_path),
        ("runs_dir", "runs_dir", &project.runs_dir),
        ("run_logs_dir", "run_logs_dir", &project.run_logs_dir),
        ("backups_dir", "backups_dir", &project.backups_dir),
    ];
    let place = |(name, field, path): (&str, &str, &std::path::PathBuf)| {
        let origin = project.origins.get(field).unwrap_or(&Origin::Default);
        (name.to_owned(), setting(json!(path.display().to_string()), origin))
    };
    named.into_iter().map(place).collect()
}

/// What is selected: each member as it stands in the file, and how a stream is read and written.
pub(super) fn streams(config: &LoadedConfig, connection: &Connection) -> Map<String, Value> {
    let mut out = Map::new();
    let entry = config.text.value.get("connections").and_then(|list| list.get(connection.index));
    let listed = entry.and_then(|entry| entry.pointer("/schema/streams")).and_then(Value::as_array);
    for (selection, written) in connection.streams.iter().zip(listed.into_iter().flatten()) {
        let mut put = |member: &str, value: Value, origin: &Origin| {
            out.insert(format!("streams.{}.{member}", selection.name), setting(value, origin));
        };
        let is_written = |member: &str| written.get(member).is_some();
        if !is_written("mode") {
            put("mode", json!(selection.mode), &Origin::Default);
        }
        if !is_written("write") {
            let write = match selection.mode {
                SyncMode::FullRefresh => "overwrite",
                SyncMode::Incremental => "merge where there is a key, else append",
            };
            put("write", json!(write), &Origin::Default);
        }
        for (member, value) in
            written.as_object().into_iter().flatten().filter(|(member, _)| *member != "name")
        {
            put(member, hidden(value), &Origin::Config);
        }
    }
    out
}

fn hidden(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(masked(text)),
        other => other.clone(),
    }
}

fn setting(value: Value, origin: &Origin) -> Value {
    json!({"value": value, "origin": origin.to_string()})
}

/// With origins, or the values alone.
fn form(settings: Map<String, Value>, origin: bool) -> Map<String, Value> {
    let plain = |value: Value| value.get("value").cloned().unwrap_or(Value::Null);
    settings.into_iter().map(|(name, value)| (name, if origin { value } else { plain(value) })).collect()
}

fn table(terminal: &Terminal, settings: &Map<String, Value>, origin: bool) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let row = |(name, value): (&String, &Value)| {
        let mut cells = vec![format!("  {name}"), text(value.get("value"))];
        if origin {
            cells.push(text(value.get("origin")));
        }
        cells
    };
    terminal.table(&[], settings.iter().map(row).collect())
}
