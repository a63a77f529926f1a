//! The report: what a person reads after a run, in a dozen lines.

use waybill_protocol::event::Outcome;
use waybill_protocol::{ErrorRecord, StreamState};

use super::units::{bytes, count, counted, duration, per_second};
use super::{RunStatus, StateChange, StreamStats, Summary};
use crate::events::render::visible;

/// Streams that get a line each; the rest is one line.
const LINES: usize = 200;
/// Warnings that are shown; the summary has the others.
const WARNINGS: usize = 10;

/// The report of a summary whose other members are filled in. `tail` are the last events and
/// `damage` what could not be read, for a log that was cut off.
pub(super) fn report(summary: &Summary, tail: &[&str], damage: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(rejected(summary));
    lines.push(verdict(summary));
    lines.extend(stream_table(summary));
    lines.extend(faults(summary));
    lines.extend(warnings(summary));
    lines.extend(cut_off(summary, tail, damage));
    lines.extend(next_step(summary));
    lines.extend(summary.artifacts.get("log").map(|log| format!("log: {log}")));
    lines
}

/// Rows that did not arrive come before everything else.
fn rejected(summary: &Summary) -> Option<String> {
    let rows = summary.rows_rejected();
    let place = summary.artifacts.get("rejects").map(|path| format!(", see {path}")).unwrap_or_default();
    (rows > 0).then(|| format!("warning: {} rejected and not loaded{place}", was(rows)))
}

fn was(rows: u64) -> String {
    format!("{} {}", counted(rows, "row"), if rows == 1 { "was" } else { "were" })
}

/// How a run stands or ended, in one line.
pub fn verdict(summary: &Summary) -> String {
    let total = &summary.stats.total;
    let name = &summary.connection;
    let took = duration((total.seconds * 1000.0).round() as u64);
    let way = match (summary.source.as_str(), summary.destination.as_str()) {
        ("", "") => String::new(),
        (source, destination) => format!(" ({source} → {destination})"),
    };
    let rows = counted(total.rows, "row");
    let streams = summary.stats.streams.len();
    let presumed = if summary.presumed { " (presumed)" } else { "" };
    match summary.status {
        RunStatus::Succeeded => format!("{name} succeeded: {rows} in {took}{way}"),
        RunStatus::Partial => {
            let good =
                summary.stats.streams.values().filter(|s| s.outcome == Some(Outcome::Succeeded)).count();
            format!(
                "{name} is partial: {good} of {} loaded, {rows} in {took}{way}",
                counted(streams as u64, "stream")
            )
        }
        RunStatus::Failed => {
            let phase = summary.error.as_ref().and_then(|failure| failure.phase);
            let place = phase.map(|phase| format!(" in {}", phase.word())).unwrap_or_default();
            let loaded =
                if total.rows == 0 { "nothing was loaded".to_owned() } else { format!("{rows} loaded") };
            format!("{name} failed{place} after {took}: {loaded}{way}")
        }
        RunStatus::Cancelled => format!("{name} was cancelled after {took}: {rows} committed{way}"),
        RunStatus::Crashed => {
            format!(
                "{name} crashed{presumed}: its log ends after {took} without an end; at least {rows} committed{way}"
            )
        }
        RunStatus::Running => format!("{name} is running{presumed}: {rows} committed in {took}{way}"),
    }
}

/// One line a stream: name, how it ended, rows, rates, duration, state before → after.
fn stream_table(summary: &Summary) -> Vec<String> {
    let streams = &summary.stats.streams;
    if streams.is_empty() {
        return Vec::new();
    }
    let plain = summary.status == RunStatus::Succeeded;
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, stats) in streams.iter().take(LINES) {
        let figures = &stats.figures;
        let timed = figures.seconds > 0.0 && figures.rows > 0;
        let rate = |rate: f64, unit| if timed { per_second(rate, unit) } else { String::new() };
        let ms = (figures.seconds * 1000.0).round() as u64;
        rows.push(vec![
            visible(name),
            if plain { String::new() } else { outcome(stats, summary.status).to_owned() },
            counted(figures.rows, "row"),
            rate(figures.rows_per_second, count),
            rate(figures.bytes_per_second, bytes),
            if stats.outcome.is_some() || ms > 0 { duration(ms) } else { String::new() },
            remarks(summary, name, stats),
        ]);
    }
    let mut lines = vec![String::new()];
    lines.extend(columns(&rows, &[false, false, true, true, true, true, false]));
    if streams.len() > LINES {
        lines.push(format!("  … and {} more streams", streams.len() - LINES));
    }
    lines.push(String::new());
    lines
}

/// How a stream ended, in a word.
pub(crate) fn outcome(stats: &StreamStats, status: RunStatus) -> &'static str {
    match stats.outcome {
        Some(Outcome::Succeeded) => "loaded",
        Some(Outcome::Failed) => "FAILED",
        Some(Outcome::Cancelled) => "cancelled",
        Some(Outcome::Interrupted) => "interrupted",
        None if stats.attempts == 0 => "not begun",
        None if status == RunStatus::Running => "loading",
        None => "interrupted",
    }
}

fn remarks(summary: &Summary, name: &str, stats: &StreamStats) -> String {
    let mut remarks = Vec::new();
    remarks.extend(summary.state.get(name).and_then(moved));
    if let Some(counts) = summary.progress_counts.get(name) {
        let of = [
            (counts.rows_known, "known already"),
            (counts.rows_rejected, "rejected"),
            (counts.rows_null_cursor, "without cursor"),
            (counts.values_coerced, "values changed to fit"),
        ];
        remarks.extend(of.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))));
    }
    if stats.attempts > 1 {
        remarks.push(format!("{} attempts", stats.attempts));
    }
    if stats.rows_unpublished > 0 {
        remarks.push(format!("{} staged, the table is as it was", counted(stats.rows_unpublished, "row")));
    }
    remarks.join(", ")
}

