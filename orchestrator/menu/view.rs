//! What the menu shows, as text: state in, lines and items out. Nothing here asks or prints.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::cli::prompt::Item;
use crate::cli::runs::look::{age, short_id, status_word, to_second};
use crate::history::RunEntry;
use crate::summary::units::counted;

/// Widest name that gets a column of its own.
const NAME: usize = 24;

/// What a person sees of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name, or its place where it has none.
    pub(super) name: String,
    /// Whether it is on; `None` for an entry that is wrong.
    pub(super) enabled: Option<bool>,
    /// From where to where.
    pub(super) way: String,
    /// How many streams are selected, and how far they are, by the config.
    pub(super) standing: String,
    /// The last run, where there is one: status, age, rows.
    pub(super) last: Option<(String, String, u64)>,
    /// What is wrong with the entry.
    pub(super) problem: Option<String>,
}

/// The whole of the first screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Home {
    /// Where the project lies.
    pub(super) place: String,
    /// Its connections.
    pub(super) rows: Vec<Row>,
    /// Whether there is a config at all.
    pub(super) fresh: bool,
    /// Why the config cannot be read.
    pub(super) broken: Option<String>,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
}

/// What can be done from the first screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Connection(String),
    Add,
    Run,
    Test,
    Destinations,
    Secrets,
    Runs,
    Settings,
    Demo,
    Again,
    Quit,
    Nothing,
}

impl Row {
    fn mark(&self) -> &'static str {
        match self.enabled {
            None => "✗",
            Some(true) => "●",
            Some(false) => "○",
        }
    }

    /// How the last run went, in a few words.
    pub(super) fn last(&self) -> String {
        match (&self.last, &self.problem) {
            (_, Some(problem)) => problem.clone(),
            (None, None) => "never run".to_owned(),
            (Some((status, age, rows)), None) => format!("{status} {age}, {}", counted(*rows, "row")),
        }
    }
}

/// The lines above the first screen's list.
pub(super) fn head(home: &Home) -> String {
    let mut lines = vec![String::new()];
    let total = home.rows.len();
    let off = home.rows.iter().filter(|row| row.enabled == Some(false)).count();
    let wrong = home.rows.iter().filter(|row| row.enabled.is_none()).count();
    let word = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let mut about = vec![match (home.broken.is_some(), home.fresh) {
        (true, _) => "the config cannot be read".to_owned(),
        (false, true) => "no project here yet".to_owned(),
        (false, false) => counted(u64::try_from(total).unwrap_or(u64::MAX), "connection"),
    }];
    about.extend(word(off, "not enabled"));
    about.extend(word(wrong, "invalid"));
    about.extend(word(home.rows.iter().filter(|row| went_wrong(row)).count(), "did not succeed last"));
    lines.push(format!("waybill · {} · {}", home.place, about.join(", ")));
    lines.extend(home.broken.iter().flat_map(|text| text.lines().map(|line| format!("  {line}"))));
    lines.extend(home.warnings.iter().take(3).map(|warning| format!("  warning: {warning}")));
    if home.warnings.len() > 3 {
        lines.push("  … more: waybill config validate".to_owned());
    }
    lines.join("\n")
}

fn went_wrong(row: &Row) -> bool {
    row.last
        .as_ref()
        .is_some_and(|(status, ..)| !status.starts_with("succeeded") && !status.starts_with("running"))
}

/// The list of the first screen: connections, then what can be done.
pub(super) fn home(home: &Home) -> Vec<(Item, Action)> {
    let mut items = Vec::new();
    let action = |text: &str, detail: &str, action: Action| (Item::new(text, detail), action);
    if home.broken.is_some() {
        items.push(action("Try again", "read the config once more", Action::Again));
        items.push(action("Runs", "what was run, and its record", Action::Runs));
        items.push(action("Settings", "paths, and what is in force", Action::Settings));
        items.push(action("Quit", "", Action::Quit));
        return items;
    }
    let wide = home.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).min(NAME);
    let way = home.rows.iter().map(|row| row.way.chars().count()).max().unwrap_or(0);
    for row in &home.rows {
        let pad = " ".repeat(wide.saturating_sub(row.name.chars().count()));
        let gap = " ".repeat(way.saturating_sub(row.way.chars().count()));
        let text = format!("{} {}{pad}", row.mark(), row.name);
        let standing = if row.standing.is_empty() { String::new() } else { format!("  {}", row.standing) };
        let detail = format!("{}{gap}  {}{standing}", row.way, row.last());
        items.push((Item::new(text, detail), Action::Connection(row.name.clone())));
    }
    if !home.rows.is_empty() {
        items.push((Item::heading("──"), Action::Nothing));
        items.push(action("Run", "one, several or all that are enabled", Action::Run));
        items.push(action("Test", "can everything be reached?", Action::Test));
    }
    items.push(action("Add a connection", "from where, to where, and what", Action::Add));
    if home.fresh {
        items.push(action("Demo", "a small project with real data, in a folder of its own", Action::Demo));
    } else {
        items.push(action("Destinations", "where data goes", Action::Destinations));
        items.push(action("Secrets", "names and where they come from, never values", Action::Secrets));
        items.push(action("Runs", "what was run, and its record", Action::Runs));
    }
    items.push(action("Settings", "paths, and what is in force", Action::Settings));
    items.push(action("Quit", "", Action::Quit));
    items
}

