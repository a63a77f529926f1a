//! Publishing: staged loads become visible, each once, after every slice of the stream is whole.

use std::time::Instant;

use waybill_protocol::{Body, Commit, Error, Kind, Origin, Receipt, Result, StreamState};

use super::attempt::or_at_once;
use super::job::{Ended, StreamJob};
use super::pipeline::to_publish;
use super::settle::{Settled, settle};
use super::{Run, commit, retry, unasked};
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
            Err(error) if run.stop.reason().is_none() => {
                job.fail(&unasked(error.origin(Origin::Destination)))
            }
            Err(error) => job.fail(&error.origin(Origin::Destination)),
        }
    }
}

async fn publish(run: &Run, job: &StreamJob) -> Result<()> {
    let started = Instant::now();
    let (load, held, counts) = {
        let live = job.live();
        (live.load.clone(), live.held.clone(), live.staged.clone())
    };
    guard_shrink(job, held.rows)?;
    let commit = commit::publication(job, &held, &run.run_id);
    run.rejects.before_publish(job)?;
    let receipt = match with_retries(run, job, &load, &commit).await {
        Ok(Some(receipt)) => receipt,
        Ok(None) => as_stored(run, job, &commit).await,
        Err((settled, error)) => {
            match settled {
                Settled::Unknown => run.rejects.committed(job),
                _ => run.rejects.again(&job.name)?,
            }
            return Err(error);
        }
    };
    // A merge into staging has fewer rows than came.
    let rows = receipt.rows.get(&job.name).copied().unwrap_or(held.rows);
    {
        let mut live = job.live();
        (live.committed, live.last_commit) = (true, Some(commit.id.clone()));
        live.held.rows = rows;
    }
    job.count(|of| {
        (of.rows_loaded, of.bytes_loaded) = (rows, counts.bytes);
        of.rows_known += counts.known;
    });
    job.say_null_cursors(counts.null_cursors);
    for ((column, what), values) in &counts.coerced {
        job.say_coerced(column, what, *values);
    }
    run.say_coerced(&receipt.coerced);
    run.rejects.committed(job);
    run.rejects.summarise(job);
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

/// What a receipt that was lost would have said, as far as the state row tells.
async fn as_stored(run: &Run, job: &StreamJob, commit: &Commit) -> Receipt {
    let mut receipt = Receipt::default();
    let stored = run.destination.states().await.unwrap_or_default();
    if let Some(row) = stored.into_iter().find(|row| row.commit_id == commit.id) {
        receipt.rows.insert(job.name.clone(), row.rows);
    }
    receipt
}

/// Publishes, again after a wait while that makes sense; `None`: it took place, the answer was lost.
async fn with_retries(
    run: &Run,
    job: &StreamJob,
    load: &waybill_protocol::StreamLoad,
    commit: &Commit,
) -> Result<Option<Receipt>, (Settled, Error)> {
    loop {
        let published = or_at_once(run, run.destination.publish(load, commit)).await;
        let error = match published {
            Ok(receipt) => return Ok(Some(receipt)),
            Err(error) if error.kind() == Kind::Cancelled => return Err((Settled::Unknown, error)),
            Err(error) => error.origin(Origin::Destination),
        };
        // The answer may have been lost: what the destination holds decides, before anything else.
        let settled = or_at_once(run, async { Ok(settle(run, commit, &error).await) }).await;
        let settled = settled.unwrap_or(Settled::Unknown);
        if settled == Settled::TookPlace {
            return Ok(None);
        }
        // Reading and publishing share one budget.
        let number = u32::try_from(job.counts().retries).unwrap_or(u32::MAX).saturating_add(1);
        let Some(wait) = run.policy.next(number, &error, retry::jitter()) else {
            return Err((settled, error));
        };
        job.count(|counts| counts.retries += 1);
        let scheduled = retry::Scheduled { next: number + 1, attempts: run.policy.attempts(), wait };
        let waited = retry::pause(&job.events, &run.stop, scheduled, error.context("publishing failed"));
        waited.await.map_err(|error| (settled, error))?;
    }
}

/// An overwrite that would make the table far smaller.
fn guard_shrink(job: &StreamJob, rows: u64) -> Result<()> {
    let before = job.rows_before;
    if before == 0 || rows >= before {
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
