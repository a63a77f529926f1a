//! `waybill runs diff`: what differs between two runs.

use clap::Args;
use waybill_protocol::Result;

use super::archive::resolve;
use super::look::{short_id, to_second};
use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::explain::{Comparison, Facts, RunName, compare};
use crate::history::with_archive;
use crate::store::project::Project;

/// Compares two runs.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier run: its id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "A", default_value = "-2", allow_hyphen_values = true)]
    before: String,
    /// The later run
    #[arg(value_name = "B", default_value = "-1", allow_hyphen_values = true)]
    after: String,
}

/// Compares two runs.
pub(super) fn diff(terminal: &Terminal, project: &Project, args: &DiffArgs) -> Result<u8> {
    let comparison = with_archive(project, |archive| {
        let (before, after) = (resolve(archive, &args.before)?, resolve(archive, &args.after)?);
        Ok(compare(&Facts::of(archive, &before)?, &Facts::of(archive, &after)?))
    })?;
    if terminal.json_wanted() {
        terminal.json(&comparison)?;
    } else {
        terminal.out(&render(terminal, &comparison))?;
    }
    Ok(0)
}

fn render(terminal: &Terminal, comparison: &Comparison) -> String {
    let of = |run: &RunName| {
        let (id, at) = (short_id(&run.run_id), to_second(&run.started_at));
        format!("{} {at} {} ({id})", run.connection, run.status.word())
    };
    let mut lines =
        vec![format!("from {}", of(&comparison.before)), format!("to   {}", of(&comparison.after))];
    if comparison.before.run_id == comparison.after.run_id {
        lines.push("these are the same run".to_owned());
    } else if comparison.before.connection != comparison.after.connection {
        lines.push("these are runs of two connections".to_owned());
    }
    lines.push(String::new());
    let rows: Vec<Vec<String>> = comparison
        .differences
        .iter()
        .map(|difference| {
            let mark = if difference.notable { "!" } else { "" };
            vec![mark.to_owned(), difference.area.word().to_owned(), visible(&difference.text)]
        })
        .collect();
    if rows.is_empty() {
        lines.push("nothing differs".to_owned());
    } else {
        lines.push(terminal.table(&[], rows));
        lines.push(String::new());
        lines.push(terminal.paint("2", "! marks what is worth a look when something went wrong"));
    }
    lines.extend(comparison.unknown.iter().map(|unknown| format!("not compared: {}", visible(unknown))));
    lines.join("\n")
}
