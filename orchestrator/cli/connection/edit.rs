//! `waybill connection edit`: by flags, by a JSON merge on standard input, or in an editor.

use std::fs;
use std::process::Command;

use clap::Args;
use serde_json::{Map, Value, json};
use waybill_protocol::{Connector, Error, Kind, Result};

use super::given::{Given, GivenFlags, Usage, take_out};
use crate::cli::next;
use crate::cli::prompt;
use crate::cli::terminal::Terminal;
use crate::manage::{self, Revised, SecretChanges};
use crate::secrets::NewValue;
use crate::store::project::Project;

/// Changes a connection's settings. Only what is named changes; everything else stays as it is.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    given: GivenFlags,
    /// Takes a setting out, so that its default holds
    #[arg(long, value_name = "KEY", conflicts_with = "json", help_heading = "Settings")]
    unset: Vec<String>,
    /// Takes a secret out of secrets.toml
    #[arg(long, value_name = "KEY", help_heading = "Settings")]
    unset_secret: Vec<String>,
    /// Opens the entry in $VISUAL or $EDITOR
    #[arg(long, conflicts_with_all = ["json", "set", "unset", "from_url"])]
    editor: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// Changes a connection.
pub(super) async fn edit(terminal: &Terminal, project: &Project, args: EditArgs) -> Result<u8> {
    let registry = waybill_connectors::registry();
    let nothing = args.given.is_empty() && args.unset.is_empty() && args.unset_secret.is_empty();
    if nothing && !args.editor && !terminal.interactive() {
        let message = "nothing to change: give --set KEY=VALUE, --unset KEY, --from-url URL, --secret KEY, --json - or --editor";
        return Ok(terminal.usage("connection edit", message));
    }
    let revised = if args.editor || nothing {
        in_editor(terminal, project, &args, &registry)?
    } else {
        match by_flags(terminal, project, &args, &registry)? {
            Ok(revised) => revised,
            Err(Usage(message)) => return Ok(terminal.usage("connection edit", &message)),
        }
    };
    show(terminal, project, &revised, args.dry_run)?;
    Ok(0)
}

fn by_flags(
    terminal: &Terminal,
    project: &Project,
    args: &EditArgs,
    registry: &[Box<dyn Connector>],
) -> Given<Revised> {
    let now = manage::entry_of(project, &args.name)?;
    let entry = now.as_object().cloned().unwrap_or_default();
    let patch = given!(args.given.document()?);
    let address = given!(args.given.address()?);
    // With the types as they will be, before anything is asked for.
    let mut after = entry.clone();
    let change = |entry: &mut Map<String, Value>| -> Given<()> {
        if let Some(patch) = &patch {
            let mut whole = Value::Object(std::mem::take(entry));
            patch_with(&mut whole, patch);
            match whole {
                Value::Object(map) => *entry = map,
                _ => {
                    return Err(
                        Error::config("a connection is one JSON object").hint("give the members to change")
                    );
                }
            }
        }
        if let Some(found) = &address {
            let system = entry.get("type").and_then(Value::as_str).unwrap_or_default();
            if system != found.system {
                return Ok(Err(Usage(format!(
                    "{} is of type {system}, and the address is one of {}",
                    args.name, found.system
                ))));
            }
            let schema = entry.entry("schema").or_insert_with(|| json!({}));
            if let Some(schema) = schema.as_object_mut() {
                schema.extend(found.settings.clone());
            }
        }
        take_out(entry, &args.unset, registry)?;
        args.given.settle(entry, registry)
    };
    given!(change(&mut after)?);
    let mut secrets = given!(secret_changes(terminal, args, &after, registry)?);
    if let Some((key, password)) = address.as_ref().and_then(|found| found.password.clone()) {
        secrets.insert(key.to_owned(), Some(NewValue::Literal(password)));
    }
    if args.dry_run {
        return dry(project, &args.name, now, after, &secrets, registry).map(Ok);
    }
    let revised = manage::revise(project, &args.name, &secrets, registry, |entry| {
        change(entry)?.map_err(|Usage(message)| Error::new(Kind::Config, message))
    })?;
    Ok(Ok(revised))
}

fn secret_changes(
    terminal: &Terminal,
    args: &EditArgs,
    entry: &Map<String, Value>,
    registry: &[Box<dyn Connector>],
) -> Given<SecretChanges> {
    let mut secrets = given!(args.given.secrets(terminal, entry, registry)?);
    for key in &args.unset_secret {
        if secrets.insert(key.clone(), None).is_some() {
            return Ok(Err(Usage(format!("{key} is to be set and to be taken out"))));
        }
    }
    Ok(Ok(secrets))
}

fn dry(
    project: &Project,
    name: &str,
    before: Value,
    after: Map<String, Value>,
    secrets: &SecretChanges,
    registry: &[Box<dyn Connector>],
) -> Result<Revised> {
    let after = Value::Object(after);
    let trial = manage::trial_of(project, name, &after, secrets, registry)?;
    Ok(Revised::of(name, before, after, secrets, trial.notes))
}

