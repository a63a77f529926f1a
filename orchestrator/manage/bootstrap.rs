//! Making what a destination needs, as an administrator whose credentials are not kept.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{Errand, Error, Events, Load, Made, Result, Secret, TableRef, WriteMode};

use super::destinations::users;
use crate::run::sessions::Sessions;
use crate::store::config::LoadedConfig;
use crate::store::project::Project;

/// Makes role, database and schemas of a destination: those that the connections which load there
/// are known to name, and `schemas`. Tells what it made and what was there.
pub async fn bootstrap(
    project: &Project,
    config: &Arc<LoadedConfig>,
    name: &str,
    admin: &Secret,
    schemas: &[String],
    cancel: &CancellationToken,
) -> Result<Vec<Made>> {
    config.destination_named(name)?;
    let (place, all, owned) = (project.clone(), Arc::clone(config), name.to_owned());
    let opened = tokio::task::spawn_blocking(move || Sessions::of_destination(&place, &all, &owned)).await;
    let sessions = opened.map_err(|e| Error::internal("resolving settings broke off").cause(e))??;
    let errand = Errand {
        name: name.to_owned(),
        schemas: schemas.to_vec(),
        loads: known(config, name),
        ..Errand::default()
    };
    sessions.bootstrap(admin, &errand, &Events::none(), cancel).await
}

/// The schemas that are known without asking any source: written by hand, or a part of the names.
fn known(config: &LoadedConfig, destination: &str) -> Vec<Load> {
    let mut loads = Vec::new();
    for user in users(config, destination) {
        let Ok(connection) = config.connection(&user) else { continue };
        for stream in connection.streams.iter().filter(|stream| stream.enabled) {
            let own =
                stream.name.split_once('.').map(|(namespace, _)| namespace.trim_matches('"').to_owned());
            let own = own.filter(|_| stream.query.is_none());
            let namespace = match (&stream.schema, own) {
                (Some(pattern), own) => {
                    Some(pattern.replace("{namespace}", own.as_deref().unwrap_or("")).replace("{name}", ""))
                }
                (None, own) => own,
            };
            let namespace = namespace.filter(|name| !name.is_empty() && !name.contains('*'));
            loads.push(Load {
                stream: stream.name.clone(),
                table: TableRef { namespace, name: stream.name.clone() },
                write: stream.write.unwrap_or(WriteMode::Overwrite),
                owned: false,
                adopt: false,
            });
        }
    }
    loads
}
