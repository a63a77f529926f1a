//! A source and a destination that do what a script says: everything legal and illegal, for tests.
//!
//! The source (`source`) sends what the steps of its script say, read by read; `rows` makes the
//! values. The destination (`destination`) is a SQLite file with faults in its way. `script` has
//! the forms of both scripts, `tally` counts across runs, so that each read and each fault has its
//! own number and a script can say "the second read, in whichever run it happens".

mod act;
mod destination;
mod faults;
mod rows;
mod script;
mod source;
mod tally;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use waybill_protocol::{Context, Destination, Error, NoSettings, Result, Role, Secret, Source, System};

pub use script::{DestinationScript, SourceScript};

use faults::Faults;
use script::Operation;

/// The scripted connector.
pub struct Scripted;

/// Settings of a scripted source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// The file of the script (JSON). How often each slice was read is counted in a file of the
    /// same name with `.count` behind it.
    pub script: String,
    /// A secret, for tests of what becomes of it.
    #[serde(default)]
    pub token: Option<Secret>,
}

/// Settings of a scripted destination.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationSettings {
    /// The SQLite file behind it.
    pub path: String,
    /// The file of the script (JSON); none: no faults. Operations are counted in a file of the
    /// same name with `.count` behind it.
    #[serde(default)]
    pub script: Option<String>,
}

#[async_trait]
impl System for Scripted {
    const NAME: &'static str = "scripted";
    const TITLE: &'static str = "Scripted (tests)";
    const ROLES: &'static [Role] = &[Role::Source, Role::Destination];
    type Source = SourceSettings;
    type Destination = DestinationSettings;
    type Stream = NoSettings;

    async fn open_source(ctx: Context, settings: SourceSettings) -> Result<Box<dyn Source>> {
        let path = ctx.base_dir.join(&settings.script);
        let script = read::<SourceScript>(path.clone()).await?;
        let opened = source::ScriptedSource::new(ctx, script, path);
        opened.faults.around(Operation::Open, async { Ok(()) }).await?;
        Ok(Box::new(opened))
    }

    async fn open_destination(ctx: Context, settings: DestinationSettings) -> Result<Box<dyn Destination>> {
        let script = settings.script.as_deref().map(|script| ctx.base_dir.join(script));
        let faults = match &script {
            Some(path) => read::<DestinationScript>(path.clone()).await?.faults,
            None => Vec::new(),
        };
        let faults = Faults::new(ctx.clone(), faults, script.as_deref());
        faults.around(Operation::Open, async { Ok(()) }).await?;
        // Through the registry: a build without SQLite says so.
        let inner = crate::find("sqlite")?;
        let inner = inner.destination(ctx, &serde_json::json!({"path": settings.path})).await?;
        Ok(Box::new(destination::ScriptedDestination::new(inner, faults)))
    }
}

/// Reads a script off the async threads.
async fn read<T: DeserializeOwned + Send + 'static>(path: PathBuf) -> Result<T> {
    let wrong = |path: &PathBuf, why: String| Error::config(format!("script {}: {why}", path.display()));
    let work = move || {
        let text = std::fs::read(&path).map_err(|e| wrong(&path, e.to_string()))?;
        serde_json::from_slice(&text).map_err(|e| wrong(&path, e.to_string()))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal("the reader of a script broke off").cause(e))?
}
