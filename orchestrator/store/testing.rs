//! A project folder for the tests beside the code.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use waybill_protocol::{Connector, Erased, NoSettings, Role, Secret, System};

use super::project::{Env, Flags, Project};

/// A temporary project.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) project: Project,
}

impl Home {
    /// A project with this config.
    pub(crate) fn new(config: &str) -> Home {
        Home::with_env(config, &[])
    }

    /// A project with this config and this environment.
    pub(crate) fn with_env(config: &str, env: &[(&str, &str)]) -> Home {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), config).unwrap();
        let env = Env::from_map(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let flags = Flags { project_dir: Some(folder.path().into()), ..Flags::default() };
        let project = Project::locate(&flags, env, Path::new("/")).unwrap();
        Home { folder, project }
    }

    /// Writes secrets.toml with mode 0600.
    pub(crate) fn secrets(&self, text: &str) {
        super::atomic::write_atomic(&self.project.secrets_path, text.as_bytes(), Some(0o600)).unwrap();
    }

    pub(crate) fn config(&self) -> String {
        fs::read_to_string(&self.project.config_path).unwrap()
    }

    pub(crate) fn backups(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.project.backups_dir) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn inode(&self) -> u64 {
        fs::metadata(&self.project.config_path).unwrap().ino()
    }
}

/// A system for tests of settings: a source and a destination that are never opened.
pub(crate) struct Depot;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct DepotSource {
    host: String,
    port: Option<u16>,
    user: Option<String>,
    password: Option<Secret>,
    url: Option<Secret>,
    endpoint: Option<String>,
    tls: Option<DepotTls>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct DepotTls {
    verify: Option<bool>,
    key: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct DepotDestination {
    path: String,
    pooler: Option<bool>,
    port: Option<u16>,
    tags: Option<Vec<String>>,
    password: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct DepotStream {
    delimiter: Option<String>,
    header: Option<bool>,
}

impl System for Depot {
    const NAME: &'static str = "depot";
    const TITLE: &'static str = "Depot";
    const ROLES: &'static [Role] = &[Role::Source, Role::Destination];
    type Source = DepotSource;
    type Destination = DepotDestination;
    type Stream = DepotStream;
}

/// The embedded default destination, and a system without the role of a source.
pub(crate) struct Shelf;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct ShelfDestination {
    path: String,
}

impl System for Shelf {
    const NAME: &'static str = "sqlite";
    const TITLE: &'static str = "Shelf";
    const ROLES: &'static [Role] = &[Role::Destination];
    type Source = NoSettings;
    type Destination = ShelfDestination;
    type Stream = NoSettings;
}

/// The registry of the tests.
pub(crate) fn registry() -> Vec<Box<dyn Connector>> {
    vec![Box::new(Erased::<Depot>::new()), Box::new(Erased::<Shelf>::new())]
}
