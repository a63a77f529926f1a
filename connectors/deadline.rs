//! Deadlines of bounded queries: one place for the limit, the events and the wording.

use std::future::Future;

use waybill_protocol::event::{Body, Outcome};
use waybill_protocol::{Context, Error, Kind, Level, Result};

/// Runs one bounded query under the context's deadline, with its two events.
///
/// `sql` has placeholders in place of values. The system itself was told the deadline and ends the
/// query; one that does not even do that is given up a moment later: the future is dropped, and the
/// caller closes the connection.
#[allow(dead_code)] // Which systems call it depends on the features.
pub(crate) async fn bounded<T>(
    ctx: &Context,
    purpose: &str,
    sql: &str,
    query: impl Future<Output = Result<T>>,
) -> Result<T> {
    told(ctx, purpose, sql, Level::Error, query).await
}

/// The same for a query that its caller can do without: `None` where it ran out of time, which is said.
#[allow(dead_code)]
pub(crate) async fn best_effort<T>(
    ctx: &Context,
    purpose: &str,
    sql: &str,
    query: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    match told(ctx, purpose, sql, Level::Debug, query).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == Kind::Timeout => {
            let detail = serde_json::json!({"skipped": purpose});
            let message = format!("{purpose}: skipped, since the {error}");
            ctx.events.emit(Level::Warn, Body::Runtime { detail }, message, Some(error.record()));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn told<T>(
    ctx: &Context,
    purpose: &str,
    sql: &str,
    failure: Level,
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
        answer = tokio::time::timeout(ctx.deadlines.patience(), query) => match answer {
            Ok(answer) => answer,
            Err(_) => Err(exceeded(ctx).cause("no answer came, not even that the query was ended")),
        },
    };
    let ms = span.ms();
    let slow = is_slow(ctx, ms);
    let (level, outcome, message, error) = match &answer {
        Ok(_) if slow => (Level::Warn, Outcome::Succeeded, format!("{purpose} took {ms} ms"), None),
        Ok(_) => (Level::Debug, Outcome::Succeeded, purpose.to_owned(), None),
        Err(e) if e.kind() == Kind::Cancelled => {
            (Level::Warn, Outcome::Cancelled, format!("{purpose}: cancelled"), None)
        }
        Err(e) => (failure, Outcome::Failed, format!("{purpose}: {e}"), Some(e.record())),
    };
    let body =
        Body::QueryFinished { role: ctx.role.into(), purpose: purpose.into(), outcome, rows: None, ms };
    span.finish(level, body, message, error);
    answer
}

/// Whether a query that took so long is worth a warning.
#[allow(dead_code)]
pub(crate) fn is_slow(ctx: &Context, ms: u64) -> bool {
    u128::from(ms) >= ctx.deadlines.slow_query.as_millis()
}

/// The error of a bounded query that took too long; its wording is fixed.
#[allow(dead_code)]
pub(crate) fn exceeded(ctx: &Context) -> Error {
    let seconds = ctx.deadlines.query.as_secs_f64();
    Error::new(Kind::Timeout, format!("query exceeded {seconds}s"))
        .hint(format!("look what keeps the system busy, or let it take longer: {}", ctx.raise_query()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use waybill_protocol::event::{Emit, Event};
    use waybill_protocol::{Deadlines, Events};

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Event>>);

    impl Emit for Kept {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    fn context(kept: &Arc<Kept>) -> Context {
        Context {
            run_id: "r".into(),
            connection_id: String::new(),
            connection: "crm".into(),
            role: "source",
            events: Events::new(Arc::clone(kept) as Arc<dyn Emit>),
            cancel: Default::default(),
            deadlines: Deadlines { query: Duration::from_millis(50), ..Deadlines::default() },
            base_dir: std::env::temp_dir(),
            parallelism: 1,
            tunnel: None,
        }
    }

    #[tokio::test]
    async fn a_query_that_nobody_ends_is_given_up_and_one_that_is_not_needed_is_skipped() {
        let kept = Arc::new(Kept::default());
        let ctx = context(&kept);
        let error =
            bounded(&ctx, "look", "SELECT 1", std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Timeout, "query exceeded 0.05s"));
        assert!(
            error.get_hint().unwrap().contains("`waybill connection edit crm --set query_timeout_ms=200`")
        );
        assert_eq!(error.causes(), ["no answer came, not even that the query was ended"]);
        let worst = |kept: &Kept| std::mem::take(&mut *kept.0.lock().unwrap()).iter().map(|e| e.level).max();
        assert_eq!(worst(&kept), Some(Level::Error));
        let late = async { Err::<(), _>(exceeded(&ctx)) };
        assert_eq!(best_effort(&ctx, "estimate", "SELECT 1", late).await.unwrap(), None);
        assert_eq!(worst(&kept), Some(Level::Warn));
        let wrong = async { Err::<(), _>(Error::config("no such table")) };
        assert!(best_effort(&ctx, "estimate", "SELECT 1", wrong).await.is_err());
    }
}
