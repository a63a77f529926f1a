//! The phases of a run, from resolving secrets to publishing.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use waybill_protocol::event::{Outcome, Phase};
use waybill_protocol::{
    Body, Catalog, Check, Error, ErrorRecord, Events, Kind, Level, Origin, Progress, Result, Slice,
    StreamRead, StreamSelection,
};

use super::begin::Open;
use super::confirm::confirm;
use super::job::{Ended, StreamJob};
use super::sessions::Sessions;
use super::{Options, Run, Stop, error_of, group, matching, plan, publish, rejects, retry, staged};
use crate::secrets::Resolved;
use crate::store::project::Project;
use crate::summary::units::counted;

/// How often progress is said, at most.
const PROGRESS: Duration = Duration::from_secs(1);
/// How much of a catalog stands in its event; the rest is left to `connection discover`.
const CATALOG_STREAMS: usize = 40;

/// What the phases left: the streams, and what ended the run as a whole.
#[derive(Default)]
pub struct Outcomes {
    /// The streams, as far as planning came.
    pub jobs: Vec<Arc<StreamJob>>,
    /// What ended the run before or beside its streams.
    pub error: Option<ErrorRecord>,
}

/// Carries a run through its phases. Its errors are in the outcome, never lost.
pub async fn carry(open: &Open, project: &Project, options: &Options, stop: &Stop) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let sessions = phase(&open.events, Phase::Resolve, |events| resolve(open, project, events)).await;
    let sessions = match sessions {
        Ok(sessions) => sessions.for_run(&open.run_id),
        Err(error) => return outcomes.with(&error),
    };
    let policies = &open.connection.policies;
    let policy = retry::Policy::new(policies.retries, Duration::from_millis(policies.backoff_ms));
    let opened = phase(&open.events, Phase::Check, |events| open_both(open, sessions, events, stop, &policy));
    let (source, destination) = match opened.await {
        Ok(sessions) => sessions,
        Err(error) => return outcomes.with(&error),
    };
    let result = inside(open, options, stop, &source, &destination, policy, &mut outcomes).await;
    if let Err(error) = result {
        outcomes = outcomes.with(&error);
    }
    source.close().await;
    destination.close().await;
    outcomes
}

type Both = (Arc<dyn waybill_protocol::Source>, Arc<dyn waybill_protocol::Destination>);

/// Opens and checks both sides, again after a wait while that makes sense.
async fn open_both(
    open: &Open,
    sessions: Sessions,
    events: Events,
    stop: &Stop,
    policy: &retry::Policy,
) -> Result<Both> {
    policy.steadily(&events, stop, || open_once(open, &sessions, &events, stop)).await
}

async fn open_once(open: &Open, sessions: &Sessions, events: &Events, stop: &Stop) -> Result<Both> {
    let cancel = stop.at_once().clone();
    // A session outlives the phase that opens it.
    let opening = async {
        let source = sessions.source(&open.events, &cancel).await?;
        match sessions.destination(&open.events, &cancel).await {
            Ok(destination) => Ok((source, destination)),
            Err(error) => {
                source.close().await;
                Err(error)
            }
        }
    };
    let (source, destination) = stop.unless_asked(opening).await?;
    match check(&*source, &*destination, events, stop).await {
        Ok(()) => Ok((source, destination)),
        Err(error) => {
            source.close().await;
            destination.close().await;
            Err(error)
        }
    }
}

impl Outcomes {
    /// Of a run that an error ended outside its phases.
    pub fn of(error: &Error) -> Outcomes {
        Outcomes::default().with(error)
    }

    fn with(mut self, error: &Error) -> Outcomes {
        self.error = Some(error.record());
        self
    }
}

async fn phase<T, F>(events: &Events, phase: Phase, work: impl FnOnce(Events) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let events = events.in_phase(phase);
    let span = events.span(Level::Info, Body::PhaseStarted {}, format!("{} …", phase.word()));
    let done = work(events.inside(&span)).await;
    let (outcome, message, error) = match &done {
        Ok(_) => (Outcome::Succeeded, phase.word().to_owned(), None),
        Err(e) if e.kind() == Kind::Cancelled => {
            (Outcome::Cancelled, format!("{} cancelled", phase.word()), None)
        }
        Err(e) => (Outcome::Failed, format!("{} failed: {e}", phase.word()), Some(e.record())),
    };
    span.end(outcome, message, error);
    done
}

