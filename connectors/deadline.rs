//! Deadlines of bounded queries: one place for the limit, the events and the wording.

use std::future::Future;
use std::time::Duration;

use waybill_protocol::event::{Body, Outcome};
use waybill_protocol::{Context, Error, Kind, Level, Result};

/// Runs one bounded query under the context's deadline, with its two events.
///
/// `sql` has placeholders in place of values. On time-out or cancellation the future is dropped;
/// the caller has told the server its own limit and closes the connection if it is not usable.
#[allow(dead_code)] // Which systems call it depends on the features.
pub(crate) async fn bounded<T>(
    ctx: &Context,
    purpose: &str,
    sql: &str,
    query: impl Future<Output = Result<T>>,
) -> Result<T> {
    let span = ctx.events.span(
        Level::Debug,
        Body::QueryStarted { role: ctx.role.into(), purpose: purpose.into(), sql: sql.into() },
        purpose,
    );
    let answer = tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(Error::cancelled()),
        answer = tokio::time::timeout(ctx.deadlines.query, query) => match answer {
            Ok(answer) => answer,
            Err(_) => Err(exceeded(ctx.deadlines.query)),
        },
    };
    let ms = span.ms();
    let slow = u128::from(ms) >= ctx.deadlines.slow_query.as_millis();
    let (level, outcome, message, error) = match &answer {
        Ok(_) if slow => (Level::Warn, Outcome::Succeeded, format!("{purpose} took {ms} ms"), None),
        Ok(_) => (Level::Debug, Outcome::Succeeded, purpose.to_owned(), None),
        Err(e) if e.kind() == Kind::Cancelled => {
            (Level::Warn, Outcome::Cancelled, format!("{purpose}: cancelled"), None)
        }
        Err(e) => (Level::Error, Outcome::Failed, format!("{purpose}: {e}"), Some(e.record())),
    };
    let body =
        Body::QueryFinished { role: ctx.role.into(), purpose: purpose.into(), outcome, rows: None, ms };
    span.finish(level, body, message, error);
    answer
}

/// The error of a bounded query that took too long; its wording is fixed.
#[allow(dead_code)]
pub(crate) fn exceeded(limit: Duration) -> Error {
    let seconds = limit.as_secs_f64();
    Error::new(Kind::Timeout, format!("query exceeded {seconds}s"))
        .hint("raise query_timeout_ms of the connection, or look what keeps the server busy")
}
