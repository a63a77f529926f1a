//! The runs there were.

use chrono::Utc;
use waybill_protocol::Result;

use super::{Menu, survives, view};
use crate::cli::prompt::{Choice, Item, choose};
use crate::history::{RunEntry, with_archive};

/// Runs that are offered; the command line lists any number.
const OFFERED: usize = 500;

/// Lists runs, of one connection or all, and shows the record of those that are chosen.
pub(super) async fn runs(menu: &Menu<'_>, connection: Option<&str>) -> Result<()> {
    let mut start = 0;
    loop {
        let Some(found) = survives(menu, list(menu, connection))? else { return Ok(()) };
        if found.is_empty() {
            menu.terminal.note("there are no runs yet");
            return Ok(());
        }
        let items = view::runs(&found, Utc::now());
        let label =
            connection.map_or_else(|| "Which run?".to_owned(), |name| format!("Which run of {name}?"));
        let choice = Choice { start, passing: true, ..Choice::new(&label, &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        if let Some(run) = found.get(index) {
            one(menu, run).await?;
        }
    }
}

fn list(menu: &Menu<'_>, connection: Option<&str>) -> Result<Vec<RunEntry>> {
    let found = with_archive(menu.project, |archive| archive.list(connection.is_none().then_some(OFFERED)))?;
    let ours = |run: &RunEntry| connection.is_none_or(|name| run.connection == name);
    Ok(found.into_iter().filter(ours).take(OFFERED).collect())
}

/// The newest run of a connection.
pub(super) fn newest(menu: &Menu<'_>, connection: &str) -> Option<RunEntry> {
    list(menu, Some(connection)).ok().and_then(|found| found.into_iter().next())
}

async fn one(menu: &Menu<'_>, run: &RunEntry) -> Result<()> {
    menu.execute(&["runs", "show", &run.run_id]).await?;
    loop {
        let items = [Item::new("Show events", "what happened, line by line"), Item::new("Back", "")];
        let choice = Choice { passing: true, ..Choice::new("And now?", &items) };
        match choose(menu.terminal, &choice)? {
            Some(0) => drop(menu.execute(&["runs", "events", &run.run_id]).await?),
            _ => return Ok(()),
        }
    }
}