/// The state before and after, as a person sees it in the config.
pub(crate) fn moved(change: &StateChange) -> Option<String> {
    let shown = |state: &serde_json::Value| {
        let value = StreamState::from_value(state).map_or_else(|_| state.clone(), |state| state.shown());
        let text = match &value {
            serde_json::Value::Null => return None,
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Object(members) if members.contains_key("files") => {
                let files = members.get("files").and_then(serde_json::Value::as_u64).unwrap_or(0);
                counted(files, "file")
            }
            other => other.to_string(),
        };
        Some(if text.chars().count() > 40 {
            text.chars().take(39).chain(['…']).collect()
        } else {
            visible(&text)
        })
    };
    let (before, after) = (change.before.as_ref().and_then(shown), change.after.as_ref().and_then(shown));
    match (before, after) {
        (Some(before), Some(after)) if before == after => Some(format!("at {after}")),
        (Some(before), Some(after)) => Some(format!("{before} → {after}")),
        (None, Some(after)) => Some(format!("→ {after}")),
        (Some(before), None) => Some(format!("still at {before}")),
        (None, None) => None,
    }
}

/// The first cause, then what stopped other streams.
fn faults(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(failure) = &summary.error {
        fault(&mut lines, &failure.error);
    }
    let first = summary.error.as_ref().map(|failure| &failure.error);
    for error in summary.errors.values().filter(|error| Some(*error) != first).take(LINES) {
        fault(&mut lines, error);
    }
    lines
}

fn fault(lines: &mut Vec<String>, error: &ErrorRecord) {
    let stream = error.stream.as_ref().map(|stream| format!("{}: ", visible(stream))).unwrap_or_default();
    let side = match error.origin {
        Some(waybill_protocol::Origin::Source) => ", source",
        Some(waybill_protocol::Origin::Destination) => ", destination",
        _ => "",
    };
    let code = error.code.as_ref().map(|code| format!(", {}", visible(code))).unwrap_or_default();
    lines.push(format!("error: {stream}{} ({}{side}{code})", visible(&error.message), error.kind.word()));
    let causes = error.cause.iter().filter(|cause| !error.message.contains(cause.as_str()));
    lines.extend(causes.take(3).map(|cause| format!("  because: {}", visible(cause))));
    lines.extend(error.hint.iter().map(|hint| format!("  next: {}", visible(hint))));
}

fn warnings(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for warning in summary.warnings.iter().take(WARNINGS) {
        let stream =
            warning.stream.as_ref().map(|stream| format!("{}: ", visible(stream))).unwrap_or_default();
        let times = if warning.times > 1 { format!(" (×{})", warning.times) } else { String::new() };
        lines.push(format!("warning: {stream}{}{times}", visible(&warning.message)));
        lines.extend(warning.hint.iter().map(|hint| format!("  next: {}", visible(hint))));
    }
    let shown: u64 = summary.warnings.iter().take(WARNINGS).map(|warning| warning.times).sum();
    if summary.warnings_total > shown {
        lines.push(format!("… and {} in the log", counted(summary.warnings_total - shown, "more warning")));
    }
    lines
}

/// What a log without an end still tells.
fn cut_off(summary: &Summary, tail: &[&str], damage: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = damage.iter().map(|what| format!("damaged log: {what}")).collect();
    if summary.status == RunStatus::Crashed {
        if !summary.interrupted.is_empty() {
            lines.push("under way when it ended:".to_owned());
            lines.extend(summary.interrupted.iter().rev().take(10).map(|open| {
                let stream =
                    open.stream.as_ref().map(|stream| format!("{}: ", visible(stream))).unwrap_or_default();
                format!("  {stream}{} (since {})", visible(&open.message), super::units::clock(open.t_ms))
            }));
        }
        if !tail.is_empty() {
            lines.push("last events:".to_owned());
            lines.extend(tail.iter().flat_map(|event| event.lines()).map(|line| format!("  {line}")));
        }
    }
    lines
}

/// What to do next, where the error's own hint does not say it.
pub(crate) fn next_step(summary: &Summary) -> Option<String> {
    let name = &summary.connection;
    let hinted = summary.error.as_ref().is_some_and(|failure| failure.error.hint.is_some());
    match summary.status {
        RunStatus::Succeeded | RunStatus::Running => None,
        RunStatus::Crashed if summary.presumed => Some(format!(
            "next: look at {} whether it still runs; waybill run {name} is safe, it takes over what was committed",
            if summary.host.is_empty() { "its host" } else { &summary.host }
        )),
        RunStatus::Crashed => {
            Some(format!("next: waybill run {name} finds out what was committed and goes on from there"))
        }
        RunStatus::Cancelled => Some(format!("next: waybill run {name} goes on from the last commit")),
        RunStatus::Partial | RunStatus::Failed if hinted => None,
        RunStatus::Partial | RunStatus::Failed => {
            let again = summary.error.as_ref().is_some_and(|failure| failure.error.retryable);
            Some(if again {
                format!("next: try again later: waybill run {name}")
            } else {
                format!("next: when that is mended: waybill run {name}")
            })
        }
    }
}

/// Rows of cells as aligned lines, indented by two; columns without a text are left out.
fn columns(rows: &[Vec<String>], right: &[bool]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..right.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(&widths).zip(right).filter(|((_, width), _)| **width > 0)
        {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            line.push_str("  ");
            line.push_str(&if *right { pad + cell } else { format!("{cell}{pad}") });
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
