//! A commit whose answer was lost: what the destination holds decides.

use std::time::Duration;

use waybill_protocol::{Body, Commit, Error, Level};

use super::Run;

/// How long to wait before each question, milliseconds.
const QUESTIONS: [u64; 4] = [0, 200, 1_000, 3_000];

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is durable.
    TookPlace,
    /// It is not, and never will be.
    DidNot,
    /// The destination does not say.
    Unknown,
}

/// Asks the destination whether a commit that ended with an error took place all the same.
pub async fn settle(run: &Run, commit: &Commit, error: &Error) -> Settled {
    if !error.retryable() {
        return Settled::DidNot;
    }
    let Some(state) = commit.states.first() else { return Settled::Unknown };
    for wait_ms in QUESTIONS {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        match run.destination.committed(&state.scope, &commit.id).await {
            Ok(true) => {
                let message = format!("commit {} had taken place although its answer was lost", commit.id);
                let body = Body::Runtime { detail: serde_json::Value::Null };
                run.events.emit(Level::Warn, body, message, Some(error.record()));
                return Settled::TookPlace;
            }
            Ok(false) => return Settled::DidNot,
            Err(again) if again.retryable() => {}
            Err(_) => return Settled::Unknown,
        }
    }
    Settled::Unknown
}
