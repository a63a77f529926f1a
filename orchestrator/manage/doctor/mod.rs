//! Looking a project over: what is where, what is wrong, and what to do about it.

mod places;
mod systems;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use waybill_protocol::ErrorRecord;

use super::probe::Probe;
use crate::store::config::{LoadedConfig, load};
use crate::store::project::Project;
use crate::summary::units::counted;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// A person should know; nothing is stopped by it.
    Warning,
    /// Something will not work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// `places`, `versions`, `config`, `secrets`, `locks`, `disk` or `systems`.
    pub area: String,
    /// What was looked at: a path, a place in a file, a connection.
    pub what: String,
    /// How it is.
    pub level: Level,
    /// In words.
    pub detail: String,
    /// What to do about it: a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A connector of this build.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Compiled {
    /// The value of `type`.
    pub name: String,
    /// `source`, `destination`.
    pub roles: Vec<String>,
}

/// All that was found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(title = "Waybill doctor")]
pub struct Report {
    /// The version of the program.
    pub version: String,
    /// Operating system and processor.
    pub platform: String,
    /// The connectors of this build.
    pub connectors: Vec<Compiled>,
    /// Whether systems were left out.
    pub offline: bool,
    /// 0 where nothing is wrong, 3 where files or settings are, 4 where only a system is.
    pub exit_code: u8,
    /// Findings, in the order in which they were looked for.
    pub findings: Vec<Finding>,
    /// Every source and destination that was tried.
    pub systems: Vec<Probe>,
}

/// Words of this program as a command that works where the person is.
pub type Command<'a> = &'a (dyn Fn(&str) -> String + Sync);

/// Collects findings of one area.
struct Area<'a> {
    name: &'static str,
    findings: &'a mut Vec<Finding>,
}

impl Area<'_> {
    fn add(&mut self, level: Level, what: &str, detail: impl Into<String>, remedy: Option<String>) {
        self.findings.push(Finding {
            area: self.name.to_owned(),
            what: what.to_owned(),
            level,
            detail: detail.into(),
            remedy: remedy.filter(|_| level != Level::Ok),
        });
    }

    fn ok(&mut self, what: &str, detail: impl Into<String>) {
        self.add(Level::Ok, what, detail, None);
    }

    fn record(&mut self, what: &str, error: &ErrorRecord) {
        let causes = error.cause.iter().filter(|cause| !error.message.contains(cause.as_str()));
        let detail = causes.fold(error.message.clone(), |text, cause| format!("{text}: {cause}"));
        self.add(Level::Error, what, detail, error.hint.clone());
    }
}

/// Looks at everything; with `offline` at no system.
pub async fn examine(
    project: &Project,
    offline: bool,
    command: Command<'_>,
    cancel: &CancellationToken,
) -> Report {
    let mut findings = Vec::new();
    places::places(project, &mut Area { name: "places", findings: &mut findings });
    let config = configured(project, command, &mut Area { name: "config", findings: &mut findings });
    let mut probes = Vec::new();
    if let Some(config) = config {
        let config = Arc::new(config);
        let (owned, loaded) = (project.clone(), Arc::clone(&config));
        // Following references blocks.
        let checked = tokio::task::spawn_blocking(move || super::secrets::check(&owned, &loaded))
            .await
            .unwrap_or_default();
        let mut secrets = Area { name: "secrets", findings: &mut findings };
        systems::secrets(&checked, command, &mut secrets);
        systems::locks(project, &config, command, &mut Area { name: "locks", findings: &mut findings });
        if !offline {
            probes = systems::probes(project, &config, cancel).await;
            let mut area = Area { name: "systems", findings: &mut findings };
            systems::reached(&probes, command, &mut area);
        }
    }
    places::disk(project, &mut Area { name: "disk", findings: &mut findings });
    let wrong = |finding: &&Finding| finding.level == Level::Error;
    let exit_code = match findings.iter().filter(wrong).find(|finding| finding.area != "systems") {
        Some(_) => 3,
        None if findings.iter().any(|finding| wrong(&finding)) => 4,
        None => 0,
    };
    Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        connectors: compiled(),
        offline,
        exit_code,
        findings,
        systems: probes,
    }
}

fn compiled() -> Vec<Compiled> {
    let registry = waybill_connectors::registry();
    let specs = registry.iter().map(|connector| connector.spec());
    let compiled = |spec: waybill_protocol::Spec| Compiled {
        name: spec.name.to_owned(),
        roles: spec.roles.iter().map(|role| role.word().to_owned()).collect(),
    };
    specs.map(compiled).collect()
}

/// What config.json has, and what is wrong with it.
fn configured(project: &Project, command: Command<'_>, area: &mut Area<'_>) -> Option<LoadedConfig> {
    let file = project.config_path.display().to_string();
    let config = match load(project) {
        Ok(config) => config,
        Err(error) => {
            area.record(&file, &error.record());
            return None;
        }
    };
    let on = config.valid().filter(|connection| connection.enabled).count();
    let all = counted(config.connections.len() as u64, "connection");
    area.ok(&file, format!("{all}, {on} of them enabled and valid"));
    for invalid in config.invalid_destinations.iter().chain(config.invalid()) {
        let what = match (invalid.index, &invalid.name) {
            (Some(index), None) => format!("connections[{index}]"),
            (Some(_), Some(name)) => format!("connection {name}"),
            (None, name) => format!("destination {}", name.clone().unwrap_or_default()),
        };
        invalid.errors.iter().for_each(|error| area.record(&what, error));
    }
    for finding in &config.findings {
        let remedy = Some(command("config validate"));
        area.add(Level::Warning, &finding.path, finding.message.clone(), remedy);
    }
    if let Some(path) = &config.state_file {
        let what = path.display().to_string();
        if path.exists() {
            area.ok(&what, "holds the state");
        } else {
            area.add(
                Level::Ok,
                &what,
                "is not there yet: every stream goes on from what its destination holds",
                None,
            );
        }
    }
    Some(config)
}