/// A line for each run, newest first.
pub(super) fn runs(runs: &[RunEntry], now: DateTime<Utc>) -> Vec<Item> {
    let wide = runs.iter().map(|run| run.connection.chars().count()).max().unwrap_or(0).min(NAME);
    let item = |run: &RunEntry| {
        let pad = " ".repeat(wide.saturating_sub(run.connection.chars().count()));
        let text = format!("{}{pad}  {}", run.connection, status_word(run));
        let rows = counted(run.rows, "row");
        let detail = format!(
            "{}  {rows}  {}  {}",
            age(&run.started_at, now),
            to_second(&run.started_at),
            short_id(&run.run_id)
        );
        Item::new(text, detail)
    };
    runs.iter().map(item).collect()
}

/// An entry as it will stand in config.json, indented, for a person to judge before it is saved.
pub(super) fn entry(entry: &Value, secrets: &[String], file: &str) -> String {
    let text = serde_json::to_string_pretty(entry).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.insert(0, "this will stand in config.json:".to_owned());
    match secrets {
        [] => {}
        names => lines.push(format!("and in {file}: {}", names.join(", "))),
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, enabled: Option<bool>, way: &str, last: Option<(&str, &str, u64)>) -> Row {
        let last = last.map(|(status, age, rows)| (status.to_owned(), age.to_owned(), rows));
        let standing = "3 streams, orders at 2024-05-01".to_owned();
        Row { name: name.to_owned(), enabled, way: way.to_owned(), standing, last, problem: None }
    }

    fn picture(state: &Home) -> String {
        let items = home(state).into_iter().map(|(item, _)| {
            if item.heading { item.text } else { format!("{} | {}", item.text, item.detail) }
        });
        let lines: Vec<String> = std::iter::once(head(state)).chain(items).collect();
        // Blanks at the ends of lines are not seen, and get lost in files.
        lines.join("\n").lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
    }

    #[test]
    fn the_first_screen_shows_each_connection_and_how_it_went() {
        let mut broken = row("old", None, "invalid", None);
        broken.standing = String::new();
        broken.problem = Some("type: no connector \"postgre\"; did you mean \"postgres\"?".to_owned());
        let state = Home {
            place: "/srv/shop".to_owned(),
            rows: vec![
                row(
                    "crm",
                    Some(true),
                    "postgres → warehouse (postgres)",
                    Some(("succeeded", "3 min ago", 1204)),
                ),
                row("sales-files", Some(false), "files → local (sqlite)", Some(("failed", "2 days ago", 0))),
                row("new", Some(true), "sqlite → local (sqlite)", None),
                broken,
            ],
            warnings: vec!["connections[0].retrys is not known; did you mean \"retries\"?".to_owned()],
            ..Home::default()
        };
        insta::assert_snapshot!("home", picture(&state));
    }

    #[test]
    fn the_first_screen_of_an_empty_folder_and_of_a_broken_config_say_what_to_do() {
        let fresh = Home { place: "/srv/new".to_owned(), fresh: true, ..Home::default() };
        insta::assert_snapshot!("home_fresh", picture(&fresh));
        let broken = Home {
            place: "/srv/shop".to_owned(),
            broken: Some("config.json:1: is empty\nhint: backups/ has the versions before".to_owned()),
            ..Home::default()
        };
        insta::assert_snapshot!("home_broken", picture(&broken));
    }

    #[test]
    fn an_entry_is_shown_as_it_will_stand() {
        let value = serde_json::json!({"name": "crm", "type": "postgres", "schema": {"host": "db"}});
        let names = ["sources.crm.password".to_owned()];
        insta::assert_snapshot!("entry", entry(&value, &names, "secrets.toml"));
    }
}
