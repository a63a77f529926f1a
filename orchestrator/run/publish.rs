//! Publishing: staged loads become visible, each once, after every slice of the stream is whole.

use std::time::Instant;

use waybill_protocol::{Body, Error, Kind, Level, Origin, Receipt, Result, StreamState, WriteMode};

use super::job::{Ended, StreamJob};
use super::pipeline::to_publish;
use super::{Run, commit, retry};
use crate::summary::units::counted;

/// Publishes what is whole; a stream whose publication fails has failed.
pub async fn publish_all(run: &Run) {
    for job in run.all_jobs() {
        if !to_publish(&job) {
            continue;
        }
        if run.stop.at_once().is_cancelled() {
            job.finish(Ended::Stopped);
            continue;
        }
        match publish(run, &job).await {
            Ok(()) => job.finish(Ended::Succeeded),
            Err(error) => job.fail(&error.origin(Origin::Destination)),
        }
    }
}

async fn publish(run: &Run, job: &StreamJob) -> Result<()> {
    let started = Instant::now();
    let (load, held) = {
        let live = job.live();
        (live.load.clone(), live.held.clone())
    };
    guard_shrink(job, held.rows)?;
    let commit = commit::publication(job, &held, &run.run_id);
    let receipt = with_retries(run, job, &load, &commit).await?.unwrap_or_default();
    run.say_coerced(&receipt.coerced);
    // A merge into staging has fewer rows than came.
    let rows = receipt.rows.get(&job.name).copied().unwrap_or(held.rows);
    job.live().committed = true;
    job.count(|counts| {
        counts.rows_loaded = rows;
        counts.bytes_loaded = counts.bytes_read;
    });
    let body = Body::StreamPublished {
        table: load.table.to_string(),
        rows,
        commit_id: commit.id.clone(),
        state: held.state.as_ref().map(StreamState::to_value),
        ms: started.elapsed().as_millis() as u64,
    };
    job.events
        .in_phase(waybill_protocol::event::Phase::Publish)
        .info(body, format!("{} published as {}", counted(rows, "row"), load.table));
    Ok(())
}

async fn with_retries(
    run: &Run,
    job: &StreamJob,
    load: &waybill_protocol::StreamLoad,
    commit: &waybill_protocol::Commit,
) -> Result<Option<Receipt>> {
    let mut attempt = 1;
    loop {
        let published = tokio::select! {
            published = run.destination.publish(load, commit) => published,
            () = run.stop.at_once().cancelled() => return Err(Error::cancelled()),
        };
        let error = match published {
            Ok(receipt) => return Ok(Some(receipt)),
            Err(error) => error,
        };
        // The answer may have been lost: what the destination holds decides, before anything else.
        if let Some(state) = commit.states.first().filter(|_| error.retryable())
            && run.destination.committed(&state.scope, &commit.id).await.is_ok_and(|took_place| took_place)
        {
            return Ok(None);
        }
        let Some(wait) = run.policy.next(attempt, &error, retry::jitter()) else { return Err(error) };
        attempt += 1;
        let body = Body::RetryScheduled {
            next_attempt: attempt,
            attempts: run.policy.attempts(),
            delay_ms: wait.as_millis() as u64,
        };
        let message = format!("publishing failed, tries again in {} ms: {error}", wait.as_millis());
        job.events.emit(Level::Warn, body, message, Some(error.record()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = run.stop.orderly().cancelled() => return Err(error),
        }
    }
}

/// An overwrite that would make the table far smaller.
fn guard_shrink(job: &StreamJob, rows: u64) -> Result<()> {
    let before = job.rows_before;
    // After merges the count is an upper bound only.
    if before == 0 || rows >= before || job.write == WriteMode::Merge {
        return Ok(());
    }
    let fewer = (before - rows) as f64;
    let share = fewer / before as f64;
    let what = format!("the table would go from {before} to {rows} rows ({:.0} % fewer)", share * 100.0);
    // Counted in rows: as a share, exactly at the limit is now and then a hair above it.
    if job.selection.max_shrink.is_some_and(|max| fewer > max * before as f64 + 1e-6) {
        return Err(Error::new(Kind::Data, what)
            .stream(&job.name)
            .hint("if that is right, raise max_shrink of the stream for one run; the table is as it was"));
    }
    if share >= 0.5 {
        job.events
            .warn(Body::Runtime { detail: serde_json::json!({"rows_before": before, "rows": rows}) }, what);
    }
    Ok(())
}
