//! What happened in a run, why, and what to do: worked out from its record alone.
//!
//! Nothing here prints. [`explain`] gives the one answer; [`compare`] says in what two runs differ.
//! `trail` passes once over a log and keeps what matters; `cause`, `led_to`, `under_way` and
//! `remedy` make the answer of that and of the summary; `facts` and `difference` compare runs.

mod cause;
mod difference;
mod facts;
mod led_to;
mod moment;
mod remedy;
mod schema;
mod settings;
mod trail;
mod trend;
mod under_way;
mod verdict;

use schemars::JsonSchema;
use serde::Serialize;
use waybill_protocol::Result;

pub use cause::{Advice, Cause, Class, Retry};
pub use difference::{Area, Comparison, Difference, compare};
pub use facts::{Decision, Facts, RunName, last_good};
pub use moment::{Moment, Role};
pub use remedy::Remedy;
pub use trend::{Measure, Outlier, Sample, Spread, TREND_VERSION, Trend, sparkline, trend};
pub use under_way::{Doing, UnderWay};

use crate::history::{Archive, RunEntry};
use crate::summary::{RunStatus, Summary, Warning};
use trail::Trail;

/// Version of the answer's form.
pub const EXPLANATION_VERSION: u32 = 1;

/// The one answer about a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Explanation {
    /// Version of this form.
    pub version: u32,
    /// The run.
    pub run: RunEntry,
    /// At most three lines: how it stands, the true cause, where.
    pub verdict: Vec<String>,
    /// The first cause of a run that is over and did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The class of the fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// What else failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The events that led to it, in order; a handful.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub led_to: Vec<Moment>,
    /// What is under way, or was when the log broke off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub under_way: Vec<UnderWay>,
    /// Whether to try again.
    pub retry: Retry,
    /// What to do, most helpful first.
    pub remedies: Vec<Remedy>,
    /// What was unusual although it did not stop the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusual: Vec<String>,
    /// What it warned of; the first hundred kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Warnings in all.
    pub warnings_total: u64,
    /// What differs from the last run of the connection that succeeded before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What this answer was made from.
    pub record: Record,
}

/// What an answer was made from.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Record {
    /// Whether there is a written summary.
    pub summary: bool,
    /// Whether the event log is there.
    pub log: bool,
    /// Lines of the log.
    pub lines: u64,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
}

/// Explains a run.
pub fn explain(archive: &Archive<'_>, entry: &RunEntry) -> Result<Explanation> {
    let summary = archive.show(entry)?;
    let runs = archive.list(None)?;
    let good = last_good(&runs, entry).and_then(|good| Facts::of(archive, good).ok());
    let facts = Facts::with(summary, entry.log_path.as_deref());
    let comparison = good.map(|good| compare(&good, &facts));
    let mut damage = Vec::new();
    let trail = entry.log_path.as_deref().and_then(|log| match Trail::read(log) {
        Ok(trail) => Some(trail),
        Err(error) => {
            damage.push(format!("the event log {} cannot be read: {error}", log.display()));
            None
        }
    });
    Ok(made(entry, &facts.summary, trail.as_ref(), comparison, archive.now, damage))
}

fn made(
    entry: &RunEntry,
    summary: &Summary,
    trail: Option<&Trail>,
    comparison: Option<Comparison>,
    now: chrono::DateTime<chrono::Utc>,
    mut damage: Vec<String>,
) -> Explanation {
    let cause = cause::cause(summary, trail);
    let retry = cause::retry(summary, cause.as_ref());
    let going = summary.status == RunStatus::Running;
    let under_way = match (trail, summary.status) {
        (Some(trail), RunStatus::Running) => under_way::under_way(summary, trail, Some(now)),
        (Some(trail), RunStatus::Crashed) => under_way::under_way(summary, trail, None),
        _ => Vec::new(),
    };
    let unusual = verdict::unusual(summary, comparison.as_ref());
    damage.extend(trail.iter().flat_map(|trail| trail.damage.iter().cloned()));
    Explanation {
        version: EXPLANATION_VERSION,
        run: entry.clone(),
        verdict: verdict::verdict(&verdict::Known {
            summary,
            cause: cause.as_ref(),
            under_way: &under_way,
            unusual: &unusual,
            trail,
            now,
        }),
        class: cause.as_ref().and_then(|cause| cause::class(summary, cause)),
        others: cause::others(summary, cause.as_ref()),
        led_to: trail.map(|trail| led_to::led_to(summary, cause.as_ref(), trail)).unwrap_or_default(),
        remedies: remedy::remedies(summary, cause.as_ref(), &retry),
        under_way,
        retry,
        unusual,
        warnings: summary.warnings.clone(),
        warnings_total: summary.warnings_total,
        comparison,
        record: Record {
            summary: entry.summary_path.is_some() && !going,
            log: trail.is_some(),
            lines: trail.map_or(0, |trail| trail.lines),
            damage,
        },
        cause,
    }
}
