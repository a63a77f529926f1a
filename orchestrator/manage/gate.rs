//! The gate before several runs: everything that they need is tried first, each source and each
//! destination once, all at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::probe::{self, Probe};
use crate::store::config::LoadedConfig;
use crate::store::project::Project;

/// Systems that are tried at once.
const AT_ONCE: usize = 8;

/// Tries the sources of these connections and their destinations; sources first, in the order of
/// the names, and what keeps the run history last: the runs do not need it. A connection that the config does not have, or has wrongly, is left out: its own run
/// says so, and it stops no other.
pub async fn gate(
    project: &Project,
    config: &Arc<LoadedConfig>,
    names: &[String],
    cancel: &CancellationToken,
) -> Vec<Probe> {
    let valid: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| config.connection(name).is_ok()).collect();
    let targets: BTreeSet<String> =
        valid.iter().filter_map(|name| config.connection(name).ok()).map(|c| c.destination.clone()).collect();
    let mut wanted: Vec<(bool, String)> = valid.iter().map(|name| (true, (*name).to_owned())).collect();
    wanted.extend(targets.into_iter().map(|name| (false, name)));
    let kept = async {
        match config.history.as_ref().filter(|_| !valid.is_empty()) {
            Some(name) => Some(probe::history(project, config, name, cancel).await),
            None => None,
        }
    };
    let (mut found, kept) = tokio::join!(all(project, config, wanted, cancel), kept);
    once(config, &mut found);
    found.extend(kept);
    found
}

/// Tries systems; `true` stands for the source of a connection, `false` for a destination.
pub async fn all(
    project: &Project,
    config: &Arc<LoadedConfig>,
    wanted: Vec<(bool, String)>,
    cancel: &CancellationToken,
) -> Vec<Probe> {
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (place, (is_source, name)) in wanted.into_iter().enumerate() {
        let (project, config) = (project.clone(), Arc::clone(config));
        let (cancel, seats) = (cancel.clone(), Arc::clone(&seats));
        running.spawn(async move {
            let _seat = seats.acquire_owned().await;
            let probe = match is_source {
                true => probe::source(&project, &config, &name, &cancel).await,
                false => probe::destination(&project, &config, &name, &cancel).await,
            };
            (place, probe)
        });
    }
    let mut found: Vec<(usize, Probe)> = Vec::new();
    while let Some(done) = running.join_next().await {
        found.extend(done);
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, probe)| probe).collect()
}

/// A destination whose settings are wrong is said once, and not by each source that was resolved
/// together with it.
pub fn once(config: &LoadedConfig, found: &mut Vec<Probe>) {
    let said: Vec<(String, String)> = found
        .iter()
        .filter(|probe| probe.role == "destination")
        .filter_map(|probe| probe.error.as_ref().map(|error| (probe.name.clone(), error.message.clone())))
        .collect();
    found.retain(|probe| {
        let Some(error) = probe.error.as_ref().filter(|_| probe.role == "source") else { return true };
        let target = config.connection(&probe.name).map(|c| c.destination.clone()).unwrap_or_default();
        !said.iter().any(|(name, message)| *name == target && *message == error.message)
    });
}
