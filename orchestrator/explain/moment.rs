//! Events of a run as an explanation names them.

use schemars::JsonSchema;
use serde::Serialize;
use waybill_protocol::ErrorRecord;
use waybill_protocol::event::{Body, Level, Phase};

use crate::events::Line;
use crate::events::line::stamp;

/// Letters of a query or a message that are kept.
const KEPT: usize = 400;

/// What an event has to do with what is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Where the stream was to start, and why.
    Decided,
    /// What was begun and failed, or was under way.
    Began,
    /// The last thing that went well for the same stream, or in the run.
    LastGood,
    /// What was said shortly before.
    Before,
    /// A failure that was survived by another attempt.
    Survived,
    /// The failure itself.
    Failed,
    /// How it ended.
    Ended,
}

impl Role {
    /// The words used on screens.
    pub fn word(self) -> &'static str {
        match self {
            Role::Decided => "decided",
            Role::Began => "began",
            Role::LastGood => "last good",
            Role::Before => "before",
            Role::Survived => "survived",
            Role::Failed => "FAILED",
            Role::Ended => "ended",
        }
    }
}

/// An event that matters.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Moment {
    /// What it has to do with it.
    pub role: Role,
    /// Number of its line in the log.
    pub seq: u64,
    /// When: UTC.
    pub at: String,
    /// Milliseconds since the start of the run.
    pub t_ms: u64,
    /// How much it matters.
    pub level: Level,
    /// The event's name.
    pub event: String,
    /// Its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The step of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Number of the attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What it says.
    pub message: String,
    /// The query, the command, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The fault in it.
    #[serde(skip)]
    pub(super) error: Option<ErrorRecord>,
    #[serde(skip)]
    pub(super) span: Option<String>,
    #[serde(skip)]
    pub(super) parent: Option<String>,
}

impl Moment {
    /// The moment of a line.
    pub(super) fn of(line: &Line, role: Role) -> Moment {
        let mut message = if line.message.is_empty() { line.event.clone() } else { line.message.clone() };
        if let Some(error) = line.error.as_ref().filter(|error| !message.contains(&error.message)) {
            message = format!("{message}: {}", error.message);
        }
        let detail = match &line.body {
            Some(Body::QueryStarted { sql, .. }) => {
                Some(short(&sql.split_whitespace().collect::<Vec<_>>().join(" ")))
            }
            Some(Body::TunnelStarted { command, .. }) => Some(short(&command.join(" "))),
            _ => None,
        };
        Moment {
            role,
            seq: line.seq,
            at: stamp(&line.ts),
            t_ms: line.t_ms,
            level: line.level,
            event: line.event.clone(),
            stream: line.stream.clone(),
            phase: line.phase,
            attempt: line.attempt,
            message: short(&message),
            detail,
            error: line.error.clone(),
            span: line.span.clone(),
            parent: line.parent.clone(),
        }
    }

    /// The same moment in another role.
    pub(super) fn as_role(&self, role: Role) -> Moment {
        Moment { role, ..self.clone() }
    }
}

/// A text of bounded length.
pub(super) fn short(text: &str) -> String {
    match text.chars().count() > KEPT {
        true => text.chars().take(KEPT - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
