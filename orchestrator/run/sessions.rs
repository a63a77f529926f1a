//! Sessions with a connection's source and destination outside a run: tests, discovery, previews.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Context, Deadlines, Destination, Errand, Error, Events, History, Made, Origin, Preflight, Result, Role,
    Secret, Source,
};

use crate::secrets::{Resolved, ResolvedSecret, resolve, resolve_destination};
use crate::store::config::{Connection, InForce, LoadedConfig, Policies};
use crate::store::project::Project;
use crate::store::shape::Shape;
use crate::tunnel::SessionTunnel;

/// A connection with its settings resolved, ready to open sessions.
pub struct Sessions {
    /// The connection.
    pub connection: Connection,
    /// Its settings, secrets included.
    pub resolved: Resolved,
    base_dir: std::path::PathBuf,
    run_id: String,
    looking: bool,
}

impl Sessions {
    /// Resolves a connection's settings. Blocks its thread while references are followed.
    pub fn new(project: &Project, config: &LoadedConfig, connection: &Connection) -> Result<Sessions> {
        Ok(Sessions::of_resolved(project, connection, resolve(project, config, connection)?))
    }

    /// The sessions of a connection whose settings were resolved another way.
    pub fn of_resolved(project: &Project, connection: &Connection, resolved: Resolved) -> Sessions {
        Sessions {
            connection: connection.clone(),
            resolved,
            base_dir: project.base_dir(),
            run_id: uuid::Uuid::now_v7().to_string(),
            looking: false,
        }
    }

    /// Sessions with a destination alone, whatever connections use it. Blocks its thread while
    /// references are followed.
    pub fn of_destination(project: &Project, config: &LoadedConfig, name: &str) -> Result<Sessions> {
        let destination = config.destination_named(name)?;
        let defaults = config.text.value.get("defaults").cloned();
        let defaults: Policies =
            defaults.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        let connection = Connection {
            destination: name.to_owned(),
            destination_origin: destination.origin.clone(),
            ..nobody(&format!("destination {name}"), &defaults)
        };
        Ok(Sessions {
            connection,
            resolved: resolve_destination(project, destination)?,
            base_dir: project.base_dir(),
            run_id: uuid::Uuid::now_v7().to_string(),
            looking: false,
        })
    }

    /// Sessions with a system whose settings stand nowhere, in one role: of an address alone.
    pub fn of_settings(
        project: &Project,
        system: &str,
        role: Role,
        settings: serde_json::Value,
        secrets: Vec<ResolvedSecret>,
    ) -> Sessions {
        let mut connection = nobody("the address", &Policies::default());
        system.clone_into(&mut connection.system);
        let (source, destination) = match role {
            Role::Source => (settings, serde_json::Value::Null),
            Role::Destination => (serde_json::Value::Null, settings),
        };
        let resolved = Resolved {
            source,
            destination,
            destination_name: "the address".to_owned(),
            destination_type: system.to_owned(),
            origins: std::collections::BTreeMap::new(),
            secrets,
            findings: Vec::new(),
            redacted: serde_json::Value::Null,
        };
        Sessions::of_resolved(project, &connection, resolved)
    }

    /// The same sessions for a run of that id.
    pub fn for_run(mut self, run_id: &str) -> Sessions {
        run_id.clone_into(&mut self.run_id);
        self
    }

    /// The same sessions for a look only: what they read is bounded as a query is.
    pub fn for_a_look(mut self) -> Sessions {
        self.looking = true;
        self
    }

    /// Opens a session with the source.
    pub async fn source(&self, events: &Events, cancel: &CancellationToken) -> Result<Arc<dyn Source>> {
        let connector = waybill_connectors::find(&self.connection.system)?;
        let context = self.context("source", &self.resolved.source, events, cancel)?;
        let source = connector.source(context, &self.resolved.source).await;
        source.map(Arc::from).map_err(|e| e.origin(Origin::Source))
    }

