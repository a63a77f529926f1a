//! Destinations, secrets and settings: what the command line has for them, one step away.

use waybill_protocol::Result;

use super::{Menu, survives};
use crate::cli::prompt::{Ask, Choice, Item, ask, choose, confirm};
use crate::store::config::load;
use crate::store::name::check_name;

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

/// Secrets by name.
pub(super) async fn secrets(menu: &Menu<'_>) -> Result<()> {
    let mut start = 0;
    loop {
        let items = [
            Item::new("List", "names and where they come from"),
            Item::new("Check", "can every one be had?"),
            Item::new("Set", "enter one, unseen"),
            Item::new("Unset", "take one out"),
            Item::new("Back", ""),
        ];
        let choice = Choice { start, passing: true, ..Choice::new("Secrets", &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match index {
            0 => drop(menu.execute(&["secrets", "list"]).await?),
            1 => drop(menu.execute(&["secrets", "check"]).await?),
            2 | 3 => {
                let help = "such as sources.crm.password or destination.warehouse.credentials.password";
                let question = Ask { help, ..Ask::new("Which secret") };
                if let Some(place) = ask(menu.terminal, &question)? {
                    let word = if index == 2 { "set" } else { "unset" };
                    menu.execute(&["secrets", word, "--", &place]).await?;
                }
            }
            _ => return Ok(()),
        }
    }
}

/// Where data goes.
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
            Some(name) => destination(menu, name).await?,
            None if index == names.len() => drop(add_destination(menu).await?),
            None => return Ok(()),
        }
    }
}

async fn destination(menu: &Menu<'_>, name: &str) -> Result<()> {
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
            2 => drop(menu.execute(&["destination", "edit", name]).await?),
            3 => {
                if confirm(menu.terminal, &format!("Remove {name}?"), false)? == Some(true)
                    && menu.execute(&["destination", "remove", name, "--yes"]).await? == 0
                {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
}

/// Adds a destination; its name.
pub(super) async fn add_destination(menu: &Menu<'_>) -> Result<Option<String>> {
    let judge = |text: &str| check_name("destination name", text).map_err(|e| e.to_string());
    let question =
        Ask { judge: Some(&judge), help: "such as warehouse", ..Ask::new("Name of the destination") };
    let Some(name) = ask(menu.terminal, &question)? else { return Ok(None) };
    let code = menu.execute(&["destination", "add", &name]).await?;
    Ok((code == 0).then_some(name))
}
