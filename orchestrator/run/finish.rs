//! The end of a run: state into the config, the verdict, the summary, the last line.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use waybill_protocol::event::{Outcome, Phase, Status};
use waybill_protocol::{Body, Error, Kind, Level, Origin, Result, SyncMode};

use super::attempt::panicked;
use super::begin::{Open, keep_newest, write_run_summary};
use super::job::StreamJob;
use super::pipeline::{Outcomes, carry, unkept};
use super::verdict::{Verdict, terminal, verdict};
use super::{Options, Stop, gate};
use crate::store::project::Project;
use crate::store::state::{Merged, StateEntry, merge_state};
use crate::summary::Summary;

/// How long the state may take to be written once the run is to stop at once.
const LAST_MERGE: Duration = Duration::from_secs(1);

/// Carries an open run to its end and leaves its record.
pub async fn carry_out(
    open: Open,
    project: &Project,
    options: &Options,
    stop: &Stop,
) -> Result<Box<Summary>> {
    let started = std::time::Instant::now();
    let said = Arc::new(AtomicU32::new(0));
    let watch = watch(&open, options, stop, &said);
    let phases = AssertUnwindSafe(carry(&open, project, options, stop)).catch_unwind();
    let outcomes = phases.await.unwrap_or_else(|payload| Outcomes::of(&panicked(payload)));
    merge(&open, project, &outcomes.jobs, stop).await;
    watch.iter().for_each(tokio::task::JoinHandle::abort);
    // A request so late that its task did not come to speak is in the record all the same.
    for count in 1..=stop.count().min(2) {
        say_signal(&open.events, stop, count, &said);
    }
    let mut verdict = verdict(&outcomes, stop);
    let (gate, leak) = gate::artifacts(&open).await;
    let mut leaked = leak.is_some();
    verdict.leak(leak);
    let mut summary = open.log.conclude(terminal(&verdict, &outcomes.jobs, started))?;
    if let Some(leak) = gate::summary(&open, &gate, &summary) {
        leaked = true;
        verdict.leak(Some(leak));
        summary = told(&open, &verdict, &outcomes.jobs, started, leaked)?;
    }
    let written = write_run_summary(&open.artifacts.summary, &summary);
    let trouble = written
        .err()
        .or_else(|| open.log.failed().map(|why| Error::config(why).origin(Origin::Orchestrator)));
    if let Some(error) = trouble {
        let error = error
            .context("the record of the run is not whole")
            .hint("free space or make runs/ and run_logs/ writable; the data is as the streams say");
        open.events.emit(
            Level::Error,
            Body::Runtime { detail: Value::Null },
            error.message(),
            Some(error.record()),
        );
        verdict.exit_code = if verdict.exit_code == 0 { 3 } else { verdict.exit_code };
        verdict.status = if verdict.status == Status::Succeeded { Status::Failed } else { verdict.status };
        verdict.error.get_or_insert(error.record());
        summary = told(&open, &verdict, &outcomes.jobs, started, leaked)?;
        // Tried again: there may be room by now, and the answer carries the fault either way.
        let _ = write_run_summary(&open.artifacts.summary, &summary);
    }
    if let Err(error) = chronicled(&open, &summary, leaked, stop).await {
        unkept(&open, &open.events.in_phase(Phase::Summary), &gate::spoken(&open, &gate, error));
        summary = told(&open, &verdict, &outcomes.jobs, started, leaked)?;
        // The one that stands is as true, and lacks the warning.
        let _ = write_run_summary(&open.artifacts.summary, &summary);
    }
    // A last line that could not be written is no loss: the summary wins.
    let _ = open.log.finish();
    if let Some(keep) = open.connection.policies.keep_runs {
        keep_newest(project, open.connection_id, keep);
    }
    drop(open.lock);
    Ok(Box::new(summary))
}

/// Tells the end of a run once more; of one that leaked a secret, without it.
fn told(
    open: &Open,
    verdict: &Verdict,
    jobs: &[Arc<StreamJob>],
    started: std::time::Instant,
    leaked: bool,
) -> Result<Summary> {
    let summary = open.log.conclude(terminal(verdict, jobs, started))?;
    Ok(if leaked { gate::clean(open, &summary) } else { summary })
}

/// Writes the run into the run history.
///
/// After the summary is written: the history says what stands on disk, and a run that is killed in
/// between is missing there, which `waybill history sync` mends; the other way round it could hold an
/// end that the run never came to. Before `run.finished`: what goes wrong is a warning, and the log and
/// the summary can still have it. So the end is told once more then, with the same verdict.
async fn chronicled(open: &Open, summary: &Summary, leaked: bool, stop: &Stop) -> Result<()> {
    let keeping = AssertUnwindSafe(open.chronicle.keep(summary, leaked, stop.at_once())).catch_unwind();
    keeping.await.unwrap_or_else(|payload| Err(panicked(payload)))
}