    /// Opens a session with the destination.
    pub async fn destination(
        &self,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Arc<dyn Destination>> {
        let connector = waybill_connectors::find(&self.resolved.destination_type)?;
        let context = self.context("destination", &self.resolved.destination, events, cancel)?;
        let destination = connector.destination(context, &self.resolved.destination).await;
        destination.map(Arc::from).map_err(|e| e.origin(Origin::Destination))
    }

    /// Opens the history of runs that the destination keeps. It says nothing by events: it is asked
    /// when the record has its end already.
    pub async fn history(&self, limit: Duration, cancel: &CancellationToken) -> Result<Box<dyn History>> {
        let connector = waybill_connectors::find(&self.resolved.destination_type)?;
        let settings = &self.resolved.destination;
        let mut context = self.context("destination", settings, &Events::none(), cancel)?;
        context.deadlines.query = limit;
        connector.history(context, settings).await.map_err(|e| e.origin(Origin::Destination))
    }

    /// Looks whether an errand can be done in a role.
    pub async fn preflight(
        &self,
        role: Role,
        errand: &Errand,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Preflight> {
        let (system, settings, origin) = match role {
            Role::Source => (&self.connection.system, &self.resolved.source, Origin::Source),
            Role::Destination => {
                (&self.resolved.destination_type, &self.resolved.destination, Origin::Destination)
            }
        };
        let connector = waybill_connectors::find(system)?;
        let context = self.context(role.word(), settings, events, cancel)?;
        connector.preflight(role, context, settings, errand).await.map_err(|e| e.origin(origin))
    }

    /// Makes what the destination needs, as an administrator.
    pub async fn bootstrap(
        &self,
        admin: &Secret,
        errand: &Errand,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Vec<Made>> {
        let connector = waybill_connectors::find(&self.resolved.destination_type)?;
        let context = self.context("destination", &self.resolved.destination, events, cancel)?;
        let made = connector.bootstrap(context, &self.resolved.destination, admin, errand).await;
        made.map_err(|e| e.origin(Origin::Destination))
    }

    /// Opens the destination's system as a source: to read back what was loaded.
    pub async fn mirror(&self, events: &Events, cancel: &CancellationToken) -> Result<Arc<dyn Source>> {
        let system = &self.resolved.destination_type;
        let connector = waybill_connectors::find(system)?;
        let spec = connector.spec();
        if !spec.roles.contains(&Role::Source) {
            return Err(Error::config(format!(
                "destination {} ({system}) cannot be read back",
                self.resolved.destination_name
            ))
            .hint("compare the two with the tools of their systems"));
        }
        // What only matters for writing is no setting of a source.
        let schema = spec.source.to_value();
        let known = Shape::of(&schema).names();
        let settings = self.resolved.destination.as_object().cloned().unwrap_or_default();
        let settings: serde_json::Map<_, _> =
            settings.into_iter().filter(|(key, _)| known.contains(&key.as_str())).collect();
        let context = self.context("destination", &self.resolved.destination, events, cancel)?;
        let source = connector.source(context, &settings.into()).await;
        source.map(Arc::from).map_err(|e| e.origin(Origin::Destination))
    }

    /// The connection's id as state and ownership use it; an entry without one has none yet.
    pub fn connection_id(&self) -> String {
        self.connection.id.map(|id| id.to_string()).unwrap_or_default()
    }

    fn context(
        &self,
        role: &'static str,
        settings: &serde_json::Value,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Context> {
        let origin = if role == "source" { Origin::Source } else { Origin::Destination };
        let tunnel = SessionTunnel::of(settings, self.base_dir.clone(), role, events, cancel);
        Ok(Context {
            run_id: self.run_id.clone(),
            connection_id: self.connection_id(),
            connection: self.connection.name.clone(),
            role,
            events: events.clone(),
            cancel: cancel.clone(),
            deadlines: Deadlines { looking: self.looking, ..deadlines(&self.connection.policies) },
            base_dir: self.base_dir.clone(),
            parallelism: self.connection.policies.parallelism as usize,
            tunnel: tunnel.map_err(|e| e.origin(origin))?,
        })
    }
}

/// A connection that stands in no config.
fn nobody(name: &str, defaults: &Policies) -> Connection {
    Connection {
        index: 0,
        id: None,
        name: name.to_owned(),
        system: String::new(),
        enabled: false,
        destination: String::new(),
        destination_origin: crate::store::project::Origin::Default,
        settings: serde_json::Map::new(),
        streams: Vec::new(),
        state: std::collections::BTreeMap::new(),
        state_as_loaded: serde_json::Value::Null,
        policies: InForce::of(&Policies::default(), defaults),
        config_hash: String::new(),
    }
}

/// The limits of waiting that a connection's policies set.
pub fn deadlines(policies: &InForce) -> Deadlines {
    Deadlines {
        query: Duration::from_millis(policies.query_timeout_ms),
        slow_query: Duration::from_millis(policies.slow_query_ms),
        stall: Duration::from_millis(policies.stall_timeout_ms),
        looking: false,
    }
}
