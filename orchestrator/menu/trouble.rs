//! What to do when a test or a run has failed: try again, mend, look closer, or leave it.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, ErrorRecord, Kind, Result, Role};

use super::fields::{Sheet, fields, form, put_secret};
use super::{Menu, survives};
use crate::cli::connection::test;
use crate::cli::connection::tested::{Tested, whole};
use crate::cli::prompt::{Ask, Choice, Item, choose, secret};
use crate::manage::{SecretChanges, Trial, entry_of, revise_from};
use crate::secrets::SecretsFile;
use crate::store::config::load;

/// Whether a person can mend it by other settings or secrets.
pub(super) fn mendable(kind: Kind) -> bool {
    matches!(kind, Kind::Auth | Kind::Config | Kind::Permission | Kind::NotFound | Kind::Network)
}

/// Tests a connection that need not be saved; `None` where it was interrupted.
pub(super) async fn attempt(menu: &Menu<'_>, trial: &Trial) -> Result<Option<Tested>> {
    let cancel = CancellationToken::new();
    let work = test::trial(menu.project, trial, &cancel, 0);
    menu.terminal.note(&menu.terminal.paint_stderr("2", "testing… (Ctrl-C gives up)"));
    menu.unless_interrupted(&cancel, work).await
}

/// Shows what a test found.
pub(super) fn show(menu: &Menu<'_>, tested: &Tested) -> Result<()> {
    menu.terminal.out(&format!("\n{}", whole(menu.terminal, tested)))
}

/// Every error of a test with all of its causes.
pub(super) fn in_full(menu: &Menu<'_>, tested: &Tested) {
    let checks = [&tested.source, &tested.destination].into_iter().flatten().flat_map(|side| &side.checks);
    let failed = checks.filter_map(|check| check.error.as_ref().map(|error| (check.check.as_str(), error)));
    let all = tested.error.iter().map(|error| ("settings", error)).chain(failed);
    for (what, record) in all {
        menu.terminal.error(&told(record).context(what));
        let about = [
            Some(format!("kind: {}", record.kind.word())),
            record.code.as_ref().map(|code| format!("code: {code}")),
            Some(format!("worth another try unchanged: {}", if record.retryable { "yes" } else { "no" })),
        ];
        let about: Vec<String> = about.into_iter().flatten().collect();
        menu.terminal.note(&format!("  {}", about.join(" · ")));
    }
}

fn told(record: &ErrorRecord) -> Error {
    let mut error = Error::new(record.kind, record.message.clone());
    // From the innermost outwards, so that each stays a cause of its own.
    let mut cause: Option<Chain> = None;
    for text in record.cause.iter().rev() {
        cause = Some(Chain(text.clone(), cause.map(Box::new)));
    }
    if let Some(cause) = cause {
        error = error.cause(cause);
    }
    match &record.hint {
        Some(hint) => error.hint(hint.clone()),
        None => error,
    }
}

#[derive(Debug)]
struct Chain(String, Option<Box<Chain>>);

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Chain {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

/// What a person chose after a test that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Retry,
    Settings,
    Secret,
    Full,
    Save,
    GiveUp,
}

/// The kind of the first failure.
pub(super) fn kind(tested: &Tested) -> Option<Kind> {
    let failed = |side: &crate::cli::connection::tested::Side| {
        side.failed().and_then(|check| check.error.as_ref()).map(|error| error.kind)
    };
    let sides = [&tested.source, &tested.destination].into_iter().flatten();
    tested.error.as_ref().map(|error| error.kind).or_else(|| sides.filter_map(failed).next())
}

/// The ways on after a failed test, the likely one first.
pub(super) fn ways(kind: Option<Kind>, saved: bool) -> Vec<(Way, Item)> {
    let keep = if saved { "Disable it" } else { "Save it disabled" };
    let mut ways = vec![
        (Way::Retry, Item::new("Try again", "the same once more")),
        (Way::Secret, Item::new("Enter the secret again", "it goes to secrets.toml only")),
        (Way::Settings, Item::new("Edit settings", "how the source is reached")),
        (Way::Full, Item::new("Show the full error", "with every cause, as the driver says it")),
        (Way::Save, Item::new(keep, "`run --all` leaves it out")),
        (
            Way::GiveUp,
            Item::new(
                if saved { "Leave it" } else { "Give up" },
                if saved { "" } else { "nothing is saved" },
            ),
        ),
    ];
    let first = match kind {
        Some(Kind::Auth) => Way::Secret,
        Some(Kind::Config | Kind::NotFound | Kind::Permission) => Way::Settings,
        _ => Way::Retry,
    };
    ways.sort_by_key(|(way, _)| *way != first);
    ways
}

