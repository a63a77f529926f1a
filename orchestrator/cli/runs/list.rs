//! `waybill runs list`.

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use waybill_protocol::Result;

use super::look::{short_id, status_word, to_second};
use super::when;
use crate::cli::terminal::Terminal;
use crate::history::{Query, RunEntry, with_archive};
use crate::store::project::Project;
use crate::summary::RunStatus;
use crate::summary::units::{count, duration};

/// Lists runs, newest first.
#[derive(Debug, Default, Args)]
pub struct ListArgs {
    /// Only runs of this connection; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) connection: Vec<String>,
    /// Only runs that stand or ended so; may be given several times, or with commas
    #[arg(long, value_parser = status(), value_name = "STATUS", value_delimiter = ',')]
    pub(super) status: Vec<RunStatus>,
    /// Only runs that did not succeed: partial, failed, cancelled, crashed
    #[arg(long, conflicts_with = "status")]
    pub(super) failed: bool,
    /// Only runs that began then or later: a date, a moment (RFC 3339), or an age such as 2h or 3d
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    pub(super) since: Option<DateTime<Utc>>,
    /// Only runs that began before
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    pub(super) until: Option<DateTime<Utc>>,
    /// At most this many; 0 for all
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(super) limit: usize,
}

/// A status by its word.
fn status() -> impl TypedValueParser<Value = RunStatus> {
    PossibleValuesParser::new(RunStatus::ALL.map(RunStatus::word))
        .try_map(|word| serde_json::from_value::<RunStatus>(word.into()))
}

/// Lists runs.
pub(super) fn list(terminal: &Terminal, project: &Project, args: &ListArgs) -> Result<u8> {
    let mut runs = chosen(project, args)?;
    let more = args.limit > 0 && runs.len() > args.limit;
    if more {
        runs.truncate(args.limit);
    }
    if terminal.json_wanted() {
        terminal.json(&json!({"runs": runs, "more": more}))?;
    } else {
        terminal.out(&render(terminal, &runs))?;
        if more {
            terminal.note(&format!("\nthere are older ones: --limit {}", args.limit.saturating_mul(5)));
        }
    }
    Ok(0)
}

/// The runs that are wanted, and one more where there are older ones.
pub(super) fn chosen(project: &Project, args: &ListArgs) -> Result<Vec<RunEntry>> {
    let mut statuses = args.status.clone();
    if args.failed {
        use RunStatus::{Cancelled, Crashed, Failed, Partial};
        statuses = vec![Partial, Failed, Cancelled, Crashed];
    }
    let query = Query {
        connections: args.connection.clone(),
        statuses,
        since: args.since,
        until: args.until,
        limit: (args.limit > 0).then(|| args.limit.saturating_add(1)),
        ..Query::default()
    };
    with_archive(project, |archive| archive.find(&query))
}

pub(super) fn render(terminal: &Terminal, runs: &[RunEntry]) -> String {
    if runs.is_empty() {
        return "no such runs".to_owned();
    }
    let columns = Columns::that_fit(runs, terminal.width());
    let headers = columns
        .of(["started (utc)", "connection", "status", "rows", "took", "exit", "run"].map(str::to_owned));
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let rows = runs.iter().map(|run| columns.of(columns.cells(run)));
    terminal.table(&headers, rows.collect())
}

/// Which columns there is room for: the last ones that go are what a script asks JSON for.
struct Columns {
    exit: bool,
    took: bool,
    year: bool,
    connection: usize,
}

/// A connection's name is cut no shorter.
const SHORTEST_NAME: usize = 12;

impl Columns {
    fn that_fit(runs: &[RunEntry], width: usize) -> Columns {
        let longest = runs.iter().map(|run| run.connection.chars().count()).max().unwrap_or(0).max(10);
        let mut columns = Columns { exit: true, took: true, year: true, connection: longest };
        if columns.width(runs) > width {
            columns.exit = false;
        }
        if columns.width(runs) > width {
            columns.year = false;
        }
        if columns.width(runs) > width {
            columns.took = false;
        }
        let over = columns.width(runs).saturating_sub(width);
        columns.connection = longest.saturating_sub(over).max(SHORTEST_NAME.min(longest));
        columns
    }

