//! Whether a connection can do what it is set up to do: its source, its streams, its destination.
//! Nothing is stored, and nothing is changed.

use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Errand, Error, ErrorRecord, Events, Finding, Kind, Load, Preflight, Result, Role, Secret, Status,
    StreamSelection,
};

use super::url::FromUrl;
use crate::events::Redactor;
use crate::run::prospect::{Prospect, loads, prospects};
use crate::run::sessions::Sessions;
use crate::secrets::ResolvedSecret;
use crate::store::config::LoadedConfig;
use crate::store::project::Project;
use crate::summary::units::counted;

/// What a preflight found. No secret is in it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(title = "What `waybill connection preflight --output json` answers")]
pub struct Report {
    /// The connection, or the address.
    pub connection: String,
    /// Whether nothing failed.
    pub passed: bool,
    /// How long it took.
    pub ms: u64,
    /// Why nothing could be looked at: settings are wrong or incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// What was found: source, then destination.
    pub sides: Vec<Side>,
}

/// One side of a connection.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Side {
    /// `source` or `destination`.
    pub role: String,
    /// The connector.
    pub system: String,
    /// The destination's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether nothing failed.
    pub passed: bool,
    /// The checks, in the order in which they are to be read.
    pub findings: Vec<Finding>,
    /// A script for an administrator that grants what is missing, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
}

impl Report {
    /// Findings that ended so.
    pub fn count(&self, status: Status) -> usize {
        self.sides.iter().flat_map(|side| &side.findings).filter(|finding| finding.status == status).count()
    }

    fn unable(connection: &str, started: Instant, error: &Error) -> Report {
        Report {
            connection: connection.to_owned(),
            passed: false,
            ms: ms(started),
            error: Some(error.record()),
            sides: Vec::new(),
        }
    }

    fn of(connection: &str, started: Instant, sides: Vec<Side>) -> Report {
        let passed = sides.iter().all(|side| side.passed);
        Report { connection: connection.to_owned(), passed, ms: ms(started), error: None, sides }
    }
}

fn ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Looks at both sides of a connection; only at the streams of these schemas, where any are named.
pub async fn connection(
    project: &Project,
    config: &Arc<LoadedConfig>,
    name: &str,
    schemas: &[String],
    cancel: &CancellationToken,
) -> Result<Report> {
    let started = Instant::now();
    let (owned, place, all) = (name.to_owned(), project.clone(), Arc::clone(config));
    // References may take long, and block.
    let opened =
        tokio::task::spawn_blocking(move || Sessions::new(&place, &all, all.connection(&owned)?)).await;
    let opened = opened.unwrap_or_else(|e| Err(Error::internal("resolving settings broke off").cause(e)));
    let sessions = match opened {
        Ok(sessions) => sessions,
        Err(error) => return Ok(Report::unable(name, started, &error)),
    };
    let look = Look { sessions: &sessions, schemas, events: Events::none(), cancel };
    let source = look.source(name).await?;
    let (prospects, planned) = look.prospects().await;
    let mut source = look.side(Role::Source, source);
    if source.passed || !prospects.is_empty() {
        // With what the connector says about them, and before what is for later.
        let later = source.findings.iter().position(|finding| finding.group == "change capture");
        let at = later.unwrap_or(source.findings.len());
        source.findings.splice(at..at, planned);
    }
    let destination = look.destination(&prospects).await?;
    let mut sides = vec![source, look.side(Role::Destination, destination)];
    look.clean(&mut sides);
    Ok(Report::of(name, started, sides))
}

/// Looks at what an address leads to, in a role.
pub async fn address(
    project: &Project,
    found: FromUrl,
    password: Option<Secret>,
    role: Role,
    schemas: &[String],
    cancel: &CancellationToken,
) -> Result<Report> {
    let started = Instant::now();
    let mut settings = found.settings;
    let mut secrets = Vec::new();
    let given = password.map(|password| ("password", password)).or(found.password);
    if let Some((key, value)) = given {
        settings.insert(key.to_owned(), json!(value.expose()));
        secrets.push(ResolvedSecret { name: key.to_owned(), value, origin: "given".to_owned() });
    }
    let mut sessions = Sessions::of_settings(project, &found.system, role, Value::Object(settings), secrets);
    let streams = found.streams.into_iter().map(serde_json::from_value::<StreamSelection>);
    sessions.connection.streams =
        streams.collect::<std::result::Result<_, _>>().map_err(|e| Error::internal("a stream").cause(e))?;
    let look = Look { sessions: &sessions, schemas, events: Events::none(), cancel };
    let name = found.name;
    let preflight = match role {
        Role::Source => look.source(&name).await,
        Role::Destination => {
            let errand = Errand { name: name.clone(), schemas: schemas.to_vec(), ..Errand::default() };
            sessions.preflight(role, &errand, &look.events, cancel).await
        }
    };
    let preflight = match preflight {
        Err(error) if error.kind() == Kind::Config => return Ok(Report::unable(&name, started, &error)),
        found => found?,
    };
    let mut sides = vec![look.side(role, preflight)];
    look.clean(&mut sides);
    Ok(Report::of(&name, started, sides))
}

