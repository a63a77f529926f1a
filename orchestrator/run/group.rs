//! Attempts: slices that belong together are tried together, again after a wait while that makes
//! sense, each time from what is durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;
use waybill_protocol::{Body, Error, Kind, Level, Origin, Progress, Reading, Result, Slice, StreamRead};

use super::attempt::{Done, attempt, panicked};
use super::job::{Ended, StreamJob};
use super::refresh::refresh;
use super::{Run, evolve, retry, staged, unasked};

/// Times that the columns of a slice may be widened in one run.
const WIDENINGS: u32 = 64;

/// Slices that share a snapshot or a stream.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Its slices.
    pub slices: Vec<Slice>,
    streams: BTreeSet<String>,
    names: BTreeSet<String>,
}

/// Sorts slices into groups.
pub fn groups(slices: Vec<Slice>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for slice in slices {
        let mut merged = Group::default();
        merged.streams.extend(slice.streams.iter().map(|s| s.stream.clone()));
        merged.names.extend(slice.retry_group.clone());
        merged.slices.push(slice);
        let mut rest = Vec::new();
        for group in groups {
            if group.streams.is_disjoint(&merged.streams) && group.names.is_disjoint(&merged.names) {
                rest.push(group);
            } else {
                let mut slices = group.slices;
                slices.append(&mut merged.slices);
                merged.slices = slices;
                merged.streams.extend(group.streams);
                merged.names.extend(group.names);
            }
        }
        rest.push(merged);
        groups = rest;
    }
    groups
}

/// Loads a group to its end and says so for each of its streams.
pub async fn load(run: Arc<Run>, group: Group) {
    let jobs: Vec<Arc<StreamJob>> = group
        .streams
        .iter()
        .filter_map(|stream| run.jobs.get().and_then(|jobs| jobs.get(stream)).cloned())
        .collect();
    match attempts(&run, group, &jobs).await {
        Ok(Done::Whole) => {
            for job in &jobs {
                job.live().whole = true;
                if !staged(&job.live().load) {
                    run.rejects.summarise(job);
                    job.finish(Ended::Succeeded);
                }
            }
        }
        Ok(_) => jobs.iter().for_each(|job| job.finish(Ended::Stopped)),
        Err(error) if run.stop.reason().is_none() => give_up(&run, &jobs, &unasked(error)),
        Err(error) => give_up(&run, &jobs, &error),
    }
}

fn give_up(run: &Run, jobs: &[Arc<StreamJob>], error: &Error) {
    for job in jobs {
        // Of a commit that nobody knows of, a line too many is better than one too few.
        run.rejects.committed(job);
        run.rejects.summarise(job);
        job.fail(error);
    }
}

