//! The contract of a connector: one system, its settings, its sessions.

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Context;
use crate::destination::Destination;
use crate::error::{Error, Kind, Result};
use crate::history::History;
use crate::preflight::{Errand, Finding, Made, Preflight};
use crate::settings::Secret;
use crate::source::Source;

/// The two roles a system may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It is read.
    Source,
    /// It is written.
    Destination,
}

impl Role {
    /// `source` or `destination`.
    pub fn word(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Destination => "destination",
        }
    }
}

/// What a connector is, for menus, documentation and the config's JSON Schema.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The value of `type` in the config.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The roles it has.
    pub roles: &'static [Role],
    /// JSON Schema of the settings as a source. Secret members are `writeOnly`.
    pub source: Schema,
    /// JSON Schema of the settings as a destination.
    pub destination: Schema,
    /// JSON Schema of what a stream's entry may have beyond the common members.
    pub stream: Schema,
    /// Whether the history of runs can be kept there, with the settings of a destination.
    pub keeps_history: bool,
}

/// One system, typed inside. Implement this; [`Connector`] follows by the blanket implementation.
#[async_trait]
pub trait System: Send + Sync + 'static {
    /// The value of `type` in the config.
    const NAME: &'static str;
    /// Its name for people.
    const TITLE: &'static str;
    /// The roles it has.
    const ROLES: &'static [Role];
    /// Whether the history of runs can be kept there: whether [`System::open_history`] is implemented.
    const KEEPS_HISTORY: bool = false;
    /// Settings as a source ([`NoSettings`](crate::settings::NoSettings) without that role).
    type Source: DeserializeOwned + JsonSchema + Send + 'static;
    /// Settings as a destination.
    type Destination: DeserializeOwned + JsonSchema + Send + 'static;
    /// What a stream's entry may have beyond the common members.
    type Stream: DeserializeOwned + JsonSchema;

    /// Looks for contradictions that the types cannot express. Pure, no network.
    fn validate_source(_settings: &Self::Source) -> Result<()> {
        Ok(())
    }

    /// Looks for contradictions that the types cannot express. Pure, no network.
    fn validate_destination(_settings: &Self::Destination) -> Result<()> {
        Ok(())
    }

    /// Opens a session as a source.
    async fn open_source(_ctx: Context, _settings: Self::Source) -> Result<Box<dyn Source>> {
        Err(lacks_role(Self::NAME, Role::Source))
    }

    /// Opens a session as a destination.
    async fn open_destination(_ctx: Context, _settings: Self::Destination) -> Result<Box<dyn Destination>> {
        Err(lacks_role(Self::NAME, Role::Destination))
    }

    /// Opens the history of runs that is kept there.
    async fn open_history(_ctx: Context, _settings: Self::Destination) -> Result<Box<dyn History>> {
        Err(Error::config(format!("{} cannot keep the history of runs", Self::NAME)))
    }

    /// Looks whether what is selected can be read. Made of [`Source::check`] where a system has
    /// nothing more to say.
    async fn preflight_source(ctx: Context, settings: Self::Source, _errand: &Errand) -> Result<Preflight> {
        let source = match Self::open_source(ctx, settings).await {
            Ok(source) => source,
            Err(error) => return refused(&error),
        };
        let checks = source.check().await;
        source.close().await;
        checks.map(Preflight::of_checks)
    }

    /// Looks whether what is loaded can be written. Made of [`Destination::check`] where a system has
    /// nothing more to say.
    async fn preflight_destination(
        ctx: Context,
        settings: Self::Destination,
        _errand: &Errand,
    ) -> Result<Preflight> {
        let destination = match Self::open_destination(ctx, settings).await {
            Ok(destination) => destination,
            Err(error) => return refused(&error),
        };
        let checks = destination.check().await;
        destination.close().await;
        checks.map(Preflight::of_checks)
    }

    /// Makes what the settings of a destination name, and gives its user the rights that it needs
    /// there, as the administrator whose address `admin` is. What is there already stays as it is.
    async fn bootstrap(
        _ctx: Context,
        _settings: Self::Destination,
        _admin: &Secret,
        _errand: &Errand,
    ) -> Result<Vec<Made>> {
        Err(Error::config(format!("{} makes what it needs by itself", Self::NAME))
            .hint("nothing has to be prepared; run a connection"))
    }
}

/// A session that could not be opened is a finding, unless somebody gave up waiting for it.
fn refused(error: &Error) -> Result<Preflight> {
    if error.kind() == Kind::Cancelled {
        return Err(Error::cancelled());
    }
    Ok(Preflight { findings: vec![Finding::failed("checks", "connect", error)], script: None })
}

fn lacks_role(name: &str, role: Role) -> Error {
    Error::config(format!("{name} cannot be used as a {}", role.word()))
}

