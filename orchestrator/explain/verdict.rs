//! The first three lines of an explanation: how the run stands, the true cause, where.

use chrono::{DateTime, Utc};

use super::cause::{Cause, place};
use super::difference::Comparison;
use super::trail::Trail;
use super::under_way::UnderWay;
use crate::events::render::visible;
use crate::summary::units::{counted, duration};
use crate::summary::{RunStatus, Summary, verdict_line};

/// Warnings that are named as unusual.
const WARNINGS: usize = 5;

/// What the verdict is made from.
pub(super) struct Known<'a> {
    pub(super) summary: &'a Summary,
    pub(super) cause: Option<&'a Cause>,
    pub(super) under_way: &'a [UnderWay],
    pub(super) unusual: &'a [String],
    pub(super) trail: Option<&'a Trail>,
    pub(super) now: DateTime<Utc>,
}

/// At most three lines.
pub(super) fn verdict(known: &Known<'_>) -> Vec<String> {
    let summary = known.summary;
    let mut lines = vec![verdict_line(summary)];
    match summary.status {
        RunStatus::Running => {
            lines = vec![running(known)];
            let doing = known.under_way.iter().take(2).map(|way| way.text.clone()).collect::<Vec<_>>();
            let doing =
                if doing.is_empty() { "nothing that was announced".to_owned() } else { doing.join("; ") };
            lines.push(format!("now: {doing}"));
            lines.extend(last_event(known));
        }
        RunStatus::Succeeded => {
            lines.push(match known.unusual {
                [] => "nothing was unusual".to_owned(),
                [one] => format!("unusual: {one}"),
                several => format!("unusual: {} (and {} more below)", several[0], several.len() - 1),
            });
        }
        _ => {
            if let Some(cause) = known.cause {
                lines.push(format!("cause: {}", cause.text));
                lines.extend(whereabouts(known, cause));
            }
        }
    }
    lines
}

/// Its duration is that up to now, not to its last event.
fn running(known: &Known<'_>) -> String {
    let summary = known.summary;
    let presumed = if summary.presumed { " (presumed)" } else { "" };
    let started = DateTime::parse_from_rfc3339(&summary.started_at).ok();
    let age = started.and_then(|started| (known.now - started.with_timezone(&Utc)).to_std().ok());
    let lasted = age.map(|age| duration(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
    format!(
        "{} is running{presumed} for {}: {} committed so far ({} → {})",
        summary.connection,
        lasted.unwrap_or_else(|| "an unknown time".to_owned()),
        counted(summary.rows(), "row"),
        summary.source,
        summary.destination
    )
}

fn whereabouts(known: &Known<'_>, cause: &Cause) -> Option<String> {
    match known.summary.status {
        RunStatus::Crashed if !known.under_way.is_empty() => {
            let doing: Vec<&str> = known.under_way.iter().take(3).map(|way| way.text.as_str()).collect();
            Some(format!("under way then: {}", doing.join("; ")))
        }
        _ => place(cause).map(|place| format!("where: {place}")),
    }
}

fn last_event(known: &Known<'_>) -> Option<String> {
    let line = known.trail?.last_line()?;
    let age = (known.now - line.ts).to_std().unwrap_or_default();
    let message = if line.message.is_empty() { &line.event } else { &line.message };
    let ago = duration(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Some(format!("last event {ago} ago: {} ({})", visible(message), line.event))
}

/// What was unusual about a run although it did not stop it.
pub(super) fn unusual(summary: &Summary, comparison: Option<&Comparison>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, counts) in &summary.progress_counts {
        let attempts = summary.stats.streams.get(name).map_or(0, |stats| stats.attempts);
        for (number, what) in [
            (counts.rows_rejected, "rejected and not loaded"),
            (counts.values_coerced, "with values changed to fit"),
            (counts.rows_null_cursor, "left out for a NULL cursor"),
        ] {
            if number > 0 {
                found.push(format!("{}: {} {what}", visible(name), counted(number, "row")));
            }
        }
        if attempts > 1 {
            found.push(format!("{}: it took {attempts} attempts", visible(name)));
        }
    }
    for warning in summary.warnings.iter().take(WARNINGS) {
        let stream = warning.stream.as_ref().map(|stream| format!("{}: ", visible(stream)));
        found.push(format!("{}{}", stream.unwrap_or_default(), visible(&warning.message)));
    }
    let left = summary.warnings.len().saturating_sub(WARNINGS) as u64;
    if left > 0 {
        found.push(counted(left, "more warning"));
    }
    if let Some(comparison) = comparison {
        let differing: Vec<_> =
            comparison.notable().map(|d| format!("{}: {}", d.area.word(), d.text)).collect();
        found.extend(differing.into_iter().take(10));
    }
    found
}