async fn resolve(open: &Open, project: &Project, events: Events) -> Result<Sessions> {
    let (config, connection) = (Arc::clone(&open.config), open.connection.clone());
    let (loaded, owned) = (Arc::clone(&config), project.clone());
    let sessions = tokio::task::spawn_blocking(move || Sessions::new(&owned, &loaded, &connection)).await;
    let sessions = sessions.unwrap_or_else(|e| Err(Error::internal("resolving secrets").cause(e)));
    let ours = sessions.as_ref().ok().map(|sessions| &sessions.resolved);
    if let Some(resolved) = ours {
        known(open, &events, resolved);
    }
    // The run goes on without its history, and says so.
    match open.chronicle.resolve(project, &config, ours).await {
        Ok(also) => also.into_iter().for_each(|resolved| known(open, &events, resolved)),
        Err(error) => unkept(open, &events, &error),
    }
    let sessions = sessions?;
    for finding in &sessions.resolved.findings {
        let message = format!("{}: {}", finding.path, finding.message);
        events.warn(Body::Runtime { detail: serde_json::Value::Null }, message);
    }
    Ok(sessions)
}

/// Tells redaction of secrets as they are resolved.
fn known(open: &Open, events: &Events, resolved: &Resolved) {
    let user = resolved.source.get("user").or_else(|| resolved.destination.get("user"));
    let user = user.and_then(serde_json::Value::as_str);
    for secret in &resolved.secrets {
        open.redactor.load(events, &secret.name, secret.value.expose(), user);
        let body = Body::SecretResolved { name: secret.name.clone(), origin: secret.origin.clone() };
        events.emit(Level::Debug, body, format!("{} resolved", secret.name), None);
    }
}

/// Says that this run will not be, or is not, in the run history.
pub(super) fn unkept(open: &Open, events: &Events, error: &Error) {
    let name = open.chronicle.name().unwrap_or_default();
    let message =
        format!("this run is not in the run history ({name}): {error}; later: waybill history sync");
    let detail = serde_json::json!({"history": name});
    events.emit(Level::Warn, Body::Runtime { detail }, message, Some(error.record()));
}

