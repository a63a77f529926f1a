//! Whether one system can be reached and used: a source as its connection sets it up, or a
//! destination, whoever uses it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Check, Error, ErrorRecord, Events, Result};

use crate::events::Redactor;
use crate::run::sessions::Sessions;
use crate::store::config::LoadedConfig;
use crate::store::project::Project;

/// How long a question to the run history may take.
const BOUND: Duration = Duration::from_secs(30);

/// What was found. No secret is in it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Probe {
    /// `source`, `destination`, or `history`: the destination that keeps the run history.
    pub role: String,
    /// The connection that a source belongs to, or the destination.
    pub name: String,
    /// The connector.
    pub system: String,
    /// Whether it can be used.
    pub passed: bool,
    /// How long it took.
    pub ms: u64,
    /// Why nothing could be tried: settings are wrong or incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Probe {
    /// What is wrong, the first first.
    pub fn failure(&self) -> Option<&ErrorRecord> {
        self.error.as_ref().or_else(|| self.checks.iter().find_map(|check| check.error.as_ref()))
    }

    /// The command of this program that shows more, without `waybill`.
    pub fn look(&self) -> String {
        match self.role.as_str() {
            "destination" => format!("destination test {}", self.name),
            "history" => "history sync --dry-run".to_owned(),
            _ => format!("connection test {}", self.name),
        }
    }
}

/// Tries the source of a connection.
pub async fn source(
    project: &Project,
    config: &Arc<LoadedConfig>,
    connection: &str,
    cancel: &CancellationToken,
) -> Probe {
    let system = config.connection(connection).map_or_else(|_| String::new(), |c| c.system.clone());
    let name = connection.to_owned();
    let open = move |project: &Project, config: &LoadedConfig| {
        Sessions::new(project, config, config.connection(&name)?)
    };
    probe("source", connection, system, project, config, open, cancel).await
}

/// Tries a destination.
pub async fn destination(
    project: &Project,
    config: &Arc<LoadedConfig>,
    name: &str,
    cancel: &CancellationToken,
) -> Probe {
    at("destination", project, config, name, cancel).await
}

/// Tries the destination that keeps the run history, as that.
pub async fn history(
    project: &Project,
    config: &Arc<LoadedConfig>,
    name: &str,
    cancel: &CancellationToken,
) -> Probe {
    at("history", project, config, name, cancel).await
}

async fn at(
    role: &'static str,
    project: &Project,
    config: &Arc<LoadedConfig>,
    name: &str,
    cancel: &CancellationToken,
) -> Probe {
    let system = config.destination_named(name).map_or_else(|_| String::new(), |d| d.system.clone());
    let owned = name.to_owned();
    let open =
        move |project: &Project, config: &LoadedConfig| Sessions::of_destination(project, config, &owned);
    probe(role, name, system, project, config, open, cancel).await
}

async fn probe(
    role: &'static str,
    name: &str,
    system: String,
    project: &Project,
    config: &Arc<LoadedConfig>,
    open: impl FnOnce(&Project, &LoadedConfig) -> Result<Sessions> + Send + 'static,
    cancel: &CancellationToken,
) -> Probe {
    let started = Instant::now();
    let (project, config) = (project.clone(), Arc::clone(config));
    // References may take long, and block.
    let opened = tokio::task::spawn_blocking(move || open(&project, &config)).await;
    let opened = opened.unwrap_or_else(|e| Err(Error::internal("resolving settings broke off").cause(e)));
    let (checks, error) = match opened {
        Ok(sessions) => (checks(role, &sessions, cancel).await, None),
        Err(error) => (Vec::new(), Some(error.record())),
    };
    Probe {
        role: role.to_owned(),
        name: name.to_owned(),
        system,
        passed: error.is_none() && checks.iter().all(Check::ok),
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        error,
        checks,
    }
}

async fn checks(role: &str, sessions: &Sessions, cancel: &CancellationToken) -> Vec<Check> {
    let redactor = Redactor::new();
    for secret in &sessions.resolved.secrets {
        redactor.add(secret.value.expose(), None);
    }
    let events = Events::none();
    let found = match role {
        "destination" => match sessions.destination(&events, cancel).await {
            Ok(destination) => {
                let found = destination.check().await;
                destination.close().await;
                found
            }
            Err(error) => Ok(vec![Check::failed("connect", &error)]),
        },
        "history" => match sessions.history(BOUND, cancel).await {
            Ok(history) => {
                let found = history.check().await;
                history.close().await;
                found
            }
            Err(error) => Ok(vec![Check::failed("connect", &error)]),
        },
        _ => match sessions.source(&events, cancel).await {
            Ok(source) => {
                let found = source.check().await;
                source.close().await;
                found
            }
            Err(error) => Ok(vec![Check::failed("connect", &error)]),
        },
    };
    let found = found.unwrap_or_else(|error| vec![Check::failed("check", &error)]);
    found.into_iter().map(|check| clean(&redactor, check)).collect()
}

/// A finding without any secret.
pub(crate) fn clean(redactor: &Redactor, mut check: Check) -> Check {
    let clean = |text: &mut String| *text = redactor.redact(text).into_owned();
    clean(&mut check.detail);
    check.warning.iter_mut().for_each(clean);
    if let Some(error) = &mut check.error {
        clean(&mut error.message);
        error.hint.iter_mut().chain(&mut error.cause).for_each(clean);
    }
    check
}
