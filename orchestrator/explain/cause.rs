//! Why a run ended as it did: the first cause with its place, its class, whether to try again, and
//! what to do.

use schemars::JsonSchema;
use serde::Serialize;
use waybill_protocol::event::Phase;
use waybill_protocol::{ErrorRecord, Kind, Origin};

use super::moment::short;
use super::trail::{Fault, Trail};
use crate::events::render::visible;
use crate::summary::units::{bytes, counted, duration};
use crate::summary::{RunStatus, Summary};

/// The first cause, and where it struck.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Cause {
    /// The fault; absent where a run was stopped from outside or killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// In one line: what, why, and its class.
    pub text: String,
    /// The stream that it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The step of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The attempt in which it struck, from 1; it was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When, milliseconds since the start of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t_ms: Option<u64>,
    /// The line of the log that tells it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// The class of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Class {
    /// The kind.
    pub kind: Kind,
    /// The side it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What that means, in words.
    pub words: String,
}

/// Whether trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// There is nothing to repeat.
    NotNeeded,
    /// It goes on: wait.
    Wait,
    /// Unchanged, a later run may well succeed.
    Sensible,
    /// Unchanged it would fail again: first do what the remedies say.
    AfterChange,
}

/// Whether trying again makes sense, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Retry {
    /// Whether.
    pub advice: Advice,
    /// Why, in words.
    pub why: String,
}

/// The fault in the log that the summary's error is, first told in the last attempt.
pub(super) fn origin_of<'a>(trail: &'a Trail, error: &ErrorRecord) -> Option<&'a Fault> {
    let same = |fault: &&Fault| {
        let told = fault.moment.error.as_ref().map(|told| told.message.as_str()).unwrap_or_default();
        // On its way up an error gets a context before its message.
        let stream = fault.moment.stream.is_none() || fault.moment.stream == error.stream;
        stream && !told.is_empty() && (error.message.contains(told) || told.contains(&error.message))
    };
    let last = trail.faults().filter(same).map(|fault| fault.tries).max()?;
    trail.faults().filter(same).find(|fault| fault.tries == last)
}

/// The cause of a run that is over and did not succeed.
pub(super) fn cause(summary: &Summary, trail: Option<&Trail>) -> Option<Cause> {
    match summary.status {
        RunStatus::Succeeded | RunStatus::Running => None,
        RunStatus::Crashed => Some(killed(summary, trail)),
        RunStatus::Cancelled => Some(stopped(summary, trail)),
        RunStatus::Partial | RunStatus::Failed => Some(failed(summary, trail)),
    }
}

fn failed(summary: &Summary, trail: Option<&Trail>) -> Cause {
    let Some(failure) = &summary.error else {
        let text = "the record does not say why".to_owned();
        return Cause { error: None, text, stream: None, phase: None, attempt: None, t_ms: None, seq: None };
    };
    let fault = trail.and_then(|trail| origin_of(trail, &failure.error));
    let attempt = fault.map(|fault| fault.moment.attempt.unwrap_or(fault.tries + 1));
    let counted = failure.error.stream.as_ref().and_then(|stream| summary.stats.streams.get(stream));
    Cause {
        text: sentence(&failure.error),
        stream: failure.error.stream.clone(),
        phase: failure.phase,
        attempt: attempt.or(counted.map(|stats| stats.attempts).filter(|attempts| *attempts > 0)),
        t_ms: fault.map(|fault| fault.moment.t_ms),
        seq: fault.map(|fault| fault.moment.seq),
        error: Some(failure.error.clone()),
    }
}

/// What failed, the deepest reason that says more, and the class.
pub(super) fn sentence(error: &ErrorRecord) -> String {
    let more = |cause: &&String| !cause.is_empty() && !error.message.contains(cause.as_str());
    let causes: Vec<&String> = error.cause.iter().filter(more).collect();
    let mut text = visible(&error.message);
    // The nearest reason and the deepest one; those between say how it came up.
    for cause in causes.first().into_iter().chain(causes.last().filter(|_| causes.len() > 1)) {
        text.push_str(&format!(" — {}", visible(&short(cause))));
    }
    let side = match error.origin {
        Some(Origin::Source) => ", source",
        Some(Origin::Destination) => ", destination",
        _ => "",
    };
    let code = error.code.as_ref().map(|code| format!(", {}", visible(code))).unwrap_or_default();
    format!("{text} ({}{side}{code})", error.kind.word())
}

