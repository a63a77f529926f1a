//! The run history in a database: what a run's record says, as rows that pages can read with SQL.
//!
//! Best effort. The artifacts are the record, and the history a copy of it: nothing that goes wrong
//! here changes how a run ends, and [`sync`](sync::sync) writes later what is missing.

mod notable;
mod record;
pub mod sync;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Kind, Origin, Result, Role};

use crate::events::log::Reporter;
use crate::run::sessions::Sessions;
use crate::secrets::Resolved;
use crate::store::config::LoadedConfig;
use crate::store::project::Project;
use crate::summary::Summary;
use notable::Notable;

/// How long a run waits for its history, from connecting to the commit; less for its secrets.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one statement of it may wait for somebody's lock: its error says more than ours would.
const LOCKED: Duration = Duration::from_secs(3);
/// How long closing may take, once the run is written.
const CLOSING: Duration = Duration::from_secs(1);

/// The history as one run sees it.
#[derive(Default)]
pub struct Chronicle {
    name: Option<String>,
    notable: Notable,
    sessions: OnceLock<Sessions>,
}

impl Chronicle {
    /// The history that a config names, or none.
    pub fn of(config: &LoadedConfig) -> Chronicle {
        Chronicle { name: config.history.clone(), ..Chronicle::default() }
    }

    /// The destination that keeps it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What follows the run's log, to remember what is kept of it.
    pub fn reporter(&self) -> Option<Box<dyn Reporter>> {
        self.name.is_some().then(|| Box::new(self.notable.clone()) as Box<dyn Reporter>)
    }

    /// Resolves how it is reached, as early as the run's own secrets, so that redaction knows them
    /// from there on. `run` are the run's own settings: where it loads into the same destination they
    /// are used, and no reference is followed twice. Returns what was resolved beside them.
    pub async fn resolve(
        &self,
        project: &Project,
        config: &Arc<LoadedConfig>,
        run: Option<&Resolved>,
    ) -> Result<Option<&Resolved>> {
        let Some(name) = self.name.clone() else { return Ok(None) };
        if let Some(run) = run.filter(|run| run.destination_name == name) {
            let (system, settings) = (&run.destination_type, run.destination.clone());
            let sessions =
                Sessions::of_settings(project, system, Role::Destination, settings, run.secrets.clone());
            let _ = self.sessions.set(sessions);
            return Ok(None);
        }
        let (project, config) = (project.clone(), Arc::clone(config));
        let work = tokio::task::spawn_blocking(move || Sessions::of_destination(&project, &config, &name));
        let sessions = match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => {
                done.map_err(|e| Error::internal("resolving the run history's settings").cause(e))??
            }
            Err(_) => return Err(late("its secrets could not be had")),
        };
        let _ = self.sessions.set(sessions);
        Ok(self.sessions.get().map(|sessions| &sessions.resolved))
    }

    /// Writes a run that has ended. A history that could not be resolved was told of then. Of a run
    /// that `leaked` a secret the events stay here: one of them may hold it.
    pub async fn keep(&self, summary: &Summary, leaked: bool, cancel: &CancellationToken) -> Result<()> {
        let Some(sessions) = self.sessions.get() else { return Ok(()) };
        let mut kept = self.notable.take();
        if leaked {
            kept.left_out += kept.rows.drain(..).len() as u64;
        }
        let record = record::record(summary, kept.rows, kept.left_out)?;
        // What is given up is ended at the server too.
        let cancel = cancel.child_token();
        let _ended = cancel.clone().drop_guard();
        let work = async {
            let history = sessions.history(LOCKED, &cancel).await?;
            let written = history.write(&[record]).await;
            Ok::<_, Error>((history, written))
        };
        let (history, written) =
            tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late("it did not answer")))?;
        let _ = tokio::time::timeout(CLOSING, history.close()).await;
        written.map(drop)
    }
}

fn late(what: &str) -> Error {
    Error::new(Kind::Timeout, format!("{what} within {} s", PATIENCE.as_secs()))
        .origin(Origin::Destination)
        .hint("once it can be reached: waybill history sync")
}