async fn check(
    source: &dyn waybill_protocol::Source,
    destination: &dyn waybill_protocol::Destination,
    events: &Events,
    stop: &Stop,
) -> Result<()> {
    let both = async { Ok(tokio::join!(source.check(), destination.check())) };
    let (from, to) = stop.unless_asked(both).await?;
    let from = from.map_err(|e| e.origin(Origin::Source));
    let to = to.map_err(|e| e.origin(Origin::Destination));
    let mut failed = None;
    for (role, origin, checks) in [("source", Origin::Source, from), ("destination", Origin::Destination, to)]
    {
        match checks {
            Ok(checks) => {
                for check in checks {
                    say_check(events, role, &check);
                    if let Some(record) = &check.error {
                        failed.get_or_insert(error_of(record).origin(origin));
                    }
                }
            }
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

fn say_check(events: &Events, role: &str, check: &Check) {
    let body = Body::CheckResult { role: role.to_owned(), check: check.check.clone(), passed: check.ok() };
    let level = match (&check.error, &check.warning) {
        (Some(_), _) => Level::Error,
        (None, Some(_)) => Level::Warn,
        _ => Level::Info,
    };
    let more = check.warning.as_ref().map(|w| format!("; {w}")).unwrap_or_default();
    events.emit(level, body, format!("{role}: {}: {}{more}", check.check, check.detail), check.error.clone());
}

async fn inside(
    open: &Open,
    options: &Options,
    stop: &Stop,
    source: &Arc<dyn waybill_protocol::Source>,
    destination: &Arc<dyn waybill_protocol::Destination>,
    policy: retry::Policy,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let selections = &open.connection.streams;
    let tries = &policy;
    let catalog = phase(&open.events, Phase::Discover, |events| async move {
        let discovery = || async {
            let found = async { discover(&**source, selections).await.map_err(|e| e.origin(Origin::Source)) };
            stop.unless_asked(found).await
        };
        let found = tries.steadily(&events, stop, discovery).await?;
        say_catalog(&events, &found.0);
        Ok(found)
    });
    let (catalog, broken) = catalog.await?;
    let mut run = assemble(open, options, stop, source, destination, policy, &catalog);
    let planned = phase(&open.events, Phase::Plan, |events| async {
        let mut matches = matching::matches(&open.connection.streams, &catalog, &options.streams)?;
        for (selection, found) in &mut matches {
            if let (Err(error), Some(why)) = (found, broken.get(&selection.name)) {
                *error = error_of(why).origin(Origin::Source);
            }
        }
        if matches.is_empty() {
            return Err(
                Error::config("no stream is selected").hint("add streams to the connection's schema.streams")
            );
        }
        run.events = events;
        planned(&run, matches).await
    });
    let jobs = planned.await?;
    outcomes.jobs.clone_from(&jobs);
    let by_name: BTreeMap<String, Arc<StreamJob>> =
        jobs.iter().map(|job| (job.name.clone(), Arc::clone(job))).collect();
    // Set here for the first time, so that it cannot be set already.
    let _ = run.jobs.set(by_name);
    run.events = open.events.in_phase(Phase::Read);
    let run = Arc::new(run);
    let read = phase(&open.events, Phase::Read, |_| read(&run)).await;
    read?;
    let published = phase(&open.events, Phase::Publish, |_| async {
        publish::publish_all(&run).await;
        let confirmed = || confirm(&run);
        run.policy.steadily(&run.events, &run.stop, confirmed).await
    });
    published.await?;
    if run.all_jobs().iter().any(|job| staged(&job.live().load) && job.ended() != Some(Ended::Succeeded)) {
        // Best effort: the next run of the connection removes what is left.
        let _ = destination.clean().await;
    }
    Ok(())
}

fn assemble(
    open: &Open,
    options: &Options,
    stop: &Stop,
    source: &Arc<dyn waybill_protocol::Source>,
    destination: &Arc<dyn waybill_protocol::Destination>,
    policy: retry::Policy,
    catalog: &Catalog,
) -> Run {
    let policies = &open.connection.policies;
    Run {
        run_id: open.run_id.clone(),
        connection_id: open.connection_id.to_string(),
        connection: open.connection.name.clone(),
        selected: open.connection.streams.iter().filter(|s| s.enabled).map(|s| s.name.clone()).collect(),
        state: open.connection.state.clone(),
        identity: catalog.identity.clone(),
        options: options.clone(),
        events: open.events.clone(),
        read_events: open.events.in_phase(Phase::Read),
        can: destination.capabilities(),
        source: Arc::clone(source),
        destination: Arc::clone(destination),
        policy,
        budget: open.budget.clone(),
        places: Arc::new(Semaphore::new(policies.parallelism.max(1) as usize)),
        parallelism: policies.parallelism.max(1) as usize,
        rejects: rejects::Rejects::new(open.artifacts.rejects.clone()),
        stop: stop.clone(),
        jobs: OnceLock::new(),
    }
}

/// Discovers the selected streams: all at once, and one by one where that fails, so that a broken
/// stream does not stop the others. The second value is what is wrong, by selection.
pub(super) async fn discover(
    source: &dyn waybill_protocol::Source,
    selections: &[StreamSelection],
) -> Result<(Catalog, BTreeMap<String, ErrorRecord>)> {
    let wanted: Vec<StreamSelection> = selections.iter().filter(|s| s.enabled).cloned().collect();
    if wanted.is_empty() {
        return Ok((Catalog::default(), BTreeMap::new()));
    }
    let error = match source.discover(&wanted).await {
        Ok(catalog) => return Ok((catalog, BTreeMap::new())),
        Err(error) if error.retryable() || wanted.len() < 2 && error.get_stream().is_none() => {
            return Err(error);
        }
        Err(error) => error,
    };
    let (mut all, mut broken) = (Catalog::default(), BTreeMap::new());
    for selection in &wanted {
        match source.discover(std::slice::from_ref(selection)).await {
            Ok(found) => {
                all.identity = found.identity;
                all.streams.extend(found.streams);
            }
            Err(error) if error.retryable() => return Err(error),
            Err(error) => drop(broken.insert(selection.name.clone(), error.record())),
        }
    }
    if all.streams.is_empty()
        && broken.len() == wanted.len()
        && wanted.len() > 1
        && error.get_stream().is_none()
    {
        return Err(error);
    }
    Ok((all, broken))
}

fn say_catalog(events: &Events, catalog: &Catalog) {
    let streams: Vec<_> = catalog.streams.iter().take(CATALOG_STREAMS).map(|s| s.describe()).collect();
    let message = format!("{} discovered", counted(catalog.streams.len() as u64, "stream"));
    events.info(Body::CatalogDiscovered { streams, reference: None }, message);
}

/// Takes the fence, reads what the destination holds, and decides about every stream.
async fn planned(run: &Run, matches: Vec<matching::Match>) -> Result<Vec<Arc<StreamJob>>> {
    let destination = &run.destination;
    let prepare = || async {
        let prepared = async {
            destination.begin().await?;
            if let Err(error) = destination.clean().await {
                let message = format!("leftovers of earlier runs could not be removed: {error}");
                let body = Body::Runtime { detail: serde_json::Value::Null };
                run.events.emit(Level::Warn, body, message, Some(error.record()));
            }
            let states = destination.states().await?.into_iter().map(|row| (row.scope.clone(), row));
            Ok(plan::Holdings { states: states.collect(), tables: destination.tables().await? })
        };
        let prepared = async { prepared.await.map_err(|e: Error| e.origin(Origin::Destination)) };
        run.stop.unless_asked(prepared).await
    };
    let holdings = run.policy.steadily(&run.events, &run.stop, prepare).await?;
    Ok(plan::jobs(run, matches, &holdings).await)
}

/// Reads and loads every planned slice, groups side by side.
async fn read(run: &Arc<Run>) -> Result<()> {
    let mut jobs: Vec<_> = run.all_jobs().into_iter().filter(|job| job.ended().is_none()).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    jobs.iter().for_each(|job| job.start());
    let ticker = ticker(run, &jobs);
    let slices = match slices(run, &mut jobs).await {
        Ok(slices) => slices,
        Err(error) => {
            jobs.iter().for_each(|job| job.fail(&error));
            ticker.abort();
            return Err(error);
        }
    };
    for slice in &slices {
        let streams: Vec<String> = slice.streams.iter().map(|s| s.stream.clone()).collect();
        let body = Body::SlicePlanned { slice: slice.id.clone(), streams, ordered: slice.ordered };
        run.events.emit(Level::Debug, body, format!("slice {}", slice.id), None);
    }
    let mut tasks = JoinSet::new();
    for group in group::groups(slices) {
        tasks.spawn(group::load(Arc::clone(run), group));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(e) = ended
            && e.is_panic()
        {
            let error = super::attempt::panicked(e.into_panic());
            jobs.iter()
                .filter(|job| job.ended().is_none() && !job.live().whole)
                .for_each(|job| job.fail(&error));
        }
    }
    ticker.abort();
    // It holds the jobs until it is gone.
    let _ = ticker.await;
    for job in jobs.iter().filter(|job| job.ended().is_none() && !job.live().whole) {
        job.fail(
            &Error::internal(format!("no slice was planned for stream {}", job.name)).origin(Origin::Source),
        );
    }
    Ok(())
}

/// Plans the slices: a stream that the source cannot plan fails alone, a passing fault is tried
/// again.
async fn slices(run: &Run, jobs: &mut Vec<Arc<StreamJob>>) -> Result<Vec<Slice>> {
    loop {
        let mut progress = Progress::default();
        jobs.iter().for_each(|job| job.progress(&mut progress));
        let reads: Vec<Arc<StreamRead>> = jobs.iter().map(|job| Arc::clone(&job.live().read)).collect();
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        let plan = || run.stop.unless_asked(run.source.plan(&reads, &progress));
        let error = match run.policy.steadily(&run.events, &run.stop, plan).await {
            Ok(slices) => return Ok(slices),
            Err(error) => error.origin(Origin::Source),
        };
        let alone = jobs.iter().position(|job| error.get_stream() == Some(job.name.as_str()));
        match alone.filter(|_| run.stop.reason().is_none()) {
            Some(at) => jobs.remove(at).fail(&error),
            None => return Err(error),
        }
    }
}

/// Says progress once a second while it changes.
fn ticker(run: &Arc<Run>, jobs: &[Arc<StreamJob>]) -> tokio::task::JoinHandle<()> {
    let (jobs, stop) = (jobs.to_vec(), run.stop.at_once().clone());
    tokio::spawn(async move {
        let mut last = vec![waybill_protocol::event::Counts::default(); jobs.len()];
        while !stop.is_cancelled() {
            tokio::time::sleep(PROGRESS).await;
            for (job, last) in jobs.iter().zip(&mut last) {
                let counts = job.counts();
                if counts != *last && job.ended().is_none() {
                    *last = counts;
                    let message = format!("{} rows read", counts.rows_read);
                    job.events.emit(Level::Debug, Body::StreamProgress { counts }, message, None);
                }
            }
        }
    })
}

/// Whether a stream's load is whole and still to be published.
pub fn to_publish(job: &StreamJob) -> bool {
    let live = job.live();
    live.whole && staged(&live.load) && live.ended.is_none()
}

/// How the streams of a run ended, counted.
pub fn tally(jobs: &[Arc<StreamJob>]) -> (usize, usize, usize) {
    let mut counts = (0, 0, 0);
    for job in jobs {
        match job.ended() {
            Some(Ended::Succeeded) => counts.0 += 1,
            Some(Ended::Failed(_)) => counts.1 += 1,
            _ => counts.2 += 1,
        }
    }
    counts
}
