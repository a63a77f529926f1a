//! SQLite: a database file as a source and as the embedded default destination.
//!
//! `database` runs a connection on a thread of its own; `fault` says what SQLite's errors mean;
//! `affinity`, `bind`, `decode` and `iso` hold the forms of values; `ledger` the bookkeeping tables;
//! `session`, `destination`, `table`, `prepare`, `rebuild`, `load`, `stage`, `publish` are the loading side;
//! `source`, `discover`, `sample`, `observe`, `read`, `reader`, `builder`, `cursor`, `window` the reading side.

mod affinity;
mod bind;
mod builder;
mod candidates;
mod cursor;
mod database;
mod decode;
mod destination;
mod discover;
mod fault;
mod identifier;
mod iso;
mod ledger;
mod load;
mod observe;
mod prepare;
mod publish;
mod query;
mod read;
mod reader;
mod rebuild;
mod refill;
mod sample;
mod session;
mod source;
mod stage;
mod table;
mod window;

#[cfg(test)]
mod cursor_tests;
#[cfg(test)]
mod destination_tests;
#[cfg(test)]
mod evolution_tests;
#[cfg(test)]
mod publish_tests;
#[cfg(test)]
mod shelf;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod workbench;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use waybill_protocol::{Context, Destination, Error, NoSettings, Result, Role, Source, System};

/// The SQLite connector.
pub struct Sqlite;

/// Settings of a SQLite file that is read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// The database file; a relative path starts at the project folder.
    pub path: String,
}

/// Settings of a SQLite file that is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationSettings {
    /// The database file; created with its folder where missing. A relative path starts at the
    /// project folder.
    pub path: String,
    /// How long to wait for another process that is writing to the file, milliseconds.
    #[serde(default = "default_busy_timeout_ms")]
    #[schemars(range(min = 1))]
    pub busy_timeout_ms: u64,
}

fn default_busy_timeout_ms() -> u64 {
    60_000
}

fn validate_path(path: &str) -> Result<()> {
    if path.trim().is_empty() || path == ":memory:" || path.contains('\0') {
        return Err(Error::config(format!("path: {path:?} is no file"))
            .hint("give the path of a database file, such as \"warehouse.db\""));
    }
    Ok(())
}

/// The absolute path, so that SQLite never takes it for a URI or a special name.
fn locate(base: &Path, path: &str) -> Result<PathBuf> {
    let joined = base.join(path);
    std::path::absolute(&joined)
        .map_err(|e| Error::config(format!("path: {} is no path", joined.display())).cause(e))
}

#[async_trait]
impl System for Sqlite {
    const NAME: &'static str = "sqlite";
    const TITLE: &'static str = "SQLite";
    const ROLES: &'static [Role] = &[Role::Source, Role::Destination];
    type Source = SourceSettings;
    type Destination = DestinationSettings;
    type Stream = NoSettings;

    fn validate_source(settings: &SourceSettings) -> Result<()> {
        validate_path(&settings.path)
    }

    fn validate_destination(settings: &DestinationSettings) -> Result<()> {
        if settings.busy_timeout_ms == 0 {
            return Err(Error::config("busy_timeout_ms: must be a positive number"));
        }
        validate_path(&settings.path)
    }

    async fn open_source(ctx: Context, settings: SourceSettings) -> Result<Box<dyn Source>> {
        let path = locate(&ctx.base_dir, &settings.path)?;
        Ok(Box::new(source::SqliteSource::open(ctx, path, settings.path).await?))
    }

    async fn open_destination(ctx: Context, settings: DestinationSettings) -> Result<Box<dyn Destination>> {
        let path = locate(&ctx.base_dir, &settings.path)?;
        let wait = std::time::Duration::from_millis(settings.busy_timeout_ms);
        Ok(Box::new(destination::SqliteDestination::new(ctx, path, wait)))
    }
}
