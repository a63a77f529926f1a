//! What can be done with one connection.

use waybill_protocol::{Kind, Result};

use super::{Menu, home, runs, streams, survives, trouble};
use crate::cli::prompt::{Ask, Choice, Item, ask, choose, confirm};
use crate::history::with_archive;
use crate::store::config::load;
use crate::store::name::check_name;
use crate::summary::Summary;

const RUN: &str = "Run";
const AGAIN: &str = "Run all again";
const TEST: &str = "Test";
const PREFLIGHT: &str = "Preflight";
const STREAMS: &str = "Streams";
const PREVIEW: &str = "Preview rows";
const RUNS: &str = "Runs";
const EDIT: &str = "Edit settings";
const ENABLE: &str = "Enable";
const DISABLE: &str = "Disable";
const RENAME: &str = "Rename";
const REMOVE: &str = "Remove";

/// Shows a connection and what can be done with it, until the person goes back.
pub(super) async fn connection(menu: &Menu<'_>, name: &str) -> Result<()> {
    let mut name = name.to_owned();
    let mut start = 0;
    loop {
        // Another process may have changed it since.
        let Some(config) = survives(menu, load(menu.project))? else { return Ok(()) };
        let found = with_archive(menu.project, |archive| archive.list(None)).unwrap_or_default();
        let Some(row) = home::rows(&config, &found).into_iter().find(|row| row.name == name) else {
            menu.terminal.note(&format!("there is no connection {name} any more"));
            return Ok(());
        };
        let known = [row.way.clone(), row.last(), row.standing.clone()];
        let known: Vec<String> = known.into_iter().filter(|text| !text.is_empty()).collect();
        let above = format!("\n{name} · {}", known.join(" · "));
        let texts = actions(row.enabled);
        let items: Vec<Item> = texts.iter().map(|(text, detail)| Item::new(*text, *detail)).collect();
        let choice =
            Choice { start, passing: true, above: &above, ..Choice::new("What to do with it?", &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match texts.get(index).map(|(text, _)| *text) {
            Some(RUN) => run(menu, &name).await?,
            Some(AGAIN) => run_with(menu, &["run", &name, "--full-refresh"], &name).await?,
            Some(TEST) => test(menu, &name).await?,
            Some(PREFLIGHT) => drop(menu.execute(&["connection", "preflight", &name]).await?),
            Some(STREAMS) => streams::edit(menu, &name).await?,
            Some(PREVIEW) => streams::preview(menu, &name).await?,
            Some(RUNS) => runs::runs(menu, Some(&name)).await?,
            Some(EDIT) => trouble::settings(menu, &name).await?,
            Some(ENABLE) => drop(menu.execute(&["connection", "enable", &name]).await?),
            Some(DISABLE) => drop(menu.execute(&["connection", "disable", &name]).await?),
            Some(RENAME) => name = rename(menu, &name).await?,
            Some(REMOVE) => {
                if remove(menu, &name).await? {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
}

fn actions(enabled: Option<bool>) -> Vec<(&'static str, &'static str)> {
    let switch = match enabled {
        Some(false) => (ENABLE, "run it with the others again"),
        _ => (DISABLE, "leave it out of `run --all`"),
    };
    let all = [
        (RUN, "load what is new"),
        (TEST, "can both sides be reached and used?"),
        (PREFLIGHT, "can it do what it is set up to do? With the grants that are missing"),
        (STREAMS, "what there is, and what is loaded how"),
        (PREVIEW, "the first rows of a stream"),
        (RUNS, "what was run, and its record"),
        (EDIT, "how the source is reached, and its secrets"),
        switch,
        (AGAIN, "everything, whatever was loaded before"),
        (RENAME, "its state and its runs stay"),
        (REMOVE, "with a backup; loaded data stays"),
        ("Back", ""),
    ];
    // What is wrong can be mended, switched off or removed; nothing can be run.
    let wrong = [EDIT, DISABLE, RENAME, REMOVE, RUNS, "Back"];
    all.into_iter().filter(|(text, _)| enabled.is_some() || wrong.contains(text)).collect()
}

async fn test(menu: &Menu<'_>, name: &str) -> Result<()> {
    while menu.execute(&["connection", "test", name]).await? != 0 {
        if !trouble::after_test(menu, name).await? {
            break;
        }
    }
    Ok(())
}

/// Runs a connection, and offers what comes next.
pub(super) async fn run(menu: &Menu<'_>, name: &str) -> Result<()> {
    run_with(menu, &["run", name], name).await
}

async fn run_with(menu: &Menu<'_>, words: &[&str], name: &str) -> Result<()> {
    let before = runs::newest(menu, name).map(|run| run.run_id);
    loop {
        let code = menu.execute(words).await?;
        let newest = runs::newest(menu, name).filter(|run| Some(&run.run_id) != before.as_ref());
        let summary: Option<Summary> =
            newest.as_ref().and_then(|run| with_archive(menu.project, |archive| archive.show(run)).ok());
        // Refused before it began (3), or ended by what a person can mend.
        let mendable = match summary.as_ref().and_then(|summary| summary.error.as_ref()) {
            Some(failure) => trouble::mendable(failure.error.kind),
            None => code == Kind::Config.exit_code(false),
        };
        let again = loop {
            let mut texts = Vec::new();
            if newest.is_some() {
                texts.push(("Show events", "what happened, line by line"));
            }
            if mendable {
                texts.extend([("Enter a secret again", ""), ("Edit settings", ""), ("Test", "")]);
            }
            texts.extend([("Run again", ""), ("Back", "")]);
            let items: Vec<Item> = texts.iter().map(|(text, detail)| Item::new(*text, *detail)).collect();
            let start = if mendable { usize::from(newest.is_some()) } else { 0 };
            let choice = Choice { start, passing: true, ..Choice::new("And now?", &items) };
            let chosen = choose(menu.terminal, &choice)?.and_then(|index| texts.get(index));
            match (chosen.map(|(text, _)| *text), &newest) {
                (Some("Show events"), Some(run)) => {
                    menu.execute(&["runs", "events", &run.run_id]).await?;
                }
                (Some("Run again"), _) => break true,
                (Some("Enter a secret again"), _) => {
                    if trouble::secret_of(menu, name).await? {
                        break true;
                    }
                }
                (Some("Edit settings"), _) => trouble::settings(menu, name).await?,
                (Some("Test"), _) => test(menu, name).await?,
                _ => break false,
            }
        };
        if !again {
            return Ok(());
        }
    }
}

async fn rename(menu: &Menu<'_>, name: &str) -> Result<String> {
    let judge = |text: &str| check_name("connection name", text).map_err(|e| e.to_string());
    let question = Ask { initial: name, judge: Some(&judge), ..Ask::new("New name") };
    let Some(new) = ask(menu.terminal, &question)?.filter(|new| new != name) else {
        return Ok(name.to_owned());
    };
    let code = menu.execute(&["connection", "rename", name, &new]).await?;
    Ok(if code == 0 { new } else { name.to_owned() })
}

async fn remove(menu: &Menu<'_>, name: &str) -> Result<bool> {
    let question = format!("Remove {name}? (`waybill connection restore {name}` brings it back)");
    if confirm(menu.terminal, &question, false)? != Some(true) {
        return Ok(false);
    }
    Ok(menu.execute(&["connection", "remove", name, "--yes"]).await? == 0)
}
