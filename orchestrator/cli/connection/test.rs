//! `waybill connection test`: can source and destination be reached and used?

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Check, Error, Kind, Result};

use super::session::{Systems, until_signal};
use super::tested::{Side, Tested, line, whole};
use super::way;
use crate::cli::terminal::Terminal;
use crate::manage::Trial;
use crate::store::config::{LoadedConfig, load};
use crate::store::project::Project;

/// Connections that are tested at once.
const AT_ONCE: usize = 4;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Exit code of a check that failed.
const CHECK_FAILED: u8 = 4;

/// Tests whether source and destination can be reached and used.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Connections; every enabled one where none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Every enabled connection
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// How often to try again where a later try may succeed
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    retry: u32,
}

#[derive(Serialize)]
struct Answer<'a> {
    tested: usize,
    passed: usize,
    connections: &'a [Tested],
}

/// Tests connections.
pub(super) async fn test(terminal: &Terminal, project: &Project, args: TestArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let retry = args.retry;
    let whole_one = args.names.len() == 1;
    let names = chosen(&config, args)?;
    let cancel = CancellationToken::new();
    let how = How { retry, whole: whole_one };
    until_signal(terminal, &cancel, all(terminal, project, &config, &names, how, &cancel)).await
}

/// How connections are tested.
#[derive(Clone, Copy)]
struct How {
    retry: u32,
    /// Every check of the one that was named, instead of a row.
    whole: bool,
}

/// The names that are meant; one that does not exist is refused before anything is tried.
fn chosen(config: &LoadedConfig, args: TestArgs) -> Result<Vec<String>> {
    if args.names.is_empty() {
        let enabled = |name: &&str| config.connection(name).map_or(true, |connection| connection.enabled);
        return Ok(config.names().into_iter().filter(enabled).map(str::to_owned).collect());
    }
    let mut names: Vec<String> = Vec::new();
    for name in args.names {
        if !config.names().contains(&name.as_str()) {
            config.connection(&name)?;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

async fn all(
    terminal: &Terminal,
    project: &Project,
    config: &Arc<LoadedConfig>,
    names: &[String],
    how: How,
    cancel: &CancellationToken,
) -> Result<u8> {
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for name in names {
        let (project, config) = (project.clone(), Arc::clone(config));
        let (name, cancel, seats) = (name.clone(), cancel.clone(), Arc::clone(&seats));
        running.spawn(async move {
            let _seat = seats.acquire_owned().await;
            one(&project, &config, &name, &cancel, how.retry).await
        });
    }
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut done: Vec<Tested> = Vec::new();
    while let Some(finished) = running.join_next().await {
        let tested = finished.map_err(|e| Error::internal("the test of a connection broke off").cause(e))?;
        if !terminal.json_wanted() {
            let text =
                if how.whole { whole(terminal, &tested) } else { line(terminal, project, &tested, wide) };
            terminal.out(&text)?;
        }
        done.push(tested);
    }
    let passed = done.iter().filter(|tested| tested.passed).count();
    if terminal.json_wanted() {
        done.sort_by_key(|tested| names.iter().position(|name| *name == tested.connection));
        terminal.json(&Answer { tested: done.len(), passed, connections: &done })?;
    } else if !how.whole {
        terminal.out(&format!("{} tested · {passed} passed", done.len()))?;
    }
    Ok(exit_code(&done))
}

/// 3 where settings are wrong, 4 where a check failed, 0 where all is well.
pub(super) fn exit_code(done: &[Tested]) -> u8 {
    let settings = |tested: &Tested| tested.error.as_ref().is_some_and(|error| error.kind == Kind::Config);
    if done.iter().any(settings) {
        3
    } else if done.iter().any(|tested| !tested.passed) {
        CHECK_FAILED
    } else {
        0
    }
}

/// Tests one connection; both sides at the same time. Tried again, up to `retry` times, while every
/// check that failed may succeed later.
pub(crate) async fn one(
    project: &Project,
    config: &Arc<LoadedConfig>,
    name: &str,
    cancel: &CancellationToken,
    retry: u32,
) -> Tested {
    let started = Instant::now();
    let connection = match config.connection(name) {
        Ok(connection) => connection,
        Err(error) => return Tested::unable(name, "invalid", &error),
    };
    let way = way(config, connection);
    let systems = match Systems::of(project, config, connection, cancel).await {
        Ok(systems) => systems,
        Err(error) => return Tested::unable(name, &way, &error),
    };
    again(&systems, name, way, started, retry).await
}

/// Tests a connection that is not saved.
pub(crate) async fn trial(
    project: &Project,
    trial: &Trial,
    cancel: &CancellationToken,
    retry: u32,
) -> Result<Tested> {
    let started = Instant::now();
    let way = way(&trial.config, trial.connection()?);
    Ok(match super::add::systems(project, trial, cancel).await {
        Ok(systems) => again(&systems, &trial.name, way, started, retry).await,
        Err(error) => Tested::unable(&trial.name, &way, &error),
    })
}

async fn again(systems: &Systems, name: &str, way: String, started: Instant, retry: u32) -> Tested {
    let mut wait = Duration::from_millis(systems.sessions.connection.policies.backoff_ms);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut tested = look(systems, name, way.clone()).await;
        tested.attempts = attempts;
        tested.ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if tested.passed || attempts > retry || !tested.may_pass_later() || systems.cancelled() {
            return tested;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn look(systems: &Systems, name: &str, way: String) -> Tested {
    let mut tested = Tested::new(name, &way);
    let (source, destination) = tokio::join!(source_checks(systems), destination_checks(systems));
    let resolved = &systems.sessions.resolved;
    let source = Side { system: systems.sessions.connection.system.clone(), checks: source };
    let target = format!("{} ({})", resolved.destination_name, resolved.destination_type);
    let destination = Side { system: target, checks: destination };
    tested.passed = source.failed().is_none() && destination.failed().is_none();
    let failures: Vec<&str> = [&source, &destination]
        .iter()
        .flat_map(|side| &side.checks)
        .filter(|check| !check.ok())
        .map(|check| check.detail.as_str())
        .collect();
    // What stands there as a failed check is not said again.
    let is_new = |warning: &String| !failures.iter().any(|failure| warning.contains(failure));
    tested.warnings = systems.warnings().into_iter().filter(is_new).collect();
    (tested.source, tested.destination) = (Some(source), Some(destination));
    tested
}

async fn source_checks(systems: &Systems) -> Vec<Check> {
    let source = match systems.source().await {
        Ok(source) => source,
        Err(error) => return vec![Check::failed("connect", &error)],
    };
    let checks = findings(systems, source.check().await);
    source.close().await;
    checks
}

async fn destination_checks(systems: &Systems) -> Vec<Check> {
    let destination = match systems.destination().await {
        Ok(destination) => destination,
        Err(error) => return vec![Check::failed("connect", &error)],
    };
    let checks = findings(systems, destination.check().await);
    destination.close().await;
    checks
}

fn findings(systems: &Systems, found: Result<Vec<Check>>) -> Vec<Check> {
    match found {
        Ok(checks) => checks.into_iter().map(|check| systems.clean_check(check)).collect(),
        Err(error) => vec![Check::failed("check", &systems.clean(error))],
    }
}