async fn attempts(run: &Arc<Run>, group: Group, jobs: &[Arc<StreamJob>]) -> Result<Done> {
    let (mut slices, mut number, mut widenings) = (group.slices, 1, 0);
    loop {
        for job in jobs {
            run.rejects.again(&job.name)?;
            job.again();
        }
        let error = match together(run, &slices, number).await {
            Ok(Done::Restart) => {
                widenings += 1;
                if widenings > WIDENINGS {
                    return Err(Error::new(
                        Kind::Schema,
                        format!("the columns were widened {WIDENINGS} times and still do not fit"),
                    )
                    .hint("declare the types of the columns"));
                }
                match replan(run, jobs).await {
                    Ok(planned) if planned.is_empty() => return Ok(Done::Whole),
                    Ok(planned) => {
                        slices = planned;
                        continue;
                    }
                    Err(error) => error,
                }
            }
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let wait = run.policy.next(number, &error, retry::jitter()).filter(|_| run.stop.reason().is_none());
        for job in jobs {
            let body = Body::StreamAttemptFailed { slice: slices_of(&slices), counts: job.counts() };
            let level = if wait.is_some() { Level::Warn } else { Level::Error };
            job.events.for_attempt(number).emit(level, body, error.message(), Some(error.record()));
        }
        let Some(mut wait) = wait else { return Err(error) };
        loop {
            number += 1;
            for job in jobs {
                job.count(|counts| counts.retries += 1);
                let body = Body::RetryScheduled {
                    next_attempt: number,
                    attempts: run.policy.attempts(),
                    delay_ms: wait.as_millis() as u64,
                };
                job.events.for_attempt(number).info(body, format!("tries again in {} ms", wait.as_millis()));
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = run.stop.orderly().cancelled() => return Err(error),
            }
            match again(run, jobs, &error).await {
                // What failed had become durable all the same.
                Ok(planned) if planned.is_empty() => return Ok(Done::Whole),
                Ok(planned) => {
                    slices = planned;
                    break;
                }
                Err(failed) => match run.policy.next(number, &failed, retry::jitter()) {
                    Some(next) => wait = next,
                    None => return Err(failed),
                },
            }
        }
    }
}

fn slices_of(slices: &[Slice]) -> String {
    slices.iter().map(|slice| slice.id.as_str()).collect::<Vec<_>>().join(", ")
}

/// Everything that another attempt starts from: what the destination holds, the columns that there
/// are now where they changed, and a new plan.
async fn again(run: &Run, jobs: &[Arc<StreamJob>], error: &Error) -> Result<Vec<Slice>> {
    for job in jobs {
        if error.kind() == Kind::Schema && error.get_stream().is_none_or(|stream| stream == job.name) {
            evolve::look_again(run, job).await?;
        }
        let direct = !staged(&job.live().load);
        if direct {
            refresh(run, job).await?;
        }
    }
    replan(run, jobs).await
}

async fn replan(run: &Run, jobs: &[Arc<StreamJob>]) -> Result<Vec<Slice>> {
    let mut progress = Progress::default();
    for job in jobs {
        let mut live = job.live();
        // A full read becomes visible in one commit: after it there is nothing left to read.
        live.whole |= live.committed && live.read.reading == Reading::Full;
    }
    let jobs: Vec<&Arc<StreamJob>> = jobs.iter().filter(|job| !job.live().whole).collect();
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    for job in &jobs {
        if staged(&job.live().load) {
            job.live().held.clear();
        }
        job.progress(&mut progress);
    }
    let reads: Vec<Arc<StreamRead>> = jobs.iter().map(|job| Arc::clone(&job.live().read)).collect();
    run.source.plan(&reads, &progress).await.map_err(|e| e.origin(Origin::Source))
}

/// One attempt of every slice. The first failure ends the others.
async fn together(run: &Arc<Run>, slices: &[Slice], number: u32) -> Result<Done> {
    let stop = run.stop.orderly().child_token();
    // Where the destination cannot load slices of one stream side by side, they take turns.
    let side_by_side = if run.can.parallel_slices { slices.len().max(1) } else { 1 };
    let turns = Arc::new(tokio::sync::Semaphore::new(side_by_side));
    let mut tasks = JoinSet::new();
    for slice in slices {
        let (run, slice, stop) = (Arc::clone(run), slice.clone(), stop.clone());
        let turns = Arc::clone(&turns);
        tasks.spawn(async move {
            let places = Arc::clone(&run.places);
            let turn = async { (turns.acquire_owned().await, places.acquire_owned().await) };
            let _held = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Done::Stopped),
                held = turn => held,
            };
            attempt(&run, &slice, number, stop).await
        });
    }
    let (mut worst, mut error) = (Done::Whole, None);
    while let Some(ended) = tasks.join_next().await {
        let ended = match ended {
            Ok(ended) => ended,
            Err(e) if e.is_panic() => Err(panicked(e.into_panic())),
            Err(_) => Err(Error::cancelled()),
        };
        match ended {
            Ok(Done::Whole) => {}
            Ok(done) => {
                stop.cancel();
                if worst != Done::Restart {
                    worst = done;
                }
            }
            Err(failed) => {
                stop.cancel();
                error.get_or_insert(failed);
            }
        }
    }
    match error {
        Some(error) => Err(error),
        None => Ok(worst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(id: &str, group: Option<&str>) -> Slice {
        Slice {
            id: id.into(),
            streams: Vec::new(),
            retry_group: group.map(str::to_owned),
            ordered: false,
            detail: serde_json::Value::Null,
        }
    }

    #[test]
    fn slices_of_one_snapshot_belong_together() {
        let found = groups(vec![
            slice("a1", Some("a")),
            slice("b", None),
            slice("a2", Some("a")),
            slice("c", Some("c")),
        ]);
        let ids: Vec<Vec<&str>> =
            found.iter().map(|g| g.slices.iter().map(|s| s.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["b"], vec!["a1", "a2"], vec!["c"]]);
    }
}
