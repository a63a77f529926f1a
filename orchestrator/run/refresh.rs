//! Before another attempt: what the destination holds by now.

use std::collections::BTreeMap;

use waybill_protocol::{Error, Kind, Origin, Reading, Result, StateRow, StreamState};

use super::Run;
use super::commit::durable;
use super::job::{Held, StreamJob};

/// Brings a job that loads directly to what the destination holds now: before another attempt.
pub async fn refresh(run: &Run, job: &StreamJob) -> Result<()> {
    if !job.moves_state {
        job.live().unsettled = None;
        return Ok(());
    }
    let scope = waybill_protocol::Scope::Stream(job.name.clone()).to_string();
    // A commit whose answer was lost may still be under way: this waits for it under its lock.
    run.destination.committed(&scope, "").await?;
    let row = run.destination.states().await?.into_iter().find(|row| row.scope == scope);
    let (last, sent) = (job.last_commit(), job.live().unsettled.clone());
    match (row, sent) {
        (Some(row), Some(sent)) if row.commit_id == sent.commit_id => {
            hold(run, job, &row).await?;
            durable(run, job, &sent);
        }
        (row, _) if row.as_ref().map(|row| &row.commit_id) == last.as_ref() => {}
        (row, _) => {
            job.live().doubted = true;
            return Err(differs(run, job, row.as_ref()));
        }
    }
    let mut live = job.live();
    (live.unsettled, live.doubted) = (None, false);
    Ok(())
}

/// Why the destination does not hold a stream's last commit: another run took over, or it lost
/// what it had confirmed (a standby that took over too early, a backup put back).
pub fn differs(run: &Run, job: &StreamJob, row: Option<&StateRow>) -> Error {
    let (name, before) = (&job.name, &job.commit_before);
    let error = match row {
        Some(row) if row.run_id != run.run_id && Some(&row.commit_id) != before.as_ref() => Error::new(
            Kind::Locked,
            format!("run {} of this connection has loaded stream {name} meanwhile", row.run_id),
        )
        .hint("look who else runs this connection, on another host or from another copy of the project"),
        row => Error::new(
            Kind::Destination,
            format!(
                "the destination confirmed commit {} of stream {name} and does not hold it: it holds {}",
                job.last_commit().as_deref().unwrap_or("none"),
                row.map_or("none", |row| &row.commit_id)
            ),
        )
        .retry(true)
        .hint("look whether the server was failed over or restored; the next run goes on from what it holds"),
    };
    error.origin(Origin::Destination).stream(name)
}

async fn hold(run: &Run, job: &StreamJob, row: &StateRow) -> Result<()> {
    let state = StreamState::from_value(&row.value)
        .map_err(|e| Error::internal("a state that was just written cannot be read").cause(e))?;
    let (has_window, has_parts) = {
        let live = job.live();
        (live.held.window.clone(), live.read.reading == Reading::Files)
    };
    let parts = if has_parts { run.destination.parts(&job.name).await? } else { BTreeMap::new() };
    let window = match has_window {
        Some(window) => {
            let mut fresh = window.emptied();
            if let Some(stored) = &state.window {
                fresh.fill(run.destination.window(&job.name).await?, stored, &job.name)?;
            }
            Some(fresh)
        }
        None => None,
    };
    let mut live = job.live();
    live.held = Held { state: Some(state), parts, window, rows: row.rows };
    live.committed = true;
    live.last_commit = Some(row.commit_id.clone());
    Ok(())
}
