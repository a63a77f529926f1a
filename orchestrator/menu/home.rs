//! The first screen.

use chrono::Utc;
use waybill_protocol::{Error, Kind, Result};

use super::view::{self, Action, Home, Row};
use super::{Menu, add, connection, destination, places, runs};
use crate::cli::connection::way;
use crate::cli::prompt::{Choice, Item, choose, choose_many};
use crate::cli::runs::look::{age, status_word};
use crate::cli::state::view::value_text;
use crate::history::{RunEntry, with_archive};
use crate::store::config::{Connection, LoadedConfig, load};
use crate::store::state::StateEntry;
use crate::summary::units::counted;

/// Shows the first screen until the person leaves.
pub(super) async fn home(menu: &Menu<'_>) -> Result<()> {
    let mut start = 0;
    loop {
        let state = look(menu);
        let (items, actions): (Vec<Item>, Vec<Action>) = view::home(&state).into_iter().unzip();
        let above = view::head(&state);
        let choice = Choice { start, passing: true, above: &above, ..Choice::new("What to do?", &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match actions.get(index) {
            None | Some(Action::Nothing | Action::Again) => {}
            Some(Action::Quit) => return Ok(()),
            Some(Action::Connection(name)) => connection::connection(menu, name).await?,
            Some(Action::Add) => add::add(menu).await?,
            Some(Action::Run) => run(menu, &state).await?,
            Some(Action::Test) => drop(menu.execute(&["connection", "test", "--all"]).await?),
            Some(Action::Destinations) => destination::destinations(menu).await?,
            Some(Action::Secrets) => places::secrets(menu).await?,
            Some(Action::Runs) => runs::runs(menu, None).await?,
            Some(Action::Settings) => places::settings(menu).await?,
            Some(Action::Demo) => drop(menu.execute(&["demo"]).await?),
        }
    }
}

/// Reads what there is now: the files may have changed since the last look.
fn look(menu: &Menu<'_>) -> Home {
    let project = menu.project;
    let mut home = Home { place: project.dir.display().to_string(), ..Home::default() };
    let missing = std::fs::symlink_metadata(&project.config_path).is_err();
    match load(project) {
        Ok(config) => {
            let runs = with_archive(project, |archive| archive.list(None)).unwrap_or_else(|error| {
                home.warnings.push(format!("the runs there were cannot be read: {error}"));
                Vec::new()
            });
            home.rows = rows(&config, &runs);
            home.warnings.extend(config.findings.iter().map(|finding| finding.message.clone()));
            for invalid in &config.invalid_destinations {
                home.warnings.extend(invalid.errors.iter().map(|error| error.message.clone()));
            }
        }
        Err(_) if missing => home.fresh = true,
        Err(error) => home.broken = Some(broken(menu, &error)),
    }
    home
}

fn broken(menu: &Menu<'_>, error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(hint) = error.get_hint() {
        text.push_str(&format!("\nhint: {hint}"));
    }
    let backups = std::fs::read_dir(&menu.project.backups_dir).map(|found| found.count()).unwrap_or(0);
    if backups > 0 && error.kind() == Kind::Config {
        text.push_str(&format!("\nearlier versions are in {}", menu.project.backups_dir.display()));
    }
    text
}

/// What a person sees of each connection.
pub(super) fn rows(config: &LoadedConfig, runs: &[RunEntry]) -> Vec<Row> {
    let now = Utc::now();
    let told = |run: &RunEntry| (status_word(run), age(&run.started_at, now), run.rows);
    let mut rows = Vec::new();
    for entry in &config.connections {
        rows.push(match entry {
            Ok(connection) => {
                let id = connection.id.map(|id| id.to_string());
                let ours = |run: &&RunEntry| id.as_ref().is_some_and(|id| run.connection_id == *id);
                Row {
                    name: connection.name.clone(),
                    enabled: Some(connection.enabled),
                    way: way(config, connection),
                    standing: standing(connection),
                    last: runs.iter().find(ours).map(told),
                    problem: None,
                }
            }
            Err(invalid) => Row {
                name: invalid.name.clone().unwrap_or_else(|| {
                    invalid.index.map_or_else(String::new, |index| format!("connections[{index}]"))
                }),
                enabled: None,
                way: "invalid".to_owned(),
                standing: String::new(),
                last: None,
                problem: Some(invalid.error().message().to_owned()),
            },
        });
    }
    rows
}

/// How many streams there are, and how far they are by the config: asking the destination would wait.
fn standing(connection: &Connection) -> String {
    let streams = connection.streams.iter().filter(|stream| stream.enabled).count();
    let mut parts = vec![counted(streams as u64, "stream")];
    let states: Vec<(&String, &StateEntry)> = connection.state.iter().collect();
    match states.as_slice() {
        [] => {}
        [(stream, StateEntry::Position { cursor: Some(cursor), .. })] => {
            parts.push(format!("{stream} at {}", value_text(cursor)));
        }
        several => {
            let waiting = several.iter().filter(|(_, entry)| entry.nonce().is_some()).count() as u64;
            if waiting > 0 {
                parts.push(format!("{} for the next run", counted(waiting, "instruction")));
            }
            parts.push(format!("{} with state", several.len() as u64 - waiting));
        }
    }
    parts.join(", ")
}

/// Runs several connections: those that are enabled are marked.
async fn run(menu: &Menu<'_>, state: &Home) -> Result<()> {
    let usable: Vec<&Row> = state.rows.iter().filter(|row| row.enabled.is_some()).collect();
    let items: Vec<Item> = usable.iter().map(|row| Item::new(row.name.clone(), row.last())).collect();
    let on = usable.iter().enumerate().filter(|(_, row)| row.enabled == Some(true));
    let marked: Vec<usize> = on.map(|(index, _)| index).collect();
    let choice = Choice { marked: &marked, ..Choice::new("Run which connections?", &items) };
    let Some(chosen) = choose_many(menu.terminal, &choice)? else { return Ok(()) };
    let names: Vec<&str> =
        chosen.iter().filter_map(|index| usable.get(*index)).map(|row| row.name.as_str()).collect();
    match names.as_slice() {
        [] => menu.terminal.note("none was marked: nothing is run"),
        [one] => connection::run(menu, one).await?,
        _ => {
            let all = chosen == marked && !names.is_empty();
            let mut words = vec!["run"];
            if all {
                words.push("--all")
            } else {
                words.extend(&names)
            }
            menu.execute(&words).await?;
        }
    }
    Ok(())
}