/// A system with its types erased, as the registry holds it.
///
/// `settings` are an object with secrets already resolved; an error in them names the path of the
/// member relative to them (`port: invalid type …`).
#[async_trait]
pub trait Connector: Send + Sync {
    /// What it is.
    fn spec(&self) -> Spec;

    /// Whether the settings are good as they are. Pure, no network.
    fn validate(&self, role: Role, settings: &Value) -> Result<()>;

    /// Whether a stream's own options are good as they are. Pure.
    fn validate_stream(&self, options: &Value) -> Result<()>;

    /// Opens a session as a source, for one run.
    async fn source(&self, ctx: Context, settings: &Value) -> Result<Box<dyn Source>>;

    /// Opens a session as a destination, for one run.
    async fn destination(&self, ctx: Context, settings: &Value) -> Result<Box<dyn Destination>>;

    /// Opens the history of runs, with the settings of a destination.
    async fn history(&self, ctx: Context, settings: &Value) -> Result<Box<dyn History>>;

    /// Looks whether the errand can be done in a role; every finding, and what would mend it.
    /// Connects by itself, since not being let in is a finding too, and leaves nothing behind. An
    /// `Err` means that it could not be looked.
    async fn preflight(
        &self,
        role: Role,
        ctx: Context,
        settings: &Value,
        errand: &Errand,
    ) -> Result<Preflight>;

    /// Makes what a destination needs, as an administrator; see [`System::bootstrap`].
    async fn bootstrap(
        &self,
        ctx: Context,
        settings: &Value,
        admin: &Secret,
        errand: &Errand,
    ) -> Result<Vec<Made>>;
}

/// Erases the types of a [`System`].
pub struct Erased<S>(pub std::marker::PhantomData<fn() -> S>);

impl<S: System> Erased<S> {
    /// The connector of a system.
    pub fn new() -> Erased<S> {
        Erased(std::marker::PhantomData)
    }
}

impl<S: System> Default for Erased<S> {
    fn default() -> Self {
        Erased::new()
    }
}

/// Reads typed settings; the error names the path of the wrong member.
pub fn read_settings<T: DeserializeOwned>(settings: &Value) -> Result<T> {
    serde_path_to_error::deserialize(settings.clone()).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner().to_string();
        if path == "." { Error::config(inner) } else { Error::config(format!("{path}: {inner}")) }
    })
}

#[async_trait]
impl<S: System> Connector for Erased<S> {
    fn spec(&self) -> Spec {
        Spec {
            name: S::NAME,
            title: S::TITLE,
            roles: S::ROLES,
            source: schema_for!(S::Source),
            destination: schema_for!(S::Destination),
            stream: schema_for!(S::Stream),
            keeps_history: S::KEEPS_HISTORY,
        }
    }

    fn validate(&self, role: Role, settings: &Value) -> Result<()> {
        if !S::ROLES.contains(&role) {
            return Err(lacks_role(S::NAME, role));
        }
        match role {
            Role::Source => S::validate_source(&read_settings(settings)?),
            Role::Destination => S::validate_destination(&read_settings(settings)?),
        }
    }

    fn validate_stream(&self, options: &Value) -> Result<()> {
        read_settings::<S::Stream>(options).map(drop)
    }

    async fn source(&self, ctx: Context, settings: &Value) -> Result<Box<dyn Source>> {
        let typed: S::Source = read_settings(settings)?;
        S::validate_source(&typed)?;
        S::open_source(ctx, typed).await
    }

    async fn destination(&self, ctx: Context, settings: &Value) -> Result<Box<dyn Destination>> {
        let typed: S::Destination = read_settings(settings)?;
        S::validate_destination(&typed)?;
        S::open_destination(ctx, typed).await
    }

    async fn history(&self, ctx: Context, settings: &Value) -> Result<Box<dyn History>> {
        let typed: S::Destination = read_settings(settings)?;
        S::validate_destination(&typed)?;
        S::open_history(ctx, typed).await
    }

    async fn preflight(
        &self,
        role: Role,
        ctx: Context,
        settings: &Value,
        errand: &Errand,
    ) -> Result<Preflight> {
        self.validate(role, settings)?;
        match role {
            Role::Source => S::preflight_source(ctx, read_settings(settings)?, errand).await,
            Role::Destination => S::preflight_destination(ctx, read_settings(settings)?, errand).await,
        }
    }

    async fn bootstrap(
        &self,
        ctx: Context,
        settings: &Value,
        admin: &Secret,
        errand: &Errand,
    ) -> Result<Vec<Made>> {
        self.validate(Role::Destination, settings)?;
        S::bootstrap(ctx, read_settings(settings)?, admin, errand).await
    }
}