fn stopped(summary: &Summary, trail: Option<&Trail>) -> Cause {
    let budget = summary.options.get("timeout_ms").and_then(serde_json::Value::as_u64);
    let text = match (summary.exit_code, budget) {
        (Some(124), Some(ms)) => format!("its time budget of {} was used up (--timeout)", duration(ms)),
        (Some(124), None) => "its time budget was used up (--timeout)".to_owned(),
        (Some(129), _) => "it was told to stop by SIGHUP: its terminal was closed".to_owned(),
        (Some(143), _) => {
            "it was told to stop by SIGTERM, as by `kill`, a service manager or a shutdown".to_owned()
        }
        (Some(130), _) => "it was told to stop by SIGINT: Ctrl-C, or a signal like it".to_owned(),
        _ => "it was told to stop".to_owned(),
    };
    let told = trail.and_then(|trail| trail.stopped.as_ref());
    let open = told.map(|(_, open)| open.as_slice()).unwrap_or_default();
    let mut streams = open.iter().filter(|moment| moment.event == "stream.started");
    // Several are named by what was under way, not by the place of the cause.
    let stream = streams.next().filter(|_| streams.next().is_none()).and_then(|moment| moment.stream.clone());
    Cause {
        error: None,
        text,
        stream,
        phase: open.iter().rev().find_map(|moment| moment.phase),
        attempt: None,
        t_ms: told.map(|(moment, _)| moment.t_ms),
        seq: told.map(|(moment, _)| moment.seq),
    }
}

fn killed(summary: &Summary, trail: Option<&Trail>) -> Cause {
    let last = summary.interrupted.last();
    let ms = trail.map_or((summary.stats.total.seconds * 1000.0).round() as u64, |trail| trail.last_ms);
    let maybe = if summary.presumed { "no sign of life came any more: " } else { "" };
    let memory = match summary.stats.peak_memory_bytes {
        0 => String::new(),
        peak => format!("; it had used {} of memory at most", bytes(peak)),
    };
    let text = format!(
        "{maybe}its process {} on {} was killed (kill -9, out of memory, a lost machine): the log breaks off after {} without an end, and no fault was told before{memory}",
        summary.pid,
        if summary.host.is_empty() { "an unknown host" } else { &summary.host },
        duration(ms)
    );
    let text = match &summary.error {
        Some(failure) => text.replace(
            "no fault was told before",
            &format!("the last fault before was: {}", sentence(&failure.error)),
        ),
        None => text,
    };
    Cause {
        error: None,
        text,
        stream: last.and_then(|open| open.stream.clone()),
        phase: summary.interrupted.iter().rev().find_map(|open| open.phase),
        attempt: None,
        t_ms: Some(ms),
        seq: trail.and_then(Trail::last_line).map(|line| line.seq),
    }
}

