//! `waybill destination add` and `edit`.

use std::io::Read;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Kind, Result};

use super::show;
use crate::cli::connection::session::until_signal;
use crate::cli::next;
use crate::cli::prompt::{Ask, Choice, Item, ask, choose};
use crate::cli::secrets::input::SecretFlags;
use crate::cli::terminal::Terminal;
use crate::manage::destinations::{self as manage, Blueprint, Change};
use crate::store::config::load;
use crate::store::project::Project;

/// Settings, however they are given.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingFlags {
    /// A setting, such as host=db.example.com; lists and objects as JSON
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// All settings as one JSON object, secret ones too: a file, or - for standard input
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    #[command(flatten)]
    secrets: SecretFlags,
    /// Test it once it is saved
    #[arg(long)]
    test: bool,
}

/// Adds a destination.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Its connector, such as postgres or sqlite
    #[arg(value_name = "TYPE")]
    system: Option<String>,
    #[command(flatten)]
    settings: SettingFlags,
    /// Make it the default of connections that name none
    #[arg(long)]
    default: bool,
}

/// Changes a destination.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    settings: SettingFlags,
    /// Remove a setting, secret or not
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

/// Adds a destination.
pub(super) async fn add(terminal: &Terminal, project: &Project, mut args: AddArgs) -> Result<u8> {
    let document = match document(&args.settings)? {
        Some(mut map) => {
            if let Some(Value::String(system)) = map.shift_remove("type") {
                args.system.get_or_insert(system);
            }
            Some(map)
        }
        None => None,
    };
    let systems = Blueprint::systems();
    let system = match args.system {
        Some(system) => system,
        None if terminal.interactive() => {
            let items: Vec<Item> = systems.iter().map(|system| Item::new(system.as_str(), "")).collect();
            let chosen = choose(terminal, &Choice::new("Which system?", &items))?;
            chosen.and_then(|at| systems.get(at).cloned()).ok_or_else(given_up)?
        }
        None => {
            let message = format!("TYPE is missing: one of {}", systems.join(", "));
            return Ok(terminal.usage("destination add", &message));
        }
    };
    let blueprint = Blueprint::of(&system)?;
    let mut change = match gathered(terminal, &blueprint, &args.settings, document)? {
        Ok(change) => change,
        Err(usage) => return Ok(terminal.usage("destination add", &usage)),
    };
    for setting in blueprint.settings().into_iter().filter(|setting| setting.required) {
        let given = change.settings.contains_key(&setting.key)
            || change.secrets.iter().any(|(k, _)| *k == setting.key);
        if given {
            continue;
        }
        if !terminal.interactive() || setting.secret {
            let flag = if setting.secret { "--secret " } else { "--set " };
            let value = if setting.secret { "" } else { "=…" };
            let message = format!("{} is missing: {flag}{}{value}", setting.key, setting.key);
            return Ok(terminal.usage("destination add", &message));
        }
        let question = Ask { help: &setting.about, ..Ask::new(&setting.key) };
        let text = ask(terminal, &question)?.ok_or_else(given_up)?;
        change.settings.insert(setting.key.clone(), blueprint.read(&setting.key, &text)?);
    }
    if let Err(error) = manage::add(project, &args.name, &system, &change, args.default) {
        // What the connector itself finds missing is as much a missing flag.
        if error.message().ends_with(": missing") || error.message().contains("missing field `") {
            terminal.error(&error);
            return Ok(super::USAGE);
        }
        return Err(error);
    }
    saved(terminal, project, &args.name, "added", &change, args.settings.test).await
}

/// What a question that was left by Escape means here.
fn given_up() -> Error {
    Error::new(Kind::Cancelled, "nothing was saved")
}