    /// How wide the widest row is.
    fn width(&self, runs: &[RunEntry]) -> usize {
        let headers =
            ["started (utc)", "connection", "status", "rows", "took", "exit", "run"].map(str::to_owned);
        let mut widest = headers.map(|header| header.chars().count());
        for run in runs {
            for (wide, cell) in widest.iter_mut().zip(self.cells(run)) {
                *wide = (*wide).max(cell.chars().count());
            }
        }
        let shown = self.of(widest.map(|wide| wide.to_string()));
        let cells: usize = shown.iter().filter_map(|wide| wide.parse::<usize>().ok()).sum();
        cells + 2 * shown.len().saturating_sub(1)
    }

    fn cells(&self, run: &RunEntry) -> [String; 7] {
        let started = to_second(&run.started_at);
        [
            if self.year { started } else { started.get(5..16).unwrap_or_default().to_owned() },
            shortened(&run.connection, self.connection),
            status_word(run),
            count(run.rows),
            duration((run.seconds * 1000.0).round() as u64),
            run.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            short_id(&run.run_id).to_owned(),
        ]
    }

    /// The cells of the columns that there is room for.
    fn of(&self, cells: [String; 7]) -> Vec<String> {
        let shown = [true, true, true, true, self.took, self.exit, true];
        cells.into_iter().zip(shown).filter_map(|(cell, shown)| shown.then_some(cell)).collect()
    }
}

/// A name that is too long, its middle left out: both of its ends tell names apart.
fn shortened(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= most || most < 3 {
        return name.to_owned();
    }
    let (head, tail) = ((most - 1).div_ceil(2), (most - 1) / 2);
    let text = |part: &[char]| part.iter().collect::<String>();
    let (begin, end) = (letters.get(..head), letters.get(letters.len() - tail..));
    format!("{}…{}", text(begin.unwrap_or_default()), text(end.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(connection: &str) -> RunEntry {
        RunEntry {
            run_id: "0190-aaaa-bbbbcccc".into(),
            connection: connection.into(),
            connection_id: "1".into(),
            status: RunStatus::Crashed,
            presumed: true,
            started_at: "2026-01-02T03:04:05.123456Z".into(),
            seconds: 133.0,
            rows: 1_234_567,
            exit_code: Some(75),
            host: "h".into(),
            summary_path: None,
            log_path: None,
        }
    }

    #[test]
    fn columns_fit_the_terminal() {
        let runs = [run("crm"), run("a_rather_long_name_of_a_connection_somebody_gave_it_once")];
        for (width, expected) in [
            (
                130,
                "2026-01-02 03:04:05|a_rather_long_name_of_a_connection_somebody_gave_it_once|crashed (presumed)|1.2 M|2 m 13 s|75|bbbbcccc",
            ),
            (
                100,
                "01-02 03:04|a_rather_long_name_of_…nection_somebody_gave_it_once|crashed (presumed)|1.2 M|bbbbcccc",
            ),
            (80, "01-02 03:04|a_rather_long_na…mebody_gave_once|crashed (presumed)|1.2 M|bbbbcccc"),
        ] {
            let columns = Columns::that_fit(&runs, width);
            let cells = columns.of(columns.cells(&runs[1]));
            assert!(columns.width(&runs) <= width, "{width}: {cells:?}");
            assert_eq!(cells.len(), expected.split('|').count(), "{width}: {cells:?}");
        }
        // Short names keep every column at 80.
        let good = RunEntry { presumed: false, status: RunStatus::Succeeded, ..run("crm_production") };
        let columns = Columns::that_fit(std::slice::from_ref(&good), 80);
        assert_eq!(columns.of(columns.cells(&good)).len(), 7);
        assert_eq!(shortened("abcdefghij", 5), "ab…ij");
        assert_eq!(shortened("abc", 5), "abc");
    }
}