/// Asks what to do about a failed test.
pub(super) fn choose_way(menu: &Menu<'_>, tested: &Tested, saved: bool) -> Result<Option<Way>> {
    let (ways, items): (Vec<Way>, Vec<Item>) = ways(kind(tested), saved).into_iter().unzip();
    let choice = Choice { passing: true, ..Choice::new("The test failed. What now?", &items) };
    Ok(choose(menu.terminal, &choice)?.and_then(|index| ways.get(index)).copied())
}

/// After a failed test of a connection that is saved; whether to test again.
pub(super) async fn after_test(menu: &Menu<'_>, name: &str) -> Result<bool> {
    let Some(config) = survives(menu, load(menu.project))? else { return Ok(false) };
    let config = Arc::new(config);
    let cancel = CancellationToken::new();
    let mut last: Option<Tested> = None;
    loop {
        // The command has shown what failed; what to do first depends on its kind.
        if last.is_none() {
            let work = async { Ok(test::one(menu.project, &config, name, &cancel, 0).await) };
            last = menu.unless_interrupted(&cancel, work).await?;
        }
        let Some(tested) = &last else { return Ok(false) };
        match choose_way(menu, tested, true)? {
            Some(Way::Retry) => return Ok(true),
            Some(Way::Secret) => {
                if secret_of(menu, name).await? {
                    return Ok(true);
                }
            }
            Some(Way::Settings) => {
                settings(menu, name).await?;
                return Ok(true);
            }
            Some(Way::Full) => in_full(menu, tested),
            Some(Way::Save) => {
                menu.execute(&["connection", "disable", name]).await?;
                return Ok(false);
            }
            Some(Way::GiveUp) | None => return Ok(false),
        }
    }
}

/// Which secret of a source is meant; the only one, or the one that is chosen.
pub(super) fn which_secret(menu: &Menu<'_>, system: &str, held: &[String]) -> Result<Option<String>> {
    let Some(connector) = menu.registry.iter().find(|connector| connector.spec().name == system) else {
        return Ok(None);
    };
    let fields = fields(&connector.spec().source.to_value());
    let secret: Vec<String> =
        fields.into_iter().filter(|field| field.secret).map(|field| field.key).collect();
    let known: Vec<String> = secret.iter().filter(|key| held.contains(key)).cloned().collect();
    match (known.as_slice(), secret.as_slice()) {
        ([one], _) => Ok(Some(one.clone())),
        (_, []) => {
            menu.terminal.note(&format!("{system} has no secrets"));
            Ok(None)
        }
        (_, several) => {
            let start = several.iter().position(|key| key == "password").unwrap_or(0);
            let items: Vec<Item> = several.iter().map(|key| Item::new(key.clone(), "")).collect();
            let choice = Choice { start, ..Choice::new("Which secret?", &items) };
            Ok(choose(menu.terminal, &choice)?.and_then(|index| several.get(index)).cloned())
        }
    }
}

/// Asks for a secret once more, unseen.
pub(super) fn ask_secret(menu: &Menu<'_>, key: &str, secrets: &mut SecretChanges) -> Result<bool> {
    let question = Ask { help: "what is typed is not shown; it goes to secrets.toml only", ..Ask::new(key) };
    let Some(value) = secret(menu.terminal, &question)? else { return Ok(false) };
    put_secret(secrets, key, value);
    Ok(true)
}

