//! Talking to the systems of a connection outside a run: sessions that can be interrupted, whose
//! words carry no secret.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use waybill_protocol::event::{Emit, Event};
use waybill_protocol::{Check, Destination, Error, Events, Level, Result, Source};

use crate::cli::terminal::Terminal;
use crate::events::Redactor;
use crate::run::sessions::Sessions;
use crate::run::{Ended, Stop};
use crate::store::config::{Connection, LoadedConfig};
use crate::store::project::Project;

/// How long queries under way get to be cancelled at their server.
const FAREWELL: Duration = Duration::from_secs(3);

/// The two systems of a connection, for one command.
pub(crate) struct Systems {
    /// The connection with its settings resolved.
    pub(crate) sessions: Sessions,
    cancel: CancellationToken,
    events: Events,
    said: Arc<Said>,
    redactor: Redactor,
}

impl Systems {
    /// Resolves the settings of a connection, off the async threads: references may take long.
    pub(crate) async fn of(
        project: &Project,
        config: &Arc<LoadedConfig>,
        connection: &Connection,
        cancel: &CancellationToken,
    ) -> Result<Systems> {
        let (project, config, connection) = (project.clone(), Arc::clone(config), connection.clone());
        let work = tokio::task::spawn_blocking(move || Sessions::new(&project, &config, &connection));
        let sessions = work.await.map_err(|e| Error::internal("resolving settings broke off").cause(e))??;
        Ok(Systems::with(sessions, cancel))
    }

    /// The systems of a connection whose settings are resolved.
    pub(crate) fn with(sessions: Sessions, cancel: &CancellationToken) -> Systems {
        let redactor = Redactor::new();
        for secret in &sessions.resolved.secrets {
            redactor.add(secret.value.expose(), None);
        }
        let said = Arc::new(Said::default());
        let events = Events::new(Arc::clone(&said) as Arc<dyn Emit>);
        Systems { sessions, cancel: cancel.clone(), events, said, redactor }
    }

    /// The same systems for a look only: what is read is bounded as a query is.
    pub(crate) fn for_a_look(self) -> Systems {
        Systems { sessions: self.sessions.for_a_look(), ..self }
    }

    /// Whether the work is to stop.
    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Opens a session with the source.
    pub(crate) async fn source(&self) -> Result<Arc<dyn Source>> {
        self.sessions.source(&self.events, &self.cancel).await.map_err(|e| self.clean(e))
    }

    /// Opens a session with the destination.
    pub(crate) async fn destination(&self) -> Result<Arc<dyn Destination>> {
        self.sessions.destination(&self.events, &self.cancel).await.map_err(|e| self.clean(e))
    }

    /// Opens the destination's system as a source.
    pub(crate) async fn mirror(&self) -> Result<Arc<dyn Source>> {
        self.sessions.mirror(&self.events, &self.cancel).await.map_err(|e| self.clean(e))
    }

    /// An error without any secret.
    pub(crate) fn clean(&self, error: Error) -> Error {
        let record = error.record();
        let texts = [Some(&record.message), record.hint.as_ref()].into_iter().flatten().chain(&record.cause);
        if texts.into_iter().all(|text| self.redactor.redact(text) == *text) {
            return error;
        }
        let redact = |text: &str| self.redactor.redact(text).into_owned();
        let mut clean = Error::new(record.kind, redact(&record.message)).retry(record.retryable);
        if let Some(hint) = &record.hint {
            clean = clean.hint(redact(hint));
        }
        if let Some(origin) = record.origin {
            clean = clean.origin(origin);
        }
        if let Some(stream) = record.stream {
            clean = clean.stream(stream);
        }
        if !record.cause.is_empty() {
            clean = clean.cause(std::io::Error::other(redact(&record.cause.join(": "))));
        }
        clean
    }

    /// A finding without any secret.
    pub(crate) fn clean_check(&self, check: Check) -> Check {
        crate::manage::probe::clean(&self.redactor, check)
    }

    /// What the connectors warned of so far, and what resolving found.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let found = self.sessions.resolved.findings.iter().map(|finding| finding.message.clone());
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = said.iter().map(|text| self.redactor.redact(text).into_owned());
        let mut all: Vec<String> = found.chain(said).collect();
        all.dedup();
        all
    }
}

/// Keeps what connectors warn of.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Emit for Said {
    fn emit(&self, event: Event) {
        if event.level >= Level::Warn {
            let message = match event.stream {
                Some(stream) => format!("{stream}: {}", event.message),
                None => event.message,
            };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        }
    }
}

/// Does the work of a command until it is done or a signal comes; then `cancel` is set, queries
/// under way get a moment to be cancelled at their server, and the exit code says which signal.
pub(crate) async fn until_signal(
    terminal: &Terminal,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<u8>>,
) -> Result<u8> {
    let stop = Stop::new();
    stop.listen().map_err(|e| Error::internal(format!("signals cannot be caught: {e}")).cause(e))?;
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = stop.orderly().cancelled() => {}
    }
    cancel.cancel();
    tokio::select! {
        _ = tokio::time::timeout(FAREWELL, &mut work) => {}
        () = stop.at_once().cancelled() => {}
    }
    let ended = stop.reason().unwrap_or(Ended::Interrupt);
    terminal.note(&format!("ended by {}", ended.word()));
    Ok(ended.exit_code())
}
