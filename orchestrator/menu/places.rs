//! Secrets and settings.

use waybill_protocol::{Result, Role};

use super::fields::Sheet;
use super::{Menu, survives};
use crate::cli::prompt::{Ask, Choice, Item, choose, confirm, secret};
use crate::secrets::{NewValue, Place, SecretsFile, set, unset};
use crate::store::config::load;

/// A list of things to do, each with its words; asks until the person goes back.
async fn offer(menu: &Menu<'_>, label: &str, offers: &[(&str, &str, &[&str])]) -> Result<()> {
    let items: Vec<Item> = offers.iter().map(|(text, detail, _)| Item::new(*text, *detail)).collect();
    let mut start = 0;
    loop {
        let choice = Choice { start, passing: true, ..Choice::new(label, &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match offers.get(index) {
            Some((_, _, words)) if !words.is_empty() => drop(menu.execute(words).await?),
            _ => return Ok(()),
        }
    }
}

/// Paths, what is in force, whether the config is right.
pub(super) async fn settings(menu: &Menu<'_>) -> Result<()> {
    let offers: [(&str, &str, &[&str]); 4] = [
        ("Show settings", "each value and where it comes from", &["config", "show"]),
        ("Check the config", "is everything in it right?", &["config", "validate"]),
        ("Doctor", "paths, locks, versions, connections", &["doctor"]),
        ("Back", "", &[]),
    ];
    offer(menu, "Settings", &offers).await
}

/// Secrets by name: those that there are, and those that the systems know.
pub(super) async fn secrets(menu: &Menu<'_>) -> Result<()> {
    let mut start = 0;
    loop {
        let Some(known) = survives(menu, known(menu))? else { return Ok(()) };
        let mut items = vec![
            Item::new("List", "names and where they come from"),
            Item::new("Check", "can every one be had?"),
        ];
        items.extend(known.iter().map(|secret| {
            Item::new(secret.name(), if secret.there { "in secrets.toml" } else { "not there" })
        }));
        items.push(Item::new("Back", ""));
        let choice = Choice { start, passing: true, ..Choice::new("Secrets", &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match (index, index.checked_sub(2).and_then(|index| known.get(index))) {
            (0, _) => drop(menu.execute(&["secrets", "list"]).await?),
            (1, _) => drop(menu.execute(&["secrets", "check"]).await?),
            (_, Some(secret)) => one_secret(menu, secret)?,
            _ => return Ok(()),
        }
    }
}

/// A secret that a connection or destination has or may have.
struct Known {
    place: Place,
    key: String,
    there: bool,
}

impl Known {
    fn name(&self) -> String {
        match &self.place {
            Place::Source(name) => format!("sources.{name}.{}", self.key),
            Place::Destination(name) => format!("destination.{name}.credentials.{}", self.key),
        }
    }
}

fn known(menu: &Menu<'_>) -> Result<Vec<Known>> {
    let config = load(menu.project)?;
    let file = SecretsFile::read(menu.project)?;
    let mut known = Vec::new();
    let mut put = |place: &Place, system: &str, role: Role, there: Vec<String>| {
        let Some(connector) = menu.registry.iter().find(|connector| connector.spec().name == system) else {
            return;
        };
        let sheet = Sheet { connector: connector.as_ref(), role };
        let fields = sheet.fields().into_iter().filter(|field| field.secret).map(|field| field.key);
        let strays = there.iter().filter(|key| sheet.fields().iter().all(|field| field.key != **key));
        for key in fields.chain(strays.cloned()) {
            let is_there = there.contains(&key);
            known.push(Known { place: place.clone(), there: is_there, key });
        }
    };
    for connection in config.valid() {
        let there = file.source(&connection.name).keys().cloned().collect();
        put(&Place::Source(connection.name.clone()), &connection.system, Role::Source, there);
    }
    for destination in &config.destinations {
        let there = file.destination(&destination.name)?.1.keys().cloned().collect();
        put(&Place::Destination(destination.name.clone()), &destination.system, Role::Destination, there);
    }
    Ok(known)
}

fn one_secret(menu: &Menu<'_>, known: &Known) -> Result<()> {
    let name = known.name();
    let items = [Item::new("Enter it", "unseen"), Item::new("Take it out", ""), Item::new("Back", "")];
    let items = if known.there { &items[..] } else { &items[..1] };
    let chosen = choose(menu.terminal, &Choice { passing: true, ..Choice::new(&name, items) })?;
    match chosen {
        Some(0) => {
            let question = Ask { help: "what is typed is not shown", ..Ask::new(&name) };
            let Some(value) = secret(menu.terminal, &question)? else { return Ok(()) };
            menu.say_command(&["secrets", "set", &name]);
            let done = set(menu.project, &known.place, &known.key, &NewValue::Literal(value));
            if survives(menu, done)?.is_some() {
                menu.terminal.note("saved");
            }
        }
        Some(1)
            if confirm(menu.terminal, &format!("Take {name} out of secrets.toml?"), false)? == Some(true) =>
        {
            menu.say_command(&["secrets", "unset", &name]);
            if survives(menu, unset(menu.project, &known.place, &known.key))?.is_some() {
                menu.terminal.note("taken out");
            }
        }
        _ => {}
    }
    Ok(())
}
