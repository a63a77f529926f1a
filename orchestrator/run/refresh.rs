//! Before another attempt: what the destination holds by now.

use std::collections::BTreeMap;

use waybill_protocol::{Error, Reading, Result, StreamState};

use super::Run;
use super::job::{Held, StreamJob};

/// Brings a job that loads directly to what the destination holds now: before another attempt.
pub async fn refresh(run: &Run, job: &StreamJob) -> Result<()> {
    if !job.moves_state {
        return Ok(());
    }
    let scope = waybill_protocol::Scope::Stream(job.name.clone()).to_string();
    // A commit whose answer was lost may still be under way: this waits for it under its lock.
    run.destination.committed(&scope, "").await?;
    let row = run.destination.states().await?.into_iter().find(|row| row.scope == scope);
    // A run that was killed may have had this run's id: only a commit since the start is ours.
    let ours = |row: &waybill_protocol::StateRow| {
        row.run_id == run.run_id && job.commit_before.as_ref() != Some(&row.commit_id)
    };
    let Some(row) = row.filter(ours) else {
        return Ok(());
    };
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
    let more = row.rows.saturating_sub(live.held.rows);
    live.held = Held { state: Some(state), parts, window, rows: row.rows };
    live.committed = true;
    drop(live);
    if more > 0 {
        // A commit whose answer was lost had taken place.
        job.count(|counts| {
            counts.rows_loaded += more;
            counts.commits += 1;
        });
    }
    Ok(())
}