/// One look at the two sides.
struct Look<'a> {
    sessions: &'a Sessions,
    schemas: &'a [String],
    events: Events,
    cancel: &'a CancellationToken,
}

impl Look<'_> {
    async fn source(&self, name: &str) -> Result<Preflight> {
        let enabled = self.sessions.connection.streams.iter().filter(|stream| stream.enabled);
        let errand = Errand {
            name: name.to_owned(),
            streams: enabled.cloned().collect(),
            schemas: self.schemas.to_vec(),
            loads: Vec::new(),
        };
        self.sessions.preflight(Role::Source, &errand, &self.events, self.cancel).await
    }

    /// The streams as a run would plan them, and what is found about them. A source that cannot be
    /// reached has said so.
    async fn prospects(&self) -> (Vec<Prospect>, Vec<Finding>) {
        let Ok(source) = self.sessions.source(&self.events, self.cancel).await else {
            return (Vec::new(), Vec::new());
        };
        let found = prospects(&self.sessions.connection, &*source, self.schemas).await;
        source.close().await;
        match found {
            Ok(found) => {
                let findings = planned(&found);
                (found, findings)
            }
            Err(error) => (Vec::new(), vec![Finding::failed("streams", "stream", &error)]),
        }
    }

    async fn destination(&self, prospects: &[Prospect]) -> Result<Preflight> {
        let opened = self.sessions.destination(&self.events, self.cancel).await.ok();
        let connection = &self.sessions.connection;
        let asked = match &opened {
            Some(destination) => {
                let found = loads(connection, prospects, Some(&**destination)).await;
                destination.close().await;
                // Where the records may not be read, that is a finding of its own.
                found.ok()
            }
            None => None,
        };
        let loads: Vec<Load> = match asked {
            Some(loads) => loads,
            None => loads(connection, prospects, None).await?,
        };
        let name = self.sessions.resolved.destination_name.clone();
        let errand = Errand { name, loads, ..Errand::default() };
        self.sessions.preflight(Role::Destination, &errand, &self.events, self.cancel).await
    }

    fn side(&self, role: Role, found: Preflight) -> Side {
        let resolved = &self.sessions.resolved;
        let (system, name) = match role {
            Role::Source => (self.sessions.connection.system.clone(), None),
            Role::Destination => (resolved.destination_type.clone(), Some(resolved.destination_name.clone())),
        };
        Side {
            role: role.word().to_owned(),
            system,
            name,
            passed: found.passed(),
            findings: found.findings,
            script: found.script,
        }
    }

    /// Takes secrets out of every text, and settles what passed.
    fn clean(&self, sides: &mut [Side]) {
        let redactor = Redactor::new();
        for secret in &self.sessions.resolved.secrets {
            redactor.add(secret.value.expose(), None);
        }
        for side in sides {
            side.passed = side.findings.iter().all(|finding| finding.status != Status::Fail);
            for finding in &mut side.findings {
                let error = finding.error.iter_mut();
                let of_error =
                    error.flat_map(|e| [&mut e.message].into_iter().chain(&mut e.hint).chain(&mut e.cause));
                let texts = [&mut finding.detail].into_iter().chain(&mut finding.remedy).chain(of_error);
                texts.for_each(|text| *text = redactor.redact(text).into_owned());
            }
        }
    }
}

/// What planning says about each stream: those that fail, and how many do not.
fn planned(prospects: &[Prospect]) -> Vec<Finding> {
    const GROUP: &str = "streams";
    let failed = |prospect: &Prospect| {
        let error = prospect.found.as_ref().err()?;
        Some(Finding::failed(GROUP, "stream", error).stream(&prospect.selection.name))
    };
    let mut found: Vec<Finding> = prospects.iter().filter_map(failed).collect();
    let good = prospects.len() - found.len();
    if prospects.is_empty() {
        found.push(
            Finding::warn(GROUP, "stream", "none is selected")
                .remedy("waybill connection select NAME --stream '*' --propose"),
        );
    } else if good > 0 {
        let of = counted(prospects.len() as u64, "stream");
        found.push(Finding::pass(GROUP, "stream", format!("{good} of {of} can be loaded as selected")));
    }
    found
}
