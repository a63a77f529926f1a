//! `waybill runs stats`: the history of a connection's runs.

use clap::Args;
use waybill_protocol::{Error, Kind, Origin, Result};

use super::look::{short_id, to_second};
use crate::cli::terminal::Terminal;
use crate::explain::{Measure, Sample, Trend, sparkline, trend};
use crate::history::with_archive;
use crate::store::project::Project;
use crate::summary::RunStatus;
use crate::summary::units::{count, counted, duration, per_second};

/// Shows the history of a connection.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The connection
    #[arg(value_name = "CONNECTION")]
    connection: String,
    /// At most this many of its newest runs
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

/// Shows the history of a connection.
pub(super) fn stats(terminal: &Terminal, project: &Project, args: &StatsArgs) -> Result<u8> {
    let runs = with_archive(project, |archive| archive.list(None))?;
    let trend = trend(&args.connection, &runs, args.limit);
    if trend.runs.is_empty() {
        let message = format!("connection {:?} has no runs on record", args.connection);
        return Err(Error::new(Kind::NotFound, message)
            .origin(Origin::Orchestrator)
            .hint("`waybill runs list` shows the runs there are"));
    }
    if terminal.json_wanted() {
        terminal.json(&trend)?;
    } else {
        terminal.out(&render(terminal, &trend))?;
    }
    Ok(0)
}

fn render(terminal: &Terminal, trend: &Trend) -> String {
    let statuses: Vec<String> =
        trend.statuses.iter().map(|(status, runs)| format!("{runs} {status}")).collect();
    let runs = counted(trend.runs.len() as u64, "run");
    let mut lines = vec![format!("{}: {runs}, {}", trend.connection, statuses.join(", ")), String::new()];
    lines.extend(sparks(trend));
    lines.push(String::new());
    let rows = trend.runs.iter().rev().map(row).collect();
    let headers = ["started (utc)", "status", "rows", "took", "rate", "exit", "run", "out of line"];
    lines.push(terminal.table(&headers, rows));
    lines.join("\n")
}

/// A line a measure: oldest on the left, × for a run that did not succeed, a dot where it was too short.
fn sparks(trend: &Trend) -> Vec<String> {
    let line = |measure: Measure, of: &dyn Fn(&Sample) -> Option<f64>| {
        let good = |run: &Sample| run.status == RunStatus::Succeeded;
        let values: Vec<Option<f64>> = trend.runs.iter().map(|run| of(run).filter(|_| good(run))).collect();
        let line = sparkline(&values);
        let bars = line.chars().zip(&trend.runs).map(|(bar, run)| if good(run) { bar } else { '×' });
        let bars: String = bars.collect();
        let usual = trend.spreads.get(measure.word()).map(|spread| {
            let [middle, least, most] = [spread.median, spread.least, spread.most].map(|v| measure.shown(v));
            format!("  usually {middle}, {least} to {most}")
        });
        format!("{:<8} {}{}", measure.word(), bars, usual.unwrap_or_default())
    };
    vec![
        line(Measure::Rows, &|run| Some(run.rows as f64)),
        line(Measure::Seconds, &|run| Some(run.seconds)),
        line(Measure::Rate, &|run| run.rows_per_second),
    ]
}

fn row(run: &Sample) -> Vec<String> {
    let mark: Vec<&str> = run.outliers.iter().map(|outlier| outlier.text.as_str()).collect();
    vec![
        to_second(&run.started_at),
        run.status.word().to_owned(),
        count(run.rows),
        duration((run.seconds * 1000.0).round() as u64),
        run.rows_per_second.map(|rate| per_second(rate, count)).unwrap_or_default(),
        run.exit_code.map(|code| code.to_string()).unwrap_or_default(),
        short_id(&run.run_id).to_owned(),
        mark.join("; "),
    ]
}
