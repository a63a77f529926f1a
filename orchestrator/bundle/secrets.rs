//! Every secret that a project knows.

use waybill_protocol::Secret;

use crate::events::redact::Redactor;
use crate::secrets::{SecretsFile, resolve, resolve_destination};
use crate::store::config::LoadedConfig;
use crate::store::project::Project;

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) redactor: Redactor,
    pub(super) count: usize,
    /// Places that could not be read.
    pub(super) unread: Vec<String>,
}

/// Reads all secrets of a project's connections and destinations. Of others than `own`, those that a
/// program would have to print are left unread. Blocks its thread.
pub(super) fn all(project: &Project, config: &LoadedConfig, own: &str) -> Found {
    let mut found = Found::default();
    let file = match SecretsFile::read(project) {
        Ok(file) => file,
        Err(error) => {
            found.unread.push(format!("{}: {}", project.secrets_path.display(), error.message()));
            return found;
        }
    };
    let commands = |section: &serde_json::Map<String, serde_json::Value>| {
        serde_json::to_string(section).unwrap_or_default().contains("\"command\"")
    };
    for connection in config.valid() {
        let destination = file.destination(&connection.destination).unwrap_or_default();
        let asks =
            commands(&file.source(&connection.name)) || commands(&destination.0) || commands(&destination.1);
        if asks && connection.name != own {
            found.unread.push(format!("sources.{}: a program prints it", connection.name));
            continue;
        }
        match resolve(project, config, connection) {
            Ok(resolved) => {
                let user = [&resolved.source, &resolved.destination];
                let user =
                    user.into_iter().find_map(|settings| settings.get("user")?.as_str().map(str::to_owned));
                for secret in &resolved.secrets {
                    found.add(&secret.name, &secret.value, user.as_deref());
                }
            }
            Err(error) => found.unread.push(format!("sources.{}: {}", connection.name, error.message())),
        }
    }
    let used: Vec<&str> = config.valid().map(|connection| connection.destination.as_str()).collect();
    for destination in config.destinations.iter().filter(|d| !used.contains(&d.name.as_str())) {
        match resolve_destination(project, destination) {
            Ok(resolved) => {
                resolved.secrets.iter().for_each(|secret| found.add(&secret.name, &secret.value, None));
            }
            Err(error) => found.unread.push(format!("destination.{}: {}", destination.name, error.message())),
        }
    }
    found
}

impl Found {
    fn add(&mut self, name: &str, value: &Secret, user: Option<&str>) {
        self.redactor.add_named(name, value.expose(), user);
        self.count += 1;
    }
}