/// Turns signals into events, and the time budget into a request to stop.
fn watch(
    open: &Open,
    options: &Options,
    stop: &Stop,
    said: &Arc<AtomicU32>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let (events, asked) = (open.events.clone(), stop.clone());
    let said = Arc::clone(said);
    let signals = tokio::spawn(async move {
        asked.orderly().cancelled().await;
        say_signal(&events, &asked, 1, &said);
        asked.at_once().cancelled().await;
        say_signal(&events, &asked, 2, &said);
    });
    let mut tasks = vec![signals];
    if let Some(budget) = options.timeout {
        let stop = stop.clone();
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(budget).await;
            if stop.reason().is_none() {
                stop.ask(super::Ended::Budget);
            }
        }));
    }
    tasks
}

fn say_signal(events: &waybill_protocol::Events, stop: &Stop, count: u32, said: &AtomicU32) {
    if said.fetch_max(count, Ordering::SeqCst) >= count {
        return;
    }
    let signal = stop.reason().map_or("signal", super::Ended::word).to_owned();
    let message = match count {
        1 => format!("{signal}: stops reading and commits at the last safe point"),
        _ => format!("{signal}: stops at once"),
    };
    events.warn(Body::SignalReceived { signal, count }, message);
}

/// Writes the state of what is durable into the config. Its failure is a warning: the next run
/// adopts what the destination holds.
async fn merge(open: &Open, project: &Project, jobs: &[Arc<StreamJob>], stop: &Stop) {
    let mut states = BTreeMap::new();
    for job in jobs {
        let live = job.live();
        if job.mode == SyncMode::Incremental && job.moves_state && live.committed && !live.doubted {
            let shown = live.held.state.as_ref().map_or(Value::Null, waybill_protocol::StreamState::shown);
            let cursor = Some(shown).filter(|shown| !shown.is_null());
            let edited = open.connection.state.get(&job.name).is_some_and(|entry| !entry.untouched());
            let entry = match edited {
                true => StateEntry::written_after_edit(cursor, None),
                false => StateEntry::written(cursor, None),
            };
            states.insert(job.name.clone(), entry.to_value());
        }
    }
    if states.is_empty() {
        return;
    }
    let events = open.events.in_phase(Phase::Merge);
    let span = events.span(Level::Info, Body::PhaseStarted {}, "merge …");
    let inner = events.inside(&span);
    let merged = write_states(open, project, &states, stop).await;
    match merged {
        Ok(merged) => {
            let written: BTreeMap<_, _> = states
                .iter()
                .filter(|(s, _)| merged.written.contains(s))
                .map(|(s, v)| (s.clone(), v.clone()))
                .collect();
            if !written.is_empty() {
                inner.info(Body::StateMerged { states: written }, "state written into the config");
            }
            for (stream, why) in merged.left {
                let left = states.get(&stream).cloned().unwrap_or(Value::Null);
                let body = Body::StateMergeFailed { states: BTreeMap::from([(stream.clone(), left)]) };
                let message = format!(
                    "the state of stream {stream} was not written into the config: {why}; the next run goes on from the destination's state"
                );
                inner.for_stream(&stream).warn(body, message);
            }
            span.end(Outcome::Succeeded, "merge", None);
        }
        Err(error) => {
            let message = format!(
                "the state could not be written into the config: {error}; nothing is lost, the next run goes on from the destination's state"
            );
            inner.emit(Level::Warn, Body::StateMergeFailed { states }, message.clone(), Some(error.record()));
            span.finish(Level::Warn, Body::PhaseFinished { outcome: Outcome::Failed, ms: 0 }, message, None);
        }
    }
}

/// Waits for whoever else edits the config, but not for long once the run is to stop at once.
async fn write_states(
    open: &Open,
    project: &Project,
    states: &BTreeMap<String, Value>,
    stop: &Stop,
) -> Result<Merged> {
    let (project, id) = (project.clone(), open.connection_id);
    let (loaded, states) = (open.connection.state_as_loaded.clone(), states.clone());
    let writing = tokio::task::spawn_blocking(move || merge_state(&project, id, &loaded, &states));
    let hurry = async {
        stop.at_once().cancelled().await;
        tokio::time::sleep(LAST_MERGE).await;
    };
    tokio::select! {
        written = writing => written.map_err(|e| Error::internal("writing the state").cause(e))?,
        () = hurry => Err(Error::new(Kind::Cancelled, "stopped at once while another process edits the config")),
    }
}