/// A JSON merge patch (RFC 7386): members are replaced, null takes one out.
fn patch_with(value: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        patch.clone_into(value);
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    let Some(map) = value.as_object_mut() else { return };
    for (key, patch) in members {
        match patch {
            Value::Null => drop(map.shift_remove(key)),
            patch => patch_with(map.entry(key.clone()).or_insert(Value::Null), patch),
        }
    }
}

/// Opens the entry in an editor until it is good, or the person gives up.
fn in_editor(
    terminal: &Terminal,
    project: &Project,
    args: &EditArgs,
    registry: &[Box<dyn Connector>],
) -> Result<Revised> {
    let before = manage::entry_of(project, &args.name)?;
    let secrets = secret_changes(terminal, args, before.as_object().unwrap_or(&Map::new()), registry)?;
    let secrets = secrets.map_err(|Usage(message)| Error::config(message))?;
    let failed = |e: std::io::Error| {
        Error::config(format!("a file for the editor cannot be made: {e}"))
            .hint("set TMPDIR to a folder that can be written")
    };
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{}-", args.name))
        .suffix(".json")
        .tempfile()
        .map_err(failed)?;
    let text = serde_json::to_string_pretty(&before).unwrap_or_default() + "\n";
    fs::write(file.path(), text).map_err(failed)?;
    loop {
        open(project, file.path())?;
        let outcome = fs::read_to_string(file.path()).map_err(failed).and_then(|text| {
            let after: Value = serde_json::from_str(&text).map_err(|e| {
                Error::config(format!("{}:{}:{}: not JSON: {e}", file.path().display(), e.line(), e.column()))
                    .hint("look for a comma too many or too few, or a missing quote")
            })?;
            match args.dry_run {
                true => dry(
                    project,
                    &args.name,
                    before.clone(),
                    after.as_object().cloned().unwrap_or_default(),
                    &secrets,
                    registry,
                ),
                false => manage::revise_from(project, &args.name, &before, &after, &secrets, registry),
            }
        });
        let error = match outcome {
            Ok(revised) => return Ok(revised),
            Err(error) => error,
        };
        let again = terminal.interactive() && {
            terminal.error(&error);
            prompt::confirm(terminal, "Edit it again?", true)?.unwrap_or(false)
        };
        if !again {
            file.disable_cleanup(true);
            let kept = format!("what you wrote stays in {}", file.path().display());
            return Err(Error::new(error.kind(), error.message()).hint(match error.get_hint() {
                Some(hint) => format!("{hint}; {kept}"),
                None => kept,
            }));
        }
    }
}

fn open(project: &Project, path: &std::path::Path) -> Result<()> {
    let named = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| project.env.get(name).filter(|(value, _)| !value.trim().is_empty()));
    let Some((editor, _)) = named else {
        return Err(Error::config("no editor is named")
            .hint("set EDITOR, or give the change by flags: --set KEY=VALUE"));
    };
    // Through a shell, since the variable may hold a program with its flags.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Error::config(format!("the editor {editor:?} ended with {status}"))
                .hint("nothing was changed"))
        }
        Err(e) => Err(Error::config(format!("the editor {editor:?} cannot be started: {e}"))
            .hint("set EDITOR")
            .cause(e)),
    }
}

/// A value of an entry that is not as it was.
pub(super) fn differences(
    before: &Value,
    after: &Value,
    here: &str,
    found: &mut Vec<(String, Option<Value>, Option<Value>)>,
) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            found.push((here.to_owned(), Some(before.clone()), Some(after.clone())));
        }
        return;
    };
    let fresh = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(fresh) {
        let path = if here.is_empty() { key.clone() } else { format!("{here}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => differences(old, new, &path, found),
            (old, new) => found.push((path, old.cloned(), new.cloned())),
        }
    }
}

fn show(terminal: &Terminal, project: &Project, revised: &Revised, dry_run: bool) -> Result<()> {
    let mut changes = Vec::new();
    differences(&revised.before, &revised.after, "", &mut changes);
    if terminal.json_wanted() {
        let list: Vec<Value> = changes
            .iter()
            .map(|(path, before, after)| json!({"path": path, "before": before, "after": after}))
            .collect();
        return terminal.json(&json!({
            "connection": revised.name, "changed": revised.changed(), "dry_run": dry_run, "changes": list,
            "entry": revised.after, "secrets_set": revised.secrets_set, "secrets_unset": revised.secrets_unset,
            "notes": revised.notes,
        }));
    }
    let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
    for (path, before, after) in &changes {
        terminal.out(&format!("{path}: {} → {}", text(before), text(after)))?;
    }
    for (names, word) in [(&revised.secrets_set, "written"), (&revised.secrets_unset, "taken out")] {
        for name in names {
            terminal.out(&format!("secret {name}: {word}"))?;
        }
    }
    if !revised.changed() {
        terminal.out("nothing changed")?;
    }
    revised.notes.iter().for_each(|note| terminal.warn(note));
    if dry_run {
        terminal.note("\na dry run: nothing was written");
    } else if revised.changed() {
        terminal.note(&format!(
            "\nnext: {}",
            next::command(project, &format!("connection test {}", revised.name))
        ));
    }
    Ok(())
}
