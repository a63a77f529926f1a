//! Emitting events: handles that carry their scope, and spans that always end.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use crate::error::ErrorRecord;
use crate::event::{Body, Counts, Level, Outcome, Phase};

/// One event before it is written; the writer adds number, times, run and connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// How much it matters.
    pub level: Level,
    /// Name and data.
    pub body: Body,
    /// One sentence for people.
    pub message: String,
    /// The stream it belongs to.
    pub stream: Option<String>,
    /// The step of the run.
    pub phase: Option<Phase>,
    /// Number of the attempt, from 1.
    pub attempt: Option<u32>,
    /// The span it opens, closes or belongs to.
    pub span: Option<String>,
    /// The span around it.
    pub parent: Option<String>,
    /// What failed.
    pub error: Option<ErrorRecord>,
}

/// Takes events. Never blocks for long, never fails, never prints.
pub trait Emit: Send + Sync {
    /// Hands over one event; order per caller is kept.
    fn emit(&self, event: Event);
}

/// A handle to emit through, carrying the scope (phase, stream, attempt, span) that its events get.
#[derive(Clone)]
pub struct Events {
    sink: Arc<dyn Emit>,
    stream: Option<String>,
    phase: Option<Phase>,
    attempt: Option<u32>,
    parent: Option<String>,
}

impl Events {
    /// A handle without scope.
    pub fn new(sink: Arc<dyn Emit>) -> Events {
        Events { sink, stream: None, phase: None, attempt: None, parent: None }
    }

    /// A handle that drops everything, for uses without a run.
    pub fn none() -> Events {
        struct Nowhere;
        impl Emit for Nowhere {
            fn emit(&self, _event: Event) {}
        }
        Events::new(Arc::new(Nowhere))
    }

    /// The same handle for a step of the run.
    pub fn in_phase(&self, phase: Phase) -> Events {
        Events { phase: Some(phase), ..self.clone() }
    }

    /// The same handle for a stream.
    pub fn for_stream(&self, stream: &str) -> Events {
        Events { stream: Some(stream.to_owned()), ..self.clone() }
    }

    /// The same handle for an attempt, counted from 1.
    pub fn for_attempt(&self, attempt: u32) -> Events {
        Events { attempt: Some(attempt), ..self.clone() }
    }

    /// The same handle inside a span.
    pub fn inside(&self, span: &Span) -> Events {
        Events { parent: Some(span.id.clone()), ..self.clone() }
    }

    /// Emits at `info`.
    pub fn info(&self, body: Body, message: impl Into<String>) {
        self.emit(Level::Info, body, message, None);
    }

    /// Emits at `warn`.
    pub fn warn(&self, body: Body, message: impl Into<String>) {
        self.emit(Level::Warn, body, message, None);
    }

    /// Emits with everything given.
    pub fn emit(&self, level: Level, body: Body, message: impl Into<String>, error: Option<ErrorRecord>) {
        self.send(level, body, message.into(), error, None);
    }

    fn send(
        &self,
        level: Level,
        body: Body,
        message: String,
        error: Option<ErrorRecord>,
        span: Option<String>,
    ) {
        self.sink.emit(Event {
            level,
            body,
            message,
            stream: self.stream.clone(),
            phase: self.phase,
            attempt: self.attempt,
            span,
            parent: self.parent.clone(),
            error,
        });
    }

    /// Emits `started` and returns the guard that emits the matching `*.finished`: by
    /// [`Span::finish`], or, when it is dropped without, with [`Outcome::Interrupted`].
    pub fn span(&self, level: Level, started: Body, message: impl Into<String>) -> Span {
        let id = Uuid::new_v4().simple().to_string()[..16].to_owned();
        let on_drop = finished_of(&started);
        self.send(level, started, message.into(), None, Some(id.clone()));
        Span { events: self.clone(), id, level, started: Instant::now(), on_drop: Some(on_drop) }
    }
}

type Finished = Box<dyn Fn(Outcome, u64) -> Body + Send + Sync>;

fn finished_of(started: &Body) -> Finished {
    match started {
        Body::QueryStarted { role, purpose, .. } => {
            let (role, purpose) = (role.clone(), purpose.clone());
            Box::new(move |outcome, ms| Body::QueryFinished {
                role: role.clone(),
                purpose: purpose.clone(),
                outcome,
                rows: None,
                ms,
            })
        }
        Body::TunnelStarted { role, .. } => {
            let role = role.clone();
            Box::new(move |outcome, ms| Body::TunnelExited {
                role: role.clone(),
                outcome,
                code: None,
                signal: None,
                ms,
            })
        }
        Body::StreamStarted { .. } => Box::new(|outcome, ms| Body::StreamFinished {
            outcome,
            counts: Counts::default(),
            ms,
            after: None,
        }),
        _ => Box::new(|outcome, ms| Body::PhaseFinished { outcome, ms }),
    }
}

/// An open span. Dropped without [`Span::finish`], it still emits its end, as interrupted.
pub struct Span {
    events: Events,
    id: String,
    level: Level,
    started: Instant,
    on_drop: Option<Finished>,
}

impl Span {
    /// Its id, as events carry it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Milliseconds since it was opened.
    pub fn ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends it with the default body of its kind.
    pub fn end(mut self, outcome: Outcome, message: impl Into<String>, error: Option<ErrorRecord>) {
        if let Some(finished) = self.on_drop.take() {
            let (body, level) = (finished(outcome, self.ms()), self.level_of(outcome));
            self.events.send(level, body, message.into(), error, Some(self.id.clone()));
        }
    }

    /// Ends it with a body of the caller's, which must be the `*.finished` of its kind.
    pub fn finish(
        mut self,
        level: Level,
        body: Body,
        message: impl Into<String>,
        error: Option<ErrorRecord>,
    ) {
        self.on_drop = None;
        self.events.send(level, body, message.into(), error, Some(self.id.clone()));
    }

    fn level_of(&self, outcome: Outcome) -> Level {
        match outcome {
            Outcome::Succeeded => self.level,
            Outcome::Cancelled => Level::Warn,
            Outcome::Failed | Outcome::Interrupted => Level::Error,
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(finished) = self.on_drop.take() {
            let body = finished(Outcome::Interrupted, self.ms());
            let id = Some(self.id.clone());
            self.events.send(Level::Warn, body, "ended without an answer".to_owned(), None, id);
        }
    }
}
