//! Secrets, run locks, and the systems themselves.

use std::sync::Arc;

use chrono::SecondsFormat;
use tokio_util::sync::CancellationToken;

use super::{Area, Command, Level};
use crate::manage::probe::Probe;
use crate::manage::secrets::Checked;
use crate::manage::{gate, probe};
use crate::store::config::LoadedConfig;
use crate::store::lock;
use crate::store::project::Project;
use crate::store::sidecar::is_held;

/// What `secrets check` found.
pub(super) fn secrets(checked: &[Checked], command: Command<'_>, area: &mut Area<'_>) {
    let fine = checked.iter().filter(|one| one.ok && one.warning.is_none()).count();
    if fine > 0 {
        area.ok("values", format!("{fine} can be had"));
    }
    for one in checked {
        match (&one.error, &one.warning) {
            (Some(error), _) => area.record(&one.name, error),
            (None, Some(warning)) => {
                area.add(Level::Warning, &one.name, warning.clone(), Some(command("secrets check")));
            }
            (None, None) => {}
        }
    }
}

/// Who is at work.
pub(super) fn locks(project: &Project, config: &LoadedConfig, command: Command<'_>, area: &mut Area<'_>) {
    let mut held = 0;
    for connection in config.valid() {
        let Some(id) = connection.id.filter(|id| lock::is_held(project, *id)) else { continue };
        held += 1;
        let detail = match lock::holder(project, id) {
            Some(holder) => format!(
                "is being run: run {}, process {}, since {}",
                holder.run_id,
                holder.pid,
                holder.since.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
            None => "is being run by another process".to_owned(),
        };
        let remedy = command(&format!("runs events {} --follow", connection.name));
        area.add(Level::Warning, &connection.name, detail, Some(remedy));
    }
    for path in [Some(&project.config_path), Some(&project.secrets_path), config.state_file.as_ref()] {
        if let Some(path) = path.filter(|path| is_held(path)) {
            held += 1;
            let name = crate::store::sidecar::lock_path(path).display().to_string();
            let detail = format!("{} is being edited by another process", path.display());
            area.add(Level::Warning, &name, detail, Some(format!("fuser {name}")));
        }
    }
    if held == 0 {
        area.ok("locks", "none is held");
    }
}

/// Tries every source and destination, also those of connections that are not enabled.
pub(super) async fn probes(
    project: &Project,
    config: &Arc<LoadedConfig>,
    cancel: &CancellationToken,
) -> Vec<Probe> {
    let sources = config.valid().map(|connection| (true, connection.name.clone()));
    let targets = config.destinations.iter().map(|destination| (false, destination.name.clone()));
    let mut found = gate::all(project, config, sources.chain(targets).collect(), cancel).await;
    gate::once(config, &mut found);
    if let Some(name) = &config.history {
        found.push(probe::history(project, config, name, cancel).await);
    }
    found
}

/// What was found of them.
pub(super) fn reached(probes: &[Probe], command: Command<'_>, area: &mut Area<'_>) {
    for probe in probes {
        let what = format!("{} {} ({})", probe.role, probe.name, probe.system);
        match probe.failure() {
            Some(error) => {
                let hint = error.hint.as_ref().map(|hint| format!("{hint}; ")).unwrap_or_default();
                let remedy = match (&error.hint, probe.role.as_str()) {
                    (Some(hint), "history") => hint.clone(),
                    _ => format!("{hint}{}", command(&probe.look())),
                };
                // Settings that are wrong were told by the secrets or the config already.
                // Runs go on without their history.
                let told = probe.error.is_some() || probe.role == "history";
                let level = if told { Level::Warning } else { Level::Error };
                area.add(level, &what, error.message.clone(), Some(remedy));
            }
            None => {
                let said = if probe.role == "history" { probe.checks.last() } else { probe.checks.first() };
                area.ok(&what, said.map(|check| check.detail.clone()).unwrap_or_default());
                for warning in probe.checks.iter().filter_map(|check| check.warning.clone()) {
                    area.add(Level::Warning, &what, warning, Some(command(&probe.look())));
                }
            }
        }
    }
}