/// Where it struck: stream, step, attempt, moment, line of the log.
pub(super) fn place(cause: &Cause) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(cause.stream.as_ref().map(|stream| format!("stream {}", visible(stream))));
    parts.extend(cause.phase.map(|phase| format!("phase {}", phase.word())));
    // Before the streams there are no attempts to tell apart, unless there were several.
    parts.extend(cause.attempt.and_then(|attempt| match attempt {
        1 => cause.stream.as_ref().map(|_| "attempt 1".to_owned()),
        more => Some(format!("attempt {more}, the last")),
    }));
    parts.extend(cause.t_ms.map(|ms| format!("{} into the run", duration(ms))));
    parts.extend(cause.seq.map(|seq| format!("line {seq} of its log")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The class of the fault that ended a run.
pub(super) fn class(summary: &Summary, cause: &Cause) -> Option<Class> {
    let (kind, origin) = match (&cause.error, summary.status) {
        (Some(error), _) => (error.kind, error.origin),
        (None, RunStatus::Cancelled) => (Kind::Cancelled, None),
        _ => return None,
    };
    let side = match origin {
        Some(Origin::Source) => "the source",
        Some(Origin::Destination) => "the destination",
        _ => "this host or the project",
    };
    let words = match kind {
        Kind::Config => "a setting is missing, wrong or contradictory".to_owned(),
        Kind::Auth => format!("{side} does not accept who we are"),
        Kind::Permission => format!("{side} knows us and does not allow this"),
        Kind::NotFound => format!("something that the run needs does not exist ({side})"),
        Kind::Network => format!("the connection to {side} failed or was lost"),
        Kind::Timeout => format!("a deadline passed, or {side} went silent"),
        Kind::RateLimit => format!("{side} asks us to slow down"),
        Kind::Data => "a value or a row cannot be read or loaded".to_owned(),
        Kind::Schema => "the shape of the data is not what was expected".to_owned(),
        Kind::Destination => "the destination failed in a way of its own".to_owned(),
        Kind::Locked => "somebody else holds a lock, or has taken the connection over".to_owned(),
        Kind::Cancelled => "it was stopped from outside, nothing is wrong with the data".to_owned(),
        Kind::Internal => "a bug in Waybill or in a connector, or a broken promise of one".to_owned(),
    };
    Some(Class { kind, origin, words })
}

/// Whether to try again.
pub(super) fn retry(summary: &Summary, cause: Option<&Cause>) -> Retry {
    let said = |advice, why: &str| Retry { advice, why: why.to_owned() };
    match summary.status {
        RunStatus::Succeeded => return said(Advice::NotNeeded, "every stream was loaded"),
        RunStatus::Running => return said(Advice::Wait, "it goes on"),
        RunStatus::Cancelled => {
            return said(Advice::Sensible, "nothing is wrong: a new run goes on from the last commit");
        }
        RunStatus::Crashed if summary.presumed => {
            return said(
                Advice::Sensible,
                "first look at its host whether it really is over; a new run takes over what was committed, and the old one can commit nothing any more",
            );
        }
        RunStatus::Crashed => {
            return said(
                Advice::Sensible,
                "a new run finds out what was committed and goes on from there: nothing is lost or doubled",
            );
        }
        RunStatus::Partial | RunStatus::Failed => {}
    }
    let Some(error) = cause.and_then(|cause| cause.error.as_ref()) else {
        return said(Advice::AfterChange, "the record does not say why it failed");
    };
    let tried = cause.and_then(|cause| cause.attempt).unwrap_or(1);
    if error.retryable {
        let tried = match tried {
            1 => "it was tried once".to_owned(),
            more => format!("it was tried {more} times in {}", span_of(summary)),
        };
        return Retry {
            advice: Advice::Sensible,
            why: format!("such a fault may pass by itself; {tried}, a later run may succeed"),
        };
    }
    match error.kind {
        Kind::Locked => said(Advice::Sensible, "once whoever holds it has ended"),
        Kind::Internal => said(Advice::AfterChange, "a bug strikes again where nothing changes"),
        _ => said(Advice::AfterChange, "unchanged it will fail again"),
    }
}

fn span_of(summary: &Summary) -> String {
    duration((summary.stats.total.seconds * 1000.0).round() as u64)
}

/// What else failed: other streams, one line each.
pub(super) fn others(summary: &Summary, cause: Option<&Cause>) -> Vec<String> {
    let first = cause.and_then(|cause| cause.error.as_ref());
    let mut other: Vec<String> = summary
        .errors
        .iter()
        .filter(|(_, error)| first != Some(error))
        .map(|(stream, error)| format!("{}: {}", visible(stream), sentence(error)))
        .collect();
    // Of a run that was stopped, what failed before is no cause, but should be known.
    if let Some(failure) = summary.error.as_ref().filter(|failure| {
        summary.status == RunStatus::Cancelled
            && failure.error.kind != Kind::Cancelled
            && failure.error.stream.is_none()
    }) {
        other.push(sentence(&failure.error));
    }
    if other.len() > 20 {
        let more = counted((other.len() - 20) as u64, "more");
        other.truncate(20);
        other.push(format!("… and {more}"));
    }
    other
}
