//! The streams of a run: figures in columns, and beneath each where it went and from where to where its
//! state.

use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::summary::units::{bytes, count, counted, duration, per_second};
use crate::summary::{StreamStats, Summary, moved, outcome};

/// A column: its header, and what it says of a stream.
type Column = (&'static str, Vec<String>);

/// What a column costs beside its cells.
const GAP: usize = 2;

/// The streams; nothing for a run that did not come to any.
pub(super) fn streams(terminal: &Terminal, summary: &Summary, width: usize) -> Option<String> {
    if summary.stats.streams.is_empty() {
        return None;
    }
    let columns = fitting(columns(summary), width);
    let cell = |column: usize, row: usize| {
        columns.get(column).and_then(|(_, cells)| cells.get(row)).cloned().unwrap_or_default()
    };
    let headers: Vec<&str> = columns.iter().map(|(header, _)| *header).collect();
    let rows =
        (0..summary.stats.streams.len()).map(|row| (0..columns.len()).map(|at| cell(at, row)).collect());
    let table = terminal.table(&headers, rows.collect());
    let mut lines = table.lines();
    let mut out: Vec<String> = lines.next().map(str::to_owned).into_iter().collect();
    for (line, (name, stats)) in lines.zip(&summary.stats.streams) {
        out.push(line.to_owned());
        out.extend(beneath(summary, name, stats, width));
    }
    Some(out.join("\n"))
}

/// The columns that say something; the first one is always there.
fn columns(summary: &Summary) -> Vec<Column> {
    let streams = &summary.stats.streams;
    let each = |cell: &dyn Fn(&str, &StreamStats) -> String| -> Vec<String> {
        streams.iter().map(|(name, stats)| cell(name, stats)).collect()
    };
    let counts = |name: &str| summary.progress_counts.get(name).copied().unwrap_or_default();
    let all = [
        ("stream", each(&|name, _| name.to_owned())),
        ("outcome", each(&|_, stats| outcome(stats, summary.status).to_owned())),
        ("read", aligned(each(&|name, _| count(counts(name).rows_read)))),
        ("loaded", aligned(each(&|_, stats| count(stats.figures.rows)))),
        ("bytes", aligned(each(&|_, stats| bytes(stats.figures.bytes)))),
        ("rate", aligned(each(&|_, stats| rate(stats)))),
        ("took", aligned(each(&|_, stats| duration((stats.figures.seconds * 1000.0).round() as u64)))),
        ("tries", aligned(each(&|_, stats| stats.attempts.to_string()))),
    ];
    let said = |(header, cells): &Column| *header == "stream" || cells.iter().any(|cell| !cell.is_empty());
    all.into_iter().filter(said).collect()
}

fn rate(stats: &StreamStats) -> String {
    match stats.figures.rows_per_second > 0.0 {
        true => per_second(stats.figures.rows_per_second, count),
        false => String::new(),
    }
}

/// Numbers end in one column.
fn aligned(cells: Vec<String>) -> Vec<String> {
    let wide = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let pad = |cell: &String| " ".repeat(wide.saturating_sub(cell.chars().count()));
    cells.iter().map(|cell| if cell.is_empty() { String::new() } else { pad(cell) + cell }).collect()
}

/// As many of the columns as there is room for: what can be worked out from the others goes first.
fn fitting(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    let needs = |columns: &[Column]| {
        let wide = |(header, cells): &Column| {
            cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0).max(header.len())
        };
        columns.iter().map(wide).sum::<usize>() + GAP * columns.len().saturating_sub(1)
    };
    for spare in ["read", "rate", "bytes", "tries"] {
        if needs(&columns) > width {
            columns.retain(|(header, _)| *header != spare);
        }
    }
    columns
}

/// What does not fit into columns: table, modes, commits, what became of other rows, the state.
fn beneath(summary: &Summary, name: &str, stats: &StreamStats, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(stats.table.as_ref().map(|table| format!("into {}", visible(table))));
    if let (Some(mode), Some(write)) = (stats.mode, stats.write) {
        parts.push(format!("{mode}, {write}"));
    }
    let counts = summary.progress_counts.get(name).copied().unwrap_or_default();
    if counts.commits > 0 {
        parts.push(counted(counts.commits, "commit"));
    }
    let others = [
        (counts.rows_known, "known already"),
        (counts.rows_rejected, "rejected"),
        (counts.rows_null_cursor, "without cursor"),
        (counts.values_coerced, "values changed to fit"),
        (stats.rows_unpublished, "staged and not published"),
    ];
    parts.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))));
    let state = summary.state.get(name).and_then(moved);
    parts.extend(state.map(|state| format!("state {state}")));
    wrapped(&parts, width)
}

/// Parts with dots between them, indented, on as many lines as they need.
fn wrapped(parts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 3 + part.chars().count() <= width => {
                line.push_str(" · ");
                line.push_str(part);
            }
            _ => lines.push(format!("    {part}")),
        }
    }
    lines
}