/// Enters a secret of a saved connection again; whether it was saved.
pub(super) async fn secret_of(menu: &Menu<'_>, name: &str) -> Result<bool> {
    let Some(before) = survives(menu, entry_of(menu.project, name))? else { return Ok(false) };
    let system = before.get("type").and_then(Value::as_str).unwrap_or_default();
    let Some(held) = survives(menu, held(menu, name))? else { return Ok(false) };
    let Some(key) = which_secret(menu, system, &held)? else { return Ok(false) };
    let mut secrets = SecretChanges::new();
    if !ask_secret(menu, &key, &mut secrets)? {
        return Ok(false);
    }
    menu.say_command(&["connection", "edit", name, "--secret", &key]);
    let saved = revise_from(menu.project, name, &before, &before, &secrets, &menu.registry);
    Ok(survives(menu, saved)?.is_some())
}

fn held(menu: &Menu<'_>, name: &str) -> Result<Vec<String>> {
    Ok(SecretsFile::read(menu.project)?.source(name).keys().cloned().collect())
}

/// Edits the settings of a saved connection. What another process changes meanwhile is kept; where
/// both change one value, nothing is saved and the conflict is shown.
pub(super) async fn settings(menu: &Menu<'_>, name: &str) -> Result<()> {
    let Some(before) = survives(menu, entry_of(menu.project, name))? else { return Ok(()) };
    let system = before.get("type").and_then(Value::as_str).unwrap_or_default();
    let Some(connector) = menu.registry.iter().find(|connector| connector.spec().name == system) else {
        menu.terminal.note(&format!("no connector {system:?} in this build: edit config.json by hand"));
        return Ok(());
    };
    let Some(held) = survives(menu, held(menu, name))? else { return Ok(()) };
    let schema = before.get("schema").and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut now, mut secrets) = (schema, SecretChanges::new());
    let go_on = ("Save", "what others change meanwhile stays");
    let sheet = Sheet { connector: connector.as_ref(), role: Role::Source };
    if !form(menu, sheet, go_on, &mut now, &mut secrets, &held)? {
        return Ok(());
    }
    let after = with_schema(&before, now);
    if after == before && secrets.is_empty() {
        menu.terminal.note("nothing was changed");
        return Ok(());
    }
    menu.say_command(&words(name, &before, &after, &secrets));
    let saved = revise_from(menu.project, name, &before, &after, &secrets, &menu.registry);
    if let Some(revised) = survives(menu, saved)? {
        menu.terminal.note("saved");
        revised.notes.iter().for_each(|note| menu.terminal.warn(note));
    }
    Ok(())
}

/// The entry with other settings.
pub(super) fn with_schema(entry: &Value, schema: Map<String, Value>) -> Value {
    let mut entry = entry.clone();
    if let Some(map) = entry.as_object_mut() {
        if schema.is_empty() && !map.contains_key("schema") {
            return entry;
        }
        map.insert("schema".to_owned(), Value::Object(schema));
    }
    entry
}

/// The command that makes the same change.
fn words(name: &str, before: &Value, after: &Value, secrets: &SecretChanges) -> Vec<String> {
    let schema = |entry: &Value| entry.get("schema").and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, new) = (schema(before), schema(after));
    let mut words = vec!["connection".to_owned(), "edit".to_owned(), name.to_owned()];
    for (key, value) in new.iter().filter(|(key, value)| old.get(*key) != Some(value)) {
        words.extend(["--set".to_owned(), format!("{key}={}", super::fields::shown(Some(value)))]);
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        words.extend(["--unset".to_owned(), key.clone()]);
    }
    for key in secrets.keys() {
        words.extend(["--secret".to_owned(), key.clone()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likely_way_on_stands_first() {
        let first = |kind| ways(kind, false).first().map(|(way, _)| *way);
        assert_eq!(first(Some(Kind::Auth)), Some(Way::Secret));
        assert_eq!(first(Some(Kind::NotFound)), Some(Way::Settings));
        assert_eq!(first(Some(Kind::Network)), Some(Way::Retry));
        assert_eq!(ways(None, true).len(), 6);
    }

    #[test]
    fn the_command_names_what_was_changed_and_no_secret() {
        let before = serde_json::json!({"name": "c", "schema": {"host": "a", "port": 1}});
        let after = serde_json::json!({"name": "c", "schema": {"host": "b"}});
        let mut secrets = SecretChanges::new();
        put_secret(&mut secrets, "password", waybill_protocol::Secret::new("hunter22"));
        let words = words("c", &before, &after, &secrets).join(" ");
        assert_eq!(words, "connection edit c --set host=b --unset port --secret password");
    }
}
