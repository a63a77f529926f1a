//! Which runs are asked for, and what the name of a summary says to that.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::RunEntry;
use super::brief::glance;
use super::names::Named;
use crate::summary::RunStatus;

/// Which runs are looked for; by default all of them.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only runs of these connections, by name.
    pub connections: Vec<String>,
    /// Only runs of this id: several, where the first ones were killed.
    pub run_id: Option<String>,
    /// Only runs that stand or ended so.
    pub statuses: Vec<RunStatus>,
    /// Only runs that began then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only runs that began before.
    pub until: Option<DateTime<Utc>>,
    /// Only runs without a readable summary.
    pub unsummarised: bool,
    /// No more than so many, the newest.
    pub limit: Option<usize>,
}

/// A run gets its name a moment before its first event; it may have settled what others left meanwhile.
const HEAD_START: TimeDelta = TimeDelta::hours(1);

impl Query {
    /// Whether a run under that date may be meant.
    pub(super) fn meets(&self, date: &str) -> bool {
        let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
        // A run of the first minute may have been named the day before.
        self.since.is_none_or(|since| day(since - TimeDelta::days(1)).as_str() <= date)
            && self.until.is_none_or(|until| date <= day(until).as_str())
    }

    /// Whether a run may be meant, as far as the name of its summary and a glance at it tell.
    pub(super) fn may_mean(&self, name: &Named, path: &Path) -> bool {
        (self.connections.is_empty() || self.connections.contains(&name.connection))
            && self.run_id.as_ref().is_none_or(|id| id.ends_with(&name.tail))
            && self.since.is_none_or(|since| name.at >= since - HEAD_START)
            && self.until.is_none_or(|until| name.at < until)
            && (self.statuses.is_empty() || glance(path).is_none_or(|status| self.statuses.contains(&status)))
    }

    /// Whether a run is meant.
    pub(super) fn means(&self, run: &RunEntry) -> bool {
        let at = began(run);
        (self.connections.is_empty() || self.connections.contains(&run.connection))
            && self.run_id.as_ref().is_none_or(|id| *id == run.run_id)
            && (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && !(self.unsummarised && run.summary_path.is_some())
    }
}

/// When a run began; the beginning of time for one that does not say.
pub(super) fn began(run: &RunEntry) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(&run.started_at).map(|at| at.with_timezone(&Utc)).unwrap_or_default()
}
