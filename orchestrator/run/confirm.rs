//! Before success is reported: the destination is asked once more whether it holds what it confirmed.

use std::sync::Arc;

use waybill_protocol::{Error, Result, Scope};

use super::Run;
use super::job::{Ended, StreamJob};
use super::refresh::differs;

/// Compares the last commit of every stream that was loaded with the state rows. A stream whose
/// row says something else is not to be trusted, and neither is a run that calls it loaded.
pub async fn confirm(run: &Run) -> Result<()> {
    let jobs: Vec<Arc<StreamJob>> = run.all_jobs().into_iter().filter(|job| loaded(job)).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    let rows = run.destination.states().await?;
    let mut first = None;
    for job in jobs {
        let scope = Scope::Stream(job.name.clone()).to_string();
        let row = rows.iter().find(|row| row.scope == scope);
        if row.map(|row| &row.commit_id) != job.last_commit().as_ref() {
            job.live().doubted = true;
            first.get_or_insert(differs(run, &job, row));
        }
    }
    first.map_or(Ok(()), |error: Error| Err(error))
}

fn loaded(job: &StreamJob) -> bool {
    job.moves_state && job.live().committed && job.ended() == Some(Ended::Succeeded)
}
