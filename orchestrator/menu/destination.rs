//! Where data goes: destinations are tested, added, edited, removed, and one is the default.

use serde_json::{Map, Value};
use waybill_protocol::{Error, Result, Role};

use super::add::connector;
use super::fields::{self, Sheet, form, usual_ones};
use super::{Menu, survives};
use crate::cli::prompt::{Ask, Choice, Item, ask, choose, confirm};
use crate::manage::destinations::{self, Change};
use crate::manage::{SecretChanges, ensure_config, merge};
use crate::secrets::{Place, SecretsFile, set};
use crate::store::config::{EMBEDDED_NAME, load};
use crate::store::edit::edit;
use crate::store::name::check_name;

/// Lists destinations, and what can be done with each.
pub(super) async fn destinations(menu: &Menu<'_>) -> Result<()> {
    let mut start = 0;
    loop {
        let Some(config) = survives(menu, load(menu.project))? else { return Ok(()) };
        let default = config.destination.clone();
        let mut names: Vec<String> = config.destinations.iter().map(|d| d.name.clone()).collect();
        names.extend(config.invalid_destinations.iter().filter_map(|invalid| invalid.name.clone()));
        let mut items: Vec<Item> = Vec::new();
        for name in &names {
            let system = config.destinations.iter().find(|d| d.name == *name).map(|d| d.system.clone());
            let star = if default.as_ref() == Some(name) || names.len() == 1 { "* " } else { "  " };
            items.push(Item::new(format!("{star}{name}"), system.unwrap_or_else(|| "invalid".to_owned())));
        }
        items.push(Item::new("Add a destination", ""));
        items.push(Item::new("Back", ""));
        let help = "* is the one that connections without a destination of their own use";
        let choice = Choice { start, passing: true, help, ..Choice::new("Destinations", &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match names.get(index) {
            Some(name) => one(menu, name).await?,
            None if index == names.len() => drop(add(menu).await?),
            None => return Ok(()),
        }
    }
}

async fn one(menu: &Menu<'_>, name: &str) -> Result<()> {
    let mut start = 0;
    loop {
        let items = [
            Item::new("Test", "can it be reached and written?"),
            Item::new("Use by default", "for connections that name none"),
            Item::new("Edit", "how it is reached, and its secrets"),
            Item::new("Remove", "refused while a connection uses it"),
            Item::new("Back", ""),
        ];
        let label = format!("What to do with {name}?");
        let choice = Choice { start, passing: true, ..Choice::new(&label, &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match index {
            0 => drop(menu.execute(&["destination", "test", name]).await?),
            1 => drop(menu.execute(&["destination", "use", name]).await?),
            2 => revise(menu, name)?,
            3 => {
                if confirm(menu.terminal, &format!("Remove {name}?"), false)? == Some(true)
                    && menu.execute(&["destination", "remove", name]).await? == 0
                {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
}

/// Adds a destination; its name.
pub(super) async fn add(menu: &Menu<'_>) -> Result<Option<String>> {
    let taken: Vec<String> = match load(menu.project) {
        Ok(config) => config.destinations.iter().map(|d| d.name.clone()).collect(),
        Err(_) => vec![EMBEDDED_NAME.to_owned()],
    };
    let specs = menu.registry.iter().map(|connector| connector.spec());
    let specs: Vec<_> = specs.filter(|spec| spec.roles.contains(&Role::Destination)).collect();
    let items: Vec<Item> = specs.iter().map(|spec| Item::new(spec.title, "")).collect();
    let choice = Choice { passing: true, ..Choice::new("Which system?", &items) };
    let Some(spec) = choose(menu.terminal, &choice)?.and_then(|index| specs.get(index)) else {
        return Ok(None);
    };
    let judge = |text: &str| {
        check_name("destination name", text).map_err(|e| e.to_string())?;
        match taken.iter().any(|name| name.eq_ignore_ascii_case(text)) {
            true => Err(format!("there is a destination {text} already")),
            false => Ok(()),
        }
    };
    let question =
        Ask { judge: Some(&judge), help: "such as warehouse", ..Ask::new("Name of the destination") };
    let Some(name) = ask(menu.terminal, &question)? else { return Ok(None) };
    let sheet = Sheet { connector: connector(menu, spec.name)?, role: Role::Destination };
    let (mut settings, mut secrets) = (Map::new(), SecretChanges::new());
    if !usual_ones(menu, sheet, &mut settings, &mut secrets)? {
        return Ok(None);
    }
    let go_on = ("Save", "with these settings");
    loop {
        if !form(menu, sheet, go_on, &mut settings, &mut secrets, &[])? {
            return Ok(None);
        }
        menu.say_command(&words("add", &name, Some(spec.name), &Map::new(), &settings, &secrets));
        let saved = save_new(menu, &name, spec.name, &settings, &secrets);
        if survives(menu, saved)?.is_some() {
            menu.terminal.note(&format!("saved: {name}"));
            return Ok(Some(name));
        }
    }
}

fn save_new(
    menu: &Menu<'_>,
    name: &str,
    system: &str,
    settings: &Map<String, Value>,
    secrets: &SecretChanges,
) -> Result<()> {
    ensure_config(menu.project)?;
    let new = secrets.iter().filter_map(|(key, value)| value.clone().map(|value| (key.clone(), value)));
    let change = Change { settings: settings.clone(), secrets: new.collect(), ..Change::default() };
    destinations::add(menu.project, name, system, &change, false)
}

fn write_secrets(menu: &Menu<'_>, name: &str, secrets: &SecretChanges) -> Result<()> {
    let place = Place::Destination(name.to_owned());
    let new = secrets.iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value)));
    new.into_iter().try_for_each(|(key, value)| set(menu.project, &place, key, value))
}

/// Edits a destination. What another process changes meanwhile is kept, or the conflict is shown.
fn revise(menu: &Menu<'_>, name: &str) -> Result<()> {
    let Some(config) = survives(menu, load(menu.project))? else { return Ok(()) };
    let written = config.text.value.get("destinations").and_then(|all| all.get(name)).cloned();
    let Some(before) = written else {
        menu.terminal.note(&format!(
            "{name} is the embedded destination: a file beside config.json, with no settings"
        ));
        return Ok(());
    };
    let system = before.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(connector) = survives(menu, connector(menu, &system))? else { return Ok(()) };
    let sheet = Sheet { connector, role: Role::Destination };
    let mut settings = before.as_object().cloned().unwrap_or_default();
    let mut secrets = SecretChanges::new();
    let held = SecretsFile::read(menu.project).and_then(|file| file.destination(name));
    let Some((_, held)) = survives(menu, held)? else { return Ok(()) };
    let held: Vec<String> = held.keys().cloned().collect();
    if !form(menu, sheet, ("Save", "what others change meanwhile stays"), &mut settings, &mut secrets, &held)?
    {
        return Ok(());
    }
    let after = Value::Object(settings.clone());
    if after == before && secrets.is_empty() {
        menu.terminal.note("nothing was changed");
        return Ok(());
    }
    let old = before.as_object().cloned().unwrap_or_default();
    menu.say_command(&words("edit", name, None, &old, &settings, &secrets));
    let saved = edit(menu.project, &menu.registry, |_, document| {
        let gone =
            || Error::config(format!("there is no destination {name} any more")).hint("nothing was saved");
        let now = document.get_mut("destinations").and_then(|all| all.get_mut(name)).ok_or_else(gone)?;
        *now = merge(&before, &after, now).map_err(|conflicts| {
            let said: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
            Error::config(format!("{name} was changed meanwhile: {}", said.join("; ")))
                .hint("nothing was saved: begin again from what stands there now")
        })?;
        Ok(())
    });
    let saved = saved.and_then(|()| write_secrets(menu, name, &secrets));
    if survives(menu, saved)?.is_some() {
        menu.terminal.note("saved");
    }
    Ok(())
}

/// The command that makes the same change.
fn words(
    verb: &str,
    name: &str,
    system: Option<&str>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    secrets: &SecretChanges,
) -> Vec<String> {
    let mut words = vec!["destination".to_owned(), verb.to_owned(), name.to_owned()];
    words.extend(system.map(str::to_owned));
    for (key, value) in after.iter().filter(|(key, value)| before.get(*key) != Some(value)) {
        words.extend(["--set".to_owned(), format!("{key}={}", fields::shown(Some(value)))]);
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        words.extend(["--unset".to_owned(), key.clone()]);
    }
    for key in secrets.keys() {
        words.extend(["--secret".to_owned(), key.clone()]);
    }
    words
}
