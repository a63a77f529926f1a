//! What led to a fault: a handful of events, in order.

use std::collections::BTreeMap;

use super::cause::{Cause, origin_of};
use super::moment::{Moment, Role};
use super::trail::{Track, Trail};
use crate::summary::{RunStatus, Summary};

/// Events that are named.
const NAMED: usize = 12;
/// Survived attempts that are named: the first and the last ones.
const SURVIVED: usize = 3;
/// Events said shortly before that are named.
const BEFORE: usize = 4;

/// The events that led to the end of a run, in order.
pub(super) fn led_to(summary: &Summary, cause: Option<&Cause>, trail: &Trail) -> Vec<Moment> {
    let mut found = Found::default();
    let error = cause.and_then(|cause| cause.error.as_ref());
    let fault = error.and_then(|error| origin_of(trail, error));
    let stream = cause.and_then(|cause| cause.stream.as_deref());
    let until = fault.map_or(u64::MAX, |fault| fault.moment.seq);
    match (stream.and_then(|stream| trail.of(Some(stream))), fault) {
        (Some(track), _) => {
            found.of_track(track, until);
            found.before(&trail.run, until);
        }
        (None, Some(_)) => found.of_track(&trail.run, until),
        (None, None) if summary.status == RunStatus::Succeeded => {}
        (None, None) => found.of_track(&trail.run, until),
    }
    if let Some(fault) = fault {
        found.add(&fault.moment, Role::Failed);
        // The outermost of them say least: what failed within is named by the cause.
        for began in fault.began.iter().rev().take(3) {
            found.add(began, Role::Began);
        }
    }
    if summary.status == RunStatus::Crashed {
        let last = trail.last_line().map(|line| Moment::of(&line, Role::Ended));
        found.extend(last.as_ref(), Role::Ended);
    }
    found.in_order()
}

/// Events by their place in the log: each once, in its weightiest role.
#[derive(Default)]
struct Found(BTreeMap<u64, Moment>);

impl Found {
    fn add(&mut self, moment: &Moment, role: Role) {
        let known = self.0.entry(moment.seq).or_insert_with(|| moment.as_role(role));
        known.role = known.role.max(role);
    }

    fn extend<'a>(&mut self, moments: impl IntoIterator<Item = &'a Moment>, role: Role) {
        moments.into_iter().for_each(|moment| self.add(moment, role));
    }

    fn of_track(&mut self, track: &Track, until: u64) {
        self.extend(track.decided.as_ref(), Role::Decided);
        self.extend(track.last_good().as_ref().filter(|good| good.seq < until), Role::LastGood);
        let survived =
            track.recent.iter().filter(|moment| moment.role == Role::Survived && moment.seq < until);
        self.extend(survived.rev().take(SURVIVED), Role::Survived);
        self.before(track, until);
    }

    fn before(&mut self, track: &Track, until: u64) {
        let said = |moment: &&Moment| moment.role == Role::Before && moment.seq < until;
        self.extend(track.recent.iter().filter(said).rev().take(BEFORE), Role::Before);
    }

    fn in_order(self) -> Vec<Moment> {
        let mut moments: Vec<Moment> = self.0.into_values().collect();
        // A failure is often told twice: by what failed, and by what tries again.
        let told: Vec<String> = moments
            .iter()
            .filter(|moment| matches!(moment.role, Role::Survived | Role::Failed))
            .map(|moment| moment.message.clone())
            .collect();
        moments.retain(|moment| {
            moment.role != Role::Before || !told.iter().any(|told| told.contains(&moment.message))
        });
        // What is left out is what says least: what came before, oldest first.
        while moments.len() > NAMED {
            let least = moments.iter().position(|moment| moment.role == Role::Before).unwrap_or(0);
            moments.remove(least);
        }
        moments
    }
}
