//! Completions: a script per shell that asks the program, which knows the names of connections,
//! streams, destinations and runs.

use clap::{Arg, Command};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;
use serde_json::Value;
use waybill_protocol::{Error, Result};

use super::args::PlaceFlags;
use super::terminal::Terminal;
use crate::history::with_archive;
use crate::manage::restorable;
use crate::store::config::ConfigText;
use crate::store::project::Project;

/// The variable by which a shell's script asks.
const ASKED: &str = "WAYBILL_COMPLETE";
/// The most runs that are offered.
const RUNS: usize = 30;

/// Answers a shell that asks for completions; false where none does.
pub(super) fn answered(factory: impl Fn() -> Command) -> bool {
    if std::env::var_os(ASKED).is_none_or(|shell| shell.is_empty()) {
        return false;
    }
    let known = || offering(factory());
    // A completion that fails offers nothing: a message would land in the person's line.
    let done =
        CompleteEnv::with_factory(known).var(ASKED).bin("waybill").try_complete(std::env::args_os(), None);
    done.unwrap_or(true)
}

/// Prints the script of a shell.
pub(super) fn script(terminal: &Terminal, shell: clap_complete::Shell) -> Result<u8> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let completer = shells
        .completer(&name)
        .ok_or_else(|| Error::config(format!("no completions for {name}")).hint("use bash, zsh or fish"))?;
    let mut script = Vec::new();
    completer
        .write_registration(ASKED, "waybill", "waybill", "waybill", &mut script)
        .map_err(|e| Error::internal("the script could not be written").cause(e))?;
    terminal.out(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// The command line with what can be offered for the values of its arguments.
fn offering(command: Command) -> Command {
    command.mut_args(offer).mut_subcommands(offering)
}

fn offer(arg: Arg) -> Arg {
    let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let names: fn() -> Vec<String> = match (arg.get_long(), value.as_deref()) {
        (Some("stream" | "drop"), _) | (_, Some("STREAM")) => streams,
        (_, Some("NAME" | "CONNECTION")) => connections,
        (_, Some("RUN" | "A" | "B")) => runs,
        (_, Some("DESTINATION")) => destinations,
        (_, Some("TYPE")) => systems,
        (_, Some("REMOVED")) => removed,
        _ => return arg,
    };
    let candidates = move || names().into_iter().map(CompletionCandidate::new).collect();
    arg.add(ArgValueCandidates::new(candidates))
}

/// The words of the line that is being completed.
fn words() -> Vec<String> {
    let all = std::env::args_os().skip(1).skip_while(|word| word != "--").skip(1);
    all.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The project that the line means.
fn project() -> Option<Project> {
    let words = words();
    let given = |flag: &str| {
        words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix(flag) {
            Some("") => words.get(at + 1).cloned(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        })
    };
    let path = |flag: &str| given(flag).map(std::path::PathBuf::from);
    let places = PlaceFlags {
        project_dir: path("--project-dir"),
        config: path("--config"),
        runs_dir: path("--runs-dir"),
        run_logs_dir: path("--run-logs-dir"),
        backups_dir: path("--backups-dir"),
        ..PlaceFlags::default()
    };
    super::locate(&places).ok()
}

/// The config, though entries in it may be wrong.
fn config() -> Value {
    let text = project().and_then(|project| ConfigText::read(&project.config_path).ok());
    text.map(|text| text.value).unwrap_or_default()
}

fn entries(config: &Value) -> impl Iterator<Item = &Value> {
    config.get("connections").and_then(Value::as_array).into_iter().flatten()
}

fn name(entry: &Value) -> Option<String> {
    entry.get("name").and_then(Value::as_str).map(str::to_owned)
}

fn connections() -> Vec<String> {
    entries(&config()).filter_map(name).collect()
}

/// The streams of the connections that the line names; of all where it names none.
fn streams() -> Vec<String> {
    let (config, words) = (config(), words());
    let named = |entry: &&Value| name(entry).is_some_and(|name| words.contains(&name));
    let some = entries(&config).any(|entry| named(&entry));
    let mut found: Vec<String> = entries(&config)
        .filter(|entry| !some || named(entry))
        .filter_map(|entry| entry.pointer("/schema/streams").and_then(Value::as_array))
        .flatten()
        .filter_map(name)
        .collect();
    found.sort();
    found.dedup();
    found
}

fn destinations() -> Vec<String> {
    let config = config();
    let map = config.get("destinations").and_then(Value::as_object);
    map.into_iter().flat_map(|map| map.keys().cloned()).collect()
}

fn systems() -> Vec<String> {
    waybill_connectors::registry().iter().map(|connector| connector.spec().name.to_owned()).collect()
}

fn removed() -> Vec<String> {
    let all = project().and_then(|project| restorable(&project).ok()).unwrap_or_default();
    all.into_iter().map(|removal| removal.name).collect()
}

fn runs() -> Vec<String> {
    let runs = project().and_then(|project| with_archive(&project, |archive| archive.list(None)).ok());
    let ids = runs.unwrap_or_default().into_iter().take(RUNS).map(|run| run.run_id);
    std::iter::once("last".to_owned()).chain(ids).collect()
}
