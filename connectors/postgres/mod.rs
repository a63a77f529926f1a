//! PostgreSQL, as a source and as a destination.

mod address;
mod decode;
mod destination;
mod encode;
mod error;
mod explain;
mod history;
mod kinds;
mod link;
mod own;
mod pool;
mod preflight;
mod refusal;
mod relay;
mod scram;
#[cfg(test)]
pub(crate) mod server;
mod session;
mod settings;
mod source;
mod sql;
mod watch;

use async_trait::async_trait;
use waybill_protocol::{
    Context, Destination, Errand, History, Made, Preflight, Result, Role, Secret, Source, System,
};

pub use settings::{PoolSettings, PostgresSettings, StreamOptions, Tls};

/// PostgreSQL 10 and later, and what speaks its protocol and has its catalogs.
pub struct Postgres;

#[async_trait]
impl System for Postgres {
    const NAME: &'static str = "postgres";
    const TITLE: &'static str = "PostgreSQL";
    const ROLES: &'static [Role] = &[Role::Source, Role::Destination];
    const KEEPS_HISTORY: bool = true;
    type Source = PostgresSettings;
    type Destination = PostgresSettings;
    type Stream = StreamOptions;

    fn validate_source(settings: &PostgresSettings) -> Result<()> {
        settings.validate()
    }

    fn validate_destination(settings: &PostgresSettings) -> Result<()> {
        settings.validate()
    }

    async fn open_source(ctx: Context, settings: PostgresSettings) -> Result<Box<dyn Source>> {
        source::open(ctx, &settings).await
    }

    async fn open_destination(ctx: Context, settings: PostgresSettings) -> Result<Box<dyn Destination>> {
        destination::open(ctx, settings).await
    }

    async fn open_history(ctx: Context, settings: PostgresSettings) -> Result<Box<dyn History>> {
        history::open(ctx, settings).await
    }

    async fn preflight_source(
        ctx: Context,
        settings: PostgresSettings,
        errand: &Errand,
    ) -> Result<Preflight> {
        preflight::preflight(Role::Source, ctx, &settings, errand).await
    }

    async fn preflight_destination(
        ctx: Context,
        settings: PostgresSettings,
        errand: &Errand,
    ) -> Result<Preflight> {
        preflight::preflight(Role::Destination, ctx, &settings, errand).await
    }

    async fn bootstrap(
        ctx: Context,
        settings: PostgresSettings,
        admin: &Secret,
        errand: &Errand,
    ) -> Result<Vec<Made>> {
        preflight::bootstrap(ctx, &settings, admin, errand).await
    }
}