/// Changes a destination.
pub(super) async fn edit(terminal: &Terminal, project: &Project, args: EditArgs) -> Result<u8> {
    let config = load(project)?;
    let written = config.text.value.get("destinations").and_then(|all| all.get(&args.name));
    let system = match written.and_then(|entry| entry.get("type")).and_then(Value::as_str) {
        Some(system) => system.to_owned(),
        None => config.destination_named(&args.name)?.system.clone(),
    };
    let blueprint = Blueprint::of(&system)?;
    let document = document(&args.settings)?;
    if document.as_ref().and_then(|map| map.get("type")).is_some_and(|named| named != system.as_str()) {
        return Err(Error::config(format!("destination {:?} is of type {system}, and stays so", args.name))
            .hint("add another destination of the other type"));
    }
    let document = document.map(|mut map| {
        map.shift_remove("type");
        map
    });
    let mut change = match gathered(terminal, &blueprint, &args.settings, document)? {
        Ok(change) => change,
        Err(usage) => return Ok(terminal.usage("destination edit", &usage)),
    };
    change.unset.extend(args.unset);
    if change.settings.is_empty() && change.secrets.is_empty() && change.unset.is_empty() {
        let message = "nothing to change: give --set, --unset, --secret or --json";
        return Ok(terminal.usage("destination edit", message));
    }
    manage::revise(project, &args.name, &change)?;
    saved(terminal, project, &args.name, "changed", &change, args.settings.test).await
}

/// The JSON document that was given.
fn document(flags: &SettingFlags) -> Result<Option<Map<String, Value>>> {
    const MOST_BYTES: u64 = 1 << 20;
    let Some(name) = &flags.json else { return Ok(None) };
    let mut text = String::new();
    let read = match name.as_str() {
        "-" => std::io::stdin().lock().take(MOST_BYTES).read_to_string(&mut text),
        name => std::fs::File::open(name).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text)),
    };
    let place = if name == "-" { "standard input" } else { name };
    read.map_err(|e| Error::config(format!("{place} cannot be read: {e}")).cause(e))?;
    // The parser's words may repeat a secret.
    let wrong = |what: &str| {
        Error::config(format!("{place}: {what}"))
            .hint("give one JSON object: {\"type\": \"postgres\", \"host\": \"…\"}")
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(_) => Err(wrong("is no JSON object")),
        Err(e) => Err(wrong(&format!("is not JSON at line {}, column {}", e.line(), e.column()))),
    }
}

/// All that was given, by file of destination; the inner error is wrong usage.
fn gathered(
    terminal: &Terminal,
    blueprint: &Blueprint,
    flags: &SettingFlags,
    document: Option<Map<String, Value>>,
) -> Result<std::result::Result<Change, String>> {
    let mut change = blueprint.sort(document.unwrap_or_default())?;
    for pair in &flags.set {
        let Some((key, text)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Ok(Err("--set wants KEY=VALUE".to_owned()));
        };
        change.settings.insert(key.to_owned(), blueprint.read(key, text)?);
    }
    match flags.secrets.read(terminal)? {
        Ok(secrets) => change.secrets.extend(secrets),
        Err(usage) => return Ok(Err(usage)),
    }
    Ok(Ok(change))
}

async fn saved(
    terminal: &Terminal,
    project: &Project,
    name: &str,
    done: &str,
    change: &Change,
    test: bool,
) -> Result<u8> {
    let settings: Vec<&String> = change.settings.keys().collect();
    let secrets: Vec<&String> = change.secrets.iter().map(|(key, _)| key).collect();
    if !test {
        if terminal.json_wanted() {
            let answer = json!({"destination": name, "done": done, "settings": settings, "secrets": secrets, "unset": change.unset});
            terminal.json(&answer)?;
            return Ok(0);
        }
        terminal.out(&format!("{done} destination {name}"))?;
        terminal.note(&format!("test it: {}", next::command(project, &format!("destination test {name}"))));
        return Ok(0);
    }
    let config = std::sync::Arc::new(load(project)?);
    let cancel = CancellationToken::new();
    let work = async {
        let probe = crate::manage::probe::destination(project, &config, name, &cancel).await;
        let code = show::exit_code(std::slice::from_ref(&probe));
        if terminal.json_wanted() {
            let answer = json!({"destination": name, "done": done, "settings": settings, "secrets": secrets, "unset": change.unset, "test": probe});
            terminal.json(&answer)?;
        } else {
            terminal.out(&format!("{done} destination {name}"))?;
            terminal.out(&show::whole(terminal, &probe))?;
        }
        Ok(code)
    };
    until_signal(terminal, &cancel, work).await
}
