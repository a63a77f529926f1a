//! A connection as it would be: read with the config's rules, to be tested before it is saved.

use std::sync::Arc;

use serde_json::Value;
use waybill_protocol::{Connector, Result};

use super::add::{complete, free, insert};
use super::draft::{Draft, SecretChanges};
use crate::run::sessions::Sessions;
use crate::secrets::{SecretsFile, check_source, resolve_from};
use crate::store::config::{ConfigText, Connection, LoadedConfig, read_with};
use crate::store::edit::find_by_name;
use crate::store::project::Project;
use crate::store::splice::splice;

/// A config and secrets that stand nowhere yet, with the connection that is tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The config as it would be.
    pub config: Arc<LoadedConfig>,
    /// The secrets as they would be.
    pub secrets: SecretsFile,
    /// The connection's name.
    pub name: String,
    /// What a person should know: references that cannot be followed here, settings that are unknown.
    pub notes: Vec<String>,
}

impl Trial {
    /// The connection.
    pub fn connection(&self) -> Result<&Connection> {
        self.config.connection(&self.name)
    }

    /// Its settings resolved, for sessions with its systems. Blocks while references are followed.
    pub fn sessions(&self, project: &Project, registry: &[Box<dyn Connector>]) -> Result<Sessions> {
        let connection = self.connection()?;
        let resolved = resolve_from(project, &self.secrets, &self.config, connection, registry)?;
        Ok(Sessions::of_resolved(project, connection, resolved))
    }
}

/// A new connection as it would be; refused where its name is taken or its settings are wrong.
pub fn trial(project: &Project, draft: &Draft, registry: &[Box<dyn Connector>]) -> Result<Trial> {
    let text = read_or_empty(project)?;
    let mut document = text.value.clone();
    let name = draft.name().to_owned();
    let (id, entry) = complete(draft)?;
    free(&text.name(), &document, &name, Some(id))?;
    insert(&mut document, None, Value::Object(entry))?;
    look(project, &text, &document, &name, &draft.secrets, registry)
}

/// A connection of the config as it would be with this entry and these secrets.
pub fn trial_of(
    project: &Project,
    name: &str,
    entry: &Value,
    secrets: &SecretChanges,
    registry: &[Box<dyn Connector>],
) -> Result<Trial> {
    let text = ConfigText::read(&project.config_path)?;
    let mut document = text.value.clone();
    entry.clone_into(find_by_name(&text, &mut document, name)?);
    look(project, &text, &document, name, secrets, registry)
}

fn read_or_empty(project: &Project) -> Result<ConfigText> {
    match std::fs::symlink_metadata(&project.config_path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            ConfigText::parse(&project.config_path, super::add::EMPTY.as_bytes().to_vec())
        }
        _ => ConfigText::read(&project.config_path),
    }
}

pub(super) fn look(
    project: &Project,
    text: &ConfigText,
    document: &Value,
    name: &str,
    secrets: &SecretChanges,
    registry: &[Box<dyn Connector>],
) -> Result<Trial> {
    let after = ConfigText::parse(&text.path, splice(&text.text, document)?.into_bytes())?;
    let config = read_with(after, project, registry)?;
    let secrets = SecretsFile::read(project)?.with_source(name, secrets);
    let connection = config.connection(name)?;
    let mut notes = check_source(project, &secrets, connection, registry)?;
    let here = format!("connections[{}]", connection.index);
    let ours = config.findings.iter().filter(|finding| finding.path.starts_with(&here));
    notes.extend(ours.map(|finding| finding.message.clone()));
    Ok(Trial { config: Arc::new(config), secrets, name: name.to_owned(), notes })
}
